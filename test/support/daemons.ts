/**
 * Real BGP daemons of Debian, each in a namespace with its files in a folder of its own: FRR, BIRD, GoBGP, ExaBGP.
 * A daemon that is not installed fails the test by name.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestNetns } from './netns.ts';
import { sh, until } from './netns.ts';

/** A daemon at work. */
export interface Daemon {
  readonly folder: string;
  readonly child: ChildProcess;
  /** Its client's answer. */
  ask(command: string): string;
  /** What it printed so far. */
  log(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
  close(): void;
}

function need(path: string, debianPackage: string): void {
  if (!existsSync(path)) throw new Error(`${path} is missing: install the Debian package ${debianPackage}`);
}

function follow(child: ChildProcess): () => string {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return () => text;
}

function daemon(folder: string, children: readonly ChildProcess[], ask: (command: string) => string): Daemon {
  const logs = children.map(follow);
  const child = children.at(-1)!;
  return {
    folder,
    child,
    ask,
    log: () => logs.map((log) => log()).join('\n'),
    async stop(signal = 'SIGTERM') {
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill(signal);
      await gone;
    },
    close() {
      for (const one of children) one.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts zebra and bgpd of FRR; `config` is bgpd's. Clients ask by vtysh. */
export async function startFrr(
  netns: TestNetns,
  config: string,
  bgpdArgs: readonly string[] = [],
  beside: readonly 'bfdd'[] = [],
): Promise<Daemon> {
  need('/usr/lib/frr/bgpd', 'frr');
  const folder = mkdtempSync(join(tmpdir(), 'krb-frr-'));
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    sh('chown', ['frr:frr', path]);
    return path;
  };
  // FRR drops to its own user before it writes there.
  sh('chown', ['frr:frr', folder]);
  const common = (name: string, conf: string): string[] => [
    '-f',
    conf,
    '-i',
    join(folder, `${name}.pid`),
    '--vty_socket',
    folder,
    '-z',
    join(folder, 'zserv.api'),
    '-A',
    '127.0.0.1',
  ];
  const zebra = netns.spawn('/usr/lib/frr/zebra', [
    ...common('zebra', file('zebra.conf', 'hostname zebra\n')),
    '-P',
    '0',
  ]);
  await until('zebra', () => existsSync(join(folder, 'zserv.api')), 10_000);
  const others = beside.map((name) =>
    netns.spawn(`/usr/lib/frr/${name}`, [
      ...common(name, file(`${name}.conf`, `hostname ${name}\n`)),
      '--bfdctl',
      join(folder, 'bfdd.sock'),
    ]),
  );
  const bgpd = netns.spawn('/usr/lib/frr/bgpd', [...common('bgpd', file('bgpd.conf', config)), '-P', '0', ...bgpdArgs]);
  const made = daemon(folder, [zebra, ...others, bgpd], (command) =>
    netns.exec('vtysh', ['--vty_socket', folder, '-d', 'bgpd', '-c', command]),
  );
  await until('bgpd', () => made.ask('show version').includes('FRRouting'));
  return made;
}

/** Starts BIRD. Clients ask by birdc. */
export async function startBird(netns: TestNetns, config: string, args: readonly string[] = []): Promise<Daemon> {
  need('/usr/sbin/bird', 'bird2');
  const folder = mkdtempSync(join(tmpdir(), 'krb-bird-'));
  const conf = join(folder, 'bird.conf');
  const socket = join(folder, 'bird.ctl');
  writeFileSync(conf, config);
  const child = netns.spawn('/usr/sbin/bird', [
    '-f',
    '-c',
    conf,
    '-s',
    socket,
    '-P',
    join(folder, 'bird.pid'),
    ...args,
  ]);
  const made = daemon(folder, [child], (command) =>
    netns.exec('/usr/sbin/birdc', ['-s', socket, ...command.split(' ')]),
  );
  await until(
    'bird',
    () => {
      if (child.exitCode !== null) throw new Error(`bird ended: ${made.log()}`);
      return existsSync(socket) && made.ask('show status').includes('BIRD');
    },
    10_000,
  );
  return made;
}

/** Starts GoBGP with a TOML configuration. Clients ask by gobgp. */
export async function startGobgp(netns: TestNetns, config: string, args: readonly string[] = []): Promise<Daemon> {
  need('/usr/bin/gobgpd', 'gobgpd');
  const folder = mkdtempSync(join(tmpdir(), 'krb-gobgp-'));
  const conf = join(folder, 'gobgpd.toml');
  writeFileSync(conf, config);
  const child = netns.spawn('/usr/bin/gobgpd', ['-f', conf, '--api-hosts', '127.0.0.1:50051', ...args]);
  const made = daemon(folder, [child], (command) =>
    netns.exec('/usr/bin/gobgp', ['-p', '50051', ...command.split(' ')]),
  );
  await until('gobgpd', () => made.ask('global').includes('AS'));
  return made;
}

/** Starts ExaBGP; its log is its voice. */
export async function startExabgp(netns: TestNetns, config: string): Promise<Daemon> {
  need('/usr/sbin/exabgp', 'exabgp');
  const folder = mkdtempSync(join(tmpdir(), 'krb-exabgp-'));
  const conf = join(folder, 'exabgp.conf');
  writeFileSync(conf, config);
  const child = netns.spawn('/usr/sbin/exabgp', [conf], {
    'exabgp.daemon.user': 'root',
    'exabgp.api.cli': 'false',
    'exabgp.log.level': 'INFO',
    'exabgp.log.routes': 'true',
    'exabgp.cache.attributes': 'false',
  });
  const made = daemon(folder, [child], () => '');
  return await Promise.resolve(made);
}
