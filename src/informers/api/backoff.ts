/**
 * How long to wait before the next try: exponential with full jitter, so that a thousand agents do not come back as one.
 * The count starts over after a healthy while, not after the first success: a server that accepts and drops is not well.
 */

/** Bounds of a backoff, in milliseconds. */
export interface BackoffOptions {
  /** Upper bound of the first wait. @defaultValue 800 */
  readonly baseMs?: number;
  /** Upper bound of any wait. @defaultValue 30000 */
  readonly maxMs?: number;
  /** How long things must go well until the count starts over. @defaultValue 10000 */
  readonly healthyMs?: number;
  /** Source of jitter, 0 up to 1. @defaultValue `Math.random` */
  readonly random?: () => number;
}

/** A running backoff. */
export interface Backoff {
  /** The next wait in milliseconds. */
  next(): number;
  /** Something went well at this time (epoch milliseconds) since that time. */
  healthy(since: number, now: number): void;
  /** Waits asked for since the last healthy while. */
  readonly failures: number;
}

/** Creates a backoff. */
export function createBackoff(options: BackoffOptions = {}): Backoff {
  const { baseMs = 800, maxMs = 30_000, healthyMs = 10_000, random = Math.random } = options;
  let failures = 0;
  return {
    get failures() {
      return failures;
    },
    next() {
      const bound = Math.min(maxMs, baseMs * 2 ** Math.min(failures, 20));
      failures++;
      // A tenth at the least: full jitter alone could answer zero again and again.
      return Math.round(bound * (0.1 + 0.9 * random()));
    },
    healthy(since, now) {
      if (now - since >= healthyMs) failures = 0;
    },
  };
}

/** Allows so many calls at once and then one every so often. */
export function createLimiter(burst: number, everyMs: number, now: () => number = Date.now) {
  let free = burst;
  let filledAt = now();
  const fill = () => {
    const gained = Math.floor((now() - filledAt) / everyMs);
    if (gained <= 0) return;
    free = Math.min(burst, free + gained);
    filledAt += gained * everyMs;
  };
  return {
    /** Milliseconds until a call is allowed; 0 takes one. */
    take(): number {
      fill();
      if (free > 0) {
        if (free === burst) filledAt = now();
        free--;
        return 0;
      }
      return Math.max(1, everyMs - (now() - filledAt));
    },
    /** A call was not made after all. */
    giveBack(): void {
      free = Math.min(burst, free + 1);
    },
  };
}
