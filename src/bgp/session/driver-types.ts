/**
 * What drives one peer's sessions, as its user sees it.
 * Types only; driver.ts makes it.
 */
import type { Notification, RouteRefresh } from '../message/types.ts';
import type { SessionOptions } from '../model.ts';
import type { Clock } from './clock.ts';
import type { SessionState } from './fsm.ts';
import type { LocalOpen, Negotiated } from './negotiate.ts';
import type { Connection, DialOptions, Transport } from './transport.ts';

/** Why a session ended. */
export interface SessionEnd {
  readonly reason: string;
  /** What was sent or received to end it. */
  readonly notification?: Notification;
  readonly direction?: 'sent' | 'received';
  /** Routes may be kept for the peer's return (RFC 4724 section 4.2, RFC 8538). */
  readonly mayRetain: boolean;
}

/** The OPENs of both sides, as they stood on the wire. */
export interface Opens {
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
}

/** Who uses the session. */
export interface SessionHandlers {
  onState(state: SessionState): void;
  onUp(negotiated: Negotiated, connection: Connection, opens: Opens): void;
  onDown(end: SessionEnd): void;
  /** An attempt that ended before it was up. */
  onFailed(reason: string): void;
  /** Returns what ends the session, if the message does. */
  onUpdate(
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): { notification: Notification; reason: string } | undefined;
  onRefresh(refresh: RouteRefresh): void;
  onDrain(): void;
  /** Something has been read, which took so many milliseconds; 0: something is there to be read. */
  onRead(ms: number): void;
}

/** What a driver is made from. */
export interface SessionDriverOptions {
  readonly session: SessionOptions;
  /** Where to dial; undefined: the peer comes to us only. */
  readonly dial: DialOptions | undefined;
  readonly acceptableAsns: readonly number[];
  /** Makes the OPEN of the next attempt. */
  readonly localOpen: () => LocalOpen;
  readonly clock: Clock;
  readonly transport: Transport;
  /** Between 0 and 1, for jitter. */
  readonly random: () => number;
  readonly handlers: SessionHandlers;
}

/** One peer's sessions, one after the other. */
export interface SessionDriver {
  readonly state: SessionState;
  /** Counters since start. */
  readonly counters: {
    readonly sent: number;
    readonly received: number;
    readonly updatesReceived: number;
    readonly established: number;
  };
  /** Milliseconds on the clock at which the session came up. */
  readonly upSince: number | undefined;
  start(): void;
  /** Ends session and attempts; says why. */
  stop(reason?: Notification): void;
  /** Ends session and attempts without a word. */
  abandon(): void;
  /** Ends the session with this, and goes on with the next attempt. */
  reset(notification: Notification, reason: string): void;
  /** Offers an accepted connection. */
  accept(connection: Connection): void;
  /** Queues bytes of whole messages on the established connection. */
  write(bytes: Uint8Array): void;
  backlog(): number;
  pause(): void;
  resume(): void;
}
