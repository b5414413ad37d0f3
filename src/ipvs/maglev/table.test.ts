import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lookupMaglev, maglevBalance, maglevDisruption, maglevTable } from './table.ts';

const backends = (count: number) => Array.from({ length: count }, (_, index) => ({ name: `backend-${index}` }));

describe('the table of the paper', () => {
  // Table 1 of the paper (M = 7, backends B0, B1, B2 with the permutations of its figure), filled by hand there.
  test('the worked example of the paper', () => {
    const setup: Record<string, [number, number]> = { B0: [3, 3], B1: [0, 1], B2: [3, 0] };
    const table = maglevTable([{ name: 'B0' }, { name: 'B1' }, { name: 'B2' }], {
      size: 7,
      // offset = first % 7, skip = second % 6 + 1: (3,4), (0,2), (3,1)
      hash: (name) => setup[name] ?? [0, 0],
    });
    expect([...table.entries].map((index) => table.names[index])).toEqual(['B1', 'B0', 'B1', 'B0', 'B2', 'B2', 'B0']);
    const without = maglevTable([{ name: 'B0' }, { name: 'B2' }], { size: 7, hash: (name) => setup[name] ?? [0, 0] });
    expect([...without.entries].map((index) => without.names[index])).toEqual([
      'B0',
      'B0',
      'B0',
      'B0',
      'B2',
      'B2',
      'B2',
    ]);
  });

  test.each([10, 100, 1000])('balance and disruption with %i backends at 65537 entries', (count) => {
    const before = maglevTable(backends(count));
    const after = maglevTable(backends(count).slice(1));
    const { maxOverMean, minOverMean } = maglevBalance(before);
    const { changed, needless } = maglevDisruption(before, after);
    console.log(
      `N=${count} M=65537: max/mean ${maxOverMean.toFixed(4)}, min/mean ${minOverMean.toFixed(4)}, ` +
        `one leaves: ${(changed * 100).toFixed(3)} % change, ${(needless * 100).toFixed(3)} % needlessly`,
    );
    // Each backend has its turn in every round, so none has more than one entry above another: the paper's 'at most 1 %
    // difference' where M > 100 N (section 3.4), and the almost even load of its section 5.3 at N = 1000, where Karger's and
    // rendezvous hashing need 29.7 % and 49.5 % more.
    expect(maxOverMean).toBe(Math.ceil(65537 / count) / (65537 / count));
    expect(minOverMean).toBe(Math.floor(65537 / count) / (65537 / count));
    if (65537 > 100 * count) expect(maxOverMean - minOverMean).toBeLessThanOrEqual(0.01);
    // One of N leaves: its own entries change, and less than one in a hundred of the others (the price of an even table).
    expect(changed).toBeGreaterThanOrEqual(Math.floor(65537 / count) / 65537);
    expect(needless).toBeLessThan(0.01);
    expect(changed - needless).toBeCloseTo(1 / count, 4);
  });

  test('weights are shares', () => {
    const table = maglevTable([
      { name: 'a', weight: 1 },
      { name: 'b', weight: 3 },
      { name: 'c', weight: 0 },
    ]);
    const { counts } = maglevBalance(table);
    expect(counts[2]).toBe(0);
    expect((counts[1] ?? 0) / (counts[0] ?? 1)).toBeCloseTo(3, 2);
    expect(lookupMaglev(table, 4_000_000_000)).toMatch(/^[ab]$/);
  });

  test('does not depend on the order of backends; every entry is taken', () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(names, fc.nat(), (list, seed) => {
        const table = maglevTable(
          list.map((name) => ({ name })),
          { size: 251 },
        );
        const turned = list.map((_, index) => ({ name: list[(index + seed) % list.length] ?? '' }));
        expect([...maglevTable(turned, { size: 251 }).entries]).toEqual([...table.entries]);
        expect(table.entries.includes(-1)).toBe(false);
      }),
    );
  });

  test('no backend, a size that is no prime, a larger prime', () => {
    expect(lookupMaglev(maglevTable([]), 1)).toBeUndefined();
    expect(() => maglevTable([], { size: 65536 })).toThrow('no prime');
    expect(maglevBalance(maglevTable(backends(100), { size: 655373 })).maxOverMean).toBeLessThan(1.001);
  });
});
