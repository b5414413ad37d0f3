/**
 * The documentation's code, as far as this machine runs it without privileges: every block is run as it stands, against the build,
 * prints what the page says, and is right TypeScript. The words of the fences are those of test/support/doc-blocks.ts.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';
import { Refused, allBlocks, difference, promised, readBlocks, readComments, root } from '../support/doc-blocks.ts';
import type { Block } from '../support/doc-blocks.ts';
import { createDocFolder, runHere } from '../support/doc-run.ts';

const blocks = allBlocks();
const folder = createDocFolder(blocks);
afterAll(() => {
  folder.close();
});

describe('fences', () => {
  it('without a word for where they run are refused', () => {
    expect(() => readBlocks('a.md', '```sh\nls\n```')).toThrow(Refused);
    expect(readBlocks('a.md', '```ts\n1;\n```')[0]?.place).toBe('run');
    expect(() => readBlocks('a.md', '```sh later\nls\n```')).toThrow('a.md:1: a sh fence must say where it runs');
    expect(() => readComments('a.ts', '/**\n * @example\n * f();\n */')).toThrow('an @example is a fenced block');
  });

  it('are read with their place, file and output', () => {
    const text = '```yaml file=a.yaml\nx: 1\n```\n\n```sh run\ncat a.yaml\n```\n\n```text output\nx: …\n```\n';
    expect(
      readBlocks('a.md', text).map(({ language, place, file, code, output }) => [language, place, file, code, output]),
    ).toEqual([
      ['data', 'file', 'a.yaml', 'x: 1', undefined],
      ['sh', 'run', undefined, 'cat a.yaml', 'x: …'],
    ]);
  });

  it.each([
    ['the same', 'a\nb', 'a\nb\n', true],
    ['any text within a line', 'took … ms', 'took 12 ms', true],
    ['any lines', 'a\n…\nz', 'a\nb\nc\nz', true],
    ['another line', 'a\nb', 'a\nc', false],
    ['more than shown', 'a', 'a\nb', false],
    ['less than shown', 'a\nb', 'a', false],
    ['signs of patterns stand for themselves', 'a.c (x)', 'abc (x)', false],
  ])('an output fits when it is %s', (_, expected, actual, fits) => {
    expect(difference(expected, actual) === undefined).toBe(fits);
  });
});

const here = blocks.filter(({ place }) => place === 'run');

// blocks of one page run in their order, for a later one may use what an earlier one left
describe('blocks that run here', () => {
  it.each(here)('$name', async (block: Block) => {
    const { code, output } = await runHere(folder, block);
    expect(code, output).toBe(0);
    const said = promised(block.code);
    if (said.length > 0) expect(output.split('\n').filter((line) => said.includes(line))).toEqual(said);
    if (block.output !== undefined) expect(difference(block.output, output), output).toBeUndefined();
  });
});

describe('targets that pages name', () => {
  const scripts = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> })
    .scripts;
  const makefile = readFileSync(join(root, 'Makefile'), 'utf8');
  const lines = blocks
    .filter(({ place }) => place === 'target')
    .flatMap(({ name, code }) => code.split('\n').map((line) => [name, line.replace(/\s*#.*$/, '')] as const));
  it.each(lines.filter(([, line]) => line !== ''))('%s: %s', (_, line) => {
    const [, tool, name = ''] = /^(make|npm run) ([\w:-]+)$/.exec(line) ?? [];
    if (tool === 'make')
      expect(` ${makefile.replaceAll('$(PROOFS:%=proof-%)', 'proof-sdk proof-bgp')}`).toMatch(
        new RegExp(`(^|\\s)${name}[ :]`, 'm'),
      );
    else expect(Object.keys(scripts)).toContain(name);
  });
});

describe('TypeScript of the pages', () => {
  it('is right by the compiler, in strict mode', () => {
    const programs = blocks.filter(({ language, place }) => language === 'ts' && place !== 'target');
    const sources = new Map(
      programs.map(({ name, page, code }) => [
        join(root, page, '..', `doc-${name.replaceAll(/\W/g, '-')}.ts`),
        `${code}\nexport {};\n`,
      ]),
    );
    const config = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
    const host = ts.createCompilerHost(options);
    const { getSourceFile, fileExists, readFile } = host;
    host.fileExists = (path) => sources.has(path) || fileExists(path);
    host.readFile = (path) => sources.get(path) ?? readFile(path);
    host.getSourceFile = (path, ...rest) => {
      const text = sources.get(path);
      return text === undefined
        ? getSourceFile(path, ...rest)
        : ts.createSourceFile(path, text, ts.ScriptTarget.ES2023);
    };
    const program = ts.createProgram([...sources.keys()], options, host);
    const faults = [...sources.keys()].flatMap((path) => {
      const file = program.getSourceFile(path);
      return ts
        .getPreEmitDiagnostics(program, file)
        .map((one) => `${path}: ${ts.flattenDiagnosticMessageText(one.messageText, ' ')}`);
    });
    expect(faults).toEqual([]);
  });
});

describe('examples', () => {
  const small = globSync('examples/*/main.ts', { cwd: root }).sort();
  it('are ten', () => {
    expect(small).toHaveLength(10);
  });
  it.each(small)('%s has no more than 80 lines, uses the public subpaths alone, and shows what it prints', (file) => {
    const text = readFileSync(join(root, file), 'utf8');
    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(80);
    const foreign = [...text.matchAll(/\bfrom '([^']+)'/g)]
      .map(([, from = '']) => from)
      .filter((from) => !/^(kube-router-sdk\/\w+|node:[\w/]+|rxjs|yaml)$/.test(from));
    expect(foreign).toEqual([]);
    const shown = blocks.filter(({ page }) => page === join(file, '../README.md'));
    expect(shown.some(({ output }) => output !== undefined && output !== '')).toBe(true);
  });
});

it('the agent that pages call is built', () => {
  expect(existsSync(join(root, 'examples/agent/dist/main.js'))).toBe(true);
});
