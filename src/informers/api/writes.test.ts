import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildPod, buildService } from '../../testing/builders.ts';
import { createApiServer } from '../../testing/api-server/server.ts';
import type { ApiServer } from '../../testing/api-server/server.ts';
import { createConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import { createEventRecorder } from './events.ts';
import { specOf } from './kind-spec.ts';
import { createLeaderElection } from './lease.ts';
import type { LeaderElection } from './lease.ts';
import { createApiWriter } from './writes.ts';

let server: ApiServer;
let connection: Connection;
beforeEach(async () => {
  server = await createApiServer();
  connection = createConnection({ settings: () => ({ server: server.url }) });
});
afterEach(async () => {
  connection.close();
  await server.close();
});

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await sleep(5);
  }
}

describe('writes', () => {
  const services = specOf('Service');
  const ref = { namespace: 'default', name: 'web' };

  it('creates, updates, patches, writes status alone and removes', async () => {
    const writer = createApiWriter(connection);
    const created = await writer.create(services, { ...buildService('default/web', { ports: [{ port: 80 }] }) });
    expect(created.metadata.resourceVersion).toMatch(/^\d+$/);
    await writer.patch(services, ref, 'merge', { metadata: { labels: { a: 'b' } } });
    await writer.patch(services, ref, 'strategic', { spec: { ports: [{ port: 81 }] } });
    const status = { loadBalancer: { ingress: [{ ip: '10.9.0.1' }] } };
    await writer.modify(services, ref, (now) => ({ ...now, spec: {}, status }), { subresource: 'status' });
    expect(await writer.get(services, ref)).toMatchObject({
      metadata: { labels: { a: 'b' } },
      // Without an order in the patch, what is new goes to the end.
      spec: { ports: [{ port: 80 }, { port: 81 }] },
      status,
    });
    await expect(writer.update(services, created)).rejects.toMatchObject({
      code: 'API_ERROR',
      details: { status: 409 },
    });
    expect(await writer.remove(services, ref)).toBe(true);
    expect(await writer.remove(services, ref)).toBe(false);
  });

  it('ten writers who all add one lose none', async () => {
    server.apply(buildService('default/web'));
    const writer = createApiWriter(connection);
    const add = () =>
      writer.modify(
        services,
        ref,
        (now) => {
          const labels = now.metadata['labels'] as { n?: string } | undefined;
          return { ...now, metadata: { ...now.metadata, labels: { n: String(Number(labels?.n ?? 0) + 1) } } };
        },
        { attempts: 50 },
      );
    await Promise.all(Array.from({ length: 10 }, add));
    expect(server.get('Service', 'web')?.metadata.labels).toEqual({ n: '10' });
  });

  it('waits as long as it is asked to, and tries again what may be tried again', async () => {
    server.apply(buildService('default/web'));
    server.inject({ type: 'status', code: 429, retryAfter: '1' }, { times: 1 });
    const started = Date.now();
    await createApiWriter(connection).get(services, ref);
    expect(Date.now() - started).toBeGreaterThanOrEqual(1000);
    server.inject({ type: 'reset' }, { times: 2 });
    await createApiWriter(connection).get(services, ref);
    server.inject({ type: 'reset' }, { times: 1, match: (one) => one.verb === 'create' });
    const creating = createApiWriter(connection).create(services, { ...buildService('default/x') });
    await expect(creating).rejects.toMatchObject({ code: 'API_UNREACHABLE', retryable: true });
  });

  it('ends with its signal', async () => {
    server.inject({ type: 'freeze' });
    const reading = createApiWriter(connection).get(services, ref, { signal: AbortSignal.timeout(50) });
    await expect(reading).rejects.toMatchObject({ code: 'ABORTED' });
  });
});

describe('events', () => {
  const note = (name: string, message = 'went wrong') => ({
    about: { apiVersion: 'v1', kind: 'Pod', namespace: 'a', name },
    type: 'Warning' as const,
    reason: 'Failed',
    message,
  });

  it('counts equal ones, limits a flood, and never throws', async () => {
    let now = 1_000_000;
    const recorder = createEventRecorder({
      connection,
      component: 'test',
      instance: 'n1',
      burst: 3,
      windowMs: 1000,
      now: () => now,
    });
    for (let index = 0; index < 5; index++) {
      recorder.record(note('p'));
      now += 50;
    }
    await recorder.flush();
    expect(server.list('Event', 'a')).toMatchObject([
      {
        involvedObject: { kind: 'Pod', namespace: 'a', name: 'p' },
        reason: 'Failed',
        count: 5,
        reportingInstance: 'n1',
      },
    ]);
    for (let index = 0; index < 5; index++) recorder.record(note('p', `different ${index}`));
    await recorder.flush();
    expect(server.list('Event', 'a')).toHaveLength(3);
    expect(recorder.dropped).toBe(3);
    server.inject({ type: 'status', code: 403 });
    recorder.record(note('q', 'x'.repeat(2000)));
    await recorder.flush();
    expect(recorder.dropped).toBe(4);
  });
});

describe('leader election', () => {
  const stand = (identity: string, own: Connection = connection) =>
    createLeaderElection({
      connection: own,
      namespace: 'kube-system',
      name: 'allocator',
      identity,
      durationMs: 600,
      renewDeadlineMs: 400,
      retryMs: 60,
    });
  const leaders = (all: LeaderElection[]) => all.filter((one) => one.current.leader).length;

  it('one leads; when it closes, another follows at once with a larger token', async () => {
    const all = ['a', 'b', 'c'].map((name) => stand(name));
    await until('a leader', () => leaders(all) === 1);
    const first = all.find((one) => one.current.leader)!;
    const token = first.current.token!;
    const { signal } = first.current;
    const started = Date.now();
    expect(await first.confirm(token)).toBe(true);
    expect(await first.confirm(token - 1)).toBe(false);
    await first.close();
    expect(await first.confirm(token)).toBe(false);
    expect(signal?.aborted).toBe(true);
    await until('another leader', () => leaders(all) === 1);
    expect(Date.now() - started).toBeLessThan(550);
    expect(all.find((one) => one.current.leader)!.current.token).toBeGreaterThan(token);
    await Promise.all(all.map((one) => one.close()));
    expect(server.get('Lease', 'allocator', 'kube-system')?.['spec']).toMatchObject({ holderIdentity: '' });
  });

  it('a leader cut off steps down before another steps up, and there are never two', async () => {
    const cut = createConnection({ settings: () => ({ server: server.url, headers: { 'x-cut': '1' } }) });
    const a = stand('a', cut);
    await until('a leads', () => a.current.leader);
    const b = stand('b');
    let worst = 0;
    const watch = setInterval(() => (worst = Math.max(worst, leaders([a, b]))), 1);
    cut.close();
    await until('a has stepped down', () => !a.current.leader);
    expect(b.current.leader).toBe(false);
    await until('b leads', () => b.current.leader);
    clearInterval(watch);
    expect(worst).toBe(1);
    await Promise.all([a.close(), b.close()]);
  });

  it('refuses times that would allow two leaders', () => {
    expect(() =>
      createLeaderElection({ connection, namespace: 'x', name: 'y', identity: 'z', renewDeadlineMs: 20_000 }),
    ).toThrow(/lease needs/);
  });
});

describe('pods', () => {
  it('a graceful deletion lingers', async () => {
    await using own = await createApiServer({ gracefulPods: true });
    const link = createConnection({ settings: () => ({ server: own.url }) });
    own.apply(buildPod('a/p', { node: 'n', spec: { terminationGracePeriodSeconds: 1 } }));
    await createApiWriter(link).remove(specOf('Pod'), { namespace: 'a', name: 'p' });
    expect(own.get('Pod', 'p', 'a')?.metadata.deletionTimestamp).toBeDefined();
    await until('it is gone', () => own.get('Pod', 'p', 'a') === undefined);
    link.close();
  });
});
