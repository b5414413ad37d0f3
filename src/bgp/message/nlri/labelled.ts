/**
 * Labelled and VPN prefixes: label stack, route distinguisher, prefix under one bit count (RFC 8277, RFC 4364, RFC 4659).
 * There is one label and its bottom-of-stack bit means nothing (RFC 8277 section 2.2); more are read where the bit count
 * leaves no other reading, for peers that send stacks unasked.
 * Stands on bytes.ts; nlri.ts calls it.
 */
import { textOf4, textOf6, u16, u24, u32 } from '../bytes.ts';
import type { NlriDetail } from './types.ts';

/** A route distinguisher of eight octets as text: `AS:N`, `A.B.C.D:N`, or hex for a type not assigned. */
export function formatRd(bytes: Uint8Array, at: number): string {
  const type = u16(bytes, at);
  if (type === 0) return `${u16(bytes, at + 2)}:${u32(bytes, at + 4)}`;
  if (type === 1) return `${textOf4(bytes, at + 2)}:${u16(bytes, at + 6)}`;
  if (type === 2) return `${u32(bytes, at + 2)}:${u16(bytes, at + 6)}`;
  return `0x${Array.from(bytes.subarray(at, at + 8), (octet) => octet.toString(16).padStart(2, '0')).join('')}`;
}

/** A prefix of `bits` bits whose octets begin at `at`, as canonical text; host bits are cleared. */
export function formatWirePrefix(bytes: Uint8Array, at: number, bits: number, afi: number): string {
  const full = new Uint8Array(afi === 1 ? 4 : 16);
  full.set(bytes.subarray(at, at + ((bits + 7) >>> 3)));
  const last = bits >>> 3;
  if ((bits & 7) !== 0) full[last] = (full[last] ?? 0) & (0xff00 >>> (bits & 7));
  return `${afi === 1 ? textOf4(full, 0) : textOf6(full, 0)}/${bits}`;
}

/** Reads one labelled route after its bit count; `undefined` when labels, distinguisher and prefix do not fit the count. */
export function decodeLabelled(
  bytes: Uint8Array,
  at: number,
  bits: number,
  afi: number,
  vpn: boolean,
): { readonly text: string; readonly detail: NlriDetail } | undefined {
  const labels: number[] = [];
  const most = (afi === 1 ? 32 : 128) + (vpn ? 64 : 0);
  do {
    if (bits < 24) return undefined;
    labels.push(u24(bytes, at) >>> 4);
    at += 3;
    bits -= 24;
  } while (bits > most && (u24(bytes, at - 3) & 1) === 0);
  let rd: string | undefined;
  if (vpn) {
    if (bits < 64) return undefined;
    rd = formatRd(bytes, at);
    at += 8;
    bits -= 64;
  }
  if (bits > (afi === 1 ? 32 : 128)) return undefined;
  const prefix = formatWirePrefix(bytes, at, bits, afi);
  const text = `${rd === undefined ? '' : `rd ${rd} `}${prefix} label ${labels.join(',')}`;
  return { text, detail: { kind: 'labelled', prefix, labels, ...(rd === undefined ? {} : { rd }) } };
}
