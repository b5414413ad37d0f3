/**
 * Classes: pods of this node that the same policies select in a direction share one chain, whatever their number.
 * The chain's name is a hash of its content, so an edited policy makes a new class to which its pods move one by one, each of them
 * judged by the old rules or by the new ones at any moment, never by a mixture.
 */
import { delimited, shortHash } from '../model/hash.ts';
import { ruleKey } from '../model/rules.ts';
import type { SetSource } from '../model/rules.ts';
import type { AllowRule, ClassChain, Direction } from '../model/types.ts';
import type { PolicyState } from './cluster.ts';
import type { Peers } from './peers.ts';
import type { LiveSet, Store } from './store.ts';

/** Pods judged alike in one direction. */
export interface Class {
  readonly chain: ClassChain;
  readonly set: LiveSet;
  readonly needs: ReadonlyMap<string, SetSource>;
  readonly aliases: Set<string>;
  /** Addresses that it judges. */
  size: number;
}

/** The classes of one family. */
export interface Classes {
  readonly all: ReadonlyMap<string, Class>;
  /** The class of pods that exactly these policies select. */
  of(direction: Direction, policies: readonly PolicyState[]): Class;
  /** Tells that a class may have become empty. */
  retire(gone: Class): void;
  /** Drops empty classes; returns the directions whose classes changed since the last call. */
  sweep(): ReadonlySet<Direction>;
}

/** Edits that change nothing in a class are remembered up to this number. */
const ALIASES = 16;

function flatten(
  direction: Direction,
  policies: readonly PolicyState[],
  store: Store,
): Pick<Class, 'needs'> & { rules: AllowRule[] } {
  const rules = new Map<string, AllowRule>();
  const needs = new Map<string, SetSource>();
  for (const policy of policies) {
    const compiled = policy.rules(direction, store.family);
    for (const rule of compiled.rules) {
      const key = ruleKey(rule);
      if (!rules.has(key)) rules.set(key, rule);
    }
  }
  const open = [...rules.values()].find((rule) => Object.keys(rule).length === 1);
  const kept = open === undefined ? [...rules.values()] : [open];
  for (const { peer, named } of kept) {
    for (const name of [peer, named]) {
      if (name === undefined) continue;
      for (const policy of policies) {
        const source = policy.rules(direction, store.family).sets.get(name);
        if (source !== undefined) needs.set(name, source);
      }
    }
  }
  return { rules: kept, needs };
}

/** No classes yet. */
export function createClasses(store: Store, peers: Peers): Classes {
  const all = new Map<string, Class>();
  const byPolicies = new Map<string, Class>();
  let changed = new Set<Direction>();
  const retired = new Set<Class>();
  return {
    all,
    of(direction, policies) {
      const alias = `${direction} ${policies.map(({ id }) => id).join(' ')}`;
      const known = byPolicies.get(alias);
      if (known !== undefined) return known;
      const { rules, needs } = flatten(direction, policies, store);
      const names = policies.map(({ key }) => key);
      const texts = rules.map((rule) => delimited([rule.policy, ruleKey(rule)]));
      const id = shortHash(direction, String(store.family), delimited(names), ...texts);
      let found = all.get(id);
      if (found === undefined) {
        const name = `KUBE-NWPLCY-${id}`;
        const chain: ClassChain = { kind: 'class', name, family: store.family, direction, policies: names, rules };
        for (const [set, source] of needs) peers.retain(set, source);
        const set = store.createSet({
          name: `krs${store.family}-class-${id}`,
          kind: 'ip',
          role: 'class',
          direction,
          chain: name,
        });
        store.putChain(chain);
        found = { chain, set, needs, aliases: new Set(), size: 0 };
        all.set(id, found);
        changed.add(direction);
      }
      if (found.aliases.size >= ALIASES) {
        for (const old of found.aliases) byPolicies.delete(old);
        found.aliases.clear();
      }
      found.aliases.add(alias);
      byPolicies.set(alias, found);
      return found;
    },
    retire: (gone) => void retired.add(gone),
    sweep() {
      const directions = changed;
      for (const gone of retired) {
        if (gone.size > 0) continue;
        const id = gone.set.name.slice(`krs${store.family}-class-`.length);
        all.delete(id);
        for (const alias of gone.aliases) byPolicies.delete(alias);
        for (const name of gone.needs.keys()) peers.release(name);
        store.dropSet(gone.set.name);
        store.dropChain(gone.chain.name);
        directions.add(gone.chain.direction);
      }
      retired.clear();
      changed = new Set();
      return directions;
    },
  };
}
