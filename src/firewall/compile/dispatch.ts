/**
 * How a packet finds the class of its pod when only set matches are at hand, and each of them costs: a tree that halves the classes
 * at every step, so that a packet meets about as many sets as the number of classes has binary digits. Who is in one of the first
 * sets, the parts of the root, is isolated; who is in none of them is not. Who is in a set is in one of its classes, so below the
 * root the last class is not asked for. A class of many addresses is a part of its own, asked for before the others; and where few
 * classes have rules for a protocol, its packets meet the sets of these first of all.
 * The tree depends on the classes, and on which of them have many addresses. Its chains are named by content and its sets by the
 * digits of the class names that their members share: a new class renews the chains of one path, and only its own addresses join
 * the sets of that path. One that comes to have many addresses, or ceases to, renews everything.
 */
import { delimited, shortHash } from '../model/hash.ts';
import { PROTOCOLS } from '../model/rules.ts';
import { isolatedSet } from '../model/types.ts';
import type { DispatchBranch, Direction, DispatchChain } from '../model/types.ts';
import { LIGHT, weightOf } from './classes.ts';
import type { Class } from './classes.ts';
import type { LiveSet, Store } from './store.ts';

/** A list this long costs a packet no more than one more level. */
const LIST = 3;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/**
 * Sets that a packet of a pod that nothing isolates meets at most. More would spare others little: of twenty classes one finds its own
 * after 4.9 sets with two of them, 4.6 with three, 4.5 with four or more.
 */
const PARTS = 3;
/** Of the sixteen characters of a class name. */
const BITS = 16 * 5;
/** Bits that a division chooses from: enough for halves that deserve the name. */
const CANDIDATES = 16;
/**
 * The first bit that leaves this share to the smaller side will do. The most even one would not spare a packet a set (4.7 on average
 * of 24 classes either way), but a class that comes would tip the choice so often that it moved three times as many classes.
 */
const EVEN = 0.35;
/** A class of this share of the addresses has many. */
const HEAVY = 0.35;

/** Classes are few for a protocol up to this number and this share of all: every other packet of the protocol meets their sets in vain. */
const FEW = 4;
const FEW_OF = 1 / 4;

/** The tree of one direction of one family. */
export interface Dispatch {
  /** Sets that lead to a class, outermost first: being in the first of them is being isolated. */
  path(found: Class): readonly LiveSet[];
  /** Follows a change of the classes; returns those whose addresses must be placed anew. */
  rebuild(classes: Iterable<Class>): readonly Class[];
}

function samePath(a: readonly LiveSet[] = [], b: readonly LiveSet[] = []): boolean {
  return a.length === b.length && a.every((set, index) => set === b[index]);
}

const digitOf = ({ chain }: Class, bit: number): number =>
  (ALPHABET.indexOf(chain.name.at(-16 + Math.floor(bit / 5))!) >> (bit % 5)) & 1;

/** Some classes and the others, each with what names their sets. */
interface Division {
  readonly some: readonly Class[];
  readonly digits: string;
  readonly others: readonly Class[];
  readonly otherDigits: string;
}

/** Classes apart by the first bit of their names that parts them evenly enough, else the one of the candidates that does so best. */
function halve(classes: readonly Class[], digits: string): Division {
  let best = 0;
  let evenness = 0;
  for (let bit = 0; bit < BITS && (bit < CANDIDATES || evenness === 0) && evenness < classes.length * EVEN; bit++) {
    let ones = 0;
    for (const found of classes) ones += digitOf(found, bit);
    const smaller = Math.min(ones, classes.length - ones);
    if (smaller > evenness) [best, evenness] = [bit, smaller];
  }
  const having = (digit: number): Class[] => classes.filter((found) => digitOf(found, best) === digit);
  return { some: having(1), digits: `${digits} ${best}:1`, others: having(0), otherDigits: `${digits} ${best}:0` };
}

/**
 * The class that has many of the addresses of these apart from the others, if there is one. Whoever stays in a class must be in the
 * sets that have their names before and after: hence the digits of both sides tell which class it is.
 */
function heaviest(classes: readonly Class[], digits: string): Division | undefined {
  let total = 0;
  let most = LIGHT;
  let found: Class | undefined;
  for (const one of classes) {
    const weight = weightOf(one);
    total += weight;
    if (weight > most) [most, found] = [weight, one];
  }
  if (found === undefined || classes.length === 1 || most < total * HEAVY) return undefined;
  const others = classes.filter((one) => one !== found);
  const { name } = found.chain;
  return { some: [found], digits: `${digits} =${name}`, others, otherDigits: `${digits} !${name}` };
}

/**
 * Ways that spare a packet the tree, where few of the classes have rules for its protocol: servers of UDP are mostly few, and each of
 * their queries begins a flow. They lead to the same chains as the tree does.
 */
function* shortWays(classes: readonly Class[]): Iterable<DispatchBranch> {
  for (const protocol of PROTOCOLS) {
    const having = classes.filter(({ chain }) =>
      chain.rules.some((rule) => rule.protocol === protocol && rule.action !== 'deny'),
    );
    if (having.length > Math.min(FEW, classes.length * FEW_OF)) continue;
    for (const { set, chain } of having) yield { protocol, set: set.name, chain: chain.name };
  }
}

/** A tree without classes. */
export function createDispatch(store: Store, direction: Direction): Dispatch {
  const { family } = store;
  let chains = new Set<string>();
  let ways = new Map<string, LiveSet>();
  let paths = new Map<Class, readonly LiveSet[]>();

  const rebuild = (classes: Iterable<Class>): readonly Class[] => {
    const sorted = [...classes].sort((a, b) => (a.chain.name < b.chain.name ? -1 : 1));
    const nextChains = new Set<string>();
    const nextWays = new Map<string, LiveSet>();
    const nextPaths = new Map<Class, readonly LiveSet[]>();
    const before = paths;

    /** The set of those whose class names share these digits. */
    const way = (role: 'group' | 'isolated', digits: string): LiveSet => {
      const hash = shortHash(direction, digits);
      const name = role === 'isolated' ? isolatedSet(family, direction, hash) : `krs${family}-group-${hash}`;
      const set = ways.get(name) ?? store.createSet({ name, kind: 'ip', role, direction });
      nextWays.set(name, set);
      return set;
    };
    const chainOf = (branches: DispatchChain['branches'], end: Pick<DispatchChain, 'rest' | 'unasked'>): string => {
      const texts = branches.map(({ protocol, set, chain }) =>
        delimited([...(protocol === undefined ? [] : [protocol]), set, chain]),
      );
      texts.push(end.rest ?? '', ...(end.unasked ?? []));
      const name = `KUBE-POD-FW-${shortHash(direction, String(family), ...texts)}`;
      if (!chains.has(name) && !nextChains.has(name)) {
        store.putChain({ kind: 'dispatch', name, family, direction, branches, ...end });
      }
      nextChains.add(name);
      return name;
    };
    const unasked: string[] = [];
    /** Who comes here is of one of the members; `digits` are what their names have in common. */
    const build = (members: readonly Class[], digits: string, path: readonly LiveSet[]): string => {
      const branches: DispatchBranch[] = [];
      let left = members;
      while (left.length > LIST) {
        const next = halve(left, digits);
        const [first] = next.some;
        if (next.some.length === 1) {
          nextPaths.set(first!, path);
          branches.push({ set: first!.set.name, chain: first!.chain.name });
        } else {
          const set = way('group', next.digits);
          branches.push({ set: set.name, chain: build(next.some, next.digits, [...path, set]) });
        }
        ({ others: left, otherDigits: digits } = next);
      }
      for (const found of left) nextPaths.set(found, path);
      const last = left.at(-1)!;
      unasked.push(last.set.name);
      branches.push(...left.slice(0, -1).map(({ set, chain }) => ({ set: set.name, chain: chain.name })));
      return branches.length === 0 ? last.chain.name : chainOf(branches, { rest: last.chain.name });
    };
    const parts: DispatchBranch[] = [];
    const part = (members: readonly Class[], digits: string): void => {
      const set = way('isolated', digits);
      parts.push({ set: set.name, chain: build(members, digits, [set]) });
    };
    let left: readonly Class[] = sorted;
    let digits = '';
    while (parts.length < PARTS - 1) {
      const next = heaviest(left, digits) ?? (left.length > LIST ? halve(left, digits) : undefined);
      if (next === undefined) break;
      part(next.some, next.digits);
      ({ others: left, otherDigits: digits } = next);
    }
    if (left.length > 0) part(left, digits);
    const short = [...shortWays(sorted)];
    const asked = new Set(short.map(({ set }) => set));
    const root =
      parts.length === 0
        ? undefined
        : chainOf([...short, ...parts], { unasked: unasked.filter((set) => !asked.has(set)) });
    for (const name of chains) if (!nextChains.has(name)) store.dropChain(name);
    for (const name of ways.keys()) if (!nextWays.has(name)) store.dropSet(name);
    chains = nextChains;
    ways = nextWays;
    paths = nextPaths;
    store.setRoots({ ...store.roots, [direction]: root });
    return sorted.filter((found) => !samePath(before.get(found), nextPaths.get(found)));
  };

  return { path: (found) => paths.get(found) ?? [], rebuild };
}
