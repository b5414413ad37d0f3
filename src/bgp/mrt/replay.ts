/**
 * What an MRT file says, as UPDATE messages: a table dump route by route, recorded messages as they came.
 * For feeding a speaker or a test from a route collector's file. Pure.
 */
import { addressFromBytes, formatAddress } from '../../net/index.ts';
import { decodeAttributes } from '../message/attributes/decode.ts';
import { MessageType } from '../message/constants.ts';
import { encodeUpdate } from '../message/message.ts';
import { prefixNlri } from '../message/nlri/nlri.ts';
import type { MrtPeer, MrtRecord } from './records.ts';
import { decodeMrt } from './records.ts';

/** One UPDATE of a file and whose it was. */
export interface Replayed {
  /** Epoch seconds. */
  readonly time: number;
  /** Address and AS number of the peer that sent it. */
  readonly address: string;
  readonly asn: number;
  /** Whole messages; AS numbers have four octets unless `fourOctetAs` says otherwise. */
  readonly messages: readonly Uint8Array[];
  readonly fourOctetAs: boolean;
}

/** Next hop of an abbreviated MP_REACH_NLRI (RFC 6396 section 4.3.4), which some write in full. */
function nextHopOf(attributes: Uint8Array): { readonly nextHop: string | undefined; readonly rest: Uint8Array } {
  for (let at = 0; at + 3 <= attributes.length;) {
    const extended = (attributes[at]! & 0x10) !== 0;
    const length = extended ? (attributes[at + 2]! << 8) | attributes[at + 3]! : attributes[at + 2]!;
    const value = at + (extended ? 4 : 3);
    const end = value + length;
    if (attributes[at + 1] === 14) {
      const full = attributes[value] === 0 && length > 5;
      const hop = full ? value + 4 : value + 1;
      const size = attributes[hop - 1]!;
      const octets = attributes.subarray(hop, hop + (size === 4 ? 4 : 16));
      const known = octets.length === 4 || octets.length === 16;
      const rest = Uint8Array.from([...attributes.subarray(0, at), ...attributes.subarray(end)]);
      return { nextHop: known ? formatAddress(addressFromBytes(octets)) : undefined, rest };
    }
    at = end;
  }
  return { nextHop: undefined, rest: attributes };
}

/** Flags by code: some writers, BIRD 2.0 among them, leave them out of their dumps. */
const FLAGS: Readonly<Record<number, number>> = {
  ...Object.fromEntries([1, 2, 3, 5, 6].map((code) => [code, 0x40])),
  ...Object.fromEntries([4, 9, 10, 14, 15, 26].map((code) => [code, 0x80])),
  ...Object.fromEntries([7, 8, 16, 25, 32, 35].map((code) => [code, 0xc0])),
};

/** Attributes with the flags that their codes have. */
function withFlags(attributes: Uint8Array): Uint8Array {
  const bytes = attributes.slice();
  for (let at = 0; at + 3 <= bytes.length;) {
    const extended = (bytes[at]! & 0x10) !== 0;
    bytes[at] = (FLAGS[bytes[at + 1]!] ?? bytes[at]! & 0xe0) | (bytes[at]! & 0x30);
    at += extended ? 4 + ((bytes[at + 2]! << 8) | bytes[at + 3]!) : 3 + bytes[at + 2]!;
  }
  return bytes;
}

function routes(record: Extract<MrtRecord, { type: 'rib' }>, peers: readonly MrtPeer[]): Replayed[] {
  const v6 = record.prefix.includes(':');
  return record.entries.flatMap((entry) => {
    const peer = peers[entry.peer];
    const { nextHop, rest } = nextHopOf(withFlags(entry.attributes));
    const { attributes } = decodeAttributes(rest, 0, rest.length, { peerType: 'ibgp', families: [] }, false);
    const { nextHop: classic, ...others } = attributes;
    const hop = nextHop ?? classic;
    if (peer === undefined || hop === undefined) return [];
    const announce = {
      family: v6 ? ('ipv6-unicast' as const) : ('ipv4-unicast' as const),
      nextHop: hop,
      routes: [prefixNlri(record.prefix)],
    };
    const { messages } = encodeUpdate({ attributes: others, announce }, { peerType: 'ibgp' });
    return [{ time: record.time, address: peer.address, asn: peer.asn, messages, fourOctetAs: true }];
  });
}

/** The UPDATEs of a file, in its order. */
export function* replayMrt(bytes: Uint8Array): Generator<Replayed> {
  let peers: readonly MrtPeer[] = [];
  for (const record of decodeMrt(bytes)) {
    if (record.type === 'peers') peers = record.peers;
    else if (record.type === 'rib') yield* routes(record, peers);
    else if (record.message[18] === MessageType.update) {
      const { time, peerAddress, peerAsn, message, fourOctetAs } = record;
      yield { time, address: peerAddress, asn: peerAsn, messages: [message], fourOctetAs };
    }
  }
}
