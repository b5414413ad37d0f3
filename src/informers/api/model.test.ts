/**
 * The model check: whatever happens to the server and to the way to it, after quiet every view of it equals the server.
 * Random histories of writes and faults, alone and on top of each other; what a history did is what fast-check prints.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { projectPod } from '../../objects/pod.ts';
import type { PodObject } from '../../objects/types.ts';
import { createApiServer } from '../../testing/api-server/server.ts';
import type { ApiServer } from '../../testing/api-server/server.ts';
import type { Fault, RequestInfo } from '../../testing/api-server/faults.ts';
import { buildPod } from '../../testing/builders.ts';
import { createIndex } from '../indexes.ts';
import type { ChangeBatch } from '../source.ts';
import { createConnection } from './connection.ts';
import { createApiSource } from './source.ts';

const RUNS = process.env['PROOF'] === undefined ? 5 : 40;
const FAST = {
  pageSize: 3,
  headersTimeoutMs: 200,
  silenceMs: 400,
  stallMs: 200,
  backoff: { baseMs: 10, maxMs: 100, healthyMs: 500 },
  deniedMaxMs: 100,
  // The ration is the subject of other tests; here lists are to be many.
  listLimit: { burst: 100, everyMs: 10 },
};

const reads = (one: RequestInfo) => one.verb === 'watch' || one.verb === 'list';
/** Whether the full picture is asked for, in pages or as a stream. */
const full = (one: RequestInfo) => reads(one) && !one.query.has('resourceVersion');
const afterBytes = fc.nat({ max: 2500 });
const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({
    type: fc.constant('status' as const),
    code: fc.constantFrom(400, 401, 403, 404, 410, 429, 500, 503, 504),
  }),
  fc.record({ type: fc.constantFrom('reset' as const, 'truncate' as const, 'freeze' as const), afterBytes }),
  fc.constantFrom<Fault>(
    { type: 'reset' },
    { type: 'freeze' },
    { type: 'close' },
    { type: 'gzip' },
    { type: 'empty-page' },
  ),
  fc.constant<Fault>({ type: 'inconsistent-pages' }),
  fc.record({ type: fc.constant('error-event' as const), code: fc.constantFrom(410, 500) }),
  fc.record({ type: fc.constant('dribble' as const), bytes: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ type: fc.constant('delay' as const), ms: fc.nat({ max: 80 }) }),
  fc.constant<Fault>({ type: 'rewrite', rewrite: (event) => [event, event] }),
);
const name = fc.nat({ max: 7 });
type Step =
  | { readonly put: number; readonly label: string }
  | { readonly remove: number }
  | { readonly fault: Fault; readonly times: number }
  | { readonly wait: number }
  | 'cut'
  | 'compact'
  | 'backup'
  | 'restore'
  | 'freeze'
  | 'thaw';
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ put: name, label: fc.constantFrom('x', 'ü', '漢') }) },
  { weight: 3, arbitrary: fc.record({ remove: name }) },
  { weight: 3, arbitrary: fc.record({ fault, times: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ wait: fc.constantFrom(0, 1, 5, 30, 120) }) },
  { weight: 2, arbitrary: fc.constant<Step>('cut') },
  { weight: 1, arbitrary: fc.constantFrom<Step>('compact', 'backup', 'restore', 'freeze', 'thaw') },
);

/** A view built from changes alone; refuses a change that does not fit what it has. */
function createMirror() {
  const items = new Map<string, PodObject>();
  return {
    items,
    take({ changed }: ChangeBatch<PodObject>) {
      for (const { key, object, previous } of changed) {
        expect(items.get(key)).toEqual(previous);
        if (object === undefined) items.delete(key);
        else items.set(key, object);
      }
    },
  };
}

/** Waits for it, but not for ever: what is compared afterwards says what is wrong. */
async function until(done: () => boolean, ms = 8000): Promise<void> {
  for (const end = Date.now() + ms; !done() && Date.now() < end;) await sleep(10);
}

const truth = (server: ApiServer) =>
  new Map(server.list('Pod').map((raw) => [`${raw.metadata.namespace}/${raw.metadata.name}`, projectPod(raw).object]));

async function holds(history: readonly Step[], watchList: boolean): Promise<void> {
  await using server = await createApiServer({ bookmarkMs: 50, watchList });
  for (let index = 0; index < 5; index++) server.apply(buildPod(`keep/p${index}`, { ips: [`10.0.0.${index}`] }));
  const connection = createConnection({ settings: () => ({ server: server.url }) });
  await using source = createApiSource({ connection, ...FAST });
  const pods = source.open('Pod');
  const [mirror, slow] = [createMirror(), createMirror()];
  /** Every state that an object ever had on the server. */
  const lived = new Set<string>();
  const invented: string[] = [];
  const lost: string[] = [];
  const note = () => {
    for (const [key, object] of truth(server)) lived.add(`${key} ${JSON.stringify(object)}`);
  };
  note();
  /** The last that was asked and said, for people who read why a history failed. */
  const told: string[] = [];
  pods.state$.subscribe(({ phase, reason }) => told.push(`${Date.now()} ${phase} ${reason}`));
  pods.changes$.subscribe((batch) => {
    mirror.take(batch);
    for (const { key, object } of batch.changed) {
      if (object === undefined && key.startsWith('keep/')) lost.push(key);
      if (object !== undefined && !lived.has(`${key} ${JSON.stringify(object)}`)) invented.push(key);
    }
  });
  const ending = new AbortController();
  const consumer = (async () => {
    for await (const batch of pods.batches({ signal: ending.signal })) {
      slow.take(batch);
      await sleep(40);
    }
  })();
  const byLabel = createIndex(pods, ({ labels }) => (labels['l'] === undefined ? [] : [labels['l']]));

  const equal = () => {
    const wanted = truth(server);
    const { items, staleSince } = pods.snapshot();
    if (staleSince !== undefined || items.size !== wanted.size || slow.items.size !== wanted.size) return false;
    return [...wanted].every(([key, object]) =>
      [items, slow.items].every((view) => JSON.stringify(view.get(key)) === JSON.stringify(object)),
    );
  };
  let backup = server.backup();
  let count = 0;
  for (const one of history) {
    if (one === 'cut') server.dropConnections();
    else if (one === 'compact') server.compact();
    else if (one === 'backup') backup = server.backup();
    else if (one === 'restore') {
      // Whoever restores a server starts it anew. Once it has grown past our version unseen, no client can tell its history from
      // the one that we know, so it is seen before it grows.
      const before = server.requests.length;
      server.restore(backup);
      server.dropConnections();
      server.clearFaults();
      server.setFrozen(false);
      // No list follows where our version is not the newer one.
      await until(() => server.requests.slice(before).some(full), 1500);
      await until(equal);
    } else if (one === 'freeze') server.setFrozen(true);
    else if (one === 'thaw') server.setFrozen(false);
    else if ('wait' in one) await sleep(one.wait);
    else if ('fault' in one) server.inject(one.fault, { match: reads, times: one.times });
    else if ('remove' in one) server.remove('Pod', `p${one.remove}`, 'a');
    else {
      count++;
      const ips = [`10.1.${count >> 8}.${count & 255}`];
      server.apply(buildPod(`a/p${one.put}`, { ips, labels: { l: one.label } }));
    }
    note();
  }
  server.clearFaults();
  server.setFrozen(false);
  server.apply(buildPod('a/last', { ips: ['10.9.9.9'] }));
  note();

  for (const end = Date.now() + 8000; !equal() && Date.now() < end;) await sleep(10);
  // Right, and right still; a busy machine may make a watch look dead for a moment.
  await sleep(120);
  await until(equal);
  const wanted = truth(server);
  for (const { at, verb, query } of server.requests) told.push(`${at} ${verb} ${query.toString()}`);
  const why = `at version ${server.version}, ${Date.now()}\n${told.sort().slice(-20).join('\n')}`;
  expect(new Map(pods.snapshot().items), why).toEqual(wanted);
  expect(pods.snapshot().staleSince).toBeUndefined();
  expect(mirror.items).toEqual(wanted);
  expect(slow.items).toEqual(wanted);
  for (const label of ['x', 'ü', '漢'])
    expect(new Map(byLabel.get(label))).toEqual(new Map([...wanted].filter(([, pod]) => pod?.labels['l'] === label)));
  expect(invented).toEqual([]);
  expect(lost).toEqual([]);
  ending.abort();
  await consumer;
}

describe.concurrent('after quiet the store, its mirrors and its indexes equal the server (property)', () => {
  it.concurrent.each([1, 2, 3, 4])(
    'histories %i',
    async (part) => {
      const history = fc.tuple(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), fc.boolean());
      await fc.assert(
        fc.asyncProperty(history, ([steps, watchList]) => holds(steps, watchList)),
        { numRuns: RUNS, endOnFailure: true, ...(process.env['PROOF'] === undefined ? { seed: part } : {}) },
      );
    },
    600_000,
  );
});
