/**
 * `npm run bench -- bgp [subject…]`: announce, dump, withdraw, drop, mesh and memory of our speaker and of Debian's, side by side.
 * Two namespaces joined by a veth pair: the subject in one, injector and receivers in the other. Medians of BGP_BENCH_RUNS runs.
 */
import { execFileSync } from 'node:child_process';
import type { Neighbour, SubjectName } from './subjects.ts';
import { SUBJECTS, startSubject } from './subjects.ts';
import type { Job } from './tester.ts';

const PREFIX = 'krb-bench';
const ip = (...args: readonly string[]): string =>
  execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function teardown(): void {
  for (const name of [`${PREFIX}-s`, `${PREFIX}-t`]) {
    try {
      ip('netns', 'del', name);
    } catch {
      // Not there.
    }
  }
}

function setup(): void {
  teardown();
  ip('netns', 'add', `${PREFIX}-s`);
  ip('netns', 'add', `${PREFIX}-t`);
  ip('-n', `${PREFIX}-s`, 'link', 'add', 'krbs', 'type', 'veth', 'peer', 'name', 'krbt', 'netns', `${PREFIX}-t`);
  for (const [ns, link] of [
    ['s', 'krbs'],
    ['t', 'krbt'],
  ] as const) {
    ip('-n', `${PREFIX}-${ns}`, 'link', 'set', 'lo', 'up');
    ip('-n', `${PREFIX}-${ns}`, 'link', 'set', link, 'up');
  }
  ip('-n', `${PREFIX}-s`, 'addr', 'add', '10.99.0.1/16', 'dev', 'krbs');
  ip('-n', `${PREFIX}-s`, 'addr', 'add', 'fd99::1/64', 'dev', 'krbs', 'nodad');
  for (const last of [2, 3, 4]) ip('-n', `${PREFIX}-t`, 'addr', 'add', `10.99.0.${last}/16`, 'dev', 'krbt');
  for (let last = 1; last <= 100; last++) ip('-n', `${PREFIX}-t`, 'addr', 'add', `10.99.1.${last}/16`, 'dev', 'krbt');
}

const tables: readonly Neighbour[] = [2, 3, 4].map((last) => ({ address: `10.99.0.${last}`, asn: 64999 + last }));
const clients: readonly Neighbour[] = Array.from({ length: 100 }, (_, index) => ({
  address: `10.99.1.${index + 1}`,
  asn: 65000,
}));

interface Load {
  readonly name: string;
  readonly job: Omit<Job, 'target' | 'pid'>;
  readonly neighbours: readonly Neighbour[];
  readonly reflector: boolean;
  readonly families: 1 | 2;
}

const limit = Number(process.env['BGP_BENCH_LIMIT'] ?? 120);
const scale = Number(process.env['BGP_BENCH_SCALE'] ?? 1);
const LOADS: readonly Load[] = [
  {
    name: '500k-10',
    job: { kind: 'table', count: 500_000 * scale, perUpdate: 10, limit },
    neighbours: tables,
    reflector: false,
    families: 1,
  },
  {
    name: '500k-1',
    job: { kind: 'table', count: 500_000 * scale, perUpdate: 1, limit },
    neighbours: tables,
    reflector: false,
    families: 1,
  },
  {
    name: 'mesh-100',
    job: { kind: 'mesh', count: 1000 * scale, perUpdate: 10, clients: 100, limit },
    neighbours: clients,
    reflector: true,
    families: 1,
  },
  {
    name: '1M',
    job: { kind: 'memory', count: 1_000_000 * scale, perUpdate: 10, limit },
    neighbours: tables,
    reflector: false,
    families: 1,
  },
  {
    name: '1M+200k6',
    job: { kind: 'memory', count: 1_000_000 * scale, count6: 200_000 * scale, perUpdate: 10, limit },
    neighbours: tables,
    reflector: false,
    families: 2,
  },
];

async function once(name: SubjectName, load: Load): Promise<Record<string, number>> {
  const subject = await startSubject(name, {
    netns: `${PREFIX}-s`,
    address: '10.99.0.1',
    neighbours: load.neighbours,
    reflector: load.reflector,
    families: load.families,
  });
  try {
    const job: Job = { ...load.job, target: '10.99.0.1', pid: subject.pid };
    const tester = new URL('tester.ts', import.meta.url).pathname;
    const said = execFileSync(
      'ip',
      ['netns', 'exec', `${PREFIX}-t`, process.execPath, '--max-semi-space-size=64', tester, JSON.stringify(job)],
      {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
        timeout: limit * 8000,
      },
    );
    return JSON.parse(said) as Record<string, number>;
  } finally {
    await subject.stop();
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** What ours must reach: at most so many times BIRD's figure, or so much. Times in seconds, memory in MiB. */
const MUST: readonly {
  readonly load: string;
  readonly key: string;
  readonly times?: number;
  readonly most?: number;
}[] = [
  { load: '500k-10', key: 'announce', times: 1 },
  { load: '500k-10', key: 'dump', times: 0.2 },
  { load: '500k-10', key: 'withdraw', times: 1 },
  { load: '500k-10', key: 'drop', times: 1 },
  { load: '500k-10', key: 'rss', most: 160 },
  { load: '500k-1', key: 'announce', times: 1 },
  { load: 'mesh-100', key: 'mesh', times: 0.15 },
  { load: '1M', key: 'rss', most: 230 },
  { load: '1M+200k6', key: 'rss', most: 300 },
];
/** A run that took so long is not repeated. */
const SLOW_MS = 60_000;

/** Runs every subject in turn, again and again, so that whatever else the machine does falls on all of them. */
async function measure(
  load: Load,
  names: readonly SubjectName[],
  runs: number,
): Promise<Map<string, Record<string, number>>> {
  const results = new Map<SubjectName, Record<string, number>[]>(names.map((name) => [name, []]));
  const slow = new Set<SubjectName>();
  for (let run = 0; run < runs; run++) {
    for (const name of names) {
      if (slow.has(name)) continue;
      const began = performance.now();
      try {
        results.get(name)!.push(await once(name, load));
      } catch (error) {
        const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
        process.stdout.write(`${load.name} ${name}: ${reason}\n`);
      }
      if (performance.now() - began > SLOW_MS) slow.add(name);
    }
  }
  const medians = new Map<string, Record<string, number>>();
  for (const [name, list] of results) {
    const keys = [...new Set(list.flatMap((one) => Object.keys(one)))];
    const line = Object.fromEntries(keys.map((key) => [key, median(list.map((one) => one[key] ?? Infinity))]));
    medians.set(name, line);
    const shown = Object.entries(line).map(([key, value]) => `${key}=${value}`);
    process.stdout.write(`${load.name.padEnd(10)} ${name.padEnd(6)} ${shown.join(' ')}\n`);
  }
  return medians;
}

/** One line for each demand that the figures can answer; returns how many were missed. */
function judge(load: string, medians: ReadonlyMap<string, Readonly<Record<string, number>>>): number {
  let missed = 0;
  for (const { load: of, key, times, most } of MUST) {
    const ours = medians.get('ours')?.[key];
    const bird = medians.get('bird')?.[key];
    if (of !== load || ours === undefined || (times !== undefined && bird === undefined)) continue;
    const held = times === undefined ? ours <= most! : ours <= times * bird!;
    const seen = times === undefined ? `${ours} MiB` : `${(ours / bird!).toFixed(2)} × BIRD (${ours} s, ${bird} s)`;
    const asked = times === undefined ? `≤ ${most} MiB` : `≤ ${times} ×`;
    process.stdout.write(`${held ? 'held  ' : 'MISSED'} ${load} ${key}: ${seen}, asked ${asked}\n`);
    if (!held) missed++;
  }
  return missed;
}

const wanted = process.argv.slice(2).filter((one): one is SubjectName => (SUBJECTS as readonly string[]).includes(one));
const only = process.argv.slice(2).filter((one) => LOADS.some((load) => load.name === one));
const runs = Number(process.env['BGP_BENCH_RUNS'] ?? 3);
let missed = 0;
setup();
try {
  for (const load of LOADS) {
    if (only.length > 0 && !only.includes(load.name)) continue;
    missed += judge(load.name, await measure(load, wanted.length > 0 ? wanted : SUBJECTS, runs));
  }
} finally {
  teardown();
}
process.exit(missed === 0 ? 0 : 1);
