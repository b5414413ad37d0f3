/**
 * Communities of all three kinds as text: standard (RFC 1997), extended (RFC 4360, 5668, 7153) and large (RFC 8092).
 * What people write in policies and annotations is what looking glasses print; a kind without a notation is printed as hex
 * and read back from it.
 * Stands on constants.ts; the wire side is a plain run of integers in decode.ts and encode.ts.
 */
import { formatAddress, tryParseAddress } from '../../../net/index.ts';
import { WellKnownCommunity } from '../constants.ts';
import type { ExtendedCommunity, LargeCommunity } from '../types.ts';

const NAMES: readonly (readonly [string, number])[] = [
  ['graceful-shutdown', WellKnownCommunity.gracefulShutdown],
  ['accept-own', WellKnownCommunity.acceptOwn],
  ['llgr-stale', WellKnownCommunity.llgrStale],
  ['no-llgr', WellKnownCommunity.noLlgr],
  ['blackhole', WellKnownCommunity.blackhole],
  ['no-export', WellKnownCommunity.noExport],
  ['no-advertise', WellKnownCommunity.noAdvertise],
  ['no-export-subconfed', WellKnownCommunity.noExportSubconfed],
  ['no-peer', WellKnownCommunity.noPeer],
];
const BY_NAME = new Map(NAMES);
const BY_VALUE = new Map(NAMES.map(([name, value]) => [value, name]));

function number(text: string | undefined, max: number): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

/** A community as text: a well-known name or `ASN:value`. */
export function formatCommunity(value: number): string {
  return BY_VALUE.get(value) ?? `${value >>> 16}:${value & 0xffff}`;
}

/** Reads a well-known name or `ASN:value`; `undefined` when the text is neither. */
export function parseCommunity(text: string): number | undefined {
  const known = BY_NAME.get(text.toLowerCase());
  if (known !== undefined) return known;
  const parts = text.split(':');
  const high = number(parts[0], 0xffff);
  const low = number(parts[1], 0xffff);
  return parts.length !== 2 || high === undefined || low === undefined ? undefined : ((high << 16) | low) >>> 0;
}

/** A large community as `global:local1:local2`. */
export function formatLargeCommunity([global, local1, local2]: LargeCommunity): string {
  return `${global}:${local1}:${local2}`;
}

/** Reads `global:local1:local2`, canonical decimal only (RFC 8092 section 4); `undefined` when the text is none. */
export function parseLargeCommunity(text: string): LargeCommunity | undefined {
  if (!/^(0|[1-9]\d*)(:(0|[1-9]\d*)){2}$/.test(text)) return undefined;
  const [global, local1, local2] = text.split(':').map((part) => number(part, 0xffffffff));
  if (global === undefined || local1 === undefined || local2 === undefined) return undefined;
  return [global, local1, local2];
}

const SUBTYPES: readonly (readonly [string, number])[] = [
  ['rt', 0x02],
  ['soo', 0x03],
];
const SUBTYPE_NAMES = new Map(SUBTYPES.map(([name, subtype]) => [subtype, name]));
const SUBTYPE_CODES = new Map([...SUBTYPES, ['target', 0x02], ['origin', 0x03]] as const);

/** Whether an extended community may leave its AS (RFC 4360 section 2: the T bit is clear). */
export function isTransitiveCommunity([high]: ExtendedCommunity): boolean {
  return (high & 0x40000000) === 0;
}

/** The route target or origin inside the eight octets, by the three administrators of RFC 4360 and RFC 5668. */
function administered(kind: number, high: number, low: number): string | undefined {
  const assigned = high & 0xffff;
  if (kind === 0x00) return `${assigned}:${low}`;
  // An AS number that fits two octets keeps an `L`, or it would read back as the other encoding.
  const asn = assigned * 65536 + (low >>> 16);
  if (kind === 0x02) return `${asn}${asn < 65536 ? 'L' : ''}:${low & 0xffff}`;
  if (kind !== 0x01) return undefined;
  return `${formatAddress({ family: 4, value: asn })}:${low & 0xffff}`;
}

const FLOAT = new DataView(new ArrayBuffer(4));

/** An extended community as text: `rt:A:B`, `soo:A:B`, `bandwidth:AS:octets`, `color:N`, `mac-mobility:N`, else hex. */
export function formatExtendedCommunity([high, low]: ExtendedCommunity): string {
  const type = high >>> 24;
  const subtype = (high >>> 16) & 255;
  const name = SUBTYPE_NAMES.get(subtype);
  const administrator = name === undefined ? undefined : administered(type, high, low);
  if (administrator !== undefined) return `${name}:${administrator}`;
  if (type === 0x40 && subtype === 0x04) {
    FLOAT.setUint32(0, low);
    const value = FLOAT.getFloat32(0);
    if (Number.isFinite(value) && low >>> 31 === 0) return `bandwidth:${high & 0xffff}:${value}`;
  }
  if (high === 0x030b0000) return `color:${low}`;
  if (high === 0x06000000) return `mac-mobility:${low}`;
  if (high === 0x06000100) return `mac-mobility:${low}:sticky`;
  return `0x${hex(high)}${hex(low)}`;
}

/** Reads the text of {@link formatExtendedCommunity}; `target` and `origin` mean `rt` and `soo`; `undefined` when it is none. */
export function parseExtendedCommunity(text: string): ExtendedCommunity | undefined {
  if (/^0x[0-9a-f]{16}$/i.test(text)) return [parseInt(text.slice(2, 10), 16), parseInt(text.slice(10), 16)];
  const [kind = '', first = '', second = '', ...more] = text.split(':');
  if (more.length > 0) return undefined;
  const subtype = SUBTYPE_CODES.get(kind.toLowerCase());
  if (subtype === undefined) return parseOther(kind.toLowerCase(), first, text.split(':').slice(2));
  const head = subtype << 16;
  const small = number(second, 0xffff);
  const address = tryParseAddress(first);
  if (address?.family === 4) {
    if (small === undefined) return undefined;
    return [(0x01000000 | head | (address.value >>> 16)) >>> 0, (((address.value & 0xffff) << 16) | small) >>> 0];
  }
  const wide = /^\d+L$/.test(first);
  const asn = number(wide ? first.slice(0, -1) : first, 0xffffffff);
  if (asn === undefined) return undefined;
  if (!wide && asn <= 0xffff) {
    const large = number(second, 0xffffffff);
    return large === undefined ? undefined : [(head | asn) >>> 0, large];
  }
  if (small === undefined) return undefined;
  return [(0x02000000 | head | (asn >>> 16)) >>> 0, (((asn & 0xffff) << 16) | small) >>> 0];
}

function parseOther(kind: string, first: string, rest: readonly string[]): ExtendedCommunity | undefined {
  const value = number(first, 0xffffffff);
  if (value === undefined) return undefined;
  if (kind === 'color') return rest.length === 0 ? [0x030b0000, value] : undefined;
  if (kind === 'mac-mobility') {
    if (rest.length === 0) return [0x06000000, value];
    return rest.length === 1 && rest[0] === 'sticky' ? [0x06000100, value] : undefined;
  }
  if (kind !== 'bandwidth' || value > 0xffff || rest.length !== 1) return undefined;
  const octets = /^\d+(\.\d+)?(e[+-]?\d+)?$/i.test(rest[0] ?? '') ? Number(rest[0]) : NaN;
  if (!Number.isFinite(octets)) return undefined;
  FLOAT.setFloat32(0, octets);
  return [0x40040000 | value, FLOAT.getUint32(0)];
}
