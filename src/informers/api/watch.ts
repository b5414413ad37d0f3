/**
 * One watch, from its first byte to its end, told as a result: how it ended and up to which version it is known.
 * Versions only grow within a watch; an event or bookmark from the past means a confused or restored server, and a new list.
 * A silent watch is ended by a watchdog: bookmarks come about once a minute from a server that is alive.
 */
import { SdkError } from '../../net/errors.ts';
import type { SelectOptions } from '../source.ts';
import type { Store } from '../store.ts';
import { errorOfStatus, openApi } from './client.ts';
import { aborted, unreachable } from './connection.ts';
import type { Connection } from './connection.ts';
import { keyOf, metadataOf, putRaw, versionNumber } from './feed.ts';
import { createLineCutter } from './json-stream.ts';
import type { KindSpec } from './kind-spec.ts';
import { parsersOf, pathOf, queryOf } from './kind-spec.ts';
import { SILENT, readStream } from './read-stream.ts';
import type { Witness } from './witness.ts';

/** What one watch needs. */
export interface WatchTask<Item> {
  readonly connection: Connection;
  readonly spec: KindSpec<Item>;
  readonly select: SelectOptions;
  readonly store: Store<Item>;
  readonly witness: Witness;
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
  /** Milliseconds until a full picture that is still not complete counts as one that never will be. */
  readonly initialMs: number;
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
  /** The server does not stream the full picture: it went on as if it had not been asked to. */
  readonly unable?: boolean;
  /** What went wrong; absent: the server ended the watch in order. */
  readonly error?: Error;
}

/** Whether a version is older than another; versions that are no numbers are not compared. */
function isOlder(version: string, than: string | undefined): boolean {
  const [one, other] = [versionNumber(version), versionNumber(than)];
  return one !== undefined && other !== undefined && one < other;
}

/** Why what a watch failed of cannot be cured by another watch from the same version; `undefined`: it may be. */
function whyRelist({ code, details, message }: SdkError, events: number): string | undefined {
  const status = typeof details['status'] === 'number' ? details['status'] : 0;
  if (status === 410) return 'the server no longer has our version (410)';
  // A server restored from a backup waits for a version that is in its future, then says so (storage.NewTooLargeResourceVersionError).
  if (details['tooLarge'] === true) return `the server is older than our version (${status})`;
  // Refused for what we ask rather than who we are or how often: the version is all that changes.
  const asked = status >= 400 && status < 500 && ![401, 403, 408, 429].includes(status);
  if (asked) return `the server will not go on from our version (${status})`;
  // From a version that it has not reached, a server may also just wait for ever.
  const silent = code === 'API_UNREACHABLE' && details['errno'] === SILENT && events === 0;
  return silent ? `${message}, in a whole watch not even a bookmark` : undefined;
}

/** Runs one watch to its end. Never throws. */
export async function watchOnce<Item>(task: WatchTask<Item>): Promise<WatchEnd> {
  const { spec, store, signal } = task;
  let version = task.version;
  let events = 0;
  let relist: string | undefined;
  let failure: Error | undefined;
  let unable = false;
  /** While the full picture streams: what was there before and has not been told of yet. */
  let unseen = task.version === undefined ? new Set(store.keys()) : undefined;

  const parse = parsersOf(spec).event;
  const takeEvent = (bytes: Buffer) => {
    if (relist !== undefined || failure !== undefined || unable) return;
    const event = parse(bytes) as { type?: unknown; object?: unknown };
    events++;
    if (event.type === 'ERROR') {
      const error = errorOfStatus(event.object, 500);
      failure = error;
      return;
    }
    const { resourceVersion, ...metadata } = metadataOf(event.object);
    const at = typeof resourceVersion === 'string' ? resourceVersion : '';
    if (unseen === undefined && isOlder(at, version)) {
      relist = `the server spoke of version ${at} after ${version}`;
      return;
    }
    if (event.type === 'BOOKMARK') {
      const annotations = (metadata as { annotations?: Record<string, unknown> }).annotations;
      if (unseen === undefined) version = at === '' ? version : at;
      else if (annotations?.['k8s.io/initial-events-end'] === 'true') {
        for (const key of unseen) store.remove(key);
        unseen = undefined;
        version = at;
        task.onInitial();
      } else unable = true;
      return;
    }
    const key = event.type === 'DELETED' ? keyOf(event.object) : putRaw(store, spec, event.object);
    if (key === undefined) return;
    if (event.type === 'DELETED') store.remove(key);
    task.witness.note(event.object, event.type === 'DELETED');
    unseen?.delete(key);
    if (unseen === undefined && at !== '') version = at;
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
    const cutter = createLineCutter(takeEvent);
    const initialEnd = performance.now() + task.initialMs;
    await readStream(response.body, {
      silenceMs: () => (unseen === undefined ? task.silenceMs : task.initialSilenceMs),
      take(chunk) {
        task.onBytes();
        cutter.push(chunk);
        // In touch, changes are told as they come; a first picture in larger steps.
        if (unseen === undefined) store.flush();
        if (unseen !== undefined && performance.now() > initialEnd) unable = true;
        return relist === undefined && failure === undefined && !unable;
      },
      onPause: store.flush,
    });
    if (cutter.held > 0 && relist === undefined && failure === undefined && !unable)
      failure = new SdkError('The watch ended within an event', { code: 'API_UNREACHABLE', retryable: true });
  } catch (error) {
    failure = signal.aborted
      ? aborted(error)
      : error instanceof SdkError
        ? error
        : unreachable('The watch broke', error);
  }
  store.flush();
  if (unseen === undefined && failure instanceof SdkError) relist ??= whyRelist(failure, events);
  // A picture of which only a part has come is worth nothing to go on from.
  if (unseen !== undefined) version = undefined;
  return {
    version,
    events,
    ...(relist === undefined ? {} : { relist }),
    ...(unable ? { unable } : {}),
    ...(failure === undefined ? {} : { error: failure }),
  };
}
