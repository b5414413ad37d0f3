import { describe, expect, it } from 'vitest';
import { formatAddress } from './address.ts';
import { formatPrefix, parsePrefix } from './prefix.ts';
import type { Prefix4 } from './prefix.ts';
import { toPrefixes } from './intervals.ts';
import {
  describeBlock,
  formatRange,
  parseRange,
  parseRanges,
  rangeAt,
  rangeSize,
  rangesOverlap,
  tryParseRange,
  usableRange,
} from './ranges.ts';

describe('parse', () => {
  it.each([
    ['10.0.0.10-10.0.0.20', '10.0.0.10-10.0.0.20', 11n],
    ['10.0.0.10 - 10.0.0.20', '10.0.0.10-10.0.0.20', 11n],
    ['10.0.0.0-10.0.0.255', '10.0.0.0/24', 256n],
    ['10.0.0.0/24', '10.0.0.0/24', 256n],
    ['10.0.0.1', '10.0.0.1/32', 1n],
    ['0.0.0.0/0', '0.0.0.0/0', 2n ** 32n],
    ['::/0', '::/0', 2n ** 128n],
    ['2001:db8::1-2001:db8::ffff', '2001:db8::1-2001:db8::ffff', 65535n],
  ])('%s is %s of %s', (text, canonical, size) => {
    const range = parseRange(text);
    expect(formatRange(range)).toBe(canonical);
    expect(rangeSize(range)).toBe(size);
  });

  it.each([
    '',
    '-',
    '10.0.0.1-',
    '-10.0.0.1',
    '10.0.0.2-10.0.0.1',
    '10.0.0.1-::1',
    '10.0.0.1-10.0.0.2-10.0.0.3',
    '10.0.0.1-20',
    '010.0.0.1-10.0.0.2',
    '10.0.0.1/24',
  ])('refuses %j', (text) => {
    expect(tryParseRange(text)).toBeUndefined();
    expect(() => parseRange(text)).toThrowError(expect.objectContaining({ code: 'INVALID_PREFIX' }));
  });
});

it.each([
  ['10.0.0.0/24', '10.0.0.255-10.0.1.5', true],
  ['10.0.0.0/24', '10.0.1.0/24', false],
  ['10.0.0.0/24', '10.0.0.5', true],
  ['10.0.0.5', '10.0.0.0/24', true],
  ['10.0.0.0/24', '10.0.0.0/24', true],
  ['0.0.0.0/0', '::/0', false],
  ['2001:db8::/64', '2001:db8::5-2001:db8:1::', true],
])('%s and %s overlap: %s', (a, b, expected) => expect(rangesOverlap(parseRange(a), parseRange(b))).toBe(expected));

it('counts places', () => {
  const range = parseRange('10.0.0.254-10.0.1.1');
  expect([0n, 1n, 2n, 3n].map((index) => formatAddress(rangeAt(range, index)!))).toEqual([
    '10.0.0.254',
    '10.0.0.255',
    '10.0.1.0',
    '10.0.1.1',
  ]);
  expect(rangeAt(range, 4n)).toBeUndefined();
  expect(rangeAt(range, -1n)).toBeUndefined();
});

it('sorts configured ranges by family and joins them', () => {
  const { v4, v6 } = parseRanges(['10.0.0.0/25', '10.0.0.128-10.0.0.255', '2001:db8::/64']);
  expect([...toPrefixes(v4), ...toPrefixes(v6)].map(formatPrefix)).toEqual(['10.0.0.0/24', '2001:db8::/64']);
});

it.each([
  ['192.168.4.0/22', '255.255.252.0', '192.168.7.255', '192.168.4.1', '192.168.7.254', 1024],
  ['10.0.0.0/31', '255.255.255.254', undefined, '10.0.0.0', '10.0.0.1', 2],
  ['10.0.0.7/32', '255.255.255.255', undefined, '10.0.0.7', '10.0.0.7', 1],
])('names the parts of %s', (text, netmask, broadcast, firstHost, lastHost, size) => {
  const block = describeBlock(parsePrefix(text) as Prefix4);
  expect(block).toMatchObject({ netmask, firstHost, lastHost, size });
  expect(block.broadcast).toBe(broadcast);
  expect(formatRange(usableRange(parsePrefix(text)))).toBe(formatRange(parseRange(`${firstHost}-${lastHost}`)));
});

it('keeps the subnet-router anycast address (RFC 4291 section 2.6.1) out of an IPv6 block', () => {
  expect(formatRange(usableRange(parsePrefix('2001:db8::/126')))).toBe('2001:db8::1-2001:db8::3');
  expect(formatRange(usableRange(parsePrefix('2001:db8::/127')))).toBe('2001:db8::/127');
});
