/**
 * What BGP messages say, as plain values: the vocabulary between the codec and everything built on it.
 * Addresses are canonical text, AS numbers and communities are unsigned integers; absent attributes are absent fields.
 * Stands beside constants.ts; types only.
 */

/** Families that this codec knows by name. */
export type KnownFamily =
  | 'ipv4-unicast'
  | 'ipv6-unicast'
  | 'ipv4-multicast'
  | 'ipv6-multicast'
  | 'ipv4-labelled'
  | 'ipv6-labelled'
  | 'ipv4-vpn'
  | 'ipv6-vpn'
  | 'ipv4-flowspec'
  | 'ipv6-flowspec'
  | 'ipv4-flowspec-vpn'
  | 'ipv6-flowspec-vpn'
  | 'l2vpn-evpn';

/** A family by name, or `AFI/SAFI` in decimal for any other. */
export type Family = KnownFamily | `${number}/${number}`;

/** Value of ORIGIN (RFC 4271 section 5.1.1). */
export type Origin = 'igp' | 'egp' | 'incomplete';

/** One run of AS numbers in an AS path. */
export interface AsPathSegment {
  readonly type: 'sequence' | 'set' | 'confed-sequence' | 'confed-set';
  /** At least one; an encoder splits more than 255. */
  readonly asns: readonly number[];
}

/** AGGREGATOR (RFC 4271 section 5.1.7). */
export interface Aggregator {
  readonly asn: number;
  /** Canonical IPv4 address. */
  readonly address: string;
}

/** An extended community (RFC 4360) as its two 32-bit halves. */
export type ExtendedCommunity = readonly [high: number, low: number];

/** A large community (RFC 8092). */
export type LargeCommunity = readonly [global: number, local1: number, local2: number];

/** An attribute that this codec carries without looking into it. */
export interface RawAttribute {
  readonly code: number;
  /** Flags as received; only Optional, Transitive and Partial are kept. */
  readonly flags: number;
  readonly value: Uint8Array;
}

/** The path attributes of routes, without MP_REACH_NLRI and MP_UNREACH_NLRI, which say what the routes are. */
export interface PathAttributes {
  readonly origin?: Origin;
  /** Outermost AS first; four-octet numbers, whatever the session speaks. */
  readonly asPath?: readonly AsPathSegment[];
  /** NEXT_HOP as canonical IPv4 address. */
  readonly nextHop?: string;
  readonly med?: number;
  readonly localPref?: number;
  readonly atomicAggregate?: true;
  readonly aggregator?: Aggregator;
  readonly communities?: readonly number[];
  /** ORIGINATOR_ID as a 32-bit integer (RFC 4456 section 8). */
  readonly originatorId?: number;
  /** CLUSTER_LIST as 32-bit integers, nearest first (RFC 4456 section 8). */
  readonly clusterList?: readonly number[];
  readonly extendedCommunities?: readonly ExtendedCommunity[];
  /** RFC 5701, 20 octets each, uninterpreted. */
  readonly ipv6ExtendedCommunities?: readonly Uint8Array[];
  readonly largeCommunities?: readonly LargeCommunity[];
  /** Metric of the first AIGP TLV (RFC 7311 section 3). */
  readonly aigp?: bigint;
  /** Only-to-customer AS number (RFC 9234 section 5). */
  readonly otc?: number;
  /** Optional transitive attributes that this codec does not know, in ascending code order. */
  readonly unknown?: readonly RawAttribute[];
  /** Codes of known optional transitive attributes that arrived with the Partial bit, which may never be cleared. */
  readonly partial?: readonly number[];
}

/** A capability of OPEN (RFC 5492). */
export type Capability =
  | { readonly type: 'multiprotocol'; readonly family: Family }
  | { readonly type: 'route-refresh' }
  | { readonly type: 'enhanced-route-refresh' }
  | { readonly type: 'extended-message' }
  | { readonly type: 'extended-next-hop'; readonly entries: readonly ExtendedNextHopEntry[] }
  | { readonly type: 'role'; readonly role: Role }
  | GracefulRestartCapability
  | { readonly type: 'four-octet-as'; readonly asn: number }
  | { readonly type: 'add-path'; readonly entries: readonly AddPathEntry[] }
  | { readonly type: 'long-lived-graceful-restart'; readonly entries: readonly LongLivedEntry[] }
  | { readonly type: 'fqdn'; readonly hostName: string; readonly domainName: string }
  | { readonly type: 'software-version'; readonly version: string }
  | { readonly type: 'unknown'; readonly code: number; readonly value: Uint8Array };

/** RFC 8950 section 4: routes of `family` may have next hops of another AFI. */
export interface ExtendedNextHopEntry {
  readonly family: Family;
  /** 1 is IPv4, 2 is IPv6. */
  readonly nextHopAfi: number;
}

/** RFC 4724 section 3 with the N bit of RFC 8538 section 2. */
export interface GracefulRestartCapability {
  readonly type: 'graceful-restart';
  /** Restart State bit: the sender has restarted. */
  readonly restarting: boolean;
  /** N bit: NOTIFICATION and hold timer expiry are graceful too. */
  readonly notification: boolean;
  /** Seconds, 0–4095. */
  readonly restartTime: number;
  readonly families: readonly { readonly family: Family; readonly forwarding: boolean }[];
}

/** RFC 7911 section 4. */
export interface AddPathEntry {
  readonly family: Family;
  readonly mode: 'receive' | 'send' | 'both';
}

/** RFC 9494 section 3. */
export interface LongLivedEntry {
  readonly family: Family;
  readonly forwarding: boolean;
  /** Seconds, 0–16777215. */
  readonly staleTime: number;
}

/** BGP role of the sender (RFC 9234 section 4.1). */
export type Role = 'provider' | 'rs' | 'rs-client' | 'customer' | 'peer';

/** An OPEN message (RFC 4271 section 4.2). */
export interface Open {
  readonly version: 4;
  /** The My Autonomous System field, two octets; the real number is in the four-octet-as capability. */
  readonly myAs: number;
  /** Seconds, 0 or 3–65535. */
  readonly holdTime: number;
  /** BGP Identifier as a 32-bit integer, not 0. */
  readonly routerId: number;
  readonly capabilities: readonly Capability[];
}

/** A NOTIFICATION (RFC 4271 section 4.5). */
export interface Notification {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

/** A ROUTE-REFRESH (RFC 2918, RFC 7313). */
export interface RouteRefresh {
  readonly family: Family;
  /** 0 asks, 1 begins and 2 ends a refresh; other values are to be ignored. */
  readonly subtype: number;
  /** What follows: outbound route filters (RFC 5291), uninterpreted. */
  readonly rest: Uint8Array;
}

/** What is to happen with an UPDATE, weakest first (RFC 7606 section 2). */
export type Reaction = 'accept' | 'discard' | 'withdraw' | 'reset';

/** One thing found wrong in an UPDATE. */
export interface Finding {
  /** Stable name, e.g. `attribute-length`. */
  readonly code: FindingCode;
  readonly reaction: Reaction;
  /** The attribute concerned. */
  readonly attribute?: number;
  /** One sentence for people, with the section that asks for the reaction. */
  readonly reason: string;
  /** What to send when the strongest reaction is `reset`. */
  readonly notification?: Notification;
}

/** Stable names of findings. */
export type FindingCode =
  | 'message-lengths'
  | 'attribute-header'
  | 'attribute-overrun'
  | 'attribute-flags'
  | 'attribute-length'
  | 'attribute-value'
  | 'attribute-duplicate'
  | 'attribute-missing'
  | 'attribute-unexpected'
  | 'attribute-unrecognized'
  | 'family-unexpected'
  | 'next-hop'
  | 'nlri-syntax'
  | 'nlri-ignored'
  | 'no-reachable-nlri';

/** A value, or the NOTIFICATION that its bytes deserve. */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly notification: Notification; readonly reason: string };

/** What the session knows and the bytes do not say. */
export interface AttributeContext {
  /** Both sides sent the four-octet-as capability (RFC 6793). @defaultValue true */
  readonly fourOctetAs?: boolean;
  readonly peerType: PeerType;
  /** Families negotiated; MP attributes of any other are discarded. */
  readonly families: readonly Family[];
  /** Families in which the peer sends path identifiers (RFC 7911). @defaultValue none */
  readonly addPath?: readonly Family[];
  /** Families in which an IPv6 next hop is allowed for IPv4 routes (RFC 8950). @defaultValue none */
  readonly extendedNextHop?: readonly Family[];
  /** Whether AIGP is taken from this peer (RFC 7311 section 3.3). @defaultValue true except for `ebgp` */
  readonly aigp?: boolean;
  /** What to do with AS_SET and AS_CONFED_SET (RFC 9774 asks for `withdraw`). @defaultValue 'accept' */
  readonly asSets?: 'accept' | 'withdraw';
}

/** The relation to a peer: same AS, another AS, or another member AS of the same confederation. */
export type PeerType = 'ibgp' | 'ebgp' | 'confed';

/** MP_REACH_NLRI found in a block (RFC 4760 section 3); offsets are into the bytes that were decoded. */
export interface MpReach {
  readonly family: Family;
  readonly afi: number;
  readonly safi: number;
  /** Canonical address; of the global one when a link-local one follows it; empty for families without next hop. */
  readonly nextHop: string;
  /** Canonical link-local address (RFC 2545 section 3). */
  readonly linkLocal?: string;
  readonly nlriOffset: number;
  readonly nlriLength: number;
}

/** MP_UNREACH_NLRI found in a block (RFC 4760 section 4); offsets are into the bytes that were decoded. */
export interface MpUnreach {
  readonly family: Family;
  readonly afi: number;
  readonly safi: number;
  readonly nlriOffset: number;
  readonly nlriLength: number;
}

/** A decoded attribute block and what it deserves. */
export interface AttributesResult {
  readonly attributes: PathAttributes;
  readonly mpReach?: MpReach;
  readonly mpUnreach?: MpUnreach;
  /** The strongest reaction of all findings. */
  readonly reaction: Reaction;
  readonly findings: readonly Finding[];
}
