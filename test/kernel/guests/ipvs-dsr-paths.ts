/**
 * Runs in the guest: a DSR Service of two pods on two nodes, asked over each path, protocol and family, and what is left in a pod
 * when it is gone. `ENCAP` says how directors reach the pods: `ipip`, or `fou` where the kernel has FoU links.
 */
import { createDsrPods, createIpvsTarget, createServiceCompiler } from '../../../src/ipvs/index.ts';
import { service, slice } from '../../support/ipvs-objects.ts';
import { makeNodes, makePod, openSockets } from '../../support/ipvs-nodes.ts';
import { answer, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

const ENCAP = process.env.ENCAP ?? 'ipip';
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
const VIPS = ['198.51.100.9', '2001:db8:e::9'] as const;
await makeNodes(2);
await makePod('pa', 1, 2);
await makePod('pb', 2, 2);
await makePod('pc', 1, 3);
const sockets = openSockets();
const inPod = (name: string): Promise<string> =>
  sh(`ip -n ${name} -o addr show | awk '{print $2, $4}' | grep -v fe80 | sort
ip netns exec ${name} sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.eth0.rp_filter
ip -n ${name} fou show 2>/dev/null || true; ip -n ${name} -6 fou show 2>/dev/null || true`);
// A pod that checks sources strictly, as some images do.
await sh(
  'for p in pa pb; do ip netns exec $p sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1; done',
);
if (ENCAP === 'fou') {
  // A client behind a wire sends whole checksums; a virtual device leaves SCTP's to be filled in, which UDP encapsulation gets wrong.
  await sh('for c in ext pc; do ip netns exec $c ethtool -K eth0 tx-checksum-sctp off; done');
}
const before = [await inPod('pa'), await inPod('pb')];
const counting = (family: 4 | 6): string => {
  const tool = family === 4 ? 'iptables' : 'ip6tables';
  const inner = family === 4 ? 'ipencap' : 'ipv6';
  return `ip netns exec pb ${tool} -A INPUT -p udp --dport 5555; ip netns exec pb ${tool} -A INPUT -p ${inner} ! -i kube-tunnel+`;
};
await sh(`${counting(4)}\n${counting(6)}`);

const dsr = service('t/dsr', {
  clusterIPs: ['172.16.0.9', 'fd00::9'],
  ports: PROTOCOLS.map((proto) => ({ name: proto, port: 8080, protocol: proto.toUpperCase() })),
  annotations: { 'kube-router.io/service.dsr': 'tunnel', 'kube-router.io/service.dsr.encap': ENCAP },
  spec: { externalIPs: VIPS },
});
const ends = ([4, 6] as const).map((family) =>
  slice(
    't/dsr',
    [1, 2].map((node) => ({
      address: family === 4 ? `10.1.${node}.2` : `fd01:${node}::2`,
      node: `n${node}`,
      pod: node === 1 ? 't/pa' : 't/pb',
    })),
    PROTOCOLS.map((proto) => ({ name: proto, port: 8080, protocol: proto.toUpperCase() })),
  ),
);
const failures: string[] = [];
const runner = shellRunner();
const directors = [1, 2].map((number) => {
  const name = `n${number}`;
  const pods = createDsrPods({
    runner,
    findNetns: (key) => Promise.resolve(`/run/netns/${key.slice(2)}`),
    onChange: (key) => {
      compiler.touchPod(key);
    },
  });
  const compiler = createServiceCompiler({
    node: {
      name,
      primary: { 4: `192.168.1.1${number}`, 6: `fd10::1${number}` },
      podCIDRs: [`10.1.${number}.0/24`, `fd01:${number}::/64`],
    },
    clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
    externalIpRanges: ['198.51.100.0/24', '2001:db8:e::/64'],
    dsrReady: (key, address, vip) => pods.ready(key, address, vip),
  });
  const target = createIpvsTarget({
    runner: { run: (command, options) => runner.run({ netns: `/run/netns/${name}`, ...command }, options) },
    drainIntervalMs: 600_000,
  });
  const memory = {};
  const apply = async (): Promise<void> => {
    const { state, dirty } = compiler.flush();
    failures.push(...(await pass(target, state, memory, dirty)).failures);
    await pods.update([...compiler.dsr.values()].flat());
    const next = compiler.flush();
    failures.push(
      ...(await pass(target, next.state, memory, next.dirty)).failures,
      ...pods.issues().map(({ reason }) => reason),
    );
  };
  return { compiler, apply };
});
for (const { compiler, apply } of directors) {
  compiler.update([
    { kind: 'Service', key: 't/dsr', object: dsr },
    { kind: 'EndpointSlice', key: 't/dsr-4', object: ends[0] },
    { kind: 'EndpointSlice', key: 't/dsr-6', object: ends[1] },
  ]);
  await apply();
}
const prepared = await inPod('pb');
for (const name of ['pa', 'pb'])
  for (const address of VIPS)
    for (const proto of PROTOCOLS) await sockets('serve', { ns: name, name, proto, address, port: 8080 });

/** Who answered, of so many questions, in the order of names. */
const table: Record<string, string[]> = {};
for (const [name, from] of [
  ['outside', 'ext'],
  ['node', 'n1'],
  ['pod', 'pc'],
] as const) {
  for (const [index, host] of VIPS.entries()) {
    for (const proto of PROTOCOLS) {
      const seen = new Set<string>();
      for (let count = 0; count < 4; count++) {
        seen.add((await sockets('ask', { ns: from, host, proto, port: 8080, timeout: 5 })).answer);
      }
      table[`${name} ${proto}${index === 0 ? 4 : 6}`] = [...seen].sort();
    }
  }
}
const bulk: Record<string, string[]> = {};
for (const from of ['ext', 'pc']) {
  for (const [index, host] of VIPS.entries()) {
    // Two, so that both pods have one.
    const both = await Promise.all(
      [0, 1].map(() => sockets('bulk', { ns: from, host, port: 8080, bytes: 200_000, timeout: 60 })),
    );
    bulk[`${from} ${index === 0 ? 4 : 6}`] = both.map((one) => one.answer);
  }
}
const counted = await sh(
  `for t in iptables ip6tables; do ip netns exec pb $t -nvxL INPUT | awk 'NR>2 {print ($1 > 0 ? "some" : "none")}'; done`,
);

for (const { compiler, apply } of directors) {
  compiler.update([{ kind: 'Service', key: 't/dsr', object: undefined }]);
  await apply();
}
await sh('ip netns exec pb iptables -F; ip netns exec pb ip6tables -F');
const after = [await inPod('pa'), await inPod('pb')];
answer({ failures, before, prepared, table, bulk, counted: counted.trim().split('\n'), after });
process.exit(0);
