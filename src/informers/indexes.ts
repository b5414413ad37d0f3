/**
 * Indexes over a source: items by label, namespace, node, Service, address or whatever a function says.
 * They follow the changes and never walk the whole again; a lookup is a map's.
 */
import type { Subscription } from 'rxjs';
import type { EndpointSliceObject, ObjectKey, PodObject } from '../objects/types.ts';
import type { Source } from './source.ts';

/** An index. */
export interface Index<Item> {
  /** Items under a value, by key; empty when there are none. */
  get(value: string): ReadonlyMap<ObjectKey, Item>;
  /** Values that have items. */
  values(): IterableIterator<string>;
  /** Stops following. */
  close(): void;
}

const NONE: ReadonlyMap<ObjectKey, never> = new Map<ObjectKey, never>();

/** Creates an index; `valuesOf` gives the values that an item is found under, and is a function of the item alone. */
export function createIndex<Item>(source: Source<Item>, valuesOf: (item: Item) => Iterable<string>): Index<Item> {
  const buckets = new Map<string, Map<ObjectKey, Item>>();
  const drop = (value: string, key: ObjectKey) => {
    const bucket = buckets.get(value);
    if (bucket?.delete(key) === true && bucket.size === 0) buckets.delete(value);
  };
  const subscription: Subscription = source.changes$.subscribe(({ changed }) => {
    for (const { key, object, previous } of changed) {
      const now = new Set(object === undefined ? [] : valuesOf(object));
      if (previous !== undefined) for (const value of valuesOf(previous)) if (!now.has(value)) drop(value, key);
      if (object === undefined) continue;
      for (const value of now) {
        let bucket = buckets.get(value);
        if (bucket === undefined) buckets.set(value, (bucket = new Map<ObjectKey, Item>()));
        bucket.set(key, object);
      }
    }
  });
  return {
    get: (value) => buckets.get(value) ?? NONE,
    values: () => buckets.keys(),
    close() {
      subscription.unsubscribe();
      buckets.clear();
    },
  };
}

/** By namespace. */
export function indexByNamespace<Item extends { readonly namespace: string }>(source: Source<Item>): Index<Item> {
  return createIndex(source, (item) => [item.namespace]);
}

/** By the value of one label; items without it are under none. */
export function indexByLabel<Item extends { readonly labels: Readonly<Record<string, string>> }>(
  source: Source<Item>,
  label: string,
): Index<Item> {
  return createIndex(source, ({ labels }) => (Object.hasOwn(labels, label) ? [labels[label] ?? ''] : []));
}

/** Pods by the name of their node; those not yet placed are under none. */
export function indexByNode(source: Source<PodObject>): Index<PodObject> {
  return createIndex(source, ({ nodeName }) => (nodeName === '' ? [] : [nodeName]));
}

/** EndpointSlices by `namespace/name` of their Service. */
export function indexByService(source: Source<EndpointSliceObject>): Index<EndpointSliceObject> {
  return createIndex(source, ({ namespace, service }) => (service === '' ? [] : [`${namespace}/${service}`]));
}

/** Pods by canonical address. Host-network pods share their node's; a finished pod's may already be another's: look at `phase`. */
export function indexByAddress(source: Source<PodObject>): Index<PodObject> {
  return createIndex(source, ({ ips }) => ips);
}
