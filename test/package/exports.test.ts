/** The package as npm users get it: what `npm pack` contains, what the exports map opens, what importing costs. Needs a build. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const exec = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;
const node = join(root, 'node_modules/node/bin/node');
const subpaths = ['net', 'kernel', 'informers', 'bgp', 'routing', 'ipvs', 'firewall', 'ingress', 'testing'] as const;

interface Manifest {
  readonly exports: Record<string, { types: string; default: string } | string | null>;
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

let folder: string;
let files: string[];

beforeAll(async () => {
  if (!existsSync(join(root, 'dist/index.js'))) throw new Error('dist/ is missing: run `npm run build` first');
  folder = await mkdtemp(join(tmpdir(), 'krs-pack-'));
  const { stdout } = await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
  });
  const [packed] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
  files = packed.files.map(({ path }) => path);
  await exec('tar', ['-xzf', packed.filename], { cwd: folder });
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('npm pack', () => {
  it('holds the build, its declarations and the papers, and nothing else', () => {
    const strange = files.filter(
      (path) => !/^(dist\/.*\.(js|d\.ts)|package\.json|README\.md|LICENSE|NOTICE|CHANGELOG\.md)$/.test(path),
    );
    expect(strange).toEqual([]);
    expect(files.filter((path) => /\.test\.|\.map$/.test(path))).toEqual([]);
    for (const subpath of subpaths) {
      expect(files).toContain(`dist/${subpath}/index.js`);
      expect(files).toContain(`dist/${subpath}/index.d.ts`);
    }
  });

  it('holds a changelog whose latest version is that of the package', () => {
    expect(files).toContain('CHANGELOG.md');
    const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
    const { version } = manifest as unknown as { version: string };
    expect(/^## (\S+)/m.exec(changelog)?.[1]).toBe(version);
  });

  it('says its licence, its engines and that it is published with provenance', () => {
    const { license, engines, sideEffects, publishConfig } = manifest as unknown as Record<string, unknown>;
    expect({ license, engines, sideEffects, publishConfig }).toEqual({
      license: 'Apache-2.0',
      engines: { node: '>=22.19' },
      sideEffects: false,
      publishConfig: { access: 'public', provenance: true },
    });
  });

  it('is clean by attw, for users of Node and of bundlers', async () => {
    const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js');
    const packed = join(folder, 'kube-router-sdk.tgz');
    await exec('tar', ['-czf', packed, '-C', folder, 'package']);
    // a problem ends it with 1, which rejects
    const { stdout } = await exec(node, [attw, packed, '--profile', 'esm-only', '--format', 'ascii', '--no-emoji']);
    expect(stdout.match(/node16 \(from ESM\): OK \(ESM\)/g)).toHaveLength(subpaths.length + 1);
  });

  it('is clean by publint', async () => {
    const { messages, pkg } = await publint({ pkgDir: join(folder, 'package'), pack: false, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg))).toEqual([]);
  });
});

describe('the exports map', () => {
  it('opens the root and one subpath a block, and closes internals', () => {
    expect(Object.keys(manifest.exports)).toEqual([
      '.',
      ...subpaths.map((name) => `./${name}`),
      './internal/*',
      './package.json',
    ]);
    expect(manifest.exports['./internal/*']).toBeNull();
  });

  it.each(subpaths)('kube-router-sdk/%s loads in plain Node', async (name) => {
    const script = `const m = await import('kube-router-sdk/${name}'); console.log(Object.keys(m).length)`;
    const { stdout } = await exec(node, ['--input-type=module', '-e', script], { cwd: root });
    expect(Number(stdout)).toBeGreaterThan(0);
  });
});

describe('importing', () => {
  it('the root loads neither client-node nor execa, nor an HTTP client, nor the YAML parser of manifests', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      const seen = [];
      registerHooks({ resolve(s, c, next) { const r = next(s, c); seen.push(r.url); return r; } });
      await import('kube-router-sdk');
      console.log(JSON.stringify(seen.filter((url) => /@kubernetes|execa|protobufjs|grpc|node:https?$/.test(url))));`;
    const { stdout } = await exec(node, ['--input-type=module', '-e', script], { cwd: root });
    expect(JSON.parse(stdout)).toEqual([]);
  });

  it('does nothing: no output, no timer, no socket, no change of globals or of the environment', async () => {
    const script = `
      const before = [Object.getOwnPropertyNames(globalThis), process.eventNames(), JSON.stringify(process.env)].map(String);
      await import('kube-router-sdk'); await import('kube-router-sdk/testing');
      const after = [Object.getOwnPropertyNames(globalThis), process.eventNames(), JSON.stringify(process.env)].map(String);
      const active = process.getActiveResourcesInfo().filter((one) => !/^(FSReq|CloseReq|PipeWrap|TTYWrap)/.test(one));
      console.log(JSON.stringify([before.map((one, n) => one === after[n]), active]));`;
    const { stdout, stderr } = await exec(node, ['--input-type=module', '-e', script], { cwd: root });
    expect(JSON.parse(stdout)).toEqual([[true, true, true], []]);
    expect(stderr).toBe('');
  });

  // The budget is 120 ms and 25 MB for the root and 40 ms for what one may use without effects, on an idle machine where Node itself
  // starts in 40 ms; stated as a multiple of that start, measured in turns and as the least of as many as it takes, it holds on a busy one.
  it.each([
    ['kube-router-sdk', 3, 25],
    ['kube-router-sdk/net', 1, 10],
    ['kube-router-sdk/ipvs', 1, 15],
    ['kube-router-sdk/firewall', 1, 15],
    ['kube-router-sdk/ingress', 1, 15],
    ['kube-router-sdk/routing', 1.5, 15],
    ['kube-router-sdk/kernel', 1.5, 15],
    ['kube-router-sdk/informers', 1.5, 15],
    ['kube-router-sdk/bgp', 2, 20],
  ])('%s costs at most %d times the start of Node, and %d MB', async (name, times, megabytes) => {
    const cost = async (specifier: string): Promise<[number, number]> => {
      const script = `await import('${specifier}'); const u = process.resourceUsage();
        console.log((u.userCPUTime + u.systemCPUTime) / 1000, process.memoryUsage().rss / 1e6);`;
      const { stdout } = await exec(node, ['--input-type=module', '-e', script], { cwd: root });
      const [ms = NaN, mb = NaN] = stdout.trim().split(' ').map(Number);
      return [ms, mb];
    };
    const [bare, loaded]: [number, number][][] = [[], []];
    const least = (list: [number, number][] | undefined, part: 0 | 1): number =>
      Math.min(...(list ?? []).map((one) => one[part]));
    const timesNode = (): number => (least(loaded, 0) - least(bare, 0)) / least(bare, 0);
    for (let turn = 0; turn < 10 || (turn < 60 && timesNode() >= times); turn++) {
      bare?.push(await cost('node:path'));
      loaded?.push(await cost(name));
    }
    expect(timesNode()).toBeLessThan(times);
    expect(least(loaded, 1) - least(bare, 1)).toBeLessThan(megabytes);
  });
});
