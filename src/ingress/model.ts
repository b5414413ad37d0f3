/**
 * What ingress is told and what it says: options of the flags, and for each address whether this node announces it and why.
 * Types and annotation keys only.
 */
import type { Advertisement, AdvertisementAttributes, Family, Issue, VirtualIp } from '../net/values.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../objects/types.ts';

/** Annotation keys of a Service that ingress reads. */
export const serviceAnnotations = {
  advertiseClusterIp: 'kube-router.io/service.advertise.clusterip',
  advertiseExternalIp: 'kube-router.io/service.advertise.externalip',
  advertiseLoadBalancerIp: 'kube-router.io/service.advertise.loadbalancerip',
  local: 'kube-router.io/service.local',
  skipLoadBalancerIps: 'kube-router.io/service.skiplbips',
  communities: 'kube-router.io/bgp.communities',
  largeCommunities: 'kube-router.io/bgp.large-communities',
  extendedCommunities: 'kube-router.io/bgp.extended-communities',
  localPreference: 'kube-router.io/bgp.local-preference',
  med: 'kube-router.io/bgp.med',
  pathPrepend: 'kube-router.io/bgp.path-prepend',
  nextHop: 'kube-router.io/bgp.next-hop',
  requestedIps: 'kube-router.io/loadbalancer.ips',
  pool: 'kube-router.io/loadbalancer.pool',
  sharingKey: 'kube-router.io/loadbalancer.sharing-key',
} as const;

/** BGP attributes of every address inside a prefix, unless its Service says otherwise. */
export interface PrefixAttributes {
  /** Canonical prefix. */
  readonly prefix: string;
  readonly attributes: AdvertisementAttributes;
}

/** Options of {@link compile} and {@link createIngressCompiler}. */
export interface IngressOptions {
  /** @defaultValue [4] */
  readonly families?: readonly Family[];
  /** Announce cluster IPs of Services that do not say. @defaultValue false */
  readonly advertiseClusterIp?: boolean;
  /** Announce external IPs of Services that do not say. @defaultValue false */
  readonly advertiseExternalIp?: boolean;
  /** Announce load-balancer IPs of Services that do not say. @defaultValue false */
  readonly advertiseLoadBalancerIp?: boolean;
  /** Accept external and load-balancer IPs only from the ranges below, none when there is no range. @defaultValue true */
  readonly strictExternalIpValidation?: boolean;
  /** CIDRs of cluster IPs: never an external or load-balancer IP. @defaultValue ['10.96.0.0/12'] */
  readonly clusterIpRanges?: readonly string[];
  /** CIDRs that external IPs may come from. @defaultValue [] */
  readonly externalIpRanges?: readonly string[];
  /** CIDRs that load-balancer IPs may come from. @defaultValue [] */
  readonly loadBalancerIpRanges?: readonly string[];
  /** What happens to a Service without a usable endpoint anywhere; `announce` is what kube-router does. @defaultValue 'withdraw' */
  readonly withoutEndpoints?: 'withdraw' | 'announce';
  /** Withdraw everything while this node is cordoned, being drained or shutting down. @defaultValue true */
  readonly withdrawOnMaintenance?: boolean;
  /** Attributes by prefix, e.g. of address pools; the longest match counts. @defaultValue [] */
  readonly attributes?: readonly PrefixAttributes[];
}

/** One change of an object; no object: it is gone. */
export interface Change<T> {
  /** `namespace/name`, or `name`. */
  readonly key: string;
  readonly object: T | undefined;
}

/** What changed since the call before; everything is optional. */
export interface IngressInput {
  readonly services?: readonly Change<ServiceObject>[];
  readonly endpointSlices?: readonly Change<EndpointSliceObject>[];
  /** Nodes; only this node's own matters. */
  readonly nodes?: readonly Change<NodeObject>[];
  /** This node's agent or machine is about to stop: everything is withdrawn before traffic is. */
  readonly shuttingDown?: boolean;
}

/** What this node announces after a change, and why. */
export interface IngressOutput {
  /** Every service address, sorted; made when first read, of the state at that time. */
  readonly virtualIps: readonly VirtualIp[];
  /** The full set for a speaker, sorted; an unchanged advertisement is the same object as before. */
  readonly advertisements: readonly Advertisement[];
  readonly issues: readonly Issue[];
  /** Whether `advertisements` differs from the output before. */
  readonly changed: boolean;
  /**
   * Whether every node may draw the traffic of one of these advertisements: traffic policy Cluster for all Services that announce it.
   * What {@link aggregate} asks before it lets a wider prefix speak for an address.
   */
  readonly everywhere: (advertisement: Advertisement) => boolean;
  /** Whether a Service has this address (canonical text), announced or not; costs no walk over all of them. */
  readonly isServiceAddress: (address: string) => boolean;
}
