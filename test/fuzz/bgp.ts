/**
 * A fuzzer for the BGP codec: builds messages from the grammar, breaks them, and checks what must hold for any octets.
 * Inputs that lead to a combination of findings not seen before are kept and mutated further, so that the search follows the
 * codec's behaviour rather than chance. Everything derives from one seed.
 * `node test/fuzz/bgp.ts [--count 10000000] [--seed 1] [--keep]` prints a record; `--keep` writes the corpus.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { asPathLength } from '../../src/bgp/message/attributes/as-path.ts';
import { decodeAttributes } from '../../src/bgp/message/attributes/decode.ts';
import { findMpAttributes } from '../../src/bgp/message/attributes/find.ts';
import { u32 } from '../../src/bgp/message/bytes.ts';
import { createFramer } from '../../src/bgp/message/framer.ts';
import { decodeUpdate, encodeUpdate } from '../../src/bgp/message/message.ts';
import { decodeNlri } from '../../src/bgp/message/nlri/nlri.ts';
import { decodeNotification, describeNotification, encodeNotification } from '../../src/bgp/message/notification.ts';
import { decodeOpen, encodeOpen, openAsn } from '../../src/bgp/message/open.ts';
import { createPrefixBatch, readPrefixes4, readPrefixes6 } from '../../src/bgp/message/prefixes.ts';
import { decodeRouteRefresh } from '../../src/bgp/message/refresh.ts';
import type { AttributeContext, AttributesResult, Family } from '../../src/bgp/message/types.ts';
import { createUpdateParts, splitUpdate } from '../../src/bgp/message/update.ts';
import { createScan, scanAttributes } from '../../src/bgp/rib/attribute-scan.ts';
import { isSdkError } from '../../src/net/index.ts';
import { malformedUpdates } from '../conformance/bgp-malformed.ts';
import { hex, toHex } from '../support/hex.ts';

const CORPUS = resolve(import.meta.dirname, 'corpus/bgp.txt');
const MAX_BEHAVIOURS = 20_000;
/** What is kept on disk: short inputs, not many of them. */
const KEPT = { count: 500, octets: 120 };

/** Numbers from a seed (xorshift32). */
export interface Random {
  (below: number): number;
}

/** The same numbers for the same seed. */
export function createRandom(seed: number): Random {
  let state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const ALL: readonly Family[] = [
  'ipv4-unicast',
  'ipv6-unicast',
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

const CONTEXTS: readonly AttributeContext[] = [
  { peerType: 'ebgp', families: ['ipv4-unicast', 'ipv6-unicast'] },
  { peerType: 'ibgp', families: ALL },
  { peerType: 'ebgp', fourOctetAs: false, families: ALL, asSets: 'withdraw' },
  { peerType: 'ibgp', fourOctetAs: false, families: ALL, addPath: ALL },
  { peerType: 'confed', families: ALL, addPath: ['ipv4-unicast'], extendedNextHop: ALL },
];

// Growing octet strings ---------------------------------------------------------------------------------------------

type Octets = number[];

const pick = <T>(random: Random, list: readonly T[]): T => list[random(list.length)] as T;
const some = (random: Random, count: number): Octets => Array.from({ length: count }, () => random(256));
const word = (value: number): Octets => [(value >> 8) & 255, value & 255];
const long = (value: number): Octets => [...word(value >>> 16), ...word(value & 0xffff)];

function prefixes(random: Random, most: number, addPath: boolean): Octets {
  const out: Octets = [];
  for (let left = random(6); left > 0; left--) {
    const length = random(most + 1);
    if (addPath) out.push(...some(random, 4));
    out.push(length, ...some(random, (length + 7) >>> 3));
  }
  return out;
}

function routes(random: Random, afi: number, safi: number): Octets {
  const most = afi === 1 ? 32 : 128;
  if (safi === 70) return Array.from({ length: random(3) }, () => evpn(random)).flat();
  if (safi === 133 || safi === 134) return Array.from({ length: random(3) }, () => flow(random, safi === 134)).flat();
  if (safi === 4 || safi === 128) {
    const out: Octets = [];
    for (let left = random(3); left > 0; left--) {
      const bits = random(most + 1);
      const rd = safi === 128 ? [0, random(4), ...some(random, 6)] : [];
      out.push(
        24 + rd.length * 8 + bits,
        ...some(random, 2),
        random(256) | 1,
        ...rd,
        ...some(random, (bits + 7) >>> 3),
      );
    }
    return out;
  }
  return prefixes(random, most, random(4) === 0);
}

function evpn(random: Random): Octets {
  const type = random(7);
  const lengths = [8, 25, pick(random, [33, 37, 49, 36]), pick(random, [17, 29]), pick(random, [23, 35]), 34, 20];
  const body = some(random, lengths[type] ?? 8);
  if (type === 2) {
    body[22] = 48;
    body[29] = pick(random, [0, 32, 128]);
  }
  if (type === 3) body[12] = pick(random, [32, 128]);
  if (type === 4) body[18] = pick(random, [32, 128]);
  return [type, body.length, ...body];
}

function flow(random: Random, vpn: boolean): Octets {
  const body: Octets = vpn ? some(random, 8) : [];
  for (let type = 1; type <= 13; type++) {
    if (random(3) > 0) continue;
    if (type <= 2) body.push(type, 24, ...some(random, 3));
    else {
      body.push(type);
      for (let left = random(3); left > 0; left--) body.push(random(8), random(256));
      body.push(0x80 | random(8), random(256));
    }
  }
  return body.length < 240 ? [body.length, ...body] : [0xf0 | (body.length >> 8), body.length & 255, ...body];
}

const MP = [
  [1, 1],
  [2, 1],
  [1, 4],
  [2, 4],
  [1, 128],
  [2, 128],
  [1, 133],
  [2, 133],
  [1, 134],
  [25, 70],
] as const;
const HOPS = [4, 16, 32, 12, 24, 48, 0];

function attributeValue(random: Random, code: number): Octets {
  switch (code) {
    case 1:
      return [random(3)];
    case 2:
    case 17: {
      const out: Octets = [];
      const width = random(8) === 0 ? 2 : 4;
      for (let left = random(3); left > 0; left--) {
        const count = 1 + random(random(20) === 0 ? 255 : 5);
        out.push(pick(random, [2, 2, 2, 1, 3, 4]), count, ...some(random, count * width));
      }
      return out;
    }
    case 3:
      return [1 + random(223), ...some(random, 3)];
    case 6:
      return [];
    case 7:
      return some(random, pick(random, [6, 8]));
    case 14: {
      const [afi, safi] = pick(random, MP);
      const hop = pick(random, HOPS);
      return [0, afi, safi, hop, ...some(random, hop), 0, ...routes(random, afi, safi)];
    }
    case 15: {
      const [afi, safi] = pick(random, MP);
      return [0, afi, safi, ...routes(random, afi, safi)];
    }
    case 8:
    case 10:
      return some(random, 4 * (1 + random(4)));
    case 16:
    case 18:
      return some(random, 8 * (1 + random(3)));
    case 25:
      return some(random, 20);
    case 26:
      return [1, 0, 11, ...some(random, 8)];
    case 32:
      return some(random, 12 * (1 + random(3)));
    case 4:
    case 5:
    case 9:
    case 35:
      return some(random, 4);
    default:
      return some(random, random(random(30) === 0 ? 400 : 12));
  }
}

const FLAGS: Readonly<Record<number, number>> = {
  1: 0x40,
  2: 0x40,
  3: 0x40,
  4: 0x80,
  5: 0x40,
  6: 0x40,
  9: 0x80,
  10: 0x80,
  14: 0x80,
  15: 0x80,
  26: 0x80,
};
const CODES = [4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 25, 26, 32, 35, 40, 200];

function attribute(random: Random, code: number): Octets {
  const value = attributeValue(random, code);
  let flags = FLAGS[code] ?? 0xc0;
  if (random(40) === 0) flags ^= 1 << random(8);
  const wide = value.length > 255 || random(12) === 0;
  return [flags | (wide ? 0x10 : 0), code, ...(wide ? word(value.length) : [value.length]), ...value];
}

function message(type: number, body: Octets): Octets {
  return [...new Array<number>(16).fill(255), ...word(19 + body.length), type, ...body];
}

function update(random: Random): Octets {
  const withdrawn = random(3) === 0 ? prefixes(random, 32, random(4) === 0) : [];
  const block: Octets = [];
  for (const code of [1, 2, 3]) if (random(20) > 0) block.push(...attribute(random, code));
  for (let left = random(5); left > 0; left--) block.push(...attribute(random, pick(random, CODES)));
  const nlri = random(3) > 0 ? prefixes(random, 32, random(4) === 0) : [];
  return message(2, [...word(withdrawn.length), ...withdrawn, ...word(block.length), ...block, ...nlri]);
}

/** As most speakers write: ascending codes, exact flags, shortest headers. One thing in it may be off. */
function canonical(random: Random): Octets {
  const block: Octets = [];
  const internal = random(2) === 0;
  for (const code of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32, 35]) {
    const inside = code === 5 || code === 9 || code === 10;
    if (inside ? !internal : code > 3 && random(2) === 0) continue;
    let value = attributeValue(random, code);
    if (code === 2) value = random(9) === 0 ? [] : [2, 3, ...some(random, 4), 0, 0, 0xfb, 0xf4, ...some(random, 4)];
    if (code === 7) value = some(random, 8);
    if (random(60) === 0) value = value.slice(1);
    const wide = value.length > 255;
    const flags = (FLAGS[code] ?? 0xc0) | (wide ? 0x10 : 0) | (code > 6 && random(9) === 0 ? 0x20 : 0);
    block.push(flags, code, ...(wide ? word(value.length) : [value.length]), ...value);
  }
  return message(2, [0, 0, ...word(block.length), ...block, 24, ...some(random, 3)]);
}

function open(random: Random): Octets {
  const capabilities: Octets = [];
  for (let left = random(6); left > 0; left--) {
    const code = pick(random, [1, 2, 3, 5, 6, 9, 64, 65, 69, 70, 71, 73, 75, random(256)]);
    const sizes: Readonly<Record<number, number>> = { 1: 4, 5: 6, 9: 1, 64: 6, 65: 4, 69: 4, 71: 7 };
    const value = some(random, sizes[code] ?? random(8));
    capabilities.push(code, value.length, ...value);
  }
  const parameters = capabilities.length === 0 ? [] : [2, capabilities.length, ...capabilities];
  const long_ = random(6) === 0;
  const field = long_
    ? [255, 255, ...word(capabilities.length + 3), 2, ...word(capabilities.length), ...capabilities]
    : [parameters.length, ...parameters];
  return message(1, [4, ...word(1 + random(65535)), ...word(random(400)), ...long(1 + random(0xfffffff)), ...field]);
}

function build(random: Random): Octets {
  const kind = random(20);
  if (kind < 4) return canonical(random);
  if (kind < 14) return update(random);
  if (kind < 17) return open(random);
  if (kind === 17) return message(3, [random(9), random(12), ...some(random, random(30))]);
  if (kind === 18)
    return message(5, [0, 1 + random(2), random(4), 1, ...some(random, random(3) === 0 ? random(9) : 0)]);
  return message(4, []);
}

/** Breaks octets: bits, lengths, cuts, insertions, doubled pieces. Usually mends the message length afterwards. */
function mutate(random: Random, octets: Octets): Octets {
  let out = octets.slice();
  for (let left = 1 + random(3); left > 0; left--) {
    const at = out.length <= 19 ? random(out.length) : 19 + random(out.length - 19);
    switch (random(8)) {
      case 0:
        out[at] = (out[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        out[at] = random(256);
        break;
      case 2:
        out[at] = pick(random, [0, 1, 0x7f, 0x80, 0xff, 3, 4, 33, 129]);
        break;
      case 3:
        out.splice(at, 1 + random(4));
        break;
      case 4:
        out.splice(at, 0, ...some(random, 1 + random(4)));
        break;
      case 5:
        out.splice(at, 0, ...out.slice(at, at + 1 + random(24)));
        break;
      case 6:
        out = out.slice(0, at);
        break;
      default:
        out[at] = ((out[at] ?? 0) + pick(random, [1, 255])) & 255;
    }
  }
  if (out.length > 4096) out.length = 4096;
  if (out.length >= 19 && random(16) > 0) {
    out[16] = out.length >> 8;
    out[17] = out.length & 255;
  }
  return out;
}

// What must hold ----------------------------------------------------------------------------------------------------

/** A broken promise, with the octets that break it. */
export class FuzzFailure extends Error {
  readonly octets: string;
  constructor(what: string, octets: Uint8Array) {
    super(`${what}: ${toHex(octets)}`);
    this.octets = toHex(octets);
  }
}

const batch4 = createPrefixBatch(4);
const batch6 = createPrefixBatch(6);

/** The batch readers of the hot path must read what the reader for people reads. */
function compareReaders(family: Family, bytes: Uint8Array, at: number, end: number, addPath: boolean): void {
  if (family !== 'ipv4-unicast' && family !== 'ipv6-unicast') return;
  const batch = family === 'ipv4-unicast' ? batch4 : batch6;
  const errorAt = (family === 'ipv4-unicast' ? readPrefixes4 : readPrefixes6)(bytes, at, end, addPath, batch);
  const slow = decodeNlri(family, bytes, at, end, addPath);
  if ((slow.errorAt ?? -1) !== errorAt) throw new FuzzFailure(`readers of ${family} disagree on validity`, bytes);
  if (errorAt >= 0) return;
  if (slow.entries.length !== batch.count || slow.ignored !== batch.ignored) {
    throw new FuzzFailure(`readers of ${family} disagree on counts`, bytes);
  }
  const width = family === 'ipv4-unicast' ? 1 : 4;
  slow.entries.forEach(({ raw, pathId }, row) => {
    if (raw[0] !== batch.lengths[row] || (pathId ?? 0) !== batch.pathIds[row]) {
      throw new FuzzFailure(`readers of ${family} disagree on row ${row}`, bytes);
    }
    const full = new Uint8Array(16);
    full.set(raw.subarray(1));
    const bits = raw[0] ?? 0;
    if ((bits & 7) !== 0) full[bits >>> 3] = (full[bits >>> 3] ?? 0) & (0xff00 >>> (bits & 7));
    for (let index = 0; index < width; index++) {
      if (u32(full, index * 4) !== batch.words[row * width + index]) {
        throw new FuzzFailure(`readers of ${family} disagree on octets of row ${row}`, bytes);
      }
    }
  });
}

const scan = createScan();

/** What the scan of the hot path vouches for, the decoder must accept, and read the same of. */
function compareScan(
  bytes: Uint8Array,
  from: number,
  end: number,
  context: AttributeContext,
  block: AttributesResult,
): void {
  if (!scanAttributes(bytes, from, end, context.peerType, { ownAs: 64500, ownClusterId: 1 }, scan)) return;
  const { attributes, reaction } = block;
  if (reaction !== 'accept') throw new FuzzFailure(`the scan vouches for what is ${reaction}`, bytes);
  const path = attributes.asPath ?? [];
  const origins = ['igp', 'egp', 'incomplete'];
  const read = [
    [scan.origin, origins.indexOf(attributes.origin ?? '')],
    [scan.hops, asPathLength(path)],
    [scan.neighbourAs, path[0]?.asns[0] ?? 0],
    [scan.hasMed ? scan.med : -1, attributes.med ?? -1],
    [scan.hasLocalPref ? scan.localPref : -1, attributes.localPref ?? -1],
    [scan.originatorId, attributes.originatorId ?? 0],
    [scan.clusterLength, attributes.clusterList?.length ?? 0],
    [scan.otc, attributes.otc ?? 0],
    [scan.ownAsCount, path.flatMap(({ asns }) => asns).filter((asn) => asn === 64500).length],
    [scan.ownCluster ? 1 : 0, attributes.clusterList?.includes(1) === true ? 1 : 0],
  ];
  read.forEach(([fast, slow], index) => {
    if (fast !== slow) throw new FuzzFailure(`the scan reads ${fast} for ${slow} (field ${index})`, bytes);
  });
}

const parts = createUpdateParts();
const spans = { reachStart: 0, reachEnd: 0, unreachStart: 0, unreachEnd: 0 };

function checkUpdate(bytes: Uint8Array, offset: number, length: number, context: AttributeContext): string {
  const result = decodeUpdate(bytes, offset, length, context);
  const conflict = splitUpdate(bytes, offset, length, parts);
  if ((conflict !== undefined) !== (result.findings[0]?.code === 'message-lengths')) {
    throw new FuzzFailure('splitting and decoding disagree', bytes);
  }
  if (conflict === undefined) {
    const { attributesOffset, attributesLength, nlriOffset, nlriLength } = parts;
    const block = decodeAttributes(bytes, attributesOffset, attributesLength, context, nlriLength > 0);
    const whole = findMpAttributes(bytes, attributesOffset, attributesLength, spans);
    if (!whole && !block.findings.some(({ code }) => /^attribute-(header|overrun|duplicate)$/.test(code))) {
      throw new FuzzFailure('finding MP attributes and decoding disagree', bytes);
    }
    if (context.fourOctetAs !== false && nlriLength > 0 && whole && spans.reachStart < 0) {
      compareScan(bytes, attributesOffset, attributesOffset + attributesLength, context, block);
    }
    const addPath = context.addPath?.includes('ipv4-unicast') ?? false;
    compareReaders('ipv4-unicast', bytes, nlriOffset, nlriOffset + nlriLength, addPath);
    const { mpReach } = block;
    if (mpReach !== undefined) {
      const wide = context.addPath?.includes(mpReach.family) ?? false;
      compareReaders(mpReach.family, bytes, mpReach.nlriOffset, mpReach.nlriOffset + mpReach.nlriLength, wide);
    }
  }
  const { reaction, findings, attributes, announced } = result;
  if (
    reaction === 'reset' &&
    !findings.some((found) => found.reaction === 'reset' && found.notification !== undefined)
  ) {
    throw new FuzzFailure('reset without a NOTIFICATION', bytes);
  }
  if (reaction === 'accept' || reaction === 'discard') {
    // Whatever we pass on must be right: nothing malformed leaves here, whatever came in.
    for (const announce of announced) {
      const { addPath, fourOctetAs = true, peerType } = context;
      const options = { fourOctetAs, peerType, ...(addPath === undefined ? {} : { addPath }) };
      for (const octets of encodeUpdate({ attributes, announce }, options).messages) {
        const again = decodeUpdate(octets, 0, octets.length, context);
        if (again.reaction !== 'accept') {
          throw new FuzzFailure(`what we send is ${again.reaction} (${again.findings[0]?.reason})`, octets);
        }
      }
    }
  }
  const what = new Set([
    ...findings.map(({ code, attribute: of }) => `${code}:${of ?? ''}`),
    ...announced.map(({ family, routes: of }) => `${family}:${of[0]?.detail.kind ?? ''}`),
  ]);
  return [reaction, ...[...what].sort()].join(' ');
}

/** Feeds one input through framer and decoders; returns a short text of what happened. Throws a FuzzFailure only. */
export function exercise(octets: Uint8Array, random: Random): string {
  const context = pick(random, CONTEXTS);
  const seen: string[] = [];
  const handle = (bytes: Uint8Array, offset: number, length: number, type: number): void => {
    if (type === 2) seen.push(checkUpdate(bytes, offset, length, context));
    else if (type === 1) {
      const result = decodeOpen(bytes, offset, length);
      if (result.ok) {
        const { holdTime, routerId, capabilities } = result.value;
        const again = encodeOpen({ asn: openAsn(result.value), holdTime, routerId, capabilities });
        if (!decodeOpen(again, 0, again.length).ok) throw new FuzzFailure('an OPEN we send is refused', again);
        seen.push(`open ${capabilities.map((capability) => capability.type).join(' ')}`);
      } else seen.push(`open ${result.notification.subcode} ${result.reason.replace(/\d+/g, 'N')}`);
    } else if (type === 3) {
      const value = decodeNotification(bytes, offset, length);
      describeNotification(value);
      encodeNotification(value);
      seen.push(`notification ${value.code}`);
    } else if (type === 5) seen.push(`refresh ${decodeRouteRefresh(bytes, offset, length).ok}`);
    else seen.push(`type ${type}`);
  };
  try {
    const framer = createFramer();
    const cut = random(octets.length + 1);
    let fault = framer.push(octets.subarray(0, cut), handle);
    if (fault === undefined) fault = framer.push(octets.subarray(cut), handle);
    if (framer.pending > 4096) throw new FuzzFailure('the framer holds more than a message', octets);
    if (fault !== undefined) seen.push(`header ${fault.notification.code}/${fault.notification.subcode}`);
  } catch (error) {
    if (error instanceof FuzzFailure) throw error;
    const what = isSdkError(error) ? `threw ${error.code}` : `threw ${String((error as Error).stack ?? error)}`;
    throw new FuzzFailure(what, octets);
  }
  return seen.join('; ');
}

/** What a run saw. */
export interface FuzzRecord {
  readonly count: number;
  readonly seconds: number;
  readonly behaviours: number;
  /** Longest time for a single message, in ms. */
  readonly slowest: number;
  /** Heap in MiB, largest of the samples. */
  readonly heap: number;
  readonly corpus: readonly string[];
}

/** Runs `count` messages from a seed. @throws FuzzFailure at the first broken promise. */
export function fuzz(count: number, seed: number): FuzzRecord {
  const random = createRandom(seed);
  const session = {
    prefix: '10.9.8.0/24',
    peerAs: 64501,
    localAs: 64500,
    peerAddress: '192.0.2.1',
    localAddress: '192.0.2.2',
  };
  const kept = readFileSync(CORPUS, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  const pool: Octets[] = [...kept.map(hex), ...malformedUpdates.map((entry) => entry.build(session))].map((octets) =>
    Array.from(octets),
  );
  const behaviours = new Set<string>();
  const corpus: string[] = [];
  let slowest = 0;
  let heap = 0;
  const start = performance.now();
  let last = start;
  for (let done = 0; done < count; done++) {
    const replay = done < pool.length && done < kept.length + malformedUpdates.length;
    const base = replay ? (pool[done] as Octets) : random(2) === 0 ? build(random) : pick(random, pool);
    const input = replay || random(4) === 0 ? base : mutate(random, base);
    const octets = Uint8Array.from(input);
    const behaviour = exercise(octets, random);
    if (!behaviours.has(behaviour) && behaviours.size < MAX_BEHAVIOURS) {
      behaviours.add(behaviour);
      if (octets.length < 600 && pool.length < 8000) pool.push(input);
      if (octets.length <= KEPT.octets && corpus.length < KEPT.count) corpus.push(toHex(octets));
    }
    const now = performance.now();
    slowest = Math.max(slowest, now - last);
    last = now;
    if (done % 65536 === 0) heap = Math.max(heap, process.memoryUsage().heapUsed / 1048576);
  }
  const seconds = (performance.now() - start) / 1000;
  return { count, seconds, behaviours: behaviours.size, slowest, heap, corpus };
}

if (process.argv[1] === import.meta.filename) {
  const option = (name: string, otherwise: number): number => {
    const at = process.argv.indexOf(name);
    return at < 0 ? otherwise : Number(process.argv[at + 1]);
  };
  const seed = option('--seed', 1);
  const record = fuzz(option('--count', 10_000_000), seed);
  const { count, seconds, behaviours, slowest, heap } = record;
  console.log(
    `bgp fuzz: ${count} messages, seed ${seed}, ${seconds.toFixed(0)} s, ${Math.round(count / seconds)} a second, ` +
      `${behaviours} behaviours, slowest ${slowest.toFixed(1)} ms, heap ${heap.toFixed(0)} MiB, no failure`,
  );
  if (process.argv.includes('--keep')) writeFileSync(CORPUS, `${record.corpus.join('\n')}\n`);
}
