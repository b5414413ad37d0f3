/**
 * The suite of documentation that needs a kernel: the examples against real daemons in a bare guest, in which every page has a network of
 * its own, and the guides' commands in the lab's cluster. One guest a place.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allBlocks, difference } from './doc-blocks.ts';
import type { Block } from './doc-blocks.ts';
import { createDocFolder, runInGuest } from './doc-run.ts';
import type { Outcome } from './doc-run.ts';

/** Declares a test for each block that runs in a place. */
export function describeBlocks(place: 'guest' | 'lab', timeoutMs: number): void {
  const all = allBlocks();
  const blocks = all.filter((block) => block.place === place);
  describe(`blocks that run in the ${place}`, () => {
    const folder = createDocFolder(all);
    let outcomes: ReadonlyMap<number, Outcome> = new Map();
    let transcript = '';
    beforeAll(async () => {
      ({ outcomes, transcript } = await runInGuest(folder, blocks, place, timeoutMs));
    }, timeoutMs + 20_000);
    afterAll(() => {
      folder.close();
    });

    it.each(blocks.map((block, index): [string, Block, number] => [block.name, block, index]))(
      '%s',
      (_, block, index) => {
        const outcome = outcomes.get(index);
        if (outcome === undefined)
          throw new Error(`it did not run; the end of the transcript:\n${transcript.slice(-3000)}`);
        expect(outcome.code, outcome.output).toBe(0);
        if (block.output !== undefined)
          expect(difference(block.output, outcome.output), outcome.output).toBeUndefined();
      },
    );
  });
}
