/**
 * EVPN routes as text: types 1–5 (RFC 7432 section 7, RFC 9136 section 3); others stay opaque and pass through.
 * Each is framed by its own length, so one that is not understood spoils no other (RFC 7606 section 5.4).
 * Stands on labelled.ts; nlri.ts calls it.
 */
import { textOf4, textOf6, u24, u32 } from '../bytes.ts';
import { formatRd } from './labelled.ts';
import type { EvpnDetail, NlriDetail } from './types.ts';

function pairs(bytes: Uint8Array, at: number, length: number): string {
  return Array.from(bytes.subarray(at, at + length), (octet) => octet.toString(16).padStart(2, '0')).join(':');
}

/** An address after its bit count; empty for none, `undefined` when the count is no address or it is cut. */
function readAddress(bytes: Uint8Array, at: number, end: number): { text: string; next: number } | undefined {
  const bits = bytes[at];
  const next = at + 1 + (bits ?? 0) / 8;
  if (at >= end || next > end) return undefined;
  if (bits === 0) return { text: '', next };
  if (bits === 32) return { text: textOf4(bytes, at + 1), next };
  return bits === 128 ? { text: textOf6(bytes, at + 1), next } : undefined;
}

function labelsFrom(bytes: Uint8Array, at: number, end: number): number[] | undefined {
  const length = end - at;
  if (length !== 3 && length !== 6) return undefined;
  return length === 3 ? [u24(bytes, at)] : [u24(bytes, at), u24(bytes, at + 3)];
}

function readBody(routeType: number, bytes: Uint8Array, at: number, end: number): EvpnDetail | undefined {
  if (at + 8 > end) return undefined;
  const base = { kind: 'evpn', routeType, rd: formatRd(bytes, at) } as const;
  const length = end - at;
  if (routeType === 1 && length === 25) {
    const esi = pairs(bytes, at + 8, 10);
    return { ...base, esi, ethernetTag: u32(bytes, at + 18), labels: [u24(bytes, at + 22)] };
  }
  if (routeType === 2 && length >= 30 && bytes[at + 22] === 48) {
    const host = readAddress(bytes, at + 29, end);
    const labels = host === undefined ? undefined : labelsFrom(bytes, host.next, end);
    if (host === undefined || labels === undefined) return undefined;
    const address = host.text === '' ? {} : { address: host.text };
    const esi = pairs(bytes, at + 8, 10);
    return { ...base, esi, ethernetTag: u32(bytes, at + 18), mac: pairs(bytes, at + 23, 6), ...address, labels };
  }
  if (routeType === 3 && length >= 13) {
    const address = readAddress(bytes, at + 12, end);
    if (address === undefined || address.next !== end || address.text === '') return undefined;
    return { ...base, ethernetTag: u32(bytes, at + 8), address: address.text };
  }
  if (routeType === 4 && length >= 19) {
    const address = readAddress(bytes, at + 18, end);
    if (address === undefined || address.next !== end || address.text === '') return undefined;
    return { ...base, esi: pairs(bytes, at + 8, 10), address: address.text };
  }
  if (routeType === 5 && (length === 34 || length === 58)) {
    const wide = length === 58;
    const bits = bytes[at + 22] ?? 255;
    if (bits > (wide ? 128 : 32)) return undefined;
    const text = wide ? textOf6 : textOf4;
    const size = wide ? 16 : 4;
    return {
      ...base,
      esi: pairs(bytes, at + 8, 10),
      ethernetTag: u32(bytes, at + 18),
      prefix: `${text(bytes, at + 23)}/${bits}`,
      gateway: text(bytes, at + 23 + size),
      labels: [u24(bytes, at + 23 + 2 * size)],
    };
  }
  return undefined;
}

const NAMES = ['', 'auto-discovery', 'mac-ip', 'multicast', 'segment', 'prefix'];

/** Reads one EVPN route after its type and length octets. */
export function decodeEvpn(
  routeType: number,
  bytes: Uint8Array,
  at: number,
  end: number,
): { readonly text: string; readonly detail: NlriDetail } {
  const name = NAMES[routeType];
  if (name === undefined || name === '') {
    const reason = `route type ${routeType}`;
    return { text: `evpn (${reason})`, detail: { kind: 'opaque', reason } };
  }
  const detail = readBody(routeType, bytes, at, end);
  if (detail === undefined) {
    const reason = `malformed ${name} route`;
    return { text: `evpn (${reason})`, detail: { kind: 'opaque', reason } };
  }
  const parts = [
    `evpn ${name} rd ${detail.rd}`,
    detail.esi === undefined || /^(00:)*00$/.test(detail.esi) ? '' : `esi ${detail.esi}`,
    detail.ethernetTag === undefined ? '' : `tag ${detail.ethernetTag}`,
    detail.mac === undefined ? '' : `mac ${detail.mac}`,
    detail.address ?? detail.prefix ?? '',
    detail.gateway === undefined || /^(0\.0\.0\.0|::)$/.test(detail.gateway) ? '' : `via ${detail.gateway}`,
    detail.labels === undefined ? '' : `label ${detail.labels.join(',')}`,
  ];
  return { text: parts.filter((part) => part !== '').join(' '), detail };
}
