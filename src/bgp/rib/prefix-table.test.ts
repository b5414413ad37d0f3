import fc from 'fast-check';
import { expect, it } from 'vitest';
import { createPrefixTable, findPrefix, internPrefix, removePrefix } from './prefix-table.ts';

it.each([4, 6] as const)('IPv%d: behaves as a map from text to id under inserts and removals', (family) => {
  const word = fc.oneof(fc.nat({ max: 7 }), fc.nat({ max: 0xffffffff }));
  const step = fc.record({
    remove: fc.boolean(),
    words: fc.tuple(word, word, word, word),
    length: fc.nat({ max: 32 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = createPrefixTable(family);
      const model = new Map<string, number>();
      for (const { remove, words, length } of steps) {
        const [a, b, c, d] = family === 4 ? [words[0], 0, 0, 0] : words;
        const key = [a, b, c, d, length].join();
        expect(findPrefix(table, a, b, c, d, length)).toBe(model.get(key) ?? -1);
        if (remove) {
          const id = model.get(key);
          if (id !== undefined) removePrefix(table, id);
          model.delete(key);
        } else {
          const id = internPrefix(table, a, b, c, d, length);
          if (model.has(key)) expect(id).toBe(model.get(key));
          else expect([...model.values()]).not.toContain(id);
          model.set(key, id);
        }
        expect(table.live).toBe(model.size);
      }
      for (const [key, id] of model) {
        const [a, b, c, d, length] = key.split(',').map(Number) as [number, number, number, number, number];
        expect(findPrefix(table, a, b, c, d, length)).toBe(id);
      }
    }),
    { numRuns: 60 },
  );
});

it('keeps 100,000 prefixes apart while growing, and reuses ids', () => {
  const table = createPrefixTable(4);
  for (let index = 0; index < 100_000; index++) expect(internPrefix(table, index * 256, 0, 0, 0, 24)).toBe(index);
  for (let index = 0; index < 100_000; index += 2) removePrefix(table, index);
  for (let index = 0; index < 100_000; index++) {
    expect(findPrefix(table, index * 256, 0, 0, 0, 24)).toBe(index % 2 === 0 ? -1 : index);
  }
  for (let index = 0; index < 50_000; index++) internPrefix(table, index, 0, 0, 0, 32);
  expect(table.size).toBe(100_000);
});
