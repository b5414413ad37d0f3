import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ExtendedCommunity } from '../types.ts';
import {
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  isTransitiveCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from './communities.ts';

const hex8 = (text: string): ExtendedCommunity => [parseInt(text.slice(0, 8), 16), parseInt(text.slice(8), 16)];

describe('communities', () => {
  it.each([
    ['65000:1', 0xfde80001],
    ['0:0', 0],
    ['65535:65535', 0xffffffff],
    ['no-export', 0xffffff01],
    ['no-advertise', 0xffffff02],
    ['no-peer', 0xffffff04],
    ['blackhole', 0xffff029a],
    ['graceful-shutdown', 0xffff0000],
    ['llgr-stale', 0xffff0006],
  ])('%s', (text, value) => {
    expect(parseCommunity(text)).toBe(value);
    expect(formatCommunity(value)).toBe(text);
  });

  it.each(['', '1', '1:2:3', '65536:1', '1:65536', ':1', '1:', 'a:b', '-1:1', '1e3:1'])('%j is none', (text) => {
    expect(parseCommunity(text)).toBeUndefined();
  });
});

describe('large communities', () => {
  it('reads and writes three numbers', () => {
    expect(parseLargeCommunity('4200000000:1:4294967295')).toEqual([4200000000, 1, 4294967295]);
    expect(formatLargeCommunity([4200000000, 1, 4294967295])).toBe('4200000000:1:4294967295');
  });

  it.each(['', '1:2', '1:2:3:4', '4294967296:1:1', '01:2:3', '1::3', 'a:b:c'])('%j is none', (text) => {
    expect(parseLargeCommunity(text)).toBeUndefined();
  });
});

describe('extended communities', () => {
  // Octets by hand: RFC 4360 sections 3–5, RFC 5668, draft link bandwidth, RFC 9012 color, RFC 7432 MAC mobility.
  it.each([
    ['rt:65000:100', '0002fde800000064'],
    ['rt:65000:4294967295', '0002fde8ffffffff'],
    ['rt:192.0.2.1:100', '0102c00002010064'],
    ['rt:4200000000:100', '0202fa56ea000064'],
    ['rt:65000L:100', '02020000fde80064'],
    ['soo:65000:1', '0003fde800000001'],
    ['soo:192.0.2.1:1', '0103c00002010001'],
    ['bandwidth:65000:125000000', '4004fde84cee6b28'],
    ['color:100', '030b000000000064'],
    ['mac-mobility:42', '060000000000002a'],
    ['mac-mobility:7:sticky', '0600010000000007'],
    ['0x4006ffff00000001', '4006ffff00000001'],
  ])('%s', (text, octets) => {
    expect(parseExtendedCommunity(text)).toEqual(hex8(octets));
    expect(formatExtendedCommunity(hex8(octets))).toBe(text);
  });

  it('knows other names for the same', () => {
    expect(parseExtendedCommunity('target:1:2')).toEqual(parseExtendedCommunity('rt:1:2'));
    expect(parseExtendedCommunity('origin:1:2')).toEqual(parseExtendedCommunity('soo:1:2'));
  });

  it.each(['', 'rt:1', 'rt:1:2:3', 'rt:4200000000:65536', 'rt:192.0.2.1:65536', 'rt:a:1', 'x:1:2', '0x00', 'color:'])(
    '%j is none',
    (text) => {
      expect(parseExtendedCommunity(text)).toBeUndefined();
    },
  );

  it('says which may leave an AS', () => {
    expect(isTransitiveCommunity(hex8('0002fde800000064'))).toBe(true);
    expect(isTransitiveCommunity(hex8('4004fde84cee6b28'))).toBe(false);
  });

  it('reads back whatever eight octets it prints', () => {
    const half = fc.nat(0xffffffff);
    const typed = fc.constantFrom(0x00020000, 0x01030000, 0x02020000, 0x40040000, 0x030b0000, 0x06000000);
    fc.assert(
      fc.property(
        fc.oneof(
          half,
          fc.tuple(typed, fc.nat(0xffff)).map(([type, low]) => type + low),
        ),
        half,
        (high, low) => {
          const text = formatExtendedCommunity([high, low]);
          expect(parseExtendedCommunity(text)).toEqual([high, low]);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
