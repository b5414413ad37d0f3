/**
 * Runs inside the guest kernel: three nodes on two subnets behind a router, a pod on each, and for every encapsulation and family what
 * gets through between them. Each finding is one JSON line on standard output; the test outside judges.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalAddress, formatAddress, tryParseAddress } from '../../src/net/address.ts';
import { canonicalPrefix } from '../../src/net/prefix.ts';
import type { Runner } from '../../src/kernel/types.ts';
import type { Family } from '../../src/net/values.ts';
import type { NodeObject } from '../../src/objects/types.ts';
import type { RoutingOptions } from '../../src/routing/index.ts';
import {
  cleanupRouting,
  createRoutingCompiler,
  createRoutingTarget,
  plan,
  readUnderlay,
} from '../../src/routing/index.ts';
import { sh, shellRunner } from '../support/ipvs-shell.ts';

const scratch = mkdtempSync(join(tmpdir(), 'probe-'));
const wantedCases = (process.argv[2] ?? '').split(',');
const started = performance.now();
const timing = (what: string): void =>
  void process.stderr.write(`${Math.round(performance.now() - started)} ${what}\n`);
const say = (row: Record<string, unknown>): void => void process.stdout.write(`${JSON.stringify(row)}\n`);

interface Machine {
  readonly name: string;
  readonly addresses: Readonly<Record<Family, string>>;
  readonly pod: Readonly<Record<Family, string>>;
  readonly object: NodeObject;
  /** File with its WireGuard private key. */
  readonly keyFile: string;
}

const shell = shellRunner();
/** Commands in one machine's namespace, by a shell that is kept open: a fork of Node is what costs most in these guests. */
const runnerIn = (name: string): Runner => ({
  run: (command, options) => shell.run({ netns: `/run/netns/${name}`, ...command }, options),
});

const machine = async (index: number, subnet: number): Promise<Machine> => {
  const addresses = { 4: `10.0.${subnet}.${index}`, 6: canonicalAddress(`fd00:0:0:${subnet}::${index}`) };
  const keyFile = join(scratch, `n${index}.key`);
  const annotations: Record<string, string> = {};
  if (wantedCases.some((name) => name.startsWith('wireguard'))) {
    const made = await sh(`umask 077; wg genkey | tee ${keyFile} | wg pubkey`);
    annotations['kube-router.io/wireguard.public-key'] = made.trim();
  }
  return {
    name: `n${index}`,
    keyFile,
    addresses,
    pod: { 4: `10.244.${index}.2`, 6: canonicalAddress(`fd44:0:0:${index}::2`) },
    object: {
      kind: 'Node',
      namespace: '',
      name: `n${index}`,
      uid: `n${index}`,
      labels: {},
      annotations,
      addresses: [4, 6].map((family) => ({ type: 'InternalIP', address: addresses[family as Family] })),
      podCIDRs: [`10.244.${index}.0/24`, canonicalPrefix(`fd44:0:0:${index}::/64`)],
      unschedulable: false,
      ready: true,
      taints: [],
    },
  };
};
const machines = [await machine(1, 0), await machine(2, 0), await machine(3, 1)];
const [n1, n2, n3] = machines as [Machine, Machine, Machine];

async function build(): Promise<void> {
  await sh('ip netns add r; ip -n r link set lo up');
  await sh('ip netns exec r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
  for (const subnet of [0, 1]) {
    await sh(`ip -n r link add lan${subnet} type bridge; ip -n r link set lan${subnet} up`);
    await sh(
      `ip -n r addr add 10.0.${subnet}.254/24 dev lan${subnet}; ip -n r -6 addr add fd00:0:0:${subnet}::fe/64 dev lan${subnet} nodad`,
    );
  }
  for (const { name, addresses, pod } of machines) {
    const subnet = addresses[4].split('.')[2];
    await sh(`ip netns add ${name}; ip -n ${name} link set lo up`);
    await sh(`ip link add eth0 netns ${name} type veth peer name v${name} netns r`);
    await sh(`ip -n r link set v${name} master lan${subnet} up; ip -n ${name} link set eth0 up`);
    await sh(
      `ip -n ${name} addr add ${addresses[4]}/24 dev eth0; ip -n ${name} -6 addr add ${addresses[6]}/64 dev eth0 nodad`,
    );
    await sh(
      `ip -n ${name} route add default via 10.0.${subnet}.254; ip -n ${name} -6 route add default via fd00:0:0:${subnet}::fe`,
    );
    // What a CNI plugin does: a pod's own namespace on the bridge, the bridge as its gateway.
    const index = name.slice(1);
    await sh(`ip netns add p${index}; ip -n p${index} link set lo up`);
    await sh(`ip -n ${name} link add kube-bridge type bridge; ip -n ${name} link set kube-bridge up`);
    await sh(
      `ip link add eth0 netns p${index} type veth peer name pod netns ${name}; ip -n ${name} link set pod master kube-bridge up; ip -n p${index} link set eth0 up`,
    );
    await sh(
      `ip -n ${name} addr add 10.244.${index}.1/24 dev kube-bridge; ip -n ${name} -6 addr add fd44:0:0:${index}::1/64 dev kube-bridge nodad`,
    );
    await sh(`ip -n p${index} addr add ${pod[4]}/24 dev eth0; ip -n p${index} -6 addr add ${pod[6]}/64 dev eth0 nodad`);
    await sh(
      `ip -n p${index} route add default via 10.244.${index}.1; ip -n p${index} -6 route add default via fd44:0:0:${index}::1`,
    );
    for (const where of [name, `p${index}`]) {
      for (const listen of ['TCP4-LISTEN', 'TCP6-LISTEN']) {
        const args = [
          'netns',
          'exec',
          where,
          'socat',
          `${listen}:5000,fork,reuseaddr${listen === 'TCP6-LISTEN' ? ',ipv6only=1' : ''}`,
          'SYSTEM:echo $SOCAT_PEERADDR',
        ];
        spawn('ip', args, { stdio: 'ignore' });
      }
    }
  }
  // Where nothing is encapsulated the router has to know the pods of both subnets, as it would by BGP.
  for (const { name, addresses } of machines) {
    const index = name.slice(1);
    await sh(
      `ip -n r route add 10.244.${index}.0/24 via ${addresses[4]}; ip -n r -6 route add fd44:0:0:${index}::/64 via ${addresses[6]}`,
    );
  }
}

async function wire(options: Partial<RoutingOptions>, families: readonly Family[]): Promise<number> {
  let mtu = 0;
  const signal = new AbortController().signal;
  // What BGP would have told: every node's pods by that node's address.
  const learned = machines.map(({ name, addresses, object }) => ({
    name,
    routes: object.podCIDRs.map((prefix) => ({ prefix, nextHops: [{ via: addresses[prefix.includes(':') ? 6 : 4] }] })),
  }));
  for (const one of machines) {
    const runner = runnerIn(one.name);
    const underlay = await readUnderlay({ runner, node: one.object });
    if (underlay === undefined) throw new Error(`${one.name} has no underlay`);
    const compiler = createRoutingCompiler({ node: one.name, families, source: 'nodes', ...options });
    const out = compiler.update({
      underlay,
      nodes: machines.map(({ object }) => ({ key: object.name, object })),
      learned: {
        changed: learned.filter(({ name }) => name !== one.name).flatMap(({ routes }) => routes),
        removed: [],
      },
    });
    const target = createRoutingTarget({ runner, families, wireguardKeyFile: one.keyFile });
    const applied = await target.apply(target.plan(out.state, await target.observe(signal), { prune: true }), signal);
    for (const failure of applied.failures)
      say({ failure: failure.item, on: one.name, because: failure.error.message });
    const left = plan(out.state, await target.observe(signal), { prune: true }).changes;
    if (left.length > 0) say({ left: left.map((change) => `${change.verb} ${change.key}`), on: one.name });
    mtu = out.mtu ?? 0;
    await sh(`ip -n p${one.name.slice(1)} link set eth0 mtu ${mtu}; ip -n ${one.name} link set pod mtu ${mtu}`);
  }
  return mtu;
}

/** Everything asked of one way at once, since most answers are waited for: a fork here costs more than a packet. */
async function probe(from: Machine, to: Machine, family: Family, mtu: number): Promise<Record<string, unknown>> {
  const [source, target] = [from.pod[family], to.pod[family]];
  const pod = `p${from.name.slice(1)}`;
  const header = family === 4 ? 28 : 48;
  const ping = (args: string): string =>
    `ip netns exec ${pod} ping -${family} -n -q -c 3 -i 0.3 -W 5 ${args} ${target} >/dev/null 2>&1 && echo true || echo false`;
  // Time enough for a guest that shares its processors: whether an answer comes is the question, not when.
  const tcp = (where: string, address: string): string => {
    const door = `${family === 6 ? `TCP6:[${address}]` : `TCP4:${address}`}:5000,connect-timeout=20`;
    return `seen=$(ip netns exec ${where} timeout 25 socat -u ${door} - 2>/dev/null || true); echo "\${seen:-no answer}"`;
  };
  const asked = {
    ping: ping(''),
    source: tcp(pod, target),
    fullMtu: ping(`-M do -s ${mtu - header}`),
    // One byte more does not fit: refused whole, carried in fragments.
    overWhole: ping(`-M do -s ${mtu - header + 1}`),
    overFragmented: ping(`-M dont -s ${mtu - header + 1}`),
    nodeToPod: tcp(from.name, target),
    podToNode: tcp(pod, to.addresses[family]),
  };
  const parts = Object.entries(asked).map(([name, command]) => `( ${command} ) > ${scratch}/${name} &`);
  await sh(`${parts.join('\n')}\nwait`);
  const answers: Record<string, unknown> = {};
  for (const name of Object.keys(asked)) {
    const text = readFileSync(`${scratch}/${name}`, 'utf8').trim();
    if (text === 'true' || text === 'false') answers[name] = text === 'true';
    else {
      // socat writes IPv6 addresses in full between brackets.
      const seen = tryParseAddress(text.replace(/[[\]]/g, '').replace(/(^|:)0+(?=[0-9a-f])/g, '$1'));
      const expected = name === 'nodeToPod' ? from.addresses[family] : source;
      answers[name] = seen !== undefined && formatAddress(seen) === expected ? 'kept' : text;
    }
  }
  return answers;
}

/** Whether packets to the other node's pod leave in an outer header. */
async function encapsulated(from: Machine, to: Machine, family: Family): Promise<boolean> {
  return / dev (tun-|kr-)/.test(await sh(`ip -n ${from.name} -${family} route get ${to.pod[family]}`));
}

await build();
await new Promise((resolve) => setTimeout(resolve, 1500));
timing('built');
say({ kernel: (await sh('uname -r')).trim() });

/** Megabits per second and processor time (both ends, percent of one processor) from pod to pod in another subnet, by iperf3. */
async function bench(name: string, seconds: number): Promise<void> {
  const { end } = JSON.parse(
    await sh(
      `ip netns exec p3 iperf3 -s -1 -D -B ${n3.pod[4]}; sleep 0.5; ip netns exec p1 iperf3 -c ${n3.pod[4]} -t ${seconds} -J`,
    ),
  ) as {
    end: {
      sum_received: { bits_per_second: number };
      cpu_utilization_percent: { host_total: number; remote_total: number };
    };
  };
  const { host_total: host, remote_total: remote } = end.cpu_utilization_percent;
  say({
    bench: name,
    mbps: Math.round(end.sum_received.bits_per_second / 1e6),
    cpu: Math.round(host + remote),
  });
}

const cases: [string, Partial<RoutingOptions>][] = [
  ['none', { source: 'bgp', overlay: 'none' }],
  ['host-gw', { overlay: 'none' }],
  ['ipip', { overlay: 'subnet', encapsulation: 'ipip' }],
  ['ipip-full', { overlay: 'full', encapsulation: 'ipip' }],
  ['vxlan', { overlay: 'subnet', encapsulation: 'vxlan' }],
  ['vxlan-full', { overlay: 'full', encapsulation: 'vxlan' }],
  ['fou', { overlay: 'subnet', encapsulation: 'fou' }],
  ['fou-full', { overlay: 'full', encapsulation: 'fou' }],
  ['wireguard', { overlay: 'subnet', encapsulation: 'wireguard' }],
  ['wireguard-full', { overlay: 'full', encapsulation: 'wireguard' }],
];
const benchSeconds = Number(process.argv[3] ?? 0);
for (const [name, options] of cases) {
  for (const families of [[4], [6], [4, 6]] as const) {
    if (!wantedCases.includes(name) && !wantedCases.includes(`${name}:${families.join('+')}`)) continue;
    const mtu = await wire(options, families);
    timing(`${name} ${families.join()} wired`);
    for (const family of families) {
      for (const [where, from, to] of [
        ['same subnet', n1, n2],
        ['other subnet', n1, n3],
        ['back', n3, n2],
      ] as const) {
        say({
          case: name,
          families: families.join('+'),
          family,
          where,
          mtu,
          tunnel: await encapsulated(from, to, family),
          ...(await probe(from, to, family, mtu)),
        });
      }
    }
    timing(`${name} ${families.join()} probed`);
    if (benchSeconds > 0 && families.length === 1 && families[0] === 4) await bench(name, benchSeconds);
    for (const one of machines) {
      const runner = runnerIn(one.name);
      const { failures, kept } = await cleanupRouting({ runner, families, adopt: true });
      for (const failure of failures) say({ failure: failure.item, on: one.name, because: failure.error.message });
      const strange = kept.filter(({ key }) => key !== 'link/kube-bridge');
      if (strange.length > 0) say({ kept: strange, on: one.name });
    }
  }
}
process.exit(0);
