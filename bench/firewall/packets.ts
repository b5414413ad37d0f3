/**
 * What policy costs a packet: several nodes, each a network namespace with two pods behind it, alike but for their rules, measured in
 * turns by one program (packets.py) so that whatever else the machine does meets them all.
 */
import { spawnSync } from 'node:child_process';
import { createFirewallTarget, compile } from '../../src/firewall/index.ts';
import { createRunner } from '../../src/kernel/index.ts';
import type { FirewallTargetOptions } from '../../src/firewall/index.ts';
import type { PodObject } from '../../src/objects/index.ts';
import { linearShape } from './linear.ts';
import { benchWorld } from './world.ts';
import type { BenchWorld } from './world.ts';

/** Microseconds; means over pairs of pods. */
export interface PacketCost {
  /** A round trip of an established flow. */
  readonly established: number;
  /** One way of a datagram that begins a flow. */
  readonly new: number;
  /** A SYN and its answer, which is a refusal by the server's host. */
  readonly attempt: number;
}

function run(file: string, args: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { input, encoding: 'utf8', maxBuffer: 1e8 });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr.slice(0, 800)}`);
  return stdout;
}

/** Servers of different classes: how many sets a packet meets depends on where in the tree its pods' classes are. */
const PAIRS = [
  { namespace: 'ns-0', tier: 'front' },
  { namespace: 'ns-0', tier: 'back' },
  { namespace: 'ns-1', tier: 'front' },
  { namespace: 'ns-1', tier: 'back' },
] as const;

/**
 * Two pods that policy lets talk: the second is selected by a policy that admits the first on port 8080. Both are of the node, which
 * then judges a packet twice, or one of them is of another, which judges it as well.
 */
function talkers(
  { pods }: BenchWorld,
  { namespace, tier }: (typeof PAIRS)[number],
  elsewhere?: Node['elsewhere'],
): [PodObject, PodObject] {
  const find = (end: Node['elsewhere'], labels: Readonly<Record<string, string>>): PodObject | undefined =>
    pods.find(
      (pod) =>
        pod.namespace === namespace &&
        (pod.nodeName === 'node-0') === (end !== elsewhere) &&
        Object.entries(labels).every(([key, value]) => pod.labels[key] === value),
    );
  const client = find('client', { app: 'web' });
  const server = find('server', { app: 'api', tier });
  if (client === undefined || server === undefined) throw new Error('the world has no pods that talk');
  return [client, server];
}

function macOf(namespace: string): string {
  const [link] = JSON.parse(run('ip', ['-n', namespace, '-j', 'link', 'show', 'eth0'])) as [{ address: string }];
  return link.address;
}

interface Node {
  readonly name: string;
  readonly world: BenchWorld;
  /** The end of the flow that is of another node. @defaultValue neither */
  readonly elsewhere?: 'client' | 'server';
  /** Puts the rules in force in the namespace. */
  readonly rules: (namespace: string, world: BenchWorld) => Promise<void> | void;
}

const CONNTRACK = '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT';
const inside = (namespace: string, file: string, args: readonly string[], input?: string): string =>
  run('ip', ['netns', 'exec', namespace, file, ...args], input);

const bare = (flavour: string) => (namespace: string) => {
  inside(namespace, `iptables-${flavour}`, ['-A', 'FORWARD', ...CONNTRACK.split(' ')]);
};
const bareNftables = (namespace: string): void => {
  const rules = `add table ip bench
add chain ip bench forward { type filter hook forward priority 0; policy accept; }
add rule ip bench forward ct state established,related accept
`;
  inside(namespace, 'nft', ['-f', '-'], rules);
};
/** As the agent has it by default. */
const LIVE = { revocationMask: 0x0fff0000 };
const ours = (options: Partial<FirewallTargetOptions>) => async (namespace: string, world: BenchWorld) => {
  const { state } = compile({ node: 'node-0', ...world });
  const netns = `/run/netns/${namespace}`;
  const target = createFirewallTarget({ runner: createRunner(), netns, families: [4], ...options });
  const { signal } = new AbortController();
  const { failures } = await target.apply(target.plan(state, await target.observe(signal), { prune: true }), signal);
  if (failures[0] !== undefined) throw failures[0].error;
};
/** Our rules with nothing but what finds the verdict: no live revocation, and none of the comments that name policies. */
const setsAlone = (flavour: 'nft') => async (namespace: string, world: BenchWorld) => {
  await ours({ flavour })(namespace, world);
  const rules = inside(namespace, `iptables-${flavour}-save`, ['-t', 'filter']);
  const plain = rules.replace(/ -m comment --comment ("[^"]*"|\S+)/g, '');
  inside(namespace, `iptables-${flavour}-restore`, [], plain);
};
const linear = (flavour: string) => (namespace: string, world: BenchWorld) => {
  const { setText, ruleText } = linearShape(world, 'node-0');
  inside(namespace, 'ipset', ['restore', '-exist'], setText);
  inside(namespace, `iptables-${flavour}-restore`, [], ruleText);
};

/** Measures every kind of node; needs root and python3. */
export async function packetCosts(
  world: BenchWorld,
  spread: BenchWorld,
  prefix: string,
): Promise<Map<string, PacketCost>> {
  const large = benchWorld({ pods: 10_000, policies: 1_000, local: 10_000, namespaces: 100, localNamespaces: 100 });
  const nodes: Node[] = [
    { name: 'no rules but conntrack, legacy', world, rules: bare('legacy') },
    { name: 'iptables legacy, 250 pods', world, rules: ours({ ...LIVE, flavour: 'legacy' }) },
    { name: 'iptables legacy, of five namespaces', world: spread, rules: ours({ ...LIVE, flavour: 'legacy' }) },
    { name: "kube-router's shape, legacy, 250 pods", world, rules: linear('legacy') },
    { name: 'no rules but conntrack, nft', world, rules: bare('nft') },
    { name: 'iptables nft, 250 pods', world, rules: ours({ ...LIVE, flavour: 'nft' }) },
    { name: 'iptables nft, to another node', world, elsewhere: 'server', rules: ours({ ...LIVE, flavour: 'nft' }) },
    { name: 'iptables nft, from another node', world, elsewhere: 'client', rules: ours({ ...LIVE, flavour: 'nft' }) },
    { name: 'iptables nft, only what finds the verdict', world, rules: setsAlone('nft') },
    { name: 'iptables nft, of five namespaces', world: spread, rules: ours({ ...LIVE, flavour: 'nft' }) },
    { name: "kube-router's shape, nft, 250 pods", world, rules: linear('nft') },
    { name: 'no rules but conntrack, nftables', world, rules: bareNftables },
    { name: 'nftables, 250 pods', world, rules: ours({ ...LIVE, backend: 'nftables' }) },
    { name: 'nftables, 10,000 pods', world: large, rules: ours({ ...LIVE, backend: 'nftables' }) },
  ];
  const made: string[] = [];
  const create = (name: string): string => {
    run('ip', ['netns', 'add', name]);
    made.push(name);
    return name;
  };
  try {
    const paths: object[] = [];
    const all = nodes.flatMap((node) => PAIRS.map((pair) => ({ ...node, pair })));
    for (const [index, { world: own, rules, pair, elsewhere }] of all.entries()) {
      const [client, server] = talkers(own, pair, elsewhere);
      const [source = '', destination = ''] = [client.ips[0], server.ips[0]];
      const node = create(`${prefix}-${index}n`);
      inside(node, 'sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0']);
      const pod = (end: string, address: string): string => {
        const space = create(`${prefix}-${index}${end}`);
        run('ip', ['-n', node, 'link', 'add', end, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space]);
        const lines = [
          `link set ${end} up`,
          `addr add 169.254.1.1/32 dev ${end}`,
          `route add ${address}/32 dev ${end}`,
          `neigh add ${address} dev ${end} lladdr ${macOf(space)} nud permanent`,
        ];
        run('ip', ['-n', node, '-batch', '-'], `${lines.join('\n')}\n`);
        const own = [
          'link set lo up',
          'link set eth0 up',
          `addr add ${address}/32 dev eth0`,
          'route add 169.254.1.1 dev eth0 scope link',
          'route add default via 169.254.1.1',
        ];
        run('ip', ['-n', space, '-batch', '-'], `${own.join('\n')}\n`);
        return space;
      };
      const [from, to] = [pod('c', source), pod('s', destination)];
      await rules(node, own);
      paths.push({ name: node, client: from, server: to, node, source, destination, port: 8080 });
    }
    const program = new URL('packets.py', import.meta.url).pathname;
    const costs = JSON.parse(run('python3', [program], JSON.stringify(paths))) as Record<string, PacketCost>;
    const byName = new Map<string, PacketCost[]>();
    for (const [index, { name }] of all.entries()) {
      byName.set(name, [...(byName.get(name) ?? []), costs[`${prefix}-${index}n`]!]);
    }
    const mean = (of: readonly PacketCost[], kind: keyof PacketCost): number =>
      of.reduce((sum, cost) => sum + cost[kind], 0) / of.length;
    return new Map(
      [...byName].map(([name, of]) => [
        name,
        { established: mean(of, 'established'), new: mean(of, 'new'), attempt: mean(of, 'attempt') },
      ]),
    );
  } finally {
    for (const name of made) spawnSync('ip', ['netns', 'del', name]);
  }
}
