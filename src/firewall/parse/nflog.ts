/**
 * Refused packets from the text of `tcpdump -xx -i nflog:GROUP`: the NFLOG header (a list of type, length, value in the order of the
 * host's bytes, see linux/netfilter/nfnetlink_log.h) and the first bytes of the packet. Pure: one line in, at most one packet out.
 */
import { addressFromBytes, formatAddress } from '../../net/address.ts';

/** A packet that was refused. */
export interface RefusedPacket {
  /** What our rule wrote: direction, class, first policy. */
  readonly prefix: string;
  readonly source: string;
  readonly destination: string;
  /** `tcp`, `udp`, `sctp`, `icmp`, `ipv6-icmp` or the protocol's number. */
  readonly protocol: string;
  /** Destination port, where the protocol has one. */
  readonly port?: number;
}

const PREFIX = 10;
const PAYLOAD = 9;
/** Bytes of a packet that tell its ends and ports, IPv6 extension headers included. */
const ENOUGH = 256;
const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp', 132: 'sctp' };
/** IPv6 extension headers that are skipped to find the transport: hop-by-hop, routing, destination options. */
const EXTENSIONS = new Set([0, 43, 60]);

function readPacket(bytes: Uint8Array, prefix: string): RefusedPacket | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  let protocol: number | undefined;
  let transport: number;
  let ends: readonly [Uint8Array, Uint8Array];
  if (version === 4) {
    transport = ((bytes[0] ?? 0) & 15) * 4;
    protocol = bytes[9];
    ends = [bytes.subarray(12, 16), bytes.subarray(16, 20)];
  } else if (version === 6) {
    transport = 40;
    protocol = bytes[6];
    while (protocol !== undefined && EXTENSIONS.has(protocol)) {
      const next: number | undefined = bytes[transport];
      transport += ((bytes[transport + 1] ?? 0) + 1) * 8;
      protocol = next;
    }
    ends = [bytes.subarray(8, 24), bytes.subarray(24, 40)];
  } else return undefined;
  const size = version === 4 ? 4 : 16;
  if (protocol === undefined || ends[0].length !== size || ends[1].length !== size) return undefined;
  const ported = protocol === 6 || protocol === 17 || protocol === 132;
  const [high, low] = [bytes[transport + 2], bytes[transport + 3]];
  return {
    prefix,
    source: formatAddress(addressFromBytes(ends[0])),
    destination: formatAddress(addressFromBytes(ends[1])),
    protocol: PROTOCOLS[protocol] ?? String(protocol),
    ...(ported && high !== undefined && low !== undefined ? { port: (high << 8) | low } : {}),
  };
}

/** Reads the header as far as it has come; `undefined` until the prefix is complete and enough of the payload is there. */
function readMessage(bytes: Uint8Array): RefusedPacket | undefined {
  let prefix = '';
  for (let at = 4; at + 4 <= bytes.length;) {
    const length = bytes[at]! | (bytes[at + 1]! << 8);
    const type = bytes[at + 2]! | (bytes[at + 3]! << 8);
    const value = bytes.subarray(at + 4, at + length);
    if (length < 4 || value.length < Math.min(length - 4, type === PAYLOAD ? ENOUGH : Infinity)) return undefined;
    if (type === PREFIX) prefix = new TextDecoder().decode(value).replace(/\0.*$/s, '');
    if (type === PAYLOAD) return readPacket(value, prefix);
    at += (length + 3) & ~3;
  }
  return undefined;
}

/** A reader of tcpdump's lines: a packet comes out with the line that completes it. */
export function createNflogReader(): (line: string) => RefusedPacket | undefined {
  let bytes: number[] = [];
  let done = true;
  return (line) => {
    const hex = /^\s+0x[0-9a-f]+:\s+((?:[0-9a-f]{2,4} ?)+)/.exec(line)?.[1];
    if (hex === undefined) {
      bytes = [];
      done = false;
      return undefined;
    }
    if (done) return undefined;
    for (const pair of hex.replaceAll(' ', '').match(/../g) ?? []) bytes.push(Number.parseInt(pair, 16));
    const packet = readMessage(Uint8Array.from(bytes));
    done = packet !== undefined;
    return packet;
  };
}
