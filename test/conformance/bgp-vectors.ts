/**
 * Reads one foreign test vector with our codec and says what came of it: accepted or refused, and whether it writes back.
 * A vector does not always say what its session was, so every context that its provenance leaves open is tried: what should
 * be accepted must be in one of them, what should be refused must be in all.
 */
import { decodeAttributes } from '../../src/bgp/message/attributes/decode.ts';
import { asPathSize, decodeAsPath, formatAsPath, writeAsPath } from '../../src/bgp/message/attributes/as-path.ts';
import {
  formatCommunity,
  formatExtendedCommunity,
  parseExtendedCommunity,
} from '../../src/bgp/message/attributes/communities.ts';
import { u16, u32 } from '../../src/bgp/message/bytes.ts';
import { checkHeader, frame } from '../../src/bgp/message/header.ts';
import { decodeUpdate, encodeUpdate } from '../../src/bgp/message/message.ts';
import { decodeNlri } from '../../src/bgp/message/nlri/nlri.ts';
import { decodeNotification, encodeNotification } from '../../src/bgp/message/notification.ts';
import { decodeCapabilities, decodeOpen, encodeCapabilities, encodeOpen, openAsn } from '../../src/bgp/message/open.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from '../../src/bgp/message/refresh.ts';
import type { AttributeContext, Family, Reaction } from '../../src/bgp/message/types.ts';
import { hex, toHex } from '../support/hex.ts';
import { explained } from './bgp-vector-differences.ts';

/** A line of a vector file. */
export interface Vector {
  readonly id: string;
  readonly kind: string;
  readonly hex: string;
  readonly expect: string;
  readonly meaning?: unknown;
  readonly source: { readonly path?: string; readonly case: string | null };
  readonly context?: {
    readonly asn?: string | number;
    readonly session?: 'ebgp' | 'ibgp';
    readonly hasNlri?: boolean;
    readonly as4?: number;
  };
  readonly as4?: boolean;
  readonly addPath?: boolean;
  readonly truncated?: boolean;
}

/** What our codec made of the octets. */
export interface Outcome {
  readonly reaction: Reaction;
  /** Writes back: the same octets, an equal value, or not at all; absent when there is nothing to write. */
  readonly again?: 'same' | 'equal' | 'differs';
  readonly note: string;
  /** Text of the value where the vector may have one to compare. */
  readonly text?: string;
}

const FAMILIES: readonly Family[] = [
  'ipv4-unicast',
  'ipv6-unicast',
  'ipv4-multicast',
  'ipv6-multicast',
  'ipv4-labelled',
  'ipv6-labelled',
  'ipv4-vpn',
  'ipv6-vpn',
  'ipv4-flowspec',
  'ipv6-flowspec',
  'ipv4-flowspec-vpn',
  'ipv6-flowspec-vpn',
  'l2vpn-evpn',
];
// Families without name here that the vectors have: MVPN, MDT, RTC, VPLS, SR policy, MUP, link state.
const OTHERS = ['1/5', '2/5', '1/66', '2/66', '1/129', '2/129', '1/132', '2/132', '25/65', '1/73', '2/73', '1/85'];
const ALL = [...FAMILIES, ...OTHERS, '2/85', '1/71', '2/71', '16388/71', '16388/72', '1/65', '25/67'] as Family[];

function contexts(vector: Vector): AttributeContext[] {
  const width = vector.context?.asn;
  const as4 = vector.as4 ?? (width === '2-byte' ? false : width === '4-byte' ? true : undefined);
  const list: AttributeContext[] = [];
  for (const addPath of vector.addPath === undefined ? [false, true] : [vector.addPath]) {
    for (const fourOctetAs of as4 === undefined ? [true, false] : [as4]) {
      for (const peerType of vector.context?.session === undefined
        ? (['ebgp', 'ibgp'] as const)
        : [vector.context.session]) {
        list.push({
          peerType,
          fourOctetAs,
          families: ALL,
          extendedNextHop: ALL,
          ...(addPath ? { addPath: ALL } : {}),
        });
      }
    }
  }
  return list;
}

const STRENGTH: readonly Reaction[] = ['accept', 'discard', 'withdraw', 'reset'];

function json(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part instanceof Uint8Array ? toHex(part) : typeof part === 'bigint' ? `${part}n` : part,
  );
}

function readUpdate(message: Uint8Array, context: AttributeContext): Outcome {
  const update = decodeUpdate(message, 0, message.length, context);
  const note = update.findings.map(({ reason }) => reason).join('; ');
  const { reaction, announced, withdrawn, attributes } = update;
  if (STRENGTH.indexOf(reaction) > 1) return { reaction, note };
  const options = {
    fourOctetAs: context.fourOctetAs ?? true,
    ...(context.addPath === undefined ? {} : { addPath: context.addPath }),
    maxLength: 65535,
    peerType: context.peerType,
  };
  const messages = [
    ...withdrawn.flatMap((withdraw) => encodeUpdate({ withdraw }, options).messages),
    ...announced.flatMap((announce) => encodeUpdate({ attributes, announce }, options).messages),
  ];
  if (messages.length === 0) return { reaction, note };
  const again = messages.map((octets) => decodeUpdate(octets, 0, octets.length, context));
  const { nextHop: _given, ...rest } = attributes;
  const equal =
    json(again.flatMap((part) => part.withdrawn)) === json(withdrawn) &&
    json(again.flatMap((part) => part.announced)) === json(announced) &&
    again.every((part) => {
      if (part.announced.length === 0) return true;
      const { nextHop: _hop, ...found } = part.attributes;
      // Passing an unknown attribute on sets Partial.
      const marked = rest.unknown?.map((raw) => ({ ...raw, flags: raw.flags | 0x20 }));
      return json(sorted(found)) === json(sorted({ ...rest, ...(marked === undefined ? {} : { unknown: marked }) }));
    });
  const same = messages.length === 1 && toHex(messages[0] ?? message) === toHex(message);
  return { reaction, note, again: same ? 'same' : equal ? 'equal' : 'differs' };
}

function sorted(value: object): unknown {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

function readMessage(message: Uint8Array, context: AttributeContext): Outcome {
  const fault = message.length < 19 ? undefined : checkHeader(message, 0, 65535);
  if (message.length < 19) return { reaction: 'reset', note: 'cut in its header' };
  if (fault !== undefined) return { reaction: 'reset', note: fault.reason };
  const length = u16(message, 16);
  if (length > message.length) return { reaction: 'reset', note: 'cut' };
  const octets = message.subarray(0, length);
  switch (octets[18]) {
    case 1: {
      const open = decodeOpen(octets, 0, length);
      if (!open.ok) return { reaction: 'reset', note: open.reason };
      const { holdTime, routerId, capabilities } = open.value;
      const again = encodeOpen({ asn: openAsn(open.value), holdTime, routerId, capabilities });
      const reread = decodeOpen(again, 0, again.length);
      const equal = json({ ...(reread.ok ? reread.value : {}), myAs: 0 }) === json({ ...open.value, myAs: 0 });
      return {
        reaction: 'accept',
        note: '',
        again: toHex(again) === toHex(octets) ? 'same' : equal ? 'equal' : 'differs',
      };
    }
    case 2:
      return readUpdate(octets, context);
    case 3: {
      const again = encodeNotification(decodeNotification(octets, 0, length));
      return { reaction: 'accept', note: '', again: toHex(again) === toHex(octets) ? 'same' : 'differs' };
    }
    case 5: {
      const refresh = decodeRouteRefresh(octets, 0, length);
      if (!refresh.ok) return { reaction: 'reset', note: refresh.reason };
      const again = encodeRouteRefresh(refresh.value.family, refresh.value.subtype, refresh.value.rest);
      return { reaction: 'accept', note: '', again: toHex(again) === toHex(octets) ? 'same' : 'differs' };
    }
    default:
      return { reaction: 'accept', note: '' };
  }
}

function readBlock(block: Uint8Array, context: AttributeContext, hasNlri: boolean): Outcome {
  const { reaction, findings } = decodeAttributes(block, 0, block.length, context, hasNlri);
  // A part of a block is judged by itself: what is missing around it is no finding of its own.
  const own = findings.filter(({ code }) => hasNlri || (code !== 'attribute-missing' && code !== 'no-reachable-nlri'));
  const worst = own.reduce<Reaction>(
    (found, { reaction: next }) => (STRENGTH.indexOf(next) > STRENGTH.indexOf(found) ? next : found),
    'accept',
  );
  return { reaction: hasNlri ? reaction : worst, note: own.map(({ reason }) => reason).join('; ') };
}

function attribute(flags: number, code: number, value: Uint8Array): Uint8Array {
  return Uint8Array.of(flags | 0x10, code, value.length >> 8, value.length & 255, ...value);
}

/** The routes of an MP attribute too: their syntax is judged apart from the attribute's. */
function readMp(value: Uint8Array, code: 14 | 15, context: AttributeContext): Outcome {
  const block = attribute(0x80, code, value);
  const outcome = readBlock(block, context, false);
  if (STRENGTH.indexOf(outcome.reaction) > 1) return outcome;
  const { mpReach, mpUnreach } = decodeAttributes(block, 0, block.length, context, false);
  const found = mpReach ?? mpUnreach;
  if (found === undefined) return outcome;
  const addPath = context.addPath !== undefined;
  const end = found.nlriOffset + found.nlriLength;
  const { errorAt } = decodeNlri(found.family, block, found.nlriOffset, end, addPath);
  return errorAt === undefined ? outcome : { reaction: 'reset', note: `routes are malformed at ${errorAt}` };
}

function readRoutes(value: Uint8Array, families: readonly Family[], addPath: boolean): Outcome {
  for (const family of families) {
    const { errorAt, entries } = decodeNlri(family, value, 0, value.length, addPath);
    const opaque = entries.find(({ detail }) => detail.kind === 'opaque');
    if (errorAt === undefined && opaque === undefined) {
      return { reaction: 'accept', note: '', again: 'same', text: entries.map(({ text }) => text).join(', ') };
    }
  }
  return { reaction: 'reset', note: `no ${families.join(' or ')}` };
}

function readAsPath(value: Uint8Array, context: AttributeContext): Outcome {
  const width = context.fourOctetAs === false ? 2 : 4;
  const path = decodeAsPath(value, 0, value.length, width);
  if (typeof path === 'string') return { reaction: 'withdraw', note: path };
  const out = new Uint8Array(asPathSize(path, width));
  writeAsPath(out, 0, path, width);
  return {
    reaction: 'accept',
    note: '',
    again: toHex(out) === toHex(value) ? 'same' : 'differs',
    text: formatAsPath(path),
  };
}

function readCapabilities(value: Uint8Array): Outcome {
  const found = decodeCapabilities(value, 0, value.length);
  if (typeof found === 'string') return { reaction: 'reset', note: found };
  const again = encodeCapabilities(found);
  const reread = decodeCapabilities(again, 0, again.length);
  const equal = json(reread) === json(found);
  return { reaction: 'accept', note: '', again: toHex(again) === toHex(value) ? 'same' : equal ? 'equal' : 'differs' };
}

function readParameters(value: Uint8Array): Outcome {
  const open = frame(1, Uint8Array.of(4, 0xfd, 0xe8, 0, 90, 10, 0, 0, 1, value.length, ...value));
  return readMessage(open, { peerType: 'ebgp', families: ALL });
}

function readBody(type: number, body: Uint8Array, context: AttributeContext): Outcome {
  return readMessage(frame(type, body), context);
}

/** How the octets of one vector are to be read; `foreign` is no BGP that this codec has, to be survived only. */
type Reading = (value: Uint8Array, context: AttributeContext) => Outcome;

const blockOf =
  (flags: number, code: number): Reading =>
  (value, context) =>
    readBlock(attribute(flags, code, value), context, false);

const survive: Reading = (value, context) => {
  for (const type of [1, 2, 3, 5]) readBody(type, value, context);
  readMessage(value, context);
  readBlock(value, context, false);
  readMp(value, 14, context);
  readMp(value, 15, context);
  readCapabilities(value);
  readAsPath(value, context);
  for (const family of ALL) decodeNlri(family, value, 0, value.length, false);
  return { reaction: 'accept', note: 'foreign' };
};

/** Part of an UPDATE, by the name of the test that its octets come from. */
const BY_CASE: readonly (readonly [RegExp, Reading])[] = [
  [
    /^(Test_MalformedUpdateMsg|BenchmarkDecodeUpdateMsg|TestDecodeUpdateMsg|BGPUpdate|update )/,
    (v, c) => readBody(2, v, c),
  ],
  [/^(TestDecodeNotificationMsg|BGPNotification)/, (v, c) => readBody(3, v, c)],
  [/^(TestDecodeOpenMsg|BGPOpen |BGPOpen-|Test_BGPOpenDecodeCapabilities|open_too_short)/, (v, c) => readBody(1, v, c)],
  [/^(BGPRouteRefresh|route_refresh_)/, (v, c) => readBody(5, v, c)],
  [/^TestSerialize(KeepaliveMsg|NotificationMsg|OpenMsg|AddPath)?\//, readMessage],
  [/^TestSerialize(KeepaliveMsg|NotificationMsg|OpenMsg|AddPath)?$/, readMessage],
  [
    /^(Test_MpReachNLRIWith(IPv6|VPN|IPv4)|Test_MpUnreachNLRI|BGPPathAttr - |Test_Unknown.*PathAttribute)/,
    (v, c) => readBlock(v, c, false),
  ],
  [
    /^(Test_PathAttributeNextHop_InvalidLength|TestAsPathDecoding|Test_VPLS|TestSerialize(Origin|NextHop|MED))/,
    (v, c) => readBlock(v, c, false),
  ],
  [
    /^TestSerialize(LocalPref|AtomicAggregate|Aggregator|ASPath|LargeComm|Communities|ClusterList)/,
    (v, c) => readBlock(v, c, false),
  ],
  [/^(BGPPAASPath)/, readAsPath],
  [/^(BGPPANextHop|TestDecodeNextHop)/, blockOf(0x40, 3)],
  [/^(BGPPAMultiExitDisc|TestDecodeMED)/, blockOf(0x80, 4)],
  [/^(BGPPALocalPref|TestDecodeLocalPref)/, blockOf(0x40, 5)],
  [/^TestDecodeOrigin/, blockOf(0x40, 1)],
  [/^(BGPPAAggregator|TestDecodeAggregator)/, blockOf(0xc0, 7)],
  [/^(BGPPACommunity|TestDecodeCommunity)/, blockOf(0xc0, 8)],
  [/^BGPPAOriginatorID/, blockOf(0x80, 9)],
  [/^(BGPPAClusterList|TestDecodeClusterList)/, blockOf(0x80, 10)],
  [/^BGPPAAS4Aggregator/, blockOf(0xc0, 18)],
  [/^(BGPPALargeCommunity|TestDecodeLargeCommunity)/, blockOf(0xc0, 32)],
  [/^(BGPPAMPReachNLRI|Test(Serialize|Decode)MultiProtocolReachNLRI)/, (v, c) => readMp(v, 14, c)],
  [/^(BGPPAMPUnreachNLRI|Test(Serialize|Decode)MultiProtocolUnreachNLRI)/, (v, c) => readMp(v, 15, c)],
  [/^(BGPNLRI_IPv4|nlri_decode_ipv4)/, (v, c) => readRoutes(v, ['ipv4-unicast'], c.addPath !== undefined)],
  [
    /^(BGPNLRI_IPv6|nlri_decode_ipv6|TestDecodeNLRIv6)/,
    (v, c) => readRoutes(v, ['ipv6-unicast'], c.addPath !== undefined),
  ],
  [
    /^(TestDecodeNLRI|TestNLRISerialize)/,
    (v, c) => readRoutes(v, ['ipv4-unicast', 'ipv4-labelled', 'ipv4-multicast'], c.addPath !== undefined),
  ],
  [/^(BGPCap(Multiprotocol|ORF|GracefulRestart|FourBytesASN|ability) - )/, readCapabilities],
  [/^(capability_|open_with_multiprotocol)/, readCapabilities],
  [/^(BGPOptParam|TestSerializeOptParams|TestDecodeOptParams)/, readParameters],
  [/^TestDecodeAddPathCapability/, (v) => readCapabilities(Uint8Array.of(69, v.length, ...v))],
  [/^TestDecodePeerRoleCapability/, (v) => readCapabilities(Uint8Array.of(9, v.length, ...v))],
  [/^(type[1-5]_wire_length|gobgp_type3)/, (v) => readRoutes(v, ['l2vpn-evpn'], false)],
  [
    /^(display_(four|ipv4|unknown)|mac_mobility_(no|present)|attribute_extended_community|mup_extended_roundtrip)/,
    (v) => {
      const value = [u32(v, 0), u32(v, 4)] as const;
      const text = formatExtendedCommunity(value);
      const same = json(parseExtendedCommunity(text)) === json(value);
      return { reaction: 'accept', note: '', again: same ? 'same' : 'differs', text };
    },
  ],
];

function readingOf(vector: Vector): Reading | undefined {
  const name = vector.source.case ?? '';
  const named = BY_CASE.find(([pattern]) => pattern.test(name))?.[1];
  switch (vector.kind) {
    case 'message':
      return readMessage;
    case 'body':
      // Some are whole messages under another name.
      if (/^(ff\s*){16}/i.test(vector.hex)) return readMessage;
      return named ?? ((value, context) => readBody(2, value, context));
    case 'attrs':
      return (value, context) => readBlock(value, context, vector.context?.hasNlri ?? false);
    case 'attr':
      return (value, context) => readBlock(value, context, false);
    case 'as-path':
      return readAsPath;
    case 'mp-reach':
      return (value, context) => readMp(value, 14, context);
    case 'mp-unreach':
      return (value, context) => readMp(value, 15, context);
    case 'nlri':
      return (value, context) =>
        readRoutes(value, ['ipv4-unicast', 'ipv4-labelled', 'ipv4-vpn'], context.addPath !== undefined);
    case 'open-caps':
      return readCapabilities;
    case 'open-params':
      return readParameters;
    default:
      return named;
  }
}

/** How a vector fared. */
export interface Judgement {
  readonly verdict: 'agrees' | 'survived' | 'differs';
  readonly again?: 'same' | 'equal' | 'differs';
  readonly note: string;
  readonly text?: string;
}

const GOOD = new Set(['parse', 'decoded', 'encodes-to']);

/** Reads a vector in every context it leaves open and compares with what it expects. */
export function judge(vector: Vector): Judgement {
  const value = hex(vector.hex);
  const reading = readingOf(vector);
  const tried = contexts(vector);
  if (reading === undefined) {
    for (const context of tried) survive(value, context);
    return { verdict: 'survived', note: 'no BGP that this codec has' };
  }
  const outcomes = tried.map((context) => reading(value, context));
  const best = outcomes.reduce((found, next) => {
    const difference = STRENGTH.indexOf(next.reaction) - STRENGTH.indexOf(found.reaction);
    return difference < 0 || (difference === 0 && found.again === 'differs') ? next : found;
  });
  const { reaction, again, note, text } = best;
  const facts = {
    note: `${reaction}: ${note}`,
    ...(again === undefined ? {} : { again }),
    ...(text === undefined ? {} : { text }),
  };
  if (GOOD.has(vector.expect)) {
    const fine = reaction === 'accept' && again !== 'differs';
    return { verdict: fine ? 'agrees' : 'differs', ...facts };
  }
  if (vector.expect === 'error') return { verdict: reaction === 'accept' ? 'differs' : 'agrees', ...facts };
  if (vector.expect === 'withdraw' || vector.expect === 'discard') {
    return { verdict: reaction === vector.expect ? 'agrees' : 'differs', ...facts };
  }
  if (vector.expect === 'notify') return { verdict: reaction === 'reset' ? 'agrees' : 'differs', ...facts };
  return { verdict: 'survived', ...facts };
}

/** What one line of bgpdump says of a route, in its own order of fields. */
function dumpLines(vector: Vector, addPath: boolean): string[] {
  const message = hex(vector.hex);
  const context: AttributeContext = {
    peerType: 'ibgp',
    fourOctetAs: vector.as4 ?? true,
    families: ALL,
    ...(addPath ? { addPath: ALL } : {}),
  };
  const { attributes: of, announced, withdrawn } = decodeUpdate(message, 0, message.length, context);
  const aggregator = of.aggregator === undefined ? '' : `${of.aggregator.asn} ${of.aggregator.address}`;
  const communities = (of.communities ?? []).map(formatCommunity).join(' ');
  const tail = [
    formatAsPath(of.asPath ?? []),
    of.origin?.toUpperCase() ?? '',
    '',
    of.localPref ?? 0,
    of.med ?? 0,
    communities,
    of.atomicAggregate === true ? 'AG' : 'NAG',
    aggregator,
  ];
  return [
    ...withdrawn.flatMap(({ routes }) => routes.map(({ text }) => `W|${text}`)),
    ...announced.flatMap(({ routes, nextHop }) =>
      routes.map(({ text }) => ['A', text, ...tail.slice(0, 2), nextHop, ...tail.slice(3)].join('|')),
    ),
  ].sort();
}

/** Compares every field of a captured UPDATE with what bgpdump printed of it; says what is read otherwise. */
export function compareWithDump(vector: Vector): string | undefined {
  const dump = (vector.meaning as { bgpdump?: unknown } | undefined)?.bgpdump;
  // Where the vector misstates its session, bgpdump misread it too.
  if (!Array.isArray(dump) || explained.has(vector.id)) return undefined;
  const meant = (dump as string[])
    .map((line) => line.split('|'))
    .filter(([, , kind]) => kind === 'A' || kind === 'W')
    .map((cells) => {
      // Path identifiers, where the session has them, follow the prefix.
      const rest = vector.addPath === true ? [...cells.slice(5, 6), ...cells.slice(7)] : cells.slice(5);
      return cells[2] === 'W' ? `W|${rest[0]}` : ['A', ...rest, ''].slice(0, 10).join('|');
    })
    .sort();
  if (meant.length === 0) return undefined;
  const found = dumpLines(vector, vector.addPath === true);
  // The vectors keep 60 lines of a dump at most.
  const cut = meant.length === 60 && found.length > 60;
  const index = meant.findIndex((line, at) => (cut ? !found.includes(line) : line !== found[at]));
  if (index < 0 && (cut || found.length === meant.length)) return undefined;
  return `bgpdump reads ${meant[index] ?? meant.length}, ours ${found[index] ?? found.length}`;
}

/** ExaBGP's own JSON of an UPDATE, as far as it is compared. */
interface ExaUpdate {
  readonly attribute?: Readonly<Record<string, unknown>>;
  readonly announce?: Readonly<Record<string, Readonly<Record<string, readonly ExaRoute[]>>>>;
  readonly withdraw?: Readonly<Record<string, readonly ExaRoute[]>>;
}

interface ExaRoute {
  readonly nlri?: string;
  readonly 'path-information'?: string;
}

function exaRoute({ nlri, 'path-information': path }: ExaRoute, hop: string): string {
  return `${nlri}${path === undefined ? '' : ` path ${path}`}${hop === '' ? '' : ` via ${hop}`}`;
}

/** Compares unicast routes, next hops, ORIGIN, MED and LOCAL_PREF with what ExaBGP prints; says what is read otherwise. */
export function compareWithJson(vector: Vector): string | undefined {
  const update = (vector.meaning as { json?: { update?: ExaUpdate } | null } | undefined)?.json?.update;
  if (update === undefined || explained.has(vector.id)) return undefined;
  const unicast = (family: string): boolean => family === 'ipv4 unicast' || family === 'ipv6 unicast';
  const meant: string[] = [];
  for (const [family, byHop] of Object.entries(update.announce ?? {})) {
    if (!unicast(family)) continue;
    for (const [hop, found] of Object.entries(byHop)) meant.push(...found.map((one) => exaRoute(one, hop)));
  }
  for (const [family, found] of Object.entries(update.withdraw ?? {})) {
    if (unicast(family)) meant.push(...found.map((one) => exaRoute(one, 'nowhere')));
  }
  if (meant.length === 0) return undefined;
  const message = hex(vector.hex);
  const paths = meant.some((text) => text.includes(' path '));
  const context: AttributeContext = {
    peerType: 'ibgp',
    families: ALL,
    extendedNextHop: ALL,
    ...(paths ? { addPath: ALL } : {}),
  };
  const { announced, withdrawn, attributes } = decodeUpdate(message, 0, message.length, context);
  const dotted = (id: number): string => [24, 16, 8, 0].map((shift) => (id >>> shift) & 255).join('.');
  const show = (text: string, id: number | undefined, hop: string): string =>
    `${text}${id === undefined ? '' : ` path ${dotted(id)}`} via ${hop}`;
  const plain = ({ family }: { readonly family: Family }): boolean => /^ipv[46]-unicast$/.test(family);
  const found = [
    ...announced
      .filter(plain)
      .flatMap(({ routes, nextHop }) => routes.map(({ text, pathId }) => show(text, pathId, nextHop))),
    ...withdrawn.filter(plain).flatMap(({ routes }) => routes.map(({ text, pathId }) => show(text, pathId, 'nowhere'))),
  ];
  if (json([...found].sort()) !== json([...meant].sort())) return `ExaBGP reads ${json(meant)}, ours ${json(found)}`;
  const { attribute = {} } = update;
  for (const [name, ours] of [
    ['origin', attributes.origin],
    ['med', attributes.med],
    ['local-preference', attributes.localPref],
  ] as const) {
    if (name in attribute && attribute[name] !== ours)
      return `ExaBGP reads ${name} ${json(attribute[name])}, ours ${ours}`;
  }
  return undefined;
}
