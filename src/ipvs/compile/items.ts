/**
 * The desired items of every Service in one map, counted by owner: a VIP that two Services share stays until both are gone. A
 * VIP:port belongs to one Service only, the first by name among those that claim it. Pure bookkeeping.
 */
import type { IpvsItem } from '../model.ts';

/** Whether two items of one key say the same. */
export function sameItem(a: IpvsItem, b: IpvsItem): boolean {
  if (a === b) return true;
  if (a.type === 'vs' && b.type === 'vs') {
    return (
      a.scheduler === b.scheduler &&
      a.persistence === b.persistence &&
      a.forward === b.forward &&
      a.flags.join() === b.flags.join() &&
      a.servers.length === b.servers.length &&
      a.servers.every((server, index) => {
        const other = b.servers[index];
        return (
          other !== undefined &&
          server.address === other.address &&
          server.port === other.port &&
          server.weight === other.weight
        );
      })
    );
  }
  if (a.type === 'entry' && b.type === 'entry') return a.options === b.options;
  if (a.type === 'addr' && b.type === 'addr') return a.source === b.source;
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Items by key with how many want each. */
export interface ItemStore {
  /** One Map for the store's life. */
  readonly items: ReadonlyMap<string, IpvsItem>;
  /** One more owner of the item. Returns the item in force, which an equal one before it remains. */
  put(item: IpvsItem): IpvsItem;
  /** The same owner's item in a new form. Returns the item in force, as `put` does. */
  replace(item: IpvsItem): IpvsItem;
  /** One owner less; without any the item goes. */
  drop(key: string): void;
  /** Keys that differ from the call before. */
  takeDirty(): ReadonlySet<string>;
}

/** Makes an {@link ItemStore}. */
export function createItemStore(): ItemStore {
  const items = new Map<string, IpvsItem>();
  /** Owners of an item beyond the first. */
  const owners = new Map<string, number>();
  let dirty = new Set<string>();
  const set = (item: IpvsItem): IpvsItem => {
    items.set(item.key, item);
    dirty.add(item.key);
    return item;
  };
  return {
    items,
    put(item) {
      const known = items.get(item.key);
      if (known !== undefined) {
        owners.set(item.key, (owners.get(item.key) ?? 0) + 1);
        if (sameItem(known, item)) return known;
      }
      return set(item);
    },
    replace(item) {
      const known = items.get(item.key);
      return known !== undefined && sameItem(known, item) ? known : set(item);
    },
    drop(key) {
      const others = owners.get(key) ?? 0;
      if (others > 1) owners.set(key, others - 1);
      else if (others === 1) owners.delete(key);
      else {
        items.delete(key);
        dirty.add(key);
      }
    },
    takeDirty() {
      const taken = dirty;
      dirty = new Set();
      return taken;
    },
  };
}

/** Which Services ask for a virtual server. */
export interface Claims {
  /** The first by name. */
  owner(key: string): string | undefined;
  /** Adds a claim. Returns the Service that lost the key by it. */
  claim(key: string, service: string): string | undefined;
  /** Takes a claim back. Returns the Service that has the key now. */
  release(key: string, service: string): string | undefined;
}

/** Makes {@link Claims}. */
export function createClaims(): Claims {
  /** Sorted where there are several, which is rare. */
  const claims = new Map<string, string | string[]>();
  const owner = (key: string): string | undefined => {
    const claim = claims.get(key);
    return Array.isArray(claim) ? claim[0] : claim;
  };
  return {
    owner,
    claim(key, service) {
      const claim = claims.get(key);
      if (claim === undefined) {
        claims.set(key, service);
        return undefined;
      }
      const all = Array.isArray(claim) ? claim : [claim];
      if (all.includes(service)) return undefined;
      const winner = all[0];
      const sorted = [...all, service].sort();
      claims.set(key, sorted);
      return sorted[0] === service ? winner : undefined;
    },
    release(key, service) {
      const claim = claims.get(key);
      if (claim === undefined) return undefined;
      const left = (Array.isArray(claim) ? claim : [claim]).filter((other) => other !== service);
      if (left.length === 0) claims.delete(key);
      else claims.set(key, left.length === 1 ? (left[0] ?? '') : left);
      return left[0];
    },
  };
}
