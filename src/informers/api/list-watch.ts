/**
 * The state machine that keeps one kind in step with the API server, whatever happens: list, watch, and back to either.
 * A broken connection goes on from the last version; only what makes that impossible (410, time running backwards) costs a list,
 * and lists are rationed. There is no error from which it does not try again; there is none that it hides.
 * Constants follow client-go's reflector where it has one, with the reason beside each.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { SdkError } from '../../net/errors.ts';
import type { SelectOptions, SourcePhase } from '../source.ts';
import type { Store } from '../store.ts';
import { createBackoff, createLimiter } from './backoff.ts';
import type { BackoffOptions } from './backoff.ts';
import type { Connection } from './connection.ts';
import type { KindSpec } from './kind-spec.ts';
import { listAll } from './list.ts';
import { watchOnce } from './watch.ts';
import type { WatchEnd } from './watch.ts';
import { createWitness } from './witness.ts';

/** How a kind is followed; all times in milliseconds. */
export interface ListWatchOptions {
  /** Objects a page of a list. @defaultValue 500, as client-go */
  readonly pageSize?: number;
  /** `auto`: stream the first picture where the server can (WatchList), pages otherwise. @defaultValue `auto` */
  readonly watchList?: 'auto' | 'never';
  /** How long a request may take to be answered at all. @defaultValue 15000 */
  readonly headersTimeoutMs?: number;
  /** Silence after which a watch is taken for dead. Servers send a bookmark about once a minute. @defaultValue 90000 */
  readonly silenceMs?: number;
  /** A first picture that the server streams and that is not complete after this time is read in pages instead. @defaultValue 120000 */
  readonly initialMs?: number;
  /** Silence within a list after which it is taken for dead. @defaultValue 30000 */
  readonly stallMs?: number;
  /** A watch is asked to end after this time and up to twice of it, so that load spreads over servers. @defaultValue 300000 */
  readonly watchMs?: number;
  readonly backoff?: BackoffOptions;
  /** Lists at once, and the time until one more is free: at most 9 in any minute. @defaultValue `{ burst: 3, everyMs: 10000 }` */
  readonly listLimit?: { readonly burst: number; readonly everyMs: number };
  /** Longest wait after 401 and 403, which people have to mend. @defaultValue 30000 */
  readonly deniedMaxMs?: number;
  /** Wait until a custom resource that the server does not know is asked for again, up to twice as long. @defaultValue 30000 */
  readonly unknownMs?: number;
}

/** Fruitless watches from one version after which the full picture is read again. */
const STUCK_MAX = 5;

/** The longest Retry-After that is honoured: nobody who asks for more knows that a firewall is waiting. */
const RETRY_AFTER_MAX_MS = 300_000;

/** Follows one kind until the signal. Resolves then; never rejects. */
export async function runListWatch<Item>(
  connection: Connection,
  spec: KindSpec<Item>,
  select: SelectOptions,
  store: Store<Item>,
  options: ListWatchOptions,
  signal: AbortSignal,
): Promise<void> {
  const backoff = createBackoff(options.backoff);
  const limiter = createLimiter(options.listLimit?.burst ?? 3, options.listLimit?.everyMs ?? 10_000);
  const { headersTimeoutMs = 15_000, silenceMs = 90_000, stallMs = 30_000, watchMs = 300_000 } = options;
  const { initialMs = 120_000 } = options;
  const initialSilenceMs = Math.min(silenceMs, 10_000);
  const witness = createWitness(connection, spec, store, headersTimeoutMs);
  let version: string | undefined;
  let needList = true;
  let streaming = options.watchList !== 'never';
  const usualPageSize = options.pageSize ?? 500;
  let pageSize = usualPageSize;
  /** Last moment at which the server was heard, and since when the stream is well. */
  let heardAt = Date.now();
  let openedAt = 0;
  let refreshed = false;
  /** Watches in a row that the server accepted and that brought us no further. */
  let stuck = 0;

  const state = (phase: SourcePhase, reason: string, more: { status?: number; retryInMs?: number } = {}) =>
    store.setState({ phase, since: Date.now(), reason, ...more });
  const heard = () => {
    heardAt = Date.now();
  };
  const inTouch = () => {
    heard();
    openedAt = Date.now();
    if (store.source.snapshot().synced) store.setStale(undefined);
    store.flush();
  };
  const synced = () => {
    store.setSynced();
    store.setStale(undefined);
    store.flush();
    state('watching', '');
  };
  /** Waits until a list is allowed. */
  const ration = async () => {
    for (let wait = limiter.take(); wait > 0 && !signal.aborted; wait = limiter.take()) {
      state('waiting', 'the full picture has to be read again, and lists are rationed', { retryInMs: wait });
      await sleep(wait, undefined, { signal }).catch(() => {});
    }
  };

  /** Says what went wrong and waits as long as it deserves. */
  const waitAfter = async (error: Error | undefined, reason: string) => {
    const details = error instanceof SdkError ? error.details : {};
    const status = typeof details['status'] === 'number' ? details['status'] : undefined;
    const denied = status === 401 || status === 403;
    // Whoever had objects of it keeps them: a definition goes after its objects, and a server that starts does not know it yet.
    if (status === 404 && spec.custom === true && store.keys()[Symbol.iterator]().next().done === true) {
      needList = true;
      heard();
      synced();
      const retryInMs = Math.round((options.unknownMs ?? 30_000) * (1 + Math.random()));
      state('waiting', `the server does not know ${spec.plural}: there are none`, { status, retryInMs });
      await sleep(retryInMs, undefined, { signal }).catch(() => {});
      return;
    }
    // New credentials were asked for: the first refusal is tried again at once.
    if (status === 401 && !refreshed) {
      refreshed = true;
      return;
    }
    if (openedAt > 0) backoff.healthy(openedAt, heardAt);
    openedAt = 0;
    // The ration is of lists that a server sees; one that is away must not make us wait longer when it is back.
    if (needList && details['sent'] === false) limiter.giveBack();
    let wait = backoff.next();
    if (denied) wait = Math.min(wait, options.deniedMaxMs ?? 30_000);
    const asked = details['retryAfterMs'];
    if (typeof asked === 'number')
      wait = Math.max(wait, Math.min(asked, RETRY_AFTER_MAX_MS) * (1 + 0.1 * Math.random()));
    if (error !== undefined) store.setStale(heardAt);
    store.flush();
    state(denied ? 'denied' : 'waiting', reason, {
      retryInMs: Math.round(wait),
      ...(status === undefined ? {} : { status }),
    });
    await sleep(wait, undefined, { signal }).catch(() => {});
  };

  const readPages = async () => {
    await ration();
    if (signal.aborted) return;
    state('listing', '');
    witness.forget();
    try {
      version = await listAll({
        connection,
        spec,
        select,
        store,
        witness,
        pageSize,
        signal,
        headersTimeoutMs,
        stallMs,
        onBytes: heard,
      });
      needList = false;
      refreshed = false;
      pageSize = usualPageSize;
      heard();
      synced();
    } catch (error) {
      const failure = error as Error;
      // A continue token that expired: the next try asks for everything in one answer, as client-go does.
      if (failure instanceof SdkError && failure.details['status'] === 410) pageSize = 0;
      await waitAfter(failure, failure.message);
    }
  };

  const follow = async (initial: boolean): Promise<WatchEnd> => {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    let contradiction: string | undefined;
    if (initial) witness.forget();
    const end = await watchOnce({
      connection,
      spec,
      select,
      store,
      witness,
      version: initial ? undefined : version,
      timeoutSeconds: Math.max(1, Math.round((watchMs * (1 + Math.random())) / 1000)),
      signal: both,
      headersTimeoutMs,
      silenceMs,
      initialSilenceMs,
      initialMs,
      onOpen: () => {
        refreshed = false;
        if (initial) heard();
        else {
          inTouch();
          state('watching', '');
          void witness.contradiction(version, both).then((found) => {
            contradiction = found;
            if (found !== undefined) ended.abort();
          });
        }
      },
      onBytes: heard,
      onInitial: () => {
        needList = false;
        inTouch();
        synced();
      },
    });
    version = end.version;
    const found = contradiction;
    ended.abort();
    if (found === undefined) return end;
    const relist = `the server goes on from another history than ours: ${found}`;
    return { ...end, relist, error: new SdkError(relist, { code: 'API_ERROR', retryable: true }) };
  };

  while (!signal.aborted) {
    if (needList && !streaming) {
      await readPages();
      continue;
    }
    const initial = needList;
    if (initial) {
      await ration();
      if (signal.aborted) break;
      state('listing', '');
    }
    const startedAt = Date.now();
    const from = version;
    const end = await follow(initial);
    if (signal.aborted) break;
    // What comes is not to be read, or the server fails at it: no watch from this version will ever pass it.
    stuck = openedAt >= startedAt && end.error !== undefined && end.version === from ? stuck + 1 : 0;
    if (initial && needList) {
      // The server cannot stream the first picture (it says so, or never marks its end): pages from now on.
      const status = end.error instanceof SdkError ? end.error.details['status'] : undefined;
      const mute = status === undefined && Date.now() - startedAt >= initialSilenceMs;
      if (status === 400 || status === 422 || mute || end.unable === true || end.error === undefined) {
        streaming = false;
        continue;
      }
    }
    if (end.relist !== undefined || end.version === undefined || stuck >= STUCK_MAX) {
      needList = true;
      stuck = 0;
    }
    const lasted = Date.now() - startedAt;
    // An orderly end after a while is the watch's own time-out: go on at once.
    if (end.error === undefined && end.relist === undefined && !needList && lasted >= Math.min(1000, watchMs)) {
      if (openedAt > 0) backoff.healthy(openedAt, heardAt);
      continue;
    }
    await waitAfter(end.error, end.relist ?? end.error?.message ?? 'the server ended the watch at once');
  }
}
