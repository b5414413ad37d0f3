/**
 * Network namespaces for tests: made under a unique name, joined by veth pairs, gone at the end whatever happened.
 * Needs root and iproute2; says so by name when it cannot.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

let count = 0;

/** Runs a program and returns what it printed. */
export function sh(file: string, args: readonly string[], input?: string): string {
  return execFileSync(file, args, {
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 30_000,
    ...(input === undefined ? {} : { input }),
  });
}

/** A namespace joined to the one that the test runs in. */
export interface TestNetns {
  readonly name: string;
  /** Addresses of our end and of the namespace's end. */
  readonly here4: string;
  readonly there4: string;
  readonly here6: string;
  readonly there6: string;
  /** Interface names of our end and of the namespace's. */
  readonly hereIf: string;
  readonly thereIf: string;
  exec(file: string, args: readonly string[]): string;
  spawn(file: string, args: readonly string[], env?: Record<string, string>): ChildProcess;
  close(): void;
}

/** What was made and must go, also when the process is ended in the middle. */
const live = new Set<TestNetns>();
process.once('exit', () => {
  for (const one of live) one.close();
});

/**
 * Makes a namespace with a veth pair: 10.{198+block}.N.1/24 and fd00:6b72:N::1/64 here, .2 and ::2 there.
 * `prefix` begins its name.
 */
export function createTestNetns(prefix: string): TestNetns {
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root');
  const id = ((process.pid & 0x3fff) << 2) + (count++ & 3);
  const name = `${prefix}${id}`;
  const hereIf = `${prefix.slice(0, 4)}${id}a`;
  const thereIf = `${prefix.slice(0, 4)}${id}b`;
  const x = 128 + ((id >>> 8) & 127);
  const y = id & 255;
  const here4 = `10.${x}.${y}.1`;
  const there4 = `10.${x}.${y}.2`;
  const here6 = `fd00:6b72:${id.toString(16)}::1`;
  const there6 = `fd00:6b72:${id.toString(16)}::2`;
  const children: ChildProcess[] = [];
  const made: TestNetns = {
    name,
    here4,
    there4,
    here6,
    there6,
    hereIf,
    thereIf,
    exec: (file, args) => sh('ip', ['netns', 'exec', name, file, ...args]),
    spawn(file, args, env) {
      const child = spawn('ip', ['netns', 'exec', name, file, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...env },
      });
      children.push(child);
      return child;
    },
    close() {
      live.delete(made);
      for (const child of children) child.kill('SIGKILL');
      try {
        // Whatever the daemons forked lives in the namespace and nowhere else.
        for (const pid of sh('ip', ['netns', 'pids', name]).split('\n').filter(Boolean))
          process.kill(Number(pid), 'SIGKILL');
      } catch {
        // Gone already.
      }
      for (const args of [
        ['link', 'del', hereIf],
        ['netns', 'del', name],
      ]) {
        try {
          sh('ip', args);
        } catch {
          // Gone already.
        }
      }
    },
  };
  live.add(made);
  try {
    sh('ip', ['netns', 'add', name]);
    sh('ip', ['link', 'add', hereIf, 'type', 'veth', 'peer', 'name', thereIf, 'netns', name]);
    sh(
      'ip',
      ['-batch', '-'],
      [`addr add ${here4}/24 dev ${hereIf}`, `addr add ${here6}/64 dev ${hereIf} nodad`, `link set ${hereIf} up`].join(
        '\n',
      ) + '\n',
    );
    sh(
      'ip',
      ['-n', name, '-batch', '-'],
      [
        'link set lo up',
        `addr add ${there4}/24 dev ${thereIf}`,
        `addr add ${there6}/64 dev ${thereIf} nodad`,
        `link set ${thereIf} up`,
      ].join('\n') + '\n',
    );
  } catch (error) {
    made.close();
    throw error;
  }
  return made;
}

/** Waits until `probe` returns something other than undefined or false; says what was awaited when it does not. */
export async function until<T>(what: string, probe: () => T | Promise<T>, timeoutMs = 20_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== null && value !== false) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
