/**
 * Capture files made of BGP messages, for decoders that are not ours: TCP streams to port 179 in raw IPv4 packets.
 * Each stream has its own ports and begins with both OPENs, from which a decoder learns AS width and path identifiers.
 */

/** One side's octets, in the order they were said. */
export interface Said {
  readonly from: 'client' | 'server';
  readonly octets: Uint8Array;
}

/** Longest piece put into one packet; longer messages are cut as TCP would. */
const MAX_PAYLOAD = 32_000;

function be(...fields: readonly (readonly [size: 1 | 2 | 4, value: number])[]): number[] {
  return fields.flatMap(([size, value]) =>
    Array.from({ length: size }, (_, index) => (value >>> (8 * (size - 1 - index))) & 255),
  );
}

function packet(
  port: number,
  from: Said['from'],
  sequence: number,
  acknowledged: number,
  payload: Uint8Array,
): number[] {
  const [source, target] = from === 'client' ? [port, 179] : [179, port];
  const [here, there] = from === 'client' ? [1, 2] : [2, 1];
  const tcp = be([2, source], [2, target], [4, sequence], [4, acknowledged], [1, 0x50], [1, 0x18], [2, 65535], [4, 0]);
  const length = 40 + payload.length;
  const ip = be([1, 0x45], [1, 0xc0], [2, length], [4, 0], [1, 255], [1, 6], [2, 0], [4, 0xc0000200 + here]);
  return [...ip, ...be([4, 0xc0000200 + there]), ...tcp, ...payload];
}

/** The capture file: streams one after the other, one message a packet; `frame.time_epoch` numbers the packets from 0. */
export function capture(streams: readonly (readonly Said[])[]): Uint8Array {
  const out: number[][] = [];
  streams.forEach((stream, index) => {
    const next = { client: 1, server: 1 };
    for (const { from, octets } of stream) {
      const other = from === 'client' ? 'server' : 'client';
      for (let at = 0; at < octets.length; at += MAX_PAYLOAD) {
        const piece = octets.subarray(at, at + MAX_PAYLOAD);
        out.push(packet(20_000 + index, from, next[from], next[other], piece));
        next[from] += piece.length;
      }
    }
  });
  const little = (size: 2 | 4, value: number): number[] => be([size, value]).reverse();
  const head = [0xa1b2c3d4, 0x00040002, 0, 0, 262_144, 101].flatMap((value) => little(4, value));
  const records = out.map((octets, index) => [
    ...[index, 0, octets.length, octets.length].flatMap((value) => little(4, value)),
    ...octets,
  ]);
  const bytes = new Uint8Array(head.length + records.reduce((sum, record) => sum + record.length, 0));
  bytes.set(head);
  let at = head.length;
  for (const record of records) {
    bytes.set(record, at);
    at += record.length;
  }
  return bytes;
}
