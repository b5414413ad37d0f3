/**
 * The decision process: which path of a prefix is best, why, and which are as good (RFC 4271 section 9.1.2.2, RFC 4456 section 9).
 * One or two paths are compared directly; more are eliminated step by step, so that the answer does not depend on the order of
 * arrival even where MED is compared only within a neighbour AS. A path is usable when it was imported, has no loop and its next
 * hop is reachable.
 */
import { HAS_MED, LOOP } from './attribute-store.ts';
import type { Rib, RibPeer } from './table.ts';

/** Why a path is best: the step of the decision that told it from the next. */
export type Reason =
  | 'only path'
  | 'not long-lived stale'
  | 'originated here'
  | 'local preference'
  | 'AS path length'
  | 'origin'
  | 'MED'
  | 'eBGP over iBGP'
  | 'cost to next hop'
  | 'router id'
  | 'cluster list length'
  | 'peer address'
  | 'path identifier';

/** Steps of the decision, in order: the first that tells two paths apart is the reason. */
export const REASONS = [
  'only path',
  'not long-lived stale',
  'originated here',
  'local preference',
  'AS path length',
  'origin',
  'MED',
  'eBGP over iBGP',
  'cost to next hop',
  'router id',
  'cluster list length',
  'peer address',
  'path identifier',
] as const satisfies readonly Reason[];

/** Number of the last step that paths used together (ECMP) must not differ in. */
const MULTIPATH_STEPS = 8;
const MED_STEP = 6;

/** Whether a row may be best at all. */
export function usable(rib: Rib, row: number): boolean {
  const attr = rib.rowAttr[row]!;
  if (attr < 0 || (rib.store.flags[attr]! & LOOP) !== 0) return false;
  return rib.metrics === undefined || rib.metrics(rib.store.nextHop[attr]!) >= 0;
}

function peerOf(rib: Rib, row: number): RibPeer | undefined {
  return rib.peers[rib.rowPeer[row]!];
}

function external(rib: Rib, row: number): number {
  const kind = peerOf(rib, row)?.kind;
  return kind === 'ebgp' ? 0 : 1;
}

/** What a step compares; less is better. MED and addresses are compared apart. */
function rank(rib: Rib, row: number, step: number): number {
  const attr = rib.rowAttr[row]!;
  const { store } = rib;
  switch (step) {
    case 1:
      return (rib.rowFlags[row]! & 2) !== 0 || (store.wellKnown[attr]! & 32) !== 0 ? 1 : 0;
    case 2:
      return rib.rowPeer[row] === 0 ? 0 : 1;
    case 3:
      return -store.localPref[attr]!;
    case 4:
      return store.hops[attr]!;
    case 5:
      return store.origin[attr]!;
    case 7:
      return external(rib, row);
    case 8:
      return rib.metrics === undefined ? 0 : rib.metrics(store.nextHop[attr]!);
    case 9:
      return store.originatorId[attr]! || (peerOf(rib, row)?.routerId ?? 0);
    case 10:
      return store.clusterLength[attr]!;
    case 12:
      return rib.rowPathId === undefined ? 0 : rib.rowPathId[row]!;
    default:
      return 0;
  }
}

function medOf(rib: Rib, row: number): number {
  const attr = rib.rowAttr[row]!;
  return (rib.store.flags[attr]! & HAS_MED) !== 0 ? rib.store.med[attr]! : 0;
}

function sameMedScope(rib: Rib, a: number, b: number): boolean {
  if (rib.alwaysCompareMed) return true;
  return rib.store.neighbourAs[rib.rowAttr[a]!] === rib.store.neighbourAs[rib.rowAttr[b]!];
}

function addressKey(rib: Rib, row: number): string {
  return peerOf(rib, row)?.addressKey ?? '';
}

/** Compares two usable rows: positive when `b` is better, 0 never for different rows; the step that decided is left in `lastStep`. */
function compare(rib: Rib, a: number, b: number): number {
  for (let step = 1; step < REASONS.length; step++) {
    let difference: number;
    if (step === MED_STEP) difference = sameMedScope(rib, a, b) ? medOf(rib, a) - medOf(rib, b) : 0;
    else if (step === 11) {
      const x = addressKey(rib, a);
      const y = addressKey(rib, b);
      difference = x < y ? -1 : x > y ? 1 : 0;
    } else difference = rank(rib, a, step) - rank(rib, b, step);
    if (difference !== 0) {
      lastStep = step;
      return difference;
    }
  }
  lastStep = REASONS.length - 1;
  return a - b;
}

let lastStep = 0;

/** Keeps the best of `rows` by steps `first` to `last`; `rows` shrinks in place. Returns the last step that removed one. */
function eliminate(rib: Rib, rows: number[], first: number, last: number): number {
  let decided = 0;
  for (let step = first; step <= last && rows.length > 1; step++) {
    const before = rows.length;
    let kept: number[];
    if (step === MED_STEP) {
      kept = rows.filter(
        (row) => !rows.some((other) => sameMedScope(rib, row, other) && medOf(rib, other) < medOf(rib, row)),
      );
    } else if (step === 11) {
      let least = addressKey(rib, rows[0]!);
      for (const row of rows) if (addressKey(rib, row) < least) least = addressKey(rib, row);
      kept = rows.filter((row) => addressKey(rib, row) === least);
    } else {
      let least = Infinity;
      for (const row of rows) least = Math.min(least, rank(rib, row, step));
      kept = rows.filter((row) => rank(rib, row, step) === least);
    }
    if (kept.length < before) {
      decided = step;
      rows.length = 0;
      rows.push(...kept);
    }
  }
  return decided;
}

/** Usable rows of a prefix, in no particular order. */
export function usableRows(rib: Rib, prefix: number): number[] {
  const rows: number[] = [];
  for (let row = rib.head[prefix]!; row >= 0; row = rib.rowNext[row]!) if (usable(rib, row)) rows.push(row);
  return rows;
}

/** The best row of a prefix; -1 when it has none. */
export function decide(rib: Rib, prefix: number): number {
  const first = rib.head[prefix]!;
  if (first < 0) return -1;
  const second = rib.rowNext[first]!;
  if (second < 0) return usable(rib, first) ? first : -1;
  if (rib.rowNext[second]! < 0) {
    if (!usable(rib, first)) return usable(rib, second) ? second : -1;
    if (!usable(rib, second)) return first;
    return compare(rib, first, second) < 0 ? first : second;
  }
  const rows = usableRows(rib, prefix);
  if (rows.length === 0) return -1;
  eliminate(rib, rows, 1, REASONS.length - 1);
  return rows[0]!;
}

/** How a usable row of a prefix compares with the best: the step at which it lost. */
export function whyNot(rib: Rib, best: number, row: number): Reason {
  compare(rib, best, row);
  return REASONS[lastStep] ?? 'path identifier';
}

/** Why the best path of a prefix is best. */
export function whyBest(rib: Rib, prefix: number): Reason {
  const rows = usableRows(rib, prefix);
  if (rows.length < 2) return 'only path';
  return REASONS[eliminate(rib, rows, 1, REASONS.length - 1)] ?? 'only path';
}

/** How many paths may be used together. */
export interface Multipath {
  /** @defaultValue 1 */
  readonly ebgp?: number;
  /** @defaultValue 1 */
  readonly ibgp?: number;
  /** Lets eBGP paths from different neighbour ASes share load. @defaultValue false */
  readonly relaxAs?: boolean;
}

/** Rows of a prefix to be used together, the best first. */
export function multipath(rib: Rib, prefix: number, options: Multipath): number[] {
  const best = rib.best[prefix]!;
  if (best < 0) return [];
  const limit = external(rib, best) === 0 ? (options.ebgp ?? 1) : (options.ibgp ?? 1);
  if (limit <= 1 || rib.rowPeer[best] === 0) return [best];
  const rows = usableRows(rib, prefix);
  eliminate(rib, rows, 1, MULTIPATH_STEPS);
  const { store } = rib;
  const together = rows.filter(
    (row) =>
      row !== best &&
      (external(rib, best) === 1 ||
        options.relaxAs === true ||
        store.neighbourAs[rib.rowAttr[row]!] === store.neighbourAs[rib.rowAttr[best]!]),
  );
  together.sort((a, b) => compare(rib, a, b));
  return [best, ...together.slice(0, limit - 1)];
}
