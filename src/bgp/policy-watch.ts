/**
 * Follows the prefix sets that policies look into: when one changes, the routes that it concerns are judged anew, coming in and going
 * out, and no others. Single prefixes are found at once; ranges are looked for in the table, in slices over several turns.
 * Stands beside the peers of a speaker, whose policies it watches.
 */
import type { Core } from './core.ts';
import type { PeerRuntime } from './peer-types.ts';
import type { PrefixSet, ReadRange } from './policy/prefix-set.ts';
import { createRangeIndex } from './policy/prefix-set.ts';
import type { Policy } from './policy/types.ts';
import { prefixId } from './queries.ts';
import { prefixOf } from './rib/prefix-table.ts';
import type { Rib } from './rib/table.ts';
import { EVERY_PEER } from './rib/table.ts';

/** What follows the sets. */
export interface PolicyWatch {
  /** Policies may have changed: listens to the sets that are in use now. */
  renew(): void;
  close(): void;
}

/** Policies of a peer now. */
export interface PoliciesOf {
  (peer: PeerRuntime): { readonly importPolicy: Policy | undefined; readonly exportPolicy: Policy | undefined };
}

/** Makes a {@link PolicyWatch} over `peers`. */
export function createPolicyWatch(core: Core, peers: () => Iterable<PeerRuntime>, policiesOf: PoliciesOf): PolicyWatch {
  const watched = new Map<PrefixSet, () => void>();

  const onChange = (set: PrefixSet, changed: readonly ReadRange[]): void => {
    const importing = new Map<number, PeerRuntime>();
    let exporting = false;
    for (const peer of peers()) {
      const { importPolicy, exportPolicy } = policiesOf(peer);
      if (importPolicy?.sets?.includes(set) === true) importing.set(peer.index, peer);
      if (exportPolicy?.sets?.includes(set) === true) exporting = true;
    }
    const judgeRow = (rib: Rib, row: number): void => {
      importing.get(rib.rowPeer[row]!)?.reimportRow(rib, row);
      if (exporting) core.exports.retell(rib, rib.rowPrefix[row]!, set);
    };
    const ranges = createRangeIndex();
    const families = new Set<4 | 6>();
    for (const range of changed) {
      const { prefix, low, high } = range;
      if (low !== prefix.length || high !== prefix.length) {
        ranges.add(range);
        families.add(prefix.family);
        continue;
      }
      const rib = core.ribOf(prefix.family);
      const id = prefixId(rib, prefix);
      if (id < 0) continue;
      // Judging a row may end it as best; the chain itself stays as it is.
      for (let row = rib.head[id]!; row >= 0; row = rib.rowNext[row]!) judgeRow(rib, row);
    }
    core.sweep(EVERY_PEER, [...families], (rib, row) => {
      if (ranges.has(prefixOf(rib.prefixes, rib.rowPrefix[row]!))) judgeRow(rib, row);
    });
    core.schedule();
  };

  return {
    renew() {
      const used = new Set<PrefixSet>();
      for (const peer of peers()) {
        const { importPolicy, exportPolicy } = policiesOf(peer);
        for (const set of [...(importPolicy?.sets ?? []), ...(exportPolicy?.sets ?? [])]) used.add(set);
      }
      for (const [set, stop] of watched) {
        if (used.has(set)) continue;
        stop();
        watched.delete(set);
      }
      for (const set of used) {
        if (!watched.has(set))
          watched.set(
            set,
            set.onChange((changed) => onChange(set, changed)),
          );
      }
    },
    close() {
      for (const stop of watched.values()) stop();
      watched.clear();
    },
  };
}
