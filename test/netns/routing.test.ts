/**
 * Pod networking against the machine's kernel, in namespaces of its own: what is planned is what is there afterwards, a second
 * pass finds nothing to do, foreign routes and rules are left alone, and routes that did not change are never touched.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openOwnership } from '../../src/kernel/ownership.ts';
import { createRunner } from '../../src/kernel/runner.ts';
import type { Runner } from '../../src/kernel/types.ts';
import type { KernelRoute } from '../../src/net/values.ts';
import type { NodeObject } from '../../src/objects/types.ts';
import type { IptablesPrograms, RoutingOptions, RoutingOutput, Underlay } from '../../src/routing/index.ts';
import { cleanupRouting, createRoutingCompiler, createRoutingTarget, plan } from '../../src/routing/index.ts';
import { until } from '../support/netns.ts';

const prefix = `krr-${process.pid}`;
const made: string[] = [];
const sh = (file: string, ...args: string[]): string =>
  execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function namespace(name: string): (...args: string[]) => string {
  const full = `${prefix}-${name}`;
  sh('ip', 'netns', 'add', full);
  made.push(full);
  const inside = (...args: string[]): string => sh('ip', 'netns', 'exec', full, ...args);
  inside('ip', 'link', 'set', 'lo', 'up');
  return inside;
}

function node(name: string, addresses: string[], podCIDRs: string[]): NodeObject {
  return {
    kind: 'Node',
    namespace: '',
    name,
    uid: name,
    labels: {},
    annotations: {},
    addresses: addresses.map((address) => ({ type: 'InternalIP', address })),
    podCIDRs,
    unschedulable: false,
    ready: true,
    taints: [],
  };
}

const n1 = node('n1', ['10.0.0.1', 'fd00::1'], ['10.244.1.0/24', 'fd44:0:0:1::/64']);
const n2 = node('n2', ['10.0.0.2', 'fd00::2'], ['10.244.2.0/24', 'fd44:0:0:2::/64']);
const n3 = node('n3', ['10.9.0.3', 'fd09::3'], ['10.244.3.0/24', 'fd44:0:0:3::/64']);
const underlay: Underlay = { interface: 'eth0', mtu: 1500, subnets: ['10.0.0.0/24', 'fd00::/64'] };
const learned: KernelRoute[] = [
  { prefix: '10.244.2.0/24', nextHops: [{ via: '10.0.0.2' }] },
  { prefix: '10.244.3.0/24', nextHops: [{ via: '10.9.0.3' }] },
  { prefix: 'fd44:0:0:2::/64', nextHops: [{ via: 'fd00::2' }] },
  { prefix: 'fd44:0:0:3::/64', nextHops: [{ via: 'fd09::3' }] },
  { prefix: '192.0.2.1/32', nextHops: [{ via: '10.0.0.2' }, { via: '10.0.0.4', weight: 3 }] },
  { prefix: '2001:db8::1/128', nextHops: [{ via: 'fd00::2' }, { via: 'fd00::4' }] },
];

afterAll(() => {
  for (const name of made) sh('ip', 'netns', 'del', name);
});

const legacy: IptablesPrograms = {
  4: { save: 'iptables-legacy-save', restore: 'iptables-legacy-restore' },
  6: { save: 'ip6tables-legacy-save', restore: 'ip6tables-legacy-restore' },
};
const nft: IptablesPrograms = {
  4: { save: 'iptables-nft-save', restore: 'iptables-nft-restore' },
  6: { save: 'ip6tables-nft-save', restore: 'ip6tables-nft-restore' },
};

describe.each<[string, IptablesPrograms, Partial<RoutingOptions>]>([
  ['host-gateway, iptables-nft', nft, { overlay: 'none', source: 'nodes' }],
  ['host-gateway, iptables-legacy', legacy, { overlay: 'none', source: 'nodes' }],
  ['VXLAN between subnets, iptables-nft', nft, { overlay: 'subnet', encapsulation: 'vxlan' }],
  ['VXLAN everywhere, iptables-legacy', legacy, { overlay: 'full', encapsulation: 'vxlan' }],
])('%s', (name, iptables, options) => {
  const short = name.replace(/[^a-z]/gi, '').slice(0, 8) + name.length;
  let inside: (...args: string[]) => string;
  let target: ReturnType<typeof createRoutingTarget>;
  let runner: Runner;
  const compiler = createRoutingCompiler({ node: 'n1', families: [4, 6], ...options });
  const signal = new AbortController().signal;

  const pass = async (desired: RoutingOutput, prune = true) => {
    const wanted = target.plan(desired.state, await target.observe(signal), { prune });
    const applied = await target.apply(wanted, signal);
    return {
      changes: wanted.changes.map((change) => `${change.verb} ${change.key}`),
      failures: applied.failures,
      applied,
    };
  };

  beforeAll(async () => {
    inside = namespace(short);
    inside('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
    for (const dev of ['eth0', 'eth1']) inside('ip', 'link', 'set', dev, 'up');
    inside('ip', 'addr', 'add', '10.0.0.1/24', 'dev', 'eth0');
    inside('ip', 'addr', 'add', 'fd00::1/64', 'dev', 'eth0', 'nodad');
    // The kernel adds a route for each link-local address once it knows that it is the only one (RFC 4862 section 5.4): a second later.
    const probing = () => inside('ip', '-6', 'addr', 'show', 'tentative') !== '';
    await until('the link-local addresses', () => !probing());
    runner = createRunner({ netns: `/run/netns/${prefix}-${short}` });
    target = createRoutingTarget({ runner, families: [4, 6], iptables });
  });

  test('everything is applied and reads back equal; a second pass does nothing', async () => {
    const desired = compiler.update({
      underlay,
      nodes: [n1, n2, n3].map((object) => ({ key: object.name, object })),
      learned: { changed: learned, removed: [] },
    });
    const first = await pass(desired);
    expect(first.failures).toEqual([]);
    expect(first.changes.length).toBeGreaterThan(20);
    const observed = await target.observe(signal);
    expect(plan(desired.state, observed, { prune: true }).changes).toEqual([]);
    // What apply says it reached is what is there.
    expect(plan(desired.state, first.applied.observed!, { prune: true }).changes).toEqual([]);
  });

  test('the FIB has the multipath routes of both families with protocol 17', () => {
    const show = (family: string, route: string) =>
      inside('ip', family, 'route', 'show', route).replace(/\s+/g, ' ').trim();
    if (options.overlay === 'full') {
      expect(show('-4', '192.0.2.1')).toBe(
        '192.0.2.1 proto 17 src 10.0.0.1 nexthop via 10.0.0.2 dev kr-vxlan4 weight 1 onlink nexthop via 10.0.0.4 dev eth0 weight 3',
      );
    } else {
      expect(show('-4', '192.0.2.1')).toBe(
        `192.0.2.1 proto 17 ${options.overlay === 'subnet' ? 'mtu 1430 ' : ''}nexthop via 10.0.0.2 dev eth0 weight 1 nexthop via 10.0.0.4 dev eth0 weight 3`,
      );
      expect(show('-6', '2001:db8::1')).toMatch(
        /^2001:db8::1 proto 17 metric 1024 (mtu 1430 )?(pref medium )?nexthop via fd00::2 dev eth0 weight 1 nexthop via fd00::4 dev eth0 weight 1/,
      );
    }
  });

  test('a changed next hop is one replaced route; the witness sees no other', async () => {
    const monitor = spawn('ip', ['netns', 'exec', `${prefix}-${short}`, 'ip', 'monitor', 'route']);
    let seen = '';
    monitor.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const nextHops of [[{ via: '10.0.0.4' }], [{ via: '10.0.0.2' }, { via: '10.0.0.5' }], [{ via: '10.0.0.6' }]]) {
      const out = compiler.update({ learned: { changed: [{ prefix: '192.0.2.1/32', nextHops }], removed: [] } });
      expect((await pass(out)).changes).toContain('change route/254/192.0.2.1/32');
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    monitor.kill();
    const told = seen.split('\n').filter((line) => line !== '' && !line.startsWith('\t'));
    const routes = told.filter((line) => !/^(Deleted )?(local|broadcast|anycast|multicast|fe80|ff00)/.test(line));
    expect(routes.filter((line) => !line.startsWith('192.0.2.1 ') && !line.includes(' table 77 '))).toEqual([]);
    expect(routes.filter((line) => line.startsWith('Deleted 192.0.2.1 '))).toEqual([]);
    expect(routes.filter((line) => line.startsWith('192.0.2.1 '))).toHaveLength(3);
  });

  test('IPv6: one hop, two hops, one hop again, each by replace', async () => {
    for (const nextHops of [
      [{ via: 'fd00::4' }],
      [{ via: 'fd00::4' }, { via: 'fd00::5' }, { via: 'fd09::3' }],
      [{ via: 'fd00::6' }],
      [{ via: 'fd00::2' }],
    ]) {
      const out = compiler.update({ learned: { changed: [{ prefix: '2001:db8::1/128', nextHops }], removed: [] } });
      expect((await pass(out)).failures).toEqual([]);
      expect((await pass(out)).changes).toEqual([]);
    }
  });

  test("what is ours and no longer wanted goes, only with prune; what is not ours stays; another's route is not replaced", async () => {
    inside('ip', 'route', 'add', '203.0.113.0/24', 'via', '10.0.0.2', 'proto', 'static');
    inside('ip', 'route', 'add', '198.51.100.0/24', 'via', '10.0.0.2', 'proto', '17');
    inside('ip', '-6', 'route', 'add', '2001:db8:5::/48', 'via', 'fd00::2', 'proto', '17');
    const out = compiler.update({
      learned: { changed: [{ prefix: '203.0.113.0/24', nextHops: [{ via: '10.0.0.4' }] }], removed: [] },
    });
    const held = await pass(out, false);
    expect(held.changes).toEqual(['blocked route/254/203.0.113.0/24']);
    expect(held.failures.map((one) => one.error)).toMatchObject([{ code: 'CONFLICT' }]);
    const pruned = await pass(compiler.update({ learned: { changed: [], removed: ['203.0.113.0/24'] } }));
    expect(pruned.changes.sort()).toEqual(['remove route/254/198.51.100.0/24', 'remove route/254/2001:db8:5::/48']);
    expect(inside('ip', 'route', 'show', '203.0.113.0/24')).toContain('via 10.0.0.2 dev eth0 proto static');
  });

  test('a flushed chain and a deleted set entry are put back, the jump above foreign rules', async () => {
    inside(iptables[4].restore.replace('-restore', ''), '-I', 'FORWARD', '-s', '198.18.0.0/15', '-j', 'DROP');
    inside(iptables[4].restore.replace('-restore', ''), '-D', 'FORWARD', '-j', 'KUBE-ROUTER-PODS');
    inside(iptables[4].restore.replace('-restore', ''), '-F', 'KUBE-ROUTER-PODS');
    inside('ipset', 'del', 'kube-router-node-ips', '10.0.0.2');
    const out = compiler.update({});
    expect((await pass(out)).changes.sort()).toEqual([
      'add entry/kube-router-node-ips/10.0.0.2',
      'change chain/4/filter/KUBE-ROUTER-PODS',
    ]);
    expect((await pass(out)).changes).toEqual([]);
    const forward = inside(iptables[4].save, '-t', 'filter')
      .split('\n')
      .filter((line) => line.startsWith('-A FORWARD'));
    expect(forward).toEqual(['-A FORWARD -j KUBE-ROUTER-PODS', '-A FORWARD -s 198.18.0.0/15 -j DROP']);
  });

  test('cleanup is the exact inverse: the machine is as it was, what was not ours is still there', async () => {
    const snapshot = () =>
      ['-4', '-6']
        .map((family) => inside('ip', family, 'route', 'show', 'table', 'all') + inside('ip', family, 'rule'))
        .concat(
          inside('ip', '-o', 'link').replace(/^\d+: /gm, ''),
          inside('ipset', 'save'),
          ...[iptables[4].save, iptables[6].save].map((save) =>
            inside(save)
              .split('\n')
              .filter((line) => line.startsWith('-A') || /^:KUBE/.test(line))
              .join('\n'),
          ),
          inside(
            'sysctl',
            '-a',
            '-r',
            '^net\\.(ipv4|ipv6|bridge)\\..*(forward|rp_filter|bridge-nf-call|accept_ra|disable_ipv6)$',
          ),
        )
        .map((text) => text.replace(/ (linkdown|onlink)/g, ''));
    // Everything of the tests before is taken away first, so that there is a clean state to come back to.
    await cleanupRouting({ runner, families: [4, 6], iptables, adopt: true });
    for (const path of ['ipv4/ip_forward', 'ipv6/conf/all/forwarding']) inside('sysctl', '-q', '-w', `net/${path}=0`);
    const before = snapshot();
    const folder = mkdtempSync(join(tmpdir(), 'krr-'));
    try {
      const record = join(folder, 'owned.json');
      const ownership = (await openOwnership({ path: record })).block('routing');
      const recorded = createRoutingTarget({ runner, families: [4, 6], iptables, ownership });
      const out = compiler.update({});
      const wanted = recorded.plan(out.state, await recorded.observe(signal), { prune: true });
      expect((await recorded.apply(wanted, signal)).failures).toEqual([]);
      expect(snapshot()).not.toEqual(before);
      // Another process, which knows the record alone.
      const found = (await openOwnership({ path: record })).block('routing');
      const listed = await cleanupRouting({ runner, families: [4, 6], iptables, ownership: found, dryRun: true });
      const done = await cleanupRouting({ runner, families: [4, 6], iptables, ownership: found });
      expect(done.failures).toEqual([]);
      expect(done.removed).toEqual(listed.removed);
      expect(done.kept).toEqual([]);
      expect(snapshot()).toEqual(before);
      const again = await cleanupRouting({ runner, families: [4, 6], iptables, ownership: found });
      expect(again).toMatchObject({ removed: [], kept: [], restored: [], failures: [] });
    } finally {
      rmSync(folder, { recursive: true });
    }
    await pass(compiler.update({}));
  });

  test('wanting nothing removes every trace but the bridge and the sysctls', async () => {
    const observed = await target.observe(signal);
    const wanted = target.plan(new Map(), observed, { prune: true });
    expect((await target.apply(wanted, signal)).failures).toEqual([]);
    const left = [...(await target.observe(signal)).items.keys()].filter((key) => !key.startsWith('sysctl/'));
    expect(left).toEqual(['link/kube-bridge']);
  });
});
