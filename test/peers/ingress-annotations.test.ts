/**
 * Annotations of a Node while the agent runs, with BIRD as the judge: each takes effect without a restart and without touching the session,
 * a bad one is reported on its node, and the rest stays in force. The built agent reads manifests, so a change is an edit of a file.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';

const main = fileURLToPath(new URL('../../examples/agent/dist/main.js', import.meta.url));
const id = `krra-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'krra-'));
const sh = (text: string): string =>
  execFileSync('/bin/sh', ['-c', text], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const bird = (question: string): string => sh(`ip netns exec ${id}-r birdc -s ${folder}/bird.ctl '${question}'`);
const eventually = (check: () => void, timeout = 30_000): Promise<void> =>
  vi.waitFor(check, { timeout, interval: 200 });
const children: ChildProcess[] = [];
let log = '';

const PEERS = '- {remoteip: 10.0.0.254, remoteasn: 65000}';
/** Writes the node's manifest in one step. */
function annotate(annotations: Readonly<Record<string, string>>): void {
  const node = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'n1',
      annotations: Object.fromEntries(
        Object.entries({ peers: PEERS, ...annotations }).map(([key, value]) => [`kube-router.io/${key}`, value]),
      ),
    },
    spec: { podCIDRs: ['10.244.1.0/24'] },
    status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] },
  };
  writeFileSync(join(folder, 'next'), JSON.stringify(node));
  renameSync(join(folder, 'next'), join(folder, 'manifests', 'n1.json'));
}
const flags = [
  `--manifests=${folder}/manifests`,
  '--hostname-override=n1',
  '--run-service-proxy=false',
  '--run-firewall=false',
  '--enable-cni=false',
  '--enable-overlay=false',
  '--health-port=0',
  `--run-dir=${folder}/run`,
  `--state-dir=${folder}/state`,
];
const agent = (command: string, ...more: string[]): string[] => [
  'netns',
  'exec',
  `${id}-n`,
  process.execPath,
  main,
  command,
  ...more,
  ...flags,
];
interface Status {
  readonly issues: readonly { readonly object: string; readonly field: string; readonly reason: string }[];
}
const issues = (): Status['issues'] => {
  const { stdout } = spawnSync('ip', agent('status', '--output=json'), { encoding: 'utf8', timeout: 30_000 });
  return (JSON.parse(stdout) as Status).issues;
};
/** Since when BIRD's session has been up, milliseconds; BIRD reckons it anew each time, to a few microseconds. */
const since = (): number => Date.parse(`${/up +(\S+ \S+) +Established/.exec(bird('show protocols n1'))?.[1]}Z`);
const exported = (): string => bird('show route all protocol n1');
const fib = (): string => sh(`ip -n ${id}-n route show proto 17`);
let began = 0;

beforeAll(async () => {
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
  if (!existsSync('/usr/sbin/bird')) throw new Error('/usr/sbin/bird is missing: install the Debian package bird2');
  sh(`mkdir -p ${folder}/manifests`);
  for (const name of ['n', 'r']) sh(`ip netns add ${id}-${name}; ip -n ${id}-${name} link set lo up`);
  sh(`ip link add eth0 netns ${id}-n type veth peer name eth0 netns ${id}-r`);
  sh(`ip -n ${id}-n addr add 10.0.0.1/24 dev eth0; ip -n ${id}-r addr add 10.0.0.254/24 dev eth0`);
  sh(`ip -n ${id}-n link set eth0 up; ip -n ${id}-r link set eth0 up`);
  writeFileSync(
    join(folder, 'bird.conf'),
    `router id 10.0.0.254;
timeformat protocol iso long us;
protocol device { scan time 1; }
protocol static { ipv4; route 198.51.100.0/24 blackhole; route 203.0.113.0/24 blackhole; route 203.0.113.128/25 blackhole; }
protocol bgp n1 { local 10.0.0.254 as 65000; neighbor 10.0.0.1 as 64512; connect delay time 1; connect retry time 1; error wait time 1, 1;
  ipv4 { import all; export where source = RTS_STATIC; next hop self; }; }
`,
  );
  children.push(
    spawn(
      'ip',
      ['netns', 'exec', `${id}-r`, '/usr/sbin/bird', '-f', '-c', `${folder}/bird.conf`, '-s', `${folder}/bird.ctl`],
      {
        stdio: 'ignore',
      },
    ),
  );
  annotate({});
  const child = spawn('ip', agent('run', '-v2'), { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  children.push(child);
  await eventually(() => expect(exported(), log.slice(-2000)).toContain('10.244.1.0/24'), 60_000);
  await eventually(() => expect(fib()).toContain('203.0.113.0/24 via 10.0.0.254'));
  began = since();
}, 120_000);

afterAll(async () => {
  for (const child of children) {
    if (child.exitCode !== null) continue;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
  for (const name of ['n', 'r']) sh(`ip netns del ${id}-${name}`);
  rmSync(folder, { recursive: true, force: true });
});

test('node.bgp.communities: on every export, a bad one is reported on the node and the others are in force', async () => {
  annotate({ 'node.bgp.communities': '65000:7, nonsense, 4294901760' });
  await eventually(() =>
    expect(exported()).toMatch(/BGP\.community: .*\(65000,7\).*\(65535,0\)|\(65535,0\).*\(65000,7\)/),
  );
  await eventually(() =>
    expect(issues()).toContainEqual(
      expect.objectContaining({
        object: 'Node n1',
        field: 'metadata.annotations["kube-router.io/node.bgp.communities"]',
        reason: '"nonsense" is no community; it was left out',
      }),
    ),
  );
  annotate({});
  await eventually(() => expect(exported()).not.toContain('BGP.community'));
  await eventually(() => expect(issues().filter(({ field }) => field.includes('communities'))).toEqual([]));
});

test('path-prepend: the path is longer by as many, and a count that is missing is reported', async () => {
  annotate({ 'path-prepend.as': '64999', 'path-prepend.repeat-n': '3' });
  // Our own number comes first, as routers that look at the first one want it.
  await eventually(() => expect(exported()).toContain('BGP.as_path: 64512 64999 64999 64999\n'));
  annotate({ 'path-prepend.as': '64999' });
  await eventually(() => expect(exported()).not.toContain('64999'));
  await eventually(() =>
    expect(issues().map(({ reason }) => reason)).toContain('is missing beside path-prepend.as; nothing is prepended'),
  );
});

test('node.bgp.customimportreject: these prefixes and longer ones leave the FIB, others stay, and all is back without it', async () => {
  annotate({ 'node.bgp.customimportreject': '203.0.113.0/24, 300.0.0.0/8' });
  await eventually(() => expect(fib()).not.toContain('203.0.113.'));
  expect(fib()).toContain('198.51.100.0/24 via 10.0.0.254');
  await eventually(() =>
    expect(issues().map(({ reason }) => reason)).toContain('"300.0.0.0/8" is no CIDR; it was left out'),
  );
  annotate({});
  await eventually(() => expect(fib()).toContain('203.0.113.0/24 via 10.0.0.254'));
});

test('pod-cidrs: announced in place of the spec, and pod-cidr before it', async () => {
  annotate({ 'pod-cidrs': '10.244.9.0/24,10.244.10.0/24' });
  await eventually(() => expect(exported()).toContain('10.244.10.0/24'));
  expect(exported()).toContain('10.244.9.0/24');
  await eventually(() => expect(exported()).not.toContain('10.244.1.0/24'));
  annotate({ 'pod-cidrs': '10.244.9.0/24', 'pod-cidr': '10.244.11.0/24' });
  await eventually(() => expect(exported()).toContain('10.244.11.0/24'));
  await eventually(() => expect(exported()).not.toContain('10.244.9.0/24'));
  annotate({});
  await eventually(() => expect(exported()).toContain('10.244.1.0/24'));
});

test('peers: a bad item is reported, the good one keeps its session', async () => {
  annotate({ peers: `${PEERS}\n- {remoteip: 10.0.0.253, remoteasn: 23456}` });
  await eventually(() =>
    expect(issues().map(({ reason }) => reason)).toContain(
      'item 1: remoteasn of 10.0.0.253 is no ASN to peer with; the peer was left out',
    ),
  );
  expect(exported()).toContain('10.244.1.0/24');
});

test('all of it without a restart: the session is the one of the beginning', () => {
  expect(began).toBeGreaterThan(0);
  expect(Math.abs(since() - began)).toBeLessThan(50);
});

test('peers: taken away, the session ends; given back, it returns', async () => {
  annotate({ peers: '[]' });
  await eventually(() => expect(bird('show protocols n1')).not.toContain('Established'));
  annotate({});
  await eventually(() => expect(exported()).toContain('10.244.1.0/24'));
});
