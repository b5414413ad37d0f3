/**
 * Attribute sets, kept once each.
 * A set is its bytes: hashed, compared and stored as they stand on the wire, so that reading a route costs a hash, and sending it a
 * copy. Columns hold what the decision process compares; the rest is decoded when somebody asks. Sets are counted and leave with
 * their last user; the arena that holds the bytes is compacted when half of it is waste.
 */
import type { IdStack } from './columns.ts';
import { capacityFor, createIdStack, growInt32, growUint16, growUint32, growUint8, popId, pushId } from './columns.ts';
import type { PeerKind, Scan, ScanContext } from './attribute-scan.ts';
import { createScan, scanAttributes } from './attribute-scan.ts';

const CHUNK_BITS = 20;
const CHUNK_SIZE = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK_SIZE - 1;

/** Bits of `flags`. */
export const HAS_MED = 1;
/** The set cannot be used: our AS in the path, our ORIGINATOR_ID or CLUSTER_ID (RFC 4271 section 9.1.2, RFC 4456 section 8). */
export const LOOP = 2;
/** The next hop is an IPv6 address. */
export const NEXT_HOP_6 = 4;

/**
 * What a set stands for beyond its bytes: 0 learned, 1–3 originated here (pod-cidr, vip, other), 4 written for two-octet speakers.
 * Part of its identity.
 */
export type Tag = 0 | 1 | 2 | 3 | 4;
const NARROW: Tag = 4;

/** All attribute sets of a speaker. Columns are indexed by set id and read-only to all but this file. */
export interface AttributeStore {
  readonly context: ScanContext & { readonly routerId: number; readonly allowOwnAs: number };
  chunks: Uint8Array[];
  /** Bytes used in the last chunk; bytes of live sets. */
  tail: number;
  liveBytes: number;
  hash: Int32Array;
  offset: Uint32Array;
  length: Uint16Array;
  refs: Int32Array;
  tag: Uint8Array;
  /** Kinds of peers the strict scan vouched for (1 ebgp, 2 ibgp, 4 confed). */
  vouched: Uint8Array;
  flags: Uint8Array;
  origin: Uint8Array;
  hops: Uint16Array;
  neighbourAs: Uint32Array;
  med: Uint32Array;
  localPref: Uint32Array;
  originatorId: Uint32Array;
  clusterLength: Uint8Array;
  wellKnown: Uint8Array;
  otc: Uint32Array;
  /** Index into `nextHops`. */
  nextHop: Int32Array;
  /** Counts how often an id was given back, so that a cache can tell a set from its id's next owner. */
  generation: Uint32Array;
  size: number;
  live: number;
  readonly free: IdStack;
  slots: Int32Array;
  mask: number;
  /** Interned next hops: 4, 16 or 32 bytes as latin1 text, with users. */
  nextHops: { key: string; users: number }[];
  nextHopIds: Map<string, number>;
  nextHopFree: number[];
  lastNextHop: number;
  /** Set that was interned last: a peer that puts one prefix in a message mostly says the same attributes again. */
  last: number;
}

const scratch: Scan = createScan();

/** An empty store. */
export function createAttributeStore(context: AttributeStore['context']): AttributeStore {
  const n = 1024;
  return {
    context,
    chunks: [new Uint8Array(CHUNK_SIZE)],
    tail: 0,
    liveBytes: 0,
    hash: new Int32Array(n),
    offset: new Uint32Array(n),
    length: new Uint16Array(n),
    refs: new Int32Array(n),
    tag: new Uint8Array(n),
    vouched: new Uint8Array(n),
    flags: new Uint8Array(n),
    origin: new Uint8Array(n),
    hops: new Uint16Array(n),
    neighbourAs: new Uint32Array(n),
    med: new Uint32Array(n),
    localPref: new Uint32Array(n),
    originatorId: new Uint32Array(n),
    clusterLength: new Uint8Array(n),
    wellKnown: new Uint8Array(n),
    otc: new Uint32Array(n),
    nextHop: new Int32Array(n),
    generation: new Uint32Array(n),
    size: 0,
    live: 0,
    free: createIdStack(),
    slots: new Int32Array(4096),
    mask: 4095,
    nextHops: [],
    nextHopIds: new Map(),
    nextHopFree: [],
    lastNextHop: -1,
    last: 0,
  };
}

/** Hash of a block. */
export function hashBlock(bytes: Uint8Array, offset: number, end: number, tag: Tag): number {
  let hash = 0x811c9dc5 ^ tag;
  let at = offset;
  for (; at + 4 <= end; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x01000193);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return hash ^ (hash >>> 15);
}

function same(store: AttributeStore, id: number, bytes: Uint8Array, offset: number, length: number): boolean {
  if (store.length[id] !== length) return false;
  const place = store.offset[id]!;
  const chunk = store.chunks[place >>> CHUNK_BITS]!;
  let at = place & CHUNK_MASK;
  for (let from = offset, end = offset + length; from < end; from++, at++) if (chunk[at] !== bytes[from]) return false;
  return true;
}

/** Id of a block already kept; -1 otherwise. Takes no reference. */
export function findBlock(
  store: AttributeStore,
  bytes: Uint8Array,
  offset: number,
  end: number,
  hash: number,
  tag: Tag,
): number {
  const { slots, mask } = store;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const id = slots[slot]! - 1;
    if (id < 0) return -1;
    if (store.hash[id] === hash && store.tag[id] === tag && same(store, id, bytes, offset, end - offset)) return id;
  }
}

function grow(store: AttributeStore, need: number): void {
  const n = capacityFor(store.hash.length, need);
  store.hash = growInt32(store.hash, n, 0);
  store.offset = growUint32(store.offset, n);
  store.length = growUint16(store.length, n);
  store.refs = growInt32(store.refs, n, 0);
  store.tag = growUint8(store.tag, n);
  store.vouched = growUint8(store.vouched, n);
  store.flags = growUint8(store.flags, n);
  store.origin = growUint8(store.origin, n);
  store.hops = growUint16(store.hops, n);
  store.neighbourAs = growUint32(store.neighbourAs, n);
  store.med = growUint32(store.med, n);
  store.localPref = growUint32(store.localPref, n);
  store.originatorId = growUint32(store.originatorId, n);
  store.clusterLength = growUint8(store.clusterLength, n);
  store.wellKnown = growUint8(store.wellKnown, n);
  store.otc = growUint32(store.otc, n);
  store.nextHop = growInt32(store.nextHop, n, 0);
  store.generation = growUint32(store.generation, n);
}

function rehash(store: AttributeStore): void {
  const mask = store.slots.length * 2 - 1;
  const slots = new Int32Array(mask + 1);
  for (const entry of store.slots) {
    if (entry === 0) continue;
    let slot = store.hash[entry - 1]! & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = entry;
  }
  store.slots = slots;
  store.mask = mask;
}

function reserve(store: AttributeStore, length: number): number {
  if (store.tail + length > CHUNK_SIZE) {
    store.chunks.push(new Uint8Array(CHUNK_SIZE));
    store.tail = 0;
  }
  const place = (store.chunks.length - 1) * CHUNK_SIZE + store.tail;
  store.tail += length;
  store.liveBytes += length;
  return place;
}

function compact(store: AttributeStore): void {
  const old = store.chunks;
  store.chunks = [new Uint8Array(CHUNK_SIZE)];
  store.tail = 0;
  store.liveBytes = 0;
  for (let id = 0; id < store.size; id++) {
    const length = store.length[id]!;
    if (length === 0) continue;
    const from = store.offset[id]!;
    const place = reserve(store, length);
    const at = from & CHUNK_MASK;
    store.chunks[place >>> CHUNK_BITS]!.set(old[from >>> CHUNK_BITS]!.subarray(at, at + length), place & CHUNK_MASK);
    store.offset[id] = place;
  }
}

function takeNextHop(store: AttributeStore, bytes: Uint8Array, at: number, length: number): number {
  // Neighbouring sets mostly share their next hop: no text is made for those.
  const last = store.nextHops[store.lastNextHop];
  if (last !== undefined && last.users > 0 && last.key.length === length) {
    let index = 0;
    while (index < length && last.key.charCodeAt(index) === bytes[at + index]) index++;
    if (index === length) {
      last.users++;
      return store.lastNextHop;
    }
  }
  let key = '';
  for (let index = 0; index < length; index++) key += String.fromCharCode(bytes[at + index]!);
  let id = store.nextHopIds.get(key);
  if (id === undefined) {
    id = store.nextHopFree.pop() ?? store.nextHops.length;
    store.nextHops[id] = { key, users: 0 };
    store.nextHopIds.set(key, id);
  }
  store.nextHops[id]!.users++;
  store.lastNextHop = id;
  return id;
}

/**
 * Keeps a block (or finds it) and takes a reference.
 * @returns its id; -1 when `strict` is given and the strict scan does not vouch for the block, or its framing is broken
 */
export function internBlock(
  store: AttributeStore,
  bytes: Uint8Array,
  offset: number,
  end: number,
  tag: Tag,
  strict: PeerKind | undefined,
): number {
  const bit = strict === undefined ? 0 : strict === 'ebgp' ? 1 : strict === 'ibgp' ? 2 : 4;
  const { last } = store;
  const length = end - offset;
  // An id that was given back has no length.
  let id = length > 0 && store.tag[last] === tag && same(store, last, bytes, offset, length) ? last : -1;
  let hash = 0;
  if (id < 0) {
    hash = hashBlock(bytes, offset, end, tag);
    id = findBlock(store, bytes, offset, end, hash, tag);
  }
  if (id >= 0 && (store.vouched[id]! & bit) === bit) {
    store.refs[id]!++;
    return (store.last = id);
  }
  if (!scanAttributes(bytes, offset, end, strict, store.context, scratch, tag !== NARROW)) return -1;
  if (id >= 0) {
    store.vouched[id]! |= bit;
    store.refs[id]!++;
    return (store.last = id);
  }
  const free = popId(store.free);
  id = free >= 0 ? free : store.size++;
  if (id >= store.hash.length) grow(store, id + 1);
  const place = reserve(store, length);
  const chunk = store.chunks[place >>> CHUNK_BITS]!;
  for (let from = offset, at = place & CHUNK_MASK; from < end; from++, at++) chunk[at] = bytes[from]!;
  const { routerId, allowOwnAs } = store.context;
  const looped = scratch.ownAsCount > allowOwnAs || scratch.ownCluster || scratch.originatorId === routerId;
  store.hash[id] = hash;
  store.offset[id] = place;
  store.length[id] = length;
  store.refs[id] = 1;
  store.tag[id] = tag;
  store.vouched[id] = bit;
  store.flags[id] =
    (scratch.hasMed ? HAS_MED : 0) | (looped && tag === 0 ? LOOP : 0) | (scratch.nextHopLength > 4 ? NEXT_HOP_6 : 0);
  store.origin[id] = scratch.origin;
  store.hops[id] = scratch.hops;
  store.neighbourAs[id] = scratch.neighbourAs;
  store.med[id] = scratch.med;
  store.localPref[id] = scratch.localPref;
  store.originatorId[id] = scratch.originatorId;
  store.clusterLength[id] = scratch.clusterLength;
  store.wellKnown[id] = scratch.wellKnown;
  store.otc[id] = scratch.otc;
  store.nextHop[id] = takeNextHop(store, bytes, scratch.nextHopAt, scratch.nextHopLength);
  let slot = hash & store.mask;
  while (store.slots[slot] !== 0) slot = (slot + 1) & store.mask;
  store.slots[slot] = id + 1;
  if (++store.live * 4 > store.slots.length * 3) rehash(store);
  return (store.last = id);
}

/**
 * Keeps a block that is only ever sent: its AS numbers have two octets, so nothing may be concluded from its path.
 * Takes a reference; -1 when its framing is broken.
 */
export function keepForWire(store: AttributeStore, bytes: Uint8Array, end: number): number {
  return internBlock(store, bytes, 0, end, NARROW, undefined);
}

/** Takes one more reference. */
export function retain(store: AttributeStore, id: number): void {
  store.refs[id]!++;
}

/** Drops a reference; the set leaves with the last. */
export function release(store: AttributeStore, id: number): void {
  if (--store.refs[id]! > 0) return;
  store.generation[id]!++;
  const { slots, mask } = store;
  let hole = store.hash[id]! & mask;
  while (slots[hole] !== id + 1) hole = (hole + 1) & mask;
  for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
    const home = store.hash[slots[slot]! - 1]! & mask;
    if (((slot - home) & mask) >= ((slot - hole) & mask)) {
      slots[hole] = slots[slot]!;
      hole = slot;
    }
  }
  slots[hole] = 0;
  const hop = store.nextHops[store.nextHop[id]!]!;
  if (--hop.users === 0) {
    store.nextHopIds.delete(hop.key);
    store.nextHopFree.push(store.nextHop[id]!);
  }
  store.liveBytes -= store.length[id]!;
  store.length[id] = 0;
  store.live--;
  pushId(store.free, id);
  const used = (store.chunks.length - 1) * CHUNK_SIZE + store.tail;
  if (used > 4 * CHUNK_SIZE && store.liveBytes * 2 < used) compact(store);
}

/** Copies the block of a set to `out` at `at`; returns the position behind it. */
export function copyBlock(store: AttributeStore, id: number, out: Uint8Array, at: number): number {
  const place = store.offset[id]!;
  const chunk = store.chunks[place >>> CHUNK_BITS]!;
  let from = place & CHUNK_MASK;
  const end = at + store.length[id]!;
  for (let to = at; to < end; to++, from++) out[to] = chunk[from]!;
  return end;
}

/** The block of a set as a view, valid until the next change of the store. */
export function viewBlock(store: AttributeStore, id: number): Uint8Array {
  const place = store.offset[id]!;
  const at = place & CHUNK_MASK;
  return store.chunks[place >>> CHUNK_BITS]!.subarray(at, at + store.length[id]!);
}

/** The next hop of a set: 4, 16 or 32 bytes. */
export function nextHopBytes(store: AttributeStore, id: number): Uint8Array {
  const { key } = store.nextHops[store.nextHop[id]!]!;
  return Uint8Array.from(key, (char) => char.charCodeAt(0));
}
