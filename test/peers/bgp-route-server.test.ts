/**
 * The example route server from outside, as its README promises: the built program, one file of configuration, BIRD as its peers.
 * Each key of the configuration is seen to do what it says; whatever is wrong in the file is refused with its path.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Daemon } from '../support/daemons.ts';
import type { Scene } from '../support/bgp.ts';
import { bird, netns, pause, tidy, undo } from '../support/bgp.ts';
import type { TestNetns } from '../support/netns.ts';
import { sh, until } from '../support/netns.ts';

const main = fileURLToPath(new URL('../../examples/route-server/dist/main.js', import.meta.url));
beforeAll(() => {
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
});
afterEach(tidy);

function fileOf(config: unknown): string {
  const folder = mkdtempSync(join(tmpdir(), 'krbg-rs-'));
  undo(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'config.json');
  writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  return file;
}

interface Server {
  readonly child: ChildProcess;
  readonly said: () => string;
  readonly complained: () => string;
}

async function serve(config: unknown): Promise<Server> {
  const child = spawn(process.execPath, [main, fileOf(config)], { stdio: ['ignore', 'pipe', 'pipe'] });
  undo(() => void child.kill('SIGKILL'));
  let [said, complained] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complained += chunk.toString()));
  await until('the server', () => said.includes('listening\n')).catch((error: unknown) => {
    throw new Error(`not listening: ${said} ${complained}`, { cause: error });
  });
  return { child, said: () => said, complained: () => complained };
}

const configOf = (spaces: readonly TestNetns[], peers: readonly object[], more: object = {}): object => ({
  asn: 65001,
  routerId: '10.0.0.1',
  listen: spaces.flatMap(({ here4, here6 }) => [here4, here6]).map((address) => ({ address, port: 179 })),
  peers,
  ...more,
});

const details = (daemon: Daemon): string => daemon.ask('show protocols all speaker');
const established = (daemon: Daemon): boolean => details(daemon).includes('Established');

/** One BIRD and the server: what is configured on both sides, and what BIRD says of it. */
const KEYS: readonly {
  readonly name: string;
  readonly peer?: (ns: TestNetns) => object;
  readonly server?: object;
  readonly scene?: Scene;
  /** What `show protocols all` shows once the session is up; `false`: it never comes up. */
  readonly shows: RegExp | false;
}[] = [
  { name: 'nothing but what must be there: hold time 90 s', shows: /Hold timer:.*\/90/ },
  { name: 'holdTime', server: { holdTime: 9 }, shows: /Hold timer:.*\/9\n/ },
  { name: 'passive', peer: () => ({ passive: true }), shows: /Established/ },
  {
    name: 'port',
    peer: () => ({ port: 1179 }),
    scene: { neighbour: 'passive on; local port 1179;' },
    shows: /Established/,
  },
  {
    name: 'password',
    peer: () => ({ password: 'correct horse' }),
    scene: { neighbour: 'password "correct horse";' },
    shows: /Established/,
  },
  { name: 'password, another', peer: () => ({ password: 'a' }), scene: { neighbour: 'password "b";' }, shows: false },
  {
    name: 'ttlSecurity',
    peer: () => ({ ttlSecurity: true }),
    scene: { neighbour: 'ttl security on;' },
    shows: /Established/,
  },
  { name: 'ttlSecurity on one side', peer: () => ({ ttlSecurity: true }), shows: false },
  { name: 'multihop', peer: () => ({ multihop: true }), scene: { neighbour: 'multihop 3;' }, shows: /Established/ },
  {
    name: 'multihop, a number',
    peer: () => ({ multihop: 3 }),
    scene: { neighbour: 'multihop;' },
    shows: /Established/,
  },
  {
    name: 'families',
    peer: () => ({ families: ['ipv6-unicast'] }),
    shows: /Neighbor capabilities\s+Multiprotocol\s+AF announced: ipv6\n/,
  },
  {
    name: 'addPath',
    peer: () => ({ addPath: 'both' }),
    scene: { family: 'add paths on;' },
    shows: /Neighbor capabilities[\s\S]*ADD-PATH\s+RX: ipv4 ipv6\s+TX: ipv4 ipv6/,
  },
  {
    name: 'gracefulRestart',
    peer: () => ({ gracefulRestart: { restartTime: 77 } }),
    shows: /Neighbor capabilities[\s\S]*Graceful restart\s+Restart time: 77/,
  },
  {
    name: 'localAddress, over IPv6',
    peer: (ns) => ({ address: ns.there6, localAddress: ns.here6 }),
    scene: { over6: true },
    shows: /Established/,
  },
];

describe('each key of a peer', () => {
  it.each(KEYS)('$name', async ({ peer, server, scene = {}, shows }) => {
    const ns = netns();
    const daemon = await bird(ns, scene);
    const config = configOf([ns], [{ name: 'it', address: ns.there4, asn: 65000, ...peer?.(ns) }], server);
    const { said, complained } = await serve(config);
    if (shows === false) {
      for (let second = 0; second < 6; second++) {
        await pause(1000);
        expect(established(daemon)).toBe(false);
      }
    } else {
      await until('the session', () => established(daemon));
      expect(details(daemon)).toMatch(shows);
    }
    expect(said()).toBe('listening\n');
    expect(complained()).toBe('');
  });

  it('bfd: up with it, and down with it', async () => {
    const ns = netns();
    const daemon = await bird(ns, {
      neighbour: 'bfd on;',
      global: 'protocol bfd { interface "*" { interval 100 ms; multiplier 3; }; }',
    });
    const bfd = { interval: 100, multiplier: 3 };
    await serve(configOf([ns], [{ name: 'it', address: ns.there4, asn: 65000, bfd }]));
    await until('BFD', () => established(daemon) && /Up/.test(daemon.ask('show bfd sessions')));
    daemon.child.kill('SIGSTOP');
    await pause(1000);
    daemon.child.kill('SIGCONT');
    await until('the fall', () => /BFD|Received/.test(details(daemon)) || !established(daemon));
  });
});

describe('an ordinary speaker', () => {
  it('eBGP: its AS is prepended and its address is the next hop, both families; SIGTERM says Cease', async () => {
    const [left, right] = [netns(), netns()];
    await bird(left, { own: 65002 });
    const listener = await bird(right, { own: 65003, id: '10.0.0.253', originates: [] });
    const { child, said } = await serve(
      configOf(
        [left, right],
        [
          { name: 'left', address: left.there4, asn: 65002 },
          { name: 'right', address: right.there4, asn: 65003 },
        ],
      ),
    );
    const told = (prefix: string): string => listener.ask(`show route for ${prefix} all`);
    await until('both families', () => told('192.0.2.0/24').includes('BGP') && told('2001:db8:f::/48').includes('BGP'));
    expect(told('192.0.2.0/24')).toMatch(/BGP\.as_path: 65001 65002\n/);
    expect(told('192.0.2.0/24')).toContain(`BGP.next_hop: ${right.here4}`);
    expect(told('2001:db8:f::/48')).toMatch(/BGP\.as_path: 65001 65002\n/);
    expect(told('2001:db8:f::/48')).toContain(`BGP.next_hop: ${right.here6}`);
    const over = new Promise<number | null>((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    expect(await over).toBe(0);
    await until('its word', () => /Received: Administrative shutdown/.test(details(listener)));
    expect(said()).toBe('listening\n');
  });

  it('iBGP: clients are reflected to with next hop, originator and cluster', async () => {
    const [left, right] = [netns(), netns()];
    const scene = { own: 65001 };
    await bird(left, scene);
    const listener = await bird(right, { ...scene, id: '10.0.0.253', originates: [] });
    await serve(
      configOf(
        [left, right],
        [left, right].map((ns, index) => ({
          name: `client ${index}`,
          address: ns.there4,
          asn: 65001,
          routeReflectorClient: true,
        })),
        { clusterId: '10.9.9.9' },
      ),
    );
    const told = (): string => listener.ask('show route for 192.0.2.0/24 all');
    await until('the route', () => told().includes('BGP'));
    expect(told()).toMatch(/BGP\.as_path: ?\n/);
    expect(told()).toContain(`BGP.next_hop: ${left.there4}`);
    expect(told()).toContain('BGP.originator_id: 10.0.0.254');
    expect(told()).toContain('BGP.cluster_list: 10.9.9.9');
  });
});

describe('what is wrong is refused with its path, on standard error, and nothing is listened on', () => {
  const good = {
    asn: 65001,
    routerId: '10.0.0.1',
    listen: [{ address: '127.0.0.1', port: 1 }],
    peers: [{ name: 'a', address: '127.0.0.2', asn: 65000 }],
  };
  const peer = (more: object): object => ({ ...good, peers: [{ ...good.peers[0], ...more }] });
  it.each([
    ['{', 'JSON'],
    [{ ...good, extra: 1 }, 'extra'],
    [{ ...good, listen: [{ address: '127.0.0.1', port: 1, backlog: 1 }] }, 'listen[0].backlog'],
    [{ ...good, listen: [{ address: 'localhost', port: 1 }] }, 'listen[0].address'],
    [{ ...good, listen: [{ address: '127.0.0.1', port: 65_536 }] }, 'listen[0].port'],
    [{ ...good, asn: 0 }, 'asn'],
    [{ ...good, asn: 4_294_967_296 }, 'asn'],
    [{ ...good, routerId: '0.0.0.0' }, 'routerId'],
    [{ ...good, routerId: '010.0.0.1' }, 'routerId'],
    [{ ...good, holdTime: 2 }, 'holdTime'],
    [{ ...good, clusterId: 'x' }, 'clusterId'],
    [peer({ colour: 'red' }), 'peers[0].colour'],
    [peer({ name: 7 }), 'peers[0].name'],
    [peer({ address: '127.0.0.300' }), 'peers[0].address'],
    [peer({ localAddress: '::ffff::1' }), 'peers[0].localAddress'],
    [peer({ port: 0 }), 'peers[0].port'],
    [peer({ asn: -1 }), 'peers[0].asn'],
    [peer({ passive: 'yes' }), 'peers[0].passive'],
    [peer({ multihop: 256 }), 'peers[0].multihop'],
    [peer({ routeReflectorClient: 1 }), 'peers[0].routeReflectorClient'],
    [peer({ password: '' }), 'peers[0].password'],
    [peer({ password: 'x'.repeat(81) }), 'peers[0].password'],
    [peer({ ttlSecurity: 255 }), 'peers[0].ttlSecurity'],
    [peer({ families: [] }), 'peers[0].families'],
    [peer({ families: ['ipv4'] }), 'peers[0].families[0]'],
    [peer({ addPath: true }), 'peers[0].addPath'],
    [peer({ gracefulRestart: {} }), 'peers[0].gracefulRestart.restartTime'],
    [peer({ gracefulRestart: { restartTime: 4096 } }), 'peers[0].gracefulRestart.restartTime'],
    [peer({ bfd: { interval: 100 } }), 'peers[0].bfd.multiplier'],
    [peer({ bfd: { interval: 0, multiplier: 3 } }), 'peers[0].bfd.interval'],
    [{ ...good, peers: [good.peers[0], { ...good.peers[0], name: 'b' }] }, 'peers[1].address'],
  ] as const)('%j', (config, path) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, fileOf(config)], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(path);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('an address that is taken: one line, and an exit code', () => {
    const held = spawn(process.execPath, ['-e', 'require("net").createServer().listen(18179, "127.0.0.9")']);
    undo(() => void held.kill('SIGKILL'));
    sh('sleep', ['1']);
    const config = { ...good, listen: [{ address: '127.0.0.9', port: 18_179 }] };
    const { status, stderr } = spawnSync(process.execPath, [main, fileOf(config)], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/cannot listen on 127\.0\.0\.9 port 18179: EADDRINUSE/);
  });
});
