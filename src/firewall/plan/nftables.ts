/**
 * The difference between the compiled state and our nftables tables. All of it is applied in one transaction, so there are no
 * steps to think about: packets see the old tables or the new ones.
 */
import type { PlanOptions } from '../../kernel/types.ts';
import type { Family } from '../../net/values.ts';
import { firstGeneration, nextGeneration } from '../model/options.ts';
import type { EntryOptions } from '../model/options.ts';
import { isIsolated, parseDirtyKey } from '../model/types.ts';
import type { CompiledSet, Direction, FamilyState, FirewallState } from '../model/types.ts';
import type { ObservedNftables, ObservedTable } from '../parse/nftables.ts';
import {
  LOCAL_SET,
  SELF_SET,
  elementText,
  elementsOf,
  heldNftGeneration,
  renderNftChain,
  renderNftEntries,
  setType,
  verdictMap,
} from '../render/nftables.ts';
import { ENTRIES } from '../render/iptables.ts';
import type { NftRule } from '../render/nftables.ts';
import { hasDenials, isTogether } from './sets.ts';
import { RULES, roleOf } from './draft.ts';
import { mustWait } from './waiting.ts';

/** Changes of one table. */
export interface TableChanges {
  readonly createTable: boolean;
  /** Name to type; also the verdict maps and the hairpin set of a new table. */
  readonly createSets: ReadonlyMap<string, string>;
  readonly createMaps: readonly string[];
  readonly putChains: ReadonlyMap<string, readonly NftRule[]>;
  readonly add: ReadonlyMap<string, ReadonlySet<string>>;
  readonly remove: ReadonlyMap<string, ReadonlySet<string>>;
  /** By map: address to chain, `undefined` to take it out. */
  readonly verdicts: ReadonlyMap<string, ReadonlyMap<string, string | undefined>>;
  readonly dropChains: readonly string[];
  readonly dropSets: readonly string[];
}

/** Changes of both tables. */
export interface NftablesPlan {
  readonly tables: Readonly<Record<Family, TableChanges>>;
}

const FAMILIES = [4, 6] as const;
const DIRECTIONS = ['ingress', 'egress'] as const;

interface Draft {
  createTable: boolean;
  readonly createSets: Map<string, string>;
  readonly createMaps: string[];
  readonly putChains: Map<string, readonly NftRule[]>;
  readonly add: Map<string, Set<string>>;
  readonly remove: Map<string, Set<string>>;
  /** What would be removed if that were allowed. */
  readonly kept: Map<string, Set<string>>;
  readonly verdicts: Map<string, Map<string, string | undefined>>;
  readonly dropChains: string[];
  readonly dropSets: string[];
}

const plain = (role: CompiledSet['role']): boolean => role !== 'class' && role !== 'group' && role !== 'isolated';
const nameOf = (set: CompiledSet): string => (set.role === 'local' ? LOCAL_SET : set.name);

function into<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const found = map.get(key);
  if (found === undefined) map.set(key, new Set([value]));
  else found.add(value);
}

function draftElement(
  draft: Draft,
  name: string,
  wanted: boolean,
  held: boolean,
  element: string,
  prune: boolean,
): void {
  if (wanted && !held) into(draft.add, name, element);
  if (!wanted && held) into(prune ? draft.remove : draft.kept, name, element);
}

function draftWhole(draft: Draft, set: CompiledSet, observed: ObservedTable, prune: boolean): void {
  const name = nameOf(set);
  const held = observed.sets.get(name);
  if (held === undefined) draft.createSets.set(name, setType(set.family, set.kind));
  const wanted = new Set(elementsOf(set));
  for (const element of wanted) if (held?.has(element) !== true) into(draft.add, name, element);
  for (const element of held ?? []) if (!wanted.has(element)) into(prune ? draft.remove : draft.kept, name, element);
}

function draftVerdict(
  draft: Draft,
  observed: ObservedTable,
  direction: Direction,
  address: string,
  chain?: string,
): void {
  const map = verdictMap(direction);
  if (observed.maps.get(map)?.get(address) === chain) return;
  let changes = draft.verdicts.get(map);
  if (changes === undefined) draft.verdicts.set(map, (changes = new Map<string, string | undefined>()));
  changes.set(address, chain);
}

function sameComments(held: readonly string[] | undefined, rules: readonly NftRule[]): boolean {
  return (
    held !== undefined && held.length === rules.length && rules.every(({ comment }, index) => comment === held[index])
  );
}

const addressIn = (element: string): string => element.split(' ', 1)[0]!;

/** Leaves out what must wait until others may leave; not what joins a new set, which new rules alone ask for. */
function holdBack(draft: Draft, state: FamilyState, observed: ObservedTable, together: boolean): void {
  const { add, kept, verdicts, createSets } = draft;
  const matched = (name: string): boolean =>
    !createSets.has(name) && RULES.includes(state.sets.get(name)?.role ?? 'local');
  const ends = (elements: ReadonlyMap<string, ReadonlySet<string>>): Set<string> =>
    new Set([...elements].filter(([name]) => matched(name)).flatMap(([, texts]) => [...texts].map(addressIn)));
  const isolated = (map: string, address: string): boolean => observed.maps.get(map)?.has(address) === true;
  const moved = (map: string): string[] =>
    [...(verdicts.get(map) ?? [])].filter(([address]) => isolated(map, address)).map(([address]) => address);
  const moves = new Set(DIRECTIONS.map(verdictMap).flatMap(moved));
  if (!mustWait({ moves, joins: ends(add), leaves: ends(kept) }, together, hasDenials(state))) return;
  const ingress = verdictMap('ingress');
  const entering = new Set([...(verdicts.get(ingress)?.keys() ?? [])].filter((address) => !isolated(ingress, address)));
  for (const [map, changes] of verdicts) {
    for (const address of moved(map)) changes.delete(address);
    if (changes.size === 0) verdicts.delete(map);
  }
  for (const [name, elements] of add) {
    if (!matched(name)) continue;
    // Its own named port comes with the class of one that comes to be isolated.
    const { role, direction } = state.sets.get(name)!;
    const own = role === 'named' && direction === 'ingress';
    for (const element of elements) if (!own || !entering.has(addressIn(element))) elements.delete(element);
    if (elements.size === 0) add.delete(name);
  }
}

function planTable(
  state: FamilyState,
  observed: ObservedTable,
  { prune, dirty }: PlanOptions,
  options: EntryOptions,
): TableChanges {
  const { family } = state;
  const draft: Draft = {
    createTable: !observed.present,
    createSets: new Map(),
    createMaps: DIRECTIONS.map(verdictMap).filter((name) => !observed.maps.has(name)),
    putChains: new Map(),
    add: new Map(),
    remove: new Map(),
    kept: new Map(),
    verdicts: new Map(),
    dropChains: [],
    dropSets: [],
  };
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  if (!observed.sets.has(SELF_SET)) draft.createSets.set(SELF_SET, `type ${address} . ${address};`);
  const isolated = (text: string): boolean => DIRECTIONS.some((direction) => isIsolated(state, direction, text));
  const hairpin = (text: string): void => {
    const pair = `${text} . ${text}`;
    draftElement(draft, SELF_SET, isolated(text), observed.sets.get(SELF_SET)?.has(pair) === true, pair, prune);
  };
  const freed = (direction: Direction, text: string): void => {
    if (prune) draftVerdict(draft, observed, direction, text);
  };
  const left = (direction: Direction, text: string): void => {
    if (!isIsolated(state, direction, text)) freed(direction, text);
    hairpin(text);
  };
  const judged = (set: CompiledSet): void => {
    for (const text of set.members.keys()) draftVerdict(draft, observed, set.direction!, text, set.chain);
  };
  const chain = (name: string): void => {
    const wanted = state.chains.get(name);
    if (wanted?.kind === 'class') {
      const rules = renderNftChain(wanted, options);
      if (!sameComments(observed.chains.get(name), rules)) draft.putChains.set(name, rules);
    } else if (observed.chains.has(name) && prune) draft.dropChains.push(name);
  };

  const held = heldNftGeneration(observed.chains.get(ENTRIES.FORWARD));
  const entries = renderNftEntries(family, options, held === 0 ? firstGeneration(options) : held);
  const putEntries = (rendered: ReadonlyMap<string, readonly NftRule[]>): void => {
    for (const [name, rules] of rendered) {
      if (!sameComments(observed.chains.get(name), rules)) draft.putChains.set(name, rules);
    }
  };
  putEntries(entries);
  /** Whatever takes a pod or peer away, or judges a pod anew, may have tightened. */
  const finish = (): TableChanges => {
    if (!prune) holdBack(draft, state, observed, isTogether(dirty, family));
    const joins = draft.add.size > 0 && hasDenials(state);
    const tightens = draft.verdicts.size > 0 || draft.remove.size > 0 || draft.putChains.size > 0 || joins;
    if (options.revocationMask !== undefined && held !== 0 && tightens) {
      putEntries(renderNftEntries(family, options, nextGeneration(held, options.revocationMask)));
    }
    return draft;
  };

  // A set that rules name exists even when nobody compiles it.
  const needsLocal = (options.defaultDeny ?? []).length > 0 && !observed.sets.has(LOCAL_SET);
  if (needsLocal) draft.createSets.set(LOCAL_SET, `type ${address};`);

  if (dirty === undefined) {
    const names = new Set<string>([SELF_SET]);
    if (needsLocal || (options.defaultDeny ?? []).length > 0) names.add(LOCAL_SET);
    for (const set of state.sets.values()) {
      if (plain(set.role)) {
        names.add(nameOf(set));
        draftWhole(draft, set, observed, prune);
      } else if (set.role === 'class') judged(set);
      else if (set.role === 'isolated') for (const text of set.members.keys()) hairpin(text);
    }
    for (const direction of DIRECTIONS) {
      for (const text of observed.maps.get(verdictMap(direction))?.keys() ?? []) {
        if (!isIsolated(state, direction, text)) freed(direction, text);
      }
    }
    for (const pair of observed.sets.get(SELF_SET) ?? []) hairpin(pair.slice(0, pair.indexOf(' ')));
    for (const name of observed.sets.keys()) if (!names.has(name) && prune) draft.dropSets.push(name);
    for (const name of state.chains.keys()) chain(name);
    for (const name of observed.chains.keys()) if (!state.chains.has(name) && !entries.has(name)) chain(name);
    return finish();
  }

  const whole = new Set<string>();
  for (const key of dirty) {
    const { family: own, kind, name, member } = parseDirtyKey(key);
    if (own !== family) continue;
    if (kind === 'chain') chain(name);
    if (kind !== 'set' && kind !== 'member') continue;
    const set = state.sets.get(name);
    if (set === undefined && kind === 'set' && roleOf(name) === 'class') {
      const gone = `KUBE-NWPLCY-${name.slice(-16)}`;
      for (const direction of DIRECTIONS) {
        for (const [text, chain] of observed.maps.get(verdictMap(direction)) ?? [])
          if (chain === gone) left(direction, text);
      }
    } else if (set === undefined) {
      if (kind === 'set' && observed.sets.has(name) && prune) draft.dropSets.push(name);
    } else if (set.role === 'class') {
      if (kind === 'set') {
        judged(set);
        for (const text of set.members.keys()) hairpin(text);
      } else if (set.members.has(member)) {
        draftVerdict(draft, observed, set.direction!, member, set.chain);
        hairpin(member);
      } else left(set.direction!, member);
    } else if (plain(set.role) && !whole.has(name)) {
      const held = observed.sets.get(nameOf(set));
      if (kind === 'set' || held === undefined || set.kind === 'net') {
        whole.add(name);
        draftWhole(draft, set, observed, prune);
      } else {
        const element = elementText(set.kind, member);
        draftElement(draft, nameOf(set), set.members.has(member), held.has(element), element, prune);
      }
    }
  }
  return finish();
}

/** What to do to our tables; with `dirty`, only those keys are looked at. */
export function planNftables(
  state: FirewallState,
  observed: ObservedNftables,
  how: PlanOptions,
  options: EntryOptions = {},
): NftablesPlan {
  return {
    tables: {
      4: planTable(state.families[4], observed.tables[4], how, options),
      6: planTable(state.families[6], observed.tables[6], how, options),
    },
  };
}

const count = (map: ReadonlyMap<string, { readonly size: number }>): number => {
  let sum = 0;
  for (const { size } of map.values()) sum += size;
  return sum;
};

/** Number of changes of a table. */
export function sizeTable(changes: TableChanges): number {
  return (
    (changes.createTable ? 1 : 0) +
    changes.createSets.size +
    changes.createMaps.length +
    changes.putChains.size +
    count(changes.add) +
    count(changes.remove) +
    count(changes.verdicts) +
    changes.dropChains.length +
    changes.dropSets.length
  );
}

/** Number of changes in a plan. */
export function sizeNftables({ tables }: NftablesPlan): number {
  return FAMILIES.reduce((sum, family) => sum + sizeTable(tables[family]), 0);
}
