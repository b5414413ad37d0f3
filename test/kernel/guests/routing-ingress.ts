/**
 * Runs in the guest kernel: client → router with ECMP (BIRD or FRR) → three directors that announce one VIP → six pods on two other nodes,
 * DSR. Under load it measures what the death and return of a director cost, with `mh` and, for comparison, with `rr`; before that, who
 * answers one and the same flow through each director, and what a scaling of the pods costs. The test outside judges.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { answer, sh } from '../../support/ipvs-shell.ts';
import type { DirectorInput, DirectorOptions } from './routing-director.ts';
import {
  CLUSTER_IP,
  DIRECTORS,
  PODS,
  ROUTER,
  VIP,
  WORKERS,
  build,
  ends,
  node,
  nodes,
  pause,
  podAddress,
  podObjects,
  startRouter,
  web,
} from './routing-rig.ts';

const [kind = 'BIRD', bfdText = '300', rateText = '500,400,300,200,150,100,50'] = process.argv.slice(2);
const BFD_MS = Number(bfdText);
const RATES = rateText.split(',').map(Number);
const LONG = 200;
const stamp = (text: string): void => console.log(`${Math.round(performance.now())} ${text}`);

// ---- nodes as programs; what would be a machine of its own has its processor time before the load of clients and pods
let world: DirectorInput = { nodes, pods: podObjects, services: web('mh') ?? [], endpointSlices: ends(PODS) ?? [] };
const programs = new Map<number, ChildProcess>();
const events: Record<string, unknown>[] = [];
const program = fileURLToPath(new URL('routing-director.ts', import.meta.url));
const send = (child: ChildProcess, input: DirectorInput): void => void child.stdin?.write(`${JSON.stringify(input)}\n`);
function startNode(index: number): Promise<void> {
  const options: DirectorOptions = {
    node: node(index),
    externalIpRanges: ['192.0.2.0/24'],
    ...(index < 10 ? { router: { address: ROUTER, asn: 65000 }, bfdMs: BFD_MS } : {}),
  };
  const inside = ['ip', 'netns', 'exec', node(index), process.execPath, program, JSON.stringify(options)];
  const child = spawn('nice', ['-n', '-10', ...inside], { stdio: ['pipe', 'pipe', 'inherit'] });
  programs.set(index, child);
  send(child, world);
  return new Promise((resolve, reject) => {
    child.once('exit', () => reject(new Error(`${node(index)} ended`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const row = JSON.parse(line) as Record<string, unknown>;
      events.push({ node: node(index), ...row });
      if ('ready' in row) resolve();
    });
  });
}
function tell(input: DirectorInput): void {
  world = { ...world, ...input };
  for (const child of programs.values()) send(child, input);
}

// ---- flows
interface Flows {
  ask<T>(command: Readonly<Record<string, unknown>>): Promise<T>;
}
function openFlows(...args: string[]): Flows {
  const file = fileURLToPath(new URL('../../support/flows.py', import.meta.url));
  const child = spawn('nice', ['-n', '5', '/usr/bin/python3', '-B', file, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting: ((value: unknown) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(JSON.parse(line)));
  return {
    ask: <T>(command: Readonly<Record<string, unknown>>) =>
      new Promise<T>((resolve) => {
        waiting.push(resolve as (value: unknown) => void);
        child.stdin.write(`${JSON.stringify(command)}\n`);
      }),
  };
}
type Short = readonly [at: number, seconds: number, ok: boolean, who: string];
interface LongState {
  readonly pod: string;
  readonly error: string;
  readonly heard: number;
  readonly sent: number;
  readonly back: number;
  readonly mss: number;
}

const nextHops = async (): Promise<number> =>
  (await sh(`ip -n r route show ${VIP}`)).split('\n').filter((line) => line.includes(' via ')).length;
async function awaitHops(count: number, ms = 60_000): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await pause(100)) if ((await nextHops()) === count) return;
  throw new Error(
    `the router has ${await nextHops()} next hops, not ${count}: ${JSON.stringify(events.slice(-20), null, 1)}`,
  );
}

await build();
await startRouter(kind, BFD_MS);
// The router's FIB as its monitor sees it, with the kernel's own times.
const fib: { at: number; line: string }[] = [];
const monitor = spawn('ip', ['-n', 'r', '-ts', '-o', 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'inherit'] });
createInterface({ input: monitor.stdout }).on('line', (line) => {
  const match = /^\[([^\]]+)\] (.*)$/.exec(line);
  if (match?.[2]?.includes(VIP) === true) fib.push({ at: Date.parse(`${match[1]}Z`) / 1000, line: match[2] });
});
stamp('built');
const server = openFlows('server');
for (const index of PODS) await server.ask({ ns: `p${index}`, name: `p${index}`, addresses: [VIP, podAddress(index)] });
await Promise.all([...DIRECTORS, ...WORKERS].map(startNode));
stamp('nodes are ready');
await awaitHops(3);
stamp('three next hops');
const client = openFlows('client', 'c');

/** Waits until every director has that many servers of each port, chosen by that scheduler. */
async function awaitServers(count: number, scheduler: string, ms = 60_000): Promise<void> {
  let seen: string[] = [];
  for (const end = Date.now() + ms; Date.now() < end; await pause(300)) {
    seen = await Promise.all(DIRECTORS.map((index) => sh(`ip netns exec ${node(index)} ipvsadm -Sn`)));
    const right = (text: string): boolean =>
      text.split('\n').filter((line) => line.startsWith('-A -f') && line.includes(`-s ${scheduler}`)).length === 2 &&
      text.split('\n').filter((line) => line.startsWith('-a -f')).length === 2 * count;
    if (seen.every(right)) return;
  }
  throw new Error(`the directors have ${seen.join('\n')} ${JSON.stringify(events.slice(-20), null, 1)}`);
}

/** T3: the same five numbers through each director. */
async function sameTuple(): Promise<string[][]> {
  const chosen: string[][] = [];
  for (const index of DIRECTORS) {
    await sh(`ip -n r route replace ${VIP} via 10.0.0.${index} proto static metric 1`);
    const ports = Array.from({ length: 60 }, (_, port) => 61000 + port);
    chosen.push((await client.ask<{ answers: string[] }>({ op: 'once', host: VIP, ports })).answers);
  }
  await sh(`ip -n r route del ${VIP} proto static metric 1`);
  await awaitHops(3);
  return chosen;
}

/** T7: an outside host asks the ClusterIP, which the directors announce as well. */
async function clusterIp(): Promise<{ hops: number; answers: string[] }> {
  const ports = Array.from({ length: 24 }, (_, port) => 62000 + port);
  const { answers } = await client.ask<{ answers: string[] }>({ op: 'once', host: CLUSTER_IP, ports });
  const hops = (await sh(`ip -n r route show ${CLUSTER_IP}`)).split('\n').filter((line) => line.includes(' via '));
  return { hops: hops.length, answers };
}

/** T5: four pods become six while connections live; nobody outside notices. */
async function scaleOut(): Promise<{ before: LongState[]; after: LongState[]; shorts: readonly Short[] }> {
  tell({ endpointSlices: ends(PODS.slice(0, 4)) ?? [] });
  await awaitServers(4, 'mh');
  await client.ask({ op: 'long', count: 60, host: VIP });
  await pause(2500);
  const { longs: before } = await client.ask<{ longs: LongState[] }>({ op: 'longs' });
  await client.ask({ op: 'rate', rate: 50, host: VIP });
  await pause(1000);
  tell({ endpointSlices: ends(PODS) ?? [] });
  await awaitServers(6, 'mh');
  await pause(4000);
  await client.ask({ op: 'rate', rate: 0, host: VIP });
  await pause(1500);
  const { done } = await client.ask<{ done: Short[] }>({ op: 'shorts', stop: true });
  const { longs: after } = await client.ask<{ longs: LongState[] }>({ op: 'longs' });
  await client.ask({ op: 'drop' });
  return { before, after, shorts: done };
}

/** Nothing failed, the router kept its paths, and no connection needed a second SYN (its timer is 1 s, RFC 6298 section 2). */
const held = (rate: number, seconds: number, shorts: readonly Short[]): boolean =>
  fib.length === 0 && shorts.length >= rate * seconds * 0.95 && shorts.every(([, took, ok]) => ok && took < 0.9);

/** The highest of the rates that is carried for 30 s without a failure. */
async function calibrate(): Promise<{
  rate: number;
  tried: { rate: number; seconds: number; done: number; failed: number }[];
}> {
  const tried: { rate: number; seconds: number; done: number; failed: number }[] = [];
  for (const rate of RATES) {
    for (const seconds of [6, 30]) {
      fib.length = 0;
      await client.ask({ op: 'rate', rate, host: VIP });
      await pause(seconds * 1000);
      await client.ask({ op: 'rate', rate: 0, host: VIP });
      await pause(1500);
      const { done } = await client.ask<{ done: Short[] }>({ op: 'shorts', stop: true });
      tried.push({
        rate,
        seconds,
        done: done.length,
        failed: done.filter(([, took, ok]) => !ok || took >= 0.9).length + fib.length,
      });
      if (!held(rate, seconds, done)) break;
      if (seconds === 30) return { rate, tried };
    }
  }
  return { rate: 0, tried };
}

/** A director dies under load and comes back. */
async function failover(rate: number): Promise<Record<string, unknown>> {
  if (rate === 0) throw new Error('no rate was carried');
  await client.ask({ op: 'long', count: LONG, host: VIP });
  await pause(3000);
  await client.ask({ op: 'rate', rate, host: VIP });
  await pause(5000);
  const { longs: before } = await client.ask<{ longs: LongState[] }>({ op: 'longs' });
  fib.length = 0;
  const victim = programs.get(2)!;
  const gone = new Promise((resolve) => victim.once('exit', resolve));
  // Its cable and its process at once, as if the power went.
  await sh('ip -n r link set v-d2 down');
  const killed = Date.now() / 1000;
  victim.kill('SIGKILL');
  await gone;
  await awaitHops(2, 30_000);
  const rerouted = fib.at(-1)?.at ?? 0;
  await pause(15_000);
  const { longs: after } = await client.ask<{ longs: LongState[] }>({ op: 'longs' });
  // Nothing is left of it in the kernel; then it is switched on again.
  await sh(
    'ip netns exec d2 ipvsadm -C; ip netns exec d2 iptables -t mangle -F; ip netns exec d2 iptables -F; ip -n r link set v-d2 up',
  );
  const back = Date.now() / 1000;
  await startNode(2);
  await awaitHops(3);
  const returned = fib.at(-1)?.at ?? 0;
  await pause(10_000);
  await client.ask({ op: 'rate', rate: 0, host: VIP });
  await pause(9000);
  const { done } = await client.ask<{ done: Short[] }>({ op: 'shorts', stop: true });
  const { longs } = await client.ask<{ longs: LongState[] }>({ op: 'longs' });
  await client.ask({ op: 'drop' });
  const alive = (list: readonly LongState[], since: number): number =>
    list.filter((one) => one.error === '' && one.heard > since).length;
  const failedAfter = (from: number, to: number): readonly Short[] =>
    done.filter(([at, , ok]) => !ok && at >= from && at < to);
  // A SYN that was lost is sent again after a second: whoever needed more than 0.9 s met the gap.
  const delayed = done.filter(([at, took, ok]) => at > killed - 1 && at < back && (!ok || took >= 0.9));
  return {
    longBefore: alive(before, killed - 3),
    longAfterDeath: alive(after, rerouted),
    longAfterReturn: alive(longs, returned),
    errors: [...new Set(longs.map(({ error }) => error).filter((error) => error !== ''))],
    shorts: done.length,
    rate: done.length / (Math.max(...done.map(([at]) => at)) - Math.min(...done.map(([at]) => at))),
    gapSeconds: Math.max(killed, ...delayed.map(([at]) => at)) - killed,
    reroutedSeconds: rerouted - killed,
    lostInGap: failedAfter(killed - 10, rerouted).length,
    failedAfterReroute: failedAfter(rerouted, back),
    failedAfterReturn: failedAfter(back, Infinity),
    returnSeconds: returned - back,
    clients: [...new Set(done.filter(([, , ok]) => ok).map(([, , , who]) => who.split(' ')[1]))],
    pods: [...new Set(done.filter(([, , ok]) => ok).map(([, , , who]) => who.split(' ')[0]))].sort(),
    mss: [...new Set(before.map(({ mss }) => mss))],
  };
}

/** Large messages both ways through VIP and tunnel; fragments made or put together anywhere. */
async function largeMessages(): Promise<Record<string, unknown>> {
  await client.ask({ op: 'long', count: 6, host: VIP });
  await pause(1500);
  const { sent } = await client.ask<{ sent: number[] }>({ op: 'big', count: 6, bytes: 60_000 });
  await pause(4000);
  const { longs } = await client.ask<{ longs: LongState[] }>({ op: 'longs' });
  await client.ask({ op: 'drop' });
  const all = ['r', 'c', ...[...DIRECTORS, ...WORKERS].map(node), ...PODS.map((index) => `p${index}`)];
  const text = await sh(all.map((ns) => `ip netns exec ${ns} cat /proc/net/snmp | grep '^Ip:' | tail -n 1`).join('\n'));
  // Ip: … ReasmReqds(14) ReasmOKs ReasmFails FragOKs(17) FragFails FragCreates(19)
  const fragments = text
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .reduce((sum, words) => sum + Number(words[14]) + Number(words[17]) + Number(words[19]), 0);
  return { sent, back: longs.map(({ back }) => back), mss: longs.map(({ mss }) => mss), fragments };
}

/** Runs one part; what goes wrong in it is its outcome, and the next parts run. */
const found: Record<string, unknown> = { kind, bfdMs: BFD_MS, kernel: (await sh('uname -r')).trim() };
async function part<T>(name: string, measure: () => Promise<T>): Promise<T | undefined> {
  let outcome: T | undefined;
  try {
    outcome = await measure();
    found[name] = outcome;
  } catch (error) {
    found[name] = { error: String(error) };
  }
  found['issues'] = events.flatMap(({ issues }) => (Array.isArray(issues) ? (issues as unknown[]) : []));
  found['failed'] = events.filter((row) => 'failed' in row);
  answer(found);
  stamp(`${name}: ${JSON.stringify(found[name]).slice(0, 500)}`);
  return outcome;
}

/** Packets of the VIP's flows that came to the directors. */
async function crossing(): Promise<{ what: string; packets: number }[]> {
  const list = 'iptables -t raw -L PREROUTING -nvx';
  const text = await sh(
    DIRECTORS.map((index) => `ip netns exec ${node(index)} ${list} | grep -E 'replies|requests'`).join('\n'),
  );
  return text
    .trim()
    .split('\n')
    .map((line) => ({
      what: line.includes('replies') ? 'replies' : 'requests',
      packets: Number(line.trim().split(/\s+/)[0]),
    }));
}

await part('same', sameTuple);
await part('cluster', clusterIp);
await part('scaled', scaleOut);
await part('large', largeMessages);
const rate = (await part('load', calibrate))?.rate ?? 0;
await part('mh', () => failover(rate));
await part('counters', crossing);
tell({ services: web('rr') ?? [] });
await part('rr', async () => {
  await awaitServers(6, 'rr');
  return failover(rate);
});
found['events'] = events;
answer(found);
process.exit(0);
