/**
 * The documentation's shell and TypeScript that needs a kernel: the examples against real daemons, the guides' commands in the lab.
 * Two guests: one bare kernel in which every page has a network of its own, and the lab's cluster.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allBlocks, difference } from '../support/doc-blocks.ts';
import type { Block } from '../support/doc-blocks.ts';
import { createDocFolder, runInGuest } from '../support/doc-run.ts';
import type { Outcome } from '../support/doc-run.ts';

const all = allBlocks();
const folder = createDocFolder(all);
afterAll(() => {
  folder.close();
});

describe.each(['guest', 'lab'] as const)('blocks that run in the %s', (place) => {
  const blocks = all.filter((block) => block.place === place);
  let outcomes: ReadonlyMap<number, Outcome> = new Map();
  let transcript = '';
  beforeAll(async () => {
    ({ outcomes, transcript } = await runInGuest(folder, blocks, place, 540_000));
  }, 560_000);

  it.each(blocks.map((block, index): [string, Block, number] => [block.name, block, index]))(
    '%s',
    (_, block, index) => {
      const outcome = outcomes.get(index);
      if (outcome === undefined)
        throw new Error(`it did not run; the end of the transcript:\n${transcript.slice(-3000)}`);
      expect(outcome.code, outcome.output).toBe(0);
      if (block.output !== undefined) expect(difference(block.output, outcome.output), outcome.output).toBeUndefined();
    },
  );
});
