/**
 * One source a kind, under the names that code reads well: `informers.pods.changes$`.
 * What an agent or a small program holds; where the objects come from is the `source` it was given.
 */
import { combineLatest, distinctUntilChanged, map, shareReplay } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Issue } from '../net/values.ts';
import { KINDS } from '../objects/index.ts';
import type { ObjectKind, ObjectKinds } from '../objects/types.ts';
import type { ObjectSource, SelectOptions, Source, SourceState } from './source.ts';

/** Property names of {@link Informers} and their kinds. */
export interface InformerKinds {
  readonly nodes: 'Node';
  readonly namespaces: 'Namespace';
  readonly pods: 'Pod';
  readonly services: 'Service';
  readonly endpointSlices: 'EndpointSlice';
  readonly networkPolicies: 'NetworkPolicy';
  readonly clusterNetworkPolicies: 'ClusterNetworkPolicy';
}

const NAMES: InformerKinds = {
  nodes: 'Node',
  namespaces: 'Namespace',
  pods: 'Pod',
  services: 'Service',
  endpointSlices: 'EndpointSlice',
  networkPolicies: 'NetworkPolicy',
  clusterNetworkPolicies: 'ClusterNetworkPolicy',
};

/** Kinds that every cluster serves. */
const USUAL = (Object.values(NAMES) as ObjectKind[]).filter((kind) => KINDS[kind].custom !== true);

/** What to inform of. */
export interface InformersOptions {
  /** Where objects come from: `createManifestSource` or `createApiSource`. Closed with the informers. */
  readonly source: ObjectSource;
  /** Kinds to open at once; the others are opened when their property is first read. @defaultValue all but custom resources */
  readonly kinds?: readonly ObjectKind[];
  /** Restricts kinds. @defaultValue everything */
  readonly select?: { readonly [Kind in ObjectKind]?: SelectOptions };
}

/** One stream a kind, and what is true of all of them. */
export type Informers = { readonly [Name in keyof InformerKinds]: Source<ObjectKinds[InformerKinds[Name]]> } & {
  /** Issues of every kind and of the source itself. */
  readonly issues$: Observable<readonly Issue[]>;
  /** Whether every kind asked for has delivered its first full picture. */
  readonly synced$: Observable<boolean>;
  /** The earliest moment since which one of the kinds is out of touch; `undefined` when none is. */
  readonly staleSince$: Observable<number | undefined>;
  /** What each kind's source is doing. */
  readonly states$: Observable<ReadonlyMap<ObjectKind, SourceState>>;
  /** Ends every stream; nothing is deleted anywhere. */
  close(): Promise<void>;
} & AsyncDisposable;

/** Opens one source a kind. */
export function createInformers(options: InformersOptions): Informers {
  const { source, kinds = USUAL, select = {} } = options;
  const open = <Kind extends ObjectKind>(kind: Kind) => source.open(kind, select[kind]);
  const opened = kinds.map((kind) => open(kind));
  const snapshots$ = combineLatest(opened.map((one) => one.snapshot$ as Source<unknown>['snapshot$']));
  const close = () => source.close();
  const shared = {
    issues$: source.issues$,
    synced$: snapshots$.pipe(
      map((all) => all.every((one) => one.synced)),
      distinctUntilChanged(),
      shareReplay({ bufferSize: 1, refCount: true }),
    ),
    staleSince$: snapshots$.pipe(
      map((all) => {
        const stale = all.flatMap((one) => one.staleSince ?? []);
        return stale.length === 0 ? undefined : Math.min(...stale);
      }),
      distinctUntilChanged(),
      shareReplay({ bufferSize: 1, refCount: true }),
    ),
    states$: combineLatest(opened.map((one) => one.state$)).pipe(
      map((states) => new Map(states.map((state, index) => [kinds[index] as ObjectKind, state]))),
    ),
    close,
    [Symbol.asyncDispose]: close,
  };
  for (const [name, kind] of Object.entries(NAMES) as [string, ObjectKind][])
    Object.defineProperty(shared, name, { enumerable: true, get: () => open(kind) });
  return shared as unknown as Informers;
}
