/**
 * Reading the full picture of one kind: in pages, each read as a stream, object by object, with pauses for everyone else.
 * At the end, and only then, what the server did not list is taken out.
 */
import { SdkError } from '../../net/errors.ts';
import type { Store } from '../store.ts';
import type { SelectOptions } from '../source.ts';
import { openApi } from './client.ts';
import { aborted, unreachable } from './connection.ts';
import type { Connection } from './connection.ts';
import { metadataOf, putRaw } from './feed.ts';
import { createListCutter } from './json-stream.ts';
import type { KindSpec } from './kind-spec.ts';
import { parsersOf, pathOf, queryOf } from './kind-spec.ts';
import { readStream } from './read-stream.ts';
import type { Witness } from './witness.ts';

/** What one full list needs. */
export interface ListTask<Item> {
  readonly connection: Connection;
  readonly spec: KindSpec<Item>;
  readonly select: SelectOptions;
  readonly store: Store<Item>;
  readonly witness: Witness;
  /** Objects a page; 0: all in one answer. */
  readonly pageSize: number;
  readonly signal: AbortSignal;
  readonly headersTimeoutMs: number;
  /** Milliseconds without a byte until an answer counts as broken. */
  readonly stallMs: number;
  readonly onBytes: () => void;
}

/**
 * Reads a full list into the store and returns its resourceVersion.
 * @throws SdkError `API_ERROR` | `API_UNREACHABLE` | `ABORTED`; the store then holds what it held and what was read.
 */
export async function listAll<Item>(task: ListTask<Item>): Promise<string> {
  /** What was there before and is not listed: at a first list nothing, which is when lists are longest. */
  const unseen = new Set(task.store.keys());
  let token = '';
  let version: string | undefined;
  for (;;) {
    const head = await listPage(task, token, unseen);
    // The first page's: where pages are of different times (a continue token that became inconsistent), going on from the oldest
    // tells everything again that happened between them, going on from the newest would leave it out.
    version ??= head.resourceVersion;
    if (head.continue === '') break;
    if (head.continue === token)
      throw unreachable(`The list of ${task.spec.plural} goes in circles`, 'same page again');
    token = head.continue;
  }
  for (const key of unseen) task.store.remove(key);
  return version;
}

async function listPage<Item>(
  task: ListTask<Item>,
  token: string,
  unseen: Set<string>,
): Promise<{ resourceVersion: string; continue: string }> {
  const { connection, spec, select, store, witness, signal } = task;
  const response = await openApi(connection, {
    path: pathOf(spec, select.namespace),
    query: {
      ...queryOf(select),
      limit: task.pageSize === 0 ? undefined : task.pageSize,
      continue: token === '' ? undefined : token,
    },
    signal,
    headersTimeoutMs: task.headersTimeoutMs,
  });
  const parse = parsersOf(spec).object;
  const cutter = createListCutter((bytes) => {
    const raw = parse(bytes);
    const key = putRaw(store, spec, raw);
    if (key !== undefined) unseen.delete(key);
    witness.note(raw, false);
  });
  try {
    await readStream(response.body, {
      silenceMs: () => task.stallMs,
      take(chunk) {
        task.onBytes();
        cutter.push(chunk);
        return true;
      },
      onPause: store.flush,
    });
  } catch (error) {
    if (signal.aborted) throw aborted(error);
    throw unreachable(`The list of ${spec.plural} broke`, error);
  }
  return readHead(cutter.rest, spec);
}

function readHead(rest: string | undefined, spec: KindSpec<unknown>): { resourceVersion: string; continue: string } {
  let head: unknown;
  try {
    head = JSON.parse(rest ?? '');
  } catch (error) {
    throw unreachable(`The list of ${spec.plural} ended early`, error);
  }
  if (!Array.isArray((head as { items?: unknown }).items) && (head as { items?: unknown }).items !== null)
    throw new SdkError(`The answer to a list of ${spec.plural} is no list`, {
      code: 'API_UNREACHABLE',
      retryable: true,
    });
  const metadata = metadataOf(head) as { resourceVersion?: unknown; continue?: unknown };
  return {
    resourceVersion: typeof metadata.resourceVersion === 'string' ? metadata.resourceVersion : '',
    continue: typeof metadata.continue === 'string' ? metadata.continue : '',
  };
}
