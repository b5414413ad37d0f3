/**
 * The driver of one peer: runs the pure machine of fsm.ts on a clock and a transport, and reads what comes on its connections.
 * UPDATEs and ROUTE-REFRESHes go to whoever made the session; the machine sees of them only that they came.
 * Reading is strictly in order and stops with the first message that ends a connection.
 */
import { CeaseError, MAX_EXTENDED_MESSAGE_LENGTH, MessageType, NotificationCode } from '../message/constants.ts';
import { encodeKeepalive } from '../message/header.ts';
import { decodeNotification, describeNotification, encodeNotification, notification } from '../message/notification.ts';
import { decodeOpen, encodeOpen, openAsn } from '../message/open.ts';
import { decodeRouteRefresh } from '../message/refresh.ts';
import type { Open } from '../message/types.ts';
import type { SessionDriver, SessionDriverOptions } from './driver-types.ts';
import type { FsmAction, FsmConfig, FsmEvent, FsmState, PeerTimer, SessionState, Side } from './fsm.ts';
import { INITIAL, establishedSide, sessionState, step } from './fsm.ts';
import type { Link, LinkContext } from './link.ts';
import {
  clearLinkTimer,
  closeLink,
  createLink,
  endOf,
  explained,
  outgoingNotification,
  pauseLink,
  readLink,
  resumeLink,
  setLinkTimer,
  watchSending,
} from './link.ts';
import type { LocalOpen } from './negotiate.ts';
import { negotiate } from './negotiate.ts';
import type { Connection } from './transport.ts';

const KEEPALIVE = encodeKeepalive();

/**
 * Milliseconds after which a further connection of a peer with graceful restart says that it restarted. One that comes sooner was on its
 * way when the session came up: both sides dialled.
 */
const SETTLED_MS = 5000;

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

  const send = (link: Link, bytes: Uint8Array): void => {
    if (link.closed) return;
    counters.sent++;
    link.connection.write(bytes);
  };

  const read = (link: Link, slice: Uint8Array): void => {
    const began = clock.now();
    const fault = link.framer.push(slice, (chunk, offset, length, type) => receive(link, chunk, offset, length, type));
    if (fault !== undefined && !link.closed)
      feed({ type: 'error', side: link.side, notification: fault.notification, reason: fault.reason });
    handlers.onRead(clock.now() - began);
  };

  const adopt = (side: Side, connection: Connection): void => {
    const link = createLink(side, connection, clock.now());
    links[side] = link;
    connection.start({
      onData: (bytes) => {
        if (links[side] !== link || link.closed) return;
        context.announce(link);
        readLink(context, link, bytes, (slice) => read(link, slice));
      },
      onDrain: () => {
        if (link.closed) return;
        link.progressAt = clock.now();
        link.progressBacklog = link.connection.backlog();
        if (state[side] === 'established') handlers.onDrain();
      },
      onClose: (reason) => {
        // What came before the end counts.
        const rest = link.unread;
        link.unread = undefined;
        if (rest !== undefined && !link.closed) read(link, rest);
        if (!link.closed) feed({ type: 'closed', side, reason });
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
    const weAreHigher = local.routerId === open.routerId ? local.asn > openAsn(open) : local.routerId > open.routerId;
    feed({
      type: 'open',
      side,
      facts: { holdMs: settled.holdTime * 1000, weAreHigher, graceful: comesAgain(link.openedAt) },
    });
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

  const context: LinkContext = {
    clock,
    feed,
    jitter,
    announce(link) {
      if (link === established()) handlers.onRead(0);
    },
  };

  const perform = (action: FsmAction): void => {
    switch (action.do) {
      case 'dial':
        dial();
        break;
      case 'abort-dial':
        abortDial?.();
        abortDial = undefined;
        break;
      case 'adopt':
        if (offered !== undefined) adopt(action.side, offered);
        offered = undefined;
        break;
      case 'refuse':
        offered?.write(encodeNotification(action.notification));
        offered?.end();
        offered = undefined;
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
        const said = outgoingNotification(link, action.notification);
        link.said = { notification: said, direction: 'sent' };
        send(link, encodeNotification(said));
        break;
      }
      case 'close': {
        const link = links[action.side];
        if (link === undefined) break;
        over[action.side] = link;
        links[action.side] = undefined;
        closeLink(link);
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
        setLinkTimer(context, link, action.timer, action.ms);
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
        const { holdTime } = link.negotiated;
        const limit = session.sendHoldTime ?? (holdTime === 0 ? 0 : Math.max(480, holdTime * 2));
        if (limit > 0) sendWatch = watchSending(context, link, limit * 1000);
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
  };

  const runStep = (event: FsmEvent): void => {
    const { state: next, actions } = step(state, event, config);
    state = next;
    for (const action of actions) perform(action);
    const now = sessionState(state);
    if (now !== shown) {
      shown = now;
      handlers.onState(now);
    }
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

  /** Whether a connection that was opened then says that the peer of the session that is up restarted (RFC 4724 section 5). */
  const comesAgain = (openedAt: number): boolean =>
    upSince !== undefined &&
    openedAt - upSince >= SETTLED_MS &&
    (established()?.negotiated?.gracefulRestart?.families.length ?? 0) > 0;

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
      feed({ type: 'connected', side: 'in', graceful: comesAgain(clock.now()) });
    },
    write(bytes) {
      const link = established();
      if (link !== undefined) send(link, bytes);
    },
    backlog: () => established()?.connection.backlog() ?? 0,
    pause() {
      const link = established();
      if (link !== undefined) pauseLink(link);
    },
    resume() {
      const link = established();
      if (link !== undefined) resumeLink(context, link, (slice) => read(link, slice));
    },
  };
}
