/**
 * The difference between the compiled state and the kernel, in five steps whose every intermediate state judges each pod in each
 * direction by its old rules, by its new ones, or refuses:
 * 1. sets that appear, complete, pods that join classes, and all about pods whose isolation ends; 2. chains that appear and the entry chains, in one commit a family;
 * 3. isolation of new pods, then members that join sets which rules match, then those that leave them, then the end of isolation
 * and of class membership; 4. chains nobody reaches any more; 5. sets nobody names any more. Without a change of chains 1 and 3
 * are one batch.
 */
import type { Family } from '../../net/values.ts';
import type { PlanOptions } from '../../kernel/types.ts';
import { localSet, parseDirtyKey } from '../model/types.ts';
import type { CompiledSet, FamilyState, FirewallState, SetKind, SetRole } from '../model/types.ts';
import { nextGeneration } from '../model/options.ts';
import type { EntryOptions } from '../model/options.ts';
import { ENTRIES, HOOKS, heldGeneration, renderChain, renderEntries } from '../render/iptables.ts';
import type { Hook } from '../render/iptables.ts';
import type { ObservedFamily, ObservedIptables, ObservedSet } from '../parse/iptables.ts';

/** One change of a set. */
export type SetOperation =
  | {
      readonly op: 'create';
      readonly set: string;
      readonly family: Family;
      readonly kind: SetKind;
      readonly maxelem: number;
    }
  | { readonly op: 'add' | 'delete'; readonly set: string; readonly member: string; readonly except: boolean }
  | { readonly op: 'swap'; readonly set: string; readonly with: string }
  | { readonly op: 'destroy'; readonly set: string };

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
}

const FAMILIES = [4, 6] as const;
const NOTHING: ChainOperations = { put: new Map(), remove: [], jumps: new Map() };
/** Sets are made this large at least; larger ones get room for twice their members. */
const MAXELEM = 65536;

/** A new pod is isolated before anybody may reach it as a peer; one that goes is nobody's peer before it is free. */
const JOIN: Readonly<Record<SetRole, number>> = {
  class: 1,
  group: 2,
  isolated: 3,
  local: 4,
  peer: 5,
  block: 5,
  named: 5,
};
const LEAVE: Readonly<Record<SetRole, number>> = {
  local: 1,
  peer: 2,
  block: 2,
  named: 2,
  isolated: 3,
  group: 4,
  class: 5,
};

function roleOf(name: string): SetRole {
  if (name === localSet(4) || name === localSet(6)) return 'local';
  const word = /^krs[46]-([a-z]+)-/.exec(name)?.[1];
  return word === 'iso' ? 'isolated' : word === 'class' || word === 'group' ? word : 'peer';
}

interface Draft {
  readonly prepare: SetOperation[];
  readonly join: { order: number; operation: SetOperation }[];
  readonly leave: { order: number; operation: SetOperation }[];
  readonly destroy: SetOperation[];
  /** Addresses whose isolation ends in a direction: their class may be gone from the chains of step 2. */
  readonly freed: Set<string>;
}

function roomFor(count: number): number {
  let room = MAXELEM;
  while (room < count * 2) room *= 2;
  return count > MAXELEM / 2 ? room : MAXELEM;
}

function draftMember(
  draft: Draft,
  set: CompiledSet | undefined,
  observed: ObservedSet,
  name: string,
  member: string,
): void {
  const wanted = set?.members.get(member);
  const held = observed.members.get(member);
  if (wanted === held) return;
  const role = set?.role ?? roleOf(name);
  if (wanted === undefined) {
    if (role === 'isolated') draft.freed.add(member);
    draft.leave.push({ order: LEAVE[role], operation: { op: 'delete', set: name, member, except: held ?? false } });
  } else if (held !== undefined) {
    // The same prefix as match and as exception: only a replacement in one set will do, exception first.
    draft.prepare.push({ op: 'delete', set: name, member, except: held });
    draft.prepare.push({ op: 'add', set: name, member, except: wanted });
  } else {
    draft.join.push({ order: JOIN[role], operation: { op: 'add', set: name, member, except: wanted } });
  }
}

function draftFill(set: CompiledSet, name: string, draft: Draft): void {
  for (const [member, except] of set.members) draft.prepare.push({ op: 'add', set: name, member, except });
}

function draftSet(draft: Draft, name: string, set: CompiledSet | undefined, observed: ObservedSet | undefined): void {
  if (set === undefined) {
    // Nothing reaches it once the chains have changed, so its members need not leave one by one.
    if (observed === undefined) return;
    if (roleOf(name) === 'isolated') for (const member of observed.members.keys()) draft.freed.add(member);
    draft.destroy.push({ op: 'destroy', set: name });
    return;
  }
  const create = (as: string): void => {
    const { family, kind } = set;
    draft.prepare.push({ op: 'create', set: as, family, kind, maxelem: roomFor(set.members.size) });
  };
  if (observed === undefined) {
    create(name);
    // Nothing matches a new set before the chains do, except isolation: that is filled when everything else stands.
    if (set.role !== 'isolated' && set.role !== 'local') draftFill(set, name, draft);
    else {
      for (const [member, except] of set.members) {
        draft.join.push({ order: JOIN[set.role], operation: { op: 'add', set: name, member, except } });
      }
    }
    return;
  }
  if (set.members.size > observed.maxelem) {
    const next = `${name.slice(0, 29)}-n`;
    create(next);
    draftFill(set, next, draft);
    draft.prepare.push({ op: 'swap', set: next, with: name }, { op: 'destroy', set: next });
    return;
  }
  for (const member of set.members.keys()) draftMember(draft, set, observed, name, member);
  for (const member of observed.members.keys()) {
    if (!set.members.has(member)) draftMember(draft, set, observed, name, member);
  }
}

function sameRules(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && a.length === b.length && a.every((rule, index) => rule === b[index]);
}

function planChains(
  state: FamilyState,
  observed: ObservedFamily,
  options: EntryOptions,
  names: Iterable<string> | undefined,
  prune: boolean,
  tightens: boolean,
): { put: ChainOperations; retire: ChainOperations } {
  const put = new Map<string, readonly string[]>();
  const remove: string[] = [];
  const jumps = new Map<Hook, number>();
  const { revocationMask } = options;
  const held = revocationMask === undefined ? 0 : heldGeneration(observed.chains.get(ENTRIES.FORWARD), revocationMask);
  const entries = renderEntries(state, options, held === 0 ? 1 : held);
  for (const name of names ?? state.chains.keys()) {
    const chain = state.chains.get(name);
    if (chain === undefined) {
      if (observed.chains.has(name) && !entries.has(name)) remove.push(name);
      continue;
    }
    const rules = renderChain(chain, options);
    if (!sameRules(observed.chains.get(name), rules)) put.set(name, rules);
  }
  for (const [name, rules] of entries) if (!sameRules(observed.chains.get(name), rules)) put.set(name, rules);
  for (const hook of HOOKS) {
    const at = observed.jumps.get(hook) ?? [];
    if (at.length !== 1 || at[0] !== 1) jumps.set(hook, at.length);
  }
  if (names === undefined) {
    for (const name of observed.chains.keys()) if (!state.chains.has(name) && !entries.has(name)) remove.push(name);
  }
  // The new generation comes last: a flow judged by the old rules may not carry it.
  const renew = new Map<string, readonly string[]>();
  if (revocationMask !== undefined && held !== 0 && (tightens || put.size > 0)) {
    const next = renderEntries(state, options, nextGeneration(held, revocationMask));
    for (const name of Object.values(ENTRIES)) renew.set(name, next.get(name) ?? []);
  }
  const gone = prune ? remove : [];
  return {
    put: put.size === 0 && jumps.size === 0 ? NOTHING : { put, remove: [], jumps },
    retire: gone.length > 0 || renew.size > 0 ? { put: renew, remove: gone, jumps: new Map() } : NOTHING,
  };
}

/** Whether every class that judges pods now would still be found from the new roots. */
function covers(state: FirewallState, observed: ObservedIptables): boolean {
  for (const [name, set] of observed.sets) {
    if (roleOf(name) === 'class' && set.members.size > 0 && !state.families[set.family].sets.has(name)) return false;
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
  const draft: Draft = { prepare: [], join: [], leave: [], destroy: [], freed: new Set() };
  const chains = { 4: NOTHING, 6: NOTHING };
  const retire = { 4: NOTHING, 6: NOTHING };
  if (!prune && !covers(state, observed)) return { prepare: [], chains, commit: [], retire, destroy: [] };
  const names: Record<Family, Set<string>> = { 4: new Set(), 6: new Set() };
  if (dirty === undefined) {
    for (const family of FAMILIES) {
      for (const [name, set] of state.families[family].sets) draftSet(draft, name, set, observed.sets.get(name));
    }
    for (const [name, set] of observed.sets) {
      if (!state.families[set.family].sets.has(name)) draftSet(draft, name, undefined, set);
    }
  } else {
    const whole = new Set<string>();
    for (const key of dirty) {
      const { family, kind, name } = parseDirtyKey(key);
      if (kind === 'chain') names[family].add(name);
      if (kind !== 'set' && !(kind === 'member' && !observed.sets.has(name))) continue;
      if (whole.has(name)) continue;
      whole.add(name);
      draftSet(draft, name, state.families[family].sets.get(name), observed.sets.get(name));
    }
    for (const key of dirty) {
      const { family, kind, name, member } = parseDirtyKey(key);
      const held = observed.sets.get(name);
      if (kind !== 'member' || whole.has(name) || held === undefined) continue;
      const set = state.families[family].sets.get(name);
      if (set !== undefined && set.members.size > held.maxelem) {
        whole.add(name);
        draftSet(draft, name, set, held);
      } else draftMember(draft, set, held, name, member);
    }
  }
  for (const family of FAMILIES) {
    const only = dirty === undefined ? undefined : names[family];
    const own = (list: Draft['join']): Draft['join'] =>
      list.filter(({ operation }) => operation.set.startsWith(`krs${family}`));
    const tightens = own(draft.leave).length > 0 || own(draft.join).some(({ order }) => order === JOIN.isolated);
    const planned = planChains(state.families[family], observed.families[family], options, only, prune, tightens);
    chains[family] = planned.put;
    retire[family] = planned.retire;
  }
  const sizes = (name: string): number =>
    state.families[name.startsWith('krs6') ? 6 : 4].sets.get(name)?.members.size ?? 0;
  // An outer group holds more: additions go from the innermost outwards, removals the other way round.
  const byOrder = (a: Draft['join'][number], b: Draft['join'][number]): number =>
    a.order - b.order || sizes(a.operation.set) - sizes(b.operation.set);
  const outermost = (a: Draft['join'][number], b: Draft['join'][number]): number =>
    a.order - b.order || sizes(b.operation.set) - sizes(a.operation.set);
  const join = draft.join.sort(byOrder);
  const leave = prune ? draft.leave.sort(outermost) : [];
  const isFreed = ({ operation }: Draft['join'][number]): boolean => {
    if (draft.freed.size === 0 || !('member' in operation)) return false;
    const comma = operation.member.indexOf(',');
    return draft.freed.has(comma < 0 ? operation.member : operation.member.slice(0, comma));
  };
  const early = (one: Draft['join'][number]): boolean =>
    one.order < JOIN.isolated || (one.order > JOIN.local && isFreed(one));
  const soon = (one: Draft['join'][number]): boolean =>
    one.order <= LEAVE.isolated && one.order !== LEAVE.local && isFreed(one);
  const operations = (list: Draft['join'], keep: (one: Draft['join'][number]) => boolean): SetOperation[] =>
    list.filter(keep).map(({ operation }) => operation);
  return {
    prepare: [...draft.prepare, ...operations(join, early), ...operations(leave, soon)],
    chains,
    commit: [...operations(join, (one) => !early(one)), ...operations(leave, (one) => !soon(one))],
    retire,
    destroy: prune ? draft.destroy : [],
  };
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
  };
}
