/**
 * Where the objects come from: the API or manifests, one stream a kind, opened once and shared by every block that reads it.
 */
import type { ChangeBatch, ObjectKind, ObjectKinds, ObjectSource, Source } from 'kube-router-sdk/informers';
import { filter, firstValueFrom, fromEvent, map, takeUntil } from 'rxjs';
import type { FeedInput } from './feed.ts';
import type { SourceView } from './admin/views.ts';
import type { FlagValues } from './flags/table.ts';

/** Whether ClusterNetworkPolicies count: they always may stand in manifests, and an API server is asked only when told to. */
export const followsClusterPolicies = (flags: FlagValues): boolean =>
  flags['netpol-cluster-policies'] || flags.manifests.length > 0;

/** Kinds that the enabled blocks read. */
export function neededKinds(flags: FlagValues): readonly ObjectKind[] {
  const kinds = new Set<ObjectKind>(['Node']);
  if (flags['run-router'] || flags['run-service-proxy'] || flags['run-loadbalancer']) {
    kinds.add('Service').add('EndpointSlice');
  }
  if (flags['run-service-proxy']) kinds.add('Pod');
  if (flags['run-loadbalancer']) kinds.add('Namespace');
  if (flags['run-firewall']) kinds.add('Pod').add('Namespace').add('NetworkPolicy');
  if (flags['run-firewall'] && followsClusterPolicies(flags)) kinds.add('ClusterNetworkPolicy');
  return [...kinds];
}

/** A source as the input of a feed. */
export function objectInput<T>(source: Source<T>): FeedInput<ChangeBatch<T>> {
  return {
    changes$: source.changes$,
    synced: (batch) => batch.synced,
    staleSince: () => source.snapshot().staleSince,
  };
}

/** What `status` shows of the sources. */
export function sourceViews(objects: ObjectSource, kinds: readonly ObjectKind[]): readonly SourceView[] {
  return kinds.map((kind) => {
    const { items, synced, staleSince } = objects.open(kind).snapshot();
    return { kind, objects: items.size, synced, ...(staleSince === undefined ? {} : { staleSince }) };
  });
}

/** Resolves with true when the first full picture of a kind is there, with false when the signal comes first. */
export async function firstPicture<K extends ObjectKind>(
  source: Source<ObjectKinds[K]>,
  signal: AbortSignal,
): Promise<boolean> {
  if (signal.aborted) return source.snapshot().synced;
  const synced$ = source.changes$.pipe(
    map((batch) => batch.synced),
    filter(Boolean),
  );
  return firstValueFrom(synced$.pipe(takeUntil(fromEvent(signal, 'abort'))), { defaultValue: false });
}
