/**
 * Aggregation (RFC 4271 section 9.2.2.2): a prefix is originated while at least one longer route within it is best.
 * A change costs the prefix that changed: each remembers the aggregate that it counts for. The path carries no AS numbers of the routes
 * (RFC 9774 ends AS_SETs), hence ATOMIC_AGGREGATE. Stands on the RIB; the speaker's turn calls `work`.
 */
import type { Prefix } from '../../net/index.ts';
import { contains, parsePrefix } from '../../net/index.ts';
import type { Advertisement } from '../../net/values.ts';
import type { AttributeStore } from './attribute-store.ts';
import { nextHopBytes, release } from './attribute-store.ts';
import { keepAttributes, originate, readAttributes } from './attributes.ts';
import { capacityFor, growInt32, growUint8 } from './columns.ts';
import { findPrefix, internPrefix, prefixOf } from './prefix-table.ts';
import type { Rib } from './table.ts';
import { dropRow, findRow, fitRib, putPath, settle } from './table.ts';

/** An aggregate to originate. */
export interface AggregateOptions {
  /** Canonical prefix. */
  readonly prefix: string;
  /** Does not announce the routes within it. @defaultValue false */
  readonly summaryOnly?: boolean;
  readonly attributes?: Advertisement['attributes'];
}

/** Path identifier of aggregates among the routes originated here. */
const PATH_ID = 1;
const ORIGINS = ['igp', 'egp', 'incomplete'] as const;

type Words = readonly [number, number, number, number];

interface Aggregate {
  readonly options: AggregateOptions;
  readonly prefix: Prefix;
  readonly words: Words;
  /** Routes that count for it, by ORIGIN. */
  readonly members: [igp: number, egp: number, incomplete: number];
  dirty: boolean;
  /** ORIGIN last originated with; -1: not originated. */
  origin: number;
}

/** The aggregates of one family. */
export interface Aggregates {
  /** A prefix's best path may have changed. */
  note(prefix: number): void;
  /** Originates and takes back what `note` made necessary. */
  work(): void;
  /** Forgets all: routes that were held back are told again. */
  close(): void;
}

/** Makes {@link Aggregates} and counts what is there already. `asn` and `routerId` go into AGGREGATOR. */
export function createAggregates(
  rib: Rib,
  list: readonly AggregateOptions[],
  { asn, routerId }: { readonly asn: number; readonly routerId: string },
): Aggregates {
  const { store, prefixes } = rib;
  const made: Aggregate[] = list
    .map((options) => ({ options, prefix: parsePrefix(options.prefix) }))
    .filter(({ prefix }) => prefix.family === rib.family)
    // The longest that holds a route is the one that it counts for.
    .sort((a, b) => b.prefix.length - a.prefix.length)
    .map(({ options, prefix }) => {
      const words: Words = prefix.family === 4 ? [prefix.value, 0, 0, 0] : prefix.words;
      return { options, prefix, words, members: [0, 0, 0], dirty: false, origin: -1 };
    });
  /** Row of an aggregate's path; -1 none. Ids are looked up each time: a prefix that nobody has a path to is forgotten. */
  const rowOf = ({ words, prefix }: Aggregate): number => {
    const id = findPrefix(prefixes, ...words, prefix.length);
    return id < 0 ? -1 : findRow(rib, 0, id, PATH_ID);
  };
  /** By prefix: 0 counts for none, else 1 + three times the aggregate + ORIGIN. */
  let countsFor: Int32Array = new Int32Array(rib.head.length);
  let suppressed: Uint8Array = new Uint8Array(rib.head.length);
  let changed = false;

  const coverOf = (prefix: number): number => {
    const route = prefixOf(prefixes, prefix);
    return made.findIndex((one) => one.prefix.length < route.length && contains(one.prefix, route));
  };

  const note = (prefix: number): void => {
    if (prefix >= countsFor.length) {
      const n = capacityFor(countsFor.length, prefixes.size);
      countsFor = growInt32(countsFor, n, 0);
      rib.suppressed = suppressed = growUint8(suppressed, n);
    }
    const best = rib.best[prefix]!;
    const before = countsFor[prefix]!;
    let now = 0;
    if (best >= 0) {
      const cover = before > 0 ? Math.floor((before - 1) / 3) : coverOf(prefix);
      if (cover >= 0) now = 1 + cover * 3 + store.origin[rib.rowAttr[best]!]!;
    }
    if (now === before) return;
    countsFor[prefix] = now;
    for (const [value, step] of [
      [before, -1],
      [now, 1],
    ] as const) {
      if (value === 0) continue;
      const one = made[Math.floor((value - 1) / 3)]!;
      one.members[(value - 1) % 3]! += step;
      one.dirty = changed = true;
    }
    suppressed[prefix] = now > 0 && made[Math.floor((now - 1) / 3)]!.options.summaryOnly === true ? 1 : 0;
  };

  const work = (): void => {
    while (changed) {
      changed = false;
      for (const one of made) {
        if (!one.dirty) continue;
        one.dirty = false;
        const origin = one.members[2] > 0 ? 2 : one.members[1] > 0 ? 1 : one.members[0] > 0 ? 0 : -1;
        if (origin === one.origin) continue;
        one.origin = origin;
        if (origin < 0) {
          const row = rowOf(one);
          if (row >= 0) dropRow(rib, row);
          continue;
        }
        const attr = attributesOf(store, rib, one.options, origin, { asn, routerId });
        const id = internPrefix(prefixes, ...one.words, one.prefix.length);
        fitRib(rib);
        putPath(rib, 0, id, PATH_ID, attr, attr);
        release(store, attr);
      }
    }
  };

  /** Has those told of again that are held back now, or no longer. */
  const retell = (): void => {
    for (let prefix = 0; prefix < suppressed.length; prefix++) {
      if (suppressed[prefix] === 1 && rib.head[prefix]! >= 0) settle(rib, prefix, true);
    }
  };

  rib.suppressed = suppressed;
  for (let prefix = 0; prefix < prefixes.size; prefix++) if (rib.head[prefix]! >= 0) note(prefix);
  retell();
  return {
    note,
    work,
    close() {
      rib.suppressed = undefined;
      for (const one of made) {
        const row = rowOf(one);
        if (row >= 0) dropRow(rib, row);
      }
      retell();
    },
  };
}

function attributesOf(
  store: AttributeStore,
  rib: Rib,
  { prefix, attributes }: AggregateOptions,
  origin: number,
  { asn, routerId }: { readonly asn: number; readonly routerId: string },
): number {
  const base = originate(
    store,
    { prefix, origin: 'other', ...(attributes === undefined ? {} : { attributes }) },
    rib.family,
  );
  const { count = 0, asn: prepended = 0 } = attributes?.prepend ?? {};
  // What it carries for ourselves alone is written anew below.
  const { unknown: _unknown, ...known } = readAttributes(store, base);
  const made = keepAttributes(
    store,
    {
      ...known,
      origin: ORIGINS[origin]!,
      atomicAggregate: true,
      aggregator: { asn, address: routerId },
    },
    nextHopBytes(store, base),
    rib.family,
    3,
    count > 0 ? { count, asn: prepended } : undefined,
  );
  release(store, base);
  return made;
}
