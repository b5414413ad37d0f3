/**
 * What a speaker says of itself: peers, events, routes.
 * Types only; speaker.ts makes them.
 */
import type { Observable } from 'rxjs';
import type { Advertisement, Issue, KernelRouteChanges } from '../net/values.ts';
import type { Capability, PathAttributes } from './message/types.ts';
import type { BmpStation } from './bmp/exporter.ts';
import type { DynamicPeerOptions, PeerOptions, UnicastFamily } from './model.ts';
import type { Policy } from './policy/types.ts';
import type { AggregateOptions } from './rib/aggregate.ts';
import type { Reason } from './rib/decision.ts';
import type { SessionState } from './session/fsm.ts';

/** One peer now. */
export interface PeerStatus {
  readonly name: string;
  readonly address: string;
  /** AS number as configured, or as the OPEN of a dynamic peer says. */
  readonly asn: number;
  readonly kind: 'ebgp' | 'ibgp' | 'ibgp-client' | 'confed';
  readonly state: SessionState;
  /** Whether it was accepted by prefix. */
  readonly dynamic: boolean;
  /** Epoch milliseconds at which the session came up. */
  readonly since?: number;
  /** Why the last session or attempt ended. */
  readonly lastError?: string;
  readonly families: readonly UnicastFamily[];
  /** Capabilities of the peer's OPEN. */
  readonly capabilities: readonly Capability[];
  /** Seconds, as negotiated. */
  readonly holdTime?: number;
  /** Paths in Adj-RIB-In. */
  readonly received: number;
  /** BGP messages of this session and those before it. */
  readonly messagesReceived: number;
  /** BGP messages of this session and those before it. */
  readonly messagesSent: number;
  /** How often a session came up. */
  readonly established: number;
  /** All families' End-of-RIB arrived on this session. */
  readonly synced: boolean;
  /** Its routes are kept while it restarts. */
  readonly restarting: boolean;
  /** State of its BFD session, when it has one. */
  readonly bfd?: 'admin-down' | 'down' | 'init' | 'up';
  /** Bytes that it has not taken yet. */
  readonly backlog: number;
}

/** Something that happened, for people and programs. */
export interface SpeakerEvent {
  /** Epoch milliseconds. */
  readonly time: number;
  readonly type:
    | 'up'
    | 'down'
    | 'failed'
    | 'state'
    | 'rejected'
    | 'end-of-rib'
    | 'malformed'
    | 'max-prefixes'
    | 'refresh'
    | 'stale'
    | 'purged'
    | 'unsupported'
    | 'bfd';
  /** Address of the peer. */
  readonly peer: string;
  /** One sentence. */
  readonly reason: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** A path as a query shows it. */
export interface PathView {
  readonly prefix: string;
  /** Address of the peer; empty for routes originated here. */
  readonly peer: string;
  /** Path identifier of the peer (RFC 7911); 0 without add-path. */
  readonly pathId: number;
  readonly nextHop: string;
  readonly attributes: PathAttributes;
  readonly origin?: Advertisement['origin'];
  readonly best: boolean;
  /** Of the best: why it is; of others: at which step they lost, or why they cannot be used. */
  readonly reason: Reason | 'rejected by policy' | 'loop' | 'next hop unreachable';
  readonly stale: boolean;
}

/** A speaker at work. */
export interface Speaker extends AsyncDisposable {
  readonly asn: number;
  readonly routerId: string;
  /** Ports that are listened on, in the order of the options. */
  readonly ports: readonly number[];
  /** All peers; at once, and after every change, at most once a turn. */
  readonly peers$: Observable<readonly PeerStatus[]>;
  /** Best learned routes: everything first, then changes. */
  readonly routes$: Observable<KernelRouteChanges>;
  readonly events$: Observable<SpeakerEvent>;
  /** What is wrong with advertisements at the moment; those are left out. */
  readonly issues$: Observable<readonly Issue[]>;
  /** The peers now. */
  peers(): readonly PeerStatus[];
  /** Announces the latest full set of an observable, in place of any earlier one; changes cost what changed. Returns how to stop listening. */
  announce(advertisements$: Observable<readonly Advertisement[]>): () => void;
  /** Announces a full set. */
  setAdvertisements(advertisements: readonly Advertisement[]): void;
  /**
   * Replaces the configured peers; sessions whose options are unchanged are not touched.
   * @throws SdkError `INVALID_OPTION`
   */
  setPeers(peers: readonly PeerOptions[]): void;
  /** Replaces the prefixes from which peers may come; sessions of prefixes that stay are not touched. */
  setDynamicPeers(peers: readonly DynamicPeerOptions[]): void;
  /** Replaces the aggregates. @throws SdkError `INVALID_OPTION` */
  setAggregates(aggregates: readonly AggregateOptions[]): void;
  /** Replaces the policies of peers without one of their own; routes are evaluated anew and only differences are sent. */
  setPolicies(policies: { readonly importPolicy?: Policy; readonly exportPolicy?: Policy }): void;
  /** Ends sessions with a peer and starts anew; `soft` asks for its routes and tells ours again instead. */
  resetPeer(address: string, options?: { readonly soft?: boolean; readonly message?: string }): void;
  /** Paths of the longest prefix that holds an address, or of exactly a prefix. */
  lookup(text: string): readonly PathView[];
  /** Paths of all prefixes within one. */
  subnets(prefix: string): readonly PathView[];
  /** Paths that a predicate picks; walks the table. */
  query(pick: (path: PathView) => boolean): readonly PathView[];
  /** What was received from, or told to, a peer. */
  adjacent(address: string, direction: 'in' | 'out'): readonly PathView[];
  /** Tells a monitoring station of all sessions and what they carry, as BMP (RFC 7854). Returns how to stop. */
  monitor(station: BmpStation): () => void;
  /** The table of now as an MRT file (RFC 6396, TABLE_DUMP_V2), in chunks. */
  dump(): Iterable<Uint8Array>;
  /** Tells the cost to each next hop: a number, or undefined for unreachable; asked again by calling it again. */
  setNextHopCosts(cost: ((nextHop: string) => number | undefined) | undefined): void;
  /** Ends all sessions with Cease. `graceful`: without one, so that peers with graceful restart keep our routes. */
  close(options?: { readonly graceful?: boolean; readonly message?: string }): Promise<void>;
}
