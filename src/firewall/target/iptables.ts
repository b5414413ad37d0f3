/**
 * The iptables + ipset target of `reconcile()`: reads what is there, and applies a plan step by step with one child process a
 * tool and step. After each step it knows what the kernel holds; after a failure it says so and reads anew.
 */
import { setTimeout } from 'node:timers/promises';
import { isSdkError } from '../../net/errors.ts';
import type { Applied, ApplyFailure, Runner, Target } from '../../kernel/types.ts';
import type { Family } from '../../net/values.ts';
import type { EntryOptions } from '../model/options.ts';
import type { FirewallState } from '../model/types.ts';
import { copyName, emptyFamily, findFlipped, originalOf, parseChains, parseSets } from '../parse/iptables.ts';
import type { ObservedIptables } from '../parse/iptables.ts';
import { planIptables, sizeIptables } from '../plan/iptables.ts';
import type { ChainOperations, IptablesPlan } from '../plan/iptables.ts';
import type { SetOperation } from '../plan/sets.ts';
import { renderChains, renderSets } from '../render/restore.ts';

/** Which iptables programs are used: those of one kernel interface, or whatever the system's default names mean. */
export type IptablesFlavour = 'legacy' | 'nft' | 'system';

/** What an iptables target is made from. */
export interface IptablesTargetOptions extends EntryOptions {
  readonly runner: Runner;
  /** @defaultValue 'system' */
  readonly flavour?: IptablesFlavour;
  /** Families that the node has. @defaultValue [4, 6] */
  readonly families?: readonly Family[];
  /** Network namespace path. @defaultValue the runner's own */
  readonly netns?: string;
  /** Seconds to wait for the lock of other iptables users. @defaultValue 10 */
  readonly lockSeconds?: number;
}

/** Runs the tools of one flavour. */
export interface IptablesTools {
  readonly families: readonly Family[];
  save(family: Family, signal?: AbortSignal): Promise<string>;
  restore(family: Family, text: string, signal?: AbortSignal): Promise<void>;
  saveSets(signal?: AbortSignal): Promise<string>;
  restoreSets(text: string, signal?: AbortSignal): Promise<void>;
}

/** The tools of a flavour in a network namespace. */
export function createIptablesTools(options: IptablesTargetOptions): IptablesTools {
  const { runner, flavour = 'system', netns, lockSeconds = 10 } = options;
  const families = options.families ?? [4, 6];
  const program = (family: Family, verb: string): string =>
    `${family === 4 ? 'iptables' : 'ip6tables'}${flavour === 'system' ? '' : `-${flavour}`}-${verb}`;
  const run = async (file: string, args: readonly string[], input?: string, signal?: AbortSignal): Promise<string> => {
    const command = {
      file,
      args,
      ...(input === undefined ? {} : { input }),
      ...(netns === undefined ? {} : { netns }),
    };
    const { stdout } = await runner.run(command, signal === undefined ? {} : { signal });
    return stdout;
  };
  return {
    families,
    save: (family, signal) => run(program(family, 'save'), ['-t', 'filter'], undefined, signal),
    restore: async (family, text, signal) => {
      await run(program(family, 'restore'), ['--noflush', '-w', String(lockSeconds)], text, signal);
    },
    saveSets: (signal) => run('ipset', ['save'], undefined, signal),
    restoreSets: async (text, signal) => {
      await run('ipset', ['restore', '-exist'], text, signal);
    },
  };
}

/** Reads our chains and jumps; sets count as absent. */
export async function observeChains(tools: IptablesTools, signal?: AbortSignal): Promise<ObservedIptables> {
  const [four, six] = await Promise.all([
    tools.families.includes(4) ? tools.save(4, signal) : '',
    tools.families.includes(6) ? tools.save(6, signal) : '',
  ]);
  const families = {
    4: tools.families.includes(4) ? parseChains(four) : emptyFamily(),
    6: tools.families.includes(6) ? parseChains(six) : emptyFamily(),
  };
  return { sets: new Map(), families, flipped: findFlipped(families) };
}

/** Reads everything of ours. */
export async function observeIptables(tools: IptablesTools, signal?: AbortSignal): Promise<ObservedIptables> {
  const [sets, chains] = await Promise.all([tools.saveSets(signal), observeChains(tools, signal)]);
  return { ...chains, sets: parseSets(sets) };
}

function holdSets({ sets, flipped }: ObservedIptables, operations: readonly SetOperation[]): void {
  for (const operation of operations) {
    const held = sets.get(operation.set);
    switch (operation.op) {
      case 'create': {
        const { family, kind, maxelem } = operation;
        if (held === undefined) sets.set(operation.set, { family, type: `hash:${kind}`, maxelem, members: new Map() });
        break;
      }
      case 'add':
        held?.members.set(operation.member, operation.except);
        break;
      case 'delete':
        held?.members.delete(operation.member);
        break;
      case 'destroy':
        sets.delete(operation.set);
        if (!sets.has(copyName(operation.set))) flipped.delete(originalOf(operation.set));
        break;
    }
  }
}

function holdChains(observed: ObservedIptables, family: Family, { put, remove, jumps }: ChainOperations): void {
  const { chains, jumps: held } = observed.families[family];
  for (const [name, rules] of put) chains.set(name, rules);
  for (const name of remove) chains.delete(name);
  for (const [hook, present] of jumps) {
    if (present >= 0) held.set(hook, [1]);
    else held.delete(hook);
  }
}

/** How often and how long a set that an old rule may still hold is waited for. */
const IN_USE_TRIES = 40;
const IN_USE_MS = 50;

const familyOfSet = (name: string): Family => (name.startsWith('krs6') || name.startsWith('inet6:') ? 6 : 4);

/** Carries out a plan; `observed` follows what was reached. */
export async function applyIptables(
  plan: IptablesPlan,
  observed: ObservedIptables,
  tools: IptablesTools,
  signal?: AbortSignal,
): Promise<Applied<ObservedIptables>> {
  const failures: ApplyFailure[] = [];
  const broken = new Set<Family>();
  const attempt = async (item: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work();
      return true;
    } catch (error) {
      failures.push({ item, error: error instanceof Error ? error : new Error(String(error)) });
      return false;
    }
  };
  /** Rules of the nft flavour are destroyed a moment after their commit, and hold their sets until then. */
  const restore = async (operations: readonly SetOperation[]): Promise<void> => {
    let rest = operations;
    for (let tries = 0; ; tries++) {
      try {
        await tools.restoreSets(renderSets(rest), signal);
        return holdSets(observed, rest);
      } catch (error) {
        const { line, stderr } = isSdkError(error) ? error.details : {};
        const at = typeof line === 'number' ? line - 1 : -1;
        const inUse = rest[at]?.op === 'destroy' && String(stderr).includes('in use');
        if (!inUse || tries >= IN_USE_TRIES) throw error;
        holdSets(observed, rest.slice(0, at));
        rest = rest.slice(at);
        await setTimeout(IN_USE_MS, undefined, signal === undefined ? {} : { signal });
      }
    }
  };
  const sets = async (item: string, operations: readonly SetOperation[]): Promise<boolean> => {
    const kept = operations.filter(({ set }) => !broken.has(familyOfSet(set)));
    return kept.length === 0 || attempt(item, () => restore(kept));
  };
  const chains = async (steps: Readonly<Record<Family, ChainOperations>>): Promise<void> => {
    const work = tools.families.map(async (family) => {
      const text = renderChains(steps[family]);
      if (text === '' || broken.has(family)) return;
      const done = await attempt(`chains of IPv${family}`, async () => {
        await tools.restore(family, text, signal);
        holdChains(observed, family, steps[family]);
        if (steps !== plan.chains) return;
        for (const name of plan.flips[family]) if (!observed.flipped.delete(name)) observed.flipped.add(name);
      });
      if (!done) broken.add(family);
    });
    await Promise.all(work);
  };
  const idle = (steps: Readonly<Record<Family, ChainOperations>>): boolean =>
    tools.families.every((family) => renderChains(steps[family]) === '');

  // Each batch ends where a later step must find it done; what nothing separates is one child process.
  const batches: {
    item: string;
    operations: readonly SetOperation[];
    then?: Readonly<Record<Family, ChainOperations>>;
  }[] = [];
  const open: SetOperation[] = [...plan.prepare];
  const cut = (item: string, then: Readonly<Record<Family, ChainOperations>>): void => {
    if (idle(then)) return;
    batches.push({ item, operations: open.splice(0), then });
  };
  cut('sets that appear', plan.chains);
  open.push(...plan.commit);
  cut('members of sets', plan.retire);
  open.push(...plan.destroy);
  batches.push({ item: 'sets', operations: open });
  for (const { item, operations, then } of batches) {
    if (!(await sets(item, operations))) break;
    if (then !== undefined) await chains(then);
  }
  return failures.length === 0 ? { observed, failures } : { failures };
}

/** A target that programs iptables and ipset. */
export function createIptablesTarget(
  options: IptablesTargetOptions,
): Target<FirewallState, ObservedIptables, IptablesPlan & { readonly observed: ObservedIptables }> {
  const tools = createIptablesTools(options);
  return {
    name: 'firewall',
    observe: (signal) => observeIptables(tools, signal),
    plan: (desired, observed, how) => {
      const only = tools.families.length === 1 ? limit(desired, tools.families[0]!) : desired;
      const planned = planIptables(only, observed, how, options);
      // The entry chains are planned for both families; those of one that is switched off would never be applied.
      const enabled = (steps: IptablesPlan['chains']): IptablesPlan['chains'] => ({
        4: tools.families.includes(4) ? steps[4] : { put: new Map(), remove: [], jumps: new Map() },
        6: tools.families.includes(6) ? steps[6] : { put: new Map(), remove: [], jumps: new Map() },
      });
      return { ...planned, chains: enabled(planned.chains), retire: enabled(planned.retire), observed };
    },
    size: sizeIptables,
    apply: (plan, signal) => applyIptables(plan, plan.observed, tools, signal),
  };
}

function limit(state: FirewallState, family: Family): FirewallState {
  const nothing = { sets: new Map(), chains: new Map(), roots: {}, covers: {} };
  return {
    families: {
      4: family === 4 ? state.families[4] : { family: 4, ...nothing },
      6: family === 6 ? state.families[6] : { family: 6, ...nothing },
    },
  };
}
