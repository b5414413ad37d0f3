import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../../test/support/hex.ts';
import type { AsPathSegment } from '../types.ts';
import {
  asPathContains,
  asPathLength,
  asPathSize,
  decodeAsPath,
  formatAsPath,
  mergeAs4Path,
  parseAsPath,
  prependAsPath,
  withoutConfederation,
  writeAsPath,
} from './as-path.ts';

const path = (text: string): AsPathSegment[] => parseAsPath(text) ?? expect.fail(`no path: ${text}`);

function encode(text: string, width: 2 | 4): string {
  const value = path(text);
  const out = new Uint8Array(asPathSize(value, width));
  expect(writeAsPath(out, 0, value, width)).toBe(out.length);
  return toHex(out);
}

describe('AS paths on the wire', () => {
  // RFC 4271 section 4.3: type, count, numbers; RFC 5065 section 3 for types 3 and 4.
  it.each<[string, 2 | 4, string]>([
    ['', 4, ''],
    ['64512 64513', 2, '0202fc00fc01'],
    ['64512 64513', 4, '02020000fc000000fc01'],
    ['4200000000', 4, '0201fa56ea00'],
    ['1 {2,3}', 2, '02010001' + '010200020003'],
    ['(65001 65002) 1', 4, '03020000fde90000fdea' + '020100000001'],
    ['[65001] 1', 2, '0401fde9' + '02010001'],
  ])('%s in %i octets', (text, width, octets) => {
    expect(encode(text, width)).toBe(octets);
    const bytes = hex(octets);
    const decoded = decodeAsPath(bytes, 0, bytes.length, width);
    expect(typeof decoded === 'string' ? decoded : formatAsPath(decoded)).toBe(text);
  });

  it('puts AS_TRANS where two octets are too few (RFC 6793 section 4.2.2)', () => {
    expect(encode('1 4200000000', 2)).toBe('020200015ba0');
  });

  it('splits what one segment cannot hold, the odd piece first', () => {
    const long = [{ type: 'sequence' as const, asns: Array.from({ length: 300 }, (_, index) => index + 1) }];
    const out = new Uint8Array(asPathSize(long, 2));
    writeAsPath(out, 0, long, 2);
    expect(out.length).toBe(604);
    expect([out[1], out[2], out[3], out[93]]).toEqual([45, 0, 1, 255]);
    const decoded = decodeAsPath(out, 0, out.length, 2);
    expect(typeof decoded === 'string' ? decoded : decoded.flatMap(({ asns }) => asns)).toEqual(long[0]?.asns);
  });
});

describe('AS path arithmetic', () => {
  it.each([
    ['', 0],
    ['1 2 3', 3],
    ['1 {2,3,4}', 2],
    ['(1 2) [3,4] 5', 1],
  ])('%s has length %i', (text, length) => {
    expect(asPathLength(path(text))).toBe(length);
  });

  it.each([
    ['', 1, '9'],
    ['1', 3, '9 9 9 1'],
    ['{1,2}', 1, '9 {1,2}'],
    ['(1) 2', 1, '9 (1) 2'],
    ['1 2', 0, '1 2'],
  ])('prepends 9 to %j %i times', (text, count, expected) => {
    expect(formatAsPath(prependAsPath(path(text), 9, count))).toBe(expected);
  });

  it('begins a new segment rather than a 256th number', () => {
    const full = [{ type: 'sequence' as const, asns: new Array<number>(255).fill(7) }];
    const longer = prependAsPath(full, 9);
    expect(longer.map(({ asns }) => asns.length)).toEqual([1, 255]);
  });

  it('prepends inside a confederation', () => {
    expect(formatAsPath(prependAsPath(path('(65001) 1'), 65002, 1, 'confed-sequence'))).toBe('(65002 65001) 1');
  });

  it('finds a number in any segment', () => {
    expect(asPathContains(path('1 {2,3} (4)'), 3)).toBe(true);
    expect(asPathContains(path('1 {2,3} (4)'), 5)).toBe(false);
  });

  it('leaves a confederation behind', () => {
    expect(formatAsPath(withoutConfederation(path('(1 2) 3 [4] 5')))).toBe('3 5');
  });

  // RFC 6793 section 4.2.3, worked by hand.
  it.each([
    ['23456 23456', '4200000000 4200000001', '4200000000 4200000001'],
    ['1 23456', '4200000000', '1 4200000000'],
    ['1 2 23456', '4200000000', '1 2 4200000000'],
    ['1', '4200000000 4200000001', '1'],
    ['(65001) 1 23456', '4200000000', '(65001) 1 4200000000'],
    ['1 {2,3} 23456', '4200000000', '1 {2,3} 4200000000'],
    ['1 23456', '(65001) 4200000000', '1 4200000000'],
    ['1 {2,23456}', '{2,4200000000}', '1 {2,4200000000}'],
  ])('merges %s with %s', (two, four, expected) => {
    expect(formatAsPath(mergeAs4Path(path(two), path(four)))).toBe(expected);
  });
});

describe('AS paths as text', () => {
  it.each(['a', '1 {', '{}', '1,2', '0', '4294967296', '(1', '1 2)', '-1', '1.2'])('%j is none', (text) => {
    expect(parseAsPath(text)).toBeUndefined();
  });

  it('reads back what it writes', () => {
    const segment = fc.record({
      type: fc.constantFrom('set', 'confed-sequence', 'confed-set'),
      asns: fc.array(fc.integer({ min: 1, max: 0xffffffff }), { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 5 }), (value) => {
        expect(parseAsPath(formatAsPath(value))).toEqual(value);
      }),
    );
  });
});
