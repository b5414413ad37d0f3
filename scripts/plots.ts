/**
 * Draws the curves of the guide on performance from the numbers in docs/measurements, which the benches write. `--check` fails when a
 * committed drawing is not what the numbers say.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MeshResult } from '../bench/scaling/mesh.ts';
import type { Cost, Row } from '../bench/scaling/simulate.ts';
import { escape, frame, writeAll } from './svg.ts';

interface Scaling {
  readonly machine: { readonly processor: string; readonly node: string; readonly date: string };
  readonly rows: readonly Row[];
  readonly meshes: readonly { readonly nodes: number; readonly mesh: MeshResult; readonly reflectors: MeshResult }[];
}
interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Calculated beyond what was run: drawn with dashes. */
  readonly dashed?: boolean;
}

const [width, left, right, top, plotHeight] = [560, 64, 130, 48, 210];
const powers = (low: number, high: number): number[] =>
  Array.from(
    { length: Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1 },
    (_, n) => 10 ** (Math.floor(Math.log10(low)) + n),
  );
const short = (value: number): string =>
  value >= 1e6 ? `${value / 1e6} M` : value >= 1000 ? `${value / 1000} k` : String(Number(value.toPrecision(2)));

/** One plot, both axes logarithmic: a straight line of slope one is cost in proportion to the cluster, a flat one is none. */
function plot(title: string, unit: string, curves: readonly Curve[], note: string): string {
  const points = curves.flatMap((curve) => curve.points);
  const xs = points.map(([x]) => x);
  const marks = powers(Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y)));
  const [lowX, highX] = [Math.min(...xs), Math.max(...xs)].map(Math.log10) as [number, number];
  const [lowY, highY] = [marks[0] ?? 1, marks.at(-1) ?? 10].map(Math.log10) as [number, number];
  const x = (value: number): number =>
    Math.round((left + ((Math.log10(value) - lowX) / (highX - lowX)) * (width - left - right)) * 10) / 10;
  const y = (value: number): number =>
    Math.round((top + plotHeight - ((Math.log10(value) - lowY) / (highY - lowY)) * plotHeight) * 10) / 10;
  const bottom = top + plotHeight;
  // names at the ends of their curves, pushed apart where they would overlap
  const ends = curves
    .map((curve, index) => ({ index, name: curve.name, at: y(curve.points.at(-1)?.[1] ?? 1) }))
    .sort((a, b) => a.at - b.at);
  for (let n = 1; n < ends.length; n++) ends[n]!.at = Math.max(ends[n]!.at, ends[n - 1]!.at + 17);
  const ticks = [...new Set(xs)]
    .sort((a, b) => a - b)
    .filter((value, n, all) => n === 0 || n === all.length - 1 || [10, 100, 1000].includes(value));
  return frame(width, bottom + 62, title, [
    `<text class="title" x="12" y="24">${escape(title)}</text>`,
    ...marks.map(
      (mark) =>
        `<path class="grid" d="M${left} ${y(mark)}H${width - right}"/><text class="note end" x="${left - 6}" y="${y(mark) + 4}">${short(mark)}</text>`,
    ),
    `<text class="note" x="${left + 4}" y="${top - 6}">${escape(unit)}</text>`,
    ...curves.map(
      ({ points: list, dashed }, n) =>
        `<polyline class="line c${n}"${dashed === true ? ' stroke-dasharray="6 5"' : ''} points="${list.map(([a, b]) => `${x(a)},${y(b)}`).join(' ')}"/>`,
    ),
    ...ends.map(
      ({ index, name, at }) =>
        `<path class="line c${index}" d="M${width - right + 6} ${at}h12"/><text class="note" x="${width - right + 22}" y="${at + 4}">${escape(name)}</text>`,
    ),
    ...ticks.map((tick) => `<text class="note middle" x="${x(tick)}" y="${bottom + 20}">${short(tick)}</text>`),
    `<text class="note middle" x="${(left + width - right) / 2}" y="${bottom + 36}">nodes</text>`,
    `<text class="note" x="12" y="${bottom + 54}">${escape(note)}</text>`,
  ]);
}

const file = join(fileURLToPath(new URL('..', import.meta.url)), 'docs/measurements/scaling.json');
const { machine, rows, meshes } = JSON.parse(readFileSync(file, 'utf8')) as Scaling;
const blocks = ['ipvs', 'firewall', 'ingress', 'routing'] as const;
const by = (pick: (cost: Cost) => number): Curve[] =>
  blocks.map((name) => ({ name, points: rows.map((row) => [row.nodes, pick(row[name])] as const) }));
const measured = `measured ${machine.date}, Node ${machine.node}; 30 pods, 2 Services a node`;
// the sizes at which the mesh was run, and those beyond, by arithmetic
const sizes = rows.map(({ nodes }) => nodes).filter((nodes) => nodes > (meshes.at(-1)?.nodes ?? 0));

writeAll(
  new Map([
    [
      'docs/guide/plots/full.svg',
      plot(
        'Everything compiled, at start',
        'ms of processor time',
        by((cost) => cost.fullCpuMs),
        measured,
      ),
    ],
    [
      'docs/guide/plots/change.svg',
      plot(
        'One change compiled',
        'ms',
        by((cost) => cost.changeMs),
        measured,
      ),
    ],
    [
      'docs/guide/plots/memory.svg',
      plot(
        'What a block keeps',
        'MB',
        by((cost) => cost.bytes / 1e6),
        measured,
      ),
    ],
    [
      'docs/guide/plots/messages.svg',
      plot(
        'BGP messages of one new route, all nodes',
        'messages',
        [
          { name: 'mesh', points: meshes.map(({ nodes, mesh }) => [nodes, mesh.messagesOfOneChange]) },
          {
            name: '2 reflectors',
            points: meshes.map(({ nodes, reflectors }) => [nodes, reflectors.messagesOfOneChange]),
          },
        ],
        'simulated on the network in memory',
      ),
    ],
    [
      'docs/guide/plots/sessions.svg',
      plot(
        'BGP sessions of a cluster',
        'sessions',
        [
          { name: 'mesh', points: meshes.map(({ nodes, mesh }) => [nodes, mesh.sessions]) },
          { name: '2 reflectors', points: meshes.map(({ nodes, reflectors }) => [nodes, reflectors.sessions]) },
          { name: 'mesh, calc.', dashed: true, points: sizes.map((nodes) => [nodes, (nodes * (nodes - 1)) / 2]) },
          { name: '2 refl., calc.', dashed: true, points: sizes.map((nodes) => [nodes, 2 * nodes]) },
        ],
        'run up to 80 nodes, calculated beyond',
      ),
    ],
  ]),
  'npm run drawings',
);
