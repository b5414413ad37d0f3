/**
 * Policies as functions: a route goes in, a verdict comes out.
 * A verdict is `true` (as it is), `false` (not at all) or the attributes that are to be different. Policies that never look at the prefix
 * say so and are asked once an attribute set instead of once a route.
 * Types only; match.ts has the building blocks.
 */
import type { Advertisement } from '../../net/values.ts';
import type { PathAttributes, Role } from '../message/types.ts';
import type { PrefixSet } from './prefix-set.ts';

/** A route as a policy sees it. Fields are read lazily: what a policy does not look at costs nothing. */
export interface PolicyRoute {
  readonly family: 4 | 6;
  /** Canonical prefix. */
  readonly prefix: string;
  readonly attributes: PathAttributes;
  /** Canonical address of the next hop; empty for routes of this speaker that name none. */
  readonly nextHop: string;
  /** What a route originated here stands for; absent for learned ones. */
  readonly origin?: Advertisement['origin'];
  /** Where it came from. */
  readonly source: {
    readonly kind: 'local' | 'ebgp' | 'ibgp' | 'ibgp-client' | 'confed';
    readonly address: string;
    readonly asn: number;
  };
}

/** Where a policy is applied. */
export interface PolicyContext {
  readonly direction: 'import' | 'export';
  /** The peer imported from or exported to. */
  readonly peer: {
    readonly address: string;
    readonly asn: number;
    readonly kind: 'ebgp' | 'ibgp' | 'ibgp-client' | 'confed';
    readonly name: string;
    /** Our role towards it, where one is configured. */
    readonly role?: Role;
  };
}

/** Attributes to set; those absent stay, `null` removes. */
export interface AttributeChanges {
  /** 0–4294967295; `null` removes it. */
  readonly med?: number | null;
  /** 0–4294967295; `null` removes it. */
  readonly localPref?: number | null;
  readonly origin?: PathAttributes['origin'];
  /** All of them, each ASN × 65536 + value: these replace what the route has. */
  readonly communities?: readonly number[];
  readonly largeCommunities?: PathAttributes['largeCommunities'];
  readonly extendedCommunities?: PathAttributes['extendedCommunities'];
  /** AS numbers put in front of the path, the first outermost. */
  readonly prepend?: readonly number[];
  /** Canonical address of the route's family. */
  readonly nextHop?: string;
}

/** What a policy decides. */
export type Verdict = boolean | AttributeChanges;

/** A policy. */
export interface Policy {
  /** Whether `evaluate` looks at `prefix`; when false it is asked once a set of attributes. @defaultValue true */
  readonly readsPrefix?: boolean;
  /** Whether `evaluate` looks at the context's peer; when false, peers with this policy share one update group. @defaultValue true */
  readonly readsPeer?: boolean;
  /** Sets that `evaluate` looks into; when one changes, routes that it concerns are judged anew. @defaultValue none */
  readonly sets?: readonly PrefixSet[];
  /** Decides about one route. Must be a pure function of its arguments and of `sets`: answers are remembered. */
  evaluate(route: PolicyRoute, context: PolicyContext): Verdict;
}
