/**
 * Whether the server that we go on with is the one that we know. One that was restored from a backup may have grown past our version
 * before we reach it again: its watch then goes on without a word from a history that is not ours. So the newest things that we know,
 * objects at a version and ends of objects, are asked for once a watch has opened: a few small reads from the server's cache, where a
 * list would be the safe and dear answer. What those few do not show, nothing but a list would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SdkError } from '../../net/errors.ts';
import type { Store } from '../store.ts';
import { equalValues } from '../equal.ts';
import { callApi } from './client.ts';
import type { Connection } from './connection.ts';
import { keyOf, metadataOf, versionNumber } from './feed.ts';
import type { KindSpec } from './kind-spec.ts';
import { pathOf } from './kind-spec.ts';

/** How many things are asked for. */
const WITNESSES = 3;

/** How long a watch may take to tell of a deletion that a GET has seen, in milliseconds. */
const DELETION_MS = 5000;

/** The newest things known of a kind. */
export interface Witness {
  /** Takes note of an object as a list or an event told of it. */
  note(raw: unknown, deleted: boolean): void;
  /** Forgets what it knows, before everything is read anew. */
  forget(): void;
  /** Asks the server, which has reached `at`. Says why its history is not ours; `undefined`: nothing speaks against it. Never throws. */
  contradiction(at: string | undefined, signal: AbortSignal): Promise<string | undefined>;
}

interface Known {
  readonly key: string;
  readonly name: string;
  readonly namespace: string;
  readonly version: number;
  readonly deleted: boolean;
}

/** Creates the witness of one followed kind. */
export function createWitness<Item>(
  connection: Connection,
  spec: KindSpec<Item>,
  store: Store<Item>,
  headersTimeoutMs: number,
): Witness {
  /** Oldest first. */
  let newest: readonly Known[] = [];

  const contradicts = async (
    { key, name, namespace, version, deleted }: Known,
    at: string | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const item = store.get(key);
    const what = `${spec.kind} ${key}`;
    let raw: unknown;
    try {
      const path = pathOf(spec, namespace, name);
      raw = await callApi(connection, { path, query: { resourceVersion: at }, signal, headersTimeoutMs });
    } catch (error) {
      const gone = error instanceof SdkError && error.details['status'] === 404;
      // Anything else says nothing: no permission to get, a server in trouble, the end of the watch.
      if (!gone || deleted || item === undefined) return undefined;
      await sleep(DELETION_MS, undefined, { signal });
      return store.get(key) === item ? `${what} is gone and the watch does not say so` : undefined;
    }
    const found = versionNumber(metadataOf(raw).resourceVersion);
    if (found === undefined || found > version) return undefined;
    if (found < version) return `${what} has version ${found} after ${version}`;
    // A namesake of the same version: what a backup and the same program after it come to.
    if (deleted || item === undefined || equalValues(item, spec.project(raw).object)) return undefined;
    return `${what} of version ${found} is another than before`;
  };

  return {
    note(raw, deleted) {
      const version = versionNumber(metadataOf(raw).resourceVersion);
      if (version === undefined) return;
      const oldest = newest[0];
      if (newest.length === WITNESSES && oldest !== undefined && version < oldest.version) return;
      const { name, namespace } = metadataOf(raw);
      const key = keyOf(raw);
      if (key === undefined || typeof name !== 'string') return;
      const known = { key, name, namespace: typeof namespace === 'string' ? namespace : '', version, deleted };
      newest = [...newest.filter((one) => one.key !== key), known]
        .sort((one, other) => one.version - other.version)
        .slice(-WITNESSES);
    },
    forget() {
      newest = [];
    },
    async contradiction(at, signal) {
      const ask = (one: Known) => contradicts(one, at, signal).catch(() => undefined);
      return (await Promise.all(newest.map(ask))).find((found) => found !== undefined);
    },
  };
}
