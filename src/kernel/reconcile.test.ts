import { Subject } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { createVirtualClock } from '../testing/virtual-clock.ts';
import type { VirtualClock } from '../testing/virtual-clock.ts';
import type { ReconcileOptions } from './reconcile.ts';
import { reconcile } from './reconcile.ts';
import type { Applied, Desired, PassEvent, PlanOptions, Reconciler, Target } from './types.ts';

type State = ReadonlyMap<string, string>;
type Plan = readonly (readonly [key: string, value: string | undefined])[];

/** A kernel that is a map, with switches for everything that can go wrong. */
function createModel(clock: VirtualClock) {
  const model = {
    kernel: new Map<string, string>(),
    applyMs: 0,
    failing: new Set<string>(),
    observeError: undefined as Error | undefined,
    applyError: undefined as Error | undefined,
    forgets: false,
    flights: 0,
    observes: 0,
    plans: [] as PlanOptions[],
    examined: 0,
  };
  const target: Target<State, State, Plan> = {
    name: 'model',
    async observe() {
      model.observes++;
      if (model.observeError !== undefined) throw model.observeError;
      return new Map(model.kernel);
    },
    plan(desired, observed, options) {
      model.plans.push(options);
      const keys = options.dirty ?? new Set([...desired.keys(), ...observed.keys()]);
      model.examined += keys.size;
      return [...keys]
        .filter((key) => desired.get(key) !== observed.get(key) && (desired.has(key) || options.prune))
        .map((key) => [key, desired.get(key)] as const);
    },
    size: (plan) => plan.length,
    async apply(plan, signal): Promise<Applied<State>> {
      expect(model.flights++).toBe(0);
      try {
        if (model.applyMs > 0) await clock.sleep(model.applyMs);
        if (signal.aborted) throw new Error('aborted');
        if (model.applyError !== undefined) throw model.applyError;
        const failures = [];
        for (const [key, value] of plan) {
          if (model.failing.has(key)) failures.push({ item: key, error: new Error(`${key} refused`) });
          else if (value === undefined) model.kernel.delete(key);
          else model.kernel.set(key, value);
        }
        return model.forgets ? { failures } : { failures, observed: new Map(model.kernel) };
      } finally {
        model.flights--;
      }
    },
  };
  return { model, target };
}

const state = (text: string): State =>
  new Map(
    text
      .split(' ')
      .filter(Boolean)
      .map((pair) => pair.split('=') as [string, string]),
  );
const want = (text: string, more: Partial<Desired<State>> = {}): Desired<State> => ({
  state: state(text),
  synced: true,
  ...more,
});

let clock: VirtualClock;
let made: ReturnType<typeof createModel>;
let desired$: Subject<Desired<State>>;
let loop: Reconciler;
let events: PassEvent[];
const begin = (options: ReconcileOptions = {}): void => {
  loop = reconcile(desired$, made.target, { clock, random: () => 0.5, ...options });
  loop.events$.subscribe((event) => events.push(event));
};
const kernel = (): string =>
  [...made.model.kernel]
    .map((pair) => pair.join('='))
    .sort()
    .join(' ');

beforeEach(() => {
  clock = createVirtualClock(1000);
  made = createModel(clock);
  desired$ = new Subject();
  events = [];
});

describe('bursts', () => {
  it('one pass serves a burst after 20 ms of quiet, and tells how long its oldest change waited', async () => {
    begin();
    desired$.next(want('a=1'));
    await clock.advance(15);
    desired$.next(want('a=2'));
    await clock.advance(19);
    expect(events).toEqual([]);
    await clock.advance(1);
    expect(kernel()).toBe('a=2');
    expect(events).toEqual([
      { target: 'model', reason: 'start', changes: 1, remaining: 0, durationMs: 0, latencyMs: 35, failures: [] },
    ]);
  });

  it('a burst without end is served every 200 ms', async () => {
    begin();
    for (let index = 0; index < 100; index++) {
      desired$.next(want(`a=${index}`));
      await clock.advance(10);
    }
    expect(events.length).toBe(5);
    expect(events.every(({ latencyMs }) => latencyMs! <= 200)).toBe(true);
    expect(made.model.observes).toBe(1);
  });

  it('while a pass runs the next waits, and plans only the newest', async () => {
    made.model.applyMs = 500;
    begin();
    desired$.next(want('a=1'));
    await clock.advance(100);
    for (const value of [2, 3, 4]) desired$.next(want(`a=${value}`));
    await clock.advance(1500);
    expect(kernel()).toBe('a=4');
    expect(events.map(({ changes }) => changes)).toEqual([1, 1]);
  });

  it('plans dirty keys only, and their union over a burst', async () => {
    begin();
    desired$.next(want('a=1 b=1 c=1'));
    await clock.advance(50);
    made.model.plans = [];
    desired$.next(want('a=2 b=1 c=1', { dirty: new Set(['a']) }));
    desired$.next(want('a=2 c=1', { dirty: new Set(['b']) }));
    await clock.advance(50);
    expect(made.model.plans[0]).toEqual({ prune: true, dirty: new Set(['a', 'b']) });
    expect(kernel()).toBe('a=2 c=1');
    desired$.next(want('c=9'));
    await clock.advance(50);
    expect(made.model.plans.at(-1)).toEqual({ prune: true });
    expect(made.model.observes).toBe(1);
  });
});

describe('failures', () => {
  it('one refused item does not hold up the others, is retried with growing pauses, and remaining says so', async () => {
    made.model.failing.add('bad');
    begin();
    desired$.next(want('bad=1 good=1'));
    await clock.advance(20);
    expect(kernel()).toBe('good=1');
    expect(events[0]).toMatchObject({ changes: 2, remaining: 1, failures: [{ item: 'bad' }] });
    desired$.next(want('bad=1 good=2', { dirty: new Set(['good']) }));
    await clock.advance(20);
    expect(kernel()).toBe('good=2');
    expect(events[1]).toMatchObject({ reason: 'change', changes: 1, remaining: 1, failures: [] });
    await clock.advance(10_000);
    const retries = events.filter(({ reason }) => reason === 'retry').length;
    expect(retries).toBeGreaterThanOrEqual(4);
    expect(retries).toBeLessThanOrEqual(6); // 150, 300, 600, … ms
    made.model.failing.clear();
    await clock.advance(30_000);
    expect(events.at(-1)).toMatchObject({ reason: 'retry', remaining: 0 });
    const count = events.length;
    await clock.advance(60_000);
    expect(events.length).toBe(count);
  });

  it('a key that fails again and again counts once', async () => {
    begin();
    desired$.next(want('a=1'));
    await clock.advance(20);
    made.model.failing.add('bad');
    for (let index = 0; index < 3; index++) {
      desired$.next(want(`a=1 bad=${index}`, { dirty: new Set(['bad']) }));
      await clock.advance(25);
    }
    expect(events.slice(1).map(({ remaining }) => remaining)).toEqual([1, 1, 1]);
    // A pass for another key does not forget it.
    desired$.next(want('a=2 bad=2', { dirty: new Set(['a']) }));
    await clock.advance(25);
    expect(events.at(-1)).toMatchObject({ reason: 'change', changes: 1, remaining: 1, failures: [] });
    expect(made.model.plans.at(-2)!.dirty).toEqual(new Set(['a']));
  });

  it('reads the kernel again when a target does not know what it reached', async () => {
    made.model.forgets = true;
    begin();
    desired$.next(want('a=1'));
    await clock.advance(20);
    expect(made.model.observes).toBe(2);
    expect(events[0]).toMatchObject({ remaining: 0 });
  });

  it('a broken pass is an event, holds changes until its retry, and reads the kernel again', async () => {
    made.model.applyError = new Error('half done');
    begin();
    desired$.next(want('a=1'));
    await clock.advance(20);
    expect(events[0]).toMatchObject({ changes: 1, remaining: 1, error: { message: 'half done' } });
    made.model.kernel.set('stray', '1');
    made.model.applyError = undefined;
    desired$.next(want('a=2', { dirty: new Set(['a']) }));
    await clock.advance(100);
    expect(events).toHaveLength(1);
    await clock.advance(60);
    expect(events).toHaveLength(2);
    // The change waited through the failure: its latency counts from the first emission.
    expect(events[1]).toMatchObject({ reason: 'change', remaining: 0, changes: 2, latencyMs: 170 });
    expect(kernel()).toBe('a=2');
  });

  it('an unreadable kernel and a broken plan are events as well', async () => {
    made.model.observeError = new Error('no netlink');
    begin();
    desired$.next(want('a=1'));
    await clock.advance(5000);
    expect(events.length).toBeGreaterThan(3);
    expect(events.every(({ error, remaining }) => error?.message === 'no netlink' && remaining > 0)).toBe(true);
    made.model.observeError = undefined;
    await clock.advance(30_000);
    expect(events.at(-1)).toMatchObject({ remaining: 0 });
    expect(events.at(-1)).not.toHaveProperty('error');
  });
});

describe('pruning', () => {
  it('never before every source has synced; then once over everything', async () => {
    made.model.kernel = new Map([['old', '1']]);
    begin();
    desired$.next(want('a=1', { synced: false }));
    await clock.advance(50);
    expect(kernel()).toBe('a=1 old=1');
    expect(events[0]).toMatchObject({ pruneHeld: 'unsynced', changes: 1, remaining: 0 });
    desired$.next(want('a=1', { dirty: new Set() }));
    await clock.advance(50);
    expect(kernel()).toBe('a=1');
    expect(events[1]).not.toHaveProperty('pruneHeld');
  });

  it('not while a source is stale; what went meanwhile goes when it is back', async () => {
    begin();
    desired$.next(want('a=1 b=1'));
    await clock.advance(50);
    desired$.next(want('c=1', { dirty: new Set(['a', 'b', 'c']), staleSince: clock.now() }));
    await clock.advance(50);
    expect(kernel()).toBe('a=1 b=1 c=1');
    expect(events.at(-1)).toMatchObject({ pruneHeld: 'stale' });
    desired$.next(want('c=1', { dirty: new Set() }));
    await clock.advance(50);
    expect(kernel()).toBe('c=1');
  });

  it('a source that fails leaves everything in force, without pruning, and says so once', async () => {
    begin();
    desired$.next(want('a=1 b=1'));
    await clock.advance(50);
    desired$.error(new Error('source broke'));
    expect(events.at(-1)).toMatchObject({ error: { message: 'source broke' }, pruneHeld: 'stale', changes: 0 });
    made.model.kernel = new Map([['stray', '1']]);
    const event = await Promise.all([loop.sync({ observe: true }), clock.advance(10)]);
    expect(event[0]).toMatchObject({ changes: 2, remaining: 0, pruneHeld: 'stale' });
    expect(kernel()).toBe('a=1 b=1 stray=1');
  });

  it('a source that completes keeps the loop alive', async () => {
    begin();
    desired$.next(want('a=1'));
    desired$.complete();
    await clock.advance(50);
    made.model.kernel.clear();
    await clock.advance(330_000);
    expect(kernel()).toBe('a=1');
  });
});

describe('drift', () => {
  it('is found by the resync', async () => {
    begin({ resyncMs: 60_000 });
    desired$.next(want('a=1'));
    await clock.advance(50);
    made.model.kernel.set('a', 'changed').set('stray', '1');
    await clock.advance(66_000);
    expect(kernel()).toBe('a=1');
    expect(events[1]).toMatchObject({ reason: 'resync', changes: 2, remaining: 0 });
    expect(events[1]).not.toHaveProperty('latencyMs');
  });

  it('is found at once when someone says so', async () => {
    const drift$ = new Subject<void>();
    begin({ drift$ });
    desired$.next(want('a=1'));
    await clock.advance(50);
    made.model.kernel.clear();
    drift$.next();
    drift$.next();
    await clock.advance(20);
    expect(kernel()).toBe('a=1');
    expect(events.map(({ reason }) => reason)).toEqual(['start', 'drift']);
    drift$.error(new Error('monitor gone'));
    expect(events.at(-1)).toMatchObject({ error: { message: 'monitor gone' } });
    desired$.next(want(''));
    await clock.advance(50);
    expect(kernel()).toBe('');
  });

  it('said again and again does not put the resync off', async () => {
    const drift$ = new Subject<void>();
    begin({ drift$, resyncMs: 60_000 });
    desired$.next(want('a=1'));
    await clock.advance(50);
    for (let second = 0; second < 140; second += 20) {
      drift$.next();
      await clock.advance(20_000);
    }
    expect(events.filter(({ reason }) => reason === 'resync')).toHaveLength(2);
  });

  it('is repaired after the source has said its last state and completed, at once and by the resync', async () => {
    const drift$ = new Subject<void>();
    begin({ drift$, resyncMs: 60_000 });
    desired$.next(want('a=1'));
    desired$.complete();
    await clock.advance(50);
    made.model.kernel.clear();
    drift$.next();
    await clock.advance(20);
    expect(kernel()).toBe('a=1');
    made.model.kernel.clear();
    await clock.advance(66_000);
    expect(kernel()).toBe('a=1');
  });

  it('resyncMs 0 never reads again', async () => {
    begin({ resyncMs: 0 });
    desired$.next(want('a=1'));
    await clock.advance(10 ** 9);
    expect(made.model.observes).toBe(1);
    expect(clock.pending).toBe(0);
  });
});

describe('sync and close', () => {
  it('sync waits for the first desired state, then answers with its pass', async () => {
    begin();
    const first = loop.sync();
    await clock.advance(1000);
    desired$.next(want('a=1'));
    await clock.advance(0);
    expect(await first).toMatchObject({ reason: 'start', changes: 1 });
    const second = loop.sync({ observe: true });
    made.model.kernel.clear();
    await clock.advance(0);
    expect(await second).toMatchObject({ reason: 'request', changes: 1, remaining: 0 });
  });

  it('sync during a pass is answered by the next one', async () => {
    made.model.applyMs = 100;
    begin();
    desired$.next(want('a=1'));
    await clock.advance(50);
    const asked = loop.sync();
    await clock.advance(200);
    expect(await asked).toMatchObject({ reason: 'request', changes: 0 });
    expect(events).toHaveLength(2);
  });

  it('close waits for the pass under way, leaves the kernel alone, ends the stream and refuses what waits', async () => {
    made.model.applyMs = 100;
    begin();
    let completed = false;
    loop.events$.subscribe({ complete: () => (completed = true) });
    desired$.next(want('a=1'));
    await clock.advance(50);
    const waiting = loop.sync().catch((error: unknown) => error);
    let closed = false;
    const closing = loop.close().then(() => (closed = true));
    await clock.advance(40);
    expect(closed).toBe(false);
    await clock.advance(100);
    await closing;
    expect(kernel()).toBe('a=1');
    expect(events).toHaveLength(1);
    expect(completed).toBe(true);
    expect(await waiting).toMatchObject({ code: 'ABORTED' });
    await expect(loop.sync()).rejects.toMatchObject({ code: 'ABORTED' });
    desired$.next(want(''));
    await clock.advance(10 ** 6);
    expect(kernel()).toBe('a=1');
    expect(clock.pending).toBe(0);
    expect(desired$.observed).toBe(false);
  });

  it('close while it rests takes its timers along', async () => {
    begin();
    desired$.next(want('a=1'));
    await clock.advance(100);
    expect(clock.pending).toBe(1); // the resync
    await loop.close();
    expect(clock.pending).toBe(0);
  });

  it('a signal aborts the pass under way', async () => {
    const controller = new AbortController();
    made.model.applyMs = 100;
    begin({ signal: controller.signal });
    desired$.next(want('a=1'));
    await clock.advance(50);
    controller.abort();
    await clock.advance(100);
    expect(events).toMatchObject([{ error: { message: 'aborted' } }]);
    expect(kernel()).toBe('');
    await loop[Symbol.asyncDispose]();
    expect(clock.pending).toBe(0);
  });

  it('is disposed of by the language', async () => {
    {
      await using disposed = reconcile(desired$, made.target, { clock });
      expect(typeof disposed.close).toBe('function');
    }
    expect(desired$.observed).toBe(false);
  });
});
