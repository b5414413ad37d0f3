/**
 * Every fenced TypeScript block of the README and the guides is a program: it is run as it stands, on the bundled Node, against the
 * build. Where a line ends in `// text`, the program must print that text.
 */
import { execFile } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';

const exec = promisify(execFile);
const root = new URL('../..', import.meta.url).pathname;
const node = join(root, 'node_modules/node/bin/node');
// inside the package, so that it is found by its own name
const folder = join(root, '.cache', `docs-${process.pid}`);

interface Block {
  readonly name: string;
  readonly code: string;
}

function blocksOf(file: string): Block[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => ({
    name: `${file}:${text.slice(0, match.index).split('\n').length}`,
    code: match[1] ?? '',
  }));
}

const files = [
  'README.md',
  ...globSync('docs/**/*.md', { cwd: root }),
  ...globSync('examples/*/README.md', { cwd: root }),
];
const blocks = files.flatMap(blocksOf);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('fenced TypeScript', () => {
  it('is found', () => {
    expect(blocks.length).toBeGreaterThan(0);
  });

  it.each(blocks)('$name runs and prints what it says', async ({ name, code }) => {
    mkdirSync(folder, { recursive: true });
    const file = join(folder, `${name.replaceAll(/\W/g, '-')}.ts`);
    writeFileSync(file, code);
    const { stdout } = await exec(node, [file], { cwd: root, timeout: 30_000 });
    const said = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1]);
    expect(stdout.split('\n').filter(Boolean).slice(0, said.length)).toEqual(said);
  });
});
