/**
 * Runs in the guest: two nodes with pods and a client outside; who answers over each path, and with which source address. The
 * families of the cluster come by the environment: `4`, `6` or `4,6`.
 */
import { compile, createIpvsTarget, mhLookup, mhTable } from '../../../src/ipvs/index.ts';
import type { CompileInput } from '../../../src/ipvs/index.ts';
import type { Family } from '../../../src/net/values.ts';
import { pod, service, slice } from '../../support/ipvs-objects.ts';
import { makeFar, makeNodes, makePod, openSockets } from '../../support/ipvs-nodes.ts';
import { answer, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

const FAMILIES = (process.env.FAMILIES ?? '4,6').split(',').map(Number) as Family[];
const familyOf = (address: string): Family => (address.includes(':') ? 6 : 4);
/** What of a list of addresses or prefixes this cluster has. */
const ours = (list: readonly string[]): string[] => list.filter((one) => FAMILIES.includes(familyOf(one)));

await makeNodes(2, FAMILIES);
await makePod('p1', 1, 2, [], FAMILIES);
const many = Array.from({ length: 7 }, (_, index) => index).flatMap((index) =>
  ours([`10.1.1.${50 + index * 3}`, `fd01:1::${50 + index * 3}`]),
);
const extra = many.map((address) => (address.includes(':') ? `${address}/64 nodad` : `${address}/24`));
await makePod('p3', 1, 3, extra, FAMILIES);
await makePod('p2', 2, 2, [], FAMILIES);
const sockets = openSockets();
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
const PLACES = { p1: [1, 2], p2: [2, 2], p3: [1, 3] } as const;
type PodName = keyof typeof PLACES;
const addressesOf = (name: PodName): string[] => {
  const [node, last] = PLACES[name];
  return ours([`10.1.${node}.${last}`, `fd01:${node}::${last}`]);
};
const serve = async (name: string, proto: string, address: string, port: number): Promise<void> => {
  const { answer: ok } = await sockets('serve', { ns: name.slice(0, 2), name, proto, address, port });
  if (ok !== 'ok') throw new Error(`${name} ${proto} ${address}: ${ok}`);
};
for (const name of ['p1', 'p2', 'p3'] as const) {
  for (const proto of PROTOCOLS) for (const address of addressesOf(name)) await serve(name, proto, address, 8080);
}
for (const address of many) await sockets('serve', { ns: 'p3', name: address, proto: 'udp', address, port: 9000 });

const ports = PROTOCOLS.map((proto, index) => ({
  name: proto,
  port: 80,
  protocol: proto.toUpperCase(),
  nodePort: 30080 + index,
}));
const ends = ports.map(({ name, protocol }) => ({ name, protocol, port: 8080 }));
let number = 10;
const services: ReturnType<typeof service>[] = [];
const endpointSlices: ReturnType<typeof slice>[] = [];
const add = (
  name: string,
  pods: readonly PodName[],
  options: Parameters<typeof service>[1] = {},
  more: { readonly [P in PodName]?: object } = {},
): void => {
  const clusterIPs = ours([`172.16.0.${number}`, `fd00::${number}`]);
  number++;
  services.push(service(`t/${name}`, { clusterIPs, ports: ports.map(({ nodePort: _, ...port }) => port), ...options }));
  for (const family of FAMILIES) {
    const list = pods.map((one) => ({
      address: addressesOf(one).find((address) => familyOf(address) === family)!,
      node: `n${PLACES[one][0]}`,
      pod: `t/${one}`,
      ...more[one],
    }));
    endpointSlices.push(slice(`t/${name}`, list, ends, { addressType: family === 4 ? 'IPv4' : 'IPv6' }));
  }
};
const external = (last: number, more = {}) => ({
  spec: { externalIPs: ours([`198.51.100.${last}`, `2001:db8:e::${last}`]), ...more },
});
add('near', ['p3'], external(1));
add('far', ['p2'], { type: 'NodePort', ports, ...external(2) });
add('none', [], external(3));
const local = { ports: ports.map((port) => ({ ...port, nodePort: port.nodePort + 10 })), type: 'NodePort' } as const;
add('local', ['p2'], { ...local, ...external(4, { externalTrafficPolicy: 'Local' }) });
add('self', ['p1'], { annotations: { 'kube-router.io/service.hairpin': '' } });
add('sticky', ['p1', 'p2', 'p3'], {
  spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } },
});
add('limited', ['p3'], {
  type: 'LoadBalancer',
  ingress: ours(['203.0.113.1', '2001:db8:1b::1']),
  spec: { loadBalancerSourceRanges: ['10.1.1.0/24', 'fd01:1::/64'] },
});
add('inner', ['p2', 'p3'], { spec: { internalTrafficPolicy: 'Local' } });
add('elsewhere', ['p2'], { spec: { internalTrafficPolicy: 'Local' } });
add('close', ['p2', 'p3'], { spec: { trafficDistribution: 'PreferSameNode' } });
add('weighted', ['p2', 'p3'], { annotations: { 'kube-router.io/service.scheduler': 'wrr' } });
const hairpin = { 'kube-router.io/service.hairpin': '', 'kube-router.io/service.hairpin.externalips': '' };
add('outer', ['p1'], {
  type: 'LoadBalancer',
  ports: ports.map((port) => ({ ...port, nodePort: port.nodePort + 20 })),
  annotations: hairpin,
  ingress: ours(['203.0.113.2', '2001:db8:1b::2']),
  ...external(5),
});
add('outerlocal', ['p1'], { annotations: hairpin, ...external(6, { externalTrafficPolicy: 'Local' }) });
add('hinted', ['p2', 'p3'], {}, { p2: { hintZones: ['a', 'c'] }, p3: { hintZones: ['b'] } });
add(
  'zoned',
  ['p2', 'p3'],
  { spec: { trafficDistribution: 'PreferClose' } },
  { p2: { zone: 'a' }, p3: { zone: 'b', node: 'n2' } },
);
add('brief', ['p1', 'p2', 'p3'], {
  spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 3 } } },
});
const mhVips = ours(['198.51.100.99', '2001:db8:e::99']);
services.push(
  service('t/mh', {
    clusterIPs: ours(['172.16.0.99', 'fd00::99']),
    ports: [{ port: 9000, protocol: 'UDP' }],
    annotations: { 'kube-router.io/service.scheduler': 'mh', 'kube-router.io/service.schedflags': 'flag-2' },
    spec: { externalIPs: mhVips },
  }),
  // Somebody else's virtual server stands at this address.
  service('t/excluded', {
    clusterIPs: ours(['172.16.0.98', 'fd00::98']),
    ports: [{ port: 80, protocol: 'TCP' }],
    spec: { externalIPs: ours(['198.51.100.200', '2001:db8:e::200']) },
  }),
);
for (const family of FAMILIES) {
  const list = many.filter((address) => familyOf(address) === family);
  const addressType = family === 4 ? 'IPv4' : 'IPv6';
  endpointSlices.push(slice('t/mh', list, [{ port: 9000, protocol: 'UDP' }], { addressType }));
  const [foreign, real] = family === 4 ? ['198.51.100.200', '10.1.1.3'] : ['[2001:db8:e::200]', '[fd01:1::3]'];
  await sh(`ip -n n1 addr add ${foreign.replace(/[[\]]/g, '')} dev lo
ip netns exec n1 ipvsadm -A -t ${foreign}:80 -s rr; ip netns exec n1 ipvsadm -a -t ${foreign}:80 -r ${real}:8080 -m`);
}
const [four, six] = ['192.168.1.11', 'fd10::11'];
const input: CompileInput = {
  node: {
    name: 'n1',
    zone: 'a',
    primary: { ...(FAMILIES.includes(4) ? { 4: four } : {}), ...(FAMILIES.includes(6) ? { 6: six } : {}) },
    podCIDRs: ours(['10.1.1.0/24', 'fd01:1::/64']),
  },
  clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
  externalIpRanges: ['198.51.100.0/24', '2001:db8:e::/64'],
  loadBalancerRanges: ['203.0.113.0/24', '2001:db8:1b::/64'],
  // An affinity outlives the connections that it holds, and those of UDP end with this.
  udpTimeout: 2,
  excludedCidrs: ['198.51.100.200/32', '2001:db8:e::200/128'],
  services,
  endpointSlices,
  pods: [pod('t/p2', { ips: addressesOf('p2') }), pod('t/p3', { annotations: { 'kube-router.io/weight': '3' } })],
};
const inNode = shellRunner();
const target = createIpvsTarget({
  families: FAMILIES,
  runner: { run: (command, options) => inNode.run({ netns: '/run/netns/n1', ...command }, options) },
});
const state = compile(input);
const programmed = await pass(target, state, {});

const table: Record<string, string> = {};
const suffix = (host: string): string => (host.includes(':') ? '6' : '4');
const ask = async (from: string, host: string, proto: string, port = 80, timeout = 4): Promise<string> => {
  const once = () => sockets('ask', { ns: from, host, proto, port, timeout });
  let result = await once();
  // A datagram may get lost, and ICMPv6 errors are rationed (net.ipv6.icmp.ratelimit): a second one is what any client sends.
  if (proto === 'udp' && result.answer === 'timeout') result = await once();
  return result.answer === 'refused' && result.seconds > 0.9 ? 'refused late' : result.answer;
};
const record = async (
  name: string,
  from: string,
  hosts: readonly string[],
  protocols: readonly string[] = PROTOCOLS,
  port = 80,
  timeout?: number,
): Promise<void> => {
  for (const host of ours(hosts)) {
    for (const proto of protocols) {
      const seen = await ask(from, host, proto, port, timeout);
      // Twice where it is answered: the next one would be another endpoint's turn.
      const next = seen.startsWith('p') ? await ask(from, host, proto, port, timeout) : seen;
      table[`${name} ${proto}${suffix(host)}`] = next === seen ? seen : `${seen}, then ${next}`;
    }
  }
};
const paths: [name: string, from: string, hosts: string[]][] = [
  ['pod to near', 'p1', ['172.16.0.10', 'fd00::10']],
  ['pod to far', 'p1', ['172.16.0.11', 'fd00::11']],
  ['node to near', 'n1', ['172.16.0.10', 'fd00::10']],
  ['node to far', 'n1', ['172.16.0.11', 'fd00::11']],
  ['outside to near', 'ext', ['198.51.100.1', '2001:db8:e::1']],
  ['outside to far', 'ext', ['198.51.100.2', '2001:db8:e::2']],
  ['outside to none', 'ext', ['198.51.100.3', '2001:db8:e::3']],
  ['pod to none', 'p1', ['172.16.0.12', 'fd00::12']],
  ['node to none', 'n1', ['172.16.0.12', 'fd00::12']],
  ['outside to local', 'ext', ['198.51.100.4', '2001:db8:e::4']],
  ['pod to local', 'p1', ['198.51.100.4', '2001:db8:e::4']],
  ['node to local', 'n1', ['198.51.100.4', '2001:db8:e::4']],
  ['pod to itself', 'p1', ['172.16.0.14', 'fd00::14']],
  ['pod to limited', 'p1', ['203.0.113.1', '2001:db8:1b::1']],
  ['pod to inner', 'p1', ['172.16.0.17', 'fd00::17']],
  ['pod to elsewhere', 'p1', ['172.16.0.18', 'fd00::18']],
  ['pod to close', 'p1', ['172.16.0.19', 'fd00::19']],
  ['pod to itself by an external address', 'p1', ['198.51.100.5', '2001:db8:e::5']],
  ['pod to itself by a load balancer', 'p1', ['203.0.113.2', '2001:db8:1b::2']],
  ['pod to itself by an external address of policy Local', 'p1', ['198.51.100.6', '2001:db8:e::6']],
  ['outside to the same', 'ext', ['198.51.100.6', '2001:db8:e::6']],
  ['pod to hinted', 'p1', ['172.16.0.23', 'fd00::23']],
  ['pod to zoned', 'p1', ['172.16.0.24', 'fd00::24']],
];
for (const [name, from, hosts] of paths) await record(name, from, hosts);
await record('outside to limited', 'ext', ['203.0.113.1', '2001:db8:1b::1'], ['tcp'], 80, 1);
for (const [index, proto] of PROTOCOLS.entries()) {
  await record('outside to node port', 'ext', [four, six], [proto], 30080 + index);
  await record('pod to node port', 'p1', [four, six], [proto], 30080 + index);
  await record('node to node port', 'n1', [four, six], [proto], 30080 + index);
  await record('outside to node port of policy Local', 'ext', [four, six], [proto], 30090 + index);
  await record('pod to node port of policy Local', 'p1', [four, six], [proto], 30090 + index);
  await record('node to node port of policy Local', 'n1', [four, six], [proto], 30090 + index);
  await record('pod to itself by a node port', 'p1', [four, six], [proto], 30100 + index);
}
await record('another port of a VIP', 'ext', ['198.51.100.1', '2001:db8:e::1'], ['tcp'], 81);
await record('outside to excluded', 'ext', ['198.51.100.200', '2001:db8:e::200'], ['tcp']);
for (const host of ours(['198.51.100.1', '2001:db8:e::1'])) {
  const echo = await sh(`ip netns exec ext ping -c1 -W2 ${host} >/dev/null && echo yes || echo no`);
  table[`echo request icmp${suffix(host)}`] = echo.trim();
}
const [stickyHost = '', weightedHost = '', briefHost = ''] = FAMILIES.includes(4)
  ? ['172.16.0.15', '172.16.0.20', '172.16.0.25']
  : ['fd00::15', 'fd00::20', 'fd00::25'];
const sticky = await Promise.all(Array.from({ length: 10 }, () => ask('p1', stickyHost, 'tcp')));
const brief: string[] = [];
for (let index = 0; index < 4; index++) brief.push(await ask('p1', briefHost, 'udp'));
await new Promise((resolve) => setTimeout(resolve, 9000));
brief.push(await ask('p1', briefHost, 'udp'));
const weighted: string[] = [];
for (let index = 0; index < 8; index++) weighted.push(await ask('p1', weightedHost, 'tcp'));

// A path that carries 1300 bytes only: the errors that say so are for the VIP, and must reach the pod through IPVS.
const bulk: Record<string, string> = {};
await makeFar(1300, FAMILIES);
for (const host of ours(['198.51.100.1', '2001:db8:e::1'])) {
  const { answer: got } = await sockets('bulk', { ns: 'far', host, port: 80, bytes: 300_000 });
  const learned = await sh(`ip netns exec p3 ip -${suffix(host)} route show cache | grep -o 'mtu [0-9]*' || true`);
  bulk[`far ${suffix(host)}`] = `${got}, ${learned.trim()}`;
}

// The kernel's Maglev against its model: who answers a flow is said beforehand.
const models: { vip: string; flows: number; wrong: string[]; loads: number }[] = [];
for (const vip of mhVips) {
  const name = vip.includes(':') ? `[${vip}]:9000` : `${vip}:9000`;
  const listed = await sh(
    `ip netns exec n1 ipvsadm -Ln --nosort -u ${name} | awk '/->/ && !/Remote/ {print $2}' | tr -d '[]'`,
  );
  const order = listed.trim().split('\n').reverse();
  const model = mhTable(
    order.map((one) => ({ address: one.slice(0, one.lastIndexOf(':')), port: 9000, weight: 1 })),
    { port: true, fallback: true },
  );
  const { answers: flows } = await sockets('flows', { ns: 'ext', host: vip, port: 9000, first: 20000, count: 1000 });
  const client = vip.includes(':') ? 'fd10::100' : '192.168.1.100';
  const wrong = flows.filter((seen, index) => seen.split(' ')[0] !== mhLookup(model, client, 20000 + index)?.address);
  models.push({ vip, flows: flows.length, wrong, loads: new Set(flows).size });
}

// Every balanced packet with the node's address; node ports on every address.
await sh('ip -n n1 addr add 192.168.1.77/24 dev eth0; ip -n n1 addr add fd10::77/64 dev eth0 nodad');
const everywhere = compile({
  ...input,
  node: { ...input.node, addresses: ours([four, '192.168.1.77', six, 'fd10::77']) },
  masqueradeAll: true,
  nodePortOnAllAddresses: true,
});
const again = await pass(target, everywhere, {});
await record('all: pod to near', 'p1', ['172.16.0.10', 'fd00::10'], ['tcp']);
await record('all: outside to near', 'ext', ['198.51.100.1', '2001:db8:e::1'], ['tcp']);
await record('all: outside to another node address', 'ext', ['192.168.1.77', 'fd10::77'], ['tcp'], 30080);
const foreign = await sh(`ip netns exec n1 ipvsadm -Sn | grep -c '^-A -t .*200[]:]' || true`);
const issues = state.issues.map(({ object, field, reason }) => `${object} ${field}: ${reason}`);
const failures = [...programmed.failures, ...again.failures];
answer({ failures, issues, table, sticky, brief, weighted, bulk, models, foreign });
process.exit(0);
