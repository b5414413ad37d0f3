/**
 * What a peer at work is to the speaker, and what it is made from.
 * Types only; peer-runtime.ts makes them, peer-inbound.ts and peer-outbound.ts are its two directions.
 */
import type { Notification } from './message/types.ts';
import type { MonitoredSession } from './bmp/exporter.ts';
import type { Core } from './core.ts';
import type { GroupSpec } from './exports.ts';
import type { PeerOptions, SessionOptions, SpeakerConfig } from './model.ts';
import type { Policy, PolicyRoute } from './policy/types.ts';
import type { ExportGroup } from './rib/group-types.ts';
import type { Rib } from './rib/table.ts';
import type { SessionDriver } from './session/driver-types.ts';
import type { Connection, Transport } from './session/transport.ts';
import type { PeerStatus } from './speaker-types.ts';

/** Policies of a speaker for peers without their own. */
export interface DefaultPolicies {
  importPolicy: Policy | undefined;
  exportPolicy: Policy | undefined;
}

/** What is asked of a peer, configured or accepted by prefix. */
export type PeerSettings = SessionOptions & Partial<PeerOptions>;

/** A peer at work. */
export interface PeerRuntime {
  readonly address: string;
  readonly options: PeerSettings;
  readonly dynamic: boolean;
  readonly index: number;
  readonly driver: SessionDriver;
  readonly groups: ReadonlyMap<4 | 6, ExportGroup>;
  status(): PeerStatus;
  /** Whether it has said all that it had when its session came up. */
  readonly synced: boolean;
  /** Whether a restarted speaker still waits for this peer before it announces (RFC 4724 section 4.1). */
  defers(): boolean;
  start(): void;
  accept(connection: Connection): void;
  /** Takes options that differ in what needs no new session. */
  change(options: PeerSettings): void;
  /** Ends the session and tries again, telling the peer why; one that was left alone for sending too much is tried again. */
  reset(message: string | undefined): void;
  /** Runs the import policy of now over everything that the peer sent. */
  reimport(): void;
  /** Runs it over one path that the peer sent. */
  reimportRow(rib: Rib, row: number): void;
  /** What its update group of a family is to be. */
  specOf(family: 4 | 6): GroupSpec;
  /** It sits in another group now. */
  moved(group: ExportGroup): void;
  /** The session as monitoring stations are told of it; undefined while there is none. */
  readonly monitored: MonitoredSession | undefined;
  /** Asks for the peer's routes and tells ours again. */
  softReset(): void;
  /** Ends the session for good; without a reason the connection just goes, so that a peer with graceful restart keeps our routes. */
  shutdown(reason: Notification | undefined): void;
  /** Ends the session and forgets the peer. */
  close(reason: Notification | undefined): void;
}

/** What a runtime is made from. */
export interface PeerRuntimeOptions {
  readonly core: Core;
  readonly config: SpeakerConfig;
  readonly transport: Transport;
  readonly options: PeerSettings;
  /** Canonical address, with a zone where it needs one. */
  readonly address: string;
  readonly acceptableAsns: readonly number[];
  readonly policies: DefaultPolicies;
  readonly dynamic: boolean;
  /** Seconds since the speaker began. */
  readonly elapsed: () => number;
  readonly sourceOf: (peer: number) => PolicyRoute['source'];
  readonly onChange: () => void;
  /** A dynamic peer's session is over. */
  readonly onGone: () => void;
}
