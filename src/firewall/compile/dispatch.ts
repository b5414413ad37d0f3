/**
 * How a packet finds the class of its pod when only set matches are at hand, and each of them costs: a tree that halves the classes
 * at every step, so that a packet meets about as many sets as the number of classes has binary digits. Who is in a group set is in
 * one of its classes, so there the last class needs no set of its own; who is in no set at all ends in refusal.
 * The tree depends on the classes alone. Its chains are named by content and its group sets by the digits of the class names that
 * their members share: a new class renews the chains of one path, and only its own addresses join the groups of that path.
 */
import { delimited, shortHash } from '../model/hash.ts';
import { isolatedSet } from '../model/types.ts';
import type { Direction } from '../model/types.ts';
import type { Class } from './classes.ts';
import type { LiveSet, Store } from './store.ts';

/** A list this long costs a packet no more than one more level. */
const LIST = 3;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** Of the sixteen characters of a class name. */
const BITS = 16 * 5;
/** Bits that a division chooses from: enough for halves that deserve the name. */
const CANDIDATES = 16;
/**
 * The first bit that leaves this share to the smaller side will do. The most even one would not spare a packet a set (4.7 on average
 * of 24 classes either way), but a class that comes would tip the choice so often that it moved three times as many classes.
 */
const EVEN = 0.35;

/** The tree of one direction of one family. */
export interface Dispatch {
  readonly isolated: LiveSet | undefined;
  readonly root: string | undefined;
  /** Group sets that lead to a class, outermost first. */
  path(found: Class): readonly LiveSet[];
  /** Follows a change of the classes; returns those whose addresses must be placed anew. */
  rebuild(classes: Iterable<Class>): readonly Class[];
}

function samePath(a: readonly LiveSet[] = [], b: readonly LiveSet[] = []): boolean {
  return a.length === b.length && a.every((set, index) => set === b[index]);
}

const digitOf = ({ chain }: Class, bit: number): number =>
  (ALPHABET.indexOf(chain.name.at(-16 + Math.floor(bit / 5))!) >> (bit % 5)) & 1;

/** Classes apart by the first bit of their names that parts them evenly enough, else the one of the candidates that does so best. */
function halve(classes: readonly Class[]): { bit: number; ones: readonly Class[]; zeros: readonly Class[] } {
  let best = 0;
  let evenness = 0;
  for (let bit = 0; bit < BITS && (bit < CANDIDATES || evenness === 0) && evenness < classes.length * EVEN; bit++) {
    let ones = 0;
    for (const found of classes) ones += digitOf(found, bit);
    const smaller = Math.min(ones, classes.length - ones);
    if (smaller > evenness) [best, evenness] = [bit, smaller];
  }
  const having = (digit: number): Class[] => classes.filter((found) => digitOf(found, best) === digit);
  return { bit: best, ones: having(1), zeros: having(0) };
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

    const group = (digits: string): LiveSet => {
      const name = `krs${family}-group-${shortHash(direction, digits)}`;
      const set = groups.get(name) ?? store.createSet({ name, kind: 'ip', role: 'group', direction });
      nextGroups.set(name, set);
      return set;
    };
    /** `digits`: what the names of all members have in common; `known`: whoever comes here is of one of the classes. */
    const build = (members: readonly Class[], digits: string, path: readonly LiveSet[], known: boolean): string => {
      const branches: { set: string; chain: string }[] = [];
      let rest: { set: string; chain: string } | undefined;
      let left = members;
      while (left.length > LIST) {
        const { bit, ones, zeros } = halve(left);
        if (ones.length === 0 || zeros.length === 0) break;
        if (ones.length === 1) {
          nextPaths.set(ones[0]!, path);
          branches.push({ set: ones[0]!.set.name, chain: ones[0]!.chain.name });
        } else {
          const shared = `${digits} ${bit}:1`;
          const set = group(shared);
          branches.push({ set: set.name, chain: build(ones, shared, [...path, set], true) });
        }
        digits = `${digits} ${bit}:0`;
        left = zeros;
      }
      for (const [index, { set, chain }] of left.entries()) {
        nextPaths.set(left[index]!, path);
        if (known && index === left.length - 1) rest = { set: set.name, chain: chain.name };
        else branches.push({ set: set.name, chain: chain.name });
      }
      const texts = branches.map(({ set, chain }) => delimited([set, chain]));
      if (rest !== undefined) texts.push(rest.chain);
      const name = `KUBE-POD-FW-${shortHash(direction, String(family), ...texts)}`;
      if (!chains.has(name) && !nextChains.has(name)) {
        const end = rest === undefined ? {} : { rest };
        store.putChain({ kind: 'dispatch', name, family, direction, branches, ...end });
      }
      nextChains.add(name);
      return name;
    };
    root = sorted.length === 0 ? undefined : build(sorted, '', [], false);
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
