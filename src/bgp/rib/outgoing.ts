/**
 * What a set becomes for a group: whether it may go, the export policy, the rewriting; remembered by set.
 * Stands between the groups and export-attributes.ts.
 */
import { exportAttributes, mayExport } from './export-attributes.ts';
import { release } from './attribute-store.ts';
import { capacityFor, growInt32, growUint32 } from './columns.ts';
import type { ExportGroupOptions, PolicyHook } from './group-types.ts';

/** What an {@link Outgoing} is made from. */
export type OutgoingOptions = Omit<ExportGroupOptions, 'highWater'>;

/** Sets on their way out. */
export interface Outgoing {
  /** The set to tell of a path, -1 none. It lives until `settle` unless the caller retains it. */
  of(attr: number, prefix: number, sourcePeer: number): number;
  /** Lets go of sets made since the last call. */
  settle(): void;
  readonly policy: PolicyHook | undefined;
  setPolicy(policy: PolicyHook | undefined): void;
  /** Forgets what is remembered. */
  clear(): void;
}

/** Octets of a message beside attributes and one prefix. */
const OVERHEAD = 52;

/** Makes an {@link Outgoing}. */
export function createOutgoing({ rib, settings, policy: first, translate, maxLength }: OutgoingOptions): Outgoing {
  const { store } = rib;
  let policy = first;
  // Rewritten sets, by set received: valid while neither id changed hands and the source asks for the same rewriting.
  let cacheOut: Int32Array = new Int32Array(1024).fill(-2);
  let cacheOutGeneration: Uint32Array = new Uint32Array(1024);
  let cacheGeneration: Uint32Array = new Uint32Array(1024);
  let cacheKey: Int32Array = new Int32Array(1024);
  const fresh: number[] = [];

  const make = (attr: number, prefix: number, sourcePeer: number): number => {
    const peer = rib.peers[sourcePeer]!;
    let made: number;
    if (policy === undefined) made = exportAttributes(store, attr, peer, settings, rib.family, false);
    else {
      const passed = policy.evaluate(attr, prefix, sourcePeer);
      if (passed < 0) return -1;
      made = exportAttributes(store, passed, peer, settings, rib.family, policy.keepMed);
      release(store, passed);
    }
    if (made >= 0 && translate !== undefined) made = translate(made);
    if (made < 0) return -1;
    fresh.push(made);
    return store.length[made]! + OVERHEAD > maxLength ? -1 : made;
  };

  return {
    of(attr, prefix, sourcePeer) {
      const peer = rib.peers[sourcePeer];
      if (peer === undefined || !mayExport(store, attr, peer, settings)) return -1;
      if (policy?.readsPrefix === true) return make(attr, prefix, sourcePeer);
      const reflected = peer.kind === 'ibgp' || peer.kind === 'ibgp-client';
      const key = reflected || policy !== undefined ? sourcePeer + 16 : peer.kind === 'local' ? 0 : 1;
      if (attr >= cacheOut.length) {
        const n = capacityFor(cacheOut.length, store.size);
        cacheOut = growInt32(cacheOut, n, -2);
        cacheOutGeneration = growUint32(cacheOutGeneration, n);
        cacheGeneration = growUint32(cacheGeneration, n);
        cacheKey = growInt32(cacheKey, n, 0);
      }
      const known = cacheOut[attr]!;
      if (known > -2 && cacheKey[attr] === key && cacheGeneration[attr] === store.generation[attr]) {
        if (known === -1 || cacheOutGeneration[attr] === store.generation[known]) return known;
      }
      const made = make(attr, prefix, sourcePeer);
      cacheOut[attr] = made;
      cacheKey[attr] = key;
      cacheGeneration[attr] = store.generation[attr]!;
      if (made >= 0) cacheOutGeneration[attr] = store.generation[made]!;
      return made;
    },
    settle() {
      for (const attr of fresh) release(store, attr);
      fresh.length = 0;
    },
    get policy() {
      return policy;
    },
    setPolicy(next) {
      policy = next;
      cacheOut.fill(-2);
    },
    clear() {
      cacheOut.fill(-2);
    },
  };
}
