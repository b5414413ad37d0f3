/**
 * What an attribute set becomes on its way out: next hop, AS path, LOCAL_PREF, MED and reflection attributes by the kind of peer
 * (RFC 4271 section 5, RFC 4456 section 8, RFC 5065 section 4, RFC 9234 section 5). Bytes in, bytes out: a set is rewritten once
 * for all its prefixes and all peers of a group.
 */
import type { AttributeStore } from './attribute-store.ts';
import { internBlock, viewBlock } from './attribute-store.ts';
import type { RibPeer, SourceKind } from './table.ts';

/** Attribute that a set originated here may carry inside this speaker alone: prepends wanted towards eBGP peers. */
export const PREPEND_CODE = 255;

/** What all peers of a group have in common. */
export interface ExportSettings {
  readonly kind: Exclude<SourceKind, 'local'>;
  /** AS put in front of the path towards another AS. */
  readonly ownAs: number;
  /** Member AS put in front of the path towards other members of the confederation. */
  readonly clusterId: number;
  /** Our address for these peers as 4, 16 or 32 bytes: next hop self. Absent: none of that family is known. */
  readonly nextHop: Uint8Array | undefined;
  /** Says `nextHop` for every route, not only where BGP asks for it. */
  readonly nextHopSelf: boolean;
  /** Leaves the next hop of routes from other ASes as it is, towards eBGP too. */
  readonly nextHopUnchanged: boolean;
  /** Peers take IPv6 next hops for IPv4 routes (RFC 8950). */
  readonly extendedNextHop: boolean;
  /** Peers know LLGR_STALE (RFC 9494): routes kept as last resort may go to them. */
  readonly longLived: boolean;
  /** Our role towards these peers (RFC 9234). */
  readonly role?: 'provider' | 'rs' | 'rs-client' | 'customer' | 'peer' | undefined;
  /** Removes private AS numbers from the path towards eBGP peers. */
  readonly removePrivateAs?: boolean;
}

/** Whether a path from `source` may go to peers of `kind` at all. */
export function mayExport(store: AttributeStore, attr: number, source: RibPeer, settings: ExportSettings): boolean {
  const { kind, role } = settings;
  const toIbgp = kind === 'ibgp' || kind === 'ibgp-client';
  if (source.kind === 'ibgp' && kind === 'ibgp') return false;
  // RFC 9494 section 4.3: whoever does not know the mark would take the route for a good one.
  if ((store.wellKnown[attr]! & 32) !== 0 && !settings.longLived) return false;
  if (store.tag[attr] === 0) {
    const known = store.wellKnown[attr]!;
    if ((known & 2) !== 0 || ((known & 1) !== 0 && kind === 'ebgp') || ((known & 4) !== 0 && !toIbgp)) return false;
  }
  // RFC 9234 section 5: a route with OTC goes to customers and route-server clients only.
  if (kind === 'ebgp' && store.otc[attr] !== 0 && (role === 'customer' || role === 'peer' || role === 'rs-client'))
    return false;
  return true;
}

const scratch = new Uint8Array(70_000);
const starts = new Int32Array(4096);

function put32(at: number, value: number): number {
  scratch[at] = value >>> 24;
  scratch[at + 1] = value >>> 16;
  scratch[at + 2] = value >>> 8;
  scratch[at + 3] = value;
  return at + 4;
}

function copy(block: Uint8Array, from: number, to: number, at: number): number {
  for (let index = from; index < to; index++) scratch[at++] = block[index]!;
  return at;
}

function header(flags: number, type: number, length: number, at: number): number {
  scratch[at] = length > 255 ? flags | 0x10 : flags;
  scratch[at + 1] = type;
  if (length > 255) {
    scratch[at + 2] = length >>> 8;
    scratch[at + 3] = length;
    return at + 4;
  }
  scratch[at + 2] = length;
  return at + 3;
}

function privateAs(asn: number): boolean {
  return (asn >= 64512 && asn <= 65534) || (asn >= 4200000000 && asn <= 4294967294);
}

function read32(block: Uint8Array, at: number): number {
  return ((block[at]! << 24) | (block[at + 1]! << 16) | (block[at + 2]! << 8) | block[at + 3]!) >>> 0;
}

/** Writes AS_PATH with `count` times `asn` in front; a full first segment gets a new one before it (RFC 4271 section 5.1.2). */
function prependPath(
  block: Uint8Array,
  from: number,
  to: number,
  asns: readonly number[],
  segment: number,
  at: number,
): number {
  let rest = from;
  let first = 0;
  if (to - from >= 2 && block[from] === segment && block[from + 1]! + asns.length <= 255) {
    first = block[from + 1]!;
    rest = from + 2;
  }
  const length = (asns.length > 0 ? 2 + asns.length * 4 : 0) + (to - rest);
  at = header(0x40, 2, length, at);
  if (asns.length > 0) {
    scratch[at++] = segment;
    scratch[at++] = asns.length + first;
    for (const asn of asns) at = put32(at, asn);
  } else rest = from;
  return copy(block, rest, to, at);
}

/** AS_PATH value without private numbers and without confederation segments; returns it as bytes. */
function cleanPath(block: Uint8Array, from: number, to: number, dropPrivate: boolean): Uint8Array {
  const out: number[] = [];
  for (let at = from; at < to;) {
    const type = block[at]!;
    const count = block[at + 1]!;
    const next = at + 2 + count * 4;
    if (type === 1 || type === 2) {
      const kept: number[] = [];
      for (let item = at + 2; item < next; item += 4) {
        if (!dropPrivate || !privateAs(read32(block, item))) kept.push(...block.subarray(item, item + 4));
      }
      if (kept.length > 0) out.push(type, kept.length / 4, ...kept);
    }
    at = next;
  }
  return Uint8Array.from(out);
}

function hasConfederation(block: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at += 2 + block[at + 1]! * 4) if (block[at] === 3 || block[at] === 4) return true;
  return false;
}

/** Attribute types that this speaker knows: all others are passed on with the Partial bit set (RFC 4271 section 5). */
const KNOWN = new Set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 16, 25, 26, 32, 35]);

/**
 * The set that a set becomes towards peers of a group, with one reference taken.
 * @param keepMed - the export policy set MED itself
 * @returns -1 when it cannot be sent: no next hop of the family
 */
export function exportAttributes(
  store: AttributeStore,
  attr: number,
  source: RibPeer,
  settings: ExportSettings,
  family: 4 | 6,
  keepMed: boolean,
): number {
  const block = viewBlock(store, attr);
  const local = store.tag[attr] !== 0;
  const { kind } = settings;
  const toEbgp = kind === 'ebgp';
  const toIbgp = kind === 'ibgp' || kind === 'ibgp-client';
  const reflected = toIbgp && (source.kind === 'ibgp' || source.kind === 'ibgp-client');

  // Where each attribute begins; the next hop apart.
  let count = 0;
  let hopAt = -1;
  let hopLength = 0;
  for (let at = 0; at < block.length;) {
    const extended = (block[at]! & 0x10) !== 0;
    const length = extended ? (block[at + 2]! << 8) | block[at + 3]! : block[at + 2]!;
    const value = at + (extended ? 4 : 3);
    const type = block[at + 1]!;
    if (type === 3) {
      hopAt = value;
      hopLength = 4;
    } else if (type === 14) {
      hopLength = block[value + 3]!;
      hopAt = value + 4;
    } else starts[count++] = at;
    at = value + length;
  }

  let hop = hopAt < 0 ? undefined : block.subarray(hopAt, hopAt + hopLength);
  const unset = hop === undefined || hop.every((octet) => octet === 0);
  const self = !reflected && (settings.nextHopSelf || (toEbgp && !settings.nextHopUnchanged && !local));
  if (unset || self) hop = settings.nextHop;
  if (hop === undefined) return -1;
  if (family === 6 ? hop.length < 16 : hop.length > 4 && !settings.extendedNextHop) return -1;

  let at = 0;
  if (hop.length > 4) {
    at = header(0x80, 14, 5 + hop.length, at);
    scratch[at] = 0;
    scratch[at + 1] = family === 4 ? 1 : 2;
    scratch[at + 2] = 1;
    scratch[at + 3] = hop.length;
    at = copy(hop, 0, hop.length, at + 4);
    scratch[at++] = 0;
  }
  let wantHop = hop.length === 4;
  let wantPref = toIbgp || kind === 'confed';
  let wantOriginator = reflected;
  let wantCluster = reflected;
  const wantOtc =
    toEbgp &&
    store.otc[attr] === 0 &&
    (settings.role === 'provider' || settings.role === 'rs' || settings.role === 'peer');
  let otcDone = !wantOtc;
  const putOtc = (): void => {
    at = put32(header(0xc0, 35, 4, at), settings.ownAs);
    otcDone = true;
  };
  for (let index = 0; index <= count; index++) {
    const start = index < count ? starts[index]! : -1;
    const type = start < 0 ? 256 : block[start + 1]!;
    if (wantHop && type > 3) {
      at = copy(hop, 0, 4, header(0x40, 3, 4, at));
      wantHop = false;
    }
    if (wantPref && type >= 5) {
      at = put32(header(0x40, 5, 4, at), store.localPref[attr]!);
      wantPref = false;
    }
    if (wantOriginator && type >= 9) {
      at = put32(header(0x80, 9, 4, at), store.originatorId[attr]! || source.routerId);
      wantOriginator = false;
    }
    if (wantCluster && type >= 10) {
      const listed = type === 10 ? store.clusterLength[attr]! * 4 : 0;
      at = put32(header(0x80, 10, 4 + listed, at), settings.clusterId);
      if (listed > 0) {
        const value = start + ((block[start]! & 0x10) !== 0 ? 4 : 3);
        at = copy(block, value, value + listed, at);
      }
      wantCluster = false;
    }
    if (!otcDone && type > 35) putOtc();
    if (start < 0) break;
    const extended = (block[start]! & 0x10) !== 0;
    const length = extended ? (block[start + 2]! << 8) | block[start + 3]! : block[start + 2]!;
    const value = start + (extended ? 4 : 3);
    const end = value + length;
    if (type === 2) {
      if (toIbgp) at = copy(block, start, end, at);
      else {
        const asns = [settings.ownAs, ...(local && toEbgp ? prepends(block, settings.ownAs) : [])];
        const clean = toEbgp && (settings.removePrivateAs === true || hasConfederation(block, value, end));
        if (clean) {
          const path = cleanPath(block, value, end, settings.removePrivateAs === true);
          at = prependPath(path, 0, path.length, asns, 2, at);
        } else at = prependPath(block, value, end, asns, toEbgp ? 2 : 3, at);
      }
      continue;
    }
    if (type === 5) continue;
    if (type === 4 && toEbgp && !local && !keepMed) continue;
    if (type === 9 || type === 10) {
      // Written above when reflected; never beyond the AS.
      if (toIbgp && !reflected) at = copy(block, start, end, at);
      continue;
    }
    if (type === PREPEND_CODE && local) continue;
    if (!KNOWN.has(type) && !local) {
      if ((block[start]! & 0x40) === 0) continue;
      at = copy(block, start, end, at);
      scratch[at - (end - start)]! |= 0x20;
      continue;
    }
    at = copy(block, start, end, at);
  }
  return internBlock(store, scratch, 0, at, 0, undefined);
}

/** Extra prepends that a set originated here asks for. */
function prepends(block: Uint8Array, ownAs: number): number[] {
  for (let at = 0; at < block.length;) {
    const extended = (block[at]! & 0x10) !== 0;
    const value = at + (extended ? 4 : 3);
    if (block[at + 1] === PREPEND_CODE) return new Array<number>(block[value]!).fill(read32(block, value + 1) || ownAs);
    at = value + (extended ? (block[at + 2]! << 8) | block[at + 3]! : block[at + 2]!);
  }
  return [];
}
