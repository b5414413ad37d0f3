/**
 * The finite state machine of one peer, pure: state and event in, state and actions out (RFC 4271 section 8).
 * RFC 4271 runs one machine a connection and lets collision detection (section 6.8) dump one of two; here the peer is the machine and
 * holds up to two connections, dialled (`out`) and accepted (`in`), each with its own phase, which makes the collision one rule.
 * Messages arrive already judged; the driver in peer.ts owns bytes, sockets and clocks.
 */
import type { Notification } from '../message/types.ts';
import { CeaseError, FsmError, NotificationCode } from '../message/constants.ts';

/** Which of a peer's two connections: dialled by us or accepted from it. */
export type Side = 'out' | 'in';

/** Life of one connection. `delay`: open, DelayOpenTimer runs. */
export type Phase = 'dialing' | 'delay' | 'opensent' | 'openconfirm' | 'established';

/** State names of RFC 4271 section 8.2.2. */
export type SessionState = 'idle' | 'connect' | 'active' | 'opensent' | 'openconfirm' | 'established';

/** Everything that the machine remembers. */
export interface FsmState {
  /** Administratively started. */
  readonly started: boolean;
  /** Waiting in Idle for IdleHoldTimer (DampPeerOscillations). */
  readonly held: boolean;
  readonly out: Phase | undefined;
  readonly in: Phase | undefined;
  /** Failures in a row, for damping (ConnectRetryCounter). */
  readonly failures: number;
}

/** What the machine is told of its peer. */
export interface FsmConfig {
  /** Never dials (PassiveTcpEstablishment). */
  readonly passive: boolean;
  /** Milliseconds. */
  readonly connectRetryMs: number;
  /** Milliseconds; 0 sends OPEN at once. */
  readonly delayOpenMs: number;
  /** Milliseconds of the first damping pause; doubles to `idleHoldMaxMs`. 0: no damping. */
  readonly idleHoldMs: number;
  readonly idleHoldMaxMs: number;
}

/** What an acceptable OPEN settled. */
export interface OpenFacts {
  /** Negotiated hold time in milliseconds; 0: no keepalives. */
  readonly holdMs: number;
  /** Whether our identifier (then AS, RFC 6286) is the higher one: the connection that we dialled wins a collision. */
  readonly weAreHigher: boolean;
  /** The connection says that the peer restarted: it ends the established one (RFC 4724 section 5). */
  readonly graceful: boolean;
}

/** What may happen. */
export type FsmEvent =
  | { readonly type: 'start' }
  | { readonly type: 'stop'; readonly notification: Notification }
  | { readonly type: 'timer'; readonly timer: PeerTimer }
  | { readonly type: 'connection-timer'; readonly timer: ConnectionTimer; readonly side: Side }
  /** A connection of ours was answered, or one was accepted; `graceful` as in {@link OpenFacts}. */
  | { readonly type: 'connected'; readonly side: Side; readonly graceful?: boolean }
  | { readonly type: 'dial-failed'; readonly reason: string }
  | { readonly type: 'closed'; readonly side: Side; readonly reason: string }
  | { readonly type: 'open'; readonly side: Side; readonly facts: OpenFacts }
  | { readonly type: 'keepalive'; readonly side: Side }
  | { readonly type: 'update' | 'refresh'; readonly side: Side }
  | { readonly type: 'notification'; readonly side: Side; readonly reason: string; readonly versionError: boolean }
  | { readonly type: 'error'; readonly side: Side; readonly notification: Notification; readonly reason: string };

/** Timers of the peer. */
export type PeerTimer = 'connect-retry' | 'idle-hold';
/** Timers of a connection. */
export type ConnectionTimer = 'delay-open' | 'hold' | 'keepalive';

/** What is to be done. */
export type FsmAction =
  | { readonly do: 'dial' }
  | { readonly do: 'abort-dial' }
  /** The connection of the `connected` event is this side's from here on. */
  | { readonly do: 'adopt'; readonly side: Side }
  /** It is not wanted. */
  | { readonly do: 'refuse'; readonly notification: Notification }
  | { readonly do: 'send'; readonly side: Side; readonly message: 'open' | 'keepalive' }
  | { readonly do: 'notify'; readonly side: Side; readonly notification: Notification }
  | { readonly do: 'close'; readonly side: Side }
  | { readonly do: 'set'; readonly timer: PeerTimer; readonly ms: number }
  | { readonly do: 'clear'; readonly timer: PeerTimer }
  | { readonly do: 'set-connection'; readonly timer: ConnectionTimer; readonly side: Side; readonly ms: number }
  | { readonly do: 'clear-connection'; readonly timer: ConnectionTimer; readonly side: Side }
  /** The session is up on this connection. */
  | { readonly do: 'up'; readonly side: Side }
  /** The session that was up is over; `graceful`: the peer keeps forwarding and a new connection of it follows. */
  | { readonly do: 'down'; readonly side: Side; readonly reason: string; readonly graceful: boolean }
  /** An attempt ended before it was up. */
  | { readonly do: 'failed'; readonly side: Side; readonly reason: string };

/** A step's outcome. */
export interface FsmStep {
  readonly state: FsmState;
  readonly actions: readonly FsmAction[];
}

/** RFC 4271 section 8.2.2: the hold timer before OPEN is negotiated. */
export const LARGE_HOLD_MS = 240_000;

/** The state before `start`. */
export const INITIAL: FsmState = { started: false, held: false, out: undefined, in: undefined, failures: 0 };

const other = (side: Side): Side => (side === 'out' ? 'in' : 'out');

/** The state of RFC 4271 that a peer is in: of the connection that is further on. */
export function sessionState(state: FsmState): SessionState {
  const order: readonly Phase[] = ['established', 'openconfirm', 'opensent'];
  for (const phase of order) if (state.out === phase || state.in === phase) return phase as SessionState;
  if (state.out === 'dialing' || state.out === 'delay') return 'connect';
  if (!state.started || state.held) return 'idle';
  return 'active';
}

/** The connection that carries the session; undefined while none is up. */
export function establishedSide(state: FsmState): Side | undefined {
  return state.out === 'established' ? 'out' : state.in === 'established' ? 'in' : undefined;
}

/**
 * Which side takes a new connection; undefined: none does. One that was accepted takes the place of an earlier one on which the peer
 * has not said OPEN yet: a peer that was cut off and comes again would wait out {@link LARGE_HOLD_MS} behind its own dead attempt.
 * A peer with graceful restart may come again while its old session still stands (RFC 4724 section 5); the dialled side is free then.
 */
function placeFor(event: FsmEvent & { type: 'connected' }, state: FsmState): Side | undefined {
  if (event.side === 'out') return state.out === 'dialing' ? 'out' : undefined;
  if (!state.started) return undefined;
  const mute = (phase: Phase | undefined): boolean => phase === undefined || phase === 'delay' || phase === 'opensent';
  if (mute(state.in)) return 'in';
  return state.in === 'established' && event.graceful === true && mute(state.out) ? 'out' : undefined;
}

function notice(code: number, subcode: number): Notification {
  return { code, subcode, data: new Uint8Array(0) };
}

/** One step of the machine. */
export function step(state: FsmState, event: FsmEvent, config: FsmConfig): FsmStep {
  const actions: FsmAction[] = [];
  let next: FsmState = state;
  const act = (...list: FsmAction[]): void => void actions.push(...list);
  const set = (side: Side, phase: Phase | undefined): void => {
    next = side === 'out' ? { ...next, out: phase } : { ...next, in: phase };
  };

  const dropTimers = (side: Side): void => {
    for (const timer of ['delay-open', 'hold', 'keepalive'] as const) act({ do: 'clear-connection', timer, side });
  };

  /** Ends a connection; the notification, when given, is said first. */
  const drop = (side: Side, reason: string, notification?: Notification, graceful = false): void => {
    const phase = next[side];
    if (phase === undefined) return;
    if (phase === 'dialing') act({ do: 'abort-dial' });
    else {
      dropTimers(side);
      if (notification !== undefined) act({ do: 'notify', side, notification });
      act({ do: 'close', side });
    }
    set(side, undefined);
    if (phase === 'established') act({ do: 'down', side, reason, graceful });
    else if (phase !== 'dialing') act({ do: 'failed', side, reason });
  };

  const dial = (): void => {
    if (config.passive || !next.started || next.held || next.out !== undefined) return;
    if (establishedSide(next) !== undefined || next.in === 'openconfirm') return;
    act({ do: 'dial' });
    set('out', 'dialing');
    act({ do: 'set', timer: 'connect-retry', ms: config.connectRetryMs });
  };

  /** After a connection ended: another may still live; else pause and try again. */
  const recover = (damp: boolean): void => {
    if (!next.started || next.in !== undefined || next.out !== undefined) return;
    next = { ...next, failures: next.failures + 1 };
    act({ do: 'clear', timer: 'connect-retry' });
    if (damp && config.idleHoldMs > 0) {
      const exponent = Math.min(next.failures - 1, 16);
      next = { ...next, held: true };
      act({ do: 'set', timer: 'idle-hold', ms: Math.min(config.idleHoldMs * 2 ** exponent, config.idleHoldMaxMs) });
    } else if (!config.passive) act({ do: 'set', timer: 'connect-retry', ms: config.connectRetryMs });
  };

  const fail = (side: Side, reason: string, notification?: Notification, damp = true): void => {
    drop(side, reason, notification);
    recover(damp);
  };

  const sendOpen = (side: Side): void => {
    act({ do: 'send', side, message: 'open' });
    act({ do: 'set-connection', timer: 'hold', side, ms: LARGE_HOLD_MS });
    set(side, 'opensent');
  };

  const wrongMessage = (side: Side): void => {
    const phase = next[side];
    const subcode =
      phase === 'opensent'
        ? FsmError.inOpenSent
        : phase === 'openconfirm'
          ? FsmError.inOpenConfirm
          : phase === 'established'
            ? FsmError.inEstablished
            : FsmError.unspecific;
    fail(side, `unexpected message in ${phase ?? 'idle'}`, notice(NotificationCode.fsm, subcode));
  };

  switch (event.type) {
    case 'start':
      if (next.started) break;
      next = { ...next, started: true, held: false, failures: 0 };
      dial();
      break;

    case 'stop':
      drop('out', 'stopped here', event.notification);
      drop('in', 'stopped here', event.notification);
      act({ do: 'clear', timer: 'connect-retry' }, { do: 'clear', timer: 'idle-hold' });
      next = INITIAL;
      break;

    case 'timer':
      if (event.timer === 'idle-hold') {
        next = { ...next, held: false };
        dial();
        break;
      }
      if (next.out === 'dialing') {
        act({ do: 'abort-dial' });
        set('out', undefined);
      }
      dial();
      break;

    case 'connection-timer':
      if (next[event.side] === undefined) break;
      if (event.timer === 'delay-open') {
        if (next[event.side] === 'delay') sendOpen(event.side);
      } else if (event.timer === 'hold') {
        fail(event.side, 'hold timer expired', notice(NotificationCode.holdTimer, 0));
      } else act({ do: 'send', side: event.side, message: 'keepalive' });
      break;

    case 'dial-failed':
      if (next.out !== 'dialing') break;
      set('out', undefined);
      // Section 8.2.2, Connect: to Active, the ConnectRetryTimer brings the next attempt.
      act({ do: 'set', timer: 'connect-retry', ms: config.connectRetryMs });
      break;

    case 'connected': {
      const side = placeFor(event, next);
      if (side === undefined) {
        act({ do: 'refuse', notification: notice(NotificationCode.cease, CeaseError.connectionRejected) });
        break;
      }
      if (next[side] !== 'dialing')
        drop(side, 'replaced by a newer connection', notice(NotificationCode.cease, CeaseError.collision));
      act({ do: 'adopt', side });
      if (next.held) {
        // The peer comes by itself: damping is for our own attempts, its attempt is as good as any.
        next = { ...next, held: false };
        act({ do: 'clear', timer: 'idle-hold' });
      }
      act({ do: 'clear', timer: 'connect-retry' });
      if (config.delayOpenMs > 0) {
        set(side, 'delay');
        act({ do: 'set-connection', timer: 'delay-open', side, ms: config.delayOpenMs });
      } else sendOpen(side);
      break;
    }

    case 'closed':
      if (next[event.side] !== undefined) fail(event.side, event.reason, undefined, next[event.side] !== 'dialing');
      break;

    case 'open': {
      const { side, facts } = event;
      const phase = next[side];
      if (phase === undefined) break;
      if (phase !== 'opensent' && phase !== 'delay') {
        wrongMessage(side);
        break;
      }
      const rival = other(side);
      if (next[rival] === 'established') {
        if (facts.graceful) drop(rival, 'replaced by a new connection of the restarted peer', undefined, true);
        else {
          drop(side, 'collision with the established session', notice(NotificationCode.cease, CeaseError.collision));
          break;
        }
      } else if (next[rival] === 'openconfirm') {
        // Section 6.8: the connection dialled by the higher identifier stays.
        const loser: Side = facts.weAreHigher ? 'in' : 'out';
        drop(loser, 'connection collision', notice(NotificationCode.cease, CeaseError.collision));
        if (loser === side) break;
      }
      act({ do: 'clear-connection', timer: 'delay-open', side });
      if (phase === 'delay') act({ do: 'send', side, message: 'open' });
      act({ do: 'send', side, message: 'keepalive' });
      if (facts.holdMs > 0) {
        act({ do: 'set-connection', timer: 'hold', side, ms: facts.holdMs });
        act({ do: 'set-connection', timer: 'keepalive', side, ms: facts.holdMs / 3 });
      } else act({ do: 'clear-connection', timer: 'hold', side });
      set(side, 'openconfirm');
      break;
    }

    case 'keepalive':
      switch (next[event.side]) {
        case 'openconfirm': {
          const rival = other(event.side);
          drop(rival, 'connection collision', notice(NotificationCode.cease, CeaseError.collision));
          act({ do: 'clear', timer: 'connect-retry' });
          set(event.side, 'established');
          next = { ...next, failures: 0, held: false };
          act({ do: 'up', side: event.side });
          break;
        }
        case 'established':
        case undefined:
          break;
        default:
          wrongMessage(event.side);
      }
      break;

    case 'update':
    case 'refresh':
      if (next[event.side] !== undefined && next[event.side] !== 'established') wrongMessage(event.side);
      break;

    case 'notification':
      // A version error is answered by trying again without a pause (section 8.2.2, event 24).
      if (next[event.side] !== undefined) fail(event.side, event.reason, undefined, !event.versionError);
      break;

    case 'error':
      if (next[event.side] !== undefined) fail(event.side, event.reason, event.notification);
      break;
  }
  return { state: next, actions };
}
