/**
 * Runs in the guest: three directors, DSR pods prepared by the state machine, `mh` that agrees on every director after different
 * histories, and a director that dies with its connections.
 */
import { firstValueFrom } from 'rxjs';
import { createDsrPods, createIpvsTarget, createServiceCompiler, ipvsCounters } from '../../../src/ipvs/index.ts';
import type { ServiceChange } from '../../../src/ipvs/index.ts';
import { pod, service, slice } from '../../support/ipvs-objects.ts';
import { makeNodes, makePod, openSockets } from '../../support/ipvs-nodes.ts';
import { answer, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

const FLOWS = Number(process.env.FLOWS ?? 10_000);
const stamp = (text: string): void => console.log(Math.round(performance.now()), text);
await makeNodes(3);
const many = Array.from({ length: 5 }, (_, index) => `10.1.1.${50 + index * 3}`);
await makePod(
  'pa',
  1,
  2,
  many.map((address) => `${address}/24`),
);
await makePod('pb', 2, 2);
// The interface of a pod need not be called eth0.
await sh(
  'ip -n pb link set eth0 down; ip -n pb link set eth0 name net7; ip -n pb link set net7 up; ip -n pb addr add fd01:2::2/64 dev net7 nodad; ip -n pb route replace default via 10.1.2.1; ip -n pb route replace default via fd01:2::1',
);
const sockets = openSockets();
const VIPS = ['198.51.100.9', '2001:db8:e::9'];
const dsr = service('t/dsr', {
  clusterIPs: ['172.16.0.9', 'fd00::9'],
  ports: [{ port: 8080, protocol: 'TCP' }],
  annotations: {
    'kube-router.io/service.dsr': 'tunnel',
    'kube-router.io/service.scheduler': 'mh',
    'kube-router.io/service.schedflags': 'flag-2',
  },
  spec: { externalIPs: VIPS },
});
const mh = service('t/mh', {
  clusterIPs: ['172.16.0.99'],
  ports: [{ port: 9000, protocol: 'UDP' }],
  annotations: { 'kube-router.io/service.scheduler': 'mh', 'kube-router.io/service.schedflags': 'flag-2' },
  spec: { externalIPs: ['198.51.100.99'] },
});
/** The same over TCP, to see that connections live through a change of the order. */
const ordered = service('t/order', {
  clusterIPs: ['172.16.0.60'],
  ports: [{ port: 8080, protocol: 'TCP' }],
  annotations: { 'kube-router.io/service.scheduler': 'mh', 'kube-router.io/service.schedflags': 'flag-2' },
  spec: { externalIPs: ['198.51.100.60'] },
});
const dsrEnds = (six: boolean) =>
  slice(
    't/dsr',
    [
      { address: six ? 'fd01:1::2' : '10.1.1.2', node: 'n1', pod: 't/pa' },
      { address: six ? 'fd01:2::2' : '10.1.2.2', node: 'n2', pod: 't/pb' },
    ],
    [{ port: 8080 }],
    { addressType: six ? 'IPv6' : 'IPv4' },
  );
const mhEnds = (addresses: readonly string[]) => slice('t/mh', addresses, [{ port: 9000, protocol: 'UDP' }]);
const orderEnds = (addresses: readonly string[]) => slice('t/order', addresses, [{ port: 8080 }]);
const change = (key: string, object: ReturnType<typeof slice>): ServiceChange => ({
  kind: 'EndpointSlice',
  key,
  object,
});

const runner = shellRunner();
const directors = await Promise.all(
  [1, 2, 3].map(async (number) => {
    const name = `n${number}`;
    const pods = createDsrPods({
      runner,
      findNetns: async (key) => `/run/netns/${key.slice(2)}`,
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
      gracefulPeriodMs: 60_000,
      dsrReady: (key, address, vip) => pods.ready(key, address, vip),
    });
    const target = createIpvsTarget({
      runner: { run: (command, options) => runner.run({ netns: `/run/netns/${name}`, ...command }, options) },
      drainIntervalMs: 600_000,
    });
    const memory = {};
    const apply = async (...changes: ServiceChange[]) => {
      compiler.update(changes);
      const { state, dirty } = compiler.flush();
      return pass(target, state, memory, dirty);
    };
    return { name, pods, compiler, target, apply };
  }),
);
const failures: string[] = [];
const histories = [
  [many],
  [[many[3]!], [many[3]!, many[0]!], many],
  [many.toReversed().slice(0, 2), many.slice(1), many],
];
let early = '';
for (const [index, { apply, pods, compiler, name }] of directors.entries()) {
  const first = await apply(
    { kind: 'Pod', key: 't/pa', object: pod('t/pa', { ips: ['10.1.1.2'] }) },
    { kind: 'Service', key: 't/dsr', object: dsr },
    { kind: 'Service', key: 't/mh', object: mh },
    { kind: 'Service', key: 't/order', object: ordered },
    change('t/dsr-4', dsrEnds(false)),
    change('t/dsr-6', dsrEnds(true)),
    change('t/order-4', orderEnds(many)),
  );
  if (index === 0) early = await sh(`ip netns exec ${name} ipvsadm -Ln | grep -A3 FWM`);
  await pods.update([...compiler.dsr.values()].flat());
  const second = await apply();
  failures.push(...first.failures, ...second.failures, ...pods.issues().map(({ reason }) => reason));
  for (const list of histories[index] ?? []) failures.push(...(await apply(change('t/mh-4', mhEnds(list)))).failures);
}
stamp('programmed');
const servers = await sh(
  'for n in n1 n2 n3; do ip netns exec $n ipvsadm -Ln --nosort -u 198.51.100.99:9000 | grep -- "->" | grep -v Remote; echo; done',
);
const late = await sh('ip netns exec n1 ipvsadm -Ln | grep -A3 FWM');
const inPod = await sh(
  'ip -n pa -o addr show dev kube-tunnel-if; ip -n pa -o addr show dev kube-tunnel-v6; ip -n pb -o addr show dev kube-tunnel-if',
);

for (const [name, node] of [
  ['pa', 1],
  ['pb', 2],
] as const) {
  for (const address of [...VIPS, `10.1.${node}.2`])
    await sockets('serve', { ns: name, name, proto: 'tcp', address, port: 8080 });
}
for (const address of many) {
  await sockets('serve', { ns: 'pa', name: address, proto: 'udp', address, port: 9000 });
  await sockets('serve', { ns: 'pa', name: address, proto: 'tcp', address, port: 8080 });
}
const via = (node: number): Promise<string> =>
  sh(
    `ip -n ext route replace 198.51.100.0/24 via 192.168.1.1${node}; ip -n ext route replace 2001:db8:e::/64 via fd10::1${node}`,
  );

// mh: the same flow through every director.
const chosen: string[][] = [];
for (const node of [1, 2, 3]) {
  await via(node);
  const { answers } = await sockets('flows', {
    ns: 'ext',
    host: '198.51.100.99',
    port: 9000,
    first: 20000,
    count: FLOWS,
  });
  chosen.push(answers.map((text) => text.split(' ')[0] ?? ''));
  stamp(`${FLOWS} flows through n${node}`);
}

// A server that sorts before all others moves every one of them in the kernel's list; what is established goes on.
const first = '10.1.1.40';
await via(2);
const moving: string[] = [];
for (let index = 0; index < 20; index++) {
  const held = await sockets('ask', { ns: 'ext', host: '198.51.100.60', proto: 'tcp', port: 8080, hold: `m${index}` });
  moving.push(held.answer.split(' ')[0] ?? '');
}
const reordered = await directors[1]!.apply(change('t/order-4', orderEnds([first, ...many])));
failures.push(...reordered.failures);
const order = await sh(
  `ip netns exec n2 ipvsadm -Ln --nosort -t 198.51.100.60:8080 | awk '/->/ && !/Remote/ {print $2}'`,
);
const moved: string[] = [];
for (let index = 0; index < 20; index++) moved.push((await sockets('echo', { hold: `m${index}` })).answer);
stamp('reordered');

// DSR: client address kept, on both pods, both families; then the first director dies.
await via(1);
const answers: string[] = [];
const COUNT = 200;
for (let index = 0; index < COUNT; index++) {
  const host = index % 4 === 3 ? VIPS[1] : VIPS[0];
  answers.push(
    (await sockets('ask', { ns: 'ext', host, proto: 'tcp', port: 8080, hold: `h${index}`, timeout: 5 })).answer,
  );
}
stamp('held');
// The kernel sums its counters up every two seconds (ip_vs_est.c).
await new Promise((resolve) => setTimeout(resolve, 5000));
const counted = await firstValueFrom(
  ipvsCounters({
    runner: { run: (command, options) => runner.run({ netns: '/run/netns/n1', ...command }, options) },
    owner: (key) => directors[0]!.compiler.owner(key),
  }),
);
const counters = counted
  .filter(({ service: name }) => name === 't/dsr')
  .map(({ key, total, endpoints }) => ({
    kind: key.split('/').slice(0, 3).join('/'),
    connections: total.connections,
    sum: [...endpoints.values()].reduce((sum, { total: of }) => sum + of.connections, 0),
  }));
await via(3);
await sh('ip -n n1 link set eth0 mtu 1500; ip -n n1 route del default; ip netns exec n1 ipvsadm -C');
const survived: string[] = [];
for (let index = 0; index < COUNT; index++) survived.push((await sockets('echo', { hold: `h${index}` })).answer);
stamp('survived');

// Teardown: the Service goes, the pod's namespace is as before.
for (const { apply, pods, compiler } of directors.slice(1)) {
  await apply({ kind: 'Service', key: 't/dsr', object: undefined });
  await pods.update([...compiler.dsr.values()].flat());
}
const podAfter = await sh('ip -n pb -o link show | grep -c kube-tunnel || true');
const ruleAfter = await sh('ip -n n2 rule show | grep -c fwmark || true');
answer({
  failures,
  early,
  late,
  inPod,
  answers,
  survived,
  servers,
  chosen,
  moving,
  moved,
  order: order.trim().split('\n'),
  counters,
  podAfter,
  ruleAfter,
});
process.exit(0);
