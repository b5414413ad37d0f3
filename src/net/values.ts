/**
 * The plain values by which blocks meet: what one block says, another takes, and neither imports the other.
 * All addresses and prefixes are canonical text (RFC 5952; prefixes without host bits), so that values compare,
 * print and serialise as they are. Types only.
 */

/** Address family: 4 for IPv4, 6 for IPv6. */
export type Family = 4 | 6;

/** Transport protocols that Kubernetes Services and policies name. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** One thing wrong with one object: named, explained, never the end of the others. */
export interface Issue {
  /** `Kind namespace/name` or `Kind name`, e.g. `Service default/web`. */
  readonly object: string;
  /** Path of the field, e.g. `spec.ports[0].targetPort`; empty when the whole object is meant. */
  readonly field: string;
  /** What is wrong and what was done about it, in one sentence. */
  readonly reason: string;
  /** Where it was written, `file:line:column`, when it came from a file. */
  readonly source?: string;
}

/** BGP attributes that an advertisement may carry beyond its next hop. */
export interface AdvertisementAttributes {
  /** RFC 1997, each `ASN:value` or a well-known name such as `no-export`. */
  readonly communities?: readonly string[];
  /** RFC 8092, each `global:local1:local2`. */
  readonly largeCommunities?: readonly string[];
  /** RFC 4360, each `rt:A:B` or `soo:A:B`. */
  readonly extendedCommunities?: readonly string[];
  /** LOCAL_PREF, 0–4294967295; sent to iBGP peers only. */
  readonly localPreference?: number;
  /** MULTI_EXIT_DISC, 0–4294967295. */
  readonly med?: number;
  /** How often our own ASN (or `asn`) is prepended towards eBGP peers. */
  readonly prepend?: { readonly count: number; readonly asn?: number };
}

/** A prefix that this node says it can reach. Said by `routing` (pod CIDRs) and `ingress` (VIPs), taken by any speaker. */
export interface Advertisement {
  /** Canonical prefix, e.g. `10.1.2.0/24`. */
  readonly prefix: string;
  /** Canonical next-hop address; absent: the local address of each session. */
  readonly nextHop?: string;
  readonly attributes?: AdvertisementAttributes;
  /** What it stands for; export policies select by it. */
  readonly origin: 'pod-cidr' | 'vip' | 'other';
  /** Who asked for it, for people: `Service default/web`, `Node worker-1`. */
  readonly owners?: readonly string[];
}

/** One way out of a {@link KernelRoute}. */
export interface NextHop {
  /** Canonical gateway address. */
  readonly via: string;
  /** Share of flows, 1–256. @defaultValue 1 */
  readonly weight?: number;
}

/** A route learned from peers, to be put into the FIB. Said by `bgp`, taken by `routing`. */
export interface KernelRoute {
  /** Canonical prefix. */
  readonly prefix: string;
  /** One or more next hops, sorted; more than one is ECMP. */
  readonly nextHops: readonly NextHop[];
}

/** A change of the learned routes, in batches. */
export interface KernelRouteChanges {
  readonly changed: readonly KernelRoute[];
  /** Canonical prefixes no longer reachable. */
  readonly removed: readonly string[];
  /** Whether the first full picture has been delivered (End-of-RIB or its timers, RFC 4724): nothing stale may be pruned before. */
  readonly synced: boolean;
}

/** A service address and why this node does or does not announce it. Said by `ingress`, for people and programs. */
export interface VirtualIp {
  /** Canonical address. */
  readonly address: string;
  readonly kind: 'cluster' | 'external' | 'loadbalancer';
  readonly announced: boolean;
  readonly reason: string;
  /** `Service namespace/name`, sorted: a VIP may be shared. */
  readonly services: readonly string[];
}
