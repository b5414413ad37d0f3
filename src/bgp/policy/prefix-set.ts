/**
 * Sets of prefixes that change while policies use them.
 * A set is looked up by the lengths that it holds, so that a question costs the lengths and not the members; a change says which ranges
 * came and went, so that a speaker judges anew the routes within those and no others.
 * Stands under match.ts; policy-watch.ts listens for the speaker.
 */
import type { Prefix } from '../../net/index.ts';
import { formatPrefix, maskAddress, parsePrefix } from '../../net/index.ts';

/** Routes within a prefix, of lengths from `ge` to `le`. @defaultValue exactly the prefix's length */
export interface PrefixRange {
  readonly prefix: string;
  readonly ge?: number;
  readonly le?: number;
}

/** A range, read. */
export interface ReadRange {
  readonly prefix: Prefix;
  /** Shortest and longest length of routes that fit. */
  readonly low: number;
  readonly high: number;
}

/** Ranges that can be asked about prefixes. */
export interface RangeIndex {
  add(range: ReadRange): void;
  delete(range: ReadRange): void;
  has(prefix: Prefix): boolean;
}

/** A set of prefixes that changes. */
export interface PrefixSet {
  /** Ranges in it. */
  readonly size: number;
  /** Whether a canonical prefix fits one of the ranges. @throws SdkError `INVALID_PREFIX` */
  has(prefix: string): boolean;
  /**
   * Adds and removes ranges; prefixes alone stand for exactly themselves. Speakers whose policies use the set judge anew what it concerns.
   * @throws SdkError `INVALID_PREFIX`; the set is as it was
   */
  update(change: {
    readonly add?: readonly (string | PrefixRange)[];
    readonly remove?: readonly (string | PrefixRange)[];
  }): void;
  /** Calls back after each change with the ranges that came or went. Returns how to stop. */
  onChange(listener: (changed: readonly ReadRange[]) => void): () => void;
}

function read(range: string | PrefixRange): ReadRange {
  const { prefix: text, ge, le } = typeof range === 'string' ? { prefix: range } : range;
  const prefix = parsePrefix(text);
  return { prefix, low: Math.max(ge ?? prefix.length, prefix.length), high: le ?? ge ?? prefix.length };
}

function keyOf(prefix: Prefix): number | string {
  return prefix.family === 4 ? prefix.value : prefix.words.join();
}

/** An empty {@link RangeIndex}. */
export function createRangeIndex(): RangeIndex {
  // By family and length of the base, then by its bits.
  const lengths: Record<4 | 6, Map<number, Map<number | string, ReadRange[]>>> = { 4: new Map(), 6: new Map() };
  const same = (a: ReadRange, b: ReadRange): boolean => a.low === b.low && a.high === b.high;
  return {
    add(range) {
      const { prefix } = range;
      let bases = lengths[prefix.family].get(prefix.length);
      if (bases === undefined)
        lengths[prefix.family].set(prefix.length, (bases = new Map<number | string, ReadRange[]>()));
      const key = keyOf(prefix);
      const list = bases.get(key);
      if (list === undefined) bases.set(key, [range]);
      else if (!list.some((one) => same(one, range))) list.push(range);
    },
    delete(range) {
      const { prefix } = range;
      const bases = lengths[prefix.family].get(prefix.length);
      const key = keyOf(prefix);
      const left = bases?.get(key)?.filter((one) => !same(one, range));
      if (bases === undefined || left === undefined) return;
      if (left.length > 0) bases.set(key, left);
      else bases.delete(key);
      if (bases.size === 0) lengths[prefix.family].delete(prefix.length);
    },
    has(prefix) {
      for (const [length, bases] of lengths[prefix.family]) {
        if (length > prefix.length) continue;
        const list = bases.get(keyOf(maskAddress(prefix, length)));
        if (list === undefined) continue;
        for (const { low, high } of list) if (prefix.length >= low && prefix.length <= high) return true;
      }
      return false;
    },
  };
}

/**
 * Makes a set of prefixes for `prefixIn`.
 * @throws SdkError `INVALID_PREFIX`
 * @example
 * ```ts
 * import { createPolicy, createPrefixSet, prefixIn } from 'kube-router-sdk/bgp';
 *
 * const blocked = createPrefixSet(['192.0.2.0/24']);
 * const importPolicy = createPolicy([{ when: prefixIn(blocked), then: false }]);
 * blocked.update({ add: [{ prefix: '198.51.100.0/24', le: 32 }], remove: ['192.0.2.0/24'] }); // speakers follow
 * console.log(blocked.has('198.51.100.7/32'), blocked.has('192.0.2.0/24'), importPolicy.sets?.length); // true false 1
 * ```
 */
export function createPrefixSet(ranges: readonly (string | PrefixRange)[] = []): PrefixSet {
  const index = createRangeIndex();
  const members = new Map<string, ReadRange>();
  const listeners = new Set<(changed: readonly ReadRange[]) => void>();
  const nameOf = ({ prefix, low, high }: ReadRange): string => `${formatPrefix(prefix)} ${low} ${high}`;
  const update: PrefixSet['update'] = ({ add = [], remove = [] }) => {
    const [came, went] = [add.map(read), remove.map(read)];
    const changed: ReadRange[] = [];
    for (const range of went) {
      if (!members.delete(nameOf(range))) continue;
      index.delete(range);
      changed.push(range);
    }
    for (const range of came) {
      const name = nameOf(range);
      if (members.has(name)) continue;
      members.set(name, range);
      index.add(range);
      changed.push(range);
    }
    if (changed.length > 0) for (const listener of listeners) listener(changed);
  };
  update({ add: ranges });
  return {
    get size() {
      return members.size;
    },
    has: (prefix) => index.has(parsePrefix(prefix)),
    update,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
