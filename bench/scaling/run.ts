/**
 * How cost grows with the cluster: one node's share of each block at 50 to 5,000 nodes, and BGP by full mesh and by reflectors.
 * `--write` keeps the numbers for the plots of the guide. Fails when one change costs more in a cluster a hundred times larger.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { measureMesh } from './mesh.ts';
import type { MeshResult } from './mesh.ts';
import type { Cost, Row } from './simulate.ts';

const blocks = ['routing', 'ipvs', 'firewall', 'ingress'] as const;
const simulate = fileURLToPath(new URL('simulate.ts', import.meta.url));
const rows: Row[] = [];
for (const nodes of [50, 100, 200, 500, 1000, 2000, 5000]) {
  const text = execFileSync(process.execPath, ['--expose-gc', '--max-old-space-size=3000', simulate, String(nodes)], {
    encoding: 'utf8',
  });
  const row = JSON.parse(text) as Row;
  rows.push(row);
  const cell = (cost: Cost): string =>
    `${cost.fullCpuMs.toFixed(0)} ms, ${cost.changeMs.toFixed(3)} ms, ${(cost.bytes / 1e6).toFixed(1)} MB, ${cost.items}`.padEnd(
      40,
    );
  console.log(`${String(nodes).padEnd(6)}${blocks.map((block) => `${block} ${cell(row[block])}`).join('')}`);
}

const meshes: { nodes: number; mesh: MeshResult; reflectors: MeshResult }[] = [];
for (const nodes of [5, 10, 20, 40, 80]) {
  const one = { nodes, mesh: await measureMesh(nodes, 0), reflectors: await measureMesh(nodes, 2) };
  meshes.push(one);
  console.log(
    `${String(nodes).padEnd(6)}sessions ${one.mesh.sessions} | ${one.reflectors.sessions}, messages of one change ` +
      `${one.mesh.messagesOfOneChange} | ${one.reflectors.messagesOfOneChange}, until all know all ${one.mesh.messages} | ${one.reflectors.messages}`,
  );
}

if (process.argv.includes('--write')) {
  const folder = fileURLToPath(new URL('../../docs/measurements/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  const machine = {
    processor: cpus()[0]?.model ?? 'unknown',
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  };
  writeFileSync(`${folder}scaling.json`, `${JSON.stringify({ machine, rows, meshes }, undefined, 2)}\n`);
}

// cost follows the change: a hundred times the nodes may not cost a change five times as much (caches of the processor do differ)
const [least, most] = [rows[0], rows.at(-1)];
const grown = blocks.filter((block) => (most?.[block].changeMs ?? NaN) > 5 * (least?.[block].changeMs ?? NaN) + 0.2);
console.log(
  grown.length === 0
    ? '\na change costs the same at every size'
    : `\na change grows with the cluster: ${grown.join(', ')}`,
);
process.exit(grown.length === 0 ? 0 : 1);
