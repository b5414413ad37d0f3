import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../../test/support/hex.ts';
import type { AsPathSegment, AttributeContext, PathAttributes } from '../types.ts';
import { parseAsPath } from './as-path.ts';
import { decodeAttributes } from './decode.ts';
import { encodeAttributes, type EncodeContext } from './encode.ts';
import { findMpAttributes } from './find.ts';
import { attributeName } from './reading.ts';

const IBGP: AttributeContext = { peerType: 'ibgp', families: ['ipv4-unicast', 'ipv6-unicast'] };
const path = (text: string): AsPathSegment[] => parseAsPath(text) ?? expect.fail(text);

function encode(attributes: PathAttributes, context: EncodeContext = {}, limit = 4096): string | undefined {
  const out = new Uint8Array(limit);
  const end = encodeAttributes(attributes, context, out, 0);
  return end < 0 ? undefined : toHex(out.subarray(0, end));
}

function decode(octets: string, context: AttributeContext = IBGP, hasNlri = false) {
  const bytes = hex(octets);
  return decodeAttributes(bytes, 0, bytes.length, context, hasNlri);
}

// One attribute each; octets by hand from the RFC that defines it.
const table: readonly (readonly [string, PathAttributes, string])[] = [
  ['ORIGIN', { origin: 'igp' }, '400101 00'],
  ['ORIGIN incomplete', { origin: 'incomplete' }, '400101 02'],
  ['AS_PATH', { asPath: path('64512 4200000000') }, '40020a 0202 0000fc00 fa56ea00'],
  ['empty AS_PATH', { asPath: [] }, '400200'],
  ['NEXT_HOP', { nextHop: '192.0.2.1' }, '400304 c0000201'],
  ['MULTI_EXIT_DISC', { med: 4294967295 }, '800404 ffffffff'],
  ['LOCAL_PREF', { localPref: 100 }, '400504 00000064'],
  ['ATOMIC_AGGREGATE', { atomicAggregate: true }, '400600'],
  ['AGGREGATOR', { aggregator: { asn: 4200000000, address: '192.0.2.9' } }, 'c00708 fa56ea00 c0000209'],
  ['COMMUNITIES', { communities: [0xfde80001, 0xffffff01] }, 'c00808 fde80001 ffffff01'],
  ['ORIGINATOR_ID', { originatorId: 0xc0000203 }, '800904 c0000203'],
  ['CLUSTER_LIST', { clusterList: [1, 0xc0000204] }, '800a08 00000001 c0000204'],
  ['EXTENDED COMMUNITIES', { extendedCommunities: [[0x0002fde8, 100]] }, 'c01008 0002fde800000064'],
  [
    'IPv6 EXTENDED COMMUNITIES',
    { ipv6ExtendedCommunities: [hex('000220010db800000000000000000000000100 64')] },
    'c01914 000220010db80000000000000000000000010064',
  ],
  ['AIGP', { aigp: 0x123456789abcdef0n }, '801a0b 01 000b 123456789abcdef0'],
  ['LARGE_COMMUNITY', { largeCommunities: [[4200000000, 1, 2]] }, 'c0200c fa56ea00 00000001 00000002'],
  ['OTC', { otc: 64512 }, 'c02304 0000fc00'],
];

describe('attributes one by one', () => {
  it.each(table)('%s', (_name, attributes, octets) => {
    const bare = octets.replaceAll(' ', '');
    expect(encode(attributes)).toBe(bare);
    expect(decode(octets)).toEqual({ attributes, reaction: 'accept', findings: [] });
  });

  it('writes them all in the order of their codes', () => {
    const all = table
      .filter(([name]) => name !== 'empty AS_PATH')
      .reduce<PathAttributes>((sum, [, attributes]) => ({ ...sum, ...attributes }), {});
    const octets = encode(all) ?? '';
    const codes: number[] = [];
    for (let at = 0; at < octets.length; at += 6 + parseInt(octets.slice(at + 4, at + 6), 16) * 2) {
      codes.push(parseInt(octets.slice(at + 2, at + 4), 16));
    }
    expect(codes).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 25, 26, 32, 35]);
  });

  it('puts unknown ones between the known, in the order of their codes', () => {
    const raw = (code: number) => ({ code, flags: 0xc0, value: Uint8Array.of(1) });
    expect(encode({ origin: 'igp', communities: [1], otc: 2, unknown: [raw(23), raw(40)] })).toBe(
      '40010100' + 'c00804' + '00000001' + 'e0170101' + 'c02304' + '00000002' + 'e0280101',
    );
  });

  it('has names for people', () => {
    expect([attributeName(5), attributeName(17), attributeName(32), attributeName(201)]).toEqual([
      'LOCAL_PREF',
      'AS4_PATH',
      'LARGE_COMMUNITIES',
      'attribute 201',
    ]);
  });
});

describe('two-octet sessions (RFC 6793 section 4.2)', () => {
  const old: AttributeContext = { ...IBGP, fourOctetAs: false };

  it('carries four-octet numbers past the peer', () => {
    const attributes: PathAttributes = {
      asPath: path('64512 4200000000'),
      aggregator: { asn: 4200000000, address: '192.0.2.9' },
    };
    const octets =
      '400206' +
      '0202fc005ba0' +
      'c00706' +
      '5ba0c0000209' +
      'c0110a' +
      '02020000fc00fa56ea00' +
      'c01208' +
      'fa56ea00c0000209';
    expect(encode(attributes, { fourOctetAs: false })).toBe(octets);
    expect(decode(octets, old).attributes).toEqual(attributes);
  });

  it('adds nothing when two octets are enough', () => {
    expect(encode({ asPath: path('64512') }, { fourOctetAs: false })).toBe('4002040201fc00');
  });

  it('forgets AS4 attributes when someone aggregated since', () => {
    const { attributes } = decode(
      '400206 0202fc005ba0 c00706 fc01c0000209 c01106 0201fa56ea00 c01208 fa56ea00c0000209',
      old,
    );
    expect(attributes.asPath).toEqual(path('64512 23456'));
    expect(attributes.aggregator?.asn).toBe(0xfc01);
  });
});

describe('what may not leave an AS', () => {
  it('stays', () => {
    const attributes: PathAttributes = {
      asPath: path('(65001) 64512'),
      localPref: 200,
      originatorId: 1,
      clusterList: [1],
      med: 5,
    };
    expect(encode(attributes, { peerType: 'ebgp' })).toBe('40020602010000fc00' + '80040400000005');
  });
});

describe('the Partial bit', () => {
  it('is set on unknown attributes passed on and kept on known ones', () => {
    const { attributes } = decode('e00804 fde80001 c0c802 cafe 80c902 cafe');
    expect(attributes).toEqual({
      communities: [0xfde80001],
      partial: [8],
      unknown: [{ code: 200, flags: 0xc0, value: hex('cafe') }],
    });
    expect(encode(attributes)).toBe('e00804fde80001' + 'e0c802cafe');
  });
});

describe('room', () => {
  it('says when it is too small, and writes up to the last octet', () => {
    const communities = Array.from({ length: 100 }, (_, index) => index);
    expect(encode({ communities }, {}, 403)).toBeUndefined();
    expect(encode({ communities }, {}, 404)).toMatch(/^d0080190/);
  });

  it('never writes a length that two octets cannot hold', () => {
    const communities = new Array<number>(20_000).fill(1);
    expect(encode({ communities }, {}, 200_000)).toBeUndefined();
  });

  it('leaves empty lists out', () => {
    expect(
      encode({ communities: [], extendedCommunities: [], largeCommunities: [], clusterList: [], unknown: [] }),
    ).toBe('');
  });

  it.each([{ nextHop: '2001:db8::1' }, { nextHop: 'x' }, { aggregator: { asn: 1, address: '::1' } }])(
    'refuses %j, which no attribute can hold',
    (attributes) => {
      expect(() => encode(attributes)).toThrow(expect.objectContaining({ code: 'INVALID_ADDRESS' }));
    },
  );
});

describe('MP_REACH_NLRI', () => {
  const V6 = '20010db8000000000000000000000001';
  const LOCAL = 'fe800000000000000000000000000002';
  const every: AttributeContext = {
    ...IBGP,
    families: ['ipv4-unicast', 'ipv6-unicast', 'ipv4-vpn', 'ipv6-vpn', 'l2vpn-evpn', 'ipv4-flowspec'],
  };
  it.each([
    ['IPv6', `00020110${V6}00`, { family: 'ipv6-unicast', nextHop: '2001:db8::1' }],
    ['IPv6 with link-local', `00020120${V6}${LOCAL}00`, { nextHop: '2001:db8::1', linkLocal: 'fe80::2' }],
    ['IPv6 with link-local alone', `00020110${LOCAL}00`, { nextHop: 'fe80::2', linkLocal: 'fe80::2' }],
    [
      'IPv6 with :: and link-local',
      `00020120${'00'.repeat(16)}${LOCAL}00`,
      { nextHop: 'fe80::2', linkLocal: 'fe80::2' },
    ],
    ['IPv4', '00010104c000020100', { family: 'ipv4-unicast', nextHop: '192.0.2.1' }],
    ['VPNv4', '0001800c0000000000000000c000020100', { family: 'ipv4-vpn', nextHop: '192.0.2.1' }],
    ['VPNv6', `00028018${'00'.repeat(8)}${V6}00`, { family: 'ipv6-vpn', nextHop: '2001:db8::1' }],
    ['EVPN', '00194604c000020100', { family: 'l2vpn-evpn', nextHop: '192.0.2.1' }],
    ['flow specification', '0001850000', { family: 'ipv4-flowspec', nextHop: '' }],
  ])('%s', (_name, value, expected) => {
    const size = (value.length / 2).toString(16).padStart(2, '0');
    const { mpReach, findings } = decode(`800e${size}${value}`, every);
    expect(findings).toEqual([]);
    expect(mpReach).toMatchObject({ ...expected, nlriLength: 0, nlriOffset: 3 + value.length / 2 });
  });

  it('takes an IPv6 next hop for IPv4 where that was negotiated (RFC 8950)', () => {
    const octets = `800e15 00010110${V6}00`;
    expect(decode(octets).reaction).toBe('reset');
    expect(decode(octets, { ...IBGP, extendedNextHop: ['ipv4-unicast'] }).mpReach).toMatchObject({
      family: 'ipv4-unicast',
      nextHop: '2001:db8::1',
    });
  });
});

describe('findMpAttributes', () => {
  const spans = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };
  it('finds them among others', () => {
    const bytes = hex('ff 40010100 900f0003000201 800e03000201 400200');
    expect(findMpAttributes(bytes, 1, bytes.length - 1, spans)).toBe(true);
    expect(spans).toEqual({ unreachStart: 5, unreachEnd: 12, reachStart: 12, reachEnd: 18 });
  });

  it.each(['40', '4001', '400105', '900100', '800e00800e00', '800f00800f00'])('gives up on %s', (octets) => {
    const bytes = hex(octets);
    expect(findMpAttributes(bytes, 0, bytes.length, spans)).toBe(false);
  });
});

describe('round trips', () => {
  const u32 = fc.nat(0xffffffff);
  const asn = fc.integer({ min: 1, max: 0xffffffff });
  const address = fc
    .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255))
    .map((octets) => octets.join('.'));
  const attributes = fc.record(
    {
      origin: fc.constantFrom('igp', 'egp', 'incomplete'),
      asPath: fc.array(
        fc.record({
          type: fc.constantFrom('sequence', 'set', 'confed-sequence', 'confed-set'),
          asns: fc.array(asn, { minLength: 1, maxLength: 20 }),
        }),
        { maxLength: 4 },
      ),
      nextHop: address,
      med: u32,
      localPref: u32,
      atomicAggregate: fc.constant(true),
      aggregator: fc.record({ asn, address }),
      communities: fc.array(u32, { minLength: 1, maxLength: 80 }),
      originatorId: u32,
      clusterList: fc.array(u32, { minLength: 1, maxLength: 8 }),
      extendedCommunities: fc.array(fc.tuple(u32, u32), { minLength: 1, maxLength: 8 }),
      largeCommunities: fc.uniqueArray(fc.tuple(u32, u32, u32), { minLength: 1, maxLength: 8, selector: String }),
      aigp: fc.bigInt({ min: 0n, max: 0xffffffffffffffffn }),
      otc: u32,
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<PathAttributes>;

  it('reads back what it writes, with four octets', () => {
    fc.assert(
      fc.property(attributes, (value) => {
        const out = new Uint8Array(65535);
        const end = encodeAttributes(value, {}, out, 0);
        expect(decodeAttributes(out, 0, end, IBGP, true).attributes).toEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  it('reads back what it writes, with two octets, while AS_TRANS is nobody and confederations stay small', () => {
    fc.assert(
      fc.property(attributes, (value) => {
        const segments = (value.asPath ?? []).map(({ type, asns }) => ({
          type,
          asns: asns.map((number) =>
            type.startsWith('confed') ? (number % 23455) + 1 : number === 23456 ? 1 : number,
          ),
        }));
        // Adjacent sequences become one when merged (RFC 6793 leaves that open), so one of each is enough here.
        const asPath = segments.slice(0, 1);
        const out = new Uint8Array(65535);
        const given = { ...value, asPath };
        const end = encodeAttributes(given, { fourOctetAs: false }, out, 0);
        const { attributes: again, reaction } = decodeAttributes(out, 0, end, { ...IBGP, fourOctetAs: false }, true);
        expect(again.asPath).toEqual(asPath);
        expect(again.aggregator).toEqual(given.aggregator);
        expect(reaction).not.toBe('reset');
      }),
      { numRuns: 300 },
    );
  });
});
