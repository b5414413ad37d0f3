/**
 * The memory behind a source: the current items, what is waiting to be told, and the streams that tell it.
 * Writers put and remove at will and call `flush`; readers see one batch a flush, one entry a key, and never a state in between.
 * Stands between the feeders (list-watch.ts, manifests.ts) and the {@link Source} that consumers hold.
 */
import { BehaviorSubject, Observable, Subject } from 'rxjs';
import type { Issue } from '../net/values.ts';
import type { ObjectKey } from '../objects/types.ts';
import { equalValues } from './equal.ts';
import { mergeBatches } from './merge.ts';
import type { Change, ChangeBatch, Snapshot, Source, SourceState } from './source.ts';

/** What feeds a {@link Source}. */
export interface Store<Item> {
  readonly source: Source<Item>;
  /** Puts an object in force together with its issues. An equal one changes nothing. */
  put(key: ObjectKey, object: Item, issues?: readonly Issue[]): void;
  /** Takes an object out of force; its issues may remain, for one that cannot be read at all. */
  remove(key: ObjectKey, issues?: readonly Issue[]): void;
  /** What is in force or about to be. */
  get(key: ObjectKey): Item | undefined;
  /** Keys in force or about to be, and keys that have issues only. */
  keys(): Iterable<ObjectKey>;
  /** Says that the first full picture is complete. */
  setSynced(): void;
  /** Epoch milliseconds, or `undefined` when in touch again. */
  setStale(since: number | undefined): void;
  /** Says what the source is doing. */
  setState(state: SourceState): void;
  /** Tells subscribers what changed since the last flush. */
  flush(): void;
  /** Completes every stream. */
  close(): void;
}

const NO_ISSUES: readonly Issue[] = Object.freeze([]);

/** Creates the memory of one kind. */
export function createStore<Item>(kind: string, now: () => number = Date.now): Store<Item> {
  const items = new Map<ObjectKey, Item>();
  /** What is to be told: the new value a key, `undefined` for gone. */
  const pending = new Map<ObjectKey, Item | undefined>();
  const issues = new Map<ObjectKey, readonly Issue[]>();
  let issuesChanged = false;
  let flagsChanged = false;
  let synced = false;
  let staleSince: number | undefined;
  let revision = 0;
  let closed = false;

  const snapshot = (): Snapshot<Item> => ({
    synced,
    ...(staleSince === undefined ? {} : { staleSince }),
    revision,
    items,
  });
  const batch = (changed: readonly Change<Item>[]): ChangeBatch<Item> => ({
    kind,
    synced,
    ...(staleSince === undefined ? {} : { staleSince }),
    revision,
    changed,
  });
  const batches = new Subject<ChangeBatch<Item>>();
  const snapshots = new BehaviorSubject(snapshot());
  const states = new BehaviorSubject<SourceState>({ phase: 'starting', since: now(), reason: '' });
  const allIssues = new BehaviorSubject<readonly Issue[]>(NO_ISSUES);

  const changes$ = new Observable<ChangeBatch<Item>>((subscriber) => {
    const everything: Change<Item>[] = [];
    for (const [key, object] of items) everything.push({ key, object, previous: undefined });
    // Subscribed before the replay is told: a batch caused by the subscriber's own reaction is not lost to it.
    let replayed = false;
    const early: ChangeBatch<Item>[] = [];
    const subscription = batches.subscribe({
      next: (one) => (replayed ? subscriber.next(one) : early.push(one)),
      complete: () => subscriber.complete(),
    });
    subscriber.next(batch(everything));
    replayed = true;
    for (const one of early) subscriber.next(one);
    return subscription;
  });

  const noteIssues = (key: ObjectKey, found: readonly Issue[]) => {
    const known = issues.get(key) ?? NO_ISSUES;
    if (found.length === 0 && known.length === 0) return;
    if (equalValues(known, found)) return;
    if (found.length === 0) issues.delete(key);
    else issues.set(key, found);
    issuesChanged = true;
  };
  const get = (key: ObjectKey) => (pending.has(key) ? pending.get(key) : items.get(key));

  const source: Source<Item> = {
    kind,
    snapshot$: snapshots.asObservable(),
    changes$,
    state$: states.asObservable(),
    issues$: allIssues.asObservable(),
    snapshot,
    batches: (options) => mergeBatches(changes$, options?.signal),
  };

  return {
    source,
    get,
    put(key, object, found = NO_ISSUES) {
      noteIssues(key, found);
      const known = get(key);
      if (known !== undefined && equalValues(known, object)) return;
      pending.set(key, object);
    },
    remove(key, found = NO_ISSUES) {
      noteIssues(key, found);
      if (get(key) !== undefined) pending.set(key, undefined);
    },
    *keys() {
      yield* items.keys();
      for (const key of pending.keys()) if (!items.has(key)) yield key;
      for (const key of issues.keys()) if (!items.has(key) && !pending.has(key)) yield key;
    },
    setSynced() {
      if (!synced) flagsChanged = true;
      synced = true;
    },
    setStale(since) {
      if ((staleSince === undefined) === (since === undefined)) return;
      staleSince = since;
      flagsChanged = true;
    },
    setState(state) {
      if (!closed) states.next(state);
    },
    flush() {
      if (closed) return;
      const changed: Change<Item>[] = [];
      for (const [key, object] of pending) {
        const previous = items.get(key);
        if (object === undefined) {
          if (previous === undefined) continue;
          items.delete(key);
        } else {
          if (previous !== undefined && equalValues(previous, object)) continue;
          items.set(key, object);
        }
        changed.push({ key, object, previous });
      }
      pending.clear();
      if (issuesChanged) {
        issuesChanged = false;
        allIssues.next([...issues.values()].flat());
      }
      if (changed.length === 0 && !flagsChanged) return;
      flagsChanged = false;
      revision++;
      batches.next(batch(changed));
      snapshots.next(snapshot());
    },
    close() {
      if (closed) return;
      states.next({ phase: 'closed', since: now(), reason: '' });
      closed = true;
      batches.complete();
      snapshots.complete();
      states.complete();
      allIssues.complete();
    },
  };
}
