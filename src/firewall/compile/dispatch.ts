/**
 * How a packet finds the class of its pod when only set matches are at hand: a list while classes are few, else a tree of four
 * branches a level, so that a packet meets a number of sets that grows with the logarithm of the classes.
 * The tree depends on the classes alone. Group sets and chains are named by content: a new class renews one path of the tree.
 */
import { delimited, shortHash } from '../model/hash.ts';
import { isolatedSet } from '../model/types.ts';
import type { Direction } from '../model/types.ts';
import type { Class } from './classes.ts';
import type { LiveSet, Store } from './store.ts';

/** A list this long costs a packet less than one more level. */
const LIST = 8;
const FANOUT = 4;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** The tree of one direction of one family. */
export interface Dispatch {
  readonly isolated: LiveSet | undefined;
  readonly root: string | undefined;
  /** Group sets that lead to a class, outermost first. */
  path(found: Class): readonly LiveSet[];
  /** Follows a change of the classes; returns those whose addresses must be placed anew, into groups that are still empty. */
  rebuild(classes: Iterable<Class>): readonly Class[];
}

function samePath(a: readonly LiveSet[] = [], b: readonly LiveSet[] = []): boolean {
  return a.length === b.length && a.every((set, index) => set === b[index]);
}

/** A tree without classes. */
export function createDispatch(store: Store, direction: Direction): Dispatch {
  const { family } = store;
  let chains = new Set<string>();
  let groups = new Map<string, LiveSet>();
  let paths = new Map<Class, readonly LiveSet[]>();
  let isolated: LiveSet | undefined;
  let root: string | undefined;

  const rebuild = (classes: Iterable<Class>): readonly Class[] => {
    const sorted = [...classes].sort((a, b) => (a.chain.name < b.chain.name ? -1 : 1));
    const nextChains = new Set<string>();
    const nextGroups = new Map<string, LiveSet>();
    const nextPaths = new Map<Class, readonly LiveSet[]>();
    const before = paths;

    const group = (members: readonly Class[]): LiveSet => {
      const name = `krs${family}-group-${shortHash(direction, ...members.map(({ chain }) => chain.name))}`;
      const set = groups.get(name) ?? store.createSet({ name, kind: 'ip', role: 'group', direction });
      nextGroups.set(name, set);
      return set;
    };
    const build = (members: readonly Class[], depth: number, path: readonly LiveSet[]): string => {
      const branches: { set: string; chain: string }[] = [];
      const leaf = (found: Class): void => {
        nextPaths.set(found, path);
        branches.push({ set: found.set.name, chain: found.chain.name });
      };
      // Sixteen characters of a class name steer; should they all agree, a list is as right as a tree.
      if (members.length <= LIST || depth >= 16) members.forEach(leaf);
      else {
        const buckets: Class[][] = Array.from({ length: FANOUT }, () => []);
        for (const member of members) {
          const character = member.chain.name.at(-16 + depth)!;
          buckets[ALPHABET.indexOf(character) % FANOUT]!.push(member);
        }
        for (const bucket of buckets) {
          if (bucket.length === 1) leaf(bucket[0]!);
          else if (bucket.length > 1) {
            const set = group(bucket);
            branches.push({ set: set.name, chain: build(bucket, depth + 1, [...path, set]) });
          }
        }
      }
      const id = shortHash(direction, String(family), ...branches.map(({ set, chain }) => delimited([set, chain])));
      const name = `KUBE-POD-FW-${id}`;
      if (!chains.has(name) && !nextChains.has(name)) {
        store.putChain({ kind: 'dispatch', name, family, direction, branches });
      }
      nextChains.add(name);
      return name;
    };

    root = sorted.length === 0 ? undefined : build(sorted, 0, []);
    for (const name of chains) if (!nextChains.has(name)) store.dropChain(name);
    for (const name of groups.keys()) if (!nextGroups.has(name)) store.dropSet(name);
    chains = nextChains;
    groups = nextGroups;
    paths = nextPaths;
    const name = isolatedSet(family, direction);
    if (root !== undefined) isolated ??= store.createSet({ name, kind: 'ip', role: 'isolated', direction });
    else if (isolated !== undefined) {
      store.dropSet(name);
      isolated = undefined;
    }
    store.setRoots({ ...store.roots, [direction]: root });
    return sorted.filter((found) => !samePath(before.get(found), nextPaths.get(found)));
  };

  return {
    get isolated() {
      return isolated;
    },
    get root() {
      return root;
    },
    path: (found) => paths.get(found) ?? [],
    rebuild,
  };
}
