/**
 * Flow specifications as text (RFC 8955 for IPv4, RFC 8956 for IPv6): shown and passed on, never installed.
 * Each is framed by its own length, so one that is not understood spoils no other.
 * Stands on labelled.ts; nlri.ts calls it.
 */
import { textOf6, u16, u32 } from '../bytes.ts';
import { formatRd, formatWirePrefix } from './labelled.ts';
import type { FlowComponent, NlriDetail } from './types.ts';

const NAMES: Readonly<Record<number, string>> = {
  1: 'destination',
  2: 'source',
  3: 'protocol',
  4: 'port',
  5: 'destination-port',
  6: 'source-port',
  7: 'icmp-type',
  8: 'icmp-code',
  9: 'tcp-flags',
  10: 'packet-length',
  11: 'dscp',
  12: 'fragment',
  13: 'flow-label',
};
/** By the bits less, greater, equal (RFC 8955 section 4.2.1.1). */
const COMPARE = ['false', '=', '>', '>=', '<', '<=', '!=', 'true'];

interface Piece {
  readonly text: string;
  readonly next: number;
}

function readPrefix(bytes: Uint8Array, at: number, end: number, afi: number): Piece | undefined {
  const bits = bytes[at] ?? 255;
  if (afi === 1) {
    const next = at + 1 + ((bits + 7) >>> 3);
    return bits > 32 || next > end ? undefined : { text: formatWirePrefix(bytes, at + 1, bits, 1), next };
  }
  // RFC 8956 section 3.1: the pattern begins `offset` bits into the address.
  const offset = bytes[at + 1] ?? 255;
  const octets = (bits - offset + 7) >>> 3;
  if (at + 2 > end || bits > 128 || (offset >= bits && bits !== 0) || at + 2 + octets > end) return undefined;
  if (offset === 0) return { text: formatWirePrefix(bytes, at + 2, bits, 2), next: at + 2 + octets };
  const full = new Uint8Array(16);
  for (let bit = offset; bit < bits; bit++) {
    const from = bit - offset;
    const set = ((bytes[at + 2 + (from >>> 3)] ?? 0) >>> (7 - (from & 7))) & 1;
    const octet = bit >>> 3;
    full[octet] = (full[octet] ?? 0) | (set << (7 - (bit & 7)));
  }
  return { text: `${textOf6(full, 0)}/${offset}-${bits}`, next: at + 2 + octets };
}

function readOperators(bytes: Uint8Array, at: number, end: number, bitmask: boolean): Piece | undefined {
  let text = '';
  for (;;) {
    if (at >= end) return undefined;
    const operator = bytes[at] ?? 0;
    const size = 1 << ((operator >>> 4) & 3);
    at++;
    if (at + size > end) return undefined;
    const value =
      size === 8
        ? (BigInt(u32(bytes, at)) << 32n) | BigInt(u32(bytes, at + 4))
        : size === 4
          ? u32(bytes, at)
          : size === 2
            ? u16(bytes, at)
            : (bytes[at] ?? 0);
    at += size;
    const join = text === '' ? '' : (operator & 0x40) !== 0 ? '&' : '|';
    const sign = bitmask
      ? `${(operator & 2) !== 0 ? '!' : ''}${(operator & 1) !== 0 ? '=' : '~'}0x`
      : (COMPARE[operator & 7] ?? '');
    text += `${join}${sign}${bitmask ? value.toString(16) : value}`;
    if ((operator & 0x80) !== 0) return { text, next: at };
  }
}

/** Reads one flow specification after its length field; `opaque` when it breaks the rules of its components. */
export function decodeFlowspec(
  bytes: Uint8Array,
  at: number,
  end: number,
  afi: number,
  vpn: boolean,
): { readonly text: string; readonly detail: NlriDetail } {
  const opaque = (reason: string) => ({ text: `flow (${reason})`, detail: { kind: 'opaque', reason } as const });
  let rd: string | undefined;
  if (vpn) {
    if (at + 8 > end) return opaque('route distinguisher is cut');
    rd = formatRd(bytes, at);
    at += 8;
  }
  const components: FlowComponent[] = [];
  let before = 0;
  while (at < end) {
    const type = bytes[at] ?? 0;
    const name = NAMES[type];
    if (name === undefined || (type === 13 && afi === 1)) return opaque(`component of type ${type}`);
    if (type <= before) return opaque('components out of order (RFC 8955 section 4.2)');
    before = type;
    const piece =
      type <= 2 ? readPrefix(bytes, at + 1, end, afi) : readOperators(bytes, at + 1, end, type === 9 || type === 12);
    if (piece === undefined) return opaque(`${name} is cut`);
    components.push({ type, text: `${name} ${piece.text}` });
    at = piece.next;
  }
  if (components.length === 0) return opaque('no components');
  const text = `${rd === undefined ? '' : `rd ${rd} `}${components.map((part) => part.text).join(' ')}`;
  return { text, detail: { kind: 'flowspec', components, ...(rd === undefined ? {} : { rd }) } };
}
