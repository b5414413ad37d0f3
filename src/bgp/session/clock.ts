/**
 * Time as a port, so that sessions run in virtual time under test.
 * Stands under the session driver; the system's clock is the default.
 */

/** A clock with timers. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Calls `callback` once after `ms` milliseconds; returns how to cancel it. */
  after(ms: number, callback: () => void): () => void;
  /** Calls `callback` once, after the input at hand has been read. */
  soon(callback: () => void): void;
}

/** The clock of the system. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  soon(callback) {
    setImmediate(callback);
  },
};
