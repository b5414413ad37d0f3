import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../../test/support/hex.ts';
import type { Family } from '../types.ts';
import { decodeNlri, nlriSize, prefixNlri, writeNlri } from './nlri.ts';

function read(family: Family, octets: string, addPath = false) {
  const bytes = hex(octets);
  return decodeNlri(family, bytes, 0, bytes.length, addPath);
}

// Octets by hand from the RFC of each family.
const table: readonly (readonly [Family, string, string])[] = [
  ['ipv4-unicast', '18c63364', '198.51.100.0/24'],
  ['ipv6-unicast', '3020010db80001', '2001:db8:1::/48'],
  ['ipv4-multicast', '18e00001', '224.0.1.0/24'],
  ['ipv4-labelled', '20 000641 0a', '10.0.0.0/8 label 100'],
  ['ipv4-labelled', '20 800000 0a', '10.0.0.0/8 label 524288'],
  ['ipv4-labelled', '58 000640 000c81 c0000201 0000', 'malformed'],
  ['ipv4-labelled', '50 000640 000c81 c0000201', '192.0.2.1/32 label 100,200'],
  ['ipv6-labelled', '38 000641 20010db8', '2001:db8::/32 label 100'],
  ['ipv4-vpn', '60 000641 0000fde800000001 0a', 'rd 65000:1 10.0.0.0/8 label 100'],
  ['ipv4-vpn', '60 000641 0001c000020100 05 0a', 'rd 192.0.2.1:5 10.0.0.0/8 label 100'],
  ['ipv4-vpn', '60 000641 0002fa56ea000005 0a', 'rd 4200000000:5 10.0.0.0/8 label 100'],
  ['ipv4-vpn', '60 000641 ff02fa56ea000005 0a', 'rd 0xff02fa56ea000005 10.0.0.0/8 label 100'],
  ['ipv6-vpn', '78 000641 0000fde800000001 20010db8', 'rd 65000:1 2001:db8::/32 label 100'],
  ['ipv4-flowspec', '0c 01180a0001 038106 05910050', 'destination 10.0.1.0/24 protocol =6 destination-port =80'],
  ['ipv4-flowspec', '08 0218c00002 0c8001', 'source 192.0.2.0/24 fragment ~0x1'],
  ['ipv4-flowspec', '06 04030a c50014', 'opaque component of type 20'],
  ['ipv4-flowspec', '06 04030a d50014', 'port >=10&<=20'],
  ['ipv6-flowspec', '08 01 20 00 20010db8 0d', 'opaque flow-label is cut'],
  ['ipv6-flowspec', '0a 01 20 00 20010db8 0d 8107', 'destination 2001:db8::/32 flow-label =7'],
  ['ipv4-flowspec', '03 038106', 'protocol =6'],
  ['ipv4-flowspec', '00', 'opaque no components'],
  ['ipv4-flowspec', '06 038106 038111', 'opaque components out of order (RFC 8955 section 4.2)'],
  ['ipv4-flowspec', '03 0f8106', 'opaque component of type 15'],
  ['ipv4-flowspec-vpn', '0b 0000fde800000001 038106', 'rd 65000:1 protocol =6'],
  [
    'l2vpn-evpn',
    '01 19 0000fde800000001 00112233445566778899 00000064 000c80',
    'evpn auto-discovery rd 65000:1 esi 00:11:22:33:44:55:66:77:88:99 tag 100 label 3200',
  ],
  [
    'l2vpn-evpn',
    '02 25 0000fde800000001 00000000000000000000 00000000 30 aabbcc000102 20 0a000001 000064',
    'evpn mac-ip rd 65000:1 tag 0 mac aa:bb:cc:00:01:02 10.0.0.1 label 100',
  ],
  ['l2vpn-evpn', '03 11 0000fde800000001 00000064 20 c0000201', 'evpn multicast rd 65000:1 tag 100 192.0.2.1'],
  [
    'l2vpn-evpn',
    '04 17 0000fde800000001 00112233445566778899 20 c0000201',
    'evpn segment rd 65000:1 esi 00:11:22:33:44:55:66:77:88:99 192.0.2.1',
  ],
  [
    'l2vpn-evpn',
    '05 22 0000fde800000001 00000000000000000000 00000000 18 c6336400 c0000201 000064',
    'evpn prefix rd 65000:1 tag 0 198.51.100.0/24 via 192.0.2.1 label 100',
  ],
  ['l2vpn-evpn', '09 02 cafe', 'opaque route type 9'],
  ['l2vpn-evpn', '03 02 cafe', 'opaque malformed multicast route'],
  ['7/9', 'cafe', 'opaque family 7/9'],
];

describe('decodeNlri', () => {
  it.each(table)('%s: %s is %s', (family, octets, expected) => {
    const { entries, errorAt } = read(family, octets);
    if (errorAt !== undefined) {
      expect('malformed').toBe(expected);
      return;
    }
    const [route] = entries;
    const { detail } = route ?? expect.fail('no route');
    expect(detail.kind === 'opaque' ? `opaque ${detail.reason}` : route?.text).toBe(expected);
    expect(toHex(route?.raw ?? new Uint8Array())).toBe(octets.replaceAll(' ', ''));
  });

  it('reads flow specifications of 240 octets and more', () => {
    const body = `04${'010a'.repeat(120)}81ff`;
    const { entries } = read('ipv4-flowspec', `f0f3${body}`);
    expect(entries[0]?.detail.kind).toBe('flowspec');
    expect(entries[0]?.raw.length).toBe(245);
  });

  it('goes on behind a route that it does not understand, where a length says where that is', () => {
    const { entries } = read('l2vpn-evpn', '0902cafe' + '03110000fde8000000010000006420c0000201');
    expect(entries.map(({ detail }) => detail.kind)).toEqual(['opaque', 'evpn']);
  });

  it('reads path identifiers in any family (RFC 7911 section 3)', () => {
    const { entries } = read('ipv4-vpn', '00000007 60 000641 0000fde800000001 0a', true);
    expect(entries[0]).toMatchObject({ pathId: 7, text: 'rd 65000:1 10.0.0.0/8 label 100' });
  });

  it.each<[Family, string, number]>([
    ['ipv4-labelled', '10 0006', 0],
    ['ipv4-labelled', '17 000641', 0],
    ['ipv4-vpn', '50 000641 0000fde8000000', 0],
    ['ipv4-vpn', '20 000641 0a', 0],
    ['ipv6-vpn', '60 000641 0000fde800000001', 0],
    ['ipv4-flowspec', 'f0', 0],
    ['ipv4-flowspec', '04 038106', 0],
    ['l2vpn-evpn', '03', 0],
    ['l2vpn-evpn', '0902cafe 0302ca', 4],
  ])('%s: %s is not well-formed at %i', (family, octets, at) => {
    expect(read(family, octets).errorAt).toBe(at);
  });
});

describe('prefixNlri', () => {
  it.each([
    ['10.0.0.0/8', '080a'],
    ['0.0.0.0/0', '00'],
    ['2001:db8::/33', '2120010db800'],
  ])('writes %s', (text, octets) => {
    expect(toHex(prefixNlri(text).raw)).toBe(octets);
  });

  it('writes path identifiers where the session has them', () => {
    const out = new Uint8Array(16);
    const route = prefixNlri('10.0.0.0/8', 5);
    expect([nlriSize(route, true), writeNlri(out, 0, route, true)]).toEqual([6, 6]);
    expect(toHex(out.subarray(0, 6))).toBe('00000005080a');
    expect(writeNlri(out, 0, route, false)).toBe(2);
  });
});
