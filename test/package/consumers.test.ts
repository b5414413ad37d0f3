/**
 * The packed package in projects of others: types by both module resolutions, bundles by esbuild, plain JavaScript. Needs a build.
 * The tarball is unpacked beside the dependencies that are installed here; the proof installs it by npm for real.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../support/doc-blocks.ts';

const exec = promisify(execFile);
const node = join(root, 'node_modules/node/bin/node');
const folder = join(root, '.cache', `consumer-${process.pid}`);
const subpaths = ['net', 'kernel', 'informers', 'bgp', 'routing', 'ipvs', 'firewall', 'ingress', 'testing'] as const;

beforeAll(async () => {
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  const { stdout } = await exec('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
  });
  const [packed] = JSON.parse(stdout) as [{ filename: string }];
  await exec('tar', ['-xzf', packed.filename, '-C', join(folder, 'node_modules')], { cwd: folder });
  await exec('mv', ['package', 'kube-router-sdk'], { cwd: join(folder, 'node_modules') });
  const { dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(folder, 'node_modules/kube-router-sdk/package.json'), 'utf8'),
  ) as Record<string, Record<string, string>>;
  for (const name of [...Object.keys({ ...dependencies, ...peerDependencies }), '@types']) {
    mkdirSync(join(folder, 'node_modules', name, '..'), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  writeFileSync(join(folder, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }');
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('TypeScript', () => {
  const program = [
    `import { bgp, firewall, ipvs, net } from 'kube-router-sdk';`,
    ...subpaths.map((name) => `import * as ${name}Block from 'kube-router-sdk/${name}';`),
    `export const prefix: net.Prefix = netBlock.parsePrefix('10.1.0.0/16');`,
    `export const same: typeof bgp.createSpeaker = bgpBlock.createSpeaker;`,
    `export const all = [ipvs, firewall, ${subpaths.map((name) => `${name}Block`).join(', ')}];`,
    // the types are there, not any
    `// @ts-expect-error a number is no text`,
    `netBlock.parsePrefix(1);`,
  ].join('\n');

  it.each([
    ['NodeNext', ts.ModuleKind.NodeNext, ts.ModuleResolutionKind.NodeNext],
    ['bundler', ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler],
  ])('resolves every subpath by %s, declarations checked', (name, module, moduleResolution) => {
    const file = join(folder, `${name}.ts`);
    writeFileSync(file, program);
    const compiled = ts.createProgram([file], {
      module,
      moduleResolution,
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
      strict: true,
      noEmit: true,
      exactOptionalPropertyTypes: true,
    });
    const faults = ts
      .getPreEmitDiagnostics(compiled)
      .filter(({ file: at }) => at === undefined || /kube-router-sdk|\.cache/.test(at.fileName));
    expect(
      faults.map((one) => `${one.file?.fileName ?? ''}: ${ts.flattenDiagnosticMessageText(one.messageText, ' ')}`),
    ).toEqual([]);
  });
});

describe('esbuild', () => {
  it.each(subpaths)('bundles kube-router-sdk/%s, and Node runs the bundle', async (name) => {
    const outfile = join(folder, `${name}.mjs`);
    await build({
      stdin: {
        contents: `import * as m from 'kube-router-sdk/${name}'; console.log(Object.keys(m).length)`,
        resolveDir: folder,
      },
      bundle: true,
      format: 'esm',
      platform: 'node',
      outfile,
      logLevel: 'silent',
      external: ['@kubernetes/client-node', 'execa'],
      // names of its own: a bundle may import createRequire itself
      banner: {
        js: `import { createRequire as requireOfBundle } from 'node:module'; const require = requireOfBundle(import.meta.url);`,
      },
    });
    const { stdout } = await exec(node, [outfile], { cwd: folder });
    expect(Number(stdout)).toBeGreaterThan(0);
  });

  it('leaves out what is not used: one pure function brings less than half of its block', async () => {
    const size = async (contents: string): Promise<number> => {
      const result = await build({
        stdin: { contents, resolveDir: folder },
        bundle: true,
        minify: true,
        format: 'esm',
        platform: 'node',
        write: false,
        logLevel: 'silent',
        external: ['@kubernetes/client-node', 'execa'],
      });
      return result.outputFiles[0]?.contents.length ?? NaN;
    };
    const whole = await size(`export * from 'kube-router-sdk/firewall';`);
    const part = await size(`export { evaluate } from 'kube-router-sdk/firewall';`);
    expect(part / whole).toBeLessThan(0.5);
  });
});

describe('plain JavaScript', () => {
  it('imports every subpath', async () => {
    const file = join(folder, 'plain.mjs');
    writeFileSync(
      file,
      subpaths.map((name) => `await import('kube-router-sdk/${name}');`).join('\n') + `\nconsole.log('all');`,
    );
    expect((await exec(node, [file], { cwd: folder })).stdout).toBe('all\n');
  });

  it('is refused internals', async () => {
    const file = join(folder, 'closed.mjs');
    writeFileSync(file, `await import('kube-router-sdk/internal/x').catch(({ code }) => console.log(code));`);
    expect((await exec(node, [file], { cwd: folder })).stdout).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n');
  });

  it('finds no path, name or address of the machine that built it', () => {
    const dist = join(folder, 'node_modules/kube-router-sdk/dist');
    const told = readdirSync(dist, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.js'))
      .filter((file) => readFileSync(join(dist, file), 'utf8').includes(root));
    expect(told).toEqual([]);
  });
});
