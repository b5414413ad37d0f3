/**
 * Growing, jittered pauses between attempts, so that a broken target neither hammers the kernel nor beats in step with others.
 * Pure: randomness comes in as a function.
 */

/** How pauses grow. */
export interface BackoffOptions {
  /** Milliseconds of the first pause, before jitter. @defaultValue 200 */
  readonly initialMs?: number;
  /** Longest pause in milliseconds, before jitter. @defaultValue 30000 */
  readonly maxMs?: number;
  /** Each pause is the one before times this. @defaultValue 2 */
  readonly factor?: number;
  /** Share of a pause that is random, 0–1: a pause of 1000 ms with 0.5 takes 500–1000 ms. @defaultValue 0.5 */
  readonly jitter?: number;
}

/** Milliseconds to wait before attempt number `attempt` (0 is the first retry). */
export function backoffDelay(
  attempt: number,
  options: BackoffOptions = {},
  random: () => number = Math.random,
): number {
  const { initialMs = 200, maxMs = 30_000, factor = 2, jitter = 0.5 } = options;
  const full = Math.min(maxMs, initialMs * factor ** Math.min(attempt, 64));
  return full * (1 - jitter * random());
}
