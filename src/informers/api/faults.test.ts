import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { projectPod } from '../../objects/pod.ts';
import type { PodObject } from '../../objects/types.ts';
import { buildPod } from '../../testing/builders.ts';
import { createApiServer } from '../../testing/api-server/server.ts';
import type { ApiServer } from '../../testing/api-server/server.ts';
import type { RequestInfo, WireEvent } from '../../testing/api-server/faults.ts';
import type { Source, SourceState } from '../source.ts';
import { createLimiter } from './backoff.ts';
import { createConnection } from './connection.ts';
import type { ConnectionSettings } from './connection.ts';
import { createApiSource } from './source.ts';

/** Times a hundredth of the real ones; what a LIST costs stays rationed. */
const FAST = {
  pageSize: 4,
  headersTimeoutMs: 250,
  silenceMs: 400,
  stallMs: 250,
  backoff: { baseMs: 20, maxMs: 200, healthyMs: 1000 },
  listLimit: { burst: 3, everyMs: 500 },
};

/** Milliseconds to be right again; where the machine may be busy with other tests, ended work counts and not its time. */
const WITHIN = process.env['PROOF'] === undefined ? 10_000 : 3000;

interface World {
  readonly server: ApiServer;
  readonly pods: Source<PodObject>;
  readonly settings: { token?: string };
  /** Changes the server: one pod each time anew, one changed, one deleted. */
  churn(): void;
}

interface Case {
  readonly name: string;
  readonly fault: (world: World) => void | Promise<void>;
  /** Words that the reasons of the states must contain while it lasts. */
  readonly shows?: RegExp;
  /** Milliseconds within which it must be right again after the fault is over. @defaultValue {@link WITHIN} */
  readonly within?: number;
  /** The server may lose objects (a restored backup): deletions of stable ones are then right. */
  readonly rewinds?: boolean;
}

const watches = (one: RequestInfo) => one.verb === 'watch';
const reads = (one: RequestInfo) => one.verb === 'watch' || one.verb === 'list';
/** Whether the full picture is asked for, in pages or as a stream. */
const full = (one: RequestInfo) => one.verb === 'list' || (watches(one) && !one.query.has('resourceVersion'));
/** Watches from the first version that is asked for, and from no other. */
function fromOneVersion(): (one: RequestInfo) => boolean {
  let first: string | undefined;
  return (one) => {
    if (!watches(one) || full(one)) return false;
    first ??= one.query.get('resourceVersion') ?? '';
    return one.query.get('resourceVersion') === first;
  };
}
/** A fault strikes the next connection: break the present one. */
const cut = (world: World) => world.server.dropConnections();
/** Breaks the connection and waits until the stream has shown why it does not come back: a busy machine may answer late at first. */
async function cutUntil(world: World, reason: RegExp): Promise<void> {
  let shown = false;
  const subscription = world.pods.state$.subscribe((state) => (shown ||= reason.test(state.reason)));
  cut(world);
  await until(`the stream shows ${reason.source}`, () => shown);
  subscription.unsubscribe();
}
/** The server moves on and forgets while we are away: the full picture has to be read again. */
async function forget(world: World): Promise<void> {
  const undo = world.server.inject({ type: 'reset' });
  cut(world);
  await sleep(30);
  world.churn();
  world.server.compact();
  undo();
}

function swapPairs(): (event: WireEvent) => readonly WireEvent[] {
  let held: WireEvent | undefined;
  return (event) => {
    if (event.type === 'BOOKMARK') return [event];
    if (held === undefined) {
      held = event;
      return [];
    }
    const first = held;
    held = undefined;
    return [event, first];
  };
}

const cases: Case[] = [
  {
    name: '410 as HTTP status, four times',
    fault: async (world) => {
      world.server.inject({ type: 'status', code: 410, reason: 'Expired' }, { match: watches, times: 4 });
      cut(world);
      await sleep(300);
    },
  },
  {
    name: '410 as event, four times',
    fault: async (world) => {
      world.server.inject({ type: 'error-event', code: 410 }, { match: watches, times: 4 });
      cut(world);
      await sleep(300);
    },
    shows: /410/,
  },
  {
    name: 'the past is forgotten while we are away',
    fault: forget,
    shows: /410/,
  },
  {
    name: 'ERROR events (500), five times',
    fault: async (world) => {
      world.server.inject({ type: 'error-event', code: 500 }, { match: watches, times: 5 });
      cut(world);
      await sleep(300);
    },
    shows: /500/,
  },
  {
    name: '401, token rotated',
    fault: (world) => {
      world.server.setTokens(['new']);
      world.settings.token = 'new';
      cut(world);
    },
  },
  {
    name: '401, for a while',
    fault: async (world) => {
      world.server.setTokens(['other']);
      await cutUntil(world, /401/);
      await sleep(500);
      world.server.setTokens(undefined);
    },
    shows: /401/,
  },
  {
    name: '403, for a while',
    fault: async (world) => {
      const undo = world.server.inject({ type: 'status', code: 403, reason: 'Forbidden' });
      cut(world);
      await sleep(500);
      undo();
    },
    shows: /403/,
  },
  {
    name: '429 with Retry-After',
    fault: async (world) => {
      const undo = world.server.inject({ type: 'status', code: 429, retryAfter: '1' }, { match: reads });
      await cutUntil(world, /429/);
      undo();
    },
    shows: /429/,
  },
  {
    name: '500, six times',
    fault: async (world) => {
      world.server.inject({ type: 'status', code: 500 }, { match: reads, times: 6 });
      cut(world);
      await sleep(300);
    },
    shows: /500/,
  },
  {
    name: '503 with Retry-After',
    fault: (world) => {
      world.server.inject({ type: 'status', code: 503, retryAfter: '1' }, { match: reads, times: 1 });
      cut(world);
    },
    shows: /503/,
  },
  ...[undefined, 0, 10, 300, 2000].map((afterBytes): Case => ({
    name: `ECONNRESET ${afterBytes === undefined ? 'before the answer' : `after ${afterBytes} bytes`}, every time for a while`,
    fault: async (world) => {
      const fault = afterBytes === undefined ? ({ type: 'reset' } as const) : ({ type: 'reset', afterBytes } as const);
      // Lists are broken off too.
      await forget(world);
      const undo = world.server.inject(fault, { match: reads });
      cut(world);
      for (let round = 0; round < 5; round++) {
        world.churn();
        await sleep(100);
      }
      undo();
    },
  })),
  {
    name: 'a watch closed at once, again and again',
    fault: async (world) => {
      const undo = world.server.inject({ type: 'close' }, { match: watches });
      cut(world);
      const before = world.server.requests.length;
      await sleep(1000);
      undo();
      // Not a storm: with a base of 20 ms and a bound of 200 ms some 15 tries fit into a second.
      expect(world.server.requests.length - before).toBeLessThan(40);
    },
    shows: /ended the watch at once/,
  },
  {
    name: 'half-open connection: it says no more and closes nothing',
    fault: async (world) => {
      world.server.inject({ type: 'freeze', afterBytes: 1 }, { match: watches, times: 1 });
      cut(world);
      await sleep(100);
      world.churn();
    },
    shows: /nothing came for 400 ms/,
  },
  {
    name: 'frozen in the middle of an object',
    fault: async (world) => {
      world.server.inject({ type: 'freeze', afterBytes: 700 }, { match: watches, times: 2 });
      cut(world);
      for (let round = 0; round < 4; round++) {
        await sleep(50);
        world.churn();
      }
    },
    shows: /nothing came/,
  },
  {
    name: 'frozen server',
    fault: async (world) => {
      world.server.setFrozen(true);
      world.churn();
      await sleep(1200);
      world.server.setFrozen(false);
    },
    shows: /nothing came|no answer/,
  },
  {
    name: 'frozen in the middle of a list',
    fault: async (world) => {
      world.server.inject({ type: 'freeze', afterBytes: 900 }, { match: full, times: 2 });
      await forget(world);
      await sleep(300);
    },
  },
  {
    name: 'truncated JSON in a watch',
    fault: async (world) => {
      world.server.inject({ type: 'truncate', afterBytes: 500 }, { match: watches, times: 3 });
      cut(world);
      for (let round = 0; round < 4; round++) {
        await sleep(50);
        world.churn();
      }
    },
    shows: /ended within an event/,
  },
  {
    name: 'truncated JSON in a list',
    fault: async (world) => {
      world.server.inject({ type: 'truncate', afterBytes: 900 }, { match: full, times: 2 });
      await forget(world);
      await sleep(300);
    },
  },
  {
    name: 'an object of 5 MB',
    fault: (world) => {
      world.server.apply(buildPod('a/huge', { ips: ['10.9.9.9'], annotations: { big: 'x'.repeat(5 * 1024 * 1024) } }));
    },
  },
  {
    name: 'every event twice',
    fault: async (world) => {
      const undo = world.server.inject({ type: 'rewrite', rewrite: (event) => [event, event] }, { match: watches });
      cut(world);
      for (let round = 0; round < 10; round++) {
        await sleep(20);
        world.churn();
      }
      undo();
      cut(world);
    },
  },
  {
    name: 'events in the wrong order',
    fault: async (world) => {
      const undo = world.server.inject(
        { type: 'rewrite', rewrite: swapPairs() },
        { match: (one) => watches(one) && !full(one) },
      );
      cut(world);
      for (let round = 0; round < 10; round++) {
        await sleep(20);
        world.churn();
      }
      undo();
      cut(world);
    },
    shows: /the server spoke of version/,
  },
  {
    name: 'restored from a backup with older versions',
    fault: async (world) => {
      const backup = world.server.backup();
      for (let round = 0; round < 20; round++) world.churn();
      world.server.apply(buildPod('a/after-backup', { ips: ['10.8.0.1'] }));
      await until('the objects after the backup arrive', () => world.pods.snapshot().items.has('a/after-backup'));
      world.server.restore(backup);
      cut(world);
    },
    rewinds: true,
    shows: /the server spoke of version/,
  },
  {
    name: 'restored from a backup, and grown past our version before we reach it',
    fault: async (world) => {
      const backup = world.server.backup();
      for (let round = 0; round < 3; round++) world.churn();
      const last = world.server.version;
      await until('the last change arrives', () => equalTo(world));
      const undo = world.server.inject({ type: 'reset' }, { match: reads });
      world.server.restore(backup);
      cut(world);
      while (Number(world.server.version) <= Number(last)) world.churn();
      undo();
    },
    rewinds: true,
    shows: /another history than ours: Pod a\/new\d+ is gone/,
    within: WITHIN + 6000,
  },
  {
    name: 'restored from a backup, and the same names written again in the same order',
    fault: async (world) => {
      const backup = world.server.backup();
      const write = (second: number) => {
        for (const name of ['a/x', 'a/y', 'a/z']) world.server.apply(buildPod(name, { ips: [`10.8.0.${second}`] }));
      };
      write(1);
      await until('they arrive', () => equalTo(world));
      const undo = world.server.inject({ type: 'reset' }, { match: reads });
      world.server.restore(backup);
      cut(world);
      write(2);
      undo();
    },
    rewinds: true,
    shows: /another history than ours: Pod a\/[xyz] of version \d+ is another than before/,
  },
  {
    name: 'restored from a backup of before a deletion, and grown past our version before we reach it',
    fault: async (world) => {
      world.server.apply(buildPod('a/back', { ips: ['10.8.1.1'] }));
      await until('it arrives', () => equalTo(world));
      const backup = world.server.backup();
      world.server.remove('Pod', 'back', 'a');
      await until('it is gone', () => equalTo(world));
      const undo = world.server.inject({ type: 'reset' }, { match: reads });
      world.server.restore(backup);
      cut(world);
      for (let round = 0; round < 5; round++) world.churn();
      undo();
    },
    rewinds: true,
    shows: /another history than ours: Pod a\/back has version \d+ after \d+/,
  },
  {
    name: 'what changed last is deleted while we are away: no list',
    fault: async (world) => {
      for (const name of ['a/x', 'a/y', 'a/z']) world.server.apply(buildPod(name, { ips: ['10.8.2.1'] }));
      await until('they arrive', () => equalTo(world));
      const before = world.server.requests.length;
      const undo = world.server.inject({ type: 'reset' }, { match: reads });
      cut(world);
      for (const name of ['x', 'y', 'z']) world.server.remove('Pod', name, 'a');
      await sleep(100);
      undo();
      await until('it is seen', () => equalTo(world));
      await sleep(5500);
      expect(world.server.requests.slice(before).filter(full)).toEqual([]);
    },
  },
];

/** The rows beyond the table: faults of proxies, of paging and of servers that say nothing wrong and nothing right. */
cases.push(
  {
    name: 'every byte a chunk of its own, texts of several bytes a character',
    fault: async (world) => {
      const undo = world.server.inject({ type: 'dribble', bytes: 1 }, { match: reads });
      await forget(world);
      world.server.apply(buildPod('a/utf8', { labels: { note: 'grün-漢字-😀' }, ips: ['10.7.0.1'] }));
      await until(
        'it comes',
        () => world.pods.snapshot().items.get('a/utf8')?.labels['note'] === 'grün-漢字-😀',
        10_000,
      );
      undo();
    },
    within: 2 * WITHIN,
  },
  {
    name: 'compressed by a proxy, and broken within',
    fault: async (world) => {
      const undo = world.server.inject({ type: 'gzip' }, { match: reads });
      await forget(world);
      await until('it reads on', () => world.pods.snapshot().staleSince === undefined);
      world.churn();
      await sleep(100);
      const cutting = world.server.inject({ type: 'reset', afterBytes: 400 }, { match: reads, times: 2 });
      cut(world);
      await sleep(200);
      cutting();
      undo();
    },
  },
  {
    name: 'bookmarks and nothing else',
    fault: async (world) => {
      const only = (event: WireEvent) => (event.type === 'BOOKMARK' ? [event] : []);
      world.server.inject({ type: 'rewrite', rewrite: only }, { match: (one) => watches(one) && !full(one), times: 1 });
      cut(world);
      await sleep(300);
      // What a watch says it has told is believed: only another list finds what it kept back.
      await forget(world);
    },
  },
  {
    name: 'watches that open and say nothing at all, from a version of the future',
    fault: async (world) => {
      const undo = world.server.inject(
        { type: 'rewrite', rewrite: () => [] },
        { match: (one) => watches(one) && !full(one), times: 1 },
      );
      cut(world);
      await sleep(100);
      world.churn();
      await sleep(600);
      undo();
    },
    shows: /not even a bookmark/,
  },
  {
    name: 'a version of the future, said so for as long as it is asked for',
    fault: (world) => {
      const message = 'Too large resource version: 99999, current: 5';
      const fault = { type: 'status', code: 504, reason: 'Timeout', message } as const;
      world.server.inject(fault, { match: fromOneVersion() });
      cut(world);
    },
    shows: /older than our version/,
  },
  {
    name: 'a version that the server never takes (400)',
    fault: (world) => {
      world.server.inject({ type: 'status', code: 400 }, { match: fromOneVersion() });
      cut(world);
    },
    shows: /will not go on from our version/,
  },
  {
    name: 'an event that is no JSON, at every watch from one version',
    fault: (world) => {
      world.server.inject({ type: 'corrupt', at: 7 }, { match: fromOneVersion() });
      cut(world);
      world.churn();
    },
    shows: /unexpected byte/,
  },
  {
    name: 'pages without objects, and with tokens',
    fault: async (world) => {
      world.server.inject({ type: 'empty-page' }, { match: (one) => one.verb === 'list', times: 3 });
      await forget(world);
    },
  },
  {
    name: 'the continue token expires between pages',
    fault: async (world) => {
      let left = 1;
      const expire = (one: RequestInfo) => {
        if (one.verb === 'list' && one.query.has('continue') && left-- > 0) world.server.compact();
        return false;
      };
      world.server.inject({ type: 'delay', ms: 0 }, { match: expire });
      await forget(world);
    },
  },
  {
    name: 'objects deleted and made between pages, each page of its own time',
    fault: async (world) => {
      const between = (one: RequestInfo) => {
        if (one.verb !== 'list') return false;
        if (one.query.has('continue')) {
          world.churn();
          world.server.remove('Pod', 'early', 'a');
        }
        return true;
      };
      // Listed on the first page and gone before the last.
      world.server.apply(buildPod('a/early', { ips: ['10.6.0.1'] }));
      world.server.inject({ type: 'inconsistent-pages' }, { match: between });
      await forget(world);
      await sleep(300);
    },
  },
  {
    name: 'throttled again and again (429, priority and fairness)',
    fault: async (world) => {
      const undo = world.server.inject(
        {
          type: 'status',
          code: 429,
          reason: 'TooManyRequests',
          message: 'too many requests, please try again later',
          retryAfter: '1',
        },
        { match: reads, times: 3 },
      );
      await forget(world);
      await sleep(200);
      undo();
    },
    shows: /429/,
    within: 2 * WITHIN,
  },
);

async function until(what: string, holds: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await sleep(5);
  }
}

const rows: string[] = [];
afterAll(() => {
  console.log(['fault | lists | right again after | what the stream showed', ...rows.sort()].join('\n'));
});

/** What the store must equal: the server's objects, projected. */
function expected(server: ApiServer): Map<string, PodObject | undefined> {
  return new Map(
    server.list('Pod').map((raw) => [`${raw.metadata.namespace}/${raw.metadata.name}`, projectPod(raw).object]),
  );
}

/** Whether the store is in touch and holds what the server does. */
function equalTo({ server, pods }: Pick<World, 'server' | 'pods'>): boolean {
  const { items, staleSince } = pods.snapshot();
  const wanted = expected(server);
  if (staleSince !== undefined || items.size !== wanted.size) return false;
  return [...wanted].every(([key, object]) => JSON.stringify(items.get(key)) === JSON.stringify(object));
}

describe.concurrent.each(['auto', 'never'] as const)('faults, WatchList %s', (watchList) => {
  it.concurrent.each(cases.map((one) => [one.name, one] as const))(
    '%s',
    async (name, { fault, shows, within = WITHIN, rewinds }) => {
      await using server = await createApiServer({ bookmarkMs: 60, watchList: watchList === 'auto' });
      for (let index = 0; index < 9; index++) server.apply(buildPod(`keep/p${index}`, { ips: [`10.0.0.${index}`] }));
      const settings: { token?: string } = {};
      const connection = createConnection({
        settings: (): ConnectionSettings => ({ server: server.url, ...settings }),
      });
      await using source = createApiSource({ connection, watchList, ...FAST });
      const pods = source.open('Pod');
      const states: SourceState[] = [];
      pods.state$.subscribe((state) => states.push(state));
      const lost: string[] = [];
      const batches: boolean[] = [];
      pods.changes$.subscribe((batch) => {
        batches.push(batch.synced);
        for (const { key, object } of batch.changed)
          if (object === undefined && key.startsWith('keep/')) lost.push(key);
      });
      await until('the first picture', () => pods.snapshot().synced);
      const before = states.length;

      let count = 0;
      const churn = () => {
        count++;
        server.apply(buildPod(`a/new${count}`, { ips: [`10.1.${count >> 8}.${count & 255}`] }));
        server.apply(buildPod('a/changing', { ips: [`10.2.0.${count}`] }));
        if (count > 1) server.remove('Pod', `new${count - 1}`, 'a');
      };
      const firstRequest = server.requests.length;
      const startedAt = Date.now();
      await fault({ server, pods, settings, churn });
      const over = Date.now();
      churn();
      const right = () => equalTo({ server, pods });
      await until('right again', right, within);
      const took = Date.now() - over;

      // After quiet it is still right, and follows.
      await sleep(100);
      churn();
      await until('it follows', right, within);
      expect(new Map(pods.snapshot().items)).toEqual(expected(server));
      if (rewinds !== true) expect(lost).toEqual([]);
      // Synced once, synced for ever.
      expect(batches.indexOf(true)).toBeGreaterThanOrEqual(0);
      expect(batches.slice(batches.indexOf(true)).every((synced) => synced)).toBe(true);
      const shown = states
        .slice(before)
        .filter((one) => one.reason !== '')
        .map((one) => `${one.phase}: ${one.reason}`);
      if (shows !== undefined) expect(shown.join('\n')).toMatch(shows);
      const lists = server.requests.slice(firstRequest).filter((one) => full(one) && !one.query.has('continue'));
      const allowed = 3 + (Date.now() - startedAt) / FAST.listLimit.everyMs + 1;
      expect(lists.length).toBeLessThanOrEqual(allowed);
      rows.push(
        `${name} (${watchList}) | ${lists.length} | ${took} ms | ${[...new Set(shown)].slice(0, 2).join('; ').slice(0, 160)}`,
      );
    },
    60_000,
  );
});

it('lists are rationed to less than ten in any minute', () => {
  let now = 0;
  const limiter = createLimiter(3, 10_000, () => now);
  const taken: number[] = [];
  for (now = 0; now < 600_000; now += 50) if (limiter.take() === 0) taken.push(now);
  for (const start of taken)
    expect(taken.filter((at) => at >= start && at < start + 60_000).length).toBeLessThanOrEqual(10);
  expect(taken.length).toBeGreaterThan(55);
});
