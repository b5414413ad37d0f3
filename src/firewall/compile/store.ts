/**
 * The compiled state of one family while it is being changed: sets and chains by name, and the keys of what changed.
 * Every change goes through here, so that the delta is exact and a fresh set costs one key, not one a member.
 */
import type { Family } from '../../net/values.ts';
import { dirtyKey } from '../model/types.ts';
import type { Chain, CompiledSet, FamilyState } from '../model/types.ts';

/** A set whose members may still change. */
export interface LiveSet extends CompiledSet {
  readonly members: Map<string, boolean>;
}

/** Sets, chains and roots of one family, with their changes. */
export interface Store extends FamilyState {
  readonly sets: Map<string, LiveSet>;
  readonly chains: Map<string, Chain>;
  roots: FamilyState['roots'];
  covers: FamilyState['covers'];
  createSet(set: Omit<LiveSet, 'family' | 'members'>, members?: Map<string, boolean>): LiveSet;
  dropSet(name: string): void;
  addMember(set: LiveSet, member: string): void;
  removeMember(set: LiveSet, member: string): void;
  putChain(chain: Chain): void;
  dropChain(name: string): void;
  setRoots(roots: Store['roots']): void;
  setCovers(covers: Store['covers']): void;
  /** Keys changed since the last call. */
  takeDirty(into: Set<string>): void;
}

/** An empty family. */
export function createStore(family: Family): Store {
  let dirty = new Set<string>();
  let fresh = new Set<string>();
  const sets = new Map<string, LiveSet>();
  const chains = new Map<string, Chain>();
  const touchSet = (name: string): void => {
    dirty.add(dirtyKey(family, 'set', name));
    fresh.add(name);
  };
  return {
    family,
    sets,
    chains,
    roots: {},
    covers: {},
    createSet(set, members = new Map<string, boolean>()) {
      const live: LiveSet = { ...set, family, members };
      sets.set(set.name, live);
      touchSet(set.name);
      return live;
    },
    dropSet(name) {
      if (sets.delete(name)) touchSet(name);
    },
    addMember(set, member) {
      if (set.members.has(member)) return;
      set.members.set(member, false);
      if (!fresh.has(set.name)) dirty.add(dirtyKey(family, 'member', set.name, member));
    },
    removeMember(set, member) {
      if (!set.members.delete(member)) return;
      if (!fresh.has(set.name)) dirty.add(dirtyKey(family, 'member', set.name, member));
    },
    putChain(chain) {
      chains.set(chain.name, chain);
      dirty.add(dirtyKey(family, 'chain', chain.name));
    },
    dropChain(name) {
      if (chains.delete(name)) dirty.add(dirtyKey(family, 'chain', name));
    },
    setRoots(roots) {
      if (roots.ingress === this.roots.ingress && roots.egress === this.roots.egress) return;
      this.roots = roots;
      dirty.add(dirtyKey(family, 'roots'));
    },
    setCovers(covers) {
      if (covers.ingress === this.covers.ingress && covers.egress === this.covers.egress) return;
      this.covers = covers;
      dirty.add(dirtyKey(family, 'roots'));
    },
    takeDirty(into) {
      for (const key of dirty) into.add(key);
      dirty = new Set();
      fresh = new Set();
    },
  };
}
