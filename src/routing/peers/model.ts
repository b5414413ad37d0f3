/**
 * BGP sessions that this node should have, as plain values: whoever runs a speaker maps them to its own options.
 * Types only; knows no speaker.
 */
import type { AdvertisementAttributes, Family, Issue } from '../../net/values.ts';

/** BFD of one session (RFC 5880); intervals in milliseconds. */
export interface BfdConfig {
  /** UDP port. */
  readonly port: number;
  /** Lost packets until the peer is down, 1–255. */
  readonly detectionMultiplier: number;
  /** Milliseconds between packets that we send. */
  readonly desiredMinTxMs: number;
  /** Milliseconds between packets that we can take. */
  readonly requiredMinRxMs: number;
}

/** Graceful restart of one session (RFC 4724); times in seconds. */
export interface GracefulRestartConfig {
  /** Seconds for which peers keep our routes, 1–4095 (RFC 4724 section 3). */
  readonly restartTimeSeconds: number;
  /** Seconds that we wait for End-of-RIB after a restart. */
  readonly deferralTimeSeconds: number;
}

/** One BGP session that should be. */
export interface BgpPeerConfig {
  /** Unique, for people: `node worker-2`, `external 192.0.2.1`. */
  readonly name: string;
  /** Canonical. */
  readonly address: string;
  /** Canonical local address of the session. */
  readonly localAddress?: string;
  /** AS number of the peer, 1–4294967295. */
  readonly asn: number;
  /** TCP port of the peer. */
  readonly port: number;
  /** `internal`: another node of the cluster; `external`: a router outside, whatever its ASN. */
  readonly kind: 'internal' | 'external';
  readonly routeReflectorClient: boolean;
  /** TCP MD5 secret (RFC 2385); never printed. */
  readonly password?: string;
  /** TTL of an eBGP multihop session; absent: directly connected. */
  readonly multihopTtl?: number;
  /** Seconds, 0 or at least 3 (RFC 4271 section 4.2). */
  readonly holdTimeSeconds: number;
  readonly gracefulRestart?: GracefulRestartConfig;
  readonly bfd?: BfdConfig;
  /** Address families to negotiate, sorted. */
  readonly families: readonly Family[];
}

/** What BGP should look like on this node. */
export interface BgpNodeConfig {
  /** 0 when it is not known; then there are no peers. */
  readonly asn: number;
  /** Dotted quad; empty when it is not known. */
  readonly routerId: string;
  /** Addresses to listen on. */
  readonly listen: readonly string[];
  /** TCP port to listen on. */
  readonly port: number;
  /** Route-reflector cluster id as dotted quad, on a reflector. */
  readonly clusterId?: string;
  readonly peers: readonly BgpPeerConfig[];
  /** Added to everything that goes to external peers. */
  readonly exportAttributes: AdvertisementAttributes;
  /** Canonical prefixes that are refused on import, with everything longer inside them. */
  readonly importReject: readonly string[];
  readonly issues: readonly Issue[];
}

/** One external peer from flags. */
export interface ExternalPeerOption {
  readonly address: string;
  /** AS number of the peer, 1–4294967295. */
  readonly asn: number;
  /** @defaultValue 179 */
  readonly port?: number;
  /** Plain text. */
  readonly password?: string;
  readonly localAddress?: string;
  readonly bfd?: BfdConfig;
}

/** Options of {@link peers}: kube-router's flags as values. */
export interface PeersOptions {
  /** @defaultValue [4] */
  readonly families?: readonly Family[];
  /** Cluster-wide ASN. @defaultValue 64512 */
  readonly clusterAsn?: number;
  /** Everyone peers with everyone; off: each node has its own ASN and peers with its equals. @defaultValue true */
  readonly nodesFullMesh?: boolean;
  /** Sessions between nodes at all. @defaultValue true */
  readonly enableIbgp?: boolean;
  /** Listen port, and remote port of node-to-node sessions. @defaultValue 179 */
  readonly port?: number;
  /** Seconds. @defaultValue 90 */
  readonly holdTimeSeconds?: number;
  /** Absent: off. */
  readonly gracefulRestart?: GracefulRestartConfig;
  /** Explicit id, or `generate` for a hash of the primary address. @defaultValue the node's primary IPv4 address */
  readonly routerId?: string;
  /** External peers of every node; when there are any, the node's peer annotations are not read. */
  readonly externalPeers?: readonly ExternalPeerOption[];
  /** 2–255: eBGP multihop for all external peers. */
  readonly multihopTtl?: number;
  /** BFD of external peers from `externalPeers` that have none of their own; absent: none. */
  readonly bfd?: BfdConfig;
  /** BFD between nodes; absent: none. */
  readonly internalBfd?: BfdConfig;
  /** TCP MD5 secret of node-to-node sessions; absent: none. */
  readonly internalPassword?: string;
}
