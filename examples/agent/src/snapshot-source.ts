/**
 * A source that starts without the API: when the first full picture does not come, nor grows, the last good one from disk stands
 * in, marked as stale, so that the node is kept right and nothing is pruned; the API's picture takes its place when it comes.
 */
import {
  createStore,
  type ObjectKind,
  type ObjectKinds,
  type ObjectSource,
  type Source,
} from 'kube-router-sdk/informers';
import type { Subscription } from 'rxjs';
import type { SavedObjects } from './snapshot-file.ts';

/** How {@link createSnapshotSource} behaves. */
export interface SnapshotSourceOptions {
  readonly source: ObjectSource;
  /** Reads what is on disk; called when it is needed, which mostly is never. Undefined: nothing can be used. */
  readonly load: () => SavedObjects | undefined;
  /** Milliseconds without a new object of any kind that is still to come, after which the API counts as away. */
  readonly waitMs: number;
  /** Called once when the snapshot is put to use. */
  readonly onUse: (saved: SavedObjects) => void;
}

interface Followed {
  readonly source: Source<never>;
  /** Objects of a picture that is still to come. */
  readonly coming: () => number;
  readonly end: () => void;
}

/** Puts the snapshot behind a source. */
export function createSnapshotSource({ source, load, waitMs, onUse }: SnapshotSourceOptions): ObjectSource {
  const followed = new Map<string, Followed>();
  let saved: SavedObjects | undefined;
  let looked = false;

  const follow = <Kind extends ObjectKind>(kind: Kind): Followed => {
    const real = source.open(kind);
    const store = createStore<ObjectKinds[Kind]>(kind);
    let live = false;
    let seen = 0;
    let timer: NodeJS.Timeout;
    const standIn = (): void => {
      if (live) return;
      const come = [...followed.values()].reduce((sum, one) => sum + one.coming(), 0);
      if (come !== seen) {
        seen = come;
        timer = setTimeout(standIn, waitMs);
        return;
      }
      if (!looked) {
        looked = true;
        saved = load();
        if (saved !== undefined) onUse(saved);
      }
      const items = saved?.kinds.get(kind);
      if (saved === undefined || items === undefined) return;
      for (const [key, object] of items) store.put(key, object as ObjectKinds[Kind]);
      store.setSynced();
      store.setStale(saved.savedAt);
      store.flush();
    };
    timer = setTimeout(standIn, waitMs);
    const subscription: Subscription = real.changes$.subscribe((batch) => {
      if (!batch.synced) return;
      if (!live) {
        live = true;
        clearTimeout(timer);
        const { items } = real.snapshot();
        for (const key of [...store.keys()]) if (!items.has(key)) store.remove(key);
        for (const [key, object] of items) store.put(key, object);
        store.setSynced();
      } else {
        for (const { key, object } of batch.changed) {
          if (object === undefined) store.remove(key);
          else store.put(key, object);
        }
      }
      store.setStale(batch.staleSince);
      store.flush();
    });
    return {
      coming: () => (live ? 0 : real.snapshot().items.size),
      source: { ...store.source, state$: real.state$, issues$: real.issues$ } as unknown as Source<never>,
      end: () => {
        clearTimeout(timer);
        subscription.unsubscribe();
        store.close();
      },
    };
  };

  const close = async (): Promise<void> => {
    for (const { end } of followed.values()) end();
    await source.close();
  };
  return {
    open: <Kind extends ObjectKind>(kind: Kind): Source<ObjectKinds[Kind]> => {
      let found = followed.get(kind);
      if (found === undefined) followed.set(kind, (found = follow(kind)));
      return found.source;
    },
    issues$: source.issues$,
    close,
    [Symbol.asyncDispose]: close,
  };
}
