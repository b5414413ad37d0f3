/**
 * The service proxy under `reconcile()`: applies plans, remembers what it reached, drains real servers that were removed.
 * What a setting held before and which real servers drain is in the ownership record before the kernel changes, so a
 * restart neither forgets a drain nor loses the way back. Effects go through the runner alone.
 */
import { SdkError } from '../net/errors.ts';
import type { BlockOwnership } from '../kernel/ownership.ts';
import type { Clock } from '../kernel/clock.ts';
import { systemClock } from '../kernel/clock.ts';
import type { Applied, ApplyFailure, PlanOptions, Target } from '../kernel/types.ts';
import { createDrain } from './drain.ts';
import { sameItem } from './compile/items.ts';
import type { IpvsItem, IpvsState } from './model.ts';
import { observeIpvs, readServers } from './observe.ts';
import type { ObserveOptions } from './observe.ts';
import { separate } from './parse.ts';
import { applyStep, plan, shareItems } from './plan.ts';
import type { IpvsObserved, IpvsPlan, Step } from './plan.ts';
import { renderCommands } from './render.ts';
import type { IpvsCommand, RenderOptions } from './render.ts';

/** Options of {@link createIpvsTarget}. */
export interface IpvsTargetOptions extends ObserveOptions, RenderOptions {
  /** This block's part of the ownership record; without it nothing is remembered over a restart. @defaultValue none */
  readonly owned?: BlockOwnership;
  /** Milliseconds between looks at draining real servers; none is taken while nothing drains. @defaultValue 1000 */
  readonly drainIntervalMs?: number;
  /** Milliseconds of drain of a real server that was found at weight 0 without a record. @defaultValue 30000 */
  readonly leftoverDrainMs?: number;
  /** @defaultValue the machine's */
  readonly clock?: Clock;
}

/** The target of the service proxy. */
export interface IpvsTarget extends Target<IpvsState, IpvsObserved, IpvsPlan>, AsyncDisposable {
  /** Looks at the draining real servers now and removes those that are idle or out of time. Resolves with how many still drain. */
  drainNow(): Promise<number>;
  /** Ends the timer of drains; the kernel keeps what it has. */
  close(): Promise<void>;
}

/** Makes an {@link IpvsTarget}. */
export function createIpvsTarget(options: IpvsTargetOptions): IpvsTarget {
  const { runner, owned } = options;
  let observed: IpvsObserved | undefined;
  let desired: IpvsState | undefined;
  let prune = true;
  /** The kernel was read since the last plan. */
  let unshared = false;
  /** Virtual servers of which a drain removed a real server since the last plan was made: that part of it is out of date. */
  let outdated = new Set<string>();
  let tail: Promise<unknown> = Promise.resolve();
  /** One change of the kernel at a time: passes and drains share the state that was reached. */
  const alone = <T>(work: () => Promise<T>): Promise<T> => {
    const next = tail.then(work, work);
    tail = next.catch(() => undefined);
    return next;
  };
  const drain = createDrain({
    runner,
    clock: options.clock ?? systemClock,
    intervalMs: options.drainIntervalMs ?? 1000,
    leftoverMs: options.leftoverDrainMs ?? 30_000,
    ...(owned === undefined ? {} : { owned }),
    alone,
    onRemoved: (key) => void outdated.add(key),
    state: () => ({ desired, observed }),
  });

  async function remember(step: Step): Promise<void> {
    if (owned === undefined || step.kind !== 'put' || step.item.type !== 'sysctl') return;
    const before = step.before?.type === 'sysctl' ? step.before.value : null;
    await owned.remember(step.item.path, before, step.item.value);
  }

  /** After `-R`: what is there now, and which steps it does not show. */
  async function readBack(state: IpvsObserved, command: IpvsCommand, signal: AbortSignal): Promise<ApplyFailure[]> {
    const servers = await readServers(runner, signal);
    const { ours } = separate(servers, [...state.items.values()]);
    const now = new Map<string, IpvsItem>(ours.map((item) => [item.key, item]));
    const touched = new Set<string>();
    for (const step of command.steps) {
      applyStep(state, step);
      if (step.kind === 'server') touched.add(step.vs.key);
      else if (step.kind !== 'blocked') touched.add(step.item.key);
    }
    const failures: ApplyFailure[] = [];
    for (const key of touched) {
      const expected = state.items.get(key);
      const found = now.get(key);
      if (found === undefined) state.items.delete(key);
      else if (expected === undefined || !sameItem(expected, found)) state.items.set(key, found);
      if (describe(expected) === describe(found)) continue;
      const message = `ipvsadm -R left ${key} as ${describe(found)} instead of ${describe(expected)}`;
      failures.push({ item: key, error: new SdkError(message, { code: 'COMMAND_FAILED', retryable: true }) });
    }
    return failures;
  }

  /** The plan as it would be made now. */
  function refreshed(made: IpvsPlan, state: IpvsObserved): IpvsPlan {
    if (outdated.size === 0 || desired === undefined) return made;
    const dirty = outdated;
    outdated = new Set();
    const kept = made.steps.filter((step) => {
      if (step.kind === 'blocked') return true;
      return !dirty.has(step.kind === 'server' ? step.vs.key : step.item.key);
    });
    return { steps: [...kept, ...plan(desired, state, { prune, dirty }).steps] };
  }

  async function apply(made: IpvsPlan, signal: AbortSignal): Promise<Applied<IpvsObserved>> {
    const state = observed;
    if (state === undefined) throw new SdkError('apply before observe', { code: 'ABORTED' });
    const steps = refreshed(made, state);
    const failures: ApplyFailure[] = [];
    let known = true;
    for (const step of steps.steps) {
      if (step.kind !== 'blocked') continue;
      failures.push({ item: step.key, error: new SdkError(`${step.key}: ${step.reason}`, { code: 'CONFLICT' }) });
    }
    for (const command of renderCommands(steps, options)) {
      signal.throwIfAborted();
      await Promise.all(command.steps.map(remember));
      await drain.before(command.steps);
      const { steps: covered, verify, ...plain } = command;
      try {
        await runner.run(plain, { signal });
        if (verify === 'ipvs') failures.push(...(await readBack(state, command, signal)));
        else for (const step of covered) applyStep(state, step);
        await drain.after(covered);
      } catch (error) {
        if (signal.aborted) throw error;
        const reason = error instanceof Error ? error : new Error(String(error));
        if (verify === 'ipvs') failures.push(...(await readBack(state, command, signal)));
        else {
          known = false;
          for (const step of covered) failures.push({ item: stepName(step), error: reason });
          if (covered.length === 0) failures.push({ item: plain.file, error: reason });
        }
      }
    }
    return known ? { observed: state, failures } : { failures };
  }

  return {
    name: 'ipvs',
    observe: (signal) =>
      alone(async () => {
        const next = await observeIpvs(options, signal);
        observed = next;
        unshared = true;
        await drain.adopt(next);
        return next;
      }),
    plan(state, known, planOptions: PlanOptions) {
      desired = state;
      ({ prune } = planOptions);
      outdated = new Set();
      if (unshared) shareItems(state, known);
      unshared = false;
      return plan(state, known, planOptions);
    },
    size: (steps) => steps.steps.length,
    apply: (steps, signal) => alone(() => apply(steps, signal)),
    drainNow: () => drain.look(),
    async close() {
      drain.close();
      await tail;
    },
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}

function stepName(step: Step): string {
  if (step.kind === 'server') return `${step.vs.key} ${step.server.address}`;
  return step.kind === 'blocked' ? step.key : step.item.key;
}

function describe(item: IpvsItem | undefined): string {
  if (item?.type !== 'vs') return 'nothing';
  const servers = item.servers.map(({ address, port, weight }) => `${address}:${port}/${weight}`);
  if (item.scheduler !== 'mh') servers.sort();
  return `${item.scheduler} ${item.flags.join()} ${item.persistence} ${servers.join(' ')}`;
}
