/**
 * The peers around a speaker under judgement: for each case a sender of its own, and one third peer that sees what comes out.
 * Runs in the namespace of the peers; takes a job as JSON, prints one JSON line: what the third peer saw, case by case.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { message } from '../../src/bgp/index.ts';
import type { MalformedCase, Seen } from './bgp-malformed.ts';
import { malformedUpdates } from './bgp-malformed.ts';
import type { Observation, TesterJob } from './bgp-malformed-job.ts';
import { NO_ANSWER } from './bgp-malformed-job.ts';

const MARK = 0xfde80063;
const LOCAL_AS = 65000;

interface Peer {
  readonly socket: Socket;
  /** Routes that it holds now, by prefix. */
  readonly held: Map<string, Record<number, string>>;
  closed: boolean;
  up: boolean;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(probe: () => boolean, ms: number): Promise<boolean> {
  const end = performance.now() + ms;
  while (!probe()) {
    if (performance.now() > end) return false;
    await pause(10);
  }
  return true;
}

/** Attributes of an UPDATE as they stand. */
function raw(bytes: Uint8Array, from: number, length: number): Record<number, string> {
  const found: Record<number, string> = {};
  for (let at = from; at + 2 < from + length;) {
    const extended = (bytes[at]! & 0x10) !== 0;
    const size = extended ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
    const end = at + (extended ? 4 : 3) + size;
    found[bytes[at + 1]!] = Buffer.from(bytes.subarray(at, end)).toString('hex');
    at = end;
  }
  return found;
}

function open(target: string, address: string, asn: number, narrow: boolean): Peer {
  const socket = connect({ host: target, port: 179, localAddress: address, noDelay: true });
  const peer: Peer = { socket, held: new Map(), closed: false, up: false };
  const framer = message.createFramer();
  const parts = message.createUpdateParts();
  const context: message.AttributeContext = { peerType: 'ebgp', families: ['ipv4-unicast', 'ipv6-unicast'] };
  socket.on('error', () => undefined);
  socket.on('close', () => (peer.closed = true));
  socket.on('data', (chunk: Uint8Array) => {
    framer.push(chunk, (bytes, offset, length, type) => {
      if (type === 3) peer.closed = true;
      if (type === 4 && !peer.up) {
        peer.up = true;
        socket.write(message.encodeKeepalive());
      }
      if (type !== 2) return;
      const update = message.decodeUpdate(bytes, offset, length, context);
      for (const { routes } of update.withdrawn) for (const { text } of routes) peer.held.delete(text);
      message.splitUpdate(bytes, offset, length, parts);
      const attributes = raw(bytes, parts.attributesOffset, parts.attributesLength);
      for (const { routes } of update.announced) for (const { text } of routes) peer.held.set(text, attributes);
    });
  });
  const capabilities: message.Capability[] = [
    { type: 'multiprotocol', family: 'ipv4-unicast' },
    { type: 'multiprotocol', family: 'ipv6-unicast' },
  ];
  if (!narrow) capabilities.push({ type: 'four-octet-as', asn });
  const routerId = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  socket.on('connect', () => {
    socket.write(message.encodeOpen({ asn, holdTime: 180, routerId, capabilities }));
    // Some wait for it before they send theirs.
    setTimeout(() => socket.write(message.encodeKeepalive()), 50);
  });
  return peer;
}

/** A session, tried again and again: some refuse a neighbour for seconds after their start. */
async function session(target: string, address: string, asn: number, narrow: boolean): Promise<Peer> {
  let peer = open(target, address, asn, narrow);
  for (const end = performance.now() + 40_000; performance.now() < end;) {
    await until(() => peer.up || peer.closed, 20_000);
    if (peer.up) break;
    peer.socket.destroy();
    await pause(1000);
    peer = open(target, address, asn, narrow);
  }
  return peer;
}

function goodRoute(one: MalformedCase, address: string, prefix: string): Uint8Array {
  const asn = one.session === 'ibgp' ? LOCAL_AS : 65001;
  const attributes: message.PathAttributes = {
    origin: 'igp',
    asPath: one.session === 'ibgp' ? [] : [{ type: 'sequence', asns: [asn] }],
    ...(one.session === 'ibgp' ? { localPref: 100 } : {}),
    communities: [MARK],
  };
  const fields: message.UpdateFields = {
    attributes,
    announce: { family: 'ipv4-unicast', nextHop: address, routes: [message.prefixNlri(prefix)] },
  };
  return Buffer.concat(message.encodeUpdate(fields, { fourOctetAs: !one.twoOctetAs, peerType: one.session }).messages);
}

async function judge(job: TesterJob, third: Peer, index: number, address: string): Promise<Observation> {
  const one = malformedUpdates[index]!;
  const number = Number(address.split('.')[3]) + 256 * Number(address.split('.')[2]);
  const prefix = `10.${100 + (number >> 8)}.${number & 255}.0/24`;
  const after = `10.${120 + (number >> 8)}.${number & 255}.0/24`;
  const peerAs = one.session === 'ibgp' ? LOCAL_AS : 65001;
  const none = { index, sentinel: false, attributes: {} };
  const sender = await session(job.target, address, peerAs, one.twoOctetAs);
  try {
    if (!sender.up) return { ...none, seen: 'no session' };
    sender.socket.write(goodRoute(one, address, prefix));
    if (!(await until(() => third.held.has(prefix), 10_000))) return { ...none, seen: 'no good route' };
    const before = third.held.get(prefix);
    const between = { prefix, peerAs, localAs: LOCAL_AS, peerAddress: address, localAddress: job.target };
    sender.socket.write(one.build(between));
    await pause(150);
    if (!sender.closed) sender.socket.write(goodRoute(one, address, after));
    await until(() => sender.closed || third.held.has(after), 4000);
    await pause(300);
    const held = third.held.get(prefix);
    const unchanged = JSON.stringify(held) === JSON.stringify(before);
    const seen: Seen = sender.closed
      ? 'reset'
      : held === undefined
        ? 'withdrawn'
        : unchanged
          ? 'unchanged'
          : 'replaced';
    return { index, seen, sentinel: third.held.has(after), attributes: held ?? {} };
  } finally {
    sender.socket.destroy();
  }
}

const job = JSON.parse(process.argv[2] ?? '{}') as TesterJob;
/** Seconds for all cases of a job once the third peer is there; each takes five or less, all at the same time. */
const LIMIT = 60;
const third = await session(job.target, job.third, 65002, false);
if (!third.up) process.exit(NO_ANSWER);
setTimeout(() => process.exit(NO_ANSWER), LIMIT * 1000);
await pause(500);
const observations = await Promise.all(job.cases.map(({ index, address }) => judge(job, third, index, address)));
if (third.closed) process.exit(NO_ANSWER);
process.stdout.write(`${JSON.stringify(observations)}\n`);
process.exit(0);
