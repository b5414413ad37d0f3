/**
 * What can be wrong before anything starts: each is one clear line that says what to do, with the exit code of the contract, and
 * the node is as it was. Asked of the built agent.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { agentMain, agentNode, createAgentNetns, type AgentNetns } from '../support/agent-netns.ts';

let node: AgentNetns;
let folder = '';
beforeAll(async () => {
  node = await createAgentNetns();
  folder = mkdtempSync(join(tmpdir(), 'kra-refusals-'));
  writeFileSync(`${folder}/bad.yaml`, 'cluster-asn: 64512\nbgp-port: [1, 2]\n');
  writeFileSync(`${folder}/broken.yaml`, 'cluster-asn: [\n');
  writeFileSync(`${folder}/unknown.yaml`, '# a comment\nclusterAsn: 64512\nno-such-key: 1\n');
  writeFileSync(`${folder}/pool.yaml`, 'loadBalancer:\n  pools:\n    - name: Bad Name\n');
  mkdirSync(`${folder}/manifests`);
  writeFileSync(
    `${folder}/manifests/node.yaml`,
    `apiVersion: v1\nkind: Node\nmetadata: { name: node1 }\nspec: { podCIDRs: [10.77.1.0/24] }\nstatus: { addresses: [{ type: InternalIP, address: ${node.own} }] }\n`,
  );
}, 60_000);
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await node.close();
}, 60_000);

const dirs = (): string[] => [`--run-dir=${folder}/run`, `--state-dir=${folder}/state`, '--hostname-override=node1'];
const run = (args: readonly string[], wrap: readonly string[] = []) => {
  const [file = '', ...rest] = ['ip', 'netns', 'exec', node.id, ...wrap, agentNode, agentMain, ...args, ...dirs()];
  return spawnSync(file, rest, { encoding: 'utf8', timeout: 120_000 });
};
const state = (): string =>
  ['iptables-save', 'ip6tables-save', 'ipset save', 'ip route show table all', 'ip rule', 'ip -o link']
    .map((command) => node.inside(...command.split(' ')).replaceAll(/^#.*$|\[\d+:\d+\]/gm, ''))
    .join('\n');
/** Lines for people; a log line of JSON is one for programs. */
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '' && !line.startsWith('{'));

const usage: readonly (readonly [name: string, args: readonly string[], line: string])[] = [
  ['unknown flag', ['run', '--no-such-flag'], "unknown option '--no-such-flag'"],
  ['unknown command', ['start'], "'start' is not a command"],
  ['bad value', ['run', '--bgp-port=x'], "--bgp-port: 'x' is not a whole number from 1 to 65535"],
  ['bad CIDR', ['run', '--service-cluster-ip-range=10.0.0.1.0/8'], '--service-cluster-ip-range: '],
  ['bad duration', ['run', '--bgp-holdtime=2s'], "--bgp-holdtime: '2s' is outside 3s to 18h12m16s"],
  ['lists of different length', ['run', '--peer-router-ips=10.0.0.1'], '--peer-router-asns: 0 numbers for 1 addresses'],
  ['no family', ['run', '--enable-ipv4=false'], 'at least one of IPv4 and IPv6 must be on'],
  ['YAML: wrong type', ['run', '--config=FOLDER/bad.yaml'], 'bad.yaml:2:11: bgp-port: expected one value'],
  ['YAML: broken', ['run', '--config=FOLDER/broken.yaml'], 'broken.yaml:'],
  ['YAML: unknown key', ['run', '--config=FOLDER/unknown.yaml'], "unknown.yaml:3:1: 'no-such-key' is not"],
  ['YAML: pool', ['run', '--config=FOLDER/pool.yaml'], 'pool.yaml:3:13: loadBalancer.pools.0.name: a pool name is'],
  ['no configuration file', ['run', '--config=FOLDER/none.yaml'], 'none.yaml: no such file'],
  ['no kubeconfig', ['run', '--once', '--kubeconfig=FOLDER/none'], 'none'],
  ['explain without ends', ['explain', '--manifests=FOLDER/manifests'], '--from and --to are needed'],
];

describe('usage: exit 2', () => {
  test.each(usage)('%s', (_, args, line) => {
    const before = state();
    const { status, stderr, stdout } = run(args.map((arg) => arg.replace('FOLDER', folder)));
    expect(stderr).toContain(line);
    expect(lines(stderr), stderr).toHaveLength(1);
    expect(stdout).toBe('');
    expect(status).toBe(2);
    expect(state()).toBe(before);
  });
  test('JSON says the same', () => {
    const { status, stdout } = run(['run', '--bgp-port=x', '--output=json']);
    expect(JSON.parse(stdout)).toMatchObject({ command: 'run', ok: false, blocks: [], issues: [] });
    expect((JSON.parse(stdout) as { errors: string[] }).errors[0]).toContain('--bgp-port');
    expect(status).toBe(2);
  });
});

/** A place without one program: every folder that the agent looks into, emptied of it. */
const without = (program: string): string[] => {
  const bin = `${folder}/without-${program}`;
  mkdirSync(bin);
  const script = `for d in /usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin; do [ -e $d/${program} ] && mount --bind ${bin}/none $d/${program}; done; exec "$@"`;
  writeFileSync(`${bin}/none`, '');
  chmodSync(`${bin}/none`, 0o644);
  return ['unshare', '--mount', 'sh', '-c', script, 'sh'];
};

describe('the node is not fit: exit 1, nothing half-applied', () => {
  const cases: readonly (readonly [string, () => readonly string[], readonly string[], string])[] = [
    [
      'missing tool',
      () => without('ipset'),
      ['--run-service-proxy=false'],
      'ipset is not installed: install the package ipset',
    ],
    [
      'missing tool: ip',
      () => without('ip'),
      ['--run-service-proxy=false'],
      'ip is not installed: install the package iproute2',
    ],
    ['missing module', () => [], ['--run-router=false'], 'this kernel has no IPVS: make the module ip_vs available'],
    [
      'no privileges',
      () => ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--'],
      ['--run-service-proxy=false'],
      'CAP_NET_ADMIN is missing: run as root',
    ],
  ];
  test.each(cases)('%s', (name, wrap, args, line) => {
    const before = state();
    for (const mode of [['run'], ['run', '--once']]) {
      const { status, stdout, stderr } = run([...mode, `--manifests=${folder}/manifests`, ...args], wrap().slice());
      const said = [...lines(stdout), ...lines(stderr)].filter((text) => text.includes('error') || text.includes(line));
      expect(said.join('\n'), stdout + stderr).toContain(line);
      expect(said).toHaveLength(1);
      expect(status, stdout + stderr).toBe(1);
      rmSync(`${folder}/without-${name.endsWith('ip') ? 'ip' : 'ipset'}`, { recursive: true, force: true });
    }
    expect(state()).toBe(before);
  });
  test('plan without privileges plans against an empty kernel and says so', () => {
    const { status, stdout } = run(
      ['plan', `--manifests=${folder}/manifests`, '--run-service-proxy=false'],
      ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin', '--'],
    );
    expect(status, stdout).toBe(3);
    expect(stdout).toContain('this plan is against an empty kernel');
  });
});

describe('the API cannot be reached', () => {
  test.each([['run', '--once'], ['plan']])('%s %s: one line, exit 1', (...mode) => {
    const before = state();
    const { status, stdout, stderr } = run([
      ...mode,
      '--master=http://127.0.0.1:1',
      '--cache-sync-timeout=3s',
      '--run-service-proxy=false',
    ]);
    const said = [...lines(stdout), ...lines(stderr)].filter((line) => /error|no full picture/.test(line));
    expect(said, stdout + stderr).toHaveLength(1);
    expect(said[0]).toContain('no full picture of');
    expect(said[0]).toMatch(/127\.0\.0\.1:1|ECONNREFUSED|refused/);
    expect(status).toBe(1);
    expect(state()).toBe(before);
  });
  test('a taken port is said in one line', () => {
    const { status, stdout, stderr } = run([
      'run',
      `--manifests=${folder}/manifests`,
      '--run-service-proxy=false',
      '--health-addr=203.0.113.77',
    ]);
    expect(lines(stdout + stderr).join('\n')).toContain('cannot open the health server on 203.0.113.77:20244');
    expect(status).toBe(1);
  });
  test('status without an agent', () => {
    const { status, stdout, stderr } = run(['status']);
    expect(stdout + stderr).toMatch(/no agent/);
    expect(status).toBe(1);
  });
});

test('an old Node is told so in one line', () => {
  // The entry is read by a Node that cannot run the rest: shown with a fake of its version.
  const fake = `${folder}/old.mjs`;
  writeFileSync(
    fake,
    `Object.defineProperty(process.versions, 'node', { value: '18.20.0' }); await import(${JSON.stringify(agentMain)});`,
  );
  symlinkSync(agentMain, `${folder}/main.js`);
  const { status, stderr } = spawnSync(agentNode, [fake], { encoding: 'utf8' });
  expect(stderr).toContain('Node 18.20.0 is too old; 22.19 or newer is needed');
  expect(lines(stderr)).toHaveLength(1);
  expect(status).toBe(2);
});
