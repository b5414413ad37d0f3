/**
 * One watch, from its first byte to its end, told as a result: how it ended and up to which version it is known.
 * Versions only grow within a watch; an event or bookmark from the past means a confused or restored server, and a new list.
 * A silent watch is ended by a watchdog: bookmarks come about once a minute from a server that is alive.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SdkError } from '../../net/errors.ts';
import type { SelectOptions } from '../source.ts';
import type { Store } from '../store.ts';
import { errorOfStatus, openApi } from './client.ts';
import { aborted, unreachable } from './connection.ts';
import type { Connection } from './connection.ts';
import { keyOf, metadataOf, putRaw } from './feed.ts';
import { createLineCutter } from './json-stream.ts';
import type { KindSpec } from './kind-spec.ts';
import { parsersOf, pathOf, queryOf } from './kind-spec.ts';

/** What one watch needs. */
export interface WatchTask<Item> {
  readonly connection: Connection;
  readonly spec: KindSpec<Item>;
  readonly select: SelectOptions;
  readonly store: Store<Item>;
  /** Where to go on from; `undefined`: the server streams the full picture first (WatchList). */
  readonly version: string | undefined;
  /** Seconds after which the server is to end the watch. */
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
  readonly headersTimeoutMs: number;
  /** Milliseconds of silence until the watch counts as dead. */
  readonly silenceMs: number;
  /** The same while the server streams the full picture. */
  readonly initialSilenceMs: number;
  /** The server accepted the watch. */
  readonly onOpen: () => void;
  /** Anything came. */
  readonly onBytes: () => void;
  /** The full picture is complete (WatchList). */
  readonly onInitial: () => void;
}

/** How a watch ended. */
export interface WatchEnd {
  /** Last version known; from here the next watch goes on. */
  readonly version: string | undefined;
  /** Events and bookmarks seen. */
  readonly events: number;
  /** Why the full picture has to be read again; absent: it need not. */
  readonly relist?: string;
  /** What went wrong; absent: the server ended the watch in order. */
  readonly error?: Error;
}

/** Milliseconds of work between two pauses. */
const SLICE_MS = 10;

/** Whether a version is older than another; versions that are no numbers are not compared. */
function isOlder(version: string, than: string | undefined): boolean {
  if (than === undefined || !/^\d{1,15}$/.test(version) || !/^\d{1,15}$/.test(than)) return false;
  return Number(version) < Number(than);
}

/** Runs one watch to its end. Never throws. */
export async function watchOnce<Item>(task: WatchTask<Item>): Promise<WatchEnd> {
  const { spec, store, signal } = task;
  let version = task.version;
  let events = 0;
  let relist: string | undefined;
  let failure: Error | undefined;
  /** Keys seen while the full picture streams. */
  let initial = task.version === undefined ? new Set<string>() : undefined;

  const parse = parsersOf(spec).event;
  const takeEvent = (bytes: Buffer) => {
    if (relist !== undefined || failure !== undefined) return;
    const event = parse(bytes) as { type?: unknown; object?: unknown };
    events++;
    if (event.type === 'ERROR') {
      const error = errorOfStatus(event.object, 500);
      if (error.details['status'] === 410) relist = 'the server no longer has our version (410)';
      failure = error;
      return;
    }
    const { resourceVersion, ...metadata } = metadataOf(event.object);
    const at = typeof resourceVersion === 'string' ? resourceVersion : '';
    if (initial === undefined && isOlder(at, version)) {
      relist = `the server spoke of version ${at} after ${version}`;
      return;
    }
    if (event.type === 'BOOKMARK') {
      if (at !== '') version = at;
      const annotations = (metadata as { annotations?: Record<string, unknown> }).annotations;
      if (initial !== undefined && annotations?.['k8s.io/initial-events-end'] === 'true') {
        for (const key of [...store.keys()]) if (!initial.has(key)) store.remove(key);
        initial = undefined;
        task.onInitial();
      }
      return;
    }
    const key = event.type === 'DELETED' ? keyOf(event.object) : putRaw(store, spec, event.object);
    if (key === undefined) return;
    if (event.type === 'DELETED') store.remove(key);
    initial?.add(key);
    if (initial === undefined && at !== '') version = at;
  };

  try {
    const response = await openApi(task.connection, {
      path: pathOf(spec, task.select.namespace),
      query: {
        ...queryOf(task.select),
        watch: true,
        allowWatchBookmarks: true,
        timeoutSeconds: task.timeoutSeconds,
        resourceVersion: task.version,
        ...(task.version === undefined ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' } : {}),
      },
      signal,
      headersTimeoutMs: task.headersTimeoutMs,
    });
    task.onOpen();
    const limit = () => (initial === undefined ? task.silenceMs : task.initialSilenceMs);
    const bark = () => response.body.destroy(new Error(`nothing came for ${limit()} ms`));
    let dog = setTimeout(bark, limit());
    let sliceStart = performance.now();
    const cutter = createLineCutter(takeEvent);
    try {
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        clearTimeout(dog);
        dog = setTimeout(bark, limit());
        task.onBytes();
        cutter.push(chunk);
        store.flush();
        if (relist !== undefined || failure !== undefined) break;
        if (performance.now() - sliceStart < SLICE_MS) continue;
        await nextTurn();
        sliceStart = performance.now();
      }
      if (cutter.held > 0 && relist === undefined && failure === undefined)
        failure = new SdkError('The watch ended within an event', { code: 'API_UNREACHABLE', retryable: true });
    } finally {
      clearTimeout(dog);
      response.body.destroy();
    }
  } catch (error) {
    failure = signal.aborted
      ? aborted(error)
      : error instanceof SdkError
        ? error
        : unreachable('The watch broke', error);
  }
  store.flush();
  if (failure instanceof SdkError && failure.details['status'] === 410)
    relist ??= 'the server no longer has our version (410)';
  // A picture of which only a part has come is worth nothing to go on from.
  if (initial !== undefined) version = undefined;
  return {
    version,
    events,
    ...(relist === undefined ? {} : { relist }),
    ...(failure === undefined ? {} : { error: failure }),
  };
}
