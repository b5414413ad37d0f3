/**
 * Longest-prefix match over both families: a path-compressed binary trie in flat integer arrays.
 * Route tables and policy lookups hold hundreds of thousands of prefixes; a node costs 16 bytes (IPv4) or 28 bytes (IPv6)
 * plus one value slot, nothing for the garbage collector to walk, and no lookup allocates.
 * Stands on prefix.ts.
 */
import type { Address } from './address.ts';
import type { Prefix } from './prefix.ts';
import { maskWord } from './prefix.ts';

/** One prefix of an {@link LpmTrie} and its value. */
export interface LpmEntry<V> {
  readonly prefix: Prefix;
  readonly value: V;
}

/** A map from prefixes of both families to values, searchable by address. */
export interface LpmTrie<V> {
  /** Number of prefixes held. */
  readonly size: number;
  /** Sets the value of a prefix and returns the one it replaced. */
  insert(prefix: Prefix, value: V): V | undefined;
  /** Removes a prefix and returns its value. */
  remove(prefix: Prefix): V | undefined;
  /** The value of exactly this prefix. */
  exact(prefix: Prefix): V | undefined;
  /** The value of the longest prefix that holds an address, or the whole of a prefix. Allocates nothing. */
  match(inner: Address | Prefix): V | undefined;
  /** The longest prefix that holds an address or the whole of a prefix, with its value. */
  matchEntry(inner: Address | Prefix): LpmEntry<V> | undefined;
  /** Every prefix that holds an address or the whole of a prefix, shortest first. */
  covering(inner: Address | Prefix): LpmEntry<V>[];
  /** Every prefix inside a prefix, itself included, in order. The trie must not change while the walk is under way. */
  within(prefix: Prefix): Generator<LpmEntry<V>>;
  /** Every prefix, IPv4 first, in order. The trie must not change while the walk is under way. */
  entries(): Generator<LpmEntry<V>>;
  /** Removes everything. */
  clear(): void;
}

/** Marks a node that holds a value; the others only join two subtrees. */
const HELD = 0x100;

interface FamilyTrie<V> {
  count(): number;
  insert(key: Int32Array, length: number, value: V): V | undefined;
  remove(key: Int32Array, length: number): V | undefined;
  exact(key: Int32Array, length: number): V | undefined;
  longest(key: Int32Array, length: number): number;
  path(key: Int32Array, length: number): LpmEntry<V>[];
  walk(key: Int32Array, length: number): Generator<LpmEntry<V>>;
  entry(node: number): LpmEntry<V>;
  value(node: number): V | undefined;
}

/** A trie of keys of `width` 32-bit words. Node 0 is no node: its left child is the root. */
function createFamilyTrie<V>(width: 1 | 4): FamilyTrie<V> {
  const stride = width + 3; // the key's words, the length with HELD, two children
  const LENGTH = width;
  const LEFT = width + 1;
  let data = new Int32Array(stride * 16);
  let values: (V | undefined)[] = [undefined];
  let used = 1;
  let free = 0; // list of freed nodes through LEFT
  let count = 0;

  const lengthOf = (node: number): number => data[node * stride + LENGTH]! & 0xff;
  const isHeld = (node: number): boolean => (data[node * stride + LENGTH]! & HELD) !== 0;
  const bit = (word: number, length: number): number => (word >>> (31 - (length & 31))) & 1;
  const slotOf = (node: number, key: Int32Array): number => {
    const length = lengthOf(node);
    return node * stride + LEFT + bit(key[length >>> 5]!, length);
  };

  /** Number of leading bits, at most `max`, that a node shares with a key. */
  function common(node: number, key: Int32Array, max: number): number {
    const base = node * stride;
    for (let index = 0; index * 32 < max; index++) {
      const difference = data[base + index]! ^ key[index]!;
      if (difference !== 0) return Math.min(max, index * 32 + Math.clz32(difference));
    }
    return max;
  }

  function allocate(key: Int32Array, length: number): number {
    let node = free;
    if (node !== 0) free = data[node * stride + LEFT]!;
    else {
      node = used++;
      if (used * stride > data.length) {
        const larger = new Int32Array(Math.ceil((data.length * 1.5) / stride) * stride);
        larger.set(data);
        data = larger;
      }
    }
    const base = node * stride;
    for (let index = 0; index < width; index++) data[base + index] = key[index]! & maskWord(length - 32 * index);
    data[base + LENGTH] = length;
    data[base + LEFT] = 0;
    data[base + LEFT + 1] = 0;
    return node;
  }

  function release(node: number): void {
    values[node] = undefined;
    data[node * stride + LENGTH] = 0;
    data[node * stride + LEFT] = free;
    free = node;
  }

  function hold(node: number, value: V): void {
    data[node * stride + LENGTH]! |= HELD;
    values[node] = value;
    count++;
  }

  /** The node of exactly this key, or 0. */
  function find(key: Int32Array, length: number): number {
    let node = data[LEFT]!;
    while (node !== 0) {
      const own = lengthOf(node);
      if (own > length || common(node, key, own) < own) return 0;
      if (own === length) return node;
      node = data[slotOf(node, key)]!;
    }
    return 0;
  }

  function entry(node: number): LpmEntry<V> {
    const base = node * stride;
    const word = (index: number): number => data[base + index]! >>> 0;
    const length = lengthOf(node);
    const prefix: Prefix =
      width === 1
        ? { family: 4, value: word(0), length }
        : { family: 6, words: [word(0), word(1), word(2), word(3)], length };
    return { prefix, value: values[node] as V };
  }

  return {
    count: () => count,
    entry,
    value: (node) => values[node],
    exact: (key, length) => {
      const node = find(key, length);
      return node === 0 ? undefined : values[node];
    },

    insert(key, length, value) {
      let slot = LEFT;
      for (;;) {
        const node = data[slot]!;
        if (node === 0) {
          const leaf = allocate(key, length);
          data[slot] = leaf;
          hold(leaf, value);
          return undefined;
        }
        const own = lengthOf(node);
        const shared = common(node, key, Math.min(own, length));
        if (shared < own) {
          const joint = allocate(key, shared);
          data[joint * stride + LEFT + bit(data[node * stride + (shared >>> 5)]!, shared)] = node;
          if (shared === length) hold(joint, value);
          else {
            const leaf = allocate(key, length);
            data[slotOf(joint, key)] = leaf;
            hold(leaf, value);
          }
          data[slot] = joint;
          return undefined;
        }
        if (own === length) {
          const previous = values[node];
          if (isHeld(node)) values[node] = value;
          else hold(node, value);
          return previous;
        }
        slot = slotOf(node, key);
      }
    },

    remove(key, length) {
      let parentSlot = 0;
      let parent = 0;
      let slot = LEFT;
      for (;;) {
        const node = data[slot]!;
        if (node === 0) return undefined;
        const own = lengthOf(node);
        if (own > length || common(node, key, own) < own) return undefined;
        if (own < length) {
          parentSlot = slot;
          parent = node;
          slot = slotOf(node, key);
          continue;
        }
        if (!isHeld(node)) return undefined;
        const previous = values[node];
        values[node] = undefined;
        data[node * stride + LENGTH]! &= ~HELD;
        count--;
        const left = data[node * stride + LEFT]!;
        const right = data[node * stride + LEFT + 1]!;
        if (left !== 0 && right !== 0) return previous;
        data[slot] = left === 0 ? right : left;
        release(node);
        // A joint that lost one of its two subtrees is replaced by the other.
        if (left === 0 && right === 0 && parent !== 0 && !isHeld(parent)) {
          const base = parent * stride + LEFT;
          data[parentSlot] = data[base]! === 0 ? data[base + 1]! : data[base]!;
          release(parent);
        }
        if (count === 0) {
          data = new Int32Array(stride * 16);
          values = [undefined];
          used = 1;
          free = 0;
        }
        return previous;
      }
    },

    longest(key, length) {
      let best = 0;
      let node = data[LEFT]!;
      while (node !== 0) {
        const own = lengthOf(node);
        if (own > length || common(node, key, own) < own) return best;
        if (isHeld(node)) best = node;
        if (own === length) return best;
        node = data[slotOf(node, key)]!;
      }
      return best;
    },

    path(key, length) {
      const found: LpmEntry<V>[] = [];
      let node = data[LEFT]!;
      while (node !== 0) {
        const own = lengthOf(node);
        if (own > length || common(node, key, own) < own) break;
        if (isHeld(node)) found.push(entry(node));
        if (own === length) break;
        node = data[slotOf(node, key)]!;
      }
      return found;
    },

    *walk(key, length) {
      let top = data[LEFT]!;
      while (top !== 0 && lengthOf(top) < length) {
        const own = lengthOf(top);
        top = common(top, key, own) < own ? 0 : data[slotOf(top, key)]!;
      }
      if (top === 0 || common(top, key, length) < length) return;
      const stack = [top];
      for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
        if (isHeld(node)) yield entry(node);
        const left = data[node * stride + LEFT]!;
        const right = data[node * stride + LEFT + 1]!;
        if (right !== 0) stack.push(right);
        if (left !== 0) stack.push(left);
      }
    },
  };
}

/**
 * Makes an empty {@link LpmTrie}.
 * @example
 * ```ts
 * import { createLpmTrie, parseAddress, parsePrefix } from 'kube-router-sdk/net';
 *
 * const routes = createLpmTrie<string>();
 * routes.insert(parsePrefix('10.1.0.0/16'), 'the cluster');
 * routes.insert(parsePrefix('10.1.2.0/24'), 'worker-2');
 * console.log(routes.match(parseAddress('10.1.2.7'))); // worker-2
 * ```
 */
export function createLpmTrie<V>(): LpmTrie<V> {
  let four = createFamilyTrie<V>(1);
  let six = createFamilyTrie<V>(4);
  const key = new Int32Array(4);
  const load = (inner: Address): FamilyTrie<V> => {
    if (inner.family === 4) {
      key[0] = inner.value;
      return four;
    }
    key.set(inner.words);
    return six;
  };
  const lengthOf = (inner: Address | Prefix): number =>
    'length' in inner ? inner.length : inner.family === 4 ? 32 : 128;
  const matched = (inner: Address | Prefix): number => load(inner).longest(key, lengthOf(inner));
  const tableOf = (inner: Address): FamilyTrie<V> => (inner.family === 4 ? four : six);

  return {
    get size() {
      return four.count() + six.count();
    },
    insert: (prefix, value) => load(prefix).insert(key, prefix.length, value),
    remove: (prefix) => load(prefix).remove(key, prefix.length),
    exact: (prefix) => load(prefix).exact(key, prefix.length),
    match: (inner) => tableOf(inner).value(matched(inner)),
    matchEntry: (inner) => {
      const node = matched(inner);
      return node === 0 ? undefined : tableOf(inner).entry(node);
    },
    covering: (inner) => load(inner).path(key, lengthOf(inner)),
    within: (prefix) => load(prefix).walk(key.slice(), prefix.length),
    *entries() {
      yield* four.walk(new Int32Array(4), 0);
      yield* six.walk(new Int32Array(4), 0);
    },
    clear() {
      four = createFamilyTrie<V>(1);
      six = createFamilyTrie<V>(4);
    },
  };
}
