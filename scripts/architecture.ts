/**
 * Draws docs/architecture.svg from the imports of src/ and examples/agent: one box a folder, rows by layer, an arrow where a folder
 * imports another. `--check` fails when the committed picture is not what the code says.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { frame, writeAll } from './svg.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Rows from the top of the stack to its foundation; a row may import from those below it. */
const rows: readonly (readonly [title: string, folders: readonly string[]])[] = [
  ['reference agent', ['agent']],
  ['blocks', ['bgp', 'routing', 'ipvs', 'firewall', 'ingress', 'informers']],
  ['effects', ['kernel', 'testing']],
  ['values', ['objects', 'net']],
];

/** What each box is about, in three or four words. */
const captions: Readonly<Record<string, string>> = {
  agent: 'configuration, wiring, health',
  bgp: 'speaker, RIB, policy',
  routing: 'pod routes, tunnels, egress',
  ipvs: 'services, Maglev, DSR',
  firewall: 'NetworkPolicy',
  ingress: 'VIPs, address pools',
  informers: 'Kubernetes as streams',
  kernel: 'runner, reconcile(), drivers',
  testing: 'API server, fakes, builders',
  objects: 'projected Kubernetes kinds',
  net: 'addresses, prefixes, errors',
};

function* sources(folder: string): Generator<string> {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      if (name !== 'node_modules' && name !== 'dist') yield* sources(path);
    } else if (name.endsWith('.ts') && !name.endsWith('.test.ts')) yield path;
  }
}

/** The folder that a file belongs to, as the picture knows it. */
function boxOf(path: string): string | undefined {
  const parts = relative(root, path).split('/');
  return parts[0] === 'src' ? (parts.length > 2 ? parts[1] : undefined) : parts[1];
}

/** Folder → folders that it imports. */
function readImports(): Map<string, Set<string>> {
  const imports = new Map<string, Set<string>>();
  for (const base of ['src', 'examples/agent/src']) {
    if (!existsSync(join(root, base))) continue;
    for (const file of sources(join(root, base))) {
      const from = boxOf(file);
      if (from === undefined) continue;
      // without comments: their examples import as well
      const code = readFileSync(file, 'utf8').replaceAll(/\/\*\*[\s\S]*?\*\//g, '');
      for (const [, specifier = ''] of code.matchAll(/\bfrom '([^']+)'|\bimport\('([^']+)'\)/g)) {
        const to = specifier.startsWith('.')
          ? boxOf(join(file, '..', specifier))
          : /^kube-router-sdk\/(\w+)$/.exec(specifier)?.[1];
        if (to === undefined || to === from || captions[to] === undefined) continue;
        const set = imports.get(from) ?? new Set<string>();
        imports.set(from, set.add(to));
      }
    }
  }
  return imports;
}

function draw(imports: ReadonlyMap<string, ReadonlySet<string>>): string {
  const width = 1160;
  const [boxWidth, boxHeight, rowHeight] = [172, 56, 124];
  const place = new Map<string, { x: number; y: number }>();
  rows.forEach(([, folders], row) => {
    const gap = (width - folders.length * boxWidth) / (folders.length + 1);
    folders.forEach((folder, n) => place.set(folder, { x: gap + n * (boxWidth + gap), y: 34 + row * rowHeight }));
  });
  const height = 34 + rows.length * rowHeight - 40;
  const arrows = [...imports].flatMap(([from, targets]) =>
    [...targets].sort().map((to) => {
      const [a, b] = [place.get(from), place.get(to)];
      if (a === undefined || b === undefined) return '';
      const sameRow = a.y === b.y;
      const [x1, y1] = sameRow
        ? [a.x + (b.x > a.x ? boxWidth : 0), a.y + boxHeight / 2]
        : [a.x + boxWidth / 2, a.y + boxHeight];
      const [x2, y2] = sameRow ? [b.x + (b.x > a.x ? 0 : boxWidth), b.y + boxHeight / 2] : [b.x + boxWidth / 2, b.y];
      const bend = sameRow ? y1 : (y1 + y2) / 2;
      const points = [x1, y1, x1, bend, x2, bend, x2, y2].map((n) => Math.round(n));
      const [ax, ay, bx, by, cx, cy, dx, dy] = points;
      return `<path class="arrow" d="M${ax} ${ay} C${bx} ${by} ${cx} ${cy} ${dx} ${dy}"><title>${from} imports ${to}</title></path>`;
    }),
  );
  const boxes = [...place].map(([name, { x, y }]) => {
    const [left, middle] = [Math.round(x), Math.round(x + boxWidth / 2)];
    return [
      `<rect class="box" x="${left}" y="${y}" width="${boxWidth}" height="${boxHeight}" rx="6"/>`,
      `<text class="title middle" x="${middle}" y="${y + 24}">${name}</text>`,
      `<text class="note middle" style="font-size:11.5px" x="${middle}" y="${y + 42}">${captions[name] ?? ''}</text>`,
    ].join('\n');
  });
  const titles = rows.map(([title], row) => `<text class="note" x="8" y="${24 + row * rowHeight}">${title}</text>`);
  return frame(width, height, 'Which folder imports which', [...titles, ...arrows, ...boxes]);
}

writeAll(new Map([['docs/architecture.svg', draw(readImports())]]), 'npm run drawings');
