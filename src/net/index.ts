/**
 * Addresses, prefixes, longest-prefix match, interval sets, errors and the plain values by which blocks meet.
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
