/**
 * BMP messages (RFC 7854) as octets: what a router tells a monitoring station of its peers.
 * Pure; exporter.ts says when. BGP messages are carried as they stood on the wire.
 */
import { addressToBytes, parseAddress } from '../../net/index.ts';

/** Message types (section 4.1). */
export const BmpType = {
  routeMonitoring: 0,
  statistics: 1,
  peerDown: 2,
  peerUp: 3,
  initiation: 4,
  termination: 5,
} as const;

/** The peer that a message is about (section 4.2). */
export interface BmpPeer {
  /** Canonical address. */
  readonly address: string;
  readonly asn: number;
  /** BGP identifier, an unsigned integer. */
  readonly routerId: number;
  /** Its messages carry AS numbers of two octets. */
  readonly twoOctetAs: boolean;
}

/** Why a session ended (section 4.9): a NOTIFICATION as it stood on the wire, or none. */
export interface BmpPeerDown {
  readonly by: 'local' | 'remote';
  readonly notification?: Uint8Array;
}

function message(type: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = 6 + parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(length);
  bytes[0] = 3;
  new DataView(bytes.buffer).setUint32(1, length);
  bytes[5] = type;
  let at = 6;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Sixteen octets; IPv4 in the last four. */
function wide(address: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const octets = addressToBytes(parseAddress(address));
  bytes.set(octets, 16 - octets.length);
  return bytes;
}

/** The per-peer header; `time` in epoch milliseconds. */
function header({ address, asn, routerId, twoOctetAs }: BmpPeer, time: number): Uint8Array {
  const bytes = new Uint8Array(42);
  const view = new DataView(bytes.buffer);
  bytes[1] = (address.includes(':') ? 0x80 : 0) | (twoOctetAs ? 0x20 : 0);
  bytes.set(wide(address), 10);
  view.setUint32(26, asn);
  view.setUint32(30, routerId);
  view.setUint32(34, Math.floor(time / 1000));
  view.setUint32(38, (time % 1000) * 1000);
  return bytes;
}

function information(type: number, text: string): Uint8Array {
  const value = new TextEncoder().encode(text);
  const bytes = new Uint8Array(4 + value.length);
  new DataView(bytes.buffer).setUint16(0, type);
  new DataView(bytes.buffer).setUint16(2, value.length);
  bytes.set(value, 4);
  return bytes;
}

/** Initiation (section 4.3): who we are. */
export function encodeInitiation(name: string, description: string): Uint8Array {
  return message(BmpType.initiation, information(2, name), information(1, description));
}

/** Termination (section 4.5): closed on purpose. */
export function encodeTermination(): Uint8Array {
  return message(BmpType.termination, Uint8Array.of(0, 1, 0, 2, 0, 0));
}

/** Peer Up (section 4.10) with the OPENs of both sides. */
export function encodePeerUp(
  peer: BmpPeer,
  time: number,
  local: { readonly address: string; readonly port: number; readonly remotePort: number },
  sentOpen: Uint8Array,
  receivedOpen: Uint8Array,
): Uint8Array {
  const ports = new Uint8Array(4);
  new DataView(ports.buffer).setUint16(0, local.port);
  new DataView(ports.buffer).setUint16(2, local.remotePort);
  return message(BmpType.peerUp, header(peer, time), wide(local.address), ports, sentOpen, receivedOpen);
}

/** Peer Down (section 4.9). */
export function encodePeerDown(peer: BmpPeer, time: number, { by, notification }: BmpPeerDown): Uint8Array {
  const local = by === 'local';
  // Without a NOTIFICATION: 2 with an FSM event, 0 for none of them; 4 for a connection that just went.
  const reason = notification === undefined ? (local ? 2 : 4) : local ? 1 : 3;
  const data = notification ?? (local ? new Uint8Array(2) : new Uint8Array(0));
  return message(BmpType.peerDown, header(peer, time), Uint8Array.of(reason), data);
}

/** Route Monitoring (section 4.6): an UPDATE. */
export function encodeRouteMonitoring(peer: BmpPeer, time: number, update: Uint8Array): Uint8Array {
  return message(BmpType.routeMonitoring, header(peer, time), update);
}

/** Statistics Report (section 4.8): routes in Adj-RIB-In. */
export function encodeStatistics(peer: BmpPeer, time: number, routes: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1);
  view.setUint16(4, 7);
  view.setUint16(6, 8);
  view.setBigUint64(8, BigInt(routes));
  return message(BmpType.statistics, header(peer, time), bytes);
}
