/**
 * Runs in the guest: a dual-stack node's services from nothing to programmed, changed, restarted and cleaned up, beside foreign
 * virtual servers, addresses and rules.
 */
import { cleanupIpvs, createIpvsTarget, createServiceCompiler } from '../../../src/ipvs/index.ts';
import { openOwnership } from '../../../src/kernel/index.ts';
import { service, slice } from '../../support/ipvs-objects.ts';
import { answer, kernelText, pass, sh, shellRunner } from '../../support/ipvs-shell.ts';

await sh(`ip link add eth0 type dummy; ip link set eth0 up
ip addr add 192.168.1.11/24 dev eth0; ip addr add fd10::11/64 dev eth0 nodad; ip route add default via 192.168.1.1; ip -6 route add default via fd10::1
ip addr add 203.0.113.9/32 dev eth0
ipvsadm -A -t 203.0.113.9:443 -s wlc; ipvsadm -a -t 203.0.113.9:443 -r 192.168.1.50:443 -m -w 3
ipvsadm -A -f 99 -s rr
iptables -A INPUT -p tcp --dport 22 -j ACCEPT; iptables -t nat -A POSTROUTING -s 172.20.0.0/16 -j MASQUERADE
ipset create theirs hash:ip; ipset add theirs 192.0.2.1
sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.vs.conn_reuse_mode=1`);
const stamps: number[] = [];
const stamp = () => stamps.push(Math.round(performance.now()));
stamp();
const before = await kernelText();
const ownership = await openOwnership({ path: '/run/krs/owned.json' });
const runner = shellRunner();
const node = {
  name: 'worker-1',
  primary: { 4: '192.168.1.11', 6: 'fd10::11' },
  podCIDRs: ['10.1.1.0/24', 'fd01:1::/64'],
};
const compiler = createServiceCompiler({
  node,
  clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
  externalIpRanges: ['198.51.100.0/24'],
});
const web = service('shop/web', {
  type: 'NodePort',
  clusterIPs: ['172.16.0.10', 'fd00::10'],
  ports: [{ name: '', port: 80, protocol: 'TCP', targetPort: 8080, nodePort: 30080 }],
});
const dns = service('kube-system/dns', {
  clusterIPs: ['172.16.0.2'],
  ports: [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'sctp', port: 53, protocol: 'SCTP' },
  ],
  annotations: { 'kube-router.io/service.scheduler': 'mh', 'kube-router.io/service.schedflags': 'flag-2' },
  spec: {
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    externalIPs: ['198.51.100.5'],
    externalTrafficPolicy: 'Local',
  },
});
const key = (name: string, kind: 'Service' | 'EndpointSlice', object: never) => ({ kind, key: name, object });
compiler.update([
  key('shop/web', 'Service', web as never),
  key('shop/web-4', 'EndpointSlice', slice('shop/web', ['10.1.1.2', '10.1.2.3']) as never),
  key('shop/web-6', 'EndpointSlice', slice('shop/web', ['fd01:1::2']) as never),
  key('kube-system/dns', 'Service', dns as never),
  key(
    'kube-system/dns-4',
    'EndpointSlice',
    slice(
      'kube-system/dns',
      [
        { address: '10.1.1.9', node: 'worker-1' },
        { address: '10.1.2.9', node: 'worker-2' },
      ],
      [
        { name: 'dns', port: 5353, protocol: 'UDP' },
        { name: 'sctp', port: 5354, protocol: 'SCTP' },
      ],
    ) as never,
  ),
]);
let target = createIpvsTarget({ runner, owned: ownership.block('ipvs'), drainIntervalMs: 100_000 });
const memory = {};
const first = await pass(target, compiler.flush().state, memory);
stamp();
const programmed = await kernelText();
stamp();
const again = await pass(target, compiler.flush().state, {});

// Change: one endpoint goes, one comes; the incremental pass touches only those.
compiler.update([key('shop/web-4', 'EndpointSlice', slice('shop/web', ['10.1.1.2', '10.1.2.4']) as never)]);
const changed = compiler.flush();
const second = await pass(target, changed.state, memory, changed.dirty);
const draining = await kernelText();
await target.close();

// Restart: a new target reads the record, the drain goes on; idle, it ends.
target = createIpvsTarget({
  runner,
  owned: (await openOwnership({ path: '/run/krs/owned.json' })).block('ipvs'),
  drainIntervalMs: 100_000,
});
stamp();
const restarted = await pass(target, changed.state, {});
stamp();
const left = await target.drainNow();
const drained = await kernelText();
stamp();
const settled = await pass(target, changed.state, {});
// The kernel's own route of an IPv6 VIP comes when it likes: it is taken away, and cleanup leaves nothing of either behind.
const kernelRoute = 'ip route add local fd00::10 dev kube-dummy-if table local proto kernel metric 1';
await sh(kernelRoute);
const late = await pass(target, changed.state, {});
const alone = await kernelText();
await sh(kernelRoute);
await target.close();
stamp();
const cleaned = await cleanupIpvs({
  runner,
  owned: (await openOwnership({ path: '/run/krs/owned.json' })).block('ipvs'),
});
stamp();
const after = await kernelText();
stamp();
console.log(stamps.join(' '));
answer({
  before,
  first,
  programmed,
  again,
  second,
  draining,
  restarted,
  left,
  drained,
  settled,
  late,
  alone,
  cleaned,
  after,
  issues: compiler.issues(),
});
process.exit(0);
