/**
 * Writes docs/errors.md and a page for each error code in docs/errors/, from src/net/errors.ts and from the places that throw: what it
 * means, what to do, where it comes from. `--check` fails when a page is out of date, or a code is thrown nowhere.
 */
import { globSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { writeAll } from './svg.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = readFileSync(`${root}src/net/errors.ts`, 'utf8');
const union = /export type ErrorCode =([\s\S]*?);\n/.exec(source)?.[1];
if (union === undefined) throw new Error('src/net/errors.ts declares no ErrorCode');

/** A code, its meaning, and what to do about it. */
const codes = [...union.matchAll(/\/\*\*([\s\S]*?)\*\/\s*\|\s*'(\w+)'/g)].map(([, comment = '', code = '']) => {
  const [meaning = '', advice = ''] = comment
    .replaceAll(/^[ \t]*\* ?/gm, '')
    .trim()
    .split(/\n\n/);
  return { code, meaning: meaning.replaceAll('\n', ' '), advice: advice.replaceAll('\n', ' ') };
});
const declared = [...union.matchAll(/\|\s*'(\w+)'/g)].length;
if (codes.length !== declared || codes.some(({ advice }) => advice === ''))
  throw new Error('an error code has no description, or none of what to do');

/** Folders of src/ whose code names each error code, apart from the declaration: the subpaths that it comes from. */
const thrown = new Map<string, Set<string>>();
for (const file of globSync('src/*/**/*.ts', { cwd: root, exclude: ['**/*.test.ts', 'src/net/errors.ts'] })) {
  const [, folder = ''] = file.split('/');
  const text = readFileSync(root + file, 'utf8').replaceAll(/\/\*\*[\s\S]*?\*\//g, '');
  for (const [, code = ''] of text.matchAll(/'([A-Z]+(?:_[A-Z]+)*)'/g)) {
    if (!codes.some((one) => one.code === code)) continue;
    thrown.set(code, (thrown.get(code) ?? new Set()).add(folder === 'objects' ? 'informers' : folder));
  }
}
const nowhere = codes.filter(({ code }) => !thrown.has(code));
if (nowhere.length > 0) throw new Error(`thrown nowhere: ${nowhere.map(({ code }) => code).join(', ')}`);

const pages = new Map<string, string>();
for (const { code, meaning, advice } of codes) {
  const from = [...(thrown.get(code) ?? [])].sort().map((name) => `\`kube-router-sdk/${name}\``);
  pages.set(
    `docs/errors/${code}.md`,
    `---\ntitle: ${code}\n---\n\n# ${code}\n\n${meaning}\n\n**What to do.** ${advice}\n\n**Comes from** ${from.join(', ')}.\n\n[All codes](../errors.md)\n`,
  );
}
const rows = codes.map(({ code, meaning }) => `| [${code}](errors/${code}.md) | ${meaning} |`);
pages.set(
  'docs/errors.md',
  `---
title: Errors
children:
${codes.map(({ code }) => `  - errors/${code}.md`).join('\n')}
---

# Errors

Every error that a public function throws or a stream carries is an \`SdkError\`. Decide by \`code\` and \`retryable\`; \`details\` has the facts as plain
JSON; \`isSdkError(value, code)\` also recognises errors of another copy of the package. Each code has a page: what it means, what to do, where it
comes from.

\`\`\`ts run
import { isSdkError, parsePrefix } from 'kube-router-sdk/net';

try {
  parsePrefix('10.0.0.1/8');
} catch (error) {
  if (!isSdkError(error, 'INVALID_PREFIX')) throw error;
  console.log(error.retryable, error.details['text']); // false 10.0.0.1/8
}
\`\`\`

| code | meaning |
|---|---|
${rows.join('\n')}
`,
);
for (const file of globSync('docs/errors/*.md', { cwd: root })) {
  if (pages.has(file)) continue;
  if (process.argv.includes('--check')) throw new Error(`${file} is of no code`);
  rmSync(root + file);
}
writeAll(pages, 'npm run errors-doc');
