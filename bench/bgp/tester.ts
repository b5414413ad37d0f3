/**
 * The other side of a benchmark: injector and receivers in one process, so that one clock sees both ends.
 * Reads one job as JSON from its argument and prints one JSON line of results. Runs in a namespace of its own.
 */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { message } from '../../src/bgp/index.ts';
import { announcements, withdrawals } from './routes.ts';

/** What to measure. */
export interface Job {
  readonly kind: 'table' | 'mesh' | 'memory';
  readonly target: string;
  /** Process whose memory is read. */
  readonly pid: number;
  readonly count: number;
  readonly perUpdate: number;
  /** IPv6 prefixes on top. */
  readonly count6?: number;
  readonly clients?: number;
  /** Seconds. */
  readonly limit: number;
}

interface Link {
  readonly socket: Socket;
  announced: number;
  withdrawn: number;
  messages: number;
  lastAt: number;
  /** Longest silence between reads while routes were coming, for stalls. */
  onCount: (() => void) | undefined;
}

const parts = message.createUpdateParts();
const batch4 = message.createPrefixBatch(4, 4096);
const batch6 = message.createPrefixBatch(6, 4096);
const spans: message.MpSpans = { reachStart: -1, reachEnd: -1, unreachStart: -1, unreachEnd: -1 };

function count(link: Link, bytes: Uint8Array, offset: number, length: number): void {
  link.messages++;
  message.splitUpdate(bytes, offset, length, parts);
  const { withdrawnOffset, withdrawnLength, nlriOffset, nlriLength, attributesOffset, attributesLength } = parts;
  if (withdrawnLength > 0) {
    message.readPrefixes4(bytes, withdrawnOffset, withdrawnOffset + withdrawnLength, false, batch4);
    link.withdrawn += batch4.count;
  }
  if (nlriLength > 0) {
    message.readPrefixes4(bytes, nlriOffset, nlriOffset + nlriLength, false, batch4);
    link.announced += batch4.count;
  } else if (attributesLength > 0) {
    message.findMpAttributes(bytes, attributesOffset, attributesLength, spans);
    if (spans.reachStart >= 0) {
      const value = spans.reachStart + ((bytes[spans.reachStart]! & 16) !== 0 ? 4 : 3);
      message.readPrefixes6(bytes, value + 5 + bytes[value + 3]!, spans.reachEnd, false, batch6);
      link.announced += batch6.count;
    }
    if (spans.unreachStart >= 0) {
      const value = spans.unreachStart + ((bytes[spans.unreachStart]! & 16) !== 0 ? 4 : 3);
      message.readPrefixes6(bytes, value + 3, spans.unreachEnd, false, batch6);
      link.withdrawn += batch6.count;
    }
  }
  link.lastAt = performance.now();
}

async function open(target: string, localAddress: string, asn: number, v6 = false): Promise<Link> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await tryOpen(target, localAddress, asn, v6);
    } catch (error) {
      if (attempt > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function tryOpen(target: string, localAddress: string, asn: number, v6: boolean): Promise<Link> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target, port: 179, localAddress, noDelay: true });
    const link: Link = { socket, announced: 0, withdrawn: 0, messages: 0, lastAt: 0, onCount: undefined };
    const framer = message.createFramer();
    let up = false;
    let sawOpen = false;
    const routerId = localAddress.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
    socket.on('connect', () => {
      const families: message.Capability[] = [{ type: 'multiprotocol', family: 'ipv4-unicast' }];
      if (v6) families.push({ type: 'multiprotocol', family: 'ipv6-unicast' });
      socket.write(
        message.encodeOpen({
          asn,
          holdTime: 600,
          routerId,
          capabilities: [...families, { type: 'four-octet-as', asn }],
        }),
      );
    });
    socket.on('data', (chunk: Uint8Array) => {
      const fault = framer.push(chunk, (bytes, offset, length, type) => {
        if (type === 2) count(link, bytes, offset, length);
        else if (type === 1) {
          sawOpen = true;
          socket.write(message.encodeKeepalive());
        } else if (type === 4 && sawOpen && !up) {
          up = true;
          resolve(link);
        } else if (type === 3) {
          const said = message.describeNotification(message.decodeNotification(bytes, offset, length));
          reject(new Error(said));
          if (up) process.stderr.write(`notification: ${said}\n`);
        }
      });
      if (fault !== undefined) process.stderr.write(`${fault.reason}\n`);
      link.onCount?.();
    });
    socket.on('error', (error) => reject(error));
    socket.on('close', () => reject(new Error('closed')));
  });
}

function until(links: readonly Link[], done: (link: Link) => boolean, limit: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limit * 1000);
    const look = (): void => {
      if (!links.every(done)) return;
      clearTimeout(timer);
      for (const link of links) link.onCount = undefined;
      resolve(true);
    };
    for (const link of links) link.onCount = look;
    look();
  });
}

function resident(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}
function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const round = (value: number): number => Math.round(value * 1000) / 1000;

async function table(job: Job): Promise<Record<string, number>> {
  const set = { count: job.count, perUpdate: job.perUpdate, asn: 65001, nextHop: '10.99.0.2' };
  const bytes = announcements(set);
  const gone = withdrawals(set);
  const injector = await open(job.target, '10.99.0.2', 65001);
  const receiver = await open(job.target, '10.99.0.3', 65002);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const results: Record<string, number> = {};
  const before = cpu(job.pid);
  let start = performance.now();
  injector.socket.write(bytes);
  if (!(await until([receiver], (link) => link.announced >= job.count, job.limit))) {
    return { announce: Infinity, got: receiver.announced };
  }
  results['announce'] = round((receiver.lastAt - start) / 1000);
  results['announceCpu'] = round(cpu(job.pid) - before);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  results['rss'] = Math.round(resident(job.pid));
  if (job.perUpdate === 1) return results;

  start = performance.now();
  const late = await open(job.target, '10.99.0.4', 65003);
  start = performance.now();
  results['dump'] = (await until([late], (link) => link.announced >= job.count, job.limit))
    ? round((late.lastAt - start) / 1000)
    : Infinity;
  late.socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 300));

  receiver.withdrawn = 0;
  start = performance.now();
  injector.socket.write(gone);
  results['withdraw'] = (await until([receiver], (link) => link.withdrawn >= job.count, job.limit))
    ? round((receiver.lastAt - start) / 1000)
    : Infinity;

  await new Promise((resolve) => setTimeout(resolve, 500));
  receiver.announced = receiver.withdrawn = 0;
  injector.socket.write(bytes);
  await until([receiver], (link) => link.announced >= job.count, job.limit);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  start = performance.now();
  injector.socket.resetAndDestroy();
  results['drop'] = (await until([receiver], (link) => link.withdrawn >= job.count, job.limit))
    ? round((receiver.lastAt - start) / 1000)
    : Infinity;
  return results;
}

async function mesh(job: Job): Promise<Record<string, number>> {
  const clients = job.clients ?? 100;
  const links: Link[] = [];
  for (let index = 0; index < clients; index++) links.push(await open(job.target, `10.99.1.${index + 1}`, 65000));
  const sets = links.map((_, index) =>
    announcements({
      count: job.count,
      perUpdate: job.perUpdate,
      asn: 0,
      nextHop: `10.99.1.${index + 1}`,
      from: index * job.count,
    }),
  );
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const before = cpu(job.pid);
  const start = performance.now();
  links.forEach((link, index) => link.socket.write(sets[index]!));
  const each = (clients - 1) * job.count;
  if (!(await until(links, (link) => link.announced >= each, job.limit))) {
    return { mesh: Infinity, least: Math.min(...links.map((link) => link.announced)) };
  }
  const last = Math.max(...links.map((link) => link.lastAt));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  return {
    mesh: round((last - start) / 1000),
    meshCpu: round(cpu(job.pid) - before),
    rss: Math.round(resident(job.pid)),
  };
}

async function memory(job: Job): Promise<Record<string, number>> {
  const set = { count: job.count, perUpdate: job.perUpdate, asn: 65001, nextHop: '10.99.0.2' };
  const injector = await open(job.target, '10.99.0.2', 65001, true);
  const receiver = await open(job.target, '10.99.0.3', 65002, true);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const start = performance.now();
  injector.socket.write(announcements(set));
  if ((job.count6 ?? 0) > 0) injector.socket.write(announcements({ ...set, count: job.count6 ?? 0, family: 6 }));
  const total = job.count + (job.count6 ?? 0);
  if (!(await until([receiver], (link) => link.announced >= total, job.limit)))
    return { announce: Infinity, got: receiver.announced };
  const announce = round((receiver.lastAt - start) / 1000);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  return { announce, rss: Math.round(resident(job.pid)) };
}

const job = JSON.parse(process.argv[2] ?? '{}') as Job;
const results = await (job.kind === 'mesh' ? mesh(job) : job.kind === 'memory' ? memory(job) : table(job));
process.stdout.write(`${JSON.stringify(results)}\n`);
process.exit(0);
