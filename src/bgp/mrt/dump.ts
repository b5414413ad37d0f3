/**
 * The routing table as an MRT file (TABLE_DUMP_V2): every path of Adj-RIB-In before policy, and what is originated here.
 * Reads the RIB's columns; one chunk of some thousand prefixes at a time, so that a great table never stands in memory twice.
 */
import { addressFromBytes, formatAddress } from '../../net/index.ts';
import type { Core } from '../core.ts';
import { NEXT_HOP_6, viewBlock } from '../rib/attribute-store.ts';
import type { AttributeStore } from '../rib/attribute-store.ts';
import { PREPEND_CODE } from '../rib/export-attributes.ts';
import type { MrtEntry, MrtPeer } from './records.ts';
import { encodePeers, encodeRib } from './records.ts';

const CHUNK = 4096;

/** A peer of the dump by its index. */
export type PeerOf = (index: number) => { readonly address: string; readonly asn: number; readonly since: number };

/** Attributes as RFC 6396 section 4.3.4 wants them: MP_REACH_NLRI is the next hop alone, and nothing that is ours alone. */
function attributesOf(store: AttributeStore, attr: number): Uint8Array {
  const block = viewBlock(store, attr);
  const parts: Uint8Array[] = [];
  let at = 0;
  if ((store.flags[attr]! & NEXT_HOP_6) !== 0) {
    const length = block[6]!;
    parts.push(Uint8Array.of(0x80, 14, length + 1, length), block.subarray(7, 7 + length));
    at = 3 + block[2]!;
  }
  for (let start = at; start < block.length; start = at) {
    const extended = (block[start]! & 0x10) !== 0;
    const length = extended ? (block[start + 2]! << 8) | block[start + 3]! : block[start + 2]!;
    at = start + (extended ? 4 : 3) + length;
    if (block[start + 1] !== PREPEND_CODE) parts.push(block.subarray(start, at));
  }
  return Buffer.concat(parts);
}

/** The table of now, in chunks; `routerId` as dotted quad, `time` in epoch seconds. */
export function* dumpTable(core: Core, routerId: string, time: number, peerOf: PeerOf): Generator<Uint8Array> {
  const numbers = new Map<number, number>();
  const peers: MrtPeer[] = [];
  core.peers.forEach((peer, index) => {
    if (peer === undefined) return;
    const { address, asn } = index === 0 ? { address: '0.0.0.0', asn: core.asn } : peerOf(index);
    const octets = new Uint8Array(4);
    new DataView(octets.buffer).setUint32(0, peer.routerId);
    numbers.set(index, peers.length);
    peers.push({ routerId: formatAddress(addressFromBytes(octets)), address: address.replace(/%.*$/, ''), asn });
  });
  yield encodePeers(time, routerId, peers);
  let sequence = 0;
  let records: Uint8Array[] = [];
  for (const rib of core.ribs) {
    const { prefixes } = rib;
    const addPath = rib.rowPathId !== undefined;
    for (let id = 0; id < prefixes.size; id++) {
      const entries: MrtEntry[] = [];
      for (let row = rib.head[id]!; row >= 0; row = rib.rowNext[row]!) {
        const index = rib.rowPeer[row]!;
        const peer = numbers.get(index);
        // A peer that came while the dump was being read.
        if (peer === undefined) continue;
        const since = index === 0 ? time : Math.floor(peerOf(index).since / 1000);
        const attributes = attributesOf(core.store, rib.rowIn[row]!);
        entries.push({ peer, originated: since, ...(addPath ? { pathId: rib.rowPathId![row]! } : {}), attributes });
      }
      if (entries.length === 0) continue;
      const at = id * prefixes.words;
      const octets = new Uint8Array(16);
      const view = new DataView(octets.buffer);
      for (let word = 0; word < prefixes.words; word++) view.setUint32(word * 4, prefixes.bits[at + word]!);
      const prefix = { family: rib.family, octets, length: prefixes.lengths[id]! };
      records.push(encodeRib(time, sequence++, prefix, entries));
      if (records.length < CHUNK) continue;
      yield Buffer.concat(records);
      records = [];
    }
  }
  if (records.length > 0) yield Buffer.concat(records);
}
