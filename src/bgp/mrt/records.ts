/**
 * MRT files (RFC 6396, add-path RFC 8050): routing tables and BGP messages with their times, as other daemons and route collectors keep
 * them. Reading yields records one by one and skips what it does not know; writing makes TABLE_DUMP_V2.
 * Pure: bytes in, records out and back; dump.ts and replay stand on it.
 */
import {
  addressFromBytes,
  addressToBytes,
  formatAddress,
  formatPrefix,
  maskAddress,
  parseAddress,
} from '../../net/index.ts';
import type { Address } from '../../net/index.ts';

/** Types of records (section 4). */
export const MrtType = { tableDump2: 13, bgp4mp: 16, bgp4mpEt: 17 } as const;

/** A peer of a table dump. */
export interface MrtPeer {
  /** BGP identifier as dotted quad. */
  readonly routerId: string;
  readonly address: string;
  readonly asn: number;
}

/** One path of a prefix in a table dump. */
export interface MrtEntry {
  /** Number of the peer in the dump's list. */
  readonly peer: number;
  /** Epoch seconds. */
  readonly originated: number;
  readonly pathId?: number;
  /** Path attributes as they stand on the wire, AS numbers of four octets; MP_REACH_NLRI holds the next hop alone. */
  readonly attributes: Uint8Array;
}

/** A record that is understood. */
export type MrtRecord =
  | { readonly type: 'peers'; readonly time: number; readonly routerId: string; readonly peers: readonly MrtPeer[] }
  | { readonly type: 'rib'; readonly time: number; readonly prefix: string; readonly entries: readonly MrtEntry[] }
  | {
      readonly type: 'message';
      readonly time: number;
      readonly peerAsn: number;
      readonly localAsn: number;
      readonly peerAddress: string;
      readonly localAddress: string;
      /** AS numbers in the message have four octets. */
      readonly fourOctetAs: boolean;
      readonly addPath: boolean;
      /** The whole BGP message. */
      readonly message: Uint8Array;
    };

const text = (bytes: Uint8Array): string => formatAddress(addressFromBytes(bytes));

/** The prefix of `length` bits whose octets stand at the start of `bytes`. */
function prefixOf(bytes: Uint8Array, length: number, size: 4 | 16): string {
  const whole = new Uint8Array(size);
  whole.set(bytes.subarray(0, Math.ceil(length / 8)));
  const address: Address = addressFromBytes(whole);
  return formatPrefix({ ...maskAddress(address, length), length });
}

/**
 * Reads records one after the other. A record that is cut short ends the reading; unknown types and records that contradict
 * themselves are left out.
 */
export function* decodeMrt(bytes: Uint8Array): Generator<MrtRecord> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 12 <= bytes.length;) {
    const time = view.getUint32(at);
    const type = view.getUint16(at + 4);
    const subtype = view.getUint16(at + 6);
    const length = view.getUint32(at + 8);
    const start = at + 12;
    at = start + length;
    if (at > bytes.length) return;
    try {
      const body = bytes.subarray(start, at);
      const record =
        type === MrtType.tableDump2
          ? tableDump(body, subtype, time)
          : type === MrtType.bgp4mp
            ? bgpMessage(body, subtype, time)
            : type === MrtType.bgp4mpEt
              ? bgpMessage(body.subarray(4), subtype, time)
              : undefined;
      if (record !== undefined) yield record;
    } catch (error) {
      // Reading beyond the record: it contradicts itself.
      if (!(error instanceof RangeError)) throw error;
    }
  }
}

/** Reads numbers and octets in order; beyond the end it throws a RangeError. */
function cursor(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  return {
    u8: () => view.getUint8(at++),
    u16: () => view.getUint16((at += 2) - 2),
    u32: () => view.getUint32((at += 4) - 4),
    take(length: number): Uint8Array {
      if (at + length > bytes.length) throw new RangeError('beyond the record');
      return bytes.subarray(at, (at += length));
    },
    rest: () => bytes.subarray(at),
  };
}

function tableDump(body: Uint8Array, subtype: number, time: number): MrtRecord | undefined {
  const read = cursor(body);
  if (subtype === 1) {
    const routerId = text(read.take(4));
    read.take(read.u16());
    const peers: MrtPeer[] = [];
    for (let left = read.u16(); left > 0; left--) {
      const kind = read.u8();
      const id = text(read.take(4));
      const address = text(read.take((kind & 1) !== 0 ? 16 : 4));
      peers.push({ routerId: id, address, asn: (kind & 2) !== 0 ? read.u32() : read.u16() });
    }
    return { type: 'peers', time, routerId, peers };
  }
  const size = subtype === 2 || subtype === 8 ? 4 : subtype === 4 || subtype === 10 ? 16 : undefined;
  if (size === undefined) return undefined;
  read.u32();
  const length = read.u8();
  if (length > size * 8) return undefined;
  const prefix = prefixOf(read.take(Math.ceil(length / 8)), length, size);
  const entries: MrtEntry[] = [];
  for (let left = read.u16(); left > 0; left--) {
    const peer = read.u16();
    const originated = read.u32();
    const pathId = subtype >= 8 ? read.u32() : undefined;
    const attributes = read.take(read.u16());
    entries.push({ peer, originated, ...(pathId === undefined ? {} : { pathId }), attributes });
  }
  return { type: 'rib', time, prefix, entries };
}

function bgpMessage(body: Uint8Array, subtype: number, time: number): MrtRecord | undefined {
  // 1, 4: as received, 6, 7: sent; 8 to 11: the same with path identifiers (RFC 8050).
  if (![1, 4, 6, 7, 8, 9, 10, 11].includes(subtype)) return undefined;
  const fourOctetAs = [4, 7, 9, 11].includes(subtype);
  const read = cursor(body);
  const peerAsn = fourOctetAs ? read.u32() : read.u16();
  const localAsn = fourOctetAs ? read.u32() : read.u16();
  read.u16();
  const size = read.u16() === 2 ? 16 : 4;
  const peerAddress = text(read.take(size));
  const localAddress = text(read.take(size));
  const addPath = subtype >= 8;
  return {
    type: 'message',
    time,
    peerAsn,
    localAsn,
    peerAddress,
    localAddress,
    fourOctetAs,
    addPath,
    message: read.rest(),
  };
}

function record(time: number, subtype: number, body: readonly number[] | Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, time);
  view.setUint16(4, MrtType.tableDump2);
  view.setUint16(6, subtype);
  view.setUint32(8, body.length);
  bytes.set(body, 12);
  return bytes;
}

const octets = (address: string): Uint8Array => addressToBytes(parseAddress(address));
const be = (value: number, size: 2 | 4): number[] =>
  Array.from({ length: size }, (_, index) => (value >>> (8 * (size - 1 - index))) & 255);

/** Writes the list of peers that a dump begins with. */
export function encodePeers(time: number, routerId: string, peers: readonly MrtPeer[]): Uint8Array {
  const body = [...octets(routerId), 0, 0, ...be(peers.length, 2)];
  for (const { routerId: id, address, asn } of peers) {
    body.push(address.includes(':') ? 3 : 2, ...octets(id), ...octets(address), ...be(asn, 4));
  }
  return record(time, 1, body);
}

/** Writes the paths of one prefix, with path identifiers when the first has one. */
export function encodeRib(
  time: number,
  sequence: number,
  prefix: { readonly family: 4 | 6; readonly octets: Uint8Array; readonly length: number },
  entries: readonly MrtEntry[],
): Uint8Array {
  const addPath = entries[0]?.pathId !== undefined;
  const size = entries.reduce((sum, { attributes }) => sum + attributes.length + (addPath ? 12 : 8), 0);
  const head = [...be(sequence, 4), prefix.length, ...prefix.octets.subarray(0, Math.ceil(prefix.length / 8))];
  const body = new Uint8Array(head.length + 2 + size);
  body.set(head);
  const view = new DataView(body.buffer);
  let at = head.length;
  view.setUint16(at, entries.length);
  at += 2;
  for (const { peer, originated, pathId, attributes } of entries) {
    view.setUint16(at, peer);
    view.setUint32(at + 2, originated);
    at += 6;
    if (addPath) {
      view.setUint32(at, pathId ?? 0);
      at += 4;
    }
    view.setUint16(at, attributes.length);
    body.set(attributes, at + 2);
    at += 2 + attributes.length;
  }
  return record(time, (prefix.family === 4 ? 2 : 4) + (addPath ? 6 : 0), body);
}
