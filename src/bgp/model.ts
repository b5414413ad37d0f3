/**
 * What a speaker is told: itself, its peers, and what may be asked of each session.
 * Plain readonly values with their units; the speaker compares them field by field to find out what a change touches.
 * Types only, but for the defaults.
 */
import type { Role } from './message/types.ts';
import type { Policy } from './policy/types.ts';
import type { AggregateOptions } from './rib/aggregate.ts';

/** Families that a session may carry. */
export type UnicastFamily = 'ipv4-unicast' | 'ipv6-unicast';

/** Graceful restart (RFC 4724) as wanted with one peer. */
export interface GracefulRestartOptions {
  /** Seconds that the peer shall keep our routes while we restart, 1–4095. */
  readonly restartTime: number;
  /** Says that we have just restarted and kept forwarding. @defaultValue false */
  readonly restarting?: boolean;
  /** Seconds after which routes of a peer that came back without End-of-RIB go. @defaultValue 360 */
  readonly staleTime?: number;
  /** Long-lived graceful restart (RFC 9494): seconds that stale routes stay as last resort. @defaultValue 0: off */
  readonly longLivedTime?: number;
}

/** Liveness detection (RFC 5880). */
export interface BfdOptions {
  /** Milliseconds between packets, sent and wanted. */
  readonly interval: number;
  /** Packets that may be lost. */
  readonly multiplier: number;
}

/** How many prefixes a peer may send. */
export interface MaxPrefixOptions {
  /** Paths of one family, 1–4294967295. */
  readonly limit: number;
  /** Seconds after which the session is tried again; absent: not before the peer's options change. */
  readonly restartAfter?: number;
  /** Says so and goes on. @defaultValue false */
  readonly warnOnly?: boolean;
}

/** What peers by configuration and peers by prefix have in common. */
export interface SessionOptions {
  /** The peer's AS number. */
  readonly asn: number;
  /** Our AS number towards this peer, when not the speaker's. */
  readonly localAsn?: number;
  /** For people; the address when absent. */
  readonly name?: string;
  /** TCP MD5 signature key (RFC 2385), at most 80 octets. */
  readonly password?: string;
  /** TTL security (RFC 5082): true for a neighbour on the link, else the greatest number of hops. */
  readonly ttlSecurity?: boolean | number;
  /**
   * The peer may be more than one hop away; a number is the hop limit of what we send. Without it packets to an eBGP peer have a hop
   * limit of 1, so that they reach neighbours on the link only. @defaultValue false for eBGP, true for iBGP
   */
  readonly multihop?: boolean | number;
  /** Seconds; 0 or 3–65535. @defaultValue the speaker's */
  readonly holdTime?: number;
  /** @defaultValue both */
  readonly families?: readonly UnicastFamily[];
  /** Several paths a prefix (RFC 7911). */
  readonly addPath?: 'receive' | 'send' | 'both';
  /** Most paths of a prefix that are sent. @defaultValue 8 */
  readonly addPathLimit?: number;
  readonly gracefulRestart?: GracefulRestartOptions;
  /** Routes of other iBGP peers are reflected to this one (RFC 4456); refused for a peer of another AS. @defaultValue false */
  readonly routeReflectorClient?: boolean;
  /** Our role towards the peer (RFC 9234). */
  readonly role?: Role;
  /** Sessions without the peer's role are refused. @defaultValue false */
  readonly strictRole?: boolean;
  /** Says our own address as next hop of every route, not only towards other ASes. @defaultValue false */
  readonly nextHopSelf?: boolean;
  /** Leaves next hops as they are, towards other ASes too. @defaultValue false */
  readonly nextHopUnchanged?: boolean;
  /** What next hop self is; each by default the session's local address, or another of the same interface. */
  readonly nextHop?: { readonly ipv4?: string; readonly ipv6?: string };
  /** IPv6 next hops for IPv4 routes (RFC 8950). @defaultValue false */
  readonly extendedNextHop?: boolean;
  /** Messages of up to 65,535 octets (RFC 8654). @defaultValue true */
  readonly extendedMessages?: boolean;
  readonly importPolicy?: Policy;
  readonly exportPolicy?: Policy;
  readonly maxPrefixes?: MaxPrefixOptions;
  /** Refuses eBGP routes whose path does not begin with the peer's AS. @defaultValue true */
  readonly enforceFirstAs?: boolean;
  /** Takes private AS numbers out of paths sent. @defaultValue false */
  readonly removePrivateAs?: boolean;
  /** Honours GRACEFUL_SHUTDOWN from eBGP peers by LOCAL_PREF 0 (RFC 8326). @defaultValue true */
  readonly gracefulShutdown?: boolean;
  readonly bfd?: BfdOptions;
  /** Seconds to wait for the peer's OPEN before ours is sent. @defaultValue 0 */
  readonly delayOpen?: number;
  /** Seconds between attempts. @defaultValue 5 */
  readonly connectRetryTime?: number;
  /** Seconds of the first pause after a failed session, doubling to 60. @defaultValue 1 */
  readonly idleHoldTime?: number;
  /** Seconds after which a peer that takes nothing is dropped (RFC 9687). @defaultValue the greater of 480 and twice the hold time */
  readonly sendHoldTime?: number;
}

/** A configured peer. */
export interface PeerOptions extends SessionOptions {
  /** Canonical address; link-local ones with their interface, `fe80::1%eth0`. */
  readonly address: string;
  /** @defaultValue 179 */
  readonly port?: number;
  readonly localAddress?: string;
  /** Waits for the peer to connect. @defaultValue false */
  readonly passive?: boolean;
  /** Keeps the session down, telling the peer why (RFC 9003). */
  readonly shutdown?: boolean | string;
}

/** Peers that connect from anywhere within a prefix. */
export interface DynamicPeerOptions extends Omit<SessionOptions, 'asn'> {
  /** Canonical prefix. */
  readonly prefix: string;
  /** Acceptable AS numbers. */
  readonly asns: readonly number[];
  /** Most sessions at a time. @defaultValue 1000 */
  readonly limit?: number;
}

/** What {@link createSpeaker} is made from, as far as it is data. */
export interface SpeakerConfig {
  /** AS number of this speaker, 1–4294967295. */
  readonly asn: number;
  /** BGP identifier as dotted quad. */
  readonly routerId: string;
  /** Addresses to listen on; none when absent. */
  readonly listen?: readonly { readonly address: string; readonly port?: number }[];
  readonly peers?: readonly PeerOptions[];
  readonly dynamicPeers?: readonly DynamicPeerOptions[];
  /** Seconds. @defaultValue 90 */
  readonly holdTime?: number;
  /** Route reflector cluster as dotted quad. @defaultValue the router id */
  readonly clusterId?: string;
  /** Other member ASes and the identifier of the confederation (RFC 5065). */
  readonly confederation?: { readonly id: number; readonly members: readonly number[] };
  /** Next hops used together, by kind of peer. @defaultValue 1 each */
  readonly multipath?: { readonly ebgp?: number; readonly ibgp?: number; readonly relaxAs?: boolean };
  /** Compares MED between different neighbour ASes. @defaultValue false */
  readonly alwaysCompareMed?: boolean;
  /** How often our own AS may stand in a path. @defaultValue 0 */
  readonly allowOwnAs?: number;
  /** Import policy of peers without one. @defaultValue accepts everything */
  readonly importPolicy?: Policy;
  /** Export policy of peers without one. @defaultValue accepts everything */
  readonly exportPolicy?: Policy;
  /** Prefixes originated while a longer route within them is best. */
  readonly aggregates?: readonly AggregateOptions[];
  /** Said in the FQDN capability; none when absent. */
  readonly hostName?: string;
}
