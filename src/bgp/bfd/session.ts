/**
 * One BFD session (RFC 5880 section 6.8), pure: packets and time in, packets and state changes out.
 * Asynchronous mode without echo. Times are milliseconds on any clock that does not go back; the worker owns sockets and timers.
 */
import type { BfdPacket, BfdState } from './packet.ts';

/** How a session is to be. */
export interface BfdSessionOptions {
  /** Nonzero, unique among our sessions. */
  readonly discriminator: number;
  /** Milliseconds between packets, sent and wanted. */
  readonly interval: number;
  readonly multiplier: number;
}

/** Diagnostics that we say (RFC 5880 section 4.1). */
export const DIAGNOSTIC = { none: 0, expired: 1, neighborDown: 3, adminDown: 7 } as const;

/** Slowest interval while a session is not up, in milliseconds (section 6.8.3). */
const SLOW_MS = 1000;

/** A session. */
export interface BfdSession {
  readonly state: BfdState;
  readonly diagnostic: number;
  readonly remoteDiscriminator: number;
  /** Takes a packet; returns whether the state changed, and the answer to a poll. */
  receive(packet: BfdPacket, now: number): { readonly changed: boolean; readonly reply?: BfdPacket };
  /** Looks at the detection timer; returns whether the state changed. */
  expire(now: number): boolean;
  /** When detection expires; Infinity while nothing is expected. */
  readonly expiresAt: number;
  /** The packet to send now. */
  packet(): BfdPacket;
  /** Milliseconds until the next packet; `random` in [0, 1) makes the jitter of section 6.8.7. Infinity: the peer wants none. */
  nextIn(random: number): number;
  /** Detection time in milliseconds, as negotiated. */
  readonly detectionTime: number;
}

/** Makes a session in Down. */
export function createBfdSession({ discriminator, interval, multiplier }: BfdSessionOptions): BfdSession {
  let state: BfdState = 'down';
  let diagnostic: number = DIAGNOSTIC.none;
  let remote = 0;
  let remoteMinRx = 1; // microseconds; 1 until heard (section 6.8.1)
  let remoteMinTx = 0;
  let remoteMultiplier = 0;
  let expiresAt = Infinity;
  /** A change of our interval is told by polling until the peer says Final (section 6.5). */
  let polling = false;

  const desiredTx = (): number => (state === 'up' ? interval : Math.max(interval, SLOW_MS)) * 1000;
  const detection = (): number => (remoteMultiplier * Math.max(interval * 1000, remoteMinTx)) / 1000;
  const packet = (final: boolean): BfdPacket => ({
    diagnostic,
    state,
    poll: polling && !final,
    final,
    demand: false,
    multiplier,
    myDiscriminator: discriminator,
    yourDiscriminator: remote,
    desiredMinTx: desiredTx(),
    requiredMinRx: interval * 1000,
    requiredMinEchoRx: 0,
  });
  const become = (next: BfdState, why: number): boolean => {
    if (next === state) return false;
    if (next === 'up' || state === 'up') polling = next === 'up';
    state = next;
    diagnostic = why;
    return true;
  };

  return {
    get state() {
      return state;
    },
    get diagnostic() {
      return diagnostic;
    },
    get remoteDiscriminator() {
      return remote;
    },
    get expiresAt() {
      return expiresAt;
    },
    get detectionTime() {
      return detection();
    },
    packet: () => packet(false),
    receive(heard, now) {
      if (heard.yourDiscriminator !== 0 && heard.yourDiscriminator !== discriminator) return { changed: false };
      remote = heard.myDiscriminator;
      remoteMinRx = heard.requiredMinRx;
      remoteMinTx = heard.desiredMinTx;
      remoteMultiplier = heard.multiplier;
      if (heard.final) polling = false;
      let changed = false;
      if (heard.state === 'admin-down') changed = state === 'down' ? false : become('down', DIAGNOSTIC.neighborDown);
      else if (state === 'down') {
        if (heard.state === 'down') changed = become('init', DIAGNOSTIC.none);
        else if (heard.state === 'init') changed = become('up', DIAGNOSTIC.none);
      } else if (state === 'init') {
        if (heard.state === 'init' || heard.state === 'up') changed = become('up', DIAGNOSTIC.none);
      } else if (heard.state === 'down') changed = become('down', DIAGNOSTIC.neighborDown);
      expiresAt = now + detection();
      return heard.poll ? { changed, reply: packet(true) } : { changed };
    },
    expire(now) {
      if (now < expiresAt) return false;
      expiresAt = Infinity;
      remote = 0;
      remoteMinRx = 1;
      return state === 'init' || state === 'up' ? become('down', DIAGNOSTIC.expired) : false;
    },
    nextIn(random) {
      if (remoteMinRx === 0) return Infinity;
      const base = Math.max(desiredTx(), remoteMinRx) / 1000;
      // Multiplier 1 leaves no room for a late packet: at most 90 % of the interval.
      return base * (multiplier === 1 ? 0.75 + random * 0.15 : 0.75 + random * 0.25);
    },
  };
}
