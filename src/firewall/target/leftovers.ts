/**
 * What another backend, or the other flavour of iptables, still holds of ours: found when the agent starts, removed only after
 * the chosen backend is in force, so that changing the backend never opens a window.
 */
import type { ApplyFailure, Runner } from '../../kernel/types.ts';
import { isSdkError } from '../../net/errors.ts';
import type { Family } from '../../net/values.ts';
import { planRemoval } from '../plan/iptables.ts';
import type { ObservedIptables } from '../parse/iptables.ts';
import { applyIptables, createIptablesTools, observeChains, observeIptables } from './iptables.ts';
import { cleanupNftables, hasNftables } from './nftables.ts';

/** How to reach the machine. */
export interface LeftoverOptions {
  readonly runner: Runner;
  readonly families?: readonly Family[];
  readonly netns?: string;
}

/** What is in force, whose leftovers are therefore none. */
export type InForce = 'nftables' | 'legacy' | 'nft' | 'system' | 'nothing';

/** Foreign to the chosen backend, though ours. */
export interface Leftovers {
  readonly iptables: readonly { readonly flavour: 'legacy' | 'nft'; readonly observed: ObservedIptables }[];
  readonly nftables: boolean;
}

/** Number of things to remove. */
export function countLeftovers({ iptables, nftables }: Leftovers): number {
  return iptables.length + (nftables ? 1 : 0);
}

/** Names of everything in them, for people. */
export function describeLeftovers({ iptables, nftables }: Leftovers): string[] {
  const found: string[] = [];
  for (const { flavour, observed } of iptables) {
    for (const family of [4, 6] as const) {
      for (const name of observed.families[family].chains.keys())
        found.push(`iptables-${flavour} IPv${family} chain ${name}`);
    }
  }
  if (nftables) found.push('nftables tables kube-router-filter-ipv4 and kube-router-filter-ipv6');
  return found;
}

/** Our ipsets. */
export async function ownSets(options: LeftoverOptions, signal?: AbortSignal): Promise<string[]> {
  const tools = createIptablesTools({ ...options, families: [] });
  return unlessMissing(async () => [...(await observeIptables(tools, signal)).sets.keys()], []);
}

/** Whether the legacy filter table exists at all: reading it would create it, and with it a cost for every packet. */
async function hasLegacyTable(options: LeftoverOptions, family: Family, signal?: AbortSignal): Promise<boolean> {
  const path = `/proc/net/${family === 4 ? 'ip_tables_names' : 'ip6_tables_names'}`;
  const { stdout, exitCode } = await options.runner.run(
    {
      file: 'cat',
      args: [path],
      okExitCodes: [1],
      ...(options.netns === undefined ? {} : { netns: options.netns }),
    },
    signal === undefined ? {} : { signal },
  );
  return exitCode === 0 && stdout.split('\n').includes('filter');
}

async function unlessMissing<T>(work: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isSdkError(error, 'COMMAND_NOT_FOUND')) return otherwise;
    throw error;
  }
}

/** Looks for what the others left. */
export async function findLeftovers(
  options: LeftoverOptions,
  inForce: InForce,
  signal?: AbortSignal,
): Promise<Leftovers> {
  const iptables: { flavour: 'legacy' | 'nft'; observed: ObservedIptables }[] = [];
  // Under the system's default names one of the flavours is in force, and asking which is not worth a mistake.
  for (const flavour of inForce === 'system' ? [] : (['legacy', 'nft'] as const)) {
    if (flavour === inForce) continue;
    const found = await unlessMissing(async () => {
      const families: Family[] = [];
      for (const family of options.families ?? ([4, 6] as const)) {
        if (flavour === 'nft' || (await hasLegacyTable(options, family, signal))) families.push(family);
      }
      const tools = createIptablesTools({ ...options, flavour, families });
      // Sets are shared by both flavours and stay.
      return observeChains(tools, signal);
    }, undefined);
    if (found === undefined) continue;
    const chains = found.families[4].chains.size + found.families[6].chains.size;
    const jumps = found.families[4].jumps.size + found.families[6].jumps.size;
    if (chains + jumps > 0) iptables.push({ flavour, observed: found });
  }
  const nftables = inForce !== 'nftables' && (await unlessMissing(() => hasNftables(options, signal), false));
  return { iptables, nftables };
}

/** Removes them; ipsets stay unless `sets`, because both flavours share them. */
export async function removeLeftovers(
  options: LeftoverOptions,
  leftovers: Leftovers,
  sets: boolean,
  signal?: AbortSignal,
): Promise<readonly ApplyFailure[]> {
  const failures: ApplyFailure[] = [];
  for (const { flavour, observed } of leftovers.iptables) {
    const families = ([4, 6] as const).filter((family) => observed.families[family].chains.size > 0);
    const tools = createIptablesTools({ ...options, flavour, families });
    failures.push(...(await applyIptables(planRemoval(observed), observed, tools, signal)).failures);
  }
  if (sets && failures.length === 0) {
    const tools = createIptablesTools({ ...options, families: [] });
    const work = async (): Promise<void> => {
      const observed = await observeIptables(tools, signal);
      failures.push(...(await applyIptables(planRemoval(observed), observed, tools, signal)).failures);
    };
    await unlessMissing(work, undefined);
  }
  try {
    if (leftovers.nftables) await cleanupNftables(options, signal);
  } catch (error) {
    failures.push({ item: 'nftables', error: error instanceof Error ? error : new Error(String(error)) });
  }
  return failures;
}
