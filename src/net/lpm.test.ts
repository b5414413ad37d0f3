import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAddress } from './address.ts';
import { createLpmTrie } from './lpm.ts';
import type { Prefix } from './prefix.ts';
import { comparePrefixes, contains, formatPrefix, maskAddress, parsePrefix } from './prefix.ts';

const at = (text: string): Prefix => parsePrefix(text);
const show = (entries: Iterable<{ prefix: Prefix; value: unknown }>): string[] =>
  [...entries].map(({ prefix, value }) => `${formatPrefix(prefix)}=${String(value)}`);

describe('an example table', () => {
  const trie = createLpmTrie<string>();
  const routes = [
    '0.0.0.0/0',
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.2.0/24',
    '10.1.2.3/32',
    '2001:db8::/32',
    '2001:db8:1::/48',
    '::/0',
  ];
  for (const text of routes) trie.insert(at(text), text);

  it.each([
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.2.4', '10.1.2.0/24'],
    ['10.1.3.1', '10.1.0.0/16'],
    ['10.2.0.1', '10.0.0.0/8'],
    ['11.0.0.1', '0.0.0.0/0'],
    ['2001:db8:1::9', '2001:db8:1::/48'],
    ['2001:db8:2::9', '2001:db8::/32'],
    ['fe80::1', '::/0'],
  ])('%s is routed by %s', (address, expected) => {
    expect(trie.match(parseAddress(address))).toBe(expected);
    expect(formatPrefix(trie.matchEntry(parseAddress(address))!.prefix)).toBe(expected);
  });

  it('lists what covers, what lies within, and everything', () => {
    expect(show(trie.covering(parseAddress('10.1.2.3')))).toEqual(
      ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32'].map((text) => `${text}=${text}`),
    );
    expect(show(trie.covering(at('10.1.0.0/16'))).length).toBe(3);
    expect([...trie.within(at('10.1.0.0/17'))].map(({ value }) => value)).toEqual(['10.1.2.0/24', '10.1.2.3/32']);
    expect([...trie.within(at('2001::/16'))].map(({ value }) => value)).toEqual(['2001:db8::/32', '2001:db8:1::/48']);
    expect([...trie.within(at('12.0.0.0/8'))]).toEqual([]);
    expect(trie.size).toBe(8);
    expect([...trie.entries()].length).toBe(8);
  });
});

it('tells an absent value from a stored undefined by its size', () => {
  const trie = createLpmTrie<undefined>();
  trie.insert(at('10.0.0.0/8'), undefined);
  expect(trie.size).toBe(1);
  expect(trie.matchEntry(parseAddress('10.0.0.1'))).toBeDefined();
  trie.remove(at('10.0.0.0/8'));
  expect(trie.matchEntry(parseAddress('10.0.0.1'))).toBeUndefined();
});

it('agrees with a plain list after every step of any history', () => {
  // Few distinct bits, so that prefixes nest, split and rejoin all the time; both families, high bits as well as low ones.
  const prefix = fc
    .record({
      six: fc.boolean(),
      bits: fc.nat({ max: 255 }),
      shift: fc.constantFrom(0, 24),
      place: fc.nat({ max: 3 }),
      length: fc.nat({ max: 32 }),
    })
    .map(({ six, bits, shift, place, length }): Prefix => {
      const value = (bits << shift) >>> 0;
      if (!six) return maskAddress({ family: 4, value }, length);
      const words = [0, 1, 2, 3].map((index) => (index === place ? value : 0)) as [number, number, number, number];
      return maskAddress({ family: 6, words }, length * 4);
    });
  const step = fc.record({ insert: fc.boolean(), prefix, probe: prefix });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const trie = createLpmTrie<number>();
      const list = new Map<string, { prefix: Prefix; value: number }>();
      const sorted = (): { prefix: Prefix; value: number }[] =>
        [...list.values()].sort((a, b) => comparePrefixes(a.prefix, b.prefix));
      steps.forEach((one, index) => {
        const name = formatPrefix(one.prefix);
        const before = list.get(name)?.value;
        if (one.insert) {
          expect(trie.insert(one.prefix, index)).toBe(before);
          list.set(name, { prefix: one.prefix, value: index });
        } else {
          expect(trie.remove(one.prefix)).toBe(before);
          list.delete(name);
        }
        expect(trie.size).toBe(list.size);
        expect(trie.exact(one.probe)).toBe(list.get(formatPrefix(one.probe))?.value);
        const over = sorted().filter((entry) => contains(entry.prefix, one.probe));
        expect(trie.covering(one.probe)).toEqual(over);
        expect(trie.match(one.probe)).toBe(over.at(-1)?.value);
        expect([...trie.within(one.probe)]).toEqual(sorted().filter((entry) => contains(one.probe, entry.prefix)));
      });
      expect([...trie.entries()]).toEqual(sorted());
      for (const { prefix } of list.values()) trie.remove(prefix);
      expect(trie.size).toBe(0);
      expect([...trie.entries()]).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
