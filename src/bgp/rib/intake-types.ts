/**
 * What reading UPDATEs needs to know of a session, and what it answers.
 * Types only; intake.ts reads.
 */
import type { AttributeContext, Finding, Notification, PeerType } from '../message/types.ts';
import type { PolicyHook } from './group-types.ts';
import type { Verdicts } from './import-verdicts.ts';
import type { Rib } from './table.ts';

/** What a session settled that matters to its UPDATEs. */
export interface IntakeSession {
  readonly peer: number;
  readonly kind: PeerType;
  readonly context: AttributeContext;
  /** Distinguishes sessions whose contexts read the same bytes differently. */
  readonly contextId: number;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly addPath4: boolean;
  readonly addPath6: boolean;
  /** Leftmost AS that eBGP paths must have; 0 does not ask. */
  readonly firstAs: number;
  /** Next hops that are ourselves, as keys of the store. */
  readonly ownNextHops: ReadonlySet<string>;
  /** Import policy and the rewriting that the session asks for. */
  readonly importers: readonly [ipv4: PolicyHook | undefined, ipv6: PolicyHook | undefined];
  /** Remembered verdicts of `importers`, by set: id and generations. */
  readonly imported: readonly [ipv4: Verdicts, ipv6: Verdicts];
  /** Told of everything odd, and of End-of-RIB. */
  onFindings(findings: readonly Finding[]): void;
  onEndOfRib(family: 4 | 6): void;
}

/** What ends the session. */
export interface Reset {
  readonly notification: Notification;
  readonly reason: string;
}

/** Takes UPDATEs of all sessions. */
export interface Intake {
  /** Reads a whole UPDATE; returns what ends the session, if anything. */
  update(session: IntakeSession, bytes: Uint8Array, offset: number, length: number): Reset | undefined;
  /** Import verdict on a set: the set imported with a reference taken, -1 rejected. */
  importSet(session: IntakeSession, attr: number, rib: Rib, prefix: number): number;
}
