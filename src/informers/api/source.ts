/**
 * Objects from an API server: one list/watch a kind, shared by everyone who asks for the same.
 * Same interface as manifests; beside the projected kinds it follows any other, typed by who asks.
 */
import { BehaviorSubject } from 'rxjs';
import type { Subscription } from 'rxjs';
import { SdkError } from '../../net/errors.ts';
import type { Issue } from '../../net/values.ts';
import type { ObjectKind, ObjectKinds } from '../../objects/types.ts';
import type { ObjectSource, SelectOptions, Source } from '../source.ts';
import { createStore } from '../store.ts';
import type { Store } from '../store.ts';
import type { Connection } from './connection.ts';
import { podSpecFor, specOf } from './kind-spec.ts';
import type { KindSpec } from './kind-spec.ts';
import { runListWatch } from './list-watch.ts';
import type { ListWatchOptions } from './list-watch.ts';

/** How an API server is followed. */
export interface ApiSourceOptions extends ListWatchOptions {
  /** Closed with the source. */
  readonly connection: Connection;
  /**
   * The node that the program works on. What only a pod's own node reads (`containerIds`) is then left out for the pods of others:
   * a quarter of their memory. @defaultValue none: everything is kept
   */
  readonly nodeName?: string;
}

/** Objects from an API server. */
export interface ApiSource extends ObjectSource {
  /** Follows any kind, custom resources too. Calls with the same `project`, mask and selection share one stream and one watch. */
  openKind<Item>(spec: KindSpec<Item>, options?: SelectOptions): Source<Item>;
  readonly connection: Connection;
}

interface Running {
  readonly store: Store<unknown>;
  readonly done: Promise<void>;
  readonly issues: Subscription;
}

/** Creates a source from a connection; each kind begins to be followed when it is opened. */
export function createApiSource(options: ApiSourceOptions): ApiSource {
  const { connection, nodeName } = options;
  const running = new Map<string, Running>();
  const perKind = new Map<string, readonly Issue[]>();
  const issues = new BehaviorSubject<readonly Issue[]>([]);
  const controller = new AbortController();

  /** Two readings of one kind are two streams: each `project` has a number of its own. */
  const numbers = new Map<unknown, number>();
  const numberOf = (project: unknown): number => {
    const number = numbers.get(project) ?? numbers.size;
    numbers.set(project, number);
    return number;
  };
  /** The specs of the projected kinds, made once so that equal calls are equal. */
  const own = new Map<ObjectKind, KindSpec<unknown>>();
  const ownSpec = <Kind extends ObjectKind>(kind: Kind): KindSpec<ObjectKinds[Kind]> => {
    let spec = own.get(kind);
    if (spec === undefined) {
      spec = kind === 'Pod' && nodeName !== undefined ? podSpecFor(nodeName) : specOf(kind);
      own.set(kind, spec);
    }
    return spec as KindSpec<ObjectKinds[Kind]>;
  };

  const openKind = <Item>(spec: KindSpec<Item>, select: SelectOptions = {}): Source<Item> => {
    const { namespace = '', labelSelector = '', fieldSelector = '' } = select;
    const reading = [numberOf(spec.project), spec.mask ?? true];
    const id = JSON.stringify([spec.apiVersion, spec.plural, reading, namespace, labelSelector, fieldSelector]);
    const known = running.get(id);
    if (known !== undefined) return known.store.source as Source<Item>;
    if (controller.signal.aborted) throw new SdkError('The source is closed', { code: 'ABORTED' });
    const store = createStore<Item>(spec.kind);
    running.set(id, {
      store: store,
      done: runListWatch(connection, spec, select, store, options, controller.signal),
      issues: store.source.issues$.subscribe((list) => {
        perKind.set(id, list);
        issues.next([...perKind.values()].flat());
      }),
    });
    return store.source;
  };

  const close = async () => {
    controller.abort();
    await Promise.all([...running.values()].map((one) => one.done));
    for (const one of running.values()) {
      one.issues.unsubscribe();
      one.store.close();
    }
    issues.complete();
    connection.close();
  };

  return {
    connection,
    openKind,
    open: (kind, select) => openKind(ownSpec(kind), select),
    issues$: issues.asObservable(),
    close,
    [Symbol.asyncDispose]: close,
  };
}
