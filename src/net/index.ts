/**
 * Addresses, prefixes, longest-prefix match, interval sets, errors and the plain values by which blocks meet.
 * The lowest layer: pure, without imports. `address` and `prefix` read and write strictly (RFC 5952; no octal, no short forms);
 * `lpm` finds the longest match, `intervals` and `ranges` are exact set algebra over addresses; `errors` is the one error class;
 * `values` holds what blocks hand to each other (an advertisement, a virtual address, a kernel route, an issue).
 * @module net
 */
export * from './errors.ts';
export type * from './values.ts';
export type { Address, Address4, Address6, Words } from './address.ts';
export {
  addressFromBigInt,
  addressFromBytes,
  addressToBigInt,
  addressToBytes,
  canonicalAddress,
  compareAddresses,
  equalAddresses,
  familyOf,
  formatAddress,
  isAddress,
  parseAddress,
  tryParseAddress,
  unmapAddress,
} from './address.ts';
export type { Prefix, Prefix4, Prefix6, PrefixOptions } from './prefix.ts';
export {
  canonicalPrefix,
  comparePrefixes,
  contains,
  equalPrefixes,
  formatPrefix,
  hostPrefix,
  isHostPrefix,
  lastAddress,
  maskAddress,
  overlaps,
  parsePrefix,
  parseSloppyPrefix,
  tryParsePrefix,
} from './prefix.ts';
export type { LpmEntry, LpmTrie } from './lpm.ts';
export { createLpmTrie } from './lpm.ts';
export type { AddressRange, IntervalSet, IntervalSet4, IntervalSet6 } from './intervals.ts';
export {
  allIntervals,
  complementIntervals,
  countIntervals,
  emptyIntervals,
  equalIntervals,
  intersectIntervals,
  intervalsContain,
  intervalsCover,
  intervalsFromPrefixes,
  intervalsFromRanges,
  intervalsOverlap,
  rangeOfPrefix,
  rangesOfIntervals,
  subtractIntervals,
  toPrefixes,
  unionIntervals,
} from './intervals.ts';
export type { Block4 } from './ranges.ts';
export {
  describeBlock,
  formatRange,
  parseRange,
  parseRanges,
  rangeAt,
  rangeSize,
  rangesOverlap,
  tryParseRange,
  usableRange,
} from './ranges.ts';
