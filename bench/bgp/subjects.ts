/**
 * The speakers that are measured: ours as the route server, and Debian's BIRD, FRR and GoBGP, all configured alike.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawn, execFileSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A speaker under measurement. */
export interface Subject {
  /** Process whose time and memory count. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** A neighbour of the subject. */
export interface Neighbour {
  readonly address: string;
  readonly asn: number;
}

/** How a subject is to be. */
export interface Setup {
  readonly netns: string;
  readonly address: string;
  readonly neighbours: readonly Neighbour[];
  /** All neighbours are route reflector clients of AS 65000. */
  readonly reflector: boolean;
  readonly families: 1 | 2;
}

/** Names of subjects. */
export const SUBJECTS = ['ours', 'bird', 'frr', 'gobgp'] as const;
/** A subject's name. */
export type SubjectName = (typeof SUBJECTS)[number];

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function started(children: readonly ChildProcess[], folder: string, ready: () => boolean): Promise<Subject> {
  const errors: string[] = [];
  for (const child of children) child.stderr?.on('data', (chunk: Buffer) => errors.push(chunk.toString()));
  const main = children.at(-1)!;
  for (let attempt = 0; !ready(); attempt++) {
    if (attempt > 150 || main.exitCode !== null) throw new Error(`the subject did not start: ${errors.join('')}`);
    await wait(100);
  }
  await wait(300);
  return {
    pid: main.pid!,
    async stop() {
      for (const child of [...children].reverse()) {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await Promise.race([gone, wait(3000)]);
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const inside = (netns: string, file: string, args: readonly string[]): ChildProcess =>
  spawn('ip', ['netns', 'exec', netns, file, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });

function ours(setup: Setup, folder: string): Promise<Subject> {
  const main =
    process.env['ROUTE_SERVER'] ?? new URL('../../examples/route-server/dist/main.js', import.meta.url).pathname;
  if (!existsSync(main)) throw new Error(`${main} is missing: npm run build`);
  const config = join(folder, 'config.json');
  writeFileSync(
    config,
    JSON.stringify({
      asn: 65000,
      routerId: '10.99.0.1',
      listen: [{ address: setup.address, port: 179 }],
      peers: setup.neighbours.map(({ address, asn }) => ({
        name: address,
        address,
        asn,
        passive: true,
        ...(setup.reflector ? { routeReflectorClient: true } : {}),
      })),
    }),
  );
  const child = inside(setup.netns, process.execPath, [main, config]);
  let listening = false;
  child.stdout?.on('data', () => (listening = true));
  return started([child], folder, () => listening);
}

function bird(setup: Setup, folder: string): Promise<Subject> {
  const conf = join(folder, 'bird.conf');
  const channels = ['ipv4', 'ipv6'].slice(0, setup.families).map((name) => `${name} { import all; export all; };`);
  writeFileSync(
    conf,
    `router id 10.99.0.1;
protocol device {}
${setup.neighbours
  .map(
    ({ address, asn }, index) => `protocol bgp p${index} {
  local ${setup.address} as 65000; neighbor ${address} as ${asn}; passive on;
  ${setup.reflector ? 'rr client; rr cluster id 10.99.0.1;' : ''}
  ${channels.join(' ')}
}`,
  )
  .join('\n')}
`,
  );
  const socket = join(folder, 'bird.ctl');
  const child = inside(setup.netns, '/usr/sbin/bird', ['-f', '-c', conf, '-s', socket, '-P', join(folder, 'pid')]);
  return started([child], folder, () => existsSync(socket));
}

function frr(setup: Setup, folder: string): Promise<Subject> {
  const conf = join(folder, 'bgpd.conf');
  const lines = setup.neighbours.map(
    ({ address, asn }) =>
      ` neighbor ${address} remote-as ${asn}\n neighbor ${address} passive\n neighbor ${address} disable-connected-check`,
  );
  const activate = setup.neighbours.map(
    ({ address }) =>
      `  neighbor ${address} activate${setup.reflector ? `\n  neighbor ${address} route-reflector-client` : ''}`,
  );
  writeFileSync(
    conf,
    `router bgp 65000
 bgp router-id 10.99.0.1
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
${lines.join('\n')}
 address-family ipv4 unicast
${activate.join('\n')}
 exit-address-family
${setup.families === 2 ? ` address-family ipv6 unicast\n${activate.join('\n')}\n exit-address-family` : ''}
`,
  );
  const zebraConf = join(folder, 'zebra.conf');
  writeFileSync(zebraConf, 'hostname zebra\n');
  execFileSync('chown', ['-R', 'frr:frr', folder]);
  const common = ['--vty_socket', folder, '-z', join(folder, 'zserv.api'), '-A', '127.0.0.1', '-P', '0'];
  const zebra = inside(setup.netns, '/usr/lib/frr/zebra', [
    '-f',
    zebraConf,
    '-i',
    join(folder, 'zebra.pid'),
    ...common,
  ]);
  const bgpd = inside(setup.netns, '/usr/lib/frr/bgpd', ['-f', conf, '-i', join(folder, 'bgpd.pid'), '-n', ...common]);
  return started([zebra, bgpd], folder, () => existsSync(join(folder, 'bgpd.vty')));
}

function gobgp(setup: Setup, folder: string): Promise<Subject> {
  const conf = join(folder, 'gobgpd.toml');
  const families = ['ipv4-unicast', 'ipv6-unicast'].slice(0, setup.families);
  writeFileSync(
    conf,
    `[global.config]
as = 65000
router-id = "10.99.0.1"
${setup.neighbours
  .map(
    ({ address, asn }) => `[[neighbors]]
[neighbors.config]
neighbor-address = "${address}"
peer-as = ${asn}
[neighbors.transport.config]
passive-mode = true
${setup.reflector ? '[neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = "10.99.0.1"\n' : ''}
${families.map((name) => `[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "${name}"`).join('\n')}`,
  )
  .join('\n')}
`,
  );
  const child = inside(setup.netns, '/usr/bin/gobgpd', ['-f', conf, '--api-hosts', '127.0.0.1:50051', '-l', 'error']);
  let ticks = 0;
  return started([child], folder, () => ++ticks > 20);
}

/** Starts a subject. */
export function startSubject(name: SubjectName, setup: Setup): Promise<Subject> {
  const folder = mkdtempSync(join(tmpdir(), `krb-bench-${name}-`));
  return { ours, bird, frr, gobgp }[name](setup, folder);
}
