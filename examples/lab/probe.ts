/** Connections from a place in the lab, and what came back: which pod answered and which source address it saw. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Place } from './places.ts';

const script = fileURLToPath(new URL('probe.pl', import.meta.url));

/** The outcome of one connection. */
export interface Attempt {
  /** Start, epoch milliseconds. */
  readonly at: number;
  /** Name of the pod that answered; undefined when none did. */
  readonly pod?: string;
  /** Source address that the pod saw. */
  readonly source?: string;
  /** `refused`, `timeout`, `unreachable`, `connection-reset-by-peer`, when it failed. */
  readonly failure?: string;
}

/** How to probe. */
export interface ProbeOptions {
  readonly count?: number;
  /** Milliseconds between starts. */
  readonly intervalMs?: number;
  /** Milliseconds that one connection may take. */
  readonly timeoutMs?: number;
  /** First source port; 0 lets the kernel choose. */
  readonly firstPort?: number;
}

/** Anywhere a probe can start: a machine of the lab or a pod's namespace. */
export type From = Pick<Place, 'run'>;

const options = ({ count = 1, intervalMs = 0, timeoutMs = 1000, firstPort = 0 }: ProbeOptions): string[] =>
  [count, intervalMs, timeoutMs, firstPort].map(String);

/** Makes `count` connections and waits for all. */
export async function probe(from: From, address: string, port: number, how: ProbeOptions = {}): Promise<Attempt[]> {
  const { stdout, stderr } = await from.run('perl', [script, address, String(port), ...options(how)]);
  const attempts = stdout.trim().split('\n').filter(Boolean).map(parseAttempt);
  if (attempts.length === 0) throw new Error(`the probe of ${address} did not run: ${stderr.trim()}`);
  return attempts;
}

/** A probe that goes on until `stop()`, for what happens during a change. */
export interface Watch {
  stop(): Promise<Attempt[]>;
  readonly attempts: readonly Attempt[];
}

/** Starts connecting every `intervalMs` from the network namespace at `netns`, in the background. */
export function watch(netns: string, address: string, port: number, how: ProbeOptions): Watch {
  const args = [`--net=${netns}`, '--', 'perl', script, address, String(port)];
  const child = spawn('nsenter', [...args, ...options({ count: 1_000_000, ...how })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const attempts: Attempt[] = [];
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) attempts.push(parseAttempt(line));
  });
  return {
    attempts,
    stop: () =>
      new Promise((resolve) => {
        child.on('close', () => {
          resolve(attempts);
        });
        child.kill();
      }),
  };
}

function parseAttempt(line: string): Attempt {
  const [at = '', pod = '', rest = ''] = line.split(' ');
  return pod === '-' ? { at: Number(at), failure: rest } : { at: Number(at), pod, source: rest };
}
