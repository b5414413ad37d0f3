/**
 * `node bench/bgp/limits.ts`: what a speaker must keep to beside speed, each line with what was asked and seen: the longest stop of its
 * event loop under a load of 500,000 routes, the latency of a burst's last packet, 1,000 idle sessions, BFD with 100 peers through
 * the load. Peers are by hand, on loopback; the speaker is a process of its own.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { SpeakerOptions } from '../../src/bgp/index.ts';
import type { BfdPacket } from '../../src/bgp/index.ts';
import { decodeBfd, encodeBfd, message } from '../../src/bgp/index.ts';
import { announcements, withdrawals } from './routes.ts';

const CHILD = fileURLToPath(new URL('speaker.ts', import.meta.url));
const ROUTES = 500_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(probe: () => boolean, seconds: number): Promise<boolean> {
  const end = performance.now() + seconds * 1000;
  while (!probe()) {
    if (performance.now() > end) return false;
    await pause(5);
  }
  return true;
}

interface Child {
  readonly process: ChildProcess;
  readonly lines: string[];
  readonly port: number;
  /** Longest stop of its event loop since the last call, in milliseconds: on the wall, and of work of its thread. */
  block(): readonly [wall: number, work: number];
  cpu(): number;
  stop(): void;
}

async function child(options: SpeakerOptions, ...rest: readonly string[]): Promise<Child> {
  const made = spawn(process.execPath, ['--max-semi-space-size=16', CHILD, JSON.stringify(options), ...rest], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  let block: [number, number] = [0, 0];
  let partial = '';
  made.stdout.on('data', (chunk: Buffer) => {
    const parts = (partial + chunk.toString()).split('\n');
    partial = parts.pop() ?? '';
    for (const line of parts) {
      const stop = /^block (\d+) (\d+)$/.exec(line);
      if (stop !== null) block = [Math.max(block[0], Number(stop[1])), Math.max(block[1], Number(stop[2]))];
      else lines.push(line);
    }
  });
  if (!(await until(() => lines.length > 0, 20))) throw new Error('the speaker did not start');
  return {
    process: made,
    lines,
    port: Number(lines[0]!.split(' ')[1]),
    block() {
      const longest = block;
      block = [0, 0];
      return longest;
    },
    cpu() {
      const fields = readFileSync(`/proc/${made.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
      return (Number(fields[11]) + Number(fields[12])) / 100;
    },
    stop: () => void made.kill('SIGKILL'),
  };
}

interface Link {
  readonly socket: Socket;
  announced: number;
  lastAt: number;
  up: boolean;
}

function join(port: number, address: string, asn: number, holdTime: number): Promise<Link> {
  const socket = connect({ host: '127.0.0.1', port, localAddress: address, noDelay: true });
  const link: Link = { socket, announced: 0, lastAt: 0, up: false };
  const framer = message.createFramer();
  const parts = message.createUpdateParts();
  const batch = message.createPrefixBatch(4, 4096);
  framer.setMaxLength(65_535);
  socket.on('error', () => undefined);
  socket.on('data', (chunk: Uint8Array) => {
    framer.push(chunk, (bytes, offset, length, type) => {
      if (type === 4 && !link.up) link.up = true;
      if (type !== 2) return;
      message.splitUpdate(bytes, offset, length, parts);
      if (parts.nlriLength === 0) return;
      message.readPrefixes4(bytes, parts.nlriOffset, parts.nlriOffset + parts.nlriLength, false, batch);
      link.announced += batch.count;
      link.lastAt = performance.now();
    });
  });
  const capabilities: message.Capability[] = [
    { type: 'multiprotocol', family: 'ipv4-unicast' },
    { type: 'multiprotocol', family: 'ipv6-unicast' },
    { type: 'four-octet-as', asn },
  ];
  socket.write(message.encodeOpen({ asn, holdTime, routerId: asn, capabilities }));
  socket.write(message.encodeKeepalive());
  return until(() => link.up, 30).then((up) => {
    if (!up) throw new Error(`no session from ${address}`);
    return link;
  });
}

const results: { readonly what: string; readonly asked: string; readonly seen: string; readonly held: boolean }[] = [];
function tell(what: string, asked: string, seen: string, held: boolean): void {
  results.push({ what, asked, seen, held });
  process.stdout.write(`${held ? 'held  ' : 'MISSED'}  ${what}: ${seen} (asked: ${asked})\n`);
}

const base = { asn: 65000, routerId: '10.0.0.1', listen: [{ address: '127.0.0.1', port: 0 }] } as const;

async function load(): Promise<void> {
  const one = await child({
    ...base,
    peers: [2, 3].map((last) => ({ address: `127.0.0.${last}`, asn: 65000 + last, passive: true })),
  });
  const from = await join(one.port, '127.0.0.2', 65002, 90);
  const to = await join(one.port, '127.0.0.3', 65003, 90);
  const set = { count: ROUTES, perUpdate: 10, asn: 65002, nextHop: '127.0.0.2' };
  const bytes = announcements(set);
  const gone = withdrawals(set);
  await pause(1500);
  one.block();
  const blocks: (readonly [wall: number, work: number])[] = [];
  for (let round = 0; round < 3; round++) {
    to.announced = 0;
    from.socket.write(bytes);
    if (!(await until(() => to.announced >= ROUTES, 60))) tell('routes through', `${ROUTES}`, `${to.announced}`, false);
    await pause(1500);
    from.socket.write(gone);
    await pause(2500);
    blocks.push(one.block());
  }
  const work = blocks.map(([, cpu]) => cpu);
  tell(
    'longest stop of the event loop under 500,000 routes, announced and withdrawn',
    '≤ 25 ms',
    `${work.join(', ')} ms of work (${blocks.map(([wall]) => wall).join(', ')} ms on the wall)`,
    Math.max(...work) <= 25,
  );
  const latencies: number[] = [];
  for (let burst = 0; burst < 200; burst++) {
    const count = 1 + (burst % 50) * 20;
    to.announced = 0;
    const part = announcements({ ...set, count, from: burst * 1000, perUpdate: 1 + (burst % 7) });
    const began = performance.now();
    from.socket.write(part);
    if (!(await until(() => to.announced >= count, 5))) {
      tell('last packet of a burst', 'never held back', `burst ${burst}: ${to.announced} of ${count} after 5 s`, false);
      break;
    }
    latencies.push(to.lastAt - began);
  }
  latencies.sort((a, b) => a - b);
  const last = latencies.at(-1) ?? Infinity;
  tell(
    'last packet of a burst, 200 bursts of 1 to 981 routes',
    'never held back',
    `median ${latencies[100]?.toFixed(1)} ms, longest ${last.toFixed(1)} ms`,
    last < 200,
  );
  one.stop();
}

async function idle(): Promise<void> {
  const addresses = Array.from({ length: 1000 }, (_, index) => `127.1.${index >> 8}.${index & 255}`);
  const one = await child(
    {
      ...base,
      holdTime: 90,
      peers: addresses.map((address) => ({ address, asn: 65001, passive: true })),
    },
    'unwatched',
  );
  for (const address of addresses) {
    const link = await join(one.port, address, 65001, 90);
    setInterval(() => link.socket.write(message.encodeKeepalive()), 30_000 + Math.random() * 2000).unref();
  }
  await pause(3000);
  const before = one.cpu();
  const seconds = 60;
  await pause(seconds * 1000);
  const share = ((one.cpu() - before) / seconds) * 100;
  tell('1,000 idle sessions, hold time 90 s', '≤ 3 % of a core', `${share.toFixed(2)} %`, share <= 3);
  one.stop();
}

/** Far ends of BFD sessions by hand, at 100 ms. */
function farEnds(addresses: readonly string[]): { close(): void } {
  const ends = addresses.map((address, index) => {
    const receive = createSocket({ type: 'udp4', reuseAddr: true });
    const send = createSocket('udp4');
    let remote = 0;
    let state: BfdPacket['state'] = 'down';
    const packet = (final: boolean): Uint8Array =>
      encodeBfd({
        diagnostic: 0,
        state,
        poll: false,
        final,
        demand: false,
        multiplier: 3,
        myDiscriminator: index + 1,
        yourDiscriminator: remote,
        desiredMinTx: 100_000,
        requiredMinRx: 100_000,
        requiredMinEchoRx: 0,
      });
    const say = (bytes: Uint8Array): void => send.send(bytes, 3784, '127.0.0.1');
    receive.bind(3784, address);
    receive.on('message', (bytes) => {
      const heard = decodeBfd(bytes);
      if (heard === undefined) return;
      remote = heard.myDiscriminator;
      // RFC 5880 section 6.8.6, without the timers: this end never gives up.
      if (heard.state === 'down') state = state === 'up' ? 'down' : 'init';
      else if (heard.state !== 'admin-down') state = 'up';
      if (heard.poll) say(packet(true));
    });
    send.bind(49_152 + index, address, () => send.setTTL(255));
    const timer = setInterval(() => say(packet(false)), 85 + (index % 10));
    return { receive, send, timer };
  });
  return {
    close() {
      for (const { receive, send, timer } of ends) {
        clearInterval(timer);
        receive.close();
        send.close();
      }
    },
  };
}

/** A hundred BFD sessions at 3 × 100 ms, while 500,000 routes come and go beside them. */
async function bfd(): Promise<void> {
  const addresses = Array.from({ length: 100 }, (_, index) => `127.2.0.${index + 1}`);
  // In a process of its own: the injector's work must not hold its packets back.
  const ends = spawn(process.execPath, [fileURLToPath(import.meta.url), 'far-ends', addresses.join()], {
    stdio: 'inherit',
  });
  const one = await child({
    ...base,
    peers: [
      ...addresses.map((address) => ({
        address,
        asn: 65002,
        passive: true,
        families: ['ipv6-unicast'] as const,
        bfd: { interval: 100, multiplier: 3 },
      })),
      ...[2, 3].map((last) => ({ address: `127.0.0.${last}`, asn: 65000 + last, passive: true })),
    ],
  });
  const count = (text: string): number => one.lines.filter((line) => line.includes(text)).length;
  const links: Link[] = [];
  for (const address of addresses) links.push(await join(one.port, address, 65002, 0));
  const up = await until(() => count('BFD is up') >= 100, 60);
  const from = await join(one.port, '127.0.0.2', 65002, 90);
  const to = await join(one.port, '127.0.0.3', 65003, 90);
  await pause(3000);
  const before = count('BFD is down');
  const set = { count: ROUTES, perUpdate: 10, asn: 65002, nextHop: '127.0.0.2' };
  const [bytes, gone] = [announcements(set), withdrawals(set)];
  for (let round = 0; round < 3; round++) {
    to.announced = 0;
    from.socket.write(bytes);
    await until(() => to.announced >= ROUTES, 60);
    from.socket.write(gone);
    await pause(2000);
  }
  const flaps = count('BFD is down') - before;
  tell(
    'BFD at 3 × 100 ms with 100 peers through 500,000 routes, three times',
    '100 up, no flap',
    `${count('BFD is up')} up, ${flaps} flaps`,
    up && flaps === 0,
  );
  one.stop();
  ends.kill();
  for (const { socket } of links) socket.destroy();
}

if (process.argv[2] === 'far-ends') farEnds((process.argv[3] ?? '').split(','));
else await main();

async function main(): Promise<void> {
  const wanted = process.argv.slice(2);
  const runs = { load, idle, bfd };
  for (const [name, run] of Object.entries(runs)) if (wanted.length === 0 || wanted.includes(name)) await run();
  process.exit(results.every(({ held }) => held) ? 0 : 1);
}
