/**
 * The difference between the compiled state and the kernel, in five steps: 1. sets that appear, complete; 2. chains that appear and the
 * entry chains, in one commit a family; 3. members of sets; 4. chains nobody reaches any more; 5. sets nobody names any more.
 * Which changes of members come before the commit, after it, or at its very instant, is said in sets.ts. Without a change of
 * chains 1, 3 and 5 are one batch.
 */
import { parseAddress } from '../../net/address.ts';
import { contains, tryParsePrefix } from '../../net/prefix.ts';
import type { Family } from '../../net/values.ts';
import type { PlanOptions } from '../../kernel/types.ts';
import { parseDirtyKey } from '../model/types.ts';
import type { Chain, FamilyState, FirewallState } from '../model/types.ts';
import { firstGeneration, nextGeneration } from '../model/options.ts';
import type { EntryOptions } from '../model/options.ts';
import { ENTRIES, HOOKS, heldGeneration, renderChain, renderEntries, renderLead } from '../render/iptables.ts';
import type { Hook } from '../render/iptables.ts';
import { inForce, leadsOf, originalOf, withCopies } from '../parse/iptables.ts';
import type { ObservedFamily, ObservedIptables } from '../parse/iptables.ts';
import { roleOf } from './draft.ts';
import { planSets } from './sets.ts';
import type { SetOperation, SetPlan } from './sets.ts';
import { waysOf } from './waiting.ts';

/** Changes of the chains of one family, for one commit. */
export interface ChainOperations {
  /** Chains to create or to refill. */
  readonly put: ReadonlyMap<string, readonly string[]>;
  readonly remove: readonly string[];
  /** Built-in chains whose jump must be put in place, with how many of it are there now. */
  readonly jumps: ReadonlyMap<Hook, number>;
}

/** Everything to be done, in order. */
export interface IptablesPlan {
  readonly prepare: readonly SetOperation[];
  readonly chains: Readonly<Record<Family, ChainOperations>>;
  readonly commit: readonly SetOperation[];
  readonly retire: Readonly<Record<Family, ChainOperations>>;
  readonly destroy: readonly SetOperation[];
  /** Sets that change to their copy, or back, with the commit of a family. */
  readonly flips: Readonly<Record<Family, ReadonlySet<string>>>;
}

const FAMILIES = [4, 6] as const;
const NOTHING: ChainOperations = { put: new Map(), remove: [], jumps: new Map() };
function sameRules(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && a.length === b.length && a.every((rule, index) => rule === b[index]);
}

function namesAny(chain: Chain, sets: ReadonlySet<string>): boolean {
  if (chain.kind === 'dispatch')
    return chain.branches.some(({ set }) => sets.has(set)) || (chain.unasked ?? []).some((set) => sets.has(set));
  return chain.rules.some(({ peer = '', named = '' }) => sets.has(peer) || sets.has(named));
}

function planChains(
  state: FamilyState,
  observed: ObservedIptables,
  options: EntryOptions,
  dirty: ReadonlySet<string> | undefined,
  prune: boolean,
  { flips, tightens, after }: Pick<SetPlan, 'flips' | 'tightens' | 'after'>,
): { put: ChainOperations; retire: ChainOperations } {
  const { family } = state;
  const held = observed.families[family];
  const put = new Map<string, readonly string[]>();
  const remove: string[] = [];
  const jumps = new Map<Hook, number>();
  const copies = new Set(observed.flipped);
  for (const name of flips) if (!copies.delete(name)) copies.add(name);
  const { revocationMask } = options;
  const generation =
    revocationMask === undefined ? 0 : heldGeneration(held.chains.get(ENTRIES.FORWARD), revocationMask);
  const entriesOf = (next: number): Map<string, readonly string[]> => {
    const entries = renderEntries(state, options, next);
    for (const [name, rules] of entries) entries.set(name, withCopies(rules, copies));
    return entries;
  };
  const entries = entriesOf(generation === 0 ? firstGeneration(options) : generation);
  const names = new Set<string>();
  for (const key of dirty ?? []) {
    const { family: own, kind, name } = parseDirtyKey(key);
    if (own === family && kind === 'chain') names.add(name);
  }
  if (flips.size > 0) for (const [name, chain] of state.chains) if (namesAny(chain, flips)) names.add(name);
  for (const name of dirty === undefined ? state.chains.keys() : names) {
    const chain = state.chains.get(name);
    if (chain === undefined) {
      if (held.chains.has(name) && !entries.has(name)) remove.push(name);
      continue;
    }
    const rules = withCopies(renderChain(chain, options), copies);
    if (!sameRules(held.chains.get(name), rules)) put.set(name, rules);
  }
  for (const [name, rules] of entries) if (!sameRules(held.chains.get(name), rules)) put.set(name, rules);
  for (const hook of HOOKS) {
    const at = held.jumps.get(hook) ?? [];
    if (at.length !== 1 || at[0] !== 1) jumps.set(hook, at.length);
  }
  if (dirty === undefined) {
    for (const name of held.chains.keys()) if (!state.chains.has(name) && !entries.has(name)) remove.push(name);
  }
  // A flow judged by the old rules may not carry the new generation: that comes with the last change, or after it.
  const renew = new Map<string, readonly string[]>();
  if (revocationMask !== undefined && generation !== 0 && (tightens || put.size > 0)) {
    const next = entriesOf(nextGeneration(generation, revocationMask));
    const last = put.size > 0 && after.length === 0 ? put : renew;
    for (const name of Object.values(ENTRIES)) last.set(name, next.get(name) ?? []);
  }
  const gone = prune ? remove : [];
  return {
    put: put.size === 0 && jumps.size === 0 ? NOTHING : { put, remove: [], jumps },
    retire: gone.length > 0 || renew.size > 0 ? { put: renew, remove: gone, jumps: new Map() } : NOTHING,
  };
}

/** Whether all whom a class judges now would be found by the new roots, though nobody may be taken out of a set. */
function covers(state: FirewallState, observed: ObservedIptables): boolean {
  const ways = { 4: waysOf(state.families[4]), 6: waysOf(state.families[6]) };
  for (const [name, { family, members }] of observed.sets) {
    const own = originalOf(name);
    if (name !== inForce(observed, own) || roleOf(name) !== 'class' || members.size === 0) continue;
    const { sets, covers: around } = state.families[family];
    const wanted = sets.get(own);
    const way = ways[family].get(wanted?.chain ?? '');
    if (wanted === undefined || way === undefined) return false;
    const cover = tryParsePrefix(around[wanted.direction!] ?? '');
    if (cover !== undefined) {
      for (const member of members.keys()) if (!contains(cover, parseAddress(member))) return false;
    }
    for (const set of way) {
      // A set that appears is filled in time with those who stay in the class, not with those who go.
      const found = (observed.sets.get(inForce(observed, set)) ?? wanted).members;
      for (const member of members.keys()) if (!found.has(member)) return false;
    }
  }
  return true;
}

/** What to do to the kernel; with `dirty`, only those keys are looked at. */
export function planIptables(
  state: FirewallState,
  observed: ObservedIptables,
  { prune, dirty }: PlanOptions,
  options: EntryOptions = {},
): IptablesPlan {
  const chains = { 4: NOTHING, 6: NOTHING };
  const retire = { 4: NOTHING, 6: NOTHING };
  const flips: Record<Family, ReadonlySet<string>> = { 4: new Set(), 6: new Set() };
  const prepare: SetOperation[] = [];
  const commit: SetOperation[] = [];
  const destroy: SetOperation[] = [];
  if (prune || covers(state, observed)) {
    for (const family of FAMILIES) {
      const wanted = [
        ...renderLead(state.families[family], 'egress'),
        ...renderLead(state.families[family], 'ingress'),
      ];
      const newRoots = !sameRules(leadsOf(observed.families[family].chains.get(ENTRIES.FORWARD)), wanted);
      const sets = planSets(state.families[family], observed, { prune, dirty, newRoots });
      prepare.push(...sets.before);
      commit.push(...sets.after);
      destroy.push(...sets.destroy);
      flips[family] = sets.flips;
      const planned = planChains(state.families[family], observed, options, dirty, prune, sets);
      chains[family] = planned.put;
      retire[family] = planned.retire;
    }
  }
  return { prepare, chains, commit, retire, destroy, flips };
}

/** Number of changes in a plan. */
export function sizeIptables(plan: IptablesPlan): number {
  let size = plan.prepare.length + plan.commit.length + plan.destroy.length;
  for (const family of FAMILIES) {
    for (const operations of [plan.chains[family], plan.retire[family]]) {
      size += operations.put.size + operations.remove.length + operations.jumps.size;
    }
  }
  return size;
}

/** A plan that removes everything of ours, for cleanup. */
export function planRemoval(observed: ObservedIptables): IptablesPlan {
  const jumps = (family: ObservedFamily): ChainOperations => ({
    put: new Map(),
    remove: [...family.chains.keys()],
    jumps: family.jumps.size === 0 ? new Map() : new Map([...family.jumps].map(([hook, at]) => [hook, -at.length])),
  });
  const families = { 4: observed.families[4], 6: observed.families[6] };
  return {
    prepare: [],
    chains: { 4: NOTHING, 6: NOTHING },
    commit: [],
    retire: { 4: jumps(families[4]), 6: jumps(families[6]) },
    destroy: [...observed.sets.keys()].map((set) => ({ op: 'destroy', set })),
    flips: { 4: new Set(), 6: new Set() },
  };
}
