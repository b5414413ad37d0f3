/**
 * Adj-RIB-In and Loc-RIB of one family, as columns.
 * A row is one path: prefix, peer, path identifier, the attributes as received and as the import policy left them. Rows of a prefix
 * are chained; the best is remembered. A change costs the paths of its prefix, never the table.
 * Stands on the prefix table and the attribute store; decision.ts judges, groups and streams listen by `onChange`.
 */
import type { Family } from '../../net/values.ts';
import type { AttributeStore } from './attribute-store.ts';
import { release, retain } from './attribute-store.ts';
import { capacityFor, growInt32, growUint16, growUint32, growUint8, startOf } from './columns.ts';
import { decide } from './decision.ts';
import type { PrefixTable } from './prefix-table.ts';
import { createPrefixTable, removePrefix } from './prefix-table.ts';

/** Relation to whoever a path came from. */
export type SourceKind = 'local' | 'ebgp' | 'ibgp' | 'ibgp-client' | 'confed';

/** What the RIB knows of a source of paths. */
export interface RibPeer {
  /** Below 65536; 0 is this speaker itself. */
  readonly index: number;
  readonly kind: SourceKind;
  /** BGP identifier, an unsigned integer. */
  readonly routerId: number;
  /** Orders peers of the same identifier: address bytes as hex. */
  readonly addressKey: string;
}

/** Bits of `rowFlags`: the path is kept for a peer that restarts (RFC 4724), for long (RFC 9494). */
export const STALE = 1;
/** See {@link STALE}. */
export const LONG_STALE = 2;

/** One family's paths. Columns are read-only to all but this file. */
export interface Rib {
  readonly family: Family;
  readonly prefixes: PrefixTable;
  readonly store: AttributeStore;
  readonly peers: (RibPeer | undefined)[];
  /** First row of each prefix, best row of each prefix; -1 none. */
  head: Int32Array;
  best: Int32Array;
  rowPrefix: Int32Array;
  rowPeer: Uint16Array;
  /** Attribute set as received; as imported, -1 when the import policy rejects the path. */
  rowIn: Int32Array;
  rowAttr: Int32Array;
  rowNext: Int32Array;
  rowFlags: Uint8Array;
  /** Absent until a path with an identifier arrives (RFC 7911). */
  rowPathId: Uint32Array | undefined;
  rows: number;
  freeRow: number;
  /** Room in the shortest of the columns by row, by prefix. */
  rowCapacity: number;
  prefixCapacity: number;
  /** Paths in use, per peer index. */
  peerRows: number[];
  /** Paths, prefixes with a best path. */
  paths: number;
  routes: number;
  /** Cost to each next hop, by its id; -1 unreachable. Absent: all reachable at cost 0. */
  metrics: ((nextHop: number) => number) | undefined;
  /** Compares MED between different neighbour ASes too. */
  alwaysCompareMed: boolean;
  /** 1 for prefixes that an aggregate stands for: they are not told. Absent: none. */
  suppressed: Uint8Array | undefined;
  /** Paths of peers are taken in but not told of: route selection is deferred (RFC 4724 section 4.1). What we originate is told. */
  deferring: boolean;
  /** A prefix changed: its best path, or any path (for those who use several). */
  onChange: (prefix: number, bestChanged: boolean) => void;
}

/** An empty RIB. */
export function createRib(family: Family, store: AttributeStore, peers: (RibPeer | undefined)[]): Rib {
  return {
    family,
    prefixes: createPrefixTable(family),
    store,
    peers,
    head: new Int32Array(startOf(1)).fill(-1),
    best: new Int32Array(startOf(3)).fill(-1),
    rowPrefix: new Int32Array(startOf(0)).fill(-1),
    rowPeer: new Uint16Array(startOf(5)),
    rowIn: new Int32Array(startOf(7)),
    rowAttr: new Int32Array(startOf(9)),
    rowNext: new Int32Array(startOf(11)),
    rowFlags: new Uint8Array(startOf(6)),
    rowPathId: undefined,
    rows: 0,
    freeRow: -1,
    rowCapacity: startOf(0),
    prefixCapacity: startOf(1),
    peerRows: [],
    paths: 0,
    routes: 0,
    metrics: undefined,
    alwaysCompareMed: false,
    suppressed: undefined,
    deferring: false,
    onChange: () => undefined,
  };
}

/** Fits the columns indexed by prefix after prefixes were interned. */
export function fitRib(rib: Rib): void {
  const need = rib.prefixes.size;
  if (rib.head.length < need) rib.head = growInt32(rib.head, capacityFor(rib.head.length, need), -1);
  if (rib.best.length < need) rib.best = growInt32(rib.best, capacityFor(rib.best.length, need), -1);
  rib.prefixCapacity = Math.min(rib.head.length, rib.best.length);
}

/** Grows the columns that lack room for one more row, and no others: each has its own moment. */
function fitRows(rib: Rib): void {
  const need = rib.rows;
  const room = (length: number): number => capacityFor(length, need);
  if (need > rib.rowPrefix.length) rib.rowPrefix = growInt32(rib.rowPrefix, room(rib.rowPrefix.length), -1);
  if (need > rib.rowPeer.length) rib.rowPeer = growUint16(rib.rowPeer, room(rib.rowPeer.length));
  if (need > rib.rowIn.length) rib.rowIn = growInt32(rib.rowIn, room(rib.rowIn.length), 0);
  if (need > rib.rowAttr.length) rib.rowAttr = growInt32(rib.rowAttr, room(rib.rowAttr.length), 0);
  if (need > rib.rowNext.length) rib.rowNext = growInt32(rib.rowNext, room(rib.rowNext.length), 0);
  if (need > rib.rowFlags.length) rib.rowFlags = growUint8(rib.rowFlags, room(rib.rowFlags.length));
  const pathIds = rib.rowPathId;
  if (pathIds !== undefined && need > pathIds.length) rib.rowPathId = growUint32(pathIds, room(pathIds.length));
  rib.rowCapacity = Math.min(
    rib.rowPrefix.length,
    rib.rowPeer.length,
    rib.rowIn.length,
    rib.rowAttr.length,
    rib.rowNext.length,
    rib.rowFlags.length,
    rib.rowPathId?.length ?? Infinity,
  );
}

function newRow(rib: Rib): number {
  const free = rib.freeRow;
  if (free >= 0) {
    rib.freeRow = rib.rowNext[free]!;
    return free;
  }
  const row = rib.rows++;
  if (row >= rib.rowCapacity) fitRows(rib);
  return row;
}

/** Row of a peer's path to a prefix; -1 when there is none. */
export function findRow(rib: Rib, peer: number, prefix: number, pathId: number): number {
  const { rowPeer, rowNext, rowPathId } = rib;
  for (let row = rib.head[prefix]!; row >= 0; row = rowNext[row]!) {
    if (rowPeer[row] === peer && (rowPathId === undefined || rowPathId[row] === pathId)) return row;
  }
  return -1;
}

/**
 * Takes a path in, in place of the peer's earlier one of the same identifier.
 * @param received - attribute set as received, @param imported - as imported, -1 rejected; references are taken here
 */
export function putPath(
  rib: Rib,
  peer: number,
  prefix: number,
  pathId: number,
  received: number,
  imported: number,
): void {
  const { store } = rib;
  if (pathId !== 0 && rib.rowPathId === undefined) {
    rib.rowPathId = new Uint32Array(rib.rowPrefix.length);
    rib.rowCapacity = Math.min(rib.rowCapacity, rib.rowPrefix.length);
  }
  let row = findRow(rib, peer, prefix, pathId);
  if (row >= 0) {
    const oldIn = rib.rowIn[row]!;
    const oldAttr = rib.rowAttr[row]!;
    const oldFlags = rib.rowFlags[row]!;
    rib.rowFlags[row] = 0;
    if (oldIn === received && oldAttr === imported) {
      if ((oldFlags & LONG_STALE) !== 0) settle(rib, prefix, false);
      return;
    }
    retain(store, received);
    if (imported >= 0) retain(store, imported);
    rib.rowIn[row] = received;
    rib.rowAttr[row] = imported;
    release(store, oldIn);
    if (oldAttr >= 0) release(store, oldAttr);
    if (oldAttr !== imported) settle(rib, prefix, rib.best[prefix] === row);
    return;
  }
  retain(store, received);
  if (imported >= 0) retain(store, imported);
  row = newRow(rib);
  rib.rowPrefix[row] = prefix;
  rib.rowPeer[row] = peer;
  rib.rowIn[row] = received;
  rib.rowAttr[row] = imported;
  rib.rowFlags[row] = 0;
  rib.rowNext[row] = rib.head[prefix]!;
  if (rib.rowPathId !== undefined) rib.rowPathId[row] = pathId;
  rib.head[prefix] = row;
  rib.paths++;
  rib.peerRows[peer] = (rib.peerRows[peer] ?? 0) + 1;
  if (imported >= 0) settle(rib, prefix, false);
}

/** Drops a row found by {@link findRow}. */
export function dropRow(rib: Rib, row: number): void {
  const prefix = rib.rowPrefix[row]!;
  const { rowNext } = rib;
  if (rib.head[prefix] === row) rib.head[prefix] = rowNext[row]!;
  else {
    let before = rib.head[prefix]!;
    while (rowNext[before] !== row) before = rowNext[before]!;
    rowNext[before] = rowNext[row]!;
  }
  const received = rib.rowIn[row]!;
  const imported = rib.rowAttr[row]!;
  rib.rowPrefix[row] = -1;
  rowNext[row] = rib.freeRow;
  rib.freeRow = row;
  rib.paths--;
  rib.peerRows[rib.rowPeer[row]!]!--;
  const wasBest = rib.best[prefix] === row;
  if (wasBest) {
    rib.best[prefix] = -1;
    rib.routes--;
  }
  release(rib.store, received);
  if (imported >= 0) {
    release(rib.store, imported);
    settle(rib, prefix, wasBest);
  } else rib.onChange(prefix, false);
}

/** Decides a prefix anew and tells. `touched`: the best path itself was replaced or dropped. */
export function settle(rib: Rib, prefix: number, touched: boolean): void {
  const old = rib.best[prefix]!;
  const best = decide(rib, prefix);
  if (best !== old) {
    rib.best[prefix] = best;
    if (old < 0) rib.routes++;
    else if (best < 0) rib.routes--;
  }
  rib.onChange(prefix, touched || best !== old);
}

/** Drops a prefix that nobody has a path to and nobody needs to withdraw any more. */
export function forgetPrefix(rib: Rib, prefix: number): void {
  removePrefix(rib.prefixes, prefix);
}

/** In place of a peer's index: all of them. */
export const EVERY_PEER = -1;

/**
 * Visits rows of a peer, or of {@link EVERY_PEER}, in slices.
 * @returns the row to go on from, -1 at the end
 */
export function sweepRows(rib: Rib, peer: number, from: number, budget: number, visit: (row: number) => void): number {
  const { rowPeer, rowPrefix } = rib;
  const end = Math.min(rib.rows, from + budget);
  for (let row = from; row < end; row++) if ((peer < 0 || rowPeer[row] === peer) && rowPrefix[row]! >= 0) visit(row);
  return end >= rib.rows ? -1 : end;
}
