import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { IPv4, IPv6 } from 'ip-num';
import { Netmask } from 'netmask';
import { describe, expect, it } from 'vitest';
import type { Address } from './address.ts';
import {
  addressFromBigInt,
  addressFromBytes,
  addressToBigInt,
  addressToBytes,
  canonicalAddress,
  compareAddresses,
  formatAddress,
  parseAddress,
  tryParseAddress,
  unmapAddress,
} from './address.ts';

const address4 = fc.nat({ max: 0xffffffff }).map((value): Address => ({ family: 4, value }));
// Words of 0 and of small values, so that zero runs of every length and place come up.
const word = fc.oneof(fc.constant(0), fc.nat({ max: 0xffff }), fc.nat({ max: 0xffffffff }));
const address6 = fc.tuple(word, word, word, word).map((words): Address => ({ family: 6, words }));
const address = fc.oneof(address4, address6);
/** Text that is nearly an address. */
const nearly = fc
  .array(
    fc.constantFrom('0', '1', '255', '256', '00', 'ff', 'FFFF', 'g', ':', '::', '.', '1.2.3.4', ' ', '%eth0', '/8'),
    {
      maxLength: 12,
    },
  )
  .map((parts) => parts.join(''));

describe('canonical text', () => {
  it.each([
    // RFC 5952 sections 4 and 5, each with its example.
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:DB8::ABCD', '2001:db8::abcd'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['::ffff:c000:0280', '::ffff:192.0.2.128'],
    ['::ffff:192.0.2.128', '::ffff:192.0.2.128'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['::1.2.3.4', '::102:304'],
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
  ])('%s is %s', (text, canonical) => {
    expect(canonicalAddress(text)).toBe(canonical);
    expect(canonicalAddress(canonical)).toBe(canonical);
  });

  it.each([
    '',
    ' ',
    '10',
    '10.1',
    '10.0.0',
    '10.0.0.0.0',
    '010.0.0.1',
    '10.0.0.01',
    '00.0.0.0',
    '256.0.0.1',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4x',
    '1..2.3',
    '.1.2.3',
    '1.2.3.',
    '0x0a.0.0.1',
    '-1.2.3.4',
    '+1.2.3.4',
    '1e1.0.0.1',
    '１.2.3.4',
    '1.2.3.4/32',
    '1.2.3.4\n',
    ':',
    ':::',
    '1',
    '1:',
    ':1',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '::1:2:3:4:5:6:7:8',
    '1:2:3:4::5:6:7:8',
    '12345::',
    '00001::',
    'g::',
    'fe80::1%eth0',
    '::1 ',
    '[::1]',
    '::1.2.3',
    '::1.2.3.4.5',
    '::01.2.3.4',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7:1.2.3.4',
    '1.2.3.4::',
    '::ffff:1.2.3.256',
    '1::/64',
  ])('refuses %j', (text) => {
    expect(tryParseAddress(text)).toBeUndefined();
    expect(() => parseAddress(text)).toThrowError(expect.objectContaining({ code: 'INVALID_ADDRESS' }));
  });

  it('accepts exactly what the platform accepts, zones aside', () => {
    fc.assert(
      fc.property(nearly, (text) => {
        const expected = isIPv4(text) ? 4 : isIPv6(text) && !text.includes('%') ? 6 : undefined;
        expect(tryParseAddress(text)?.family).toBe(expected);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('against ip-num, netmask and the URL standard', () => {
  it('IPv4 values', () => {
    fc.assert(
      fc.property(address4, (value) => {
        const text = formatAddress(value);
        expect(new IPv4(text).getValue()).toBe(addressToBigInt(value));
        expect(new Netmask(text).netLong).toBe((value as { value: number }).value);
      }),
    );
  });
  it('IPv6 values and text', () => {
    fc.assert(
      fc.property(address6, (value) => {
        const text = formatAddress(value);
        const mapped = text.includes('.');
        if (!mapped) expect(new IPv6(text).getValue()).toBe(addressToBigInt(value));
        if (!mapped) expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
      }),
    );
  });
});

it('text, bytes and integers round-trip', () => {
  fc.assert(
    fc.property(address, (value) => {
      expect(parseAddress(formatAddress(value))).toEqual(value);
      expect(addressFromBytes(addressToBytes(value))).toEqual(value);
      expect(addressFromBigInt(value.family, addressToBigInt(value))).toEqual(value);
    }),
  );
  expect(() => addressFromBytes(new Uint8Array(5))).toThrowError();
  expect(() => addressFromBigInt(4, 1n << 32n)).toThrowError();
});

it('orders by family, then by value', () => {
  fc.assert(
    fc.property(address, address, (a, b) => {
      const key = (x: Address): bigint => (x.family === 4 ? 0n : 1n << 128n) + addressToBigInt(x);
      expect(Math.sign(compareAddresses(a, b))).toBe(key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
    }),
  );
});

it('unmaps only ::ffff:0:0/96', () => {
  expect(formatAddress(unmapAddress(parseAddress('::ffff:10.0.0.1')))).toBe('10.0.0.1');
  expect(formatAddress(unmapAddress(parseAddress('::fffe:10.0.0.1')))).toBe('::fffe:a00:1');
});
