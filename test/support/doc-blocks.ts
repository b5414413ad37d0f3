/**
 * Fenced code of the README, the guides, the examples' READMEs and the doc comments, as programs: every TypeScript, JavaScript and
 * shell fence says by a word behind its language where it runs, and what follows as `text output` is what it must print there.
 * TypeScript without a word runs here; shell without a word is refused, so that no command is published that nobody runs.
 *
 * `run`    on this machine, without privileges          `guest`  in user-mode Linux, each page in a namespace of its own
 * `lab`    in the lab's cluster (examples/lab)           `target` names of make targets or npm scripts, which CI and the proofs run
 * `file=N` not run, but kept as N in the page's folder, where the blocks behind it find it
 */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Folder of the checkout, without a slash at its end. */
export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Where a block runs. */
export type Place = 'run' | 'guest' | 'lab' | 'target' | 'file';

/** One block. */
export interface Block {
  /** Path of the page within the checkout. */
  readonly page: string;
  /** `page:line` of the fence. */
  readonly name: string;
  readonly language: 'ts' | 'js' | 'sh' | 'data';
  readonly place: Place;
  /** Name of the file, of place `file`. */
  readonly file?: string;
  readonly code: string;
  /** What it must print: lines, `…` stands for any text within a line, a line of `…` alone for any lines. */
  readonly output?: string;
  /** Line of the output's fence. */
  readonly outputLine?: number;
}

const LANGUAGES: Readonly<Record<string, 'ts' | 'js' | 'sh'>> = {
  ts: 'ts',
  typescript: 'ts',
  js: 'js',
  javascript: 'js',
  mjs: 'js',
  sh: 'sh',
  bash: 'sh',
  shell: 'sh',
  console: 'sh',
};
const PLACES = new Set<string>(['run', 'guest', 'lab', 'target']);

/** A fence that says nothing of where it runs, or something unknown. */
export class Refused extends Error {}

/** Blocks of one Markdown text. @throws Refused */
export function readBlocks(page: string, text: string, firstLine = 1): Block[] {
  const blocks: Block[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(\s*)(```+)(.*)$/.exec(lines[at] ?? '');
    if (fence === null) continue;
    const [, indent = '', ticks = '', info = ''] = fence;
    const from = at + 1;
    while (++at < lines.length && (lines[at] ?? '').trim() !== ticks);
    const code = lines
      .slice(from, at)
      .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
      .join('\n');
    const name = `${page}:${firstLine + from - 1}`;
    const [lang = '', word = '', ...rest] = info.trim().split(/\s+/);
    const last = blocks.at(-1);
    if (lang === 'text' && word === 'output') {
      if (last === undefined) throw new Refused(`${name}: output of no block`);
      blocks[blocks.length - 1] = { ...last, output: code, outputLine: firstLine + from - 1 };
      continue;
    }
    const file = /^file=([\w.-]+)$/.exec(word)?.[1];
    const language = LANGUAGES[lang];
    if (file !== undefined) {
      blocks.push({ page, name, language: language ?? 'data', place: 'file', file, code });
      continue;
    }
    if (language === undefined) continue;
    if (language !== 'sh' && word === '') {
      blocks.push({ page, name, language, place: 'run', code });
      continue;
    }
    if (!PLACES.has(word) || rest.length > 0) {
      throw new Refused(`${name}: a ${lang} fence must say where it runs: run, guest, lab, target or file=NAME`);
    }
    blocks.push({ page, name, language, place: word as Place, code });
  }
  return blocks;
}

/** Blocks of the `@example`s and other fences of a source file's doc comments. They run here. */
export function readComments(page: string, source: string): Block[] {
  const blocks: Block[] = [];
  for (const match of source.matchAll(/\/\*\*([\s\S]*?)\*\//g)) {
    const text = (match[1] ?? '').replaceAll(/^[ \t]*\* ?/gm, '');
    const line = source.slice(0, match.index).split('\n').length;
    blocks.push(...readBlocks(page, text, line));
    if (/^@example(?!\s*\n```)/m.test(text)) throw new Refused(`${page}:${line}: an @example is a fenced block`);
  }
  return blocks;
}

/** Pages of prose. */
export function pages(): string[] {
  return [
    'README.md',
    'CONTRIBUTING.md',
    ...globSync('docs/**/*.md', { cwd: root }).sort(),
    ...globSync('examples/*/README.md', { cwd: root }).sort(),
  ];
}

/** Every block of every page. @throws Refused */
export function allBlocks(): Block[] {
  const sources = globSync('src/**/*.ts', { cwd: root, exclude: ['**/*.test.ts'] }).sort();
  return [
    ...pages().flatMap((page) => readBlocks(page, readFileSync(join(root, page), 'utf8'))),
    ...sources.flatMap((page) => readComments(page, readFileSync(join(root, page), 'utf8'))),
  ];
}

/** Name of a page's folder of files. */
export function folderOf(page: string): string {
  return page.replaceAll('/', '-').replace(/\.\w+$/, '');
}

/** Whether a page's commands are typed in a checkout (READMEs) rather than in a folder of the reader's own (guides). */
export function inCheckout(page: string): boolean {
  return basename(page) === 'README.md' || page === 'CONTRIBUTING.md';
}

/** What a program promises to print in its own text: comments behind `console.log(…);`. */
export function promised(code: string): string[] {
  return [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map((match) => match[1] ?? '');
}

const tidy = (text: string): string[] =>
  text
    .replaceAll('\r', '')
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .replace(/\n+$/, '')
    .split('\n');

/** Where an output departs from what the page shows; undefined when it does not. */
export function difference(expected: string, actual: string): string | undefined {
  const [want, have] = [tidy(expected), tidy(actual)];
  const fits = (pattern: string, line: string): boolean =>
    new RegExp(
      `^${pattern
        .split('…')
        .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
        .join('.*')}$`,
    ).test(line);
  // reachable[h]: the pattern so far fits the first h lines
  let reachable = new Set([0]);
  for (const [index, pattern] of want.entries()) {
    const next = new Set<number>();
    for (const h of reachable) {
      if (pattern.trim() === '…') for (let to = h; to <= have.length; to++) next.add(to);
      else if (h < have.length && fits(pattern, have[h] ?? '')) next.add(h + 1);
    }
    if (next.size === 0) {
      const at = Math.max(...reachable);
      return `line ${index + 1} of the page: ${JSON.stringify(pattern)}, printed: ${JSON.stringify(have[at] ?? '(end)')}`;
    }
    reachable = next;
  }
  return reachable.has(have.length)
    ? undefined
    : `printed more than the page shows: ${JSON.stringify(have[Math.max(...reachable)])}`;
}
