/**
 * Time that passes only when a test says so: timers fire in order, at their exact moment, in no real time.
 * Implements the `Clock` that every loop of the package takes.
 */
import type { Clock } from '../kernel/clock.ts';

/** A {@link Clock} driven by hand. */
export interface VirtualClock extends Clock {
  /** Number of timers waiting. */
  readonly pending: number;
  /**
   * Lets time pass: fires every timer that becomes due, in order, and lets promises settle after each.
   * Resolves when nothing is left to happen at the new time.
   */
  advance(ms: number): Promise<void>;
  /** A promise that resolves after so much virtual time. */
  sleep(ms: number): Promise<void>;
  /** Lets promises settle without time passing. */
  flush(): Promise<void>;
}

/**
 * Makes a clock that stands still at a time in epoch milliseconds.
 * @example
 * ```ts
 * import { createVirtualClock } from 'kube-router-sdk/testing';
 *
 * const clock = createVirtualClock();
 * clock.after(60_000, () => console.log('a minute later')); // a minute later
 * await clock.advance(60_000);
 * ```
 */
export function createVirtualClock(start = 0): VirtualClock {
  interface Timer {
    readonly at: number;
    readonly order: number;
    readonly call: () => void;
  }
  const timers = new Set<Timer>();
  let now = start;
  let order = 0;
  // A macrotask runs only after every microtask that is ready, and theirs, is done.
  const flush = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
  const after = (ms: number, call: () => void): (() => void) => {
    const timer: Timer = { at: now + Math.max(0, ms), order: order++, call };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  const next = (until: number): Timer | undefined => {
    let first: Timer | undefined;
    for (const timer of timers) {
      if (timer.at > until) continue;
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer;
    }
    return first;
  };
  return {
    get pending() {
      return timers.size;
    },
    now: () => now,
    after,
    flush,
    sleep: (ms) => new Promise((resolve) => void after(ms, resolve)),
    async advance(ms) {
      const until = now + ms;
      await flush();
      for (let timer = next(until); timer !== undefined; timer = next(until)) {
        timers.delete(timer);
        now = Math.max(now, timer.at);
        timer.call();
        await flush();
      }
      now = until;
    },
  };
}
