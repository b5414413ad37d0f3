/**
 * The one loop: keeps a piece of kernel state equal to what is desired, whatever fails in between.
 * Single flight, newest wins, bursts settle, retries back off, and the kernel is read again only at the start, after a pass
 * whose outcome is unknown, at the resync, or when someone says that it drifted: the cost follows the change.
 * Nothing is pruned before every source has synced nor while one is stale. Every block's target runs in here.
 */
import type { Observable } from 'rxjs';
import { Subject } from 'rxjs';
import { SdkError } from '../net/errors.ts';
import type { BackoffOptions } from './backoff.ts';
import { backoffDelay } from './backoff.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import type { ApplyFailure, Desired, PassEvent, Reconciler, Target } from './types.ts';

/** Options of {@link reconcile}. */
export interface ReconcileOptions {
  /** Milliseconds of quiet that end a burst of changes. @defaultValue 20 */
  readonly settleMs?: number;
  /** Milliseconds after which a burst is served though it goes on. @defaultValue 200 */
  readonly maxSettleMs?: number;
  /** Milliseconds between two readings of the kernel when nothing happens, ± 10 %; 0: never. @defaultValue 300000 */
  readonly resyncMs?: number;
  /** Pauses after a pass that left something undone. */
  readonly backoff?: BackoffOptions;
  /** Each emission says that the kernel may have changed under us: it is read again soon. */
  readonly drift$?: Observable<unknown>;
  /** Ends the loop at once, the pass under way included. */
  readonly signal?: AbortSignal;
  /** @defaultValue the machine's clock */
  readonly clock?: Clock;
  /** Numbers from 0 up to but not including 1. @defaultValue Math.random */
  readonly random?: () => number;
}

type Reason = PassEvent['reason'];
/** Why a pass may be due, the strongest reason first. */
const REASONS = ['request', 'change', 'drift', 'retry', 'resync'] as const;

interface Waiter {
  readonly resolve: (event: PassEvent) => void;
  readonly reject: (error: Error) => void;
}

const toError = (cause: unknown): Error => (cause instanceof Error ? cause : new Error(String(cause)));

/**
 * Runs a target against a stream of desired states until it is closed.
 *
 * @example
 * ```ts
 * import { of, firstValueFrom } from 'rxjs';
 * import { reconcile } from 'kube-router-sdk/kernel';
 *
 * const kernel = new Set(['old']);
 * const loop = reconcile(of({ state: new Set(['a', 'b']), synced: true }), {
 *   name: 'example',
 *   observe: () => Promise.resolve(new Set(kernel)),
 *   plan: (desired, observed) => ({
 *     add: [...desired].filter((item) => !observed.has(item)),
 *     remove: [...observed].filter((item) => !desired.has(item)),
 *   }),
 *   size: ({ add, remove }) => add.length + remove.length,
 *   apply({ add, remove }) {
 *     for (const item of add) kernel.add(item);
 *     for (const item of remove) kernel.delete(item);
 *     return Promise.resolve({ observed: new Set(kernel), failures: [] });
 *   },
 * });
 * const { changes, remaining } = await firstValueFrom(loop.events$);
 * console.log(changes, remaining, [...kernel].join()); // 3 0 a,b
 * await loop.close();
 * ```
 */
export function reconcile<State, Observed, Plan>(
  desired$: Observable<Desired<State>>,
  target: Target<State, Observed, Plan>,
  options: ReconcileOptions = {},
): Reconciler {
  const { settleMs = 20, maxSettleMs = 200, resyncMs = 300_000 } = options;
  const clock = options.clock ?? systemClock;
  const random = options.random ?? Math.random;
  const events = new Subject<PassEvent>();
  const abort = new AbortController();

  let latest: Omit<Desired<State>, 'dirty'> | undefined;
  /** Keys that changed since the last plan; `undefined`: anything may have. */
  let dirty: Set<string> | undefined;
  /** The state that the kernel is known to hold; absent: to be read. */
  let known: { readonly observed: Observed } | undefined;
  /** The source itself failed: from then on it counts as stale. */
  let sourceLost = false;
  /** A pass has run without pruning: the next that may prune looks at every key. */
  let pruneOwed = false;
  /** When the first change of the burst under way came. */
  let burstAt: number | undefined;
  /** When the oldest change came that no pass has served yet. */
  let unservedAt: number | undefined;
  let started = false;
  let closed = false;
  /** The last pass broke as a whole: changes wait for the retry as well. */
  let broken = false;
  /** How many passes over everything have left something undone in a row. */
  let attempt = 0;
  /** Changes left undone by the last pass over everything, and keys that a pass over some left undone: the retry owes both. */
  let owed = 0;
  let troubled = new Set<string>();
  let waiters: Waiter[] = [];
  let running: Promise<void> | undefined;
  let cancelTimer: (() => void) | undefined;
  const due: Record<(typeof REASONS)[number], number> = {
    request: Infinity,
    change: Infinity,
    drift: Infinity,
    retry: Infinity,
    resync: Infinity,
  };

  function arm(): void {
    cancelTimer?.();
    cancelTimer = undefined;
    if (closed || running !== undefined || latest === undefined) return;
    const news = Math.min(due.change, due.drift);
    const next = Math.min(due.request, broken ? Math.max(due.retry, news) : news, due.retry, due.resync);
    if (next === Infinity) return;
    cancelTimer = clock.after(Math.max(0, next - clock.now()), () => {
      cancelTimer = undefined;
      running = pass(latest!).finally(() => {
        running = undefined;
        arm();
      });
    });
  }

  /** Takes every reason whose time has come; a change that still settles is served as well, for its state is planned. */
  function take(): { readonly reason: Reason; readonly retry: boolean } {
    const now = clock.now();
    if (due.change < Infinity) due.change = Math.min(due.change, now);
    const ripe = REASONS.filter((name) => due[name] <= now);
    if (ripe.includes('drift') || ripe.includes('resync')) known = undefined;
    for (const name of ripe) due[name] = Infinity;
    const reason = started ? (ripe[0] ?? 'change') : 'start';
    started = true;
    burstAt = undefined;
    return { reason, retry: ripe.includes('retry') || ripe.includes('request') };
  }

  async function observe(): Promise<{ readonly observed: Observed }> {
    const observed = await target.observe(abort.signal);
    // A reading for another reason does not put the resync off: it may have been of a part only.
    if (resyncMs > 0 && due.resync === Infinity) due.resync = clock.now() + resyncMs * (0.9 + 0.2 * random());
    return { observed };
  }

  /** One pass; at most one runs. Every outcome is an event, nothing is thrown. */
  async function pass(wanted: Omit<Desired<State>, 'dirty'>): Promise<void> {
    const began = clock.now();
    const { reason, retry } = take();
    const served = waiters;
    waiters = [];
    const since = unservedAt;
    unservedAt = undefined;
    const prune = wanted.synced && wanted.staleSince === undefined && !sourceLost;
    const whole = known === undefined || retry || dirty === undefined || (prune && pruneOwed);
    const keys = dirty ?? new Set<string>();
    const planOptions = { prune, ...(whole ? {} : { dirty: keys }) };
    dirty = new Set();
    pruneOwed = !prune;

    let changes = 0;
    let remaining = 0;
    let failures: readonly ApplyFailure[] = [];
    let error: Error | undefined;
    try {
      known ??= await observe();
      const plan = target.plan(wanted.state, known.observed, planOptions);
      changes = remaining = target.size(plan);
      if (changes > 0) {
        const applied = await target.apply(plan, abort.signal);
        failures = applied.failures;
        known = applied.observed === undefined ? await observe() : { observed: applied.observed };
        remaining = target.size(target.plan(wanted.state, known.observed, planOptions));
      }
      if (whole) troubled = new Set();
      else {
        if (remaining > 0) for (const key of keys) troubled.add(key);
        const all = { prune, dirty: new Set([...keys, ...troubled]) };
        if (troubled.size > 0) remaining = target.size(target.plan(wanted.state, known.observed, all));
      }
    } catch (cause) {
      error = toError(cause);
      known = undefined;
      unservedAt = since;
    }
    broken = error !== undefined;
    if (broken) owed = Math.max(1, remaining, owed);
    else if (whole) owed = remaining;
    const undone = broken || whole ? owed : owed + remaining;
    planRetry(whole, undone > 0 || failures.length > 0);
    const event: PassEvent = {
      target: target.name,
      reason,
      changes,
      remaining: undone,
      durationMs: clock.now() - began,
      failures,
      ...(since === undefined ? {} : { latencyMs: clock.now() - since }),
      ...(error === undefined ? {} : { error }),
      ...(prune ? {} : { pruneHeld: wanted.synced ? ('stale' as const) : ('unsynced' as const) }),
    };
    events.next(event);
    for (const waiter of served) waiter.resolve(event);
  }

  /** What is left undone is planned again after a pause; until then the changes of other keys stay cheap. */
  function planRetry(whole: boolean, trouble: boolean): void {
    if (whole && !trouble) {
      attempt = 0;
      due.retry = Infinity;
    } else if (trouble && (whole || due.retry === Infinity)) {
      due.retry = clock.now() + backoffDelay(attempt++, options.backoff, random);
    }
  }

  function onDesired(next: Desired<State>): void {
    if (closed) return;
    if (latest === undefined || next.dirty === undefined) dirty = undefined;
    else if (dirty !== undefined) for (const key of next.dirty) dirty.add(key);
    // Its keys are in `dirty` now; those of a first picture are as many as the state has.
    const { state, synced, staleSince } = next;
    latest = { state, synced, ...(staleSince === undefined ? {} : { staleSince }) };
    const now = clock.now();
    burstAt ??= now;
    unservedAt ??= now;
    due.change = Math.min(burstAt + maxSettleMs, now + settleMs);
    arm();
  }

  /** A stream that feeds the loop has failed: said once, and the loop goes on with what it has. */
  function tell(cause: unknown, pruneHeld: { readonly pruneHeld?: 'stale' }): void {
    if (closed) return;
    const none = { changes: 0, remaining: owed, durationMs: 0, failures: [] };
    events.next({ target: target.name, reason: 'change', ...none, error: toError(cause), ...pruneHeld });
  }

  function onSourceError(cause: unknown): void {
    // Fail static: the last desired state stays in force, and nothing is pruned any more.
    sourceLost = true;
    tell(cause, { pruneHeld: 'stale' });
  }

  // Each for itself: a source that completes has said its last state, and that is kept in force all the same.
  const desired = desired$.subscribe({ next: onDesired, error: onSourceError });
  const drift = options.drift$?.subscribe({
    next: () => {
      due.drift = Math.min(due.drift, clock.now() + settleMs);
      arm();
    },
    error: (cause: unknown) => tell(cause, {}),
  });

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      closed = true;
      desired.unsubscribe();
      drift?.unsubscribe();
      cancelTimer?.();
      await running;
      for (const waiter of waiters) waiter.reject(new SdkError('the loop was closed', { code: 'ABORTED' }));
      waiters = [];
      events.complete();
    })();
    return closing;
  };
  const stop = (): void => {
    abort.abort();
    void close();
  };
  if (options.signal?.aborted === true) stop();
  else options.signal?.addEventListener('abort', stop, { once: true });

  return {
    events$: events.asObservable(),
    sync: ({ observe: read = false } = {}) =>
      new Promise((resolve, reject) => {
        if (closed) {
          reject(new SdkError('the loop was closed', { code: 'ABORTED' }));
          return;
        }
        waiters.push({ resolve, reject });
        due.request = clock.now();
        if (read) due.drift = due.request;
        arm();
      }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
