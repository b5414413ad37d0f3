/**
 * Exact sets of addresses: union, intersection, subtraction and the smallest cover by prefixes.
 * Policies with `except`, address pools and `0.0.0.0/0` need sets in which no overlap is an approximation.
 * A set is a sorted list of bounds (start, end, start, end, …) with exclusive ends, so that the whole of a family is a set like
 * any other; IPv4 bounds are plain numbers up to 2^32, IPv6 bounds are big integers up to 2^128.
 */
import type { Address } from './address.ts';
import { addressFromBigInt, addressToBigInt } from './address.ts';
import { SdkError } from './errors.ts';
import type { Prefix } from './prefix.ts';
import { maskAddress } from './prefix.ts';

/** A set of IPv4 addresses. */
export interface IntervalSet4 {
  readonly family: 4;
  /** Strictly ascending; even places start an interval, odd places end it (exclusive). */
  readonly bounds: readonly number[];
}

/** A set of IPv6 addresses. */
export interface IntervalSet6 {
  readonly family: 6;
  /** Strictly ascending; even places start an interval, odd places end it (exclusive). */
  readonly bounds: readonly bigint[];
}

/** An immutable set of addresses of one family. */
export type IntervalSet = IntervalSet4 | IntervalSet6;

/** An interval of addresses, both ends included. */
export interface AddressRange {
  readonly first: Address;
  readonly last: Address;
}

type Bound = number | bigint;

function make(family: 4 | 6, bounds: readonly Bound[]): IntervalSet {
  return { family, bounds } as IntervalSet;
}

/**
 * Walks two sets of bounds at once and keeps what `keep` says of "inside a" and "inside b".
 * Linear in the number of intervals of both.
 */
function sweep(a: readonly Bound[], b: readonly Bound[], keep: (inA: boolean, inB: boolean) => boolean): Bound[] {
  const out: Bound[] = [];
  let i = 0;
  let j = 0;
  let inside = false;
  while (i < a.length || j < b.length) {
    const x = a[i];
    const y = b[j];
    const at = (y === undefined || (x !== undefined && x <= y) ? x : y)!;
    if (x === at) i++;
    if (y === at) j++;
    const now = keep((i & 1) === 1, (j & 1) === 1);
    if (now !== inside) {
      out.push(at);
      inside = now;
    }
  }
  return out;
}

function combine(a: IntervalSet, b: IntervalSet, keep: (inA: boolean, inB: boolean) => boolean): IntervalSet {
  if (a.family !== b.family) {
    throw new SdkError('sets of two address families cannot be combined', { code: 'INVALID_OPTION' });
  }
  return make(a.family, sweep(a.bounds, b.bounds, keep));
}

/** The set without an address. */
export function emptyIntervals(family: 4 | 6): IntervalSet {
  return make(family, []);
}

/** The set of every address of a family. */
export function allIntervals(family: 4 | 6): IntervalSet {
  return family === 4 ? { family, bounds: [0, 2 ** 32] } : { family, bounds: [0n, 1n << 128n] };
}

/**
 * The set of the addresses of any number of ranges, which may overlap and touch in any way.
 * @throws SdkError `INVALID_OPTION` when a range is of another family or ends before it starts.
 */
export function intervalsFromRanges(family: 4 | 6, ranges: Iterable<AddressRange>): IntervalSet {
  const pairs: [Bound, Bound][] = [];
  for (const { first, last } of ranges) {
    if (first.family !== family || last.family !== family) {
      throw new SdkError('a range is of another address family than the set', { code: 'INVALID_OPTION' });
    }
    const start = first.family === 4 ? first.value : addressToBigInt(first);
    const end = last.family === 4 ? last.value + 1 : addressToBigInt(last) + 1n;
    if (end <= start) throw new SdkError('a range ends before it starts', { code: 'INVALID_OPTION' });
    pairs.push([start, end]);
  }
  pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const out: Bound[] = [];
  for (const [start, end] of pairs) {
    const previous = out.at(-1);
    if (previous === undefined || start > previous) out.push(start, end);
    else if (end > previous) out[out.length - 1] = end;
  }
  return make(family, out);
}

/**
 * The set of the addresses of any number of prefixes.
 * @throws SdkError `INVALID_OPTION` when a prefix is of another family.
 */
export function intervalsFromPrefixes(family: 4 | 6, prefixes: Iterable<Prefix>): IntervalSet {
  const ranges: AddressRange[] = [];
  for (const prefix of prefixes) ranges.push(rangeOfPrefix(prefix));
  return intervalsFromRanges(family, ranges);
}

/** The first and the last address of a prefix. */
export function rangeOfPrefix(prefix: Prefix): AddressRange {
  const bits = prefix.family === 4 ? 32 : 128;
  const first = addressToBigInt(prefix);
  const size = 1n << BigInt(bits - prefix.length);
  return { first: addressFromBigInt(prefix.family, first), last: addressFromBigInt(prefix.family, first + size - 1n) };
}

/**
 * Addresses in either set.
 * @throws SdkError `INVALID_OPTION` for two families, as every operation on two sets here.
 */
export function unionIntervals(a: IntervalSet, b: IntervalSet): IntervalSet {
  return combine(a, b, (inA, inB) => inA || inB);
}

/** Addresses in both sets. */
export function intersectIntervals(a: IntervalSet, b: IntervalSet): IntervalSet {
  return combine(a, b, (inA, inB) => inA && inB);
}

/** Addresses in `a` and not in `b`. */
export function subtractIntervals(a: IntervalSet, b: IntervalSet): IntervalSet {
  return combine(a, b, (inA, inB) => inA && !inB);
}

/** Every address of the family that is not in the set. */
export function complementIntervals(set: IntervalSet): IntervalSet {
  return subtractIntervals(allIntervals(set.family), set);
}

/** Whether an address is in a set; an address of the other family never is. */
export function intervalsContain(set: IntervalSet, address: Address): boolean {
  if (set.family !== address.family) return false;
  const bounds: readonly Bound[] = set.bounds;
  const value: Bound = address.family === 4 ? address.value : addressToBigInt(address);
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (bounds[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return (low & 1) === 1;
}

/** Whether every address of `inner` is in `outer`. */
export function intervalsCover(outer: IntervalSet, inner: IntervalSet): boolean {
  return subtractIntervals(inner, outer).bounds.length === 0;
}

/** Whether two sets share an address. */
export function intervalsOverlap(a: IntervalSet, b: IntervalSet): boolean {
  return intersectIntervals(a, b).bounds.length > 0;
}

/** Whether two sets hold the same addresses: bounds are canonical, so this is their equality. */
export function equalIntervals(a: IntervalSet, b: IntervalSet): boolean {
  return a.family === b.family && a.bounds.length === b.bounds.length && a.bounds.every((x, i) => x === b.bounds[i]);
}

/** Number of addresses in a set. */
export function countIntervals(set: IntervalSet): bigint {
  let sum = 0n;
  for (let index = 0; index < set.bounds.length; index += 2) {
    sum += BigInt(set.bounds[index + 1]!) - BigInt(set.bounds[index]!);
  }
  return sum;
}

/** The intervals of a set, ascending, none touching the next. */
export function rangesOfIntervals(set: IntervalSet): AddressRange[] {
  const out: AddressRange[] = [];
  for (let index = 0; index < set.bounds.length; index += 2) {
    const start = BigInt(set.bounds[index]!);
    const end = BigInt(set.bounds[index + 1]!);
    out.push({ first: addressFromBigInt(set.family, start), last: addressFromBigInt(set.family, end - 1n) });
  }
  return out;
}

/** Trailing zero bits of an IPv4 bound, at most 32. */
function alignment4(value: number): number {
  if (value === 0 || value === 2 ** 32) return 32;
  return 31 - Math.clz32(value & -value);
}

function cover4(start: number, end: number, out: Prefix[]): void {
  while (start < end) {
    const room = end - start === 2 ** 32 ? 32 : 31 - Math.clz32(end - start);
    const size = Math.min(alignment4(start), room);
    out.push({ family: 4, value: start, length: 32 - size });
    start += 2 ** size;
  }
}

function cover6(start: bigint, end: bigint, out: Prefix[]): void {
  while (start < end) {
    let size = 0n;
    while (size < 128n && (start & ((1n << (size + 1n)) - 1n)) === 0n && start + (1n << (size + 1n)) <= end) size++;
    out.push(maskAddress(addressFromBigInt(6, start), 128 - Number(size)));
    start += 1n << size;
  }
}

/** The smallest list of prefixes that together hold exactly the addresses of a set, in order. */
export function toPrefixes(set: IntervalSet): Prefix[] {
  const out: Prefix[] = [];
  for (let index = 0; index < set.bounds.length; index += 2) {
    if (set.family === 4) cover4(set.bounds[index]!, set.bounds[index + 1]!, out);
    else cover6(set.bounds[index]!, set.bounds[index + 1]!, out);
  }
  return out;
}
