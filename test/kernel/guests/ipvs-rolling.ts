/**
 * Runs in the guest: a rolling update under load with the target's own drain timer, connections that outlive it, an endpoint that
 * flaps, a Service scaled to nothing, and UDP clients of a server that goes.
 */
import { createIpvsTarget, createServiceCompiler } from '../../../src/ipvs/index.ts';
import type { ServiceChange } from '../../../src/ipvs/index.ts';
import { pod, service, slice } from '../../support/ipvs-objects.ts';
import { makeNodes, makePod, openSockets } from '../../support/ipvs-nodes.ts';
import { answer, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

const SECONDS = 30;
const VIP = '198.51.100.50';
const DATAGRAM_VIP = '198.51.100.51';
const old = ['10.1.1.21', '10.1.1.22', '10.1.2.21', '10.1.2.22'];
const fresh = ['10.1.1.23', '10.1.1.24', '10.1.2.23', '10.1.2.24'];
const all = [...old, ...fresh];
const on = (node: number): string[] =>
  all.filter((address) => address.startsWith(`10.1.${node}.`)).map((address) => `${address}/24`);
await makeNodes(2);
await makePod('pa', 1, 2, on(1));
await makePod('pb', 2, 2, on(2));
const sockets = openSockets();
for (const address of all) {
  const ns = address.startsWith('10.1.1.') ? 'pa' : 'pb';
  for (const proto of ['tcp', 'udp']) await sockets('serve', { ns, name: address, proto, address, port: 8080 });
}
const compiler = createServiceCompiler({
  node: { name: 'n1', primary: { 4: '192.168.1.11' }, podCIDRs: ['10.1.1.0/24'] },
  clusterIpRanges: ['172.16.0.0/16'],
  externalIpRanges: ['198.51.100.0/24'],
});
const runner = shellRunner();
const target = createIpvsTarget({
  families: [4],
  runner: { run: (command, options) => runner.run({ netns: '/run/netns/n1', ...command }, options) },
  drainIntervalMs: 500,
});
const memory = {};
const failures: string[] = [];
const apply = async (...changes: ServiceChange[]): Promise<void> => {
  compiler.update(changes);
  const { state, dirty } = compiler.flush();
  failures.push(...(await pass(target, state, memory, dirty)).failures);
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
type Place = 'ready' | 'ending' | 'unready' | 'gone';
const places = new Map<string, Place>(old.map((address) => [address, 'ready']));
/** The slice as the endpoint controller writes it: an ending pod still serves, one that is not ready does not. */
const web = (): ServiceChange => ({
  kind: 'EndpointSlice',
  key: 't/web-4',
  object: slice(
    't/web',
    [...places].flatMap(([address, place]) => {
      const ending = place === 'ending';
      const at = { address, pod: `t/p${address}`, node: address.startsWith('10.1.1.') ? 'n1' : 'n2' };
      return place === 'gone'
        ? []
        : [{ ...at, ready: place === 'ready', serving: place !== 'unready', terminating: ending }];
    }),
  ),
});
const udp = (addresses: readonly string[]): ServiceChange => ({
  kind: 'EndpointSlice',
  key: 't/udp-4',
  object: slice('t/udp', addresses, [{ port: 8080, protocol: 'UDP' }]),
});
const servers = async (vip = VIP): Promise<string[]> =>
  (await sh(`ip netns exec n1 ipvsadm -Sn | grep -- "${vip}" || true`)).trim().split('\n');
await apply(
  ...all.map((address): ServiceChange => {
    const spec = { terminationGracePeriodSeconds: old.includes(address) ? 60 : 6 };
    return { kind: 'Pod', key: `t/p${address}`, object: pod(`t/p${address}`, { ips: [address], spec }) };
  }),
  {
    kind: 'Service',
    key: 't/web',
    object: service('t/web', {
      clusterIPs: ['172.16.0.50'],
      ports: [{ port: 8080, protocol: 'TCP' }],
      spec: { externalIPs: [VIP] },
    }),
  },
  {
    kind: 'Service',
    key: 't/udp',
    object: service('t/udp', {
      clusterIPs: ['172.16.0.51'],
      ports: [{ port: 8080, protocol: 'UDP' }],
      spec: { externalIPs: [DATAGRAM_VIP] },
    }),
  },
  web(),
  udp(['10.1.1.23', '10.1.2.23']),
);
const ask = async (hold?: string, host = VIP, proto = 'tcp'): Promise<string> => {
  const { answer: text } = await sockets('ask', { ns: 'ext', host, proto, port: 8080, timeout: 5, hold });
  return text.split(' ')[0] ?? '';
};

// Rolling update: a new pod, the old one ends, two seconds later it is gone; the next one.
const holders = new Map<string, string>();
for (let index = 0; index < 40; index++) holders.set(`long${index}`, await ask(`long${index}`));
const load = sockets('pace', {
  ns: 'ext',
  host: VIP,
  proto: 'tcp',
  port: 8080,
  seconds: SECONDS,
  rate: 50,
  timeout: 5,
});
const lived: Record<string, string[]> = {};
const ended: Record<string, string[]> = {};
const weights: string[] = [];
for (const [index, leaving] of old.entries()) {
  await pause(1500);
  places.set(fresh[index] ?? '', 'ready');
  await apply(web());
  await pause(1500);
  places.set(leaving, 'ending');
  await apply(web());
  weights.push((await servers()).find((line) => line.includes(`-r ${leaving}:`)) ?? '');
  await pause(3000);
  const mine = [...holders].filter(([, name]) => name === leaving).map(([hold]) => hold);
  lived[leaving] = [];
  for (const hold of mine) lived[leaving].push((await sockets('echo', { hold })).answer);
  await sockets('end', { address: leaving });
  places.set(leaving, 'gone');
  await apply(web());
  ended[leaving] = [];
  for (const hold of mine) ended[leaving].push((await sockets('wait', { hold })).answer);
}
const { answers: loaded } = await load;

// An endpoint flaps: unready, then ready again before its drain is over, which is thereby called off.
const flapping = '10.1.2.24';
let hold = '';
for (let index = 0; index < 8 && hold === ''; index++)
  if ((await ask(`flap${index}`)) === flapping) hold = `flap${index}`;
places.set(flapping, 'unready');
await apply(web());
const flap = [(await servers()).find((line) => line.includes(flapping)) ?? ''];
await pause(1000);
places.set(flapping, 'ready');
await apply(web());
await pause(7000);
flap.push((await servers()).find((line) => line.includes(flapping)) ?? '', (await sockets('echo', { hold })).answer);

// Scaled to nothing: what is new is refused at once, what is established goes on; the last server goes with its time.
for (const address of fresh) places.set(address, address === flapping ? 'unready' : 'gone');
await apply(web());
const zero: string[] = [];
for (const from of ['ext', 'n1', 'pa']) {
  const { answer: text, seconds } = await sockets('ask', { ns: from, host: VIP, proto: 'tcp', port: 8080, timeout: 5 });
  zero.push(`${from} ${text}${seconds > 0.9 ? ' late' : ''}`);
}
const outlived = (await sockets('echo', { hold })).answer;
places.set(flapping, 'gone');
await apply(web());
let empty = await servers();
for (let seconds = 0; seconds < 80 && empty.join('') !== ''; seconds++) {
  await pause(1000);
  empty = await servers();
}
const { answer: after, seconds: afterSeconds } = await sockets('ask', {
  ns: 'n1',
  host: VIP,
  proto: 'tcp',
  port: 8080,
  timeout: 5,
});

// UDP: the conntrack entries of the server that goes are deleted, those of the other stay.
const clients = new Map<string, string>();
for (let index = 0; index < 6; index++) clients.set(`u${index}`, await ask(`u${index}`, DATAGRAM_VIP, 'udp'));
const entries = async (): Promise<string[]> => {
  const text = await sh(`ip netns exec n1 conntrack -L -p udp --orig-dst ${DATAGRAM_VIP} 2>/dev/null || true`);
  return [...text.matchAll(/sport=(\d+) dport=8080 .*?src=(10\.\S+)/g)]
    .map((match) => `${match[1]} ${match[2]}`)
    .sort();
};
const tracked = await entries();
await apply(udp(['10.1.2.23']));
const left = await entries();
const next: string[] = [];
for (const name of clients.keys()) next.push((await sockets('echo', { hold: name })).answer.split(' ')[0] ?? '');
answer({
  failures,
  holders: [...holders.values()],
  loaded,
  lived,
  ended,
  weights,
  flap,
  zero,
  outlived,
  empty,
  after: `${after}${afterSeconds > 0.9 ? ' late' : ''}`,
  clients: [...clients.values()],
  tracked,
  left,
  next,
});
process.exit(0);
