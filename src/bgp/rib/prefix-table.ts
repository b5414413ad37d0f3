/**
 * Prefixes as dense numbers: open addressing over typed arrays, one table a family.
 * A prefix is one or four 32-bit words and a length; its id indexes every other column of the RIB, and is reused after
 * `removePrefix`. Linear probing with backward-shift deletion, so there are no tombstones to clean up. The slots are in segments that
 * grow one at a time, each at a filling of its own: a table of a million prefixes never stops to rehash them all.
 * Stands at the bottom of the RIB; knows nothing of routes.
 */
import type { Prefix } from '../../net/index.ts';
import type { Family } from '../../net/values.ts';
import type { IdStack } from './columns.ts';
import { capacityFor, createIdStack, growUint32, growUint8, popId, pushId, startOf } from './columns.ts';

/** All prefixes of one family that the RIB has a use for. Read-only to all but this file. */
export interface PrefixTable {
  readonly family: Family;
  /** 32-bit words a prefix: 1 or 4. */
  readonly words: 1 | 4;
  /** `words` cells an id, most significant first. */
  bits: Uint32Array;
  lengths: Uint8Array;
  /** Ids ever given out: ids are below it. */
  size: number;
  /** Ids in use. */
  live: number;
  /** Id + 1 a slot, 0 free; the upper bits of the hash choose the segment. */
  readonly segments: Int32Array[];
  /** Slots in use, a segment. */
  readonly used: Int32Array;
  /** Ids to be given out again. */
  readonly free: IdStack;
  /** Id that was asked for last. */
  last: number;
  /** Ids that both columns have room for. */
  capacity: number;
}

/** Length of a prefix whose id is free: equal to nothing. */
const FREE = 255;

const SEGMENT_BITS = 6;
const SEGMENTS = 1 << SEGMENT_BITS;
const SEGMENT_SHIFT = 32 - SEGMENT_BITS;

/** Slots that a segment may fill before it grows: half of them in the first segment, nearly four fifths in the last. */
function limitOf(segment: number, slots: number): number {
  return slots * (0.5 + (0.28 * segment) / SEGMENTS);
}

/** An empty table. */
export function createPrefixTable(family: Family): PrefixTable {
  const words = family === 4 ? 1 : 4;
  return {
    family,
    words,
    bits: new Uint32Array(startOf(2) * words),
    lengths: new Uint8Array(startOf(4)),
    size: 0,
    live: 0,
    segments: Array.from({ length: SEGMENTS }, () => new Int32Array(32)),
    used: new Int32Array(SEGMENTS),
    free: createIdStack(),
    last: 0,
    capacity: startOf(2),
  };
}

function hashOf(a: number, b: number, c: number, d: number, length: number): number {
  let hash = Math.imul(a ^ Math.imul(length + 1, 0x9e3779b1), 0x85ebca6b);
  if ((b | c | d) !== 0) {
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0x27d4eb2f);
    hash = Math.imul(hash ^ (hash >>> 15) ^ d, 0x165667b1);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x7feb352d);
  return hash ^ (hash >>> 15);
}

function hashOfId(table: PrefixTable, id: number): number {
  const bits = table.bits;
  if (table.words === 1) return hashOf(bits[id]!, 0, 0, 0, table.lengths[id]!);
  const at = id * 4;
  return hashOf(bits[at]!, bits[at + 1]!, bits[at + 2]!, bits[at + 3]!, table.lengths[id]!);
}

function equals(table: PrefixTable, id: number, a: number, b: number, c: number, d: number, length: number): boolean {
  const bits = table.bits;
  if (table.lengths[id] !== length) return false;
  if (table.words === 1) return bits[id] === a;
  const at = id * 4;
  return bits[at] === a && bits[at + 1] === b && bits[at + 2] === c && bits[at + 3] === d;
}

/**
 * The neighbour of the id asked for last, when that is it; -1 otherwise. Whoever tells many prefixes mostly tells them in the order in
 * which it told them before, and ids lie in that order: two comparisons in memory at hand instead of a slot and its entry far away.
 */
function neighbour(table: PrefixTable, a: number, b: number, c: number, d: number, length: number): number {
  const { last, lengths } = table;
  // Most that are not it differ in their first word.
  const { bits, words } = table;
  const up = last + 1;
  if (up < table.size && bits[up * words] === a && lengths[up] === length && equals(table, up, a, b, c, d, length))
    return (table.last = up);
  const down = last - 1;
  if (down >= 0 && bits[down * words] === a && lengths[down] === length && equals(table, down, a, b, c, d, length))
    return (table.last = down);
  return -1;
}

/** Id of a prefix (words unsigned, host bits zero, `b c d` zero for IPv4); -1 when the table lacks it. */
export function findPrefix(table: PrefixTable, a: number, b: number, c: number, d: number, length: number): number {
  const near = neighbour(table, a, b, c, d, length);
  if (near >= 0) return near;
  const hash = hashOf(a, b, c, d, length);
  const slots = table.segments[hash >>> SEGMENT_SHIFT]!;
  const mask = slots.length - 1;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const id = slots[slot]! - 1;
    if (id < 0) return -1;
    if (equals(table, id, a, b, c, d, length)) return (table.last = id);
  }
}

function grow(table: PrefixTable, segment: number): void {
  const before = table.segments[segment]!;
  const slots = new Int32Array(before.length * 2);
  const mask = slots.length - 1;
  for (let from = 0; from < before.length; from++) {
    const entry = before[from]!;
    if (entry === 0) continue;
    let slot = hashOfId(table, entry - 1) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = entry;
  }
  table.segments[segment] = slots;
}

function fit(table: PrefixTable, need: number): void {
  const { lengths, bits, words } = table;
  if (need > lengths.length) table.lengths = growUint8(lengths, capacityFor(lengths.length, need));
  if (need * words > bits.length) table.bits = growUint32(bits, capacityFor(bits.length, need * words));
  table.capacity = Math.min(table.lengths.length, Math.floor(table.bits.length / words));
}

/** Id of a prefix, taken into the table when new. */
export function internPrefix(table: PrefixTable, a: number, b: number, c: number, d: number, length: number): number {
  const near = neighbour(table, a, b, c, d, length);
  if (near >= 0) return near;
  const hash = hashOf(a, b, c, d, length);
  const segment = hash >>> SEGMENT_SHIFT;
  const slots = table.segments[segment]!;
  const mask = slots.length - 1;
  let slot = hash & mask;
  for (; ; slot = (slot + 1) & mask) {
    const known = slots[slot]! - 1;
    if (known < 0) break;
    if (equals(table, known, a, b, c, d, length)) return (table.last = known);
  }
  const free = popId(table.free);
  const id = free >= 0 ? free : table.size++;
  if (id >= table.capacity) fit(table, id + 1);
  table.lengths[id] = length;
  if (table.words === 1) table.bits[id] = a;
  else {
    const at = id * 4;
    table.bits[at] = a;
    table.bits[at + 1] = b;
    table.bits[at + 2] = c;
    table.bits[at + 3] = d;
  }
  slots[slot] = id + 1;
  table.last = id;
  table.live++;
  if (++table.used[segment]! > limitOf(segment, slots.length)) grow(table, segment);
  return id;
}

/** Gives an id back. The caller has dropped everything that it indexes. */
export function removePrefix(table: PrefixTable, id: number): void {
  const hash = hashOfId(table, id);
  const segment = hash >>> SEGMENT_SHIFT;
  const slots = table.segments[segment]!;
  const mask = slots.length - 1;
  let hole = hash & mask;
  while (slots[hole] !== id + 1) hole = (hole + 1) & mask;
  for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
    const home = hashOfId(table, slots[slot]! - 1) & mask;
    // The entry may move into the hole unless its home lies cyclically after the hole.
    if (((slot - home) & mask) >= ((slot - hole) & mask)) {
      slots[hole] = slots[slot]!;
      hole = slot;
    }
  }
  slots[hole] = 0;
  table.lengths[id] = FREE;
  pushId(table.free, id);
  table.live--;
  table.used[segment]!--;
}

/** A prefix as a value, by its id. */
export function prefixOf({ words, bits, lengths }: PrefixTable, id: number): Prefix {
  const length = lengths[id]!;
  if (words === 1) return { family: 4, value: bits[id]!, length };
  const at = id * 4;
  return { family: 6, words: [bits[at]!, bits[at + 1]!, bits[at + 2]!, bits[at + 3]!], length };
}
