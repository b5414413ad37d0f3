/**
 * Runs in the guest: two nodes with pods and a client outside; who answers over each path, and with which source address.
 */
import { compile, createIpvsTarget, mhLookup, mhTable } from '../../../src/ipvs/index.ts';
import type { CompileInput } from '../../../src/ipvs/index.ts';
import { service, slice } from '../../support/ipvs-objects.ts';
import { makeNodes, makePod, openSockets } from '../../support/ipvs-nodes.ts';
import { answer, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

await makeNodes(2);
await makePod('p1', 1, 2);
const many = Array.from({ length: 7 }, (_, index) => `10.1.1.${50 + index * 3}`);
await makePod(
  'p3',
  1,
  3,
  many.map((address) => `${address}/24`),
);
await makePod('p2', 2, 2);
const sockets = openSockets();
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const;
for (const [name, node, last] of [
  ['p1', 1, 2],
  ['p3', 1, 3],
  ['p2', 2, 2],
] as const) {
  for (const proto of PROTOCOLS) {
    for (const address of [`10.1.${node}.${last}`, `fd01:${node}::${last}`]) {
      const { answer: ok } = await sockets('serve', { ns: name, name, proto, address, port: 8080 });
      if (ok !== 'ok') throw new Error(`${name} ${proto} ${address}: ${ok}`);
    }
  }
}
for (const address of many) await sockets('serve', { ns: 'p3', name: address, proto: 'udp', address, port: 9000 });

const ports = PROTOCOLS.map((proto, index) => ({
  name: proto,
  port: 80,
  protocol: proto.toUpperCase(),
  nodePort: 30080 + index,
}));
const ends = ports.map(({ name, protocol }) => ({ name, protocol, port: 8080 }));
const on = (name: 'p1' | 'p2' | 'p3') => {
  const [node, last] = { p1: [1, 2], p2: [2, 2], p3: [1, 3] }[name];
  return [4, 6].map((family) => ({
    address: family === 4 ? `10.1.${node}.${last}` : `fd01:${node}::${last}`,
    node: `n${node}`,
  }));
};
let number = 10;
const services: ReturnType<typeof service>[] = [];
const endpointSlices: ReturnType<typeof slice>[] = [];
const add = (
  name: string,
  pods: readonly ('p1' | 'p2' | 'p3')[],
  options: Parameters<typeof service>[1] = {},
): void => {
  const clusterIPs = [`172.16.0.${number}`, `fd00::${number}`];
  number++;
  services.push(service(`t/${name}`, { clusterIPs, ports: ports.map(({ nodePort: _, ...port }) => port), ...options }));
  for (const family of [0, 1]) {
    const list = pods.map((pod) => on(pod)[family]!);
    endpointSlices.push(slice(`t/${name}`, list, ends, { addressType: family === 0 ? 'IPv4' : 'IPv6' }));
  }
};
const external = (last: number, more = {}) => ({
  spec: { externalIPs: [`198.51.100.${last}`, `2001:db8:e::${last}`], ...more },
});
add('near', ['p3'], external(1));
add('far', ['p2'], { type: 'NodePort', ports, ...external(2) });
add('none', [], external(3));
add('local', ['p2'], external(4, { externalTrafficPolicy: 'Local' }));
add('self', ['p1'], { annotations: { 'kube-router.io/service.hairpin': '' } });
add('sticky', ['p1', 'p2', 'p3'], {
  spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 600 } } },
});
add('limited', ['p3'], {
  type: 'LoadBalancer',
  ingress: ['203.0.113.1', '2001:db8:1b::1'],
  spec: { loadBalancerSourceRanges: ['10.1.1.0/24', 'fd01:1::/64'] },
});
services.push(
  service('t/mh', {
    clusterIPs: ['172.16.0.99'],
    ports: [{ port: 9000, protocol: 'UDP' }],
    annotations: { 'kube-router.io/service.scheduler': 'mh', 'kube-router.io/service.schedflags': 'flag-2' },
    spec: { externalIPs: ['198.51.100.99'] },
  }),
);
endpointSlices.push(slice('t/mh', many, [{ port: 9000, protocol: 'UDP' }]));
const input: CompileInput = {
  node: { name: 'n1', primary: { 4: '192.168.1.11', 6: 'fd10::11' }, podCIDRs: ['10.1.1.0/24', 'fd01:1::/64'] },
  clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
  externalIpRanges: ['198.51.100.0/24', '2001:db8:e::/64'],
  loadBalancerRanges: ['203.0.113.0/24', '2001:db8:1b::/64'],
  services,
  endpointSlices,
};
const inNode = shellRunner();
const target = createIpvsTarget({
  runner: { run: (command, options) => inNode.run({ netns: '/run/netns/n1', ...command }, options) },
});
const programmed = await pass(target, compile(input), {});

const table: Record<string, string> = {};
const ask = async (from: string, host: string, proto: string, port = 80, timeout = 4): Promise<string> => {
  const once = () => sockets('ask', { ns: from, host, proto, port, timeout });
  let result = await once();
  // A datagram may get lost, and ICMPv6 errors are rationed (net.ipv6.icmp.ratelimit): a second one is what any client sends.
  if (proto === 'udp' && result.answer === 'timeout') result = await once();
  // A refusal is at once or it is none.
  return result.answer === 'refused' && result.seconds > 1 ? `refused after ${result.seconds} s` : result.answer;
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
];
for (const [name, from, hosts] of paths) {
  for (const proto of PROTOCOLS) {
    for (const host of hosts) table[`${name} ${proto}${host.includes(':') ? 6 : 4}`] = await ask(from, host, proto);
  }
}
for (const host of ['203.0.113.1', '2001:db8:1b::1']) {
  table[`outside to limited tcp${host.includes(':') ? 6 : 4}`] = await ask('ext', host, 'tcp', 80, 1);
}
for (const [index, proto] of PROTOCOLS.entries()) {
  for (const host of ['192.168.1.11', 'fd10::11']) {
    table[`outside to node port ${proto}${host.includes(':') ? 6 : 4}`] = await ask('ext', host, proto, 30080 + index);
  }
}
table['another port of a VIP tcp4'] = await ask('ext', '198.51.100.1', 'tcp', 81);
table['echo request to a VIP'] = (
  await sh('ip netns exec ext ping -c1 -W2 198.51.100.1 >/dev/null && echo yes || echo no')
).trim();
const sticky = await Promise.all(Array.from({ length: 10 }, () => ask('p1', '172.16.0.15', 'tcp')));

// The kernel's Maglev against its model: who answers a flow is said beforehand.
const order = (
  await sh(`ip netns exec n1 ipvsadm -Ln --nosort -u 198.51.100.99:9000 | awk '/->/ && !/Remote/ {print $2}'`)
)
  .trim()
  .split('\n');
const model = mhTable(
  order.reverse().map((name) => ({ address: name.split(':')[0] ?? '', port: 9000, weight: 1 })),
  { port: true, fallback: true },
);
const flows = (
  await sockets('many', { ns: 'ext', host: '198.51.100.99', port: 9000, proto: 'udp', first: 20000, count: 1000 })
).answers;
const wrong = flows.filter(
  (seen, index) => seen.split(' ')[0] !== mhLookup(model, '192.168.1.100', 20000 + index)?.address,
);
answer({ programmed, table, sticky, order, flows: flows.length, wrong, loads: new Set(flows).size });
process.exit(0);
