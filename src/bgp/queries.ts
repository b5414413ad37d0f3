/**
 * The looking glass: paths as values, found by address, prefix, peer or predicate.
 * Reads the RIB's columns and decodes only what it shows.
 */
import type { Prefix } from '../net/index.ts';
import { contains, isAddress, maskAddress, parseAddress, parsePrefix } from '../net/index.ts';
import type { Core } from './core.ts';
import { prefixText } from './policy/hook.ts';
import { ORIGINS, nextHopText, readAttributes } from './rib/attributes.ts';
import { LOOP } from './rib/attribute-store.ts';
import { usable, whyBest, whyNot } from './rib/decision.ts';
import type { ExportGroup } from './rib/group-types.ts';
import { findPrefix, prefixOf } from './rib/prefix-table.ts';
import { STALE } from './rib/table.ts';
import type { Rib } from './rib/table.ts';
import type { PathView } from './speaker-types.ts';

/** Id of a prefix in a RIB; -1 when it lacks it. */
export function prefixId(rib: Rib, prefix: Prefix): number {
  if (prefix.family === 4) return findPrefix(rib.prefixes, prefix.value, 0, 0, 0, prefix.length);
  const [a, b, c, d] = prefix.words;
  return findPrefix(rib.prefixes, a, b, c, d, prefix.length);
}

function viewOf(core: Core, rib: Rib, row: number, addressOf: (peer: number) => string): PathView {
  const { store } = core;
  const prefix = rib.rowPrefix[row]!;
  const best = rib.best[prefix]!;
  const imported = rib.rowAttr[row]!;
  const attr = imported >= 0 ? imported : rib.rowIn[row]!;
  const origin = ORIGINS[store.tag[attr]!];
  const reason =
    imported < 0
      ? ('rejected by policy' as const)
      : (store.flags[attr]! & LOOP) !== 0
        ? ('loop' as const)
        : !usable(rib, row)
          ? ('next hop unreachable' as const)
          : row === best
            ? whyBest(rib, prefix)
            : whyNot(rib, best, row);
  return {
    prefix: prefixText(rib.prefixes, prefix),
    peer: addressOf(rib.rowPeer[row]!),
    pathId: rib.rowPathId?.[row] ?? 0,
    nextHop: nextHopText(store, attr),
    attributes: readAttributes(store, attr),
    ...(origin === undefined ? {} : { origin }),
    best: row === best,
    reason,
    stale: (rib.rowFlags[row]! & STALE) !== 0,
  };
}

/** All paths of a prefix, the best first. */
function pathsOf(core: Core, rib: Rib, prefix: number, addressOf: (peer: number) => string): PathView[] {
  const views: PathView[] = [];
  for (let row = rib.head[prefix]!; row >= 0; row = rib.rowNext[row]!) views.push(viewOf(core, rib, row, addressOf));
  return views.sort((a, b) => Number(b.best) - Number(a.best) || (a.peer < b.peer ? -1 : 1));
}

/** Paths of the longest prefix that holds an address, or of exactly a prefix. */
export function lookup(core: Core, text: string, addressOf: (peer: number) => string): PathView[] {
  if (!isAddress(text)) {
    const prefix = parsePrefix(text);
    const rib = core.ribOf(prefix.family);
    const id = prefixId(rib, prefix);
    return id < 0 ? [] : pathsOf(core, rib, id, addressOf);
  }
  const address = parseAddress(text);
  const rib = core.ribOf(address.family);
  for (let length = address.family === 4 ? 32 : 128; length >= 0; length--) {
    const id = prefixId(rib, { ...maskAddress(address, length), length });
    if (id >= 0 && rib.best[id]! >= 0) return pathsOf(core, rib, id, addressOf);
  }
  return [];
}

/** Paths of all prefixes within one. */
export function subnets(core: Core, text: string, addressOf: (peer: number) => string): PathView[] {
  const outer = parsePrefix(text);
  const views: PathView[] = [];
  eachPrefix(core, (rib, prefix) => {
    if (rib.family !== outer.family || rib.prefixes.lengths[prefix]! < outer.length) return;
    if (contains(outer, prefixOf(rib.prefixes, prefix))) views.push(...pathsOf(core, rib, prefix, addressOf));
  });
  return views;
}

/** Paths that a predicate picks. */
export function query(
  core: Core,
  pick: (path: PathView) => boolean,
  addressOf: (peer: number) => string,
): readonly PathView[] {
  const views: PathView[] = [];
  eachPrefix(core, (rib, prefix) => {
    for (const view of pathsOf(core, rib, prefix, addressOf)) if (pick(view)) views.push(view);
  });
  return views;
}

/** Every prefix with a path, in a callback. */
function eachPrefix(core: Core, visit: (rib: Rib, prefix: number) => void): void {
  for (const rib of core.ribs) {
    for (let prefix = 0; prefix < rib.prefixes.size; prefix++) if (rib.head[prefix]! >= 0) visit(rib, prefix);
  }
}

/** Paths received from a peer. */
export function received(core: Core, peer: number, addressOf: (peer: number) => string): PathView[] {
  const views: PathView[] = [];
  for (const rib of core.ribs) {
    for (let row = 0; row < rib.rows; row++) {
      if (rib.rowPrefix[row]! >= 0 && rib.rowPeer[row] === peer) views.push(viewOf(core, rib, row, addressOf));
    }
  }
  return views;
}

/** Paths told to a member of a group. */
export function told(core: Core, group: ExportGroup, peer: number, addressOf: (peer: number) => string): PathView[] {
  const views: PathView[] = [];
  const { rib } = group;
  for (let prefix = 0; prefix < rib.prefixes.size; prefix++) {
    for (const { attr, pathId, source } of group.told(prefix, peer)) {
      views.push({
        prefix: prefixText(rib.prefixes, prefix),
        peer: addressOf(source),
        pathId,
        nextHop: nextHopText(core.store, attr),
        attributes: readAttributes(core.store, attr),
        best: true,
        reason: 'only path',
        stale: false,
      });
    }
  }
  return views;
}
