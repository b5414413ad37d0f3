/**
 * Strict prefixes (CIDR blocks) as integers.
 * A prefix is its network address plus a length; host bits are refused or masked, as the caller says, never kept.
 * Stands on address.ts; the trie and the interval sets take these values.
 */
import type { Address, Address4, Address6, Words } from './address.ts';
import { compareAddresses, formatAddress, scanAddress } from './address.ts';
import { SdkError } from './errors.ts';

/** An IPv4 prefix: the network address and its length, 0–32. */
export interface Prefix4 extends Address4 {
  /** 0–32. */
  readonly length: number;
}

/** An IPv6 prefix: the network address and its length, 0–128. */
export interface Prefix6 extends Address6 {
  /** 0–128. */
  readonly length: number;
}

/** A prefix of either family; structurally its own network address. */
export type Prefix = Prefix4 | Prefix6;

/** How a prefix is to be read. */
export interface PrefixOptions {
  /** What to do with bits set right of the length, as in `10.0.0.1/8`. @defaultValue 'reject' */
  readonly hostBits?: 'reject' | 'mask';
}

/** The unsigned 32-bit mask of a length, which is cut to 0–32. */
export function maskWord(length: number): number {
  if (length <= 0) return 0;
  return length >= 32 ? 0xffffffff : (0xffffffff << (32 - length)) >>> 0;
}

/** The prefix of a length that an address is in. */
export function maskAddress(address: Address, length: number): Prefix {
  if (address.family === 4) return { family: 4, value: (address.value & maskWord(length)) >>> 0, length };
  const [a, b, c, d] = address.words;
  const words: Words = [
    (a & maskWord(length)) >>> 0,
    (b & maskWord(length - 32)) >>> 0,
    (c & maskWord(length - 64)) >>> 0,
    (d & maskWord(length - 96)) >>> 0,
  ];
  return { family: 6, words, length };
}

function scanLength(text: string, max: number, leadingZeros: boolean): number {
  if (!/^[0-9]+$/.test(text) || (!leadingZeros && (text.length > 3 || /^0./.test(text)))) return -1;
  const length = Number(text);
  return length <= max ? length : -1;
}

function scanPrefix(text: string, hostBits: 'reject' | 'mask', leadingZeros: boolean): Prefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = scanAddress(text.slice(0, slash), { leadingZeros });
  if (address === undefined) return undefined;
  const length = scanLength(text.slice(slash + 1), address.family === 4 ? 32 : 128, leadingZeros);
  if (length < 0) return undefined;
  const prefix = maskAddress(address, length);
  return hostBits === 'mask' || compareAddresses(prefix, address) === 0 ? prefix : undefined;
}

/** Reads a prefix strictly; `undefined` when the text is none. */
export function tryParsePrefix(text: string, options: PrefixOptions = {}): Prefix | undefined {
  return scanPrefix(text, options.hostBits ?? 'reject', false);
}

/**
 * Reads a prefix strictly: an address, a slash, a decimal length without leading zeros.
 * @throws SdkError `INVALID_PREFIX`
 * @example
 * ```ts
 * import { contains, formatPrefix, parseAddress, parsePrefix } from 'kube-router-sdk/net';
 *
 * const prefix = parsePrefix('10.1.2.3/16', { hostBits: 'mask' });
 * console.log(formatPrefix(prefix), contains(prefix, parseAddress('10.1.200.1'))); // 10.1.0.0/16 true
 * ```
 */
export function parsePrefix(text: string, options: PrefixOptions = {}): Prefix {
  const prefix = tryParsePrefix(text, options);
  if (prefix !== undefined) return prefix;
  const masked = tryParsePrefix(text, { hostBits: 'mask' });
  const hint = masked === undefined ? '' : `: host bits are set, meant ${formatPrefix(masked)}?`;
  throw new SdkError(`not an IP prefix: ${JSON.stringify(text)}${hint}`, { code: 'INVALID_PREFIX', details: { text } });
}

/**
 * Reads a CIDR as Kubernetes reads `NetworkPolicy.spec.*.ipBlock` (Go's historic net.ParseCIDR, k8s.io/utils ParseCIDRSloppy):
 * leading zeros are decimal, host bits are masked, an IPv4-mapped block is its IPv4 block. `undefined` when it is none.
 * For text that the API server has already accepted and enforces in this reading; everything else is read strictly.
 */
export function parseSloppyPrefix(text: string): Prefix | undefined {
  const prefix = scanPrefix(text, 'mask', true);
  if (prefix?.family !== 6 || prefix.length < 96) return prefix;
  const [a, b, c, d] = prefix.words;
  return a === 0 && b === 0 && c === 0xffff ? { family: 4, value: d, length: prefix.length - 96 } : prefix;
}

/** Writes a prefix as canonical text, always with its length. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

/**
 * The canonical text of a prefix given as text.
 * @throws SdkError `INVALID_PREFIX`
 */
export function canonicalPrefix(text: string, options: PrefixOptions = {}): string {
  return formatPrefix(parsePrefix(text, options));
}

/** The prefix that holds this one address: /32 or /128. */
export function hostPrefix(address: Address): Prefix {
  return maskAddress(address, address.family === 4 ? 32 : 128);
}

/** Whether a prefix is one address only. */
export function isHostPrefix(prefix: Prefix): boolean {
  return prefix.length === (prefix.family === 4 ? 32 : 128);
}

/** Whether an address, or the whole of another prefix, lies inside a prefix; never across families. */
export function contains(prefix: Prefix, inner: Address | Prefix): boolean {
  if ('length' in inner && inner.length < prefix.length) return false;
  if (prefix.family === 4) {
    return inner.family === 4 && ((inner.value ^ prefix.value) & maskWord(prefix.length)) === 0;
  }
  if (inner.family === 4) return false;
  for (let index = 0; index < 4; index++) {
    const difference = (inner.words[index] ?? 0) ^ (prefix.words[index] ?? 0);
    if ((difference & maskWord(prefix.length - 32 * index)) !== 0) return false;
  }
  return true;
}

/** Whether two prefixes share an address: then one contains the other. */
export function overlaps(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? contains(a, b) : contains(b, a);
}

/**
 * The longest prefix that holds two others of one family.
 * @throws RangeError across families
 */
export function commonPrefix(a: Prefix, b: Prefix): Prefix {
  if (a.family !== b.family)
    throw new RangeError(`${formatPrefix(a)} and ${formatPrefix(b)} have no prefix in common.`);
  const [left, right] = a.family === 4 ? [[a.value], [(b as Prefix4).value]] : [a.words, (b as Prefix6).words];
  let length = Math.min(a.length, b.length);
  for (const [index, word] of left.entries()) {
    const difference = word ^ (right[index] ?? 0);
    if (difference === 0) continue;
    length = Math.min(length, index * 32 + Math.clz32(difference));
    break;
  }
  return maskAddress(a, length);
}

/** Orders prefixes: IPv4 before IPv6, then by network address, then the shorter first. */
export function comparePrefixes(a: Prefix, b: Prefix): number {
  return compareAddresses(a, b) || a.length - b.length;
}

/** Whether two prefixes are the same. */
export function equalPrefixes(a: Prefix, b: Prefix): boolean {
  return comparePrefixes(a, b) === 0;
}

/** The last address of a prefix. */
export function lastAddress(prefix: Prefix): Address {
  if (prefix.family === 4) return { family: 4, value: (prefix.value | ~maskWord(prefix.length)) >>> 0 };
  const last = (index: number): number => ((prefix.words[index] ?? 0) | ~maskWord(prefix.length - 32 * index)) >>> 0;
  return { family: 6, words: [last(0), last(1), last(2), last(3)] };
}
