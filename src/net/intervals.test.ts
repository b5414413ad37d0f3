import fc from 'fast-check';
import { IPv4, RangedSet } from 'ip-num';
import { Netmask } from 'netmask';
import { describe, expect, it } from 'vitest';
import type { Address } from './address.ts';
import { addressFromBigInt, formatAddress } from './address.ts';
import type { IntervalSet } from './intervals.ts';
import {
  allIntervals,
  complementIntervals,
  countIntervals,
  emptyIntervals,
  equalIntervals,
  intersectIntervals,
  intervalsContain,
  intervalsCover,
  intervalsFromPrefixes,
  intervalsFromRanges,
  intervalsOverlap,
  rangesOfIntervals,
  subtractIntervals,
  toPrefixes,
  unionIntervals,
} from './intervals.ts';
import { formatPrefix, lastAddress, parsePrefix } from './prefix.ts';

const set = (...texts: string[]): IntervalSet => {
  const prefixes = texts.map((text) => parsePrefix(text));
  return intervalsFromPrefixes(prefixes[0]!.family, prefixes);
};
const text = (value: IntervalSet): string => toPrefixes(value).map(formatPrefix).join(' ');

describe('by hand', () => {
  it.each([
    ['the whole of IPv4', set('0.0.0.0/0'), '0.0.0.0/0'],
    ['two halves are the whole', set('0.0.0.0/1', '128.0.0.0/1'), '0.0.0.0/0'],
    ['the whole of IPv6', set('::/0'), '::/0'],
    ['two halves of IPv6', set('8000::/1', '::/1'), '::/0'],
    ['nested and repeated', set('10.0.0.0/8', '10.1.0.0/16', '10.0.0.0/8'), '10.0.0.0/8'],
    ['neighbours of unequal size', set('10.0.0.0/25', '10.0.0.128/26'), '10.0.0.0/25 10.0.0.128/26'],
    ['an except', subtractIntervals(set('10.0.0.0/30'), set('10.0.0.1/32')), '10.0.0.0/32 10.0.0.2/31'],
    [
      'everything but the last',
      subtractIntervals(set('255.255.255.252/30'), set('255.255.255.255/32')),
      '255.255.255.252/31 255.255.255.254/32',
    ],
    ['nothing left', subtractIntervals(set('10.0.0.0/8'), set('0.0.0.0/0')), ''],
    ['all of IPv6 but one half', subtractIntervals(allIntervals(6), set('::/1')), '8000::/1'],
    [
      'an intersection',
      intersectIntervals(set('10.0.0.0/8', '192.168.0.0/16'), set('10.4.0.0/14', '192.168.4.0/24')),
      '10.4.0.0/14 192.168.4.0/24',
    ],
  ])('%s', (_name, value, expected) => expect(text(value)).toBe(expected));

  it('everything but one address is 32 or 128 prefixes', () => {
    expect(toPrefixes(complementIntervals(set('1.2.3.4/32')))).toHaveLength(32);
    expect(toPrefixes(complementIntervals(set('2001:db8::1/128')))).toHaveLength(128);
    expect(countIntervals(complementIntervals(set('::/128')))).toBe(2n ** 128n - 1n);
  });

  it('refuses to mix families and to run backwards', () => {
    expect(() => unionIntervals(set('10.0.0.0/8'), set('::/0'))).toThrowError();
    expect(() => intervalsFromPrefixes(4, [parsePrefix('::/0')])).toThrowError();
    const [a, b] = [parsePrefix('10.0.0.2/32'), parsePrefix('10.0.0.1/32')];
    expect(() => intervalsFromRanges(4, [{ first: a, last: b }])).toThrowError();
  });
});

describe('against a plain set of addresses', () => {
  // 64 addresses at either end and in the middle of a family: small enough to list, and every boundary is in reach.
  const width = 64n;
  const space = fc.constantFrom<[4 | 6, bigint]>(
    [4, 0n],
    [4, 2n ** 32n - width],
    [4, 2n ** 31n - 32n],
    [6, 0n],
    [6, 2n ** 128n - width],
    [6, 2n ** 96n - 32n],
  );
  const spans = fc.array(fc.tuple(fc.nat({ max: 63 }), fc.nat({ max: 63 })), { maxLength: 6 });
  const build = (family: 4 | 6, base: bigint, pairs: [number, number][]): [IntervalSet, boolean[]] => {
    const member = new Array<boolean>(64).fill(false);
    const ranges = pairs.map(([x, y]) => {
      const [low, high] = [Math.min(x, y), Math.max(x, y)];
      member.fill(true, low, high + 1);
      const at = (offset: number): Address => addressFromBigInt(family, base + BigInt(offset));
      return { first: at(low), last: at(high) };
    });
    return [intervalsFromRanges(family, ranges), member];
  };

  it('operations, membership, counts and covers', () => {
    fc.assert(
      fc.property(space, spans, spans, ([family, base], first, second) => {
        const [a, inA] = build(family, base, first);
        const [b, inB] = build(family, base, second);
        const check = (result: IntervalSet, keep: (index: number) => boolean): void => {
          const expected = inA.map((_, index) => keep(index));
          const members = inA.map((_, index) =>
            intervalsContain(result, addressFromBigInt(family, base + BigInt(index))),
          );
          expect(members).toEqual(expected);
          const again = intervalsFromPrefixes(family, toPrefixes(result));
          expect(equalIntervals(again, result)).toBe(true);
          expect(equalIntervals(intervalsFromRanges(family, rangesOfIntervals(result)), result)).toBe(true);
        };
        check(unionIntervals(a, b), (index) => inA[index]! || inB[index]!);
        check(intersectIntervals(a, b), (index) => inA[index]! && inB[index]!);
        check(subtractIntervals(a, b), (index) => inA[index]! && !inB[index]!);
        check(subtractIntervals(allIntervals(family), complementIntervals(a)), (index) => inA[index]!);
        expect(countIntervals(a)).toBe(BigInt(inA.filter(Boolean).length));
        expect(intervalsOverlap(a, b)).toBe(inA.some((yes, index) => yes && inB[index]));
        expect(intervalsCover(a, b)).toBe(inB.every((yes, index) => !yes || inA[index]));
        expect(equalIntervals(subtractIntervals(a, a), emptyIntervals(family))).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it('the cover is minimal: no two of its prefixes merge and none holds another', () => {
    fc.assert(
      fc.property(space, spans, ([family, base], pairs) => {
        const prefixes = toPrefixes(build(family, base, pairs)[0]);
        prefixes.forEach((prefix, index) => {
          const next = prefixes[index + 1];
          if (next?.length !== prefix.length || prefix.length === 0) return;
          const merged = parsePrefix(`${formatAddress(prefix)}/${prefix.length - 1}`, { hostBits: 'mask' });
          expect(lastAddress(merged)).not.toEqual(lastAddress(next));
        });
      }),
      { numRuns: 400 },
    );
  });
});

it('agrees with ip-num and netmask about IPv4 ranges and blocks', () => {
  const address = fc.nat({ max: 0xffffffff });
  fc.assert(
    fc.property(address, address, address, (x, y, probe) => {
      const [low, high] = [Math.min(x, y), Math.max(x, y)];
      const at = (value: number): Address => ({ family: 4, value });
      const mine = intervalsFromRanges(4, [{ first: at(low), last: at(high) }]);
      const theirs = new RangedSet(new IPv4(BigInt(low)), new IPv4(BigInt(high)));
      expect(countIntervals(mine)).toBe(theirs.getSize());
      const blocks = toPrefixes(mine).map((prefix) => new Netmask(formatPrefix(prefix)));
      expect(blocks.reduce((sum, block) => sum + block.size, 0)).toBe(high - low + 1);
      const inside = blocks.some((block) => block.contains(formatAddress(at(probe))));
      expect(inside).toBe(intervalsContain(mine, at(probe)));
    }),
  );
});
