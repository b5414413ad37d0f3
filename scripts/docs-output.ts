/**
 * Runs the blocks of pages and writes what they print into their empty `text output` fences: `node scripts/docs-output.ts PAGE…`.
 * For writers: read what it wrote, and put `…` where a value differs from run to run. Fences that hold anything are left alone.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { difference, readBlocks, root } from '../test/support/doc-blocks.ts';
import type { Block } from '../test/support/doc-blocks.ts';
import { createDocFolder, runHere, runInGuest } from '../test/support/doc-run.ts';
import type { Outcome } from '../test/support/doc-run.ts';

const pages = process.argv.slice(2);
const blocks = pages.flatMap((page) => readBlocks(page, readFileSync(join(root, page), 'utf8')));
const folder = createDocFolder(blocks);
const outcomes = new Map<Block, Outcome>();
try {
  for (const block of blocks) if (block.place === 'run') outcomes.set(block, await runHere(folder, block));
  for (const place of ['guest', 'lab'] as const) {
    const chosen = blocks.filter((block) => block.place === place);
    if (chosen.length === 0) continue;
    const ran = await runInGuest(folder, chosen, place, 540_000);
    chosen.forEach((block, index) => {
      const outcome = ran.outcomes.get(index);
      if (outcome !== undefined) outcomes.set(block, outcome);
    });
    if (ran.outcomes.size < chosen.length) console.error(ran.transcript.slice(-4000));
  }
} finally {
  folder.close();
}

for (const page of pages) {
  const lines = readFileSync(join(root, page), 'utf8').split('\n');
  const mine = blocks.filter((block) => block.page === page).reverse();
  for (const block of mine) {
    const outcome = outcomes.get(block);
    if (outcome === undefined) continue;
    if (outcome.code !== 0) console.error(`${block.name} ended with ${outcome.code}:\n${outcome.output}`);
    if (block.output === '' && block.outputLine !== undefined) {
      lines.splice(
        block.outputLine,
        0,
        ...outcome.output
          .trimEnd()
          .split('\n')
          .map((line) => line.trimEnd()),
      );
    } else if (block.output !== undefined) {
      const other = difference(block.output, outcome.output);
      if (other !== undefined) console.error(`${block.name}: ${other}\n${outcome.output}`);
    }
  }
  writeFileSync(join(root, page), lines.join('\n'));
}
