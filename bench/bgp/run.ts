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

const wanted = process.argv.slice(2).filter((one): one is SubjectName => (SUBJECTS as readonly string[]).includes(one));
const only = process.argv.slice(2).filter((one) => LOADS.some((load) => load.name === one));
const runs = Number(process.env['BGP_BENCH_RUNS'] ?? 3);
setup();
try {
  for (const load of LOADS) {
    if (only.length > 0 && !only.includes(load.name)) continue;
    for (const name of wanted.length > 0 ? wanted : SUBJECTS) {
      const results: Record<string, number>[] = [];
      for (let run = 0; run < runs; run++) {
        try {
          results.push(await once(name, load));
        } catch (error) {
          process.stdout.write(
            `${load.name} ${name}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}\n`,
          );
        }
      }
      const keys = [...new Set(results.flatMap((one) => Object.keys(one)))];
      const line = keys.map((key) => `${key}=${median(results.map((one) => one[key] ?? Infinity))}`).join(' ');
      process.stdout.write(`${load.name.padEnd(10)} ${name.padEnd(6)} ${line}\n`);
    }
  }
} finally {
  teardown();
}
