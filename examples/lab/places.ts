/**
 * Makes machines out of namespaces: each place has a network, a mount table and a host name of its own, kept by one shell,
 * so that several nodes run on one kernel and each sees only its own /etc/cni, /run/kube-router-sdk and sysctls.
 * Expects a private mount namespace with a writable /run around it, as the guest has.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { must, openShell, type Shell } from './shell.ts';

/** A running place. */
export interface Place extends Omit<Shell, 'process'> {
  readonly name: string;
  /** Pid of the process that keeps the namespaces. */
  readonly pid: number;
  /** Starts a program here and leaves it running; its output goes to `log`. */
  start(file: string, args: readonly string[], log: string): ChildProcess;
}

/** Folders that a node may write to and that must not be shared with its neighbours. */
const privateFolders = ['/run/kube-router-sdk', '/var/lib', '/etc/cni', '/etc/iproute2'];

/** Makes a place called `name`. */
export async function createPlace(name: string): Promise<Place> {
  const setup = [
    `hostname ${name}`,
    // sysfs shows the devices of the network namespace that mounted it
    'mount -t sysfs sysfs /sys',
    `mkdir -p ${privateFolders.join(' ')}`,
    ...privateFolders.map((folder) => `mount -t tmpfs tmpfs ${folder}`),
    'mkdir -p /etc/cni/net.d',
    'ip link set lo up',
  ].join('\n');
  const shell = openShell(name, ['unshare', '-m', '-u', '-n', '--propagation', 'slave', 'sh'], setup);
  // the first answer says that the namespaces are there
  await shell.sh('true');
  const pid = shell.process.pid;
  if (pid === undefined) throw new Error(`cannot make place ${name}: unshare did not start`);
  await must('ip', ['netns', 'attach', name, String(pid)]);
  mkdirSync('/run/lab/places', { recursive: true });
  writeFileSync(`/run/lab/places/${name}`, String(pid));
  return {
    name,
    pid,
    run: shell.run,
    sh: shell.sh,
    ip: shell.ip,
    start: (file, args, log) =>
      spawn(
        'sh',
        [
          '-c',
          'log=$1; shift; exec "$@" >>"$log" 2>&1',
          'sh',
          log,
          'nsenter',
          '-t',
          String(pid),
          '-m',
          '-u',
          '-n',
          '--',
          file,
          ...args,
        ],
        { stdio: 'ignore' },
      ),
  };
}
