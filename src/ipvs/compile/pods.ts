/**
 * What the compiler remembers of pods: weight, network, grace period, and which Services each one stands behind. Pure bookkeeping.
 */
import type { Endpoint, PodObject } from '../../objects/types.ts';
import type { Complain } from './annotations.ts';

const WEIGHT = 'kube-router.io/weight';

/** The pods of a compiler. */
export interface PodIndex {
  /** Takes a pod in; `undefined` when it went. Calls `touch` for each Service that must be compiled again. */
  update(key: string, object: PodObject | undefined): void;
  /** Notes that a Service has the pods of this slice behind it; of a slice that went there are none. */
  link(slice: string, endpoints: readonly Endpoint[], service: string): void;
  /** Calls `touch` for each Service of the pod. */
  touch(key: string): void;
  uid(endpoint: Endpoint): string;
  hostNetwork(endpoint: Endpoint): boolean;
  /** 1 where the pod does not say. */
  weight(endpoint: Endpoint, complain: Complain): number;
  /** Milliseconds, of the pod that has or had this address. */
  graceMs(address: string): number | undefined;
}

/** Makes a {@link PodIndex}. */
export function createPodIndex(touchService: (service: string) => void): PodIndex {
  const pods = new Map<string, PodObject>();
  const services = new Map<string, string | string[]>();
  const graceByAddress = new Map<string, number>();
  /** Slices that are not in `services` yet: they are read when a pod is asked about, which in most clusters is long after the start. */
  const unread = new Map<string, readonly [endpoints: readonly Endpoint[], service: string]>();
  const note = (pod: string, service: string): void => {
    const known = services.get(pod);
    if (known === undefined) services.set(pod, service);
    else if (typeof known === 'string') {
      if (known !== service) services.set(pod, [known, service]);
    } else if (!known.includes(service)) known.push(service);
  };
  const touch = (key: string): void => {
    for (const [endpoints, service] of unread.values()) {
      for (const { pod } of endpoints) if (pod !== '') note(pod, service);
    }
    unread.clear();
    const known = services.get(key);
    if (typeof known === 'string') touchService(known);
    else for (const service of known ?? []) touchService(service);
  };
  return {
    touch,
    update(key, object) {
      const before = pods.get(key);
      if (object === undefined) {
        pods.delete(key);
        if (before !== undefined) touch(key);
        services.delete(key);
        return;
      }
      pods.set(key, object);
      for (const ip of object.ips) graceByAddress.set(ip, object.terminationGracePeriodSeconds * 1000);
      const same =
        before !== undefined &&
        before.annotations[WEIGHT] === object.annotations[WEIGHT] &&
        before.uid === object.uid &&
        before.hostNetwork === object.hostNetwork;
      const matters = object.annotations[WEIGHT] !== undefined || object.hostNetwork || before !== undefined;
      if (!same && matters) touch(key);
    },
    link(slice, endpoints, service) {
      if (endpoints.length === 0) unread.delete(slice);
      else unread.set(slice, [endpoints, service]);
    },
    uid: (endpoint) => pods.get(endpoint.pod)?.uid ?? '',
    hostNetwork: (endpoint) => pods.get(endpoint.pod)?.hostNetwork ?? false,
    weight(endpoint, complain) {
      if (pods.size === 0 || endpoint.pod === '') return 1;
      const text = pods.get(endpoint.pod)?.annotations[WEIGHT];
      if (text === undefined) return 1;
      const weight = /^\d{1,5}$/.test(text) ? Number(text) : -1;
      if (weight >= 0 && weight <= 65535) return weight;
      complain('', `annotation ${WEIGHT} "${text}" of Pod ${endpoint.pod} is no weight of 0–65535; 1 is used`);
      return 1;
    },
    graceMs: (address) => graceByAddress.get(address),
  };
}
