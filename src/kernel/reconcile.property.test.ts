/**
 * The loop under every mixture of bursts, refused items, half-done and unknown applies, unreadable kernels, drift, stale and unsynced
 * sources and slow passes, in virtual time: what must hold in every pass, and that it always arrives in the end.
 */
import fc from 'fast-check';
import { Subject } from 'rxjs';
import { expect, it } from 'vitest';
import { createVirtualClock } from '../testing/virtual-clock.ts';
import { reconcile } from './reconcile.ts';
import type { ApplyFailure, Desired, PassEvent, PlanOptions, Target } from './types.ts';

type State = ReadonlyMap<string, number>;
interface Plan {
  readonly changes: readonly (readonly [string, number | undefined])[];
  readonly options: PlanOptions;
}
type Fault = 'none' | 'refuse' | 'half' | 'forget' | 'reject' | 'blind';

const keys = ['a', 'b', 'c', 'd'];
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('set' as const),
      key: fc.constantFrom(...keys),
      value: fc.nat({ max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('unset' as const), key: fc.constantFrom(...keys) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('drift' as const),
      key: fc.constantFrom(...keys, 'foreign'),
      told: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('stale' as const), on: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('fault' as const),
      fault: fc.constantFrom<Fault>('none', 'refuse', 'half', 'forget', 'reject', 'blind'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('slow' as const), ms: fc.constantFrom(0, 5, 50, 1000) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('sync' as const), observe: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.constantFrom(1, 10, 19, 21, 100, 500, 5000) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function play(steps: readonly Step[], syncAt: number, seed: number): Promise<void> {
  const clock = createVirtualClock(1_000_000);
  const kernel = new Map<string, number>([['left-over', 1]]);
  const desired$ = new Subject<Desired<State>>();
  const drift$ = new Subject<void>();
  const events: PassEvent[] = [];
  /** What did not hold; an assertion thrown inside the loop would be taken for a failing target. */
  const violations: unknown[] = [];
  const check = (assertions: () => void): void => {
    try {
      assertions();
    } catch (error) {
      violations.push(error);
    }
  };
  let wanted = new Map<string, number>();
  let fault: Fault = 'none';
  let slow = 0;
  let flights = 0;
  let stale = false;
  let synced = false;
  /** The newest state and pruning rights when the last plan was made, to judge it by. */
  let newest: Desired<State> | undefined;
  let left = 0;

  const differences = (state: State, observed: State, options: PlanOptions): Plan['changes'] =>
    [...(options.dirty ?? new Set([...state.keys(), ...observed.keys()]))]
      .filter((key) => state.get(key) !== observed.get(key) && (state.has(key) || options.prune))
      .map((key) => [key, state.get(key)] as const);

  const target: Target<State, State, Plan> = {
    name: 'model',
    async observe() {
      await clock.sleep(slow / 5);
      if (fault === 'blind') throw new Error('cannot read');
      untold = false;
      return new Map(kernel);
    },
    plan(state, observed, options) {
      // Nothing is pruned before every source has synced, nor while one is stale, whatever is left to do.
      check(() => expect(options.prune).toBe(newestAtPass!.synced && newestAtPass!.staleSince === undefined));
      return { changes: differences(state, observed, options), options };
    },
    size: ({ changes }) => changes.length,
    async apply({ changes, options }) {
      check(() => expect(flights).toBe(0)); // single flight
      flights++;
      // Newest wins: a pass that begins has the state that was the newest when it began.
      check(() => changes.forEach(([key, value]) => expect(newestAtPass!.state.get(key)).toBe(value)));
      check(() => changes.forEach(([, value]) => value ?? expect(options.prune).toBe(true)));
      await clock.sleep(slow);
      flights--;
      const failures: ApplyFailure[] = [];
      const now = fault;
      changes.forEach(([key, value], index) => {
        if (
          (now === 'refuse' && key === 'a') ||
          ((now === 'half' || now === 'reject') && index >= changes.length / 2)
        ) {
          failures.push({ item: key, error: new Error('refused') });
        } else if (value === undefined) kernel.delete(key);
        else kernel.set(key, value);
      });
      if (now === 'reject') throw new Error('tool died');
      return now === 'forget' ? { failures: [] } : { failures, observed: new Map(kernel) };
    },
  };
  let newestAtPass: Desired<State> | undefined;
  const observe = target.observe.bind(target);
  const plan = target.plan.bind(target);
  let passOpen = false;
  const opening = (): void => {
    if (!passOpen) newestAtPass = newest;
    passOpen = true;
  };
  const watched: Target<State, State, Plan> = {
    ...target,
    observe: (signal) => {
      opening();
      return observe(signal);
    },
    plan: (state, observed, options) => {
      opening();
      check(() => expect(state).toBe(newestAtPass!.state));
      return plan(state, observed, options);
    },
  };

  /** The kernel was changed behind the loop's back, and it has not read it since. */
  let untold = true;
  const judge = (event: PassEvent): void => {
    const { state, synced: all, staleSince } = newestAtPass!;
    expect(event.pruneHeld).toBe(!all ? 'unsynced' : staleSince === undefined ? undefined : 'stale');
    if (event.error !== undefined || event.failures.length > 0) expect(event.remaining).toBeGreaterThan(0);
    // `remaining` 0 means that, as far as the loop can know, the kernel holds what this pass wanted.
    if (event.remaining === 0 && !untold) {
      expect(differences(state, kernel, { prune: event.pruneHeld === undefined })).toEqual([]);
    }
    expect(event.durationMs).toBeGreaterThanOrEqual(0);
    if (event.latencyMs !== undefined) expect(event.latencyMs).toBeGreaterThanOrEqual(event.durationMs);
  };
  const loop = reconcile(desired$, watched, {
    clock,
    drift$,
    random: () => ((seed * 16_807) % 100) / 100,
    resyncMs: 60_000,
  });
  let completed = false;
  loop.events$.subscribe({
    next(event) {
      events.push(event);
      passOpen = false;
      check(() => judge(event));
    },
    complete: () => (completed = true),
  });
  const emit = (dirty?: Set<string>): void => {
    newest = {
      state: new Map(wanted),
      synced,
      ...(stale ? { staleSince: clock.now() } : {}),
      ...(dirty === undefined ? {} : { dirty }),
    };
    desired$.next(newest);
  };
  const pending: Promise<unknown>[] = [];

  for (const [index, one] of steps.entries()) {
    if (index === syncAt) {
      synced = true;
      emit(new Set());
    }
    switch (one.type) {
      case 'set':
        wanted.set(one.key, one.value);
        emit(index % 7 === 0 ? undefined : new Set([one.key]));
        break;
      case 'unset':
        wanted.delete(one.key);
        emit(new Set([one.key]));
        break;
      case 'drift':
        kernel.set(one.key, 99);
        untold = true;
        if (one.told) drift$.next();
        break;
      case 'stale':
        stale = one.on;
        emit(new Set());
        break;
      case 'fault':
        fault = one.fault;
        break;
      case 'slow':
        slow = one.ms;
        break;
      case 'sync':
        pending.push(loop.sync({ observe: one.observe }));
        break;
      case 'wait':
        await clock.advance(one.ms);
        break;
    }
  }

  // Everything heals: then the kernel arrives at exactly what is wanted, within one retry and one resync, and rests.
  fault = 'none';
  slow = 0;
  stale = false;
  synced = true;
  emit(new Set());
  await clock.advance(200_000);
  expect(Object.fromEntries(kernel)).toEqual(Object.fromEntries(wanted));
  expect(events.at(-1)).toMatchObject({ remaining: 0, failures: [] });
  expect(events.at(-1)).not.toHaveProperty('error');
  await Promise.all(pending); // every sync was answered
  left = events.length;
  await clock.advance(200_000);
  expect(events.slice(left).every(({ reason, changes }) => reason === 'resync' && changes === 0)).toBe(true);
  expect(events.length - left).toBeLessThanOrEqual(4);

  // Closed in the middle of a slow pass: that pass ends, the kernel stays, no timer is left.
  slow = 300;
  wanted = new Map([['last', 1]]);
  emit();
  await clock.advance(30);
  const closing = loop.close();
  await clock.advance(2000);
  await closing;
  expect(completed).toBe(true);
  expect(Object.fromEntries(kernel)).toEqual({ last: 1 });
  expect(clock.pending).toBe(0);
  expect(violations).toEqual([]);
}

it('arrives whatever happens, and never prunes too early', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat({ max: 30 }), fc.nat({ max: 1000 }), play),
    { numRuns: 300, interruptAfterTimeLimit: 90_000 },
  );
});
