/**
 * The memory of the test API server: objects, one growing version, and the recent past for watches to go on from.
 * Objects are never changed in place, so that a list handed out stays what it was.
 */
import type { ResourceType } from './resources.ts';
import { apiVersionOf } from './resources.ts';

/** A stored object. */
export interface StoredObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** One change of the past. */
export interface StoredEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly version: number;
  readonly object: StoredObject;
  /** What it was before, for selectors. */
  readonly previous: StoredObject | undefined;
}

/** Everything that a server remembers; from `backup()`, for `restore()`. */
export interface Backup {
  readonly version: number;
  readonly objects: readonly (readonly [string, ReadonlyMap<string, StoredObject>])[];
}

/** The memory of one test API server. */
export interface ObjectStore {
  readonly version: number;
  get(type: ResourceType, key: string): StoredObject | undefined;
  /** Objects of a type in order of their keys. */
  list(type: ResourceType, namespace: string): StoredObject[];
  /** Stores with the next version and tells watchers; returns what is stored. */
  put(type: ResourceType, key: string, object: StoredObject): StoredObject;
  remove(type: ResourceType, key: string): StoredObject | undefined;
  /** Events of a type after a version; `undefined` when that past is forgotten. */
  since(type: ResourceType, version: number): StoredEvent[] | undefined;
  subscribe(type: ResourceType, listener: (event: StoredEvent) => void): () => void;
  /** Forgets the past: every watch from before gets 410. */
  compact(): void;
  backup(): Backup;
  /** Goes back to a backup, version and all, as an etcd restored from a snapshot does. */
  restore(backup: Backup): void;
}

const REMEMBERED = 20_000;

/** `namespace/name` or `name`. */
export function storeKey(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

/** Creates an empty memory. */
export function createObjectStore(firstVersion = 1): ObjectStore {
  let version = firstVersion;
  let compacted = firstVersion;
  const tables = new Map<string, Map<string, StoredObject>>();
  const logs = new Map<string, StoredEvent[]>();
  const listeners = new Map<string, Set<(event: StoredEvent) => void>>();
  const idOf = (type: ResourceType) => `${apiVersionOf(type)}/${type.plural}`;
  const tableOf = (type: ResourceType) => {
    const id = idOf(type);
    let table: Map<string, StoredObject> | undefined = tables.get(id);
    if (table === undefined) tables.set(id, (table = new Map<string, StoredObject>()));
    return table;
  };
  const tell = (type: ResourceType, event: StoredEvent) => {
    const id = idOf(type);
    let log = logs.get(id);
    if (log === undefined) logs.set(id, (log = []));
    log.push(event);
    if (log.length > 2 * REMEMBERED) {
      compacted = Math.max(compacted, log[log.length - REMEMBERED - 1]?.version ?? 0);
      log.splice(0, log.length - REMEMBERED);
    }
    for (const listener of [...(listeners.get(id) ?? [])]) listener(event);
  };
  const stamp = (object: StoredObject): StoredObject => ({
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(++version) },
  });

  return {
    get version() {
      return version;
    },
    get: (type, key) => tableOf(type).get(key),
    list(type, namespace) {
      const all = [...tableOf(type)];
      const wanted = namespace === '' ? all : all.filter(([key]) => key.startsWith(`${namespace}/`));
      return wanted.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    },
    put(type, key, object) {
      const previous = tableOf(type).get(key);
      const stored = stamp(object);
      tableOf(type).set(key, stored);
      tell(type, { type: previous === undefined ? 'ADDED' : 'MODIFIED', version, object: stored, previous });
      return stored;
    },
    remove(type, key) {
      const previous = tableOf(type).get(key);
      if (previous === undefined) return undefined;
      tableOf(type).delete(key);
      const last = stamp(previous);
      tell(type, { type: 'DELETED', version, object: last, previous });
      return last;
    },
    since(type, from) {
      if (from < compacted) return undefined;
      return (logs.get(idOf(type)) ?? []).filter((event) => event.version > from);
    },
    subscribe(type, listener) {
      const id = idOf(type);
      let set = listeners.get(id);
      if (set === undefined) listeners.set(id, (set = new Set()));
      set.add(listener);
      return () => set.delete(listener);
    },
    compact() {
      compacted = version;
      logs.clear();
    },
    backup: () => ({ version, objects: [...tables].map(([id, table]) => [id, new Map(table)] as const) }),
    restore(backup) {
      tables.clear();
      for (const [id, table] of backup.objects) tables.set(id, new Map(table));
      version = backup.version;
      // A snapshot holds no past: who is behind it has to read everything, who is ahead of it is told nothing of that.
      compacted = version;
      logs.clear();
    },
  };
}
