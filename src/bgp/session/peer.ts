/**
 * The driver of one peer: runs the pure machine of fsm.ts on a clock and a transport, cuts bytes into messages, keeps the timers.
 * UPDATEs and ROUTE-REFRESHes go to whoever made the session; the machine sees of them only that they came.
 * Reading is strictly in order and stops with the first message that ends a connection.
 */
import type { Notification, Open, RouteRefresh } from '../message/types.ts';
import { CeaseError, MAX_EXTENDED_MESSAGE_LENGTH, MessageType, NotificationCode } from '../message/constants.ts';
import { createFramer } from '../message/framer.ts';
import type { Framer } from '../message/framer.ts';
import { encodeKeepalive } from '../message/header.ts';
import {
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
  isHardReset,
  notification,
} from '../message/notification.ts';
import { decodeOpen, encodeOpen, openAsn } from '../message/open.ts';
import { decodeRouteRefresh } from '../message/refresh.ts';
import type { Clock } from './clock.ts';
import type { ConnectionTimer, FsmConfig, FsmEvent, FsmState, PeerTimer, SessionState, Side } from './fsm.ts';
import { INITIAL, LARGE_HOLD_MS, establishedSide, sessionState, step } from './fsm.ts';
import type { LocalOpen, Negotiated } from './negotiate.ts';
import { negotiate } from './negotiate.ts';
import type { Connection, DialOptions, Transport } from './transport.ts';
import type { SessionOptions } from '../model.ts';

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
  /** All of a chunk has been read, which took so many milliseconds. */
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

interface Link {
  readonly side: Side;
  readonly connection: Connection;
  readonly framer: Framer;
  readonly timers: Map<ConnectionTimer, () => void>;
  holdMs: number;
  lastHeard: number;
  lastSaid: number;
  negotiated: Negotiated | undefined;
  sentOpen: Uint8Array;
  receivedOpen: Uint8Array;
  said: { notification: Notification; direction: 'sent' | 'received' } | undefined;
  closed: boolean;
  /** When the backlog was last seen to shrink or to be empty, and how long it was then. */
  progressAt: number;
  progressBacklog: number;
}

const NOTHING = new Uint8Array(0);
const KEEPALIVE = encodeKeepalive();

/** Whether a NOTIFICATION ends forwarding too: hard reset (RFC 8538), or BFD saw the path fail (RFC 9384). */
function isFinal(said: Notification): boolean {
  return isHardReset(said) || (said.code === NotificationCode.cease && said.subcode === CeaseError.bfdDown);
}

/** Reasons after which a peer must not go on forwarding to us (RFC 8538 section 4, RFC 9384). */
const FINAL: readonly number[] = [
  CeaseError.maxPrefixes,
  CeaseError.adminShutdown,
  CeaseError.peerDeconfigured,
  CeaseError.bfdDown,
];

/** What a link is told in place of a NOTIFICATION: a hard reset, where the peer would keep our routes otherwise. */
function outgoing(link: Link, said: Notification): Notification {
  const final = said.code === NotificationCode.cease && FINAL.includes(said.subcode);
  return final && link.negotiated?.gracefulRestart?.notification === true ? hardReset(said) : said;
}

/** A reason, with what the peer was told of it. */
function explained(reason: string, link: Link | undefined): string {
  const said = link?.said;
  return said?.direction === 'sent' ? `${reason}; sent ${describeNotification(said.notification)}` : reason;
}

/** Makes a {@link SessionDriver}; it is idle until `start`. */
export function createSessionDriver(options: SessionDriverOptions): SessionDriver {
  const { clock, handlers, session, transport } = options;
  const config: FsmConfig = {
    passive: options.dial === undefined,
    connectRetryMs: (session.connectRetryTime ?? 5) * 1000,
    delayOpenMs: (session.delayOpen ?? 0) * 1000,
    idleHoldMs: (session.idleHoldTime ?? 1) * 1000,
    idleHoldMaxMs: 60_000,
  };
  let state: FsmState = INITIAL;
  let shown: SessionState = 'idle';
  const links: { out: Link | undefined; in: Link | undefined } = { out: undefined, in: undefined };
  /** An accepted connection that the machine is asked about. */
  let offered: Connection | undefined;
  let abortDial: (() => void) | undefined;
  const timers = new Map<PeerTimer, () => void>();
  const counters = { sent: 0, received: 0, updatesReceived: 0, established: 0 };
  let upSince: number | undefined;
  let lastOpen: LocalOpen | undefined;
  let sendWatch: (() => void) | undefined;

  const jitter = (ms: number): number => ms * (0.75 + options.random() * 0.25);

  const clearTimer = (timer: PeerTimer): void => {
    timers.get(timer)?.();
    timers.delete(timer);
  };
  const clearLinkTimer = (link: Link | undefined, timer: ConnectionTimer): void => {
    link?.timers.get(timer)?.();
    link?.timers.delete(timer);
  };

  const send = (link: Link, bytes: Uint8Array): void => {
    if (link.closed) return;
    counters.sent++;
    link.lastSaid = clock.now();
    link.connection.write(bytes);
  };

  /** The hold timer is lazy: it looks when the last message came and sleeps for the rest. */
  const armHold = (link: Link, ms: number): void => {
    clearLinkTimer(link, 'hold');
    if (ms <= 0) return;
    const check = (): void => {
      const left = link.lastHeard + link.holdMs - clock.now();
      if (left > 0) link.timers.set('hold', clock.after(left, check));
      else feed({ type: 'connection-timer', timer: 'hold', side: link.side });
    };
    link.holdMs = ms;
    link.timers.set('hold', clock.after(ms, check));
  };

  const armKeepalive = (link: Link, ms: number): void => {
    clearLinkTimer(link, 'keepalive');
    const beat = (): void => {
      const wait = jitter(ms);
      link.timers.set('keepalive', clock.after(wait, beat));
      feed({ type: 'connection-timer', timer: 'keepalive', side: link.side });
    };
    link.timers.set('keepalive', clock.after(jitter(ms), beat));
  };

  /** RFC 9687: a peer that takes nothing for this long is gone, whatever it sends. */
  const watchSending = (link: Link, holdTime: number): void => {
    const limit = (session.sendHoldTime ?? Math.max(480, holdTime * 2)) * 1000;
    if (holdTime === 0 && session.sendHoldTime === undefined) return;
    const look = (): void => {
      if (link.closed) return;
      const backlog = link.connection.backlog();
      if (backlog === 0 || backlog < link.progressBacklog) link.progressAt = clock.now();
      link.progressBacklog = backlog;
      if (clock.now() - link.progressAt >= limit) {
        const expired = notification(NotificationCode.sendHoldTimer);
        feed({ type: 'error', side: link.side, notification: expired, reason: 'send hold timer expired' });
      } else sendWatch = clock.after(Math.max(limit / 8, 100), look);
    };
    link.progressAt = clock.now();
    link.progressBacklog = 0;
    sendWatch = clock.after(limit / 8, look);
  };

  const adopt = (side: Side, connection: Connection): void => {
    const now = clock.now();
    const link: Link = {
      side,
      connection,
      framer: createFramer(),
      timers: new Map(),
      holdMs: LARGE_HOLD_MS,
      lastHeard: now,
      lastSaid: now,
      negotiated: undefined,
      sentOpen: NOTHING,
      receivedOpen: NOTHING,
      said: undefined,
      closed: false,
      progressAt: now,
      progressBacklog: 0,
    };
    links[side] = link;
    connection.start({
      onData: (bytes) => {
        if (links[side] !== link || link.closed) return;
        const began = clock.now();
        const fault = link.framer.push(bytes, (chunk, offset, length, type) =>
          receive(link, chunk, offset, length, type),
        );
        if (fault !== undefined && !link.closed)
          feed({ type: 'error', side, notification: fault.notification, reason: fault.reason });
        handlers.onRead(clock.now() - began);
      },
      onDrain: () => {
        if (link.closed) return;
        link.progressAt = clock.now();
        link.progressBacklog = link.connection.backlog();
        if (state[side] === 'established') handlers.onDrain();
      },
      onClose: (reason) => {
        if (link.closed) return;
        feed({ type: 'closed', side, reason });
      },
    });
  };

  const receive = (link: Link, bytes: Uint8Array, offset: number, length: number, type: number): boolean => {
    const { side } = link;
    counters.received++;
    link.lastHeard = clock.now();
    switch (type) {
      case MessageType.update: {
        counters.updatesReceived++;
        if (state[side] !== 'established') {
          feed({ type: 'update', side });
          break;
        }
        const reset = handlers.onUpdate(bytes, offset, length);
        if (reset !== undefined) feed({ type: 'error', side, ...reset });
        break;
      }
      case MessageType.keepalive:
        if (state[side] !== 'established') feed({ type: 'keepalive', side });
        break;
      case MessageType.open:
        receiveOpen(link, bytes, offset, length);
        break;
      case MessageType.notification: {
        const heard = decodeNotification(bytes, offset, length);
        link.said = { notification: heard, direction: 'received' };
        const versionError = heard.code === NotificationCode.open && heard.subcode === 1;
        feed({ type: 'notification', side, reason: `received ${describeNotification(heard)}`, versionError });
        break;
      }
      default: {
        if (state[side] !== 'established') {
          feed({ type: 'refresh', side });
          break;
        }
        const refresh = decodeRouteRefresh(bytes, offset, length);
        if (refresh.ok) handlers.onRefresh(refresh.value);
        else feed({ type: 'error', side, notification: refresh.notification, reason: refresh.reason });
      }
    }
    return !link.closed;
  };

  const receiveOpen = (link: Link, bytes: Uint8Array, offset: number, length: number): void => {
    const { side } = link;
    const decoded = decodeOpen(bytes, offset, length);
    if (!decoded.ok) {
      feed({ type: 'error', side, notification: decoded.notification, reason: decoded.reason });
      return;
    }
    const open: Open = decoded.value;
    const local = (lastOpen ??= options.localOpen());
    const settled = negotiate(local, open, session, options.acceptableAsns);
    if ('notification' in settled) {
      feed({ type: 'error', side, notification: settled.notification, reason: settled.reason });
      return;
    }
    link.negotiated = settled;
    link.receivedOpen = bytes.slice(offset, offset + length);
    if (settled.extendedMessages) link.framer.setMaxLength(MAX_EXTENDED_MESSAGE_LENGTH);
    const up = establishedSide(state);
    const before = up === undefined ? undefined : links[up]?.negotiated;
    const weAreHigher = local.routerId === open.routerId ? local.asn > openAsn(open) : local.routerId > open.routerId;
    const graceful = (before?.gracefulRestart?.families.length ?? 0) > 0;
    feed({ type: 'open', side, facts: { holdMs: settled.holdTime * 1000, weAreHigher, graceful } });
  };

  const finish = (link: Link, linger: boolean): void => {
    link.closed = true;
    for (const cancel of link.timers.values()) cancel();
    link.timers.clear();
    if (linger) link.connection.end();
    else link.connection.destroy();
    if (links[link.side] === link) links[link.side] = undefined;
  };

  /** Links closed in the step at hand, for the actions that follow their closing. */
  const over: { out: Link | undefined; in: Link | undefined } = { out: undefined, in: undefined };
  let running = false;
  const waiting: FsmEvent[] = [];

  const feed = (event: FsmEvent): void => {
    waiting.push(event);
    if (running) return;
    running = true;
    try {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) runStep(next);
    } finally {
      running = false;
    }
  };

  const runStep = (event: FsmEvent): void => {
    const { state: next, actions } = step(state, event, config);
    state = next;
    if (event.type === 'connected') {
      // The machine may refuse the connection; then its actions speak of `offered`.
      if (actions.some((action) => action.do === 'close' && action.side === event.side)) {
        offered?.write(encodeNotification(notification(NotificationCode.cease, CeaseError.connectionRejected)));
        offered?.end();
        offered = undefined;
        return;
      }
      if (offered !== undefined) adopt(event.side, offered);
      offered = undefined;
    }
    for (const action of actions) {
      switch (action.do) {
        case 'dial':
          dial();
          break;
        case 'abort-dial':
          abortDial?.();
          abortDial = undefined;
          break;
        case 'send': {
          const link = links[action.side];
          if (link === undefined) break;
          if (action.message === 'open') {
            lastOpen = options.localOpen();
            link.sentOpen = encodeOpen(lastOpen);
            send(link, link.sentOpen);
          } else send(link, KEEPALIVE);
          break;
        }
        case 'notify': {
          const link = links[action.side];
          if (link === undefined) break;
          const said = outgoing(link, action.notification);
          link.said = { notification: said, direction: 'sent' };
          send(link, encodeNotification(said));
          break;
        }
        case 'close': {
          const link = links[action.side];
          if (link === undefined) break;
          over[action.side] = link;
          finish(link, true);
          break;
        }
        case 'set':
          clearTimer(action.timer);
          timers.set(
            action.timer,
            clock.after(jitter(action.ms), () => {
              timers.delete(action.timer);
              feed({ type: 'timer', timer: action.timer });
            }),
          );
          break;
        case 'clear':
          clearTimer(action.timer);
          break;
        case 'set-connection': {
          const link = links[action.side];
          if (link === undefined) break;
          if (action.timer === 'hold') armHold(link, action.ms);
          else if (action.timer === 'keepalive') armKeepalive(link, action.ms);
          else {
            clearLinkTimer(link, 'delay-open');
            link.timers.set(
              'delay-open',
              clock.after(action.ms, () => feed({ type: 'connection-timer', timer: 'delay-open', side: link.side })),
            );
          }
          break;
        }
        case 'clear-connection':
          clearLinkTimer(links[action.side], action.timer);
          break;
        case 'up': {
          const link = links[action.side];
          if (link?.negotiated === undefined) break;
          counters.established++;
          upSince = clock.now();
          watchSending(link, link.negotiated.holdTime);
          handlers.onUp(link.negotiated, link.connection, { sent: link.sentOpen, received: link.receivedOpen });
          break;
        }
        case 'down': {
          const link = over[action.side];
          upSince = undefined;
          sendWatch?.();
          handlers.onDown(endOf(link, explained(action.reason, link), action.graceful));
          break;
        }
        case 'failed': {
          handlers.onFailed(explained(action.reason, over[action.side]));
          break;
        }
      }
    }
    const now = sessionState(state);
    if (now !== shown) {
      shown = now;
      handlers.onState(now);
    }
  };

  /** RFC 4724: a lost connection is graceful; RFC 8538: so is a NOTIFICATION other than hard reset, when both sides say so. */
  const endOf = (link: Link | undefined, reason: string, replaced: boolean): SessionEnd => {
    const said = link?.said;
    const graceful = link?.negotiated?.gracefulRestart;
    const mayRetain =
      graceful !== undefined &&
      (replaced || said === undefined || (graceful.notification && !isFinal(said.notification)));
    return said === undefined ? { reason, mayRetain } : { reason, mayRetain, ...said };
  };

  const dial = (): void => {
    if (options.dial === undefined) return;
    abortDial = transport.dial(
      options.dial,
      (connection) => {
        abortDial = undefined;
        offered = connection;
        feed({ type: 'connected', side: 'out' });
      },
      (reason) => {
        abortDial = undefined;
        feed({ type: 'dial-failed', reason });
        handlers.onFailed(reason);
      },
    );
  };

  const established = (): Link | undefined => {
    const side = establishedSide(state);
    return side === undefined ? undefined : links[side];
  };

  return {
    get state() {
      return shown;
    },
    counters,
    get upSince() {
      return upSince;
    },
    start: () => feed({ type: 'start' }),
    stop: (reason = notification(NotificationCode.cease, CeaseError.adminShutdown)) =>
      feed({ type: 'stop', notification: reason }),
    abandon() {
      for (const side of ['out', 'in'] as const)
        if (links[side] !== undefined) feed({ type: 'closed', side, reason: 'restarting' });
      feed({ type: 'stop', notification: notification(NotificationCode.cease) });
    },
    reset(said, reason) {
      const side = establishedSide(state);
      if (side !== undefined) feed({ type: 'error', side, notification: said, reason });
    },
    accept(connection) {
      if (running) {
        clock.soon(() => this.accept(connection));
        return;
      }
      offered = connection;
      feed({ type: 'connected', side: 'in' });
    },
    write(bytes) {
      const link = established();
      if (link !== undefined) send(link, bytes);
    },
    backlog: () => established()?.connection.backlog() ?? 0,
    pause: () => established()?.connection.pause(),
    resume: () => established()?.connection.resume(),
  };
}
