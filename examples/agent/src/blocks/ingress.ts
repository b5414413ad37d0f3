/**
 * Which service addresses this node announces: services, endpoints and this node's own state into the compiler; out come the
 * advertisements for BGP and, for people, each address with its reason.
 */
import { createIngressCompiler, type IngressInput, type IngressOutput } from 'kube-router-sdk/ingress';
import type { Advertisement, Issue } from 'kube-router-sdk/net';
import { distinctUntilChanged, map, type Observable } from 'rxjs';
import { loadBalancerRanges } from '../config/ranges.ts';
import { createFeed } from '../feed.ts';
import { objectInput } from '../sources.ts';
import type { BlockContext } from './context.ts';

/** What ingress tells the others. */
export interface IngressBlock {
  /** The full set, after the first full picture of services and endpoints. */
  readonly advertisements$: Observable<readonly Advertisement[]>;
  readonly issues: () => readonly Issue[];
  /** Whether every node may draw an advertisement's traffic, so that a wider prefix may speak for it. */
  readonly everywhere: (advertisement: Advertisement) => boolean;
  /** Whether an address is one of the cluster's service addresses. */
  readonly isServiceAddress: (address: string) => boolean;
}

/** Wires the block. */
export function wireIngress(context: BlockContext): IngressBlock {
  const { config, node, families, objects, providers } = context;
  const { flags } = config;
  const compiler = createIngressCompiler(node, {
    families,
    advertiseClusterIp: flags['advertise-cluster-ip'],
    advertiseExternalIp: flags['advertise-external-ip'],
    advertiseLoadBalancerIp: flags['advertise-loadbalancer-ip'],
    strictExternalIpValidation: flags['strict-external-ip-validation'],
    clusterIpRanges: flags['service-cluster-ip-range'],
    externalIpRanges: flags['service-external-ip-range'],
    loadBalancerIpRanges: loadBalancerRanges(config),
    withoutEndpoints: flags['advertise-without-endpoints'] ? 'announce' : 'withdraw',
    withdrawOnMaintenance: flags['withdraw-on-maintenance'],
  });
  let latest: IngressOutput | undefined;
  const update = (input: IngressInput) => {
    latest = compiler.update(input);
    return { state: latest, dirty: new Set<string>() };
  };
  const feed = createFeed<IngressOutput>();
  feed.add(objectInput(objects.open('Node')), ({ changed }) => update({ nodes: changed }));
  feed.add(objectInput(objects.open('Service')), ({ changed }) => update({ services: changed }));
  feed.add(objectInput(objects.open('EndpointSlice')), ({ changed }) => update({ endpointSlices: changed }));
  context.onClose(() => feed.close());
  providers.vips = () => latest?.virtualIps ?? [];
  return {
    advertisements$: feed.desired$.pipe(
      map(({ state }) => state.advertisements),
      distinctUntilChanged(),
    ),
    issues: () => latest?.issues ?? [],
    everywhere: (advertisement) => latest?.everywhere(advertisement) ?? false,
    isServiceAddress: (address) => latest?.isServiceAddress(address) ?? false,
  };
}
