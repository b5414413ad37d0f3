/**
 * A load-balancer speaker in the manner of MetalLB: gives Services of type LoadBalancer an address out of a pool, and announces the
 * address from this node while the Service has a ready endpoint (of this node, with externalTrafficPolicy Local).
 * `node main.ts NODE POOL ROUTER=ASN MANIFESTS…`
 */
import { map, merge } from 'rxjs';
import { createSpeaker } from 'kube-router-sdk/bgp';
import { createInformers, createManifestSource } from 'kube-router-sdk/informers';
import type { ServiceObject } from 'kube-router-sdk/informers';
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

// a file has no status: what was given out is remembered here
const given = new Map<string, ServiceObject['ingress']>();
const assign = ({ key, object }: { readonly key: string; readonly object: ServiceObject | undefined }) => {
  const held = object && { ...object, ingress: given.get(key) ?? [] };
  allocator.observe(key, held);
  if (held?.type !== 'LoadBalancer') return { key, object };
  const { ips, issues } = allocator.allocate(held);
  for (const issue of issues) console.log(`${issue.object}: ${issue.reason}`);
  given.set(
    key,
    ips.map((ip) => ({ ip, ipMode: 'VIP' })),
  );
  return { key, object: { ...held, ingress: given.get(key) ?? [] } };
};

const advertisements$ = merge(
  informers.services.changes$.pipe(map(({ changed }) => ({ services: changed.map(assign) }))),
  informers.endpointSlices.changes$.pipe(map(({ changed }) => ({ endpointSlices: changed }))),
).pipe(
  map((input) => {
    const { virtualIps, advertisements } = ingress.update(input);
    for (const { address: vip, kind, announced, reason } of virtualIps)
      if (kind === 'loadbalancer') console.log(`${vip} ${announced ? 'announced' : 'held back'}: ${reason}`);
    return advertisements;
  }),
);
speaker.announce(advertisements$);
await new Promise((resolve) => process.once('SIGTERM', resolve));
await informers.close();
