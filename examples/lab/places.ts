/**
 * Makes machines out of namespaces: each place has a network, a mount table and a host name of its own, kept by one sleeping
 * process, so that several nodes run on one kernel and each sees only its own /etc/cni, /run/kube-router-sdk and sysctls.
 * Expects a private mount namespace with a writable /run around it (the guest's init, or `unshare -m` on a machine).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { run, type Finished } from './shell.ts';

/** A running place. */
export interface Place {
  readonly name: string;
  /** Pid of the process that keeps the namespaces. */
  readonly pid: number;
  /** Runs a program here and waits; never throws for its exit code. */
  run(file: string, args?: readonly string[], input?: string): Promise<Finished>;
  /** Runs a shell line here; throws when it fails. */
  sh(line: string): Promise<string>;
  /** Starts a program here and leaves it running; its output goes to `log`. */
  start(file: string, args: readonly string[], log: string, env?: Readonly<Record<string, string>>): ChildProcess;
}

/** Folders that a node may write to and that must not be shared with its neighbours or the host. */
const privateFolders = ['/run/kube-router-sdk', '/var/lib', '/etc/cni', '/etc/iproute2', '/etc/frr'];

/** Makes a place called `name`. */
export async function createPlace(name: string): Promise<Place> {
  const setup = [
    `hostname ${name}`,
    // sysfs shows the devices of the network namespace that mounted it
    'mount -t sysfs sysfs /sys 2>/dev/null || true',
    ...privateFolders.map((folder) => `mkdir -p ${folder} && mount -t tmpfs tmpfs ${folder}`),
    'mkdir -p /etc/cni/net.d',
    'ip link set lo up',
    'echo ready',
    'exec sleep infinity',
  ].join('\n');
  const keeper = spawn('unshare', ['-m', '-u', '-n', '--propagation', 'slave', 'sh', '-ec', setup], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (keeper.pid === undefined) throw new Error(`cannot make place ${name}: unshare did not start`);
  const [said] = (await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')])) as [unknown];
  if (!Buffer.isBuffer(said)) throw new Error(`cannot make place ${name}: its setup ended with ${String(said)}`);
  const pid = keeper.pid;
  const enter = ['-t', String(pid), '-m', '-u', '-n', '--'];
  await run('ip', ['netns', 'attach', name, String(pid)]);
  mkdirSync('/run/lab/places', { recursive: true });
  writeFileSync(`/run/lab/places/${name}`, String(pid));
  const place: Place = {
    name,
    pid,
    run: (file, args = [], input) => run('nsenter', [...enter, file, ...args], input),
    sh: async (line) => {
      const result = await place.run('sh', ['-ec', line]);
      if (result.code !== 0) throw new Error(`${name}: \`${line}\` ended with ${result.code}: ${result.stderr.trim()}`);
      return result.stdout;
    },
    start: (file, args, log, env = {}) =>
      spawn('sh', ['-c', 'log=$1; shift; exec "$@" >>"$log" 2>&1', 'sh', log, 'nsenter', ...enter, file, ...args], {
        stdio: 'ignore',
        env: { ...process.env, ...env },
      }),
  };
  return place;
}
