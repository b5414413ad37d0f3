/**
 * Strict IPv4 and IPv6 addresses as integers.
 * Everything that a tenant, a peer or a tool wrote passes through here once and is canonical text (RFC 5952) from then on,
 * so that two spellings of one address can never be two addresses, and `010.0.0.1` is nothing at all.
 * Stands at the bottom: prefixes, tries and interval sets are built on these values.
 */
import { SdkError } from './errors.ts';

/** An IPv4 address: `value` is the unsigned 32-bit integer in network order. */
export interface Address4 {
  readonly family: 4;
  /** The address as an unsigned 32-bit integer. */
  readonly value: number;
}

/** Four unsigned 32-bit integers, most significant first. */
export type Words = readonly [number, number, number, number];

/** An IPv6 address: 128 bits as four unsigned 32-bit integers. */
export interface Address6 {
  readonly family: 6;
  readonly words: Words;
}

/** An address of either family. */
export type Address = Address4 | Address6;

/** How the text of an address may be written. */
export interface AddressGrammar {
  /** Go's historic reading: any number of leading zeros, always decimal in IPv4. */
  readonly leadingZeros: boolean;
}

const STRICT: AddressGrammar = { leadingZeros: false };

const ZERO = 48;
const NINE = 57;
const DOT = 46;
const COLON = 58;

function hexDigit(code: number): number {
  if (code >= ZERO && code <= NINE) return code - ZERO;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** Reads a dotted quad that fills `text` from `start` to its end; -1 when it is none. */
function scanQuad(text: string, start: number, grammar: AddressGrammar): number {
  let value = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === DOT) {
      if (digits === 0 || dots === 3) return -1;
      value = value * 256 + octet;
      dots++;
      octet = 0;
      digits = 0;
    } else if (code >= ZERO && code <= NINE) {
      if (digits > 0 && octet === 0 && !grammar.leadingZeros) return -1;
      octet = octet * 10 + code - ZERO;
      digits++;
      if (octet > 255) return -1;
    } else return -1;
  }
  return dots === 3 && digits > 0 ? value * 256 + octet : -1;
}

/** Reads RFC 4291 section 2.2 text: groups, one `::` for at least one group, a dotted quad as the last 32 bits. */
function scanGroups(text: string, grammar: AddressGrammar): Address6 | undefined {
  const groups: number[] = [];
  let gap = -1;
  let at = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return undefined;
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    if (groups.length === 8) return undefined;
    const start = at;
    let group = 0;
    for (; at < text.length; at++) {
      const digit = hexDigit(text.charCodeAt(at));
      if (digit < 0) break;
      group = group * 16 + digit;
      if (group > 0xffff) return undefined;
    }
    if (at === start) return undefined;
    if (text.charCodeAt(at) === DOT) {
      const quad = groups.length <= 6 ? scanQuad(text, start, grammar) : -1;
      if (quad < 0) return undefined;
      groups.push(Math.floor(quad / 65536), quad % 65536);
      break;
    }
    if (at - start > 4 && !grammar.leadingZeros) return undefined;
    groups.push(group);
    if (at === text.length) break;
    if (text.charCodeAt(at) !== COLON) return undefined;
    at++;
    if (text.charCodeAt(at) === COLON) {
      if (gap >= 0) return undefined;
      gap = groups.length;
      at++;
    } else if (at === text.length) return undefined;
  }
  if (gap < 0 ? groups.length !== 8 : groups.length > 7) return undefined;
  const full = new Array<number>(8).fill(0);
  const tail = gap < 0 ? 0 : groups.length - gap;
  groups.forEach((group, index) => (full[index < groups.length - tail ? index : 8 - groups.length + index] = group));
  const word = (index: number): number => (full[index] ?? 0) * 65536 + (full[index + 1] ?? 0);
  return { family: 6, words: [word(0), word(2), word(4), word(6)] };
}

/** Reads an address in a chosen grammar; `undefined` when the text is none. */
export function scanAddress(text: string, grammar: AddressGrammar = STRICT): Address | undefined {
  if (text.includes(':')) return scanGroups(text, grammar);
  const value = scanQuad(text, 0, grammar);
  return value < 0 ? undefined : { family: 4, value };
}

/** Reads an address strictly; `undefined` when the text is none: no octal, no short forms, no zone, no surrounding text. */
export function tryParseAddress(text: string): Address | undefined {
  return scanAddress(text);
}

/**
 * Reads an address strictly (RFC 4291 section 2.2; dotted quad without leading zeros).
 * @throws SdkError `INVALID_ADDRESS`
 * @example
 * ```ts
 * import { formatAddress, isSdkError, parseAddress } from 'kube-router-sdk/net';
 *
 * console.log(formatAddress(parseAddress('2001:DB8:0:0::1'))); // 2001:db8::1
 * try {
 *   parseAddress('010.0.0.1');
 * } catch (error) {
 *   console.log(isSdkError(error, 'INVALID_ADDRESS')); // true
 * }
 * ```
 */
export function parseAddress(text: string): Address {
  const address = scanAddress(text);
  if (address === undefined) {
    throw new SdkError(`not an IP address: ${JSON.stringify(text)}`, { code: 'INVALID_ADDRESS', details: { text } });
  }
  return address;
}

function formatQuad(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** Writes an address as canonical text: RFC 5952, IPv4-mapped ones with a dotted quad (its section 5). */
export function formatAddress(address: Address): string {
  if (address.family === 4) return formatQuad(address.value);
  const [a, b, c, d] = address.words;
  if (a === 0 && b === 0 && c === 0xffff) return `::ffff:${formatQuad(d)}`;
  const groups = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff, c >>> 16, c & 0xffff, d >>> 16, d & 0xffff];
  // The longest run of zero groups, the first of equals, and never a run of one (RFC 5952 section 4.2).
  let best = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > bestLength) {
      best = start;
      bestLength = end - start;
    }
    if (end > start) start = end;
  }
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return best < 0 ? hex(groups) : `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
}

/**
 * The canonical text of an address given as text.
 * @throws SdkError `INVALID_ADDRESS`
 */
export function canonicalAddress(text: string): string {
  return formatAddress(parseAddress(text));
}

/** Whether the text is an address, in canonical spelling or not. */
export function isAddress(text: string): boolean {
  return scanAddress(text) !== undefined;
}

/** The family of an address given as text; `undefined` when it is none. */
export function familyOf(text: string): 4 | 6 | undefined {
  return scanAddress(text)?.family;
}

/** The family of a canonical address or prefix, which only needs a look: {@link familyOf} is for text of unknown content. */
export function textFamily(text: string): 4 | 6 {
  return text.includes(':') ? 6 : 4;
}

/** Orders addresses: IPv4 before IPv6, then by value. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.family === 4) return b.family === 4 ? a.value - b.value : -1;
  if (b.family === 4) return 1;
  for (let index = 0; index < 4; index++) {
    const difference = (a.words[index] ?? 0) - (b.words[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether two addresses are the same address of the same family. */
export function equalAddresses(a: Address, b: Address): boolean {
  return compareAddresses(a, b) === 0;
}

/** The IPv4 address inside an IPv4-mapped one (`::ffff:0:0/96`, RFC 4291 section 2.5.5.2); any other as it is. */
export function unmapAddress(address: Address): Address {
  if (address.family === 4) return address;
  const [a, b, c, d] = address.words;
  return a === 0 && b === 0 && c === 0xffff ? { family: 4, value: d } : address;
}

/** The address as one integer: 32 bits for IPv4, 128 for IPv6. */
export function addressToBigInt(address: Address): bigint {
  if (address.family === 4) return BigInt(address.value);
  return address.words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
}

/**
 * The address of an integer.
 * @throws SdkError `INVALID_ADDRESS` when it does not fit the family.
 */
export function addressFromBigInt(family: 4 | 6, value: bigint): Address {
  if (value < 0n || value >> (family === 4 ? 32n : 128n) !== 0n) {
    throw new SdkError(`${value} does not fit an IPv${family} address`, { code: 'INVALID_ADDRESS' });
  }
  if (family === 4) return { family: 4, value: Number(value) };
  const word = (shift: bigint): number => Number((value >> shift) & 0xffffffffn);
  return { family: 6, words: [word(96n), word(64n), word(32n), word(0n)] };
}

/** The address as 4 or 16 bytes in network order. */
export function addressToBytes(address: Address): Uint8Array {
  const words = address.family === 4 ? [address.value] : address.words;
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  words.forEach((word, index) => view.setUint32(index * 4, word));
  return bytes;
}

/**
 * The address of 4 or 16 bytes in network order.
 * @throws SdkError `INVALID_ADDRESS` for any other length.
 */
export function addressFromBytes(bytes: Uint8Array): Address {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 4) return { family: 4, value: view.getUint32(0) };
  if (bytes.length === 16) {
    return { family: 6, words: [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)] };
  }
  throw new SdkError(`an address has 4 or 16 bytes, not ${bytes.length}`, { code: 'INVALID_ADDRESS' });
}
