import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../test/support/hex.ts';
import { formatAddress } from '../../net/index.ts';
import {
  createPrefixBatch,
  type PrefixBatch,
  prefixSize,
  readPrefixes4,
  readPrefixes6,
  writePrefix4,
  writePrefix6,
} from './prefixes.ts';

function text(batch: PrefixBatch, family: 4 | 6): string[] {
  return Array.from({ length: batch.count }, (_, row) => {
    const word = (index: number) => batch.words[row * (family === 4 ? 1 : 4) + index] ?? 0;
    const address = formatAddress(
      family === 4 ? { family, value: word(0) } : { family, words: [word(0), word(1), word(2), word(3)] },
    );
    const pathId = batch.pathIds[row] ?? 0;
    return `${address}/${batch.lengths[row]}${pathId === 0 ? '' : ` path ${pathId}`}`;
  });
}

// RFC 4271 section 4.3, RFC 7911 section 3; octets by hand.
describe('readPrefixes4', () => {
  it.each<[string, string, boolean, string[], number]>([
    ['nothing', '', false, [], 0],
    ['the default route', '00', false, ['0.0.0.0/0'], 0],
    [
      'lengths of every size',
      '08 0a 10 0aff 18 c63364 20 c0000201',
      false,
      ['10.0.0.0/8', '10.255.0.0/16', '198.51.100.0/24', '192.0.2.1/32'],
      0,
    ],
    [
      'lengths between octets',
      '01 80 09 0a80 1f c6336402',
      false,
      ['128.0.0.0/1', '10.128.0.0/9', '198.51.100.2/31'],
      0,
    ],
    ['host bits, cleared', '04 ff 09 0aff 17 c63365', false, ['240.0.0.0/4', '10.128.0.0/9', '198.51.100.0/23'], 0],
    ['multicast, left out', '18 e00001 08 0a 04 e0', false, ['10.0.0.0/8'], 2],
    ['what only contains multicast, kept', '03 e0 00', false, ['224.0.0.0/3', '0.0.0.0/0'], 0],
    ['path identifiers', '00000001 08 0a ffffffff 08 0a', true, ['10.0.0.0/8 path 1', '10.0.0.0/8 path 4294967295'], 0],
  ])('reads %s', (_name, octets, addPath, expected, ignored) => {
    const bytes = hex(octets);
    const batch = createPrefixBatch(4, 1);
    expect(readPrefixes4(bytes, 0, bytes.length, addPath, batch)).toBe(-1);
    expect(text(batch, 4)).toEqual(expected);
    expect(batch.ignored).toBe(ignored);
  });

  it.each<[string, string, boolean, number]>([
    ['length 33', '08 0a 21 0a000000 00', false, 2],
    ['length 255', 'ff', false, 0],
    ['a prefix cut short', '08 0a 18 0a00', false, 2],
    ['a path identifier cut short', '00000001 08 0a 000000', true, 6],
    ['a path identifier alone', '00000001', true, 0],
  ])('refuses %s and says where', (_name, octets, addPath, at) => {
    const bytes = hex(octets);
    const batch = createPrefixBatch(4);
    expect(readPrefixes4(bytes, 0, bytes.length, addPath, batch)).toBe(at);
    expect(batch.count).toBe(0);
  });

  it('reads from the middle of a buffer and grows to the longest message', () => {
    const bytes = new Uint8Array(65535);
    const batch = createPrefixBatch(4, 4);
    expect(readPrefixes4(bytes, 35, 65535, false, batch)).toBe(-1);
    expect(batch.count).toBe(65500);
  });
});

describe('readPrefixes6', () => {
  it.each<[string, string, string[], number]>([
    ['the default route', '00', ['::/0'], 0],
    [
      'lengths of every word',
      '10 2001 20 20010db8 30 20010db80001 40 20010db800010002',
      ['2001::/16', '2001:db8::/32', '2001:db8:1::/48', '2001:db8:1:2::/64'],
      0,
    ],
    ['a host', '80 20010db8000000000000000000000001', ['2001:db8::1/128'], 0],
    [
      'host bits, cleared',
      '21 20010db8ff 7f 20010db8000000000000000000000001',
      ['2001:db8:8000::/33', '2001:db8::/127'],
      0,
    ],
    ['multicast and link-local, left out', '10 ff02 40 fe80000000000000 08 fd', ['fd00::/8'], 2],
  ])('reads %s', (_name, octets, expected, ignored) => {
    const bytes = hex(octets);
    const batch = createPrefixBatch(6, 1);
    expect(readPrefixes6(bytes, 0, bytes.length, false, batch)).toBe(-1);
    expect(text(batch, 6)).toEqual(expected);
    expect(batch.ignored).toBe(ignored);
  });

  it.each([
    ['length 129', '81 20010db800000000000000000000000100', 0],
    ['a prefix cut short', '08 20 30 20010db800', 2],
  ])('refuses %s and says where', (_name, octets, at) => {
    const bytes = hex(octets);
    expect(readPrefixes6(bytes, 0, bytes.length, false, createPrefixBatch(6))).toBe(at);
  });
});

describe('writing prefixes', () => {
  it('writes what the RFC shows', () => {
    const out = new Uint8Array(64);
    let at = writePrefix4(out, 0, 0x0a000000, 8, -1);
    at = writePrefix4(out, at, 0xc6336402, 31, 7);
    at = writePrefix4(out, at, 0, 0, -1);
    at = writePrefix6(out, at, Uint32Array.of(9, 0x20010db8, 0x00010000, 0, 0), 1, 48, -1);
    expect(toHex(out.subarray(0, at))).toBe('080a' + '000000071fc6336402' + '00' + '3020010db80001');
  });

  it('reads back what it writes, of both families', () => {
    const row = fc.record({
      words: fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.nat(0xffffffff), fc.nat(0xffffffff)),
      length: fc.nat(128),
      pathId: fc.nat(0xffffffff),
    });
    fc.assert(
      fc.property(fc.array(row, { maxLength: 40 }), fc.boolean(), (rows, addPath) => {
        const out = new Uint8Array(40 * 21);
        let at = 0;
        let size = 0;
        for (const { words, length, pathId } of rows) {
          // The first three bits 001 keep it unicast.
          const first = ((words[0] & 0x1fffffff) | 0x20000000) >>> 0;
          at = writePrefix6(
            out,
            at,
            Uint32Array.of(first, words[1], words[2], words[3]),
            0,
            length,
            addPath ? pathId : -1,
          );
          size += prefixSize(length, addPath);
        }
        expect(at).toBe(size);
        const batch = createPrefixBatch(6);
        expect(readPrefixes6(out, 0, at, addPath, batch)).toBe(-1);
        expect(Array.from(batch.lengths.subarray(0, batch.count))).toEqual(rows.map(({ length }) => length));
        const again = new Uint8Array(out.length);
        let end = 0;
        for (let index = 0; index < batch.count; index++) {
          const pathId = addPath ? (batch.pathIds[index] ?? 0) : -1;
          end = writePrefix6(again, end, batch.words, index * 4, batch.lengths[index] ?? 0, pathId);
        }
        const second = createPrefixBatch(6);
        readPrefixes6(again, 0, end, addPath, second);
        expect(text(second, 6)).toEqual(text(batch, 6));
      }),
    );
  });
});
