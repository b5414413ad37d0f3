/**
 * Maglev hashing as in the paper (Eisenbud et al., NSDI 2016, section 3.4): a lookup table of prime size in which every backend
 * has its share and that changes little when a backend comes or goes. Weights are shares of turns. With the statistics by which
 * the paper judges a table. Pure, no I/O.
 */
import { SdkError } from '../../net/errors.ts';

/** A backend of a table. */
export interface MaglevBackend {
  /** What is hashed; the table does not depend on the order in which backends are given. */
  readonly name: string;
  /** Share of entries against the others, an integer; 0 gets none. @defaultValue 1 */
  readonly weight?: number;
}

/** Options of {@link maglevTable}. */
export interface MaglevOptions {
  /** Entries of the table, a prime. @defaultValue 65537 */
  readonly size?: number;
  /** Two 32-bit hashes of a name. @defaultValue two rounds of murmur3's finaliser over FNV-1a */
  readonly hash?: (name: string) => readonly [number, number];
}

/** A lookup table: entry to index into the sorted names, -1 when there is no backend. */
export interface MaglevTable {
  readonly names: readonly string[];
  readonly entries: Int32Array;
}

function isPrime(value: number): boolean {
  if (!Number.isInteger(value) || value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}

function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Two hashes of a text. */
export function hashName(name: string): readonly [number, number] {
  let h = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) h = Math.imul(h ^ name.charCodeAt(index), 0x01000193);
  return [mix(h), mix(h ^ 0x9e3779b9)];
}

/**
 * Builds the table.
 * @throws SdkError `INVALID_OPTION` when the size is no prime, a weight is no share or a name comes twice
 * @example
 * ```ts
 * import { lookupMaglev, maglevTable } from 'kube-router-sdk/ipvs';
 *
 * const table = maglevTable([{ name: '10.1.1.2' }, { name: '10.1.2.2' }, { name: '10.1.3.2' }], { size: 251 });
 * console.log(table.names.length, table.entries.length, lookupMaglev(table, 7) === lookupMaglev(table, 7)); // 3 251 true
 * ```
 */
export function maglevTable(backends: readonly MaglevBackend[], options: MaglevOptions = {}): MaglevTable {
  const size = options.size ?? 65537;
  const hash = options.hash ?? hashName;
  if (!isPrime(size)) throw new SdkError(`size ${size} is no prime`, { code: 'INVALID_OPTION', details: { size } });
  const sorted = [...backends].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const names = sorted.map(({ name }) => name);
  const entries = new Int32Array(size).fill(-1);
  const count = sorted.length;
  const next = new Float64Array(count);
  const skip = new Float64Array(count);
  const weights = sorted.map(({ name, weight = 1 }, index) => {
    if (!Number.isInteger(weight) || weight < 0 || names[index + 1] === name) {
      throw new SdkError(`backend ${name} has no usable weight or comes twice`, { code: 'INVALID_OPTION' });
    }
    const [first, second] = hash(name);
    next[index] = first % size;
    skip[index] = (second % (size - 1)) + 1;
    return weight;
  });
  const heaviest = weights.reduce((most, weight) => Math.max(most, weight), 0);
  if (heaviest === 0) return { names, entries };
  // A backend of weight w takes a turn in w of `heaviest` rounds, evenly spread.
  const credit = new Float64Array(count);
  let filled = 0;
  for (;;) {
    for (let index = 0; index < count; index++) {
      const earned = (credit[index] ?? 0) + (weights[index] ?? 0);
      if (earned < heaviest) {
        credit[index] = earned;
        continue;
      }
      credit[index] = earned - heaviest;
      let at = next[index] ?? 0;
      const step = skip[index] ?? 1;
      while (entries[at] !== -1) {
        at += step;
        if (at >= size) at -= size;
      }
      entries[at] = index;
      at += step;
      next[index] = at >= size ? at - size : at;
      if (++filled === size) return { names, entries };
    }
  }
}

/** The backend of a hash value. */
export function lookupMaglev(table: MaglevTable, hash: number): string | undefined {
  return table.names[table.entries[(hash >>> 0) % table.entries.length] ?? -1];
}

/** How evenly a table spreads. */
export interface MaglevBalance {
  /** Entries of each backend in the order of `names`. */
  readonly counts: readonly number[];
  /** Most loaded against the mean: the over-provisioning that a backend needs. */
  readonly maxOverMean: number;
  readonly minOverMean: number;
}

/** Balance of a table whose backends weigh the same. */
export function maglevBalance(table: MaglevTable): MaglevBalance {
  const counts = new Array<number>(table.names.length).fill(0);
  for (const index of table.entries) if (index >= 0) counts[index] = (counts[index] ?? 0) + 1;
  const mean = table.entries.length / Math.max(1, counts.length);
  const most = counts.reduce((a, b) => Math.max(a, b), 0);
  const least = counts.reduce((a, b) => Math.min(a, b), Infinity);
  return { counts, maxOverMean: most / mean, minOverMean: least / mean };
}

/** What a change of backends moves. */
export interface MaglevDisruption {
  /** Share of entries with another backend than before, those of a backend that left included. */
  readonly changed: number;
  /** Share of entries that moved although their backend stayed: the price of Maglev against perfect consistency. */
  readonly needless: number;
}

/** Compares two tables of the same size. */
export function maglevDisruption(before: MaglevTable, after: MaglevTable): MaglevDisruption {
  const stays = new Set(after.names);
  let changed = 0;
  let needless = 0;
  for (let entry = 0; entry < before.entries.length; entry++) {
    const old = before.names[before.entries[entry] ?? -1];
    if (old === after.names[after.entries[entry] ?? -1]) continue;
    changed++;
    if (old !== undefined && stays.has(old)) needless++;
  }
  return { changed: changed / before.entries.length, needless: needless / before.entries.length };
}
