/**
 * Classes: pods of this node that the same policies select in a direction share one chain, whatever their number.
 * The chain's name is a hash of its content, so an edited policy makes a new class to which its pods move one by one, each of them
 * judged by the old rules or by the new ones at any moment, never by a mixture. Where policies of the Admin tier select a pod, its
 * chain holds theirs and leads on to the chain of the next tier, which others share.
 */
import { delimited, shortHash } from '../model/hash.ts';
import { matchesAll, ruleKey } from '../model/rules.ts';
import type { SetSource } from '../model/rules.ts';
import type { ChainRule, ClassChain, Direction } from '../model/types.ts';
import type { PolicyState } from './cluster.ts';
import type { Peers } from './peers.ts';
import type { LiveSet, Store } from './store.ts';

/** A chain, what it needs, and how many classes and chains lead to it. */
interface Judge {
  readonly id: string;
  readonly chain: ClassChain;
  readonly needs: ReadonlyMap<string, SetSource>;
  readonly next: Judge | undefined;
  references: number;
}

/** Pods judged alike in one direction. */
export interface Class {
  readonly chain: ClassChain;
  readonly set: LiveSet;
  readonly aliases: Set<string>;
  /** Addresses that it judges. */
  size: number;
}

/** What every class of fewer than twice as many addresses weighs. */
export const LIGHT = 8;

/**
 * What a class counts for where packets look for theirs, in powers of two: one pod more or less seldom changes it, and among classes
 * of few pods never.
 */
export function weightOf({ size }: Class): number {
  return Math.max(LIGHT, 2 ** Math.floor(Math.log2(size)));
}

/** The classes of one family. */
export interface Classes {
  readonly all: ReadonlyMap<string, Class>;
  /** The class of pods that exactly these policies select. */
  of(direction: Direction, policies: readonly PolicyState[]): Class;
  /** Adds an address to those that a class judges, or takes one away. */
  resize(found: Class, by: 1 | -1): void;
  /** Drops empty classes; returns the directions whose classes, or their weights, changed since the last call. */
  sweep(): ReadonlySet<Direction>;
}

/** Edits that change nothing in a class are remembered up to this number. */
const ALIASES = 16;

function flatten(
  direction: Direction,
  policies: readonly PolicyState[],
  store: Store,
): Pick<Judge, 'needs'> & { rules: ChainRule[] } {
  const rules = new Map<string, ChainRule>();
  const needs = new Map<string, SetSource>();
  const ordered = policies.some(({ tier }) => tier !== 'network');
  for (const policy of policies) {
    const compiled = policy.rules(direction, store.family);
    for (const rule of compiled.rules) {
      const key = ruleKey(rule);
      if (!rules.has(key)) rules.set(key, rule);
    }
  }
  // What settles everything is the last that is asked; among rules that only allow, it is all there is to say.
  const all = [...rules.values()];
  const last = all.findIndex(matchesAll);
  const kept = last < 0 ? all : ordered ? all.slice(0, last + 1) : [all[last]!];
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
  const judges = new Map<string, Judge>();
  const byPolicies = new Map<string, Class>();
  let changed = new Set<Direction>();
  const retired = new Set<Class>();

  const retain = (direction: Direction, policies: readonly PolicyState[]): Judge => {
    const admin = policies.filter(({ tier }) => tier === 'admin');
    const own = admin.length === 0 ? policies : admin;
    const rest = policies.slice(own.length);
    const { rules, needs } = flatten(direction, own, store);
    // A chain that nothing leads to could not be told from what an interrupted pass left behind.
    const leadsOn = rules.some(({ action }) => action === 'pass') || !rules.some(matchesAll);
    const next = rest.length > 0 && leadsOn ? retain(direction, rest) : undefined;
    const names = own.map(({ key }) => key);
    const texts = rules.map((rule) =>
      delimited([...(rule.action === undefined ? [] : [rule.action]), rule.policy, ruleKey(rule)]),
    );
    const otherwise = own.some(({ tier }) => tier === 'network') ? 'deny' : 'allow';
    const end = otherwise === 'deny' ? [] : [otherwise, next?.id ?? ''];
    const id = shortHash(direction, String(store.family), delimited(names), ...end, ...texts);
    const known = judges.get(id);
    if (known !== undefined) {
      // Whoever is there already holds the next tier.
      if (next !== undefined) release(next);
      known.references++;
      return known;
    }
    const chain: ClassChain = {
      kind: 'class',
      name: `KUBE-NWPLCY-${id}`,
      family: store.family,
      direction,
      policies: names,
      rules,
      ...(next === undefined ? {} : { next: next.chain.name }),
      otherwise,
    };
    for (const [set, source] of needs) peers.retain(set, source);
    store.putChain(chain);
    const judge: Judge = { id, chain, needs, next, references: 1 };
    judges.set(id, judge);
    return judge;
  };
  const release = (judge: Judge): void => {
    if (--judge.references > 0) return;
    judges.delete(judge.id);
    for (const name of judge.needs.keys()) peers.release(name);
    store.dropChain(judge.chain.name);
    if (judge.next !== undefined) release(judge.next);
  };
  const idOf = ({ chain }: Class): string => chain.name.slice('KUBE-NWPLCY-'.length);

  return {
    all,
    of(direction, policies) {
      const alias = `${direction} ${policies.map(({ id }) => id).join(' ')}`;
      const known = byPolicies.get(alias);
      if (known !== undefined) return known;
      const judge = retain(direction, policies);
      let found = all.get(judge.id);
      if (found === undefined) {
        const set = store.createSet({
          name: `krs${store.family}-class-${judge.id}`,
          kind: 'ip',
          role: 'class',
          direction,
          chain: judge.chain.name,
        });
        found = { chain: judge.chain, set, aliases: new Set(), size: 0 };
        all.set(judge.id, found);
        changed.add(direction);
      } else release(judge);
      if (found.aliases.size >= ALIASES) {
        for (const old of found.aliases) byPolicies.delete(old);
        found.aliases.clear();
      }
      found.aliases.add(alias);
      byPolicies.set(alias, found);
      return found;
    },
    resize(found, by) {
      const before = weightOf(found);
      found.size += by;
      if (weightOf(found) !== before) changed.add(found.chain.direction);
      if (found.size === 0) retired.add(found);
    },
    sweep() {
      const directions = changed;
      for (const gone of retired) {
        if (gone.size > 0) continue;
        const id = idOf(gone);
        all.delete(id);
        for (const alias of gone.aliases) byPolicies.delete(alias);
        store.dropSet(gone.set.name);
        release(judges.get(id)!);
        directions.add(gone.chain.direction);
      }
      retired.clear();
      changed = new Set();
      return directions;
    },
  };
}
