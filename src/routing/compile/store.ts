/**
 * Fragments of desired state with counted items: a fragment (one route, one node) is replaced as a whole, an item that
 * several fragments want stays until the last of them is gone. This is what reference-counts tunnels by next hop.
 * Where fragments disagree about an item, the first owner by name has its way, whatever the order of events was.
 * Pure bookkeeping; knows nothing of routing.
 */
import { itemKey, sameItem } from '../model.ts';
import type { RoutingItem } from '../model.ts';

/** Desired items assembled from fragments. */
export interface ItemStore {
  /** Effective items by key; changes in place, `takeDirty` says where. */
  readonly items: ReadonlyMap<string, RoutingItem>;
  /** Replaces what `owner` wants; no items: owner is gone. */
  set(owner: string, items: readonly RoutingItem[]): void;
  /** Keys whose effective item changed since the last call. */
  takeDirty(): ReadonlySet<string>;
  /** Owners that want `key`, first the one that decides. */
  owners(key: string): readonly string[];
}

/** Makes an empty {@link ItemStore}. */
export function createItemStore(): ItemStore {
  const items = new Map<string, RoutingItem>();
  const claims = new Map<string, Map<string, RoutingItem>>();
  const fragments = new Map<string, readonly string[]>();
  let dirty = new Set<string>();

  const settle = (key: string): void => {
    const wanted = claims.get(key);
    let first: string | undefined;
    for (const owner of wanted?.keys() ?? []) if (first === undefined || owner < first) first = owner;
    const value = first === undefined ? undefined : wanted?.get(first);
    if (sameItem(items.get(key), value)) return;
    if (value === undefined) items.delete(key);
    else items.set(key, value);
    dirty.add(key);
  };

  return {
    items,
    set(owner, next) {
      const before = fragments.get(owner) ?? [];
      const keys: string[] = [];
      for (const item of next) {
        const key = itemKey(item);
        keys.push(key);
        const wanted = claims.get(key);
        if (wanted === undefined) claims.set(key, new Map([[owner, item]]));
        else wanted.set(owner, item);
      }
      const kept = new Set(keys);
      for (const key of before) {
        if (kept.has(key)) continue;
        const wanted = claims.get(key);
        wanted?.delete(owner);
        if (wanted?.size === 0) claims.delete(key);
        settle(key);
      }
      for (const key of keys) settle(key);
      if (keys.length === 0) fragments.delete(owner);
      else fragments.set(owner, keys);
    },
    takeDirty() {
      const taken = dirty;
      dirty = new Set();
      return taken;
    },
    owners: (key) => [...(claims.get(key)?.keys() ?? [])].sort(),
  };
}
