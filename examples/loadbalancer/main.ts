/**
 * A load-balancer speaker in the manner of MetalLB: gives Services of type LoadBalancer an address out of a pool, and announces the
 * address from this node while the Service has a ready endpoint (of this node, with externalTrafficPolicy Local).
 * `node main.ts NODE POOL ROUTER=ASN MANIFESTS…`
 */
import { combineLatest, debounceTime, map } from 'rxjs';
import { createSpeaker } from 'kube-router-sdk/bgp';
import { createInformers, createManifestSource } from 'kube-router-sdk/informers';
import { createIngressCompiler, createPoolAllocator } from 'kube-router-sdk/ingress';

const [node = '', pool = '', router = '', ...paths] = process.argv.slice(2);
const [address = '', asn = ''] = router.split('=');
const informers = createInformers({
  source: await createManifestSource({ paths }),
  kinds: ['Service', 'EndpointSlice'],
});
const allocator = createPoolAllocator({ pools: [{ name: 'main', cidrs: [pool] }] });
const ingress = createIngressCompiler(node, { advertiseLoadBalancerIp: true, loadBalancerIpRanges: [pool] });
await using speaker = await createSpeaker({
  asn: 64512,
  routerId: '192.0.2.1',
  peers: [{ address, asn: Number(asn) }],
});

let known = { services: new Set<string>(), slices: new Set<string>() };
const advertisements$ = combineLatest([informers.services.snapshot$, informers.endpointSlices.snapshot$]).pipe(
  debounceTime(20),
  map(([services, slices]) => {
    const assigned = [...services.items].map(([key, service]) => {
      allocator.observe(key, service);
      if (service.type !== 'LoadBalancer') return { key, object: service };
      const { ips, issues } = allocator.allocate(service);
      for (const { object, reason } of issues) console.log(`${object}: ${reason}`);
      return { key, object: { ...service, ingress: ips.map((ip) => ({ ip, ipMode: 'VIP' as const })) } };
    });
    const gone = [...known.services].filter((key) => !services.items.has(key));
    for (const key of gone) allocator.observe(key, undefined);
    const goneSlices = [...known.slices].filter((key) => !slices.items.has(key));
    known = { services: new Set(services.items.keys()), slices: new Set(slices.items.keys()) };
    const absent = (key: string) => ({ key, object: undefined });
    const { virtualIps, advertisements } = ingress.update({
      services: [...assigned, ...gone.map(absent)],
      endpointSlices: [...[...slices.items].map(([key, object]) => ({ key, object })), ...goneSlices.map(absent)],
    });
    for (const { address: vip, kind, announced, reason } of virtualIps)
      if (kind === 'loadbalancer') console.log(`${vip} ${announced ? 'announced' : 'held back'}: ${reason}`);
    return advertisements;
  }),
);
speaker.announce(advertisements$);
await new Promise((resolve) => process.once('SIGTERM', resolve));
await informers.close();
