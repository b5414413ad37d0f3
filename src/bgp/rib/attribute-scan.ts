/**
 * The hot path through path attributes: one walk over the bytes of a block, no objects.
 * In strict mode it vouches that a block is well formed, canonical (ascending types, minimal headers, exact flags) and holds nothing
 * that RFC 4271, 7606 or 7607 would want a reaction to; whatever it does not vouch for goes to the full decoder, which decides.
 * In lenient mode it only collects what the decision process compares.
 * A block is the wire form of the attributes, except that MP_REACH_NLRI stands first and carries no NLRI.
 */

/** What the decision process and the exports ask of an attribute set. One object, reused. */
export interface Scan {
  origin: number;
  /** Length of AS_PATH as RFC 4271 section 9.1.2.2 and RFC 5065 section 5.3 count it. */
  hops: number;
  /** Leftmost AS of AS_PATH; 0 when empty. */
  neighbourAs: number;
  med: number;
  hasMed: boolean;
  localPref: number;
  hasLocalPref: boolean;
  originatorId: number;
  clusterLength: number;
  /** Where the next hop stands in the block, and how long it is (4, 16 or 32); 0 when absent. */
  nextHopAt: number;
  nextHopLength: number;
  /** How often `ownAs` stands in AS_PATH. */
  ownAsCount: number;
  /** Whether CLUSTER_LIST holds `ownCluster`. */
  ownCluster: boolean;
  /** ONLY_TO_CUSTOMER (RFC 9234), 0 when absent. */
  otc: number;
  /** COMMUNITIES holds NO_EXPORT, NO_ADVERTISE, NO_EXPORT_SUBCONFED (bits 1, 2, 4), GRACEFUL_SHUTDOWN (8), NO_LLGR (16), LLGR_STALE (32). */
  wellKnown: number;
}

/** An empty {@link Scan}. */
export function createScan(): Scan {
  return {
    origin: 0,
    hops: 0,
    neighbourAs: 0,
    med: 0,
    hasMed: false,
    localPref: 100,
    hasLocalPref: false,
    originatorId: 0,
    clusterLength: 0,
    nextHopAt: 0,
    nextHopLength: 0,
    ownAsCount: 0,
    ownCluster: false,
    otc: 0,
    wellKnown: 0,
  };
}

/** Whom a block is read for. */
export interface ScanContext {
  readonly ownAs: number;
  readonly ownClusterId: number;
}

/** Peers in whose messages an attribute may stand. */
export type PeerKind = 'ebgp' | 'ibgp' | 'confed';

function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

const WELL_KNOWN = new Map([
  [0xffffff01, 1],
  [0xffffff02, 2],
  [0xffffff03, 4],
  [0xffff0000, 8],
  [0xffff0007, 16],
  [0xffff0006, 32],
]);

/** Flags that a canonical attribute of a type carries, extended length aside; 0 for types the strict walk does not know. */
const FLAGS = new Uint8Array(256);
for (const type of [1, 2, 3, 5, 6]) FLAGS[type] = 0x40;
for (const type of [4, 9, 10, 14]) FLAGS[type] = 0x80;
for (const type of [7, 8, 16, 32, 35]) FLAGS[type] = 0xc0;

/**
 * Walks a block and fills `scan`.
 * @param wide - AS numbers have four octets; else the path is passed over
 * @returns whether the block is vouched for: always in lenient mode when its framing holds
 */
export function scanAttributes(
  bytes: Uint8Array,
  offset: number,
  end: number,
  strict: PeerKind | undefined,
  context: ScanContext,
  scan: Scan,
  wide = true,
): boolean {
  scan.origin = 2;
  scan.hops = scan.neighbourAs = scan.med = scan.originatorId = scan.clusterLength = 0;
  scan.nextHopAt = scan.nextHopLength = scan.ownAsCount = scan.otc = scan.wellKnown = 0;
  scan.localPref = 100;
  scan.hasMed = scan.hasLocalPref = scan.ownCluster = false;
  let previous = 0;
  let seen = 0;
  let at = offset;
  while (at < end) {
    if (at + 3 > end) return false;
    const flags = bytes[at]!;
    const type = bytes[at + 1]!;
    let length = bytes[at + 2]!;
    const start = at;
    at += 3;
    if (flags & 0x10) {
      if (at >= end) return false;
      length = (length << 8) | bytes[at]!;
      at++;
    }
    const next = at + length;
    if (next > end) return false;
    if (strict !== undefined) {
      const extended = length > 255 ? 0x10 : 0;
      const expected = FLAGS[type]! | extended;
      if (FLAGS[type] === 0) return false;
      if (flags !== expected && !(type >= 7 && (flags ^ expected) === 0x20 && (FLAGS[type]! & 0x40) !== 0))
        return false;
      if (type === 14 ? start !== offset : type <= previous) return false;
      if (type !== 14) previous = type;
    }
    if (type < 32) seen |= 1 << type;
    switch (type) {
      case 1:
        if (length !== 1) return false;
        scan.origin = bytes[at]!;
        if (strict !== undefined && scan.origin > 2) return false;
        break;
      case 2:
        if (wide && !scanPath(bytes, at, next, strict, context, scan)) return false;
        break;
      case 3:
        if (length !== 4) return false;
        if (strict !== undefined) {
          const first = bytes[at]!;
          if (first === 0 || first === 127 || first >= 224) return false;
        }
        if (scan.nextHopLength === 0) {
          scan.nextHopAt = at;
          scan.nextHopLength = 4;
        }
        break;
      case 4:
        if (length !== 4) return false;
        scan.med = u32(bytes, at);
        scan.hasMed = true;
        break;
      case 5:
        if (length !== 4 || strict === 'ebgp') return false;
        scan.localPref = u32(bytes, at);
        scan.hasLocalPref = true;
        break;
      case 6:
        if (length !== 0) return false;
        break;
      case 7:
        if ((wide && length !== 8) || (strict !== undefined && u32(bytes, at) === 0)) return false;
        break;
      case 8:
        if (length === 0 || length % 4 !== 0) return false;
        for (let item = at; item < next; item += 4) {
          if (bytes[item] === 0xff && bytes[item + 1] === 0xff) scan.wellKnown |= WELL_KNOWN.get(u32(bytes, item)) ?? 0;
        }
        break;
      case 9:
        if (length !== 4 || strict === 'ebgp') return false;
        scan.originatorId = u32(bytes, at);
        break;
      case 10:
        if (length === 0 || length % 4 !== 0 || strict === 'ebgp') return false;
        scan.clusterLength = length >>> 2;
        for (let item = at; item < next; item += 4)
          if (u32(bytes, item) === context.ownClusterId) scan.ownCluster = true;
        break;
      case 14: {
        const hopLength = bytes[at + 3]!;
        if (length !== 5 + hopLength) return false;
        if (strict !== undefined) {
          if (hopLength !== 16 && hopLength !== 32) return false;
          const first = bytes[at + 4]!;
          if (first === 0xff || first === 0) return false;
        }
        scan.nextHopAt = at + 4;
        scan.nextHopLength = hopLength;
        break;
      }
      case 16:
        if (length === 0 || length % 8 !== 0) return false;
        break;
      case 32:
        if (length === 0 || length % 12 !== 0) return false;
        break;
      case 35:
        if (length !== 4) return false;
        scan.otc = u32(bytes, at);
        break;
      default:
        break;
    }
    at = next;
  }
  if (strict === undefined) return true;
  if ((seen & 0x6) !== 0x6 || scan.nextHopLength === 0 || (seen & 0x4008) === 0x4008) return false;
  return strict === 'ebgp' || scan.hasLocalPref;
}

function scanPath(
  bytes: Uint8Array,
  offset: number,
  end: number,
  strict: PeerKind | undefined,
  context: ScanContext,
  scan: Scan,
): boolean {
  let at = offset;
  while (at < end) {
    if (at + 2 > end) return false;
    const type = bytes[at]!;
    const count = bytes[at + 1]!;
    const next = at + 2 + count * 4;
    if (next > end) return false;
    if (strict !== undefined && (type !== 2 || count === 0)) return false;
    for (let item = at + 2; item < next; item += 4) {
      const asn = u32(bytes, item);
      if (strict !== undefined && asn === 0) return false;
      if (asn === context.ownAs) scan.ownAsCount++;
      if (scan.neighbourAs === 0 && type === 2 && scan.hops === 0) scan.neighbourAs = asn;
    }
    scan.hops += type === 2 ? count : type === 1 ? 1 : 0;
    at = next;
  }
  return strict !== 'ebgp' || scan.hops > 0;
}
