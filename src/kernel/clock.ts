/**
 * Time as the loops see it: one small port, so that every timer of the package can run in virtual time in a test.
 * The real one is monotonic: a wall clock set back by NTP must not stall a timer.
 */

/** A source of time and timers. */
export interface Clock {
  /** Milliseconds since the epoch, never going backwards. */
  now(): number;
  /** Calls once after so many milliseconds; the returned function takes it back. */
  after(ms: number, call: () => void): () => void;
}

/** Longest delay that the platform's timers hold; a longer one fires at once. */
const MAX_DELAY = 2 ** 31 - 1;

/** The machine's clock. Its timers keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  after(ms, call) {
    const timer = setTimeout(call, Math.min(Math.max(ms, 0), MAX_DELAY));
    return () => clearTimeout(timer);
  },
};
