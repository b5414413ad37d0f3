/**
 * What an update group is to those around it: policies that it asks, peers that sit in it, what it answers.
 * Types only; group.ts makes groups of best paths, path-group.ts those of several paths.
 */
import type { ExportSettings } from './export-attributes.ts';
import type { Rib } from './table.ts';

/** Import and export policies as the RIB sees them. */
export interface PolicyHook {
  /** Whether verdicts depend on the prefix, so that they may not be remembered by attribute set. */
  readonly readsPrefix: boolean;
  /** Sets that change and that verdicts depend on. */
  readonly sets: readonly unknown[];
  /**
   * @returns the set that leaves the policy with one reference taken, -1 to reject
   */
  evaluate(attr: number, prefix: number, sourcePeer: number): number;
  /** Whether the last verdict set MED, so that it goes to another AS. */
  readonly keepMed: boolean;
}

/** One peer of a group. */
export interface Member {
  /** Index of the peer, as in `Rib.peers`. */
  readonly peer: number;
  /** Hands bytes to the connection; they are never changed afterwards. */
  write(bytes: Uint8Array): void;
  /** Bytes that the connection has not taken yet. */
  backlog(): number;
  /** The member has all that there was when it joined. */
  onSynced(): void;
}

/** A group of peers of one family. */
export interface ExportGroup {
  readonly rib: Rib;
  readonly settings: ExportSettings;
  /** Queues a prefix whose best path changed. */
  mark(prefix: number): void;
  /** Queues every prefix: the export policy changed. */
  markAll(): void;
  /** Tells what is queued, up to `budget` prefixes. @returns whether there is more to do now */
  flush(budget: number): boolean;
  /** Brings members that missed prefixes up to date as far as their connections take it. */
  resync(budget: number): boolean;
  join(member: Member): void;
  leave(peer: number): void;
  /** Tells a member everything again (RFC 2918), then calls back. */
  refresh(peer: number, done: () => void): void;
  readonly members: readonly Member[];
  /** Whether a prefix may not be forgotten yet. */
  needs(prefix: number): boolean;
  /** What a member was last told of a prefix. */
  told(
    prefix: number,
    peer: number,
  ): readonly { readonly attr: number; readonly pathId: number; readonly source: number }[];
  readonly queued: number;
  readonly policy: PolicyHook | undefined;
  setPolicy(policy: PolicyHook | undefined): void;
  /** Moves some of the members, with all that they were told, to a group of their own under another policy. */
  split(peers: readonly number[], policy: PolicyHook | undefined): ExportGroup;
  close(): void;
}

/** How a group is made. */
export interface ExportGroupOptions {
  readonly rib: Rib;
  readonly settings: ExportSettings;
  readonly policy?: PolicyHook | undefined;
  /** Last rewriting of a set, such as to two-octet AS numbers: takes a set with its reference, returns another with one; -1 none. */
  readonly translate?: ((attr: number) => number) | undefined;
  /** Longest message, 4096 or 65535. */
  readonly maxLength: number;
  /** Bytes a connection may have in hand before its member leaves the stream. @defaultValue 1 MiB */
  readonly highWater?: number;
}
