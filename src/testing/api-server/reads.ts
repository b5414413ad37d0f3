/**
 * Get, list in pages, and watch, with selectors and bookmarks.
 * A page belongs to the list as it was when its first page was read, as with the real server; when that is forgotten: 410.
 */
import { parseLabelSelector } from '../../informers/label-selector.ts';
import { StatusError, statusOf } from './errors.ts';
import type { WireEvent } from './faults.ts';
import { parseFieldSelector } from './field-selector.ts';
import type { Reply } from './reply.ts';
import type { Target } from './resources.ts';
import { apiVersionOf } from './resources.ts';
import { storeKey } from './store.ts';
import type { ObjectStore, StoredEvent, StoredObject } from './store.ts';

/** What reads need of the server. */
export interface ReadContext {
  readonly store: ObjectStore;
  readonly pages: Map<string, { readonly version: number; readonly objects: readonly StoredObject[] }>;
  readonly bookmarkMs: number;
  readonly watchList: boolean;
  /** Ends every watch when it resolves. */
  readonly closing: AbortSignal;
}

const JSON_HEADERS = { 'content-type': 'application/json' };
const texts = new WeakMap<StoredObject, string>();

/** The JSON of a stored object, made once. */
export function textOf(object: StoredObject): string {
  let text = texts.get(object);
  if (text === undefined) texts.set(object, (text = JSON.stringify(object)));
  return text;
}

let tokens = 0;
/** Forgets the texts of pages that nobody came back for. */
const PAGES_KEPT = 64;

function selectorOf(query: URLSearchParams, target: Target): (object: StoredObject) => boolean {
  let labels: (map: Readonly<Record<string, string>>) => boolean;
  try {
    labels = parseLabelSelector(query.get('labelSelector') ?? '');
  } catch (error) {
    throw new StatusError(400, 'BadRequest', (error as Error).message);
  }
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '');
  return (object) =>
    (target.namespace === '' || object.metadata.namespace === target.namespace) &&
    (target.name === '' || object.metadata.name === target.name) &&
    labels(object.metadata.labels ?? {}) &&
    fields(object);
}

/** Writes a list or a page of it. */
export async function replyList(
  context: ReadContext,
  target: Target,
  query: URLSearchParams,
  reply: Reply,
): Promise<void> {
  const selects = selectorOf(query, target);
  const { store, pages } = context;
  const limit = Number(query.get('limit') ?? 0);
  const token = query.get('continue') ?? '';
  let version = store.version;
  let objects: readonly StoredObject[];
  let from = 0;
  if (token === '') objects = store.list(target.type, target.namespace).filter(selects);
  else {
    const [id = '', offset = '0'] = Buffer.from(token, 'base64url').toString().split(':');
    const page = pages.get(id);
    if (page === undefined)
      throw new StatusError(
        410,
        'Expired',
        'The provided continue parameter is too old to display a consistent list result.',
      );
    ({ version, objects } = page);
    from = Number(offset);
  }
  if (reply.faults.some((fault) => fault.type === 'inconsistent-pages')) {
    // The rest of the list as it is now, after the last name that was given.
    const last = from > 0 ? objects[from - 1] : undefined;
    const after = last === undefined ? '' : storeKey(last.metadata.namespace ?? '', last.metadata.name);
    const now = store.list(target.type, target.namespace).filter(selects);
    objects = [
      ...objects.slice(0, from),
      ...now.filter(({ metadata }) => storeKey(metadata.namespace ?? '', metadata.name) > after),
    ];
    version = store.version;
  }
  const empty = reply.faults.some((fault) => fault.type === 'empty-page');
  const size = empty ? 0 : limit > 0 ? limit : objects.length;
  const end = Math.min(objects.length, from + size);
  const metadata: Record<string, unknown> = { resourceVersion: String(version) };
  if (end < objects.length) {
    const id = token === '' ? String(Math.random()).slice(2) : Buffer.from(token, 'base64url').toString().split(':')[0];
    pages.set(id ?? '', { version, objects });
    if (pages.size > PAGES_KEPT) pages.delete(pages.keys().next().value ?? '');
    // No two tokens are equal, also after a page without objects.
    metadata['continue'] = Buffer.from(`${id}:${end}:${++tokens}`).toString('base64url');
    metadata['remainingItemCount'] = objects.length - end;
  }
  if (!(await reply.begin(200, JSON_HEADERS))) return;
  const head = { kind: `${target.type.kind}List`, apiVersion: apiVersionOf(target.type), metadata };
  let text = `${JSON.stringify(head).slice(0, -1)},"items":[`;
  for (let index = from; index < end; index++) {
    text += (index === from ? '' : ',') + textOf(objects[index] as StoredObject);
    if (text.length < 65_536) continue;
    if (!(await reply.write(text))) return;
    text = '';
  }
  await reply.write(`${text}]}\n`);
  reply.end();
}

/** Runs a watch until its time is over, the client leaves or a fault ends it. */
export async function replyWatch(
  context: ReadContext,
  target: Target,
  query: URLSearchParams,
  reply: Reply,
): Promise<void> {
  const selects = selectorOf(query, target);
  const { store } = context;
  const initial = query.get('sendInitialEvents') === 'true';
  if (query.has('sendInitialEvents') && !context.watchList)
    throw new StatusError(
      422,
      'Invalid',
      'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    );
  const from = query.get('resourceVersion') ?? '';
  const seconds = Number(query.get('timeoutSeconds') ?? 0) || 1800 + Math.random() * 1800;
  const bookmarks = query.get('allowWatchBookmarks') === 'true';

  // Everything is queued before the first wait, so that nothing falls between the past and the present.
  const queue: WireEvent[] = [];
  let wake = () => {};
  const push = (...events: WireEvent[]) => {
    queue.push(...events);
    wake();
  };
  const bookmark = (annotations?: Record<string, string>): WireEvent => ({
    type: 'BOOKMARK',
    object: {
      kind: target.type.kind,
      apiVersion: apiVersionOf(target.type),
      metadata: {
        resourceVersion: String(store.version),
        creationTimestamp: null,
        ...(annotations ? { annotations } : {}),
      },
    },
  });
  const take = (event: StoredEvent) => {
    const now = event.type !== 'DELETED' && selects(event.object);
    const before = event.previous !== undefined && selects(event.previous);
    if (now) push({ type: before ? 'MODIFIED' : 'ADDED', object: event.object });
    else if (before)
      push({
        type: 'DELETED',
        object:
          event.type === 'DELETED'
            ? event.object
            : {
                ...event.previous,
                metadata: { ...event.previous?.metadata, resourceVersion: event.object.metadata.resourceVersion },
              },
      });
  };
  const past = initial || from === '' || from === '0' ? undefined : store.since(target.type, Number(from));
  const forgotten = past === undefined && !initial && from !== '' && from !== '0';
  if (past !== undefined) for (const event of past) take(event);
  else if (!forgotten)
    for (const object of store.list(target.type, target.namespace))
      if (selects(object)) queue.push({ type: 'ADDED', object });
  if (initial) queue.push(bookmark({ 'k8s.io/initial-events-end': 'true' }));
  const unsubscribe = store.subscribe(target.type, take);

  let over = false;
  const stop = () => {
    over = true;
    wake();
  };
  const timer = setTimeout(() => {
    if (bookmarks) push(bookmark());
    stop();
  }, seconds * 1000);
  const marks = bookmarks ? setInterval(() => push(bookmark()), context.bookmarkMs) : undefined;
  void reply.over.then(stop);
  context.closing.addEventListener('abort', stop, { once: true });
  try {
    if (!(await reply.begin(200, JSON_HEADERS))) return;
    const failure = reply.faults.find((fault) => fault.type === 'error-event');
    if (forgotten || failure !== undefined) {
      const code = failure?.code ?? 410;
      const status = new StatusError(
        code,
        code === 410 ? 'Expired' : 'InternalError',
        code === 410 ? `too old resource version: ${from}` : 'injected',
      );
      await reply.write(`${JSON.stringify({ type: 'ERROR', object: statusOf(status) })}\n`);
      return reply.end();
    }
    if (reply.faults.some((fault) => fault.type === 'close')) return reply.end();
    for (;;) {
      let text = '';
      while (queue.length > 0 && text.length < 65_536) {
        for (const event of reply.rewrite(queue.shift() as WireEvent))
          text += `{"type":${JSON.stringify(event.type)},"object":${isStored(event) ? textOf(event.object) : JSON.stringify(event.object)}}\n`;
      }
      if (text !== '' && !(await reply.write(text))) return;
      if (queue.length > 0) continue;
      if (over) return reply.end();
      await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    unsubscribe();
    clearTimeout(timer);
    clearInterval(marks);
    context.closing.removeEventListener('abort', stop);
  }
}

const isStored = (event: WireEvent): event is { type: string; object: StoredObject } =>
  event.type !== 'BOOKMARK' && event.type !== 'ERROR';
