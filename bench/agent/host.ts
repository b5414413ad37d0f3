/**
 * The agent on this machine's own kernel, in a network namespace: everything but the service proxy, for most kernels of build machines
 * lack IPVS. What a start costs where system calls take what they take.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rig } from '../../test/support/agent-rig.ts';

/** What was measured. */
export interface HostCost {
  /** Milliseconds from exec to ready, over an empty kernel and over one that holds everything. */
  readonly coldMs: number;
  readonly warmMs: number;
  /** Resident memory when idle, MB. */
  readonly rssMb: number;
  /** Share of a core when idle, percent. */
  readonly cpu: number;
}

/** Where it runs, how it is called, and for how many seconds idleness is looked at. */
export interface HostOptions {
  readonly netns: string;
  readonly flags: readonly string[];
  readonly idle: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Measures; the namespace has its addresses already. */
export async function measureHost({ netns, flags, idle }: HostOptions): Promise<HostCost> {
  const folder = mkdtempSync(join(tmpdir(), 'kra-bench-'));
  const log = openSync(join(folder, 'log'), 'a');
  const inside = ['netns', 'exec', netns];
  const args = [...flags, '--run-service-proxy=false', `--state-dir=${folder}/state`, `--run-dir=${folder}/run`];
  const ready = (): boolean => {
    try {
      const url = 'http://127.0.0.1:20244/readyz';
      const said = execFileSync('ip', [...inside, 'curl', '-s', '--max-time', '2', url], { encoding: 'utf8' });
      return said.trim() === 'OK';
    } catch {
      // Nobody listens yet.
      return false;
    }
  };
  let running: ChildProcess | undefined;
  const start = async (): Promise<readonly [agent: ChildProcess, ms: number]> => {
    const began = performance.now();
    const agent = spawn('ip', [...inside, rig.node, rig.main, 'run', ...args], { stdio: ['ignore', log, log] });
    running = agent;
    while (!ready()) {
      if (performance.now() - began > 60_000)
        throw new Error(`not ready after a minute: ${readFileSync(join(folder, 'log'), 'utf8').slice(-2000)}`);
      await pause(20);
    }
    return [agent, performance.now() - began];
  };
  const end = async (agent: ChildProcess): Promise<void> => {
    const gone = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill('SIGKILL');
    await gone;
  };
  const of = (agent: ChildProcess, file: string): string => readFileSync(`/proc/${agent.pid}/${file}`, 'utf8');
  const seconds = (agent: ChildProcess): number => {
    const fields = of(agent, 'stat').split(') ')[1]!.split(' ');
    return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / 100;
  };
  try {
    const [first, coldMs] = await start();
    // The snapshot of the first pictures is written half a minute after the start.
    await pause(45_000);
    const before = seconds(first);
    await pause(idle * 1000);
    const cpu = ((seconds(first) - before) / idle) * 100;
    const rssMb = Number(/VmRSS:\s+(\d+)/.exec(of(first, 'status'))?.[1]) / 1024;
    await end(first);
    const [second, warmMs] = await start();
    await end(second);
    return { coldMs, warmMs, rssMb, cpu };
  } finally {
    running?.kill('SIGKILL');
    closeSync(log);
    rmSync(folder, { recursive: true, force: true });
  }
}
