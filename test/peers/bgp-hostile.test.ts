/**
 * Peers that flood, stall, trickle, come in thousands or never read: the speaker's memory stays bounded and its other sessions do not
 * notice. The speaker is a process of its own; two good peers talk through it all the time and time what they hear.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { message } from 'kube-router-sdk/bgp';
import type { PeerOptions } from 'kube-router-sdk/bgp';
import { pause, tidy, undo } from '../support/bgp.ts';
import type { WirePeer } from '../support/bgp-wire.ts';
import { announceFrom, wirePeer } from '../support/bgp-wire.ts';
import { until } from '../support/netns.ts';

afterEach(tidy);

const MAIN = fileURLToPath(new URL('../../bench/bgp/speaker.ts', import.meta.url));
const MiB = 1024;

interface Victim {
  readonly port: number;
  readonly lines: string[];
  /** Resident memory in KiB. */
  memory(): number;
  join(last: number, options?: { readonly alive?: boolean; readonly holdTime?: number }): Promise<WirePeer>;
}

/** A speaker of AS 65000 with the peers 127.0.0.11, .12 (good) and .13 (bad), and dynamic ones from 127.0.1.0/24. */
async function victim(bad: Partial<PeerOptions> = {}, holdTime = 9): Promise<Victim> {
  const options = {
    asn: 65000,
    routerId: '10.0.0.1',
    holdTime,
    listen: [{ address: '127.0.0.1', port: 0 }],
    peers: [11, 12, 13].map((last) => ({
      address: `127.0.0.${last}`,
      asn: 65000 + last,
      passive: true,
      families: ['ipv4-unicast'],
      ...(last === 13 ? bad : {}),
    })),
    dynamicPeers: [{ prefix: '127.0.1.0/24', asns: [65099], limit: 50 }],
  };
  const child: ChildProcess = spawn(process.execPath, [MAIN, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  undo(() => void child.kill('SIGKILL'));
  const lines: string[] = [];
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    const parts = (text + chunk.toString()).split('\n');
    text = parts.pop() ?? '';
    for (const line of parts) {
      if (!line.startsWith('block ')) lines.push(line);
    }
  });
  const said = await until('the speaker', () => lines.find((line) => line.startsWith('listening')));
  const port = Number(said.slice(10));
  return {
    port,
    lines,
    memory: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]),
    async join(last, how = {}) {
      const peer = await wirePeer({ port, localAddress: `127.0.0.${last}`, asn: 65000 + last, holdTime, ...how });
      undo(() => peer.close());
      return peer;
    },
  };
}

/** Two good peers: a route of the one reaches the other, again and again. Tells the longest time that it took, in milliseconds. */
async function watch(one: Victim): Promise<() => Promise<number>> {
  const [from, to] = [await one.join(11), await one.join(12)];
  let worst = 0;
  let round = 0;
  let running = true;
  const loop = (async () => {
    while (running) {
      const prefix = `10.11.${round++ % 250}.0/24`;
      const began = performance.now();
      from.socket.write(announceFrom(65011, [prefix]));
      await until(`${prefix} at the other`, () => to.routes.has(prefix), 10_000);
      worst = Math.max(worst, performance.now() - began);
      from.socket.write(withdraw([prefix]));
      await until(`the withdrawal of ${prefix}`, () => !to.routes.has(prefix), 10_000);
    }
  })();
  return async () => {
    running = false;
    await loop;
    expect(from.notifications).toEqual([]);
    expect(to.notifications).toEqual([]);
    expect(one.lines.filter((line) => /^down 127\.0\.0\.1[12] /.test(line))).toEqual([]);
    return worst;
  };
}

function withdraw(prefixes: readonly string[]): Uint8Array {
  const fields: message.UpdateFields = {
    withdraw: { family: 'ipv4-unicast', routes: prefixes.map((one) => message.prefixNlri(one)) },
  };
  return Buffer.concat(message.encodeUpdate(fields, { peerType: 'ebgp' }).messages);
}

/** Writes the same bytes for so long, as fast as they are taken. */
async function flood(socket: Socket, bytes: Uint8Array, ms: number): Promise<number> {
  const end = performance.now() + ms;
  let count = 0;
  while (performance.now() < end && !socket.destroyed) {
    count++;
    if (!socket.write(bytes)) await Promise.race([once(socket, 'drain'), pause(500)]);
  }
  return count * bytes.length;
}

const many = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `20.${((from + index) >> 8) & 255}.${(from + index) & 255}.0/24`);

it('a peer that floods with announcements and withdrawals', async () => {
  const one = await victim();
  const done = await watch(one);
  const bad = await one.join(13);
  await flood(bad.socket, Buffer.concat([announceFrom(65013, many(500)), withdraw(many(500))]), 2000);
  const before = one.memory();
  // Each round other attributes, so that nothing can be remembered for good.
  let bytes = 0;
  for (let round = 0; round < 20; round++) {
    bytes += await flood(bad.socket, Buffer.concat([announceFrom(65013, many(500), round), withdraw(many(500))]), 250);
  }
  expect(bytes).toBeGreaterThan(20e6);
  expect(await done()).toBeLessThan(1000);
  expect(one.memory() - before).toBeLessThan(100 * MiB);
  expect(bad.closed).toBe(false);
}, 60_000);

it('a peer that floods with malformed UPDATEs that count as withdrawals', async () => {
  const one = await victim();
  const done = await watch(one);
  const bad = await one.join(13);
  const good = announceFrom(65013, many(300));
  const odd = good.slice();
  // The value of ORIGIN, first of the attributes.
  odd[26] = 7;
  await flood(bad.socket, odd, 1000);
  const before = one.memory();
  await flood(bad.socket, odd, 4000);
  expect(bad.closed).toBe(false);
  expect(await done()).toBeLessThan(1000);
  expect(one.memory() - before).toBeLessThan(100 * MiB);
}, 60_000);

it('peers that stall in the middle of a message, or send an octet a second: the hold timer ends them', async () => {
  const one = await victim({}, 3);
  const done = await watch(one);
  const bytes = announceFrom(65013, many(500));
  for (const trickle of [false, true]) {
    const bad = await one.join(13, { alive: false });
    const began = performance.now();
    bad.socket.write(bytes.subarray(0, 500));
    let at = 500;
    const timer = setInterval(() => {
      if (trickle && !bad.closed) bad.socket.write(bytes.subarray(at, ++at));
    }, 1000);
    undo(() => clearInterval(timer));
    await until('its end', () => bad.closed, 10_000);
    expect(bad.notifications).toEqual(['Hold Timer Expired (4/0)']);
    expect(performance.now() - began).toBeGreaterThan(2900);
    expect(performance.now() - began).toBeLessThan(4500);
    await pause(1500);
  }
  expect(await done()).toBeLessThan(500);
}, 60_000);

it('ten thousand connections: of strangers, of a dynamic range, of a configured peer', async () => {
  const one = await victim();
  const done = await watch(one);
  const before = one.memory();
  const open: Socket[] = [];
  undo(() => {
    for (const socket of open) socket.destroy();
  });
  const addresses = ['127.0.0.99', '127.0.1.7', '127.0.1.8', '127.0.0.13'];
  for (let batch = 0; batch < 100; batch++) {
    for (let index = 0; index < 100; index++) {
      const socket = connect({ host: '127.0.0.1', port: one.port, localAddress: addresses[index % 4]! });
      socket.on('error', () => undefined);
      socket.resume();
      open.push(socket);
    }
    await pause(20);
  }
  await pause(2000);
  expect(await done()).toBeLessThan(1000);
  expect(one.memory() - before).toBeLessThan(100 * MiB);
  for (const socket of open) socket.destroy();
  // Ten thousand ends take a moment to hear of; until then the configured peer has a connection already.
  await pause(4000);
  // Whoever is who it says comes in as ever.
  await one.join(13);
}, 60_000);

it('a peer that never reads while 100,000 routes change again and again, and asks for refreshes: it costs nothing but itself', async () => {
  const one = await victim({ sendHoldTime: 8 });
  const from = await one.join(11);
  const to = await one.join(12);
  const announceAll = (round: number): Uint8Array =>
    Buffer.concat(
      Array.from({ length: 100 }, (_, part) =>
        announceFrom(
          65011,
          Array.from({ length: 1000 }, (_unused, index) => {
            const number = part * 1000 + index;
            return `${30 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}.0/24`;
          }),
          round,
        ),
      ),
    );
  const refresh = Buffer.concat(Array.from({ length: 1000 }, () => message.encodeRouteRefresh('ipv4-unicast')));
  from.socket.write(announceAll(0));
  await until('everything', () => to.routes.size === 100_000);
  let round = 0;
  /** Changes everything once: the milliseconds until the other has heard of it. */
  const change = async (): Promise<number> => {
    const heard = to.heard[2] ?? 0;
    const began = performance.now();
    from.socket.write(announceAll(++round));
    await until('the change at the other', () => (to.heard[2] ?? 0) >= heard + 100, 20_000);
    const took = performance.now() - began;
    await pause(200);
    return took;
  };
  const median = (times: readonly number[]): number => [...times].sort((a, b) => a - b)[times.length >> 1]!;
  const alone: number[] = [];
  for (let index = 0; index < 5; index++) alone.push(await change());
  const before = one.memory();
  const bad = await one.join(13);
  bad.socket.pause();
  const beside: number[] = [];
  for (let index = 0; index < 12; index++) {
    bad.socket.write(refresh);
    beside.push(await change());
  }
  expect(one.memory() - before).toBeLessThan(100 * MiB);
  expect(median(beside)).toBeLessThan(median(alone) * 2 + 100);
  await until(
    'the send hold timer',
    () => one.lines.some((line) => /^down 127\.0\.0\.13 .*send hold timer/.test(line)),
    20_000,
  );
  expect(to.notifications).toEqual([]);
  expect(from.notifications).toEqual([]);
}, 90_000);
