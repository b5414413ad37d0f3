/**
 * The inverse of everything that pod networking applied, without a running agent: from the ownership record and what the kernel holds now.
 * Only what the record names is removed; a bridge on which pods still hang and a value that someone else has changed are kept and named.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createSysctl } from '../kernel/sysctl.ts';
import type { RestoreResult } from '../kernel/sysctl.ts';
import type { ApplyFailure, Runner } from '../kernel/types.ts';
import { jsonList } from './parse/state.ts';
import { planRemoval } from './plan.ts';
import type { RoutingPlan } from './plan.ts';
import { render } from './render.ts';
import { createRoutingTarget, observeRouting } from './target.ts';
import type { RoutingTargetOptions } from './target.ts';

/** Options of {@link cleanupRouting}. */
export interface CleanupOptions extends RoutingTargetOptions {
  /** Also what carries our marks and is not on record, such as what kube-router left. @defaultValue false */
  readonly adopt?: boolean;
  /** Tell, change nothing. @defaultValue false */
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/** What cleanup did, or would do. */
export interface CleanupReport {
  /** Keys removed. */
  readonly removed: readonly string[];
  /** Keys left in place, and why. */
  readonly kept: readonly { readonly key: string; readonly reason: string }[];
  readonly restored: readonly RestoreResult[];
  readonly failures: readonly ApplyFailure[];
  /** The commands as text. */
  readonly text: string;
}

async function portsOf(runner: Runner, bridge: string, signal: AbortSignal): Promise<number> {
  const { stdout, exitCode } = await runner.run(
    { file: 'ip', args: ['-j', 'link', 'show', 'master', bridge], okExitCodes: [1, 255] },
    { signal },
  );
  return exitCode === 0 ? jsonList(stdout, 'ip link').length : 0;
}

/** Milliseconds before another try, each time twice as long. */
const FIRST_WAIT_MS = 100;
const TRIES = 5;

/**
 * Applies a removal until nothing of it is left. What fails at first often goes a moment later: the lock of iptables-legacy is another
 * tool's, or an ipset counts as used until the kernel has freed the nft rule that named it (nf_tables frees rules in a worker).
 * A cleanup has no next pass, so it waits here.
 */
async function removeAll(
  options: CleanupOptions,
  wanted: RoutingPlan,
  signal: AbortSignal,
): Promise<readonly ApplyFailure[]> {
  let plan = wanted;
  for (let attempt = 1; ; attempt++) {
    const { failures } = await createRoutingTarget(options).apply(plan, signal);
    if (failures.length === 0 || attempt === TRIES) return failures;
    await delay(FIRST_WAIT_MS * 2 ** (attempt - 1), undefined, { signal });
    // What a failed command took away all the same is not asked for again.
    const now = await observeRouting(options, signal);
    const left = failures.map(({ item }) => item).filter((key) => now.items.has(key));
    if (left.length === 0) return [];
    plan = planRemoval(now, left);
  }
}

/** Removes what is ours and gives back what was there before. */
export async function cleanupRouting(options: CleanupOptions): Promise<CleanupReport> {
  const signal = options.signal ?? new AbortController().signal;
  const observed = await observeRouting(options, signal);
  const kept: { key: string; reason: string }[] = [];
  const keys: string[] = [];
  for (const [key, item] of observed.items) {
    if (item.type === 'sysctl') continue;
    if (options.adopt !== true && options.ownership?.applied.has(key) !== true) {
      kept.push({ key, reason: 'not on record as ours' });
      continue;
    }
    const ports = item.type === 'link' && item.kind === 'bridge' ? await portsOf(options.runner, item.name, signal) : 0;
    if (ports > 0) kept.push({ key, reason: `${ports} pods still hang on it` });
    else keys.push(key);
  }
  keys.sort();
  const plan = planRemoval(observed, keys);
  const sysctl = createSysctl(options);
  if (options.dryRun === true) {
    const restored = await sysctl.restore({ dryRun: true, signal });
    return { removed: keys, kept, restored, failures: [], text: render(plan, options) };
  }
  const failures = await removeAll(options, plan, signal);
  const restored = await sysctl.restore({ signal });
  const failed = new Set(failures.map((one) => one.item));
  // What is on record and was not found is gone already.
  await options.ownership?.remove([...options.ownership.applied.keys()].filter((key) => !observed.items.has(key)));
  return { removed: keys.filter((key) => !failed.has(key)), kept, restored, failures, text: render(plan, options) };
}
