/**
 * Routes of every family, cut out of their field, shown and written back octet for octet.
 * The frame of each family decides how far a malformed route reaches: bit counts lose the rest of the field, length fields do
 * not (RFC 7606 section 5.3 and 5.4).
 * Stands on the family decoders beside it; decodeUpdate and looking glasses use it.
 */
import { formatPrefix, parsePrefix } from '../../../net/index.ts';
import { put32, u32 } from '../bytes.ts';
import { Safi } from '../constants.ts';
import { familyCodes } from '../family.ts';
import type { Family } from '../types.ts';
import { decodeEvpn } from './evpn.ts';
import { decodeFlowspec } from './flowspec.ts';
import { decodeLabelled, formatWirePrefix } from './labelled.ts';
import type { Nlri, NlriDetail, NlriList } from './types.ts';

interface Cut {
  readonly end: number;
  /** `undefined`: no unicast route may have that prefix. */
  readonly route?: { readonly text: string; readonly detail: NlriDetail };
}

function isIgnoredPrefix(bytes: Uint8Array, at: number, bits: number, afi: number): boolean {
  const first = bytes[at] ?? 0;
  if (afi === 1) return bits >= 4 && first >>> 4 === 14;
  return (bits >= 8 && first === 0xff) || (bits >= 10 && first === 0xfe && ((bytes[at + 1] ?? 0) & 0xc0) === 0x80);
}

/** Cuts one route of a bit-counted family; `undefined` when it does not fit. */
function cutPrefix(bytes: Uint8Array, at: number, end: number, afi: number, safi: number): Cut | undefined {
  const bits = bytes[at] ?? 255;
  const next = at + 1 + ((bits + 7) >>> 3);
  if (next > end) return undefined;
  if (safi === Safi.labelled || safi === Safi.vpn) {
    const route = decodeLabelled(bytes, at + 1, bits, afi, safi === Safi.vpn);
    return route === undefined ? undefined : { end: next, route };
  }
  if (bits > (afi === 1 ? 32 : 128)) return undefined;
  if (safi === Safi.unicast && isIgnoredPrefix(bytes, at + 1, bits, afi)) return { end: next };
  const prefix = formatWirePrefix(bytes, at + 1, bits, afi);
  return { end: next, route: { text: prefix, detail: { kind: 'prefix', prefix } } };
}

function cutFlowspec(bytes: Uint8Array, at: number, end: number, afi: number, vpn: boolean): Cut | undefined {
  const first = bytes[at] ?? 0;
  const wide = first >= 0xf0;
  if (wide && at + 2 > end) return undefined;
  const length = wide ? ((first & 15) << 8) | (bytes[at + 1] ?? 0) : first;
  const from = at + (wide ? 2 : 1);
  if (from + length > end) return undefined;
  return { end: from + length, route: decodeFlowspec(bytes, from, from + length, afi, vpn) };
}

function cutEvpn(bytes: Uint8Array, at: number, end: number): Cut | undefined {
  if (at + 2 > end) return undefined;
  const next = at + 2 + (bytes[at + 1] ?? 0);
  return next > end ? undefined : { end: next, route: decodeEvpn(bytes[at] ?? 0, bytes, at + 2, next) };
}

/** Cuts one route at `at` off its field. */
function cut(bytes: Uint8Array, at: number, end: number, afi: number, safi: number): Cut | undefined {
  if (safi === Safi.evpn && afi === 25) return cutEvpn(bytes, at, end);
  if (afi === 1 || afi === 2) {
    if (safi === Safi.flowspec || safi === Safi.flowspecVpn) {
      return cutFlowspec(bytes, at, end, afi, safi === Safi.flowspecVpn);
    }
    if (safi === Safi.unicast || safi === Safi.multicast || safi === Safi.labelled || safi === Safi.vpn) {
      return cutPrefix(bytes, at, end, afi, safi);
    }
  }
  const reason = `family ${afi}/${safi}`;
  return { end, route: { text: `(${reason})`, detail: { kind: 'opaque', reason } } };
}

/** Reads the routes of a family from `offset` to `end`; octets are copied. */
export function decodeNlri(family: Family, bytes: Uint8Array, offset: number, end: number, addPath: boolean): NlriList {
  const { afi, safi } = familyCodes(family);
  const entries: Nlri[] = [];
  let ignored = 0;
  let at = offset;
  while (at < end) {
    const from = addPath ? at + 4 : at;
    const piece = from < end ? cut(bytes, from, end, afi, safi) : undefined;
    if (piece === undefined) return { entries, ignored, errorAt: at };
    const { route } = piece;
    if (route === undefined) ignored++;
    else {
      const pathId = addPath ? { pathId: u32(bytes, at) } : {};
      entries.push({ ...pathId, raw: bytes.slice(from, piece.end), ...route });
    }
    at = piece.end;
  }
  return { entries, ignored };
}

/**
 * A unicast route from the text of its prefix.
 * @throws SdkError `INVALID_PREFIX`
 */
export function prefixNlri(text: string, pathId?: number): Nlri {
  const prefix = parsePrefix(text);
  const words = prefix.family === 4 ? [prefix.value] : prefix.words;
  const full = new Uint8Array(17);
  full[0] = prefix.length;
  words.forEach((word, index) => put32(full, 1 + index * 4, word));
  const canonical = formatPrefix(prefix);
  return {
    ...(pathId === undefined ? {} : { pathId }),
    raw: full.slice(0, 1 + ((prefix.length + 7) >>> 3)),
    text: canonical,
    detail: { kind: 'prefix', prefix: canonical },
  };
}

/** Octets that a route takes in its field. */
export function nlriSize(nlri: Nlri, addPath: boolean): number {
  return nlri.raw.length + (addPath ? 4 : 0);
}

/** Writes a route into its field and returns where it ends; without a path identifier of its own it gets 0. */
export function writeNlri(out: Uint8Array, at: number, nlri: Nlri, addPath: boolean): number {
  if (addPath) at = put32(out, at, nlri.pathId ?? 0);
  out.set(nlri.raw, at);
  return at + nlri.raw.length;
}
