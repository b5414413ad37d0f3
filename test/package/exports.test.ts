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
      (path) => !/^(dist\/.*\.(js|d\.ts)|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path),
    );
    expect(strange).toEqual([]);
    expect(files.filter((path) => /\.test\.|\.map$/.test(path))).toEqual([]);
    for (const subpath of subpaths) {
      expect(files).toContain(`dist/${subpath}/index.js`);
      expect(files).toContain(`dist/${subpath}/index.d.ts`);
    }
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
  it('the root loads neither client-node nor execa', async () => {
    const script = `
      import { registerHooks } from 'node:module';
      const seen = [];
      registerHooks({ resolve(s, c, next) { const r = next(s, c); seen.push(r.url); return r; } });
      await import('kube-router-sdk');
      console.log(JSON.stringify(seen.filter((url) => /@kubernetes|execa|protobufjs|grpc/.test(url))));`;
    const { stdout } = await exec(node, ['--input-type=module', '-e', script], { cwd: root });
    expect(JSON.parse(stdout)).toEqual([]);
  });
});
