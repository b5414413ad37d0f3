/**
 * One connection of a peer: its framer, its timers, what was said on it, whether it still takes what we send.
 * The driver owns up to two; the machine of fsm.ts decides about them, and what happens here is fed to it.
 */
import type { Notification } from '../message/types.ts';
import { NOTHING } from '../message/bytes.ts';
import { CeaseError, NotificationCode } from '../message/constants.ts';
import { createFramer } from '../message/framer.ts';
import type { Framer } from '../message/framer.ts';
import { describeNotification, hardReset, isHardReset, notification } from '../message/notification.ts';
import type { Pace } from '../pace.ts';
import { createPace } from '../pace.ts';
import type { Clock } from './clock.ts';
import type { SessionEnd } from './driver-types.ts';
import type { ConnectionTimer, FsmEvent, Side } from './fsm.ts';
import { LARGE_HOLD_MS } from './fsm.ts';
import type { Negotiated } from './negotiate.ts';
import type { Connection } from './transport.ts';

/** A connection at work. */
export interface Link {
  readonly side: Side;
  readonly connection: Connection;
  readonly framer: Framer;
  readonly timers: Map<ConnectionTimer, () => void>;
  /** When the connection was there, milliseconds of the clock. */
  readonly openedAt: number;
  holdMs: number;
  lastHeard: number;
  negotiated: Negotiated | undefined;
  sentOpen: Uint8Array;
  receivedOpen: Uint8Array;
  said: { notification: Notification; direction: 'sent' | 'received' } | undefined;
  closed: boolean;
  /** Reading waits; what of the chunk at hand was not read yet, and whether it is about to be. */
  paused: boolean;
  unread: Uint8Array | undefined;
  resuming: boolean;
  readonly pace: Pace;
  /** When the backlog was last seen to shrink or to be empty, and how long it was then. */
  progressAt: number;
  progressBacklog: number;
}

/** What a link's timers need of their driver. */
export interface LinkContext {
  readonly clock: Clock;
  readonly feed: (event: FsmEvent) => void;
  /** Something is there to be read: whoever counts may pause the link first. */
  readonly announce: (link: Link) => void;
  /** Shortens a time by up to a quarter (RFC 4271 section 10). */
  readonly jitter: (ms: number) => number;
}

/** Octets read at a time, and for how many milliseconds about: whoever counts the time spent can stop after each. */
const LEAST_READ = 4 * 1024;
const MOST_READ = 32 * 1024;
const READ_MS = 2;

/** A link over a fresh connection. */
export function createLink(side: Side, connection: Connection, now: number): Link {
  return {
    side,
    connection,
    framer: createFramer(),
    timers: new Map(),
    openedAt: now,
    holdMs: LARGE_HOLD_MS,
    lastHeard: now,
    negotiated: undefined,
    sentOpen: NOTHING,
    receivedOpen: NOTHING,
    said: undefined,
    closed: false,
    paused: false,
    unread: undefined,
    resuming: false,
    pace: createPace(LEAST_READ, MOST_READ, READ_MS),
    progressAt: now,
    progressBacklog: 0,
  };
}

/** Stops a timer, if it runs. */
export function clearLinkTimer(link: Link | undefined, timer: ConnectionTimer): void {
  link?.timers.get(timer)?.();
  link?.timers.delete(timer);
}

/** Starts a timer anew. */
export function setLinkTimer(context: LinkContext, link: Link, timer: ConnectionTimer, ms: number): void {
  clearLinkTimer(link, timer);
  const { clock, feed, jitter } = context;
  const { side } = link;
  switch (timer) {
    case 'hold': {
      if (ms <= 0) return;
      // Lazy: it looks when the last message came and sleeps for the rest.
      const check = (): void => {
        const left = link.lastHeard + link.holdMs - clock.now();
        if (left > 0) link.timers.set('hold', clock.after(left, check));
        else feed({ type: 'connection-timer', timer, side });
      };
      link.holdMs = ms;
      link.timers.set('hold', clock.after(ms, check));
      return;
    }
    case 'keepalive': {
      const beat = (): void => {
        link.timers.set('keepalive', clock.after(jitter(ms), beat));
        feed({ type: 'connection-timer', timer, side });
      };
      link.timers.set('keepalive', clock.after(jitter(ms), beat));
      return;
    }
    case 'delay-open':
      link.timers.set(
        timer,
        clock.after(ms, () => feed({ type: 'connection-timer', timer, side })),
      );
  }
}

/** Reads a chunk in slices; the rest waits as soon as the link is paused. */
export function readLink(
  { clock }: LinkContext,
  link: Link,
  bytes: Uint8Array,
  read: (slice: Uint8Array) => void,
): void {
  if (link.unread !== undefined) {
    const joined = new Uint8Array(link.unread.length + bytes.length);
    joined.set(link.unread);
    joined.set(bytes, link.unread.length);
    link.unread = joined;
    return;
  }
  for (let at = 0; at < bytes.length && !link.closed;) {
    if (link.paused) {
      link.unread = bytes.slice(at);
      return;
    }
    const began = clock.now();
    const { amount } = link.pace;
    read(bytes.subarray(at, at + amount));
    link.pace.took(clock.now() - began);
    at += amount;
  }
}

/** Stops reading. */
export function pauseLink(link: Link): void {
  link.paused = true;
  link.connection.pause();
}

/** Goes on reading: first what waits, in a turn of its own, then what comes. */
export function resumeLink(context: LinkContext, link: Link, read: (slice: Uint8Array) => void): void {
  link.paused = false;
  if (link.unread === undefined) {
    link.connection.resume();
    return;
  }
  if (link.resuming) return;
  link.resuming = true;
  context.clock.soon(() => {
    link.resuming = false;
    context.announce(link);
    const rest = link.unread;
    if (link.paused || link.closed || rest === undefined) return;
    link.unread = undefined;
    readLink(context, link, rest, read);
    if (!link.paused && !link.closed) link.connection.resume();
  });
}

/** RFC 9687: a peer that takes nothing for this long is gone, whatever it sends. Returns how to stop watching. */
export function watchSending({ clock, feed }: LinkContext, link: Link, limit: number): () => void {
  let cancel: () => void = () => undefined;
  const look = (): void => {
    if (link.closed) return;
    const backlog = link.connection.backlog();
    if (backlog === 0 || backlog < link.progressBacklog) link.progressAt = clock.now();
    link.progressBacklog = backlog;
    if (clock.now() - link.progressAt >= limit) {
      const expired = notification(NotificationCode.sendHoldTimer);
      feed({ type: 'error', side: link.side, notification: expired, reason: 'send hold timer expired' });
    } else cancel = clock.after(Math.max(limit / 8, 100), look);
  };
  link.progressAt = clock.now();
  link.progressBacklog = 0;
  cancel = clock.after(limit / 8, look);
  return () => cancel();
}

/** Closes a link after what it still has to say. */
export function closeLink(link: Link): void {
  link.closed = true;
  for (const cancel of link.timers.values()) cancel();
  link.timers.clear();
  link.connection.end();
}

/** Reasons after which a peer must not go on forwarding to us (RFC 8538 section 4, RFC 9384). */
const FINAL: readonly number[] = [
  CeaseError.maxPrefixes,
  CeaseError.adminShutdown,
  CeaseError.peerDeconfigured,
  CeaseError.bfdDown,
];

/** What a link is told in place of a NOTIFICATION: a hard reset, where the peer would keep our routes otherwise. */
export function outgoingNotification(link: Link, said: Notification): Notification {
  const final = said.code === NotificationCode.cease && FINAL.includes(said.subcode);
  return final && link.negotiated?.gracefulRestart?.notification === true ? hardReset(said) : said;
}

/** Whether a NOTIFICATION ends forwarding too: hard reset (RFC 8538), or BFD saw the path fail (RFC 9384). */
function isFinal(said: Notification): boolean {
  return isHardReset(said) || (said.code === NotificationCode.cease && said.subcode === CeaseError.bfdDown);
}

/** RFC 4724: a lost connection is graceful; RFC 8538: so is a NOTIFICATION other than hard reset, when both sides say so. */
export function endOf(link: Link | undefined, reason: string, replaced: boolean): SessionEnd {
  const said = link?.said;
  const graceful = link?.negotiated?.gracefulRestart;
  const mayRetain =
    graceful !== undefined &&
    (replaced || said === undefined || (graceful.notification && !isFinal(said.notification)));
  return said === undefined ? { reason, mayRetain } : { reason, mayRetain, ...said };
}

/** A reason, with what the peer was told of it. */
export function explained(reason: string, link: Link | undefined): string {
  const said = link?.said;
  return said?.direction === 'sent' ? `${reason}; sent ${describeNotification(said.notification)}` : reason;
}
