/**
 * Values by address, listed in the order of addresses: one change of ten thousand costs a search and a copy of the list, not a sort.
 * Pure; holds the advertisements of a node for compile.ts.
 */
import { compareAddresses, parseAddress } from '../net/address.ts';
import type { Address } from '../net/address.ts';

/** Values by canonical address; see {@link createAddressOrder}. */
export interface AddressOrder<T> {
  get(address: string): T | undefined;
  set(address: string, value: T): void;
  /** Says whether it was there. */
  delete(address: string): boolean;
  /** All values, IPv4 first; a list of its own each time. */
  values(): readonly T[];
}

interface Entry<T> {
  readonly address: Address;
  value: T;
}

/** More changes than this are sorted anew rather than put into place one by one. */
const FEW = 64;

/** Makes an empty {@link AddressOrder}. */
export function createAddressOrder<T>(): AddressOrder<T> {
  const entries = new Map<string, Entry<T>>();
  let order: Entry<T>[] = [];
  const added = new Set<Entry<T>>();
  const removed = new Set<Entry<T>>();

  /** First place in `order` that is not before an address. */
  const placeOf = (address: Address): number => {
    let [low, high] = [0, order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = order[middle];
      if (entry !== undefined && compareAddresses(entry.address, address) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const bringIntoOrder = (): void => {
    if (added.size + removed.size > FEW) {
      order = [...entries.values()].sort((a, b) => compareAddresses(a.address, b.address));
    } else {
      for (const entry of removed) order.splice(placeOf(entry.address), 1);
      for (const entry of added) order.splice(placeOf(entry.address), 0, entry);
    }
    added.clear();
    removed.clear();
  };

  return {
    get: (address) => entries.get(address)?.value,
    set(address, value) {
      const entry = entries.get(address);
      if (entry !== undefined) {
        entry.value = value;
        return;
      }
      const fresh = { address: parseAddress(address), value };
      entries.set(address, fresh);
      added.add(fresh);
    },
    delete(address) {
      const entry = entries.get(address);
      if (entry === undefined) return false;
      entries.delete(address);
      // one that came and went since the last list was never in it
      if (!added.delete(entry)) removed.add(entry);
      return true;
    },
    values() {
      bringIntoOrder();
      return order.map(({ value }) => value);
    },
  };
}
