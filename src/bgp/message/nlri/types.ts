/**
 * One route of any family as it is shown and passed on: its octets, kept as they came, and what they say.
 * Unicast routes on the hot path never take this shape (prefixes.ts); this is for looking glasses, originated routes and the
 * families that this codec reads but does not decide upon.
 * Types only.
 */

/** A route's key in its family. */
export interface Nlri {
  /** Path identifier (RFC 7911), absent without ADD-PATH. */
  readonly pathId?: number;
  /** The octets, without path identifier, length field included. */
  readonly raw: Uint8Array;
  /** For people, e.g. `10.0.0.0/8` or `rd 65000:1 10.0.0.0/8 label 100`. */
  readonly text: string;
  readonly detail: NlriDetail;
}

/** What the octets of a route say. */
export type NlriDetail =
  | { readonly kind: 'prefix'; readonly prefix: string }
  | {
      readonly kind: 'labelled';
      readonly prefix: string;
      readonly labels: readonly number[];
      /** Route distinguisher as text, for VPN families (RFC 4364 section 4.2). */
      readonly rd?: string;
    }
  | {
      readonly kind: 'flowspec';
      readonly components: readonly FlowComponent[];
      readonly rd?: string;
    }
  | EvpnDetail
  /** Framed well but not understood: `reason` says why. */
  | { readonly kind: 'opaque'; readonly reason: string };

/** One component of a flow specification (RFC 8955 section 4.2.2). */
export interface FlowComponent {
  readonly type: number;
  /** E.g. `protocol =6`. */
  readonly text: string;
}

/** An EVPN route (RFC 7432 section 7, RFC 9136 section 3). */
export interface EvpnDetail {
  readonly kind: 'evpn';
  readonly routeType: number;
  readonly rd: string;
  /** Ethernet segment identifier as hex pairs with colons. */
  readonly esi?: string;
  readonly ethernetTag?: number;
  readonly mac?: string;
  readonly address?: string;
  readonly prefix?: string;
  readonly gateway?: string;
  /** The 24-bit fields as they stand: 20-bit MPLS labels are their upper bits, VNIs all of them. */
  readonly labels?: readonly number[];
}

/** The routes of one field, or where it stops being well-formed. */
export interface NlriList {
  readonly entries: readonly Nlri[];
  /** Routes left out because none may have that prefix (RFC 4271 section 6.3). */
  readonly ignored: number;
  /** Offset of the first octet that is not well-formed; absent when all are. */
  readonly errorAt?: number;
}
