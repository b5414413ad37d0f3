/**
 * Reading and writing big-endian integers at offsets, without views or copies.
 * Callers check bounds first; these functions are for after the check.
 * Stands at the bottom of the message codec.
 */
import { formatAddress, tryParseAddress } from '../../net/index.ts';

/** No octets: one for all who begin with none. */
export const NOTHING = new Uint8Array(0);

/** Two octets as an unsigned integer. */
export function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** Three octets as an unsigned integer. */
export function u24(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
}

/** Four octets as an unsigned integer. */
export function u32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  );
}

/** Writes two octets and returns where they end. */
export function put16(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 8;
  out[at + 1] = value;
  return at + 2;
}

/** Writes three octets and returns where they end. */
export function put24(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 16;
  out[at + 1] = value >>> 8;
  out[at + 2] = value;
  return at + 3;
}

/** Writes four octets and returns where they end. */
export function put32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** Canonical text of four octets as an IPv4 address. */
export function textOf4(bytes: Uint8Array, at: number): string {
  return `${bytes[at] ?? 0}.${bytes[at + 1] ?? 0}.${bytes[at + 2] ?? 0}.${bytes[at + 3] ?? 0}`;
}

/** Canonical text of sixteen octets as an IPv6 address. */
export function textOf6(bytes: Uint8Array, at: number): string {
  return formatAddress({
    family: 6,
    words: [u32(bytes, at), u32(bytes, at + 4), u32(bytes, at + 8), u32(bytes, at + 12)],
  });
}

/** Writes an address given as text; returns where it ends, or -1 when the text is no address of 4 or 16 octets. */
export function putAddress(out: Uint8Array, at: number, text: string): number {
  const address = tryParseAddress(text);
  if (address === undefined) return -1;
  if (address.family === 4) return put32(out, at, address.value);
  for (let word = 0; word < 4; word++) put32(out, at + word * 4, address.words[word] ?? 0);
  return at + 16;
}
