/**
 * What faults that do not end cost the API server: with the times that users get, more than a minute of each, every LIST counted.
 * A list of a large cluster is the dearest request there is; a thousand agents that list in a loop are the outage after the outage.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import { createApiSource, createConnection, projectPod } from '../../src/informers/index.ts';
import { buildPod, createApiServer } from '../../src/testing/index.ts';
import type { ApiServer, Fault, RequestInfo } from '../../src/testing/index.ts';

const SECONDS = 75;
const PER_MINUTE = 10;
/** The longest backoff (30 s) twice, before a watch that shows what is wrong and before the list, and the ration of lists (10 s). */
const RIGHT_WITHIN_MS = 70_000;

const reads = (one: RequestInfo) => one.verb === 'watch' || one.verb === 'list';
const watches = (one: RequestInfo) => one.verb === 'watch';
/** A full picture, in pages or as a stream. */
const isList = (one: RequestInfo) =>
  reads(one) && one.resource === 'pods' && !one.query.has('resourceVersion') && !one.query.has('continue');

interface Case {
  readonly name: string;
  readonly faults?: readonly Fault[];
  readonly match?: (one: RequestInfo) => boolean;
  /** Done every second while it lasts. */
  readonly every?: (server: ApiServer) => void;
}

const statuses = [401, 403, 410, 429, 500, 503];
const cases: readonly Case[] = [
  ...statuses.map((code): Case => ({ name: `${code}, always`, faults: [{ type: 'status', code }] })),
  ...statuses.map((code): Case => ({
    name: `${code} to every watch`,
    faults: [{ type: 'status', code }],
    match: watches,
  })),
  { name: '429, Retry-After: 1, always', faults: [{ type: 'status', code: 429, retryAfter: '1' }] },
  { name: 'ERROR event 410 in every watch', faults: [{ type: 'error-event', code: 410 }] },
  { name: 'ERROR event 500 in every watch', faults: [{ type: 'error-event', code: 500 }] },
  { name: 'ECONNRESET before every answer', faults: [{ type: 'reset' }] },
  ...[0, 300, 2000].map((afterBytes): Case => ({
    name: `ECONNRESET after ${afterBytes} bytes of every answer`,
    faults: [{ type: 'reset', afterBytes }],
  })),
  { name: 'every answer cut short', faults: [{ type: 'truncate', afterBytes: 500 }] },
  { name: 'every watch closed at once', faults: [{ type: 'close' }] },
  { name: 'every answer frozen in the middle of an object', faults: [{ type: 'freeze', afterBytes: 500 }] },
  { name: 'frozen server', every: (server) => server.setFrozen(true) },
  { name: 'no JSON in any watch', faults: [{ type: 'corrupt', at: 7 }], match: watches },
  { name: 'every event twice', faults: [{ type: 'rewrite', rewrite: (event) => [event, event] }] },
  {
    name: 'every event of the past',
    faults: [
      {
        type: 'rewrite',
        rewrite: ({ type, object }) => {
          const one = object as { metadata: Record<string, unknown> };
          return [{ type, object: { ...one, metadata: { ...one.metadata, resourceVersion: '1' } } }];
        },
      },
    ],
    match: (one) => watches(one) && !isList(one),
  },
  {
    name: 'connections cut and the past forgotten, every second',
    every(server) {
      server.compact();
      server.dropConnections();
    },
  },
  { name: 'connections cut every second', every: (server) => server.dropConnections() },
  {
    name: 'an object of 5 MB changed every ten seconds',
    every(server) {
      if (Math.floor(Date.now() / 1000) % 10 > 0) return;
      server.apply(buildPod('a/huge', { annotations: { big: 'x'.repeat(5 * 1024 * 1024), at: String(Date.now()) } }));
    },
  },
];
/** Restored again and again needs its backup; it is a case of its own. */
const restored: Case = {
  name: 'restored from a backup, every two seconds',
  every: (() => {
    const backups = new WeakMap<ApiServer, { backup: ReturnType<ApiServer['backup']>; count: number }>();
    return (server: ApiServer) => {
      const known = backups.get(server) ?? { backup: server.backup(), count: 0 };
      backups.set(server, known);
      if (++known.count % 2 === 1) return;
      server.restore(known.backup);
      server.dropConnections();
    };
  })(),
};

const rows: string[] = [];
afterAll(() => {
  console.log(
    ['fault, for a minute and more | LISTs in the worst minute | right again after', ...rows.sort()].join('\n'),
  );
});

/** One case from its first list to the moment at which it is right again. */
async function last({ name, faults = [], match = reads, every }: Case, watchList: 'auto' | 'never'): Promise<string[]> {
  await using server = await createApiServer({ bookmarkMs: 5000, watchList: watchList === 'auto' });
  for (let index = 0; index < 9; index++) server.apply(buildPod(`keep/p${index}`, { ips: [`10.0.0.${index}`] }));
  await using source = createApiSource({
    connection: createConnection({ settings: () => ({ server: server.url }) }),
    watchList,
  });
  const pods = source.open('Pod');
  const wrong: string[] = [];
  pods.changes$.subscribe(({ changed }) => {
    for (const { key, object } of changed)
      if (object === undefined && key.startsWith('keep/')) wrong.push(`${name}: ${key} was lost`);
  });
  while (!pods.snapshot().synced) await sleep(20);

  for (const fault of faults) server.inject(fault, { match });
  server.dropConnections();
  for (let second = 0; second < SECONDS; second++) {
    server.apply(buildPod('a/changing', { ips: [`10.1.0.${second}`] }));
    every?.(server);
    await sleep(1000);
  }
  server.clearFaults();
  server.setFrozen(false);
  const over = Date.now();
  server.apply(buildPod('a/last', { ips: ['10.9.9.9'] }));
  const equal = () => {
    const { items, staleSince } = pods.snapshot();
    const truth = server.list('Pod');
    return (
      staleSince === undefined &&
      items.size === truth.length &&
      truth.every((raw) => {
        const item = items.get(`${raw.metadata.namespace}/${raw.metadata.name}`);
        return JSON.stringify(item) === JSON.stringify(projectPod(raw).object);
      })
    );
  };
  while (!equal() && Date.now() - over < RIGHT_WITHIN_MS) await sleep(20);
  const took = Date.now() - over;
  if (!equal()) wrong.push(`${name}: the store does not equal the server ${took} ms after the fault`);
  const lists = server.requests.filter(isList).map((one) => one.at);
  const worst = Math.max(...lists.map((from) => lists.filter((at) => at >= from && at < from + 60_000).length));
  if (worst > PER_MINUTE) wrong.push(`${name}: ${worst} LISTs within a minute`);
  rows.push(`${name} (${watchList}) | ${worst} | ${took} ms`);
  return wrong;
}

// All at once: each waits most of the time.
it(
  'no fault that lasts costs more than ten LISTs a minute, loses anything, or is not recovered from',
  async () => {
    const all = [...cases, restored].flatMap((one) => [last(one, 'auto'), last(one, 'never')]);
    expect((await Promise.all(all)).flat()).toEqual([]);
  },
  (SECONDS + 120) * 1000,
);
