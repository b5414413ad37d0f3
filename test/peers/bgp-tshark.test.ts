import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeKeepalive } from '../../src/bgp/message/header.ts';
import { encodeUpdate, type UpdateEncodeOptions, type UpdateFields } from '../../src/bgp/message/message.ts';
import { decodeNlri, prefixNlri } from '../../src/bgp/message/nlri/nlri.ts';
import { encodeNotification, hardReset, notification, shutdownData } from '../../src/bgp/message/notification.ts';
import { encodeOpen } from '../../src/bgp/message/open.ts';
import { encodeRouteRefresh } from '../../src/bgp/message/refresh.ts';
import type { AsPathSegment, Capability, Family, PathAttributes } from '../../src/bgp/message/types.ts';
import { encodeEndOfRib } from '../../src/bgp/message/update.ts';
import { hex } from '../support/hex.ts';
import { capture, type Said } from '../support/pcap.ts';

// An independent decoder reads everything that we write: nothing malformed, no warning, and the values that were meant.

const FIELDS = {
  type: 'bgp.type',
  malformed: '_ws.malformed',
  expert: '_ws.expert.message',
  codes: 'bgp.update.path_attribute.type_code',
  origin: 'bgp.update.path_attribute.origin',
  as4: 'bgp.update.path_attribute.as_path_segment.as4',
  as2: 'bgp.update.path_attribute.as_path_segment.as2',
  segments: 'bgp.update.path_attribute.as_path_segment.type',
  nextHop: 'bgp.update.path_attribute.next_hop',
  med: 'bgp.update.path_attribute.multi_exit_disc',
  localPref: 'bgp.update.path_attribute.local_pref',
  aggregatorAs: 'bgp.update.path_attribute.aggregator_as',
  aggregatorAddress: 'bgp.update.path_attribute.aggregator_origin',
  communityAs: 'bgp.update.path_attribute.community_as',
  communityValue: 'bgp.update.path_attribute.community_value',
  originator: 'bgp.update.path_attribute.originator_id',
  clusters: 'bgp.path_attribute.cluster_id',
  largeGlobal: 'bgp.large_communities.ga',
  largeOne: 'bgp.large_communities.ldp1',
  largeTwo: 'bgp.large_communities.ldp2',
  aigp: 'bgp.update.attribute.aigp.accu_igp_metric',
  hop6: 'bgp.update.path_attribute.mp_reach_nlri.next_hop.ipv6',
  local6: 'bgp.update.path_attribute.mp_reach_nlri.next_hop.ipv6.link_local',
  prefix4: 'bgp.nlri_prefix',
  withdrawn4: 'bgp.withdrawn_prefix',
  prefix6: 'bgp.mp_reach_nlri_ipv6_prefix',
  withdrawn6: 'bgp.mp_unreach_nlri_ipv6_prefix',
  lengths: 'bgp.prefix_length',
  pathIds: 'bgp.nlri_path_id',
  capabilities: 'bgp.cap.type',
  capAs: 'bgp.cap.4as',
  hold: 'bgp.open.holdtime',
  id: 'bgp.open.identifier',
  major: 'bgp.notify.major_error',
  minorCease: 'bgp.notify.minor_error_cease',
  communication: 'bgp.notify.communication',
  refreshAfi: 'bgp.route_refresh.afi',
  refreshSubtype: 'bgp.route_refresh.subtype',
} as const;
type Seen = Readonly<Record<keyof typeof FIELDS, string>>;

/** What tshark says of each packet; it guesses the width of AS numbers unless told. */
function dissect(streams: readonly (readonly Said[])[], width: 2 | 4 = 4): Seen[] {
  const folder = mkdtempSync(join(tmpdir(), 'krm-tshark-'));
  try {
    const file = join(folder, 'said.pcap');
    writeFileSync(file, capture(streams));
    const names = Object.keys(FIELDS) as (keyof typeof FIELDS)[];
    const text = execFileSync(
      'tshark',
      [
        '-r',
        file,
        '-o',
        `bgp.asn_len:${width} octet`,
        '-T',
        'fields',
        '-E',
        'separator=|',
        '-E',
        'aggregator=,',
        ...names.flatMap((name) => ['-e', FIELDS[name]]),
      ],
      { encoding: 'utf8', timeout: 60_000, maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] },
    );
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const cells = line.split('|');
        return Object.fromEntries(names.map((name, index) => [name, cells[index] ?? ''])) as Seen;
      });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function complaints({ malformed, expert }: Seen): string[] {
  return [...(malformed === '' ? [] : ['malformed']), ...(expert === '' ? [] : expert.split(','))];
}

const ASN = 4_200_000_000;
const FAMILIES: readonly Family[] = [
  'ipv4-unicast',
  'ipv6-unicast',
  'ipv4-labelled',
  'ipv4-vpn',
  'ipv6-vpn',
  'ipv4-flowspec',
  'l2vpn-evpn',
];

function opens(kind: 'wide' | 'narrow' | 'paths'): Said[] {
  const capabilities: Capability[] = FAMILIES.map((family) => ({ type: 'multiprotocol', family }));
  if (kind !== 'narrow') capabilities.push({ type: 'four-octet-as', asn: ASN });
  if (kind === 'paths') {
    const mode = 'both' as const;
    capabilities.push({
      type: 'add-path',
      entries: [
        { family: 'ipv4-unicast', mode },
        { family: 'ipv6-unicast', mode },
      ],
    });
  }
  const octets = encodeOpen({ asn: kind === 'narrow' ? 64512 : ASN, holdTime: 90, routerId: 0xc0000201, capabilities });
  return [
    { from: 'client', octets },
    { from: 'server', octets },
  ];
}

interface Case {
  readonly name: string;
  readonly session: 'wide' | 'narrow' | 'paths';
  readonly octets: Uint8Array;
  readonly expected: Partial<Seen>;
}

function update(fields: UpdateFields, options: UpdateEncodeOptions = {}): Uint8Array {
  const { messages, unfit } = encodeUpdate(fields, options);
  expect(unfit).toEqual([]);
  expect(messages.length).toBe(1);
  return messages[0] ?? new Uint8Array();
}

const sequence = (...asns: number[]): AsPathSegment => ({ type: 'sequence', asns });
const attributes: PathAttributes = { origin: 'igp', asPath: [sequence(ASN, 64512)] };
const route4 = { family: 'ipv4-unicast' as const, nextHop: '192.0.2.1', routes: [prefixNlri('198.51.100.0/24')] };

function opaque(family: Family, octets: string, nextHop: string): UpdateFields {
  const bytes = hex(octets);
  return {
    attributes,
    announce: { family, nextHop, routes: decodeNlri(family, bytes, 0, bytes.length, false).entries },
  };
}

const everyCapability: Capability[] = [
  { type: 'multiprotocol', family: 'ipv4-unicast' },
  { type: 'route-refresh' },
  { type: 'extended-next-hop', entries: [{ family: 'ipv4-unicast', nextHopAfi: 2 }] },
  { type: 'extended-message' },
  { type: 'role', role: 'customer' },
  {
    type: 'graceful-restart',
    restarting: true,
    notification: true,
    restartTime: 120,
    families: [{ family: 'ipv4-unicast', forwarding: true }],
  },
  { type: 'four-octet-as', asn: ASN },
  { type: 'add-path', entries: [{ family: 'ipv4-unicast', mode: 'both' }] },
  { type: 'enhanced-route-refresh' },
  {
    type: 'long-lived-graceful-restart',
    entries: [{ family: 'ipv4-unicast', forwarding: true, staleTime: 3600 }],
  },
  { type: 'fqdn', hostName: 'node-1', domainName: 'example' },
  { type: 'software-version', version: 'kube-router-sdk' },
];

const table: readonly Case[] = [
  {
    name: 'OPEN with every capability',
    session: 'wide',
    octets: encodeOpen({ asn: ASN, holdTime: 90, routerId: 0xc0000201, capabilities: everyCapability }),
    expected: {
      type: '1',
      capabilities: '1,2,5,6,9,64,65,69,70,71,73,75',
      capAs: String(ASN),
      hold: '90',
      id: '192.0.2.1',
    },
  },
  { name: 'KEEPALIVE', session: 'wide', octets: encodeKeepalive(), expected: { type: '4' } },
  {
    name: 'ROUTE-REFRESH',
    session: 'wide',
    octets: encodeRouteRefresh('ipv6-unicast'),
    expected: { type: '5', refreshAfi: '2' },
  },
  {
    name: 'beginning of refresh',
    session: 'wide',
    octets: encodeRouteRefresh('ipv4-unicast', 1),
    expected: { type: '5', refreshSubtype: '1' },
  },
  {
    name: 'End-of-RIB of IPv4',
    session: 'wide',
    octets: encodeEndOfRib('ipv4-unicast'),
    expected: { type: '2', codes: '' },
  },
  {
    name: 'End-of-RIB of IPv6',
    session: 'wide',
    octets: encodeEndOfRib('ipv6-unicast'),
    expected: { type: '2', codes: '15' },
  },
  {
    name: 'IPv4 with every attribute',
    session: 'wide',
    octets: update({
      announce: route4,
      attributes: {
        ...attributes,
        asPath: [sequence(ASN, 64512), { type: 'set', asns: [1, 2] }],
        med: 10,
        localPref: 200,
        atomicAggregate: true,
        aggregator: { asn: ASN, address: '192.0.2.9' },
        communities: [0xfde80001, 0xfde9ffff],
        originatorId: 0xc0000207,
        clusterList: [0xc0000208, 1],
        extendedCommunities: [[0x0002fde8, 100]],
        largeCommunities: [[ASN, 1, 2]],
        aigp: 123456789012n,
        otc: 64512,
      },
    }),
    expected: {
      type: '2',
      codes: '1,2,3,4,5,6,7,8,9,10,16,26,32,35',
      origin: '0',
      as4: `${ASN},64512,1,2`,
      segments: '2,1',
      nextHop: '192.0.2.1',
      med: '10',
      localPref: '200',
      aggregatorAs: String(ASN),
      aggregatorAddress: '192.0.2.9',
      communityAs: '65000,65001',
      communityValue: '1,65535',
      originator: '192.0.2.7',
      clusters: '192.0.2.8,0.0.0.1',
      largeGlobal: String(ASN),
      largeOne: '1',
      largeTwo: '2',
      aigp: '123456789012',
      prefix4: '198.51.100.0',
      lengths: '24',
    },
  },
  {
    name: 'four-octet numbers to a two-octet peer',
    session: 'narrow',
    octets: update(
      { announce: route4, attributes: { ...attributes, aggregator: { asn: ASN, address: '192.0.2.9' } } },
      { fourOctetAs: false },
    ),
    expected: { codes: '1,2,3,7,17,18', as2: '23456,64512', as4: `${ASN},64512` },
  },
  {
    name: '600 hops',
    session: 'wide',
    octets: update({
      announce: route4,
      attributes: { ...attributes, asPath: [sequence(...new Array<number>(600).fill(ASN))] },
    }),
    expected: { segments: '2,2,2', as4: new Array<number>(600).fill(ASN).join(',') },
  },
  {
    name: 'IPv6',
    session: 'wide',
    octets: update({
      attributes,
      announce: {
        family: 'ipv6-unicast',
        nextHop: '2001:db8::1',
        linkLocal: 'fe80::1',
        routes: [prefixNlri('2001:db8::/32'), prefixNlri('2001:db8::1/128')],
      },
    }),
    expected: {
      codes: '14,1,2',
      hop6: '2001:db8::1',
      local6: 'fe80::1',
      prefix6: '2001:db8::,2001:db8::1',
    },
  },
  {
    name: 'withdrawn IPv4',
    session: 'wide',
    octets: update({
      withdraw: { family: 'ipv4-unicast', routes: [prefixNlri('10.0.0.0/8'), prefixNlri('192.0.2.1/32')] },
    }),
    expected: { withdrawn4: '10.0.0.0,192.0.2.1' },
  },
  {
    // Alone: among others its octet of 0 makes tshark 4.0 guess at path identifiers.
    name: 'the default routes',
    session: 'wide',
    octets: update({ attributes, announce: { ...route4, routes: [prefixNlri('0.0.0.0/0')] } }),
    expected: { prefix4: '0.0.0.0', lengths: '0' },
  },
  {
    name: 'withdrawn IPv6',
    session: 'wide',
    octets: update({ withdraw: { family: 'ipv6-unicast', routes: [prefixNlri('2001:db8::/32')] } }),
    expected: { codes: '15', withdrawn6: '2001:db8::' },
  },
  {
    name: 'path identifiers',
    session: 'paths',
    octets: update(
      {
        attributes,
        announce: { ...route4, routes: [prefixNlri('10.0.0.0/8', 7), prefixNlri('10.0.0.0/8', 4294967295)] },
      },
      { addPath: ['ipv4-unicast'] },
    ),
    expected: { prefix4: '10.0.0.0,10.0.0.0', pathIds: '7,4294967295' },
  },
  {
    name: 'unknown attributes passed on',
    session: 'wide',
    octets: update({
      announce: route4,
      attributes: { ...attributes, unknown: [{ code: 200, flags: 0xc0, value: new Uint8Array(300) }] },
    }),
    expected: { codes: '1,2,3,200' },
  },
  {
    name: 'labelled route',
    session: 'wide',
    octets: update(opaque('ipv4-labelled', '30000641c63364', '192.0.2.1')),
    expected: { codes: '14,1,2' },
  },
  {
    name: 'VPN routes',
    session: 'wide',
    octets: update(opaque('ipv4-vpn', '70 000641 0000fde800000001 c63364', '192.0.2.1')),
    expected: { codes: '14,1,2' },
  },
  {
    name: 'VPN routes of IPv6',
    session: 'wide',
    octets: update(opaque('ipv6-vpn', '78 000641 0000fde800000001 20010db8', '2001:db8::1')),
    expected: { codes: '14,1,2' },
  },
  {
    name: 'flow specification',
    session: 'wide',
    octets: update(opaque('ipv4-flowspec', '0c 01180a0001 038106 05910050', '')),
    expected: { codes: '14,1,2' },
  },
  {
    name: 'EVPN route',
    session: 'wide',
    octets: update(
      opaque(
        'l2vpn-evpn',
        '0225 0000fde800000001 00000000000000000000 00000000 30 aabbcc000102 20 0a000001 000064',
        '192.0.2.1',
      ),
    ),
    expected: { codes: '14,1,2' },
  },
  {
    name: 'administrative shutdown',
    session: 'wide',
    octets: encodeNotification(notification(6, 2, shutdownData('moving racks'))),
    expected: { type: '3', major: '6', minorCease: '2', communication: 'moving racks' },
  },
  {
    name: 'hard reset',
    session: 'wide',
    octets: encodeNotification(hardReset(notification(6, 4))),
    expected: { type: '3', major: '6', minorCease: '9' },
  },
];

describe('tshark decodes what we send', () => {
  const seen = new Map<string, Seen>();

  beforeAll(() => {
    for (const session of ['wide', 'narrow', 'paths'] as const) {
      const entries = table.filter((entry) => entry.session === session);
      const stream = [...opens(session), ...entries.map(({ octets }): Said => ({ from: 'client', octets }))];
      const packets = dissect([stream], session === 'narrow' ? 2 : 4);
      expect(packets.length).toBe(stream.length);
      entries.forEach(({ name }, index) => {
        const packet = packets[index + 2];
        if (packet !== undefined) seen.set(name, packet);
      });
    }
  });

  it.each(table)('$name', ({ name, expected }) => {
    const packet = seen.get(name) ?? expect.fail('not dissected');
    expect(packet).toMatchObject(expected);
    expect(complaints(packet)).toEqual([]);
  });

  it('warns of extended messages by name: tshark 4.0 knows no RFC 8654', () => {
    const routes = Array.from({ length: 15_000 }, (_, index) => prefixNlri(`10.${index >> 8}.${index & 255}.0/24`));
    const octets = update({ attributes, announce: { ...route4, routes } }, { maxLength: 65_535 });
    expect(octets.length).toBe(60_047);
    const packets = dissect([[...opens('wide'), { from: 'client', octets }]]);
    expect(packets.flatMap(complaints)).toEqual(['malformed', 'Length is invalid 60047']);
  });

  it('reads 400 random sets of attributes as they were meant', () => {
    const u32 = fc.nat(0xffffffff);
    const asn = fc.integer({ min: 1, max: 0xffffffff });
    const octet = fc.nat(255);
    const address = fc.tuple(fc.integer({ min: 1, max: 223 }), octet, octet, octet).map((part) => part.join('.'));
    const some = fc.record({
      asPath: fc.array(asn, { minLength: 1, maxLength: 12 }),
      nextHop: address,
      med: u32,
      localPref: u32,
      // Well-known ones are shown under another field.
      communities: fc.array(fc.tuple(fc.integer({ min: 1, max: 65_534 }), fc.nat(65_535)), {
        minLength: 1,
        maxLength: 9,
      }),
      large: fc.uniqueArray(fc.tuple(u32, u32, u32), { minLength: 1, maxLength: 5, selector: String }),
      prefixes: fc.array(fc.tuple(octet, octet, fc.integer({ min: 16, max: 24 })), { minLength: 1, maxLength: 9 }),
    });
    const values = fc.sample(some, { numRuns: 400, seed: 8092 });
    const dotted = (a: number, b: number, bits: number) => {
      const value = ((10 << 24) | (a << 16) | (b << 8)) & (-1 << (32 - bits));
      return `10.${(value >>> 16) & 255}.${(value >>> 8) & 255}.0`;
    };
    const said = values.map((value): Said => {
      const given: PathAttributes = {
        origin: 'incomplete',
        asPath: [sequence(...value.asPath)],
        med: value.med,
        localPref: value.localPref,
        communities: value.communities.map(([high, low]) => high * 65_536 + low),
        largeCommunities: value.large,
      };
      const routes = value.prefixes.map(([a, b, bits]) => prefixNlri(`${dotted(a, b, bits)}/${bits}`));
      return {
        from: 'client',
        octets: update({ attributes: given, announce: { ...route4, nextHop: value.nextHop, routes } }),
      };
    });
    const packets = dissect([[...opens('wide'), ...said]]).slice(2);
    expect(packets.length).toBe(400);
    packets.forEach((packet, index) => {
      const value = values[index] ?? expect.fail();
      expect(complaints(packet)).toEqual([]);
      expect(packet).toMatchObject({
        origin: '2',
        as4: value.asPath.join(','),
        nextHop: value.nextHop,
        med: String(value.med),
        localPref: String(value.localPref),
        communityAs: value.communities.map(([high]) => high).join(','),
        communityValue: value.communities.map(([, low]) => low).join(','),
        largeGlobal: value.large.map(([part]) => part).join(','),
        largeOne: value.large.map(([, part]) => part).join(','),
        largeTwo: value.large.map(([, , part]) => part).join(','),
        prefix4: value.prefixes.map(([a, b, bits]) => dotted(a, b, bits)).join(','),
      });
    });
  });
});
