/**
 * The gate of pod start: a chained CNI plugin asks for a pod by name and address, and is answered when the pod's rules are in
 * the kernel. The API tells a pod's address only after its sandbox stands, so the plugin's word is used until the API has one.
 */
import type { ObjectChange } from 'kube-router-sdk/firewall';
import type { PodObject, Source } from 'kube-router-sdk/informers';
import { canonicalAddress } from 'kube-router-sdk/net';
import { filter, firstValueFrom, fromEvent, takeUntil, type Observable } from 'rxjs';
import type { PassRecord } from '../state.ts';

/** What {@link createPodGate} needs. */
export interface PodGateOptions {
  readonly pods: Source<PodObject>;
  /** Hands changed pods to the compiler. */
  readonly push: (changes: readonly ObjectChange<PodObject>[]) => void;
  /** Passes of the block. */
  readonly passes$: Observable<PassRecord>;
  readonly now?: () => number;
}

/** The gate. */
export interface PodGate {
  /** Pods as the API has them, with the addresses that the gate was told where the API has none yet. */
  overlay(changes: readonly ObjectChange<PodObject>[]): readonly ObjectChange<PodObject>[];
  /** Resolves when a clean pass has served the pod with these addresses. @throws Error that says what did not come in time */
  admit(pod: string, addresses: readonly string[], signal: AbortSignal): Promise<{ readonly pod: string }>;
}

/** Makes a gate. */
export function createPodGate({ pods, push, passes$, now = Date.now }: PodGateOptions): PodGate {
  const told = new Map<string, readonly string[]>();
  const apply = (key: string, object: PodObject | undefined): PodObject | undefined => {
    const addresses = told.get(key);
    if (addresses === undefined) return object;
    if (object === undefined || object.ips.length > 0) {
      told.delete(key);
      return object;
    }
    return { ...object, ips: addresses };
  };
  return {
    overlay: (changes) =>
      told.size === 0 ? changes : changes.map(({ key, object }) => ({ key, object: apply(key, object) })),
    async admit(pod, addresses, signal) {
      const ips = addresses.map((address) => canonicalAddress(address.replace(/\/\d+$/, '')));
      const aborted$ = fromEvent(signal, 'abort');
      if (!pods.snapshot().items.has(pod)) {
        const comes = pods.changes$.pipe(
          filter(() => pods.snapshot().items.has(pod)),
          takeUntil(aborted$),
        );
        await firstValueFrom(comes, { defaultValue: undefined });
      }
      const object = pods.snapshot().items.get(pod);
      if (object === undefined) throw new Error(`the API has not told of Pod ${pod} in time`);
      const pushedAt = now();
      const served = firstValueFrom(
        passes$.pipe(
          // A pass that began before the pod was handed over knows nothing of it.
          filter(({ at, durationMs, error, failures, remaining }) => {
            const clean = error === undefined && failures.length === 0 && remaining === 0;
            return clean && at - durationMs >= pushedAt;
          }),
          takeUntil(aborted$),
        ),
        { defaultValue: undefined },
      );
      if (object.ips.length === 0) told.set(pod, ips);
      push([{ key: pod, object: apply(pod, object) }]);
      if ((await served) === undefined) throw new Error(`the rules of Pod ${pod} are not in force in time`);
      return { pod };
    },
  };
}
