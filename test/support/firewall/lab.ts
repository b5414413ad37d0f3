/**
 * A node in a network namespace with pods behind it, dual stack and routed, each with one process that answers and probes.
 * Everything carries a prefix of its own and is removed at the end, whatever happens.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { createRunner } from '../../../src/kernel/index.ts';
import type { Runner } from '../../../src/kernel/index.ts';

/** A pod of the lab, or a machine outside. */
export interface LabPod {
  readonly ips: readonly string[];
  readonly ports?: readonly number[];
}

/** What became of a probe. */
export type Outcome = 'passed' | 'rejected' | 'dropped' | (string & {});

/** The running lab. */
export interface Lab extends AsyncDisposable {
  readonly runner: Runner;
  /** Path of the node's network namespace. */
  readonly netns: string;
  /** Runs a command in the node. */
  inNode(file: string, args: readonly string[], input?: string): string;
  probe(from: string, protocol: 'tcp' | 'udp', host: string, port: number): Promise<Outcome>;
  /** Opens a TCP connection that stays. */
  open(from: string, name: string, host: string, port: number): Promise<Outcome>;
  /** Sends over a connection and waits for the echo. */
  ping(from: string, name: string): Promise<Outcome>;
}

const NODE = { 4: '10.99.0.1', 6: 'fd00:99::1' };

function run(file: string, args: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { input, encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** Builds the lab; the node's own name is `node` in probes. */
export async function createLab(pods: Readonly<Record<string, LabPod>>): Promise<Lab> {
  const prefix = `krf-${process.pid}-${Math.floor(performance.now())}`;
  const node = `${prefix}-n`;
  const made: string[] = [];
  const processes = new Map<string, { child: ChildProcess; wait: Map<number, (result: string) => void> }>();
  let next = 0;

  const namespace = (name: string): string => {
    run('ip', ['netns', 'add', name]);
    made.push(name);
    run('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
    return name;
  };
  const start = async (name: string, space: string, { ips, ports = [80, 81] }: LabPod): Promise<void> => {
    const program = new URL('pod-process.js', import.meta.url).pathname;
    const args = ['netns', 'exec', space, process.execPath, program, ips.join(','), ports.join(',')];
    const child = spawn('ip', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const wait = new Map<number, (result: string) => void>();
    processes.set(name, { child, wait });
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`${name} ended`)));
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line === 'ready') return resolve();
        const { id, result } = JSON.parse(line) as { id: number; result: string };
        wait.get(id)?.(result);
        wait.delete(id);
      });
    });
  };
  const close = async (): Promise<void> => {
    await Promise.all(
      [...processes.values()].map(
        ({ child }) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) return resolve();
            child.once('exit', () => resolve());
            child.kill('SIGKILL');
          }),
      ),
    );
    for (const name of made) spawnSync('ip', ['netns', 'del', name]);
  };
  const ask = (from: string, question: object): Promise<string> => {
    const { child, wait } = processes.get(from)!;
    const id = next++;
    return new Promise((resolve) => {
      wait.set(id, resolve);
      child.stdin!.write(`${JSON.stringify({ id, ...question })}\n`);
    });
  };

  try {
    namespace(node);
    for (const key of [
      'net.ipv4.ip_forward',
      'net.ipv6.conf.all.forwarding',
      'net.ipv4.icmp_ratelimit=0',
      'net.ipv6.icmp.ratelimit=0',
    ]) {
      run('ip', ['netns', 'exec', node, 'sysctl', '-qw', key.includes('=') ? key : `${key}=1`]);
    }
    run('ip', ['-n', node, 'addr', 'add', `${NODE[4]}/32`, 'dev', 'lo']);
    run('ip', ['-n', node, 'addr', 'add', `${NODE[6]}/128`, 'dev', 'lo', 'nodad']);
    let index = 0;
    for (const [name, pod] of Object.entries(pods)) {
      const space = namespace(`${prefix}-${index}`);
      const link = `v${index++}`;
      run('ip', ['-n', node, 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space]);
      const lines = (where: string, batch: readonly string[]): string =>
        run('ip', ['-n', where, '-batch', '-'], `${batch.join('\n')}\n`);
      lines(node, [
        `link set ${link} up`,
        `addr add 169.254.1.1/32 dev ${link}`,
        `addr add fe80::1/64 dev ${link} nodad`,
        ...pod.ips.map((ip) => `route add ${ip}/${ip.includes(':') ? 128 : 32} dev ${link}`),
      ]);
      lines(space, [
        'link set eth0 up',
        'route add 169.254.1.1 dev eth0 scope link',
        'route add default via 169.254.1.1',
        ...pod.ips.map(
          (ip) => `addr add ${ip}/${ip.includes(':') ? '128' : '32'} dev eth0${ip.includes(':') ? ' nodad' : ''}`,
        ),
        'route add default via fe80::1 dev eth0',
      ]);
      await start(name, space, pod);
    }
    await start('node', node, { ips: [NODE[4], NODE[6]], ports: [80] });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    runner: createRunner(),
    netns: `/run/netns/${node}`,
    inNode: (file, args, input) => run('ip', ['netns', 'exec', node, file, ...args], input),
    probe: (from, protocol, host, port) => ask(from, { protocol, host, port }),
    open: (from, name, host, port) => ask(from, { protocol: 'tcp', host, port, open: name }),
    ping: (from, name) => ask(from, { ping: name }),
    [Symbol.asyncDispose]: close,
  };
}
