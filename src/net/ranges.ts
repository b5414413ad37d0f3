/**
 * Ranges as people configure them: `10.0.0.10-10.0.0.20`, a prefix, or one address; their size, order and usable part.
 * Address pools and flags are read with this once, at configuration time, so IPv4 blocks are left to netmask; it reads text too
 * generously, so only values that the strict parsers made ever reach it. ip-num is the oracle of the tests.
 * Stands on address.ts, prefix.ts and intervals.ts.
 */
import { Netmask } from 'netmask';
import type { Address } from './address.ts';
import { addressFromBigInt, addressToBigInt, compareAddresses, formatAddress, tryParseAddress } from './address.ts';
import { SdkError } from './errors.ts';
import type { AddressRange, IntervalSet } from './intervals.ts';
import { intervalsFromRanges, rangeOfPrefix, toPrefixes } from './intervals.ts';
import type { Prefix, Prefix4, PrefixOptions } from './prefix.ts';
import { formatPrefix, tryParsePrefix } from './prefix.ts';

/** Reads `first-last`, a prefix or one address; `undefined` when the text is none, mixes families or runs backwards. */
export function tryParseRange(text: string, options: PrefixOptions = {}): AddressRange | undefined {
  const prefix = tryParsePrefix(text, options);
  if (prefix !== undefined) return rangeOfPrefix(prefix);
  const [firstText, lastText, ...rest] = text.split('-');
  if (firstText === undefined || rest.length > 0) return undefined;
  const first = tryParseAddress(firstText.trim());
  if (first === undefined || lastText === undefined) return first && { first, last: first };
  const last = tryParseAddress(lastText.trim());
  if (last?.family !== first.family || compareAddresses(first, last) > 0) return undefined;
  return { first, last };
}

/**
 * Reads `first-last` (blanks around the dash are allowed), a prefix or one address.
 * @throws SdkError `INVALID_PREFIX`
 */
export function parseRange(text: string, options: PrefixOptions = {}): AddressRange {
  const range = tryParseRange(text, options);
  if (range !== undefined) return range;
  throw new SdkError(`not a range, prefix or address: ${JSON.stringify(text)}`, {
    code: 'INVALID_PREFIX',
    details: { text },
  });
}

/** Writes a range: as a prefix when it is exactly one, else as `first-last`. */
export function formatRange(range: AddressRange): string {
  const prefixes = toPrefixes(intervalsFromRanges(range.first.family, [range]));
  const [only] = prefixes;
  if (only !== undefined && prefixes.length === 1) return formatPrefix(only);
  return `${formatAddress(range.first)}-${formatAddress(range.last)}`;
}

/** Number of addresses in a range. */
export function rangeSize(range: AddressRange): bigint {
  return addressToBigInt(range.last) - addressToBigInt(range.first) + 1n;
}

/** Whether two ranges share an address; ranges of two families never do. */
export function rangesOverlap(a: AddressRange, b: AddressRange): boolean {
  if (a.first.family !== b.first.family) return false;
  // Not ip-num's isOverlapping: it misses ranges that share only an end.
  return compareAddresses(a.first, b.last) <= 0 && compareAddresses(b.first, a.last) <= 0;
}

/** The address at a place of a range, counted from 0; `undefined` behind its end. */
export function rangeAt(range: AddressRange, index: bigint): Address | undefined {
  if (index < 0n || index >= rangeSize(range)) return undefined;
  return addressFromBigInt(range.first.family, addressToBigInt(range.first) + index);
}

/**
 * The address sets, one a family, of several configured ranges.
 * @throws SdkError `INVALID_PREFIX` for the first text that is no range.
 */
export function parseRanges(
  texts: readonly string[],
  options: PrefixOptions = {},
): {
  readonly v4: IntervalSet;
  readonly v6: IntervalSet;
} {
  const ranges = texts.map((text) => parseRange(text, options));
  const of = (family: 4 | 6): IntervalSet =>
    intervalsFromRanges(
      family,
      ranges.filter(({ first }) => first.family === family),
    );
  return { v4: of(4), v6: of(6) };
}

/** An IPv4 block as network administrators name its parts; all addresses are canonical text. */
export interface Block4 {
  readonly network: string;
  /** Dotted netmask, e.g. `255.255.255.0`. */
  readonly netmask: string;
  /** Absent for /31 (RFC 3021) and /32. */
  readonly broadcast?: string;
  /** First and last address that a host may have. */
  readonly firstHost: string;
  readonly lastHost: string;
  /** Number of addresses, network and broadcast included. */
  readonly size: number;
}

/** Names the parts of an IPv4 prefix. */
export function describeBlock(prefix: Prefix4): Block4 {
  const block = new Netmask(formatPrefix(prefix));
  return {
    network: block.base,
    netmask: block.mask,
    ...(block.broadcast === undefined || prefix.length >= 31 ? {} : { broadcast: block.broadcast }),
    firstHost: block.first,
    lastHost: block.last,
    size: block.size,
  };
}

/** The range of a prefix that hosts may have: IPv4 without network and broadcast address, IPv6 without the anycast one. */
export function usableRange(prefix: Prefix): AddressRange {
  const range = rangeOfPrefix(prefix);
  if (prefix.family === 6) {
    if (prefix.length >= 127) return range; // RFC 6164: both addresses of a /127 are hosts
    return { first: addressFromBigInt(6, addressToBigInt(range.first) + 1n), last: range.last };
  }
  const { firstHost, lastHost } = describeBlock(prefix);
  return parseRange(`${firstHost}-${lastHost}`);
}
