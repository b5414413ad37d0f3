/** Writes docs/errors.md, one section an error code, from src/net/errors.ts; `--check` fails when the page is out of date. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = `${root}docs/errors.md`;
const source = readFileSync(`${root}src/net/errors.ts`, 'utf8');
const union = /export type ErrorCode =([\s\S]*?);\n/.exec(source)?.[1];
if (union === undefined) throw new Error('src/net/errors.ts declares no ErrorCode');

const sections = [...union.matchAll(/\/\*\*([\s\S]*?)\*\/\s*\|\s*'(\w+)'/g)].map(([, comment = '', code = '']) => {
  const text = comment.replaceAll(/\n\s*\*\s?/g, ' ').trim();
  return `## ${code}\n\n${text}\n`;
});
const codes = [...union.matchAll(/\|\s*'(\w+)'/g)].length;
if (sections.length !== codes) throw new Error(`${codes - sections.length} error codes have no description`);

const text = `# Errors

Every error that a public function throws or a stream carries is an \`SdkError\`. Decide by \`code\` and \`retryable\`; \`details\` has the facts as plain
JSON; \`isSdkError(value, code)\` also recognises errors of another copy of the package.

${sections.join('\n')}`;

if (process.argv.includes('--check')) {
  if (!existsSync(page) || readFileSync(page, 'utf8') !== text) {
    console.error('docs/errors.md is out of date: run `npm run errors-doc` and commit it');
    process.exit(1);
  }
} else writeFileSync(page, text);
