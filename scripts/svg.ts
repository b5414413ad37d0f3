/**
 * What our drawings share: colours for light and dark pages, a frame, and writing them or checking that what is committed is current.
 * A drawing paints its own background, so that it is readable on a page whose theme is not the system's.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Text as XML. */
export const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Style rules of every drawing: name of a rule, its light form, its dark form. */
const rules: readonly (readonly [selector: string, light: string, dark: string])[] = [
  ['svg', 'background:#ffffff', 'background:#161d26'],
  ['text', 'fill:#12263a', 'fill:#e8eef5'],
  ['.note', 'fill:#4a5b6c', 'fill:#b3c1cf'],
  ['.box', 'fill:#eef3fb;stroke:#34618f', 'fill:#1f3047;stroke:#7fb2e5'],
  ['.effect', 'fill:#fdf1e3;stroke:#b3691a', 'fill:#3b2a17;stroke:#e0a25a'],
  ['.outside', 'fill:#f1f1f1;stroke:#6d6d6d', 'fill:#2b2f34;stroke:#a9b0b8'],
  ['.arrow', 'stroke:#5b7088', 'stroke:#9db2c8'],
  ['.tip', 'fill:#5b7088', 'fill:#9db2c8'],
  ['.grid', 'stroke:#dde3ea', 'stroke:#344150'],
  ['.c0', 'stroke:#0b62a4', 'stroke:#6cb6ff'],
  ['.c1', 'stroke:#c2410c', 'stroke:#ff9e64'],
  ['.c2', 'stroke:#2f7d32', 'stroke:#7fd183'],
  ['.c3', 'stroke:#7b3fa0', 'stroke:#d2a8ff'],
];

const shapes =
  'svg{font-family:system-ui,sans-serif;font-size:15px}.note{font-size:13px}.title{font-size:16px;font-weight:600}' +
  '.middle{text-anchor:middle}.end{text-anchor:end}.box,.effect,.outside{stroke-width:1.3}' +
  '.arrow{fill:none;stroke-width:1.5;marker-end:url(#tip)}.line{fill:none;stroke-width:2.2}.grid{stroke-width:1}';

/** A whole drawing. `label` tells those who cannot see it what it shows. */
export function frame(width: number, height: number, label: string, body: readonly string[]): string {
  const style = (side: 1 | 2): string => rules.map((rule) => `${rule[0]}{${rule[side]}}`).join('');
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(label)}">`,
    `<style>${shapes}${style(1)}@media (prefers-color-scheme:dark){${style(2)}}</style>`,
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

/** Writes drawings by their path in the checkout; with `--check` on the command line, fails when one differs from what is there. */
export function writeAll(drawings: ReadonlyMap<string, string>, how: string): void {
  const old: string[] = [];
  for (const [path, text] of drawings) {
    const file = join(root, path);
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
    if (process.argv.includes('--check')) old.push(path);
    else {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }
  if (old.length === 0) return;
  console.error(`${old.join(', ')}: not what the source says: run \`${how}\` and commit it`);
  process.exit(1);
}
