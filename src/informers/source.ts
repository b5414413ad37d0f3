/**
 * The one interface of every source of objects, be it the API server, manifests on disk or a test.
 * A consumer reads `changes$` to follow, `snapshot$` to look, `state$` and `issues$` to explain; it never knows which source it has.
 * Types only; store.ts implements the streams, list-watch.ts and manifests.ts feed them.
 */
import type { Observable } from 'rxjs';
import type { Issue } from '../net/values.ts';
import type { ObjectKey, ObjectKind, ObjectKinds } from '../objects/types.ts';

/** The whole of one kind at one moment. */
export interface Snapshot<Item> {
  /** The first full picture has been delivered: what is not in `items` does not exist. Never becomes false again. */
  readonly synced: boolean;
  /** Since when (epoch milliseconds) the source has been out of touch; the items are the last known ones. */
  readonly staleSince?: number;
  /** Grows with every change of this source; not the API's resourceVersion. */
  readonly revision: number;
  /** Live view: the same map on every emission, changed in place. Copy it to keep it. */
  readonly items: ReadonlyMap<ObjectKey, Item>;
}

/** One object that differs from before. */
export interface Change<Item> {
  readonly key: ObjectKey;
  /** `undefined`: it is gone. */
  readonly object: Item | undefined;
  /** `undefined`: it is new. */
  readonly previous: Item | undefined;
}

/** What changed since the batch before, one entry a key. An empty batch says that `synced` or `staleSince` changed. */
export interface ChangeBatch<Item> {
  readonly kind: string;
  readonly synced: boolean;
  /** Epoch milliseconds since which the source is out of touch; absent while it is in touch. */
  readonly staleSince?: number;
  /** Grows with every batch of the kind. */
  readonly revision: number;
  readonly changed: readonly Change<Item>[];
}

/** What a source is doing. */
export type SourcePhase =
  /** Nothing has been tried yet. */
  | 'starting'
  /** Reading the first or a new full picture. */
  | 'listing'
  /** In touch: changes arrive as they happen. */
  | 'watching'
  /** Out of touch, waiting to try again; `reason` says why. */
  | 'waiting'
  /** The server refuses us (403) or our credentials (401); tried again at long intervals. */
  | 'denied'
  /** Ended by `close()`. */
  | 'closed';

/** What a source is doing, since when and why. */
export interface SourceState {
  readonly phase: SourcePhase;
  /** Epoch milliseconds. */
  readonly since: number;
  /** One sentence for people; empty when all is well. */
  readonly reason: string;
  /** HTTP status, where one caused the phase. */
  readonly status?: number;
  /** Milliseconds until the next try, in phases `waiting` and `denied`. */
  readonly retryInMs?: number;
}

/** A stream of the objects of one kind. All streams replay their current value to late subscribers and never error. */
export interface Source<Item> {
  readonly kind: string;
  /** Emits on every change; `items` is a live view. */
  readonly snapshot$: Observable<Snapshot<Item>>;
  /** Per-key changes in batches; the first batch of a subscriber is everything known by then. */
  readonly changes$: Observable<ChangeBatch<Item>>;
  readonly state$: Observable<SourceState>;
  /** Every issue of the objects in force, as one list, whenever it changes. */
  readonly issues$: Observable<readonly Issue[]>;
  /** The snapshot of this moment. */
  snapshot(): Snapshot<Item>;
  /**
   * The changes for a consumer that takes its time: while it works, what happens is merged by key, so that a slow consumer costs
   * no more memory than one batch of distinct keys. Ends with `close()` or the signal.
   */
  batches(options?: { readonly signal?: AbortSignal }): AsyncIterable<ChangeBatch<Item>>;
}

/** Restricts what a source delivers. */
export interface SelectOptions {
  /** The API's label selector syntax: `app=web,tier in (a,b)`. @defaultValue everything */
  readonly labelSelector?: string;
  /** The API's field selector syntax: `spec.nodeName=worker-1`. API servers only. @defaultValue everything */
  readonly fieldSelector?: string;
  /** One namespace. @defaultValue all of them */
  readonly namespace?: string;
}

/** Where objects come from: opens one stream a kind; equal calls share one stream. */
export interface ObjectSource extends AsyncDisposable {
  /** Opens the stream of a kind, or shares the one that is open with the same options. */
  open<Kind extends ObjectKind>(kind: Kind, options?: SelectOptions): Source<ObjectKinds[Kind]>;
  /** Issues of everything open, and of documents that could not be told to be any object. */
  readonly issues$: Observable<readonly Issue[]>;
  /** Ends every stream; nothing is deleted anywhere. */
  close(): Promise<void>;
}
