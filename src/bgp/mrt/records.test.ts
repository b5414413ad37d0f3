import { expect, it } from 'vitest';
import { hex } from '../../../test/support/hex.ts';
import { decodeUpdate } from '../message/message.ts';
import { decodeMrt, encodePeers, encodeRib } from './records.ts';
import { replayMrt } from './replay.ts';

const join = (...parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** A TABLE_DUMP_V2 record of the time 0x65000000. */
function record(subtype: string, body: string): Uint8Array {
  const octets = hex(body);
  return join(hex(`65000000 000d ${subtype} ${octets.length.toString(16).padStart(8, '0')}`), octets);
}

// Written by hand from RFC 6396 section 4.3: 10.0.0.254's view, peers 10.0.0.1 (AS 65001) and 2001:db8::1 (AS 4200000000).
const PEERS = record(
  '0001',
  '0a0000fe 0000 0002 02 0a000001 0a000001 0000fde9 03 0a000002 20010db8000000000000000000000001 fa56ea00',
);
const RIB4 = record(
  '0002',
  '00000000 18 c00002 0001 0000 64ffffff 0014 400101 00 4002 06 0201 0000fde9 4003 04 0a000001',
);
const RIB6 = record(
  '0004',
  '00000001 20 20010db8 0001 0001 64ffffff 0021 400101 00 4002 06 0201 fa56ea00 800e 11 10 20010db8000000000000000000000001',
);

it('reads what RFC 6396 describes', () => {
  const records = [...decodeMrt(join(PEERS, RIB4))];
  expect(records[0]).toEqual({
    type: 'peers',
    time: 0x65000000,
    routerId: '10.0.0.254',
    peers: [
      { routerId: '10.0.0.1', address: '10.0.0.1', asn: 65001 },
      { routerId: '10.0.0.2', address: '2001:db8::1', asn: 4_200_000_000 },
    ],
  });
  expect(records[1]).toMatchObject({
    type: 'rib',
    prefix: '192.0.2.0/24',
    entries: [{ peer: 0, originated: 0x64ffffff }],
  });
});

it('writes what it reads', () => {
  const peers = encodePeers(0x65000000, '10.0.0.254', [
    { routerId: '10.0.0.1', address: '10.0.0.1', asn: 65001 },
    { routerId: '10.0.0.2', address: '2001:db8::1', asn: 4_200_000_000 },
  ]);
  expect(text(peers)).toBe(text(PEERS));
  const entry = { peer: 1, originated: 7, pathId: 9, attributes: hex('40010100') };
  const rib = encodeRib(1, 2, { family: 6, octets: hex('20010db8 00010000 0000000000000000'), length: 48 }, [entry]);
  // Add-path: subtype 10 (RFC 8050).
  expect(text(rib)).toBe('00000001000d000a0000001d000000023020010db80001000100010000000700000009000440010100');
  expect([...decodeMrt(rib)]).toMatchObject([{ prefix: '2001:db8:1::/48', entries: [{ ...entry }] }]);
});

it('replays a table as UPDATEs, next hops of both shapes', () => {
  const [replayed] = replayMrt(join(PEERS, RIB6));
  expect(replayed).toMatchObject({ address: '2001:db8::1', asn: 4_200_000_000 });
  const [bytes] = replayed!.messages;
  const update = decodeUpdate(bytes!, 0, bytes!.length, { peerType: 'ibgp', families: ['ipv6-unicast'] });
  expect(update.announced).toMatchObject([{ nextHop: '2001:db8::1', routes: [{ text: '2001:db8::/32' }] }]);
  expect(update.attributes.asPath).toEqual([{ type: 'sequence', asns: [4_200_000_000] }]);
});

it('skips what it does not know and stops at a cut', () => {
  const unknown = hex('65000000 0020 0001 00000004 01020304');
  const [only, ...others] = decodeMrt(join(unknown, PEERS, RIB4.subarray(0, 30)));
  expect(others).toEqual([]);
  expect(only?.type).toBe('peers');
});
