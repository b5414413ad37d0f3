import fc from 'fast-check';
import { IPv4CidrRange, IPv6CidrRange } from 'ip-num';
import { Netmask } from 'netmask';
import { describe, expect, it } from 'vitest';
import { addressFromBigInt, addressToBigInt, formatAddress, parseAddress } from './address.ts';
import type { Prefix } from './prefix.ts';
import {
  commonPrefix,
  comparePrefixes,
  contains,
  canonicalPrefix,
  formatPrefix,
  hostPrefix,
  lastAddress,
  maskAddress,
  overlaps,
  parsePrefix,
  parseSloppyPrefix,
  tryParsePrefix,
} from './prefix.ts';

const prefix4 = fc
  .tuple(fc.nat({ max: 0xffffffff }), fc.nat({ max: 32 }))
  .map(([value, length]): Prefix => maskAddress({ family: 4, value }, length));
const prefix6 = fc
  .tuple(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), fc.nat({ max: 128 }))
  .map(([value, length]): Prefix => maskAddress(addressFromBigInt(6, value), length));
const prefix = fc.oneof(prefix4, prefix6);

it.each([
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['10.1.2.0/24', '10.1.2.0/24'],
  ['255.255.255.255/32', '255.255.255.255/32'],
  ['::/0', '::/0'],
  ['2001:DB8:0::/48', '2001:db8::/48'],
  ['::1/128', '::1/128'],
])('%s is %s', (text, canonical) => expect(canonicalPrefix(text)).toBe(canonical));

it.each([
  '',
  '10.0.0.0',
  '10.0.0.0/',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/ 8',
  '10.0.0.0/8 ',
  '10.0.0.0/-1',
  '10.0.0.0/8/8',
  '10.0.0.1/8',
  '10/8',
  '010.0.0.0/8',
  '10.0.0.0/1e1',
  '10.0.0.0/255.0.0.0',
  '::/129',
  '2001:db8::1/64',
  '::/0x0',
  '10.0.0.0/+8',
])('refuses %j', (text) => {
  expect(tryParsePrefix(text)).toBeUndefined();
  expect(() => parsePrefix(text)).toThrowError(expect.objectContaining({ code: 'INVALID_PREFIX' }));
});

it('says what was meant when host bits are set, and masks when asked to', () => {
  expect(() => parsePrefix('10.0.0.1/8')).toThrowError('meant 10.0.0.0/8?');
  expect(canonicalPrefix('10.9.8.7/12', { hostBits: 'mask' })).toBe('10.0.0.0/12');
  expect(canonicalPrefix('2001:db8::ff/33', { hostBits: 'mask' })).toBe('2001:db8::/33');
});

describe('the sloppy reading of NetworkPolicy', () => {
  it.each([
    ['010.001.002.003/8', '10.0.0.0/8'],
    ['10.0.0.0/024', '10.0.0.0/24'],
    ['000000010.0.0.0/8', '10.0.0.0/8'],
    ['2001:0db8::ff/32', '2001:db8::/32'],
    ['2001:00db8::/32', '2001:db8::/32'],
    ['::ffff:10.1.2.3/104', '10.0.0.0/8'],
    ['::ffff:10.1.2.3/90', '::ffc0:0:0/90'],
  ])('%s is %s', (text, canonical) => expect(formatPrefix(parseSloppyPrefix(text)!)).toBe(canonical));
  it.each(['10.0.0.256/8', '10.0.0/8', '10.0.0.0', '0x0a.0.0.0/8', '10.0.0.0/33', 'fe80::%1/64'])(
    'refuses %j',
    (text) => expect(parseSloppyPrefix(text)).toBeUndefined(),
  );
});

describe('against ip-num and netmask', () => {
  it('first and last address', () => {
    fc.assert(
      fc.property(prefix, (value) => {
        const text = formatPrefix(value);
        if (text.includes(':') && text.includes('.')) return; // ip-num reads no IPv4-mapped text
        const range = value.family === 4 ? IPv4CidrRange.fromCidr(text) : IPv6CidrRange.fromCidr(text);
        expect(addressToBigInt(value)).toBe(range.getFirst().getValue());
        expect(addressToBigInt(lastAddress(value))).toBe(range.getLast().getValue());
      }),
    );
  });
  it('IPv4 masking and containment', () => {
    fc.assert(
      fc.property(prefix4, prefix4, (a, b) => {
        const block = new Netmask(formatPrefix(a));
        expect(block.base).toBe(formatAddress(a));
        expect(contains(a, b)).toBe(block.contains(formatPrefix(b)));
      }),
    );
  });
});

it('containment and overlap follow from first and last address', () => {
  const bounds = (x: Prefix): [bigint, bigint] => [addressToBigInt(x), addressToBigInt(lastAddress(x))];
  // Related prefixes, not only random ones: one address cut at two lengths, one bit perhaps flipped.
  const pair = fc
    .tuple(prefix6, fc.nat({ max: 128 }), fc.nat({ max: 127 }), fc.boolean())
    .map(([a, length, bit, flip]): [Prefix, Prefix] => {
      const value = addressToBigInt(a) ^ (flip ? 1n << BigInt(bit) : 0n);
      return [a, maskAddress(addressFromBigInt(6, value), length)];
    });
  fc.assert(
    fc.property(pair, ([a, b]) => {
      const [a0, a1] = bounds(a);
      const [b0, b1] = bounds(b);
      expect(contains(a, b)).toBe(a0 <= b0 && b1 <= a1);
      expect(contains(b, a)).toBe(b0 <= a0 && a1 <= b1);
      expect(overlaps(a, b)).toBe(a0 <= b1 && b0 <= a1);
    }),
    { numRuns: 500 },
  );
});

it('everything is inside the default route of its family and of no other', () => {
  fc.assert(
    fc.property(prefix, (value) => {
      expect(contains(parsePrefix('0.0.0.0/0'), value)).toBe(value.family === 4);
      expect(contains(parsePrefix('::/0'), value)).toBe(value.family === 6);
      expect(parsePrefix(formatPrefix(value))).toEqual(value);
    }),
  );
});

it('host prefixes and order', () => {
  expect(formatPrefix(hostPrefix(parseAddress('10.0.0.1')))).toBe('10.0.0.1/32');
  expect(formatPrefix(hostPrefix(parseAddress('::1')))).toBe('::1/128');
  const sorted = ['::/0', '10.0.0.0/16', '10.0.0.0/8', '9.0.0.0/8', '2001:db8::/32'].map((text) => parsePrefix(text));
  expect(sorted.sort(comparePrefixes).map(formatPrefix)).toEqual([
    '9.0.0.0/8',
    '10.0.0.0/8',
    '10.0.0.0/16',
    '::/0',
    '2001:db8::/32',
  ]);
});

it('the prefix that two have in common holds both, and half of it does not', () => {
  fc.assert(
    fc.property(fc.oneof(fc.tuple(prefix4, prefix4), fc.tuple(prefix6, prefix6)), ([a, b]) => {
      const both = commonPrefix(a, b);
      expect(contains(both, a) && contains(both, b)).toBe(true);
      const half = maskAddress(a, both.length + 1);
      expect(both.length === Math.min(a.length, b.length) || !contains(half, b)).toBe(true);
    }),
  );
  expect(() => commonPrefix(parsePrefix('10.0.0.0/8'), parsePrefix('::/0'))).toThrow('no prefix in common');
});
