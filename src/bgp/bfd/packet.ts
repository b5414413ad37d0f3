/**
 * BFD control packets (RFC 5880 section 4.1) as values and octets.
 * Pure. Authentication is not spoken: a packet that asks for it is dropped (section 6.8.6).
 */

/** State of a session (RFC 5880 section 4.1). */
export type BfdState = 'admin-down' | 'down' | 'init' | 'up';
/** States by their number on the wire. */
export const BFD_STATES = ['admin-down', 'down', 'init', 'up'] as const satisfies readonly BfdState[];

/** A control packet. */
export interface BfdPacket {
  readonly diagnostic: number;
  readonly state: BfdState;
  readonly poll: boolean;
  readonly final: boolean;
  readonly demand: boolean;
  readonly multiplier: number;
  readonly myDiscriminator: number;
  readonly yourDiscriminator: number;
  /** Microseconds. */
  readonly desiredMinTx: number;
  readonly requiredMinRx: number;
  readonly requiredMinEchoRx: number;
}

/** Writes a packet. */
export function encodeBfd(packet: BfdPacket): Uint8Array {
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  bytes[0] = (1 << 5) | packet.diagnostic;
  bytes[1] =
    (BFD_STATES.indexOf(packet.state) << 6) |
    (packet.poll ? 0x20 : 0) |
    (packet.final ? 0x10 : 0) |
    (packet.demand ? 0x02 : 0);
  bytes[2] = packet.multiplier;
  bytes[3] = 24;
  view.setUint32(4, packet.myDiscriminator);
  view.setUint32(8, packet.yourDiscriminator);
  view.setUint32(12, packet.desiredMinTx);
  view.setUint32(16, packet.requiredMinRx);
  view.setUint32(20, packet.requiredMinEchoRx);
  return bytes;
}

/** Reads a packet; `undefined` when section 6.8.6 says to discard it. */
export function decodeBfd(bytes: Uint8Array): BfdPacket | undefined {
  if (bytes.length < 24) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint8(1);
  const length = view.getUint8(3);
  const state = BFD_STATES[flags >> 6] ?? 'down';
  const authenticated = (flags & 0x04) !== 0;
  const multipoint = (flags & 0x01) !== 0;
  const packet: BfdPacket = {
    diagnostic: view.getUint8(0) & 0x1f,
    state,
    poll: (flags & 0x20) !== 0,
    final: (flags & 0x10) !== 0,
    demand: (flags & 0x02) !== 0,
    multiplier: view.getUint8(2),
    myDiscriminator: view.getUint32(4),
    yourDiscriminator: view.getUint32(8),
    desiredMinTx: view.getUint32(12),
    requiredMinRx: view.getUint32(16),
    requiredMinEchoRx: view.getUint32(20),
  };
  if (view.getUint8(0) >> 5 !== 1 || length < 24 || length > bytes.length) return undefined;
  if (authenticated || multipoint || packet.multiplier === 0 || packet.myDiscriminator === 0) return undefined;
  if (packet.yourDiscriminator === 0 && state !== 'down' && state !== 'admin-down') return undefined;
  return packet;
}
