import { filter, firstValueFrom, take } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildNode, buildPod, buildService } from '../../testing/builders.ts';
import { createApiServer } from '../../testing/api-server/server.ts';
import type { ApiServer } from '../../testing/api-server/server.ts';
import { createInformers } from '../informers.ts';
import type { ChangeBatch } from '../source.ts';
import { createConnection } from './connection.ts';
import { createApiSource } from './source.ts';

let server: ApiServer;
beforeEach(async () => {
  server = await createApiServer();
});
afterEach(() => server.close());

const connect = () => createConnection({ settings: () => ({ server: server.url }) });
const lists = (resource: string) =>
  server.requests.filter((one) => one.verb === 'list' && one.resource === resource).length;

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe.each(['auto', 'never'] as const)('list and watch, WatchList %s', (watchList) => {
  it('delivers the first picture, then changes, and nothing twice', async () => {
    server.apply(buildNode('worker-1', { addresses: ['192.168.1.11'] }));
    for (let index = 0; index < 7; index++) server.apply(buildPod(`a/p${index}`, { ips: [`10.0.0.${index}`] }));
    await using informers = createInformers({
      source: createApiSource({ connection: connect(), watchList, pageSize: 3 }),
    });
    await firstValueFrom(informers.synced$.pipe(filter((synced) => synced)));
    expect(informers.pods.snapshot().items.size).toBe(7);
    expect([...informers.namespaces.snapshot().items.keys()].sort()).toEqual(['default', 'kube-system']);
    expect(lists('pods')).toBe(watchList === 'never' ? 3 : 0);

    const batches: ChangeBatch<unknown>[] = [];
    informers.pods.changes$.subscribe((batch) => batches.push(batch));
    server.apply(buildPod('a/p0', { ips: ['10.0.0.100'] }));
    // A change that no planner can see is none.
    server.apply(buildPod('a/p1', { ips: ['10.0.0.1'], metadata: { managedFields: [{}] } }));
    server.remove('Pod', 'p2', 'a');
    await until('the deletion arrives', () => !informers.pods.snapshot().items.has('a/p2'));
    expect(batches[0]?.changed).toHaveLength(7);
    expect(batches.slice(1).flatMap((one) => one.changed.map(({ key }) => key))).toEqual(['a/p0', 'a/p2']);
    expect(lists('pods')).toBe(watchList === 'never' ? 3 : 0);
  });

  it('selects on the server', async () => {
    for (const app of ['web', 'db']) server.apply(buildPod(`a/${app}`, { labels: { app }, node: app }));
    server.apply(buildPod('b/web', { labels: { app: 'web' } }));
    await using source = createApiSource({ connection: connect(), watchList });
    const web = source.open('Pod', { labelSelector: 'app=web' });
    const node = source.open('Pod', { fieldSelector: 'spec.nodeName=db' });
    const within = source.open('Pod', { namespace: 'b' });
    await Promise.all(
      [web, node, within].map((one) => firstValueFrom(one.snapshot$.pipe(filter((now) => now.synced)))),
    );
    expect([web, node, within].map((one) => [...one.snapshot().items.keys()].sort())).toEqual([
      ['a/web', 'b/web'],
      ['a/db'],
      ['b/web'],
    ]);
    expect(source.open('Pod', { namespace: 'b' })).toBe(within);
    // An object that leaves the selection is gone for this stream.
    server.apply(buildPod('a/web', { labels: { app: 'other' } }));
    await until('it is gone', () => !web.snapshot().items.has('a/web'));
  });

  it('one bad object is an issue and not the end', async () => {
    await using source = createApiSource({ connection: connect(), watchList });
    const services = source.open('Service');
    await firstValueFrom(services.snapshot$.pipe(filter((now) => now.synced)));
    server.apply(buildService('default/bad', { clusterIPs: ['010.0.0.1'] }));
    server.apply(buildService('default/good', { clusterIPs: ['10.0.0.1'] }));
    await until('both', () => services.snapshot().items.size === 2);
    expect(await firstValueFrom(source.issues$)).toEqual([
      {
        object: 'Service default/bad',
        field: 'spec.clusterIPs[0]',
        reason: '"010.0.0.1" is not an IP address; left out',
      },
    ]);
    server.remove('Service', 'bad');
    await until('gone', () => services.snapshot().items.size === 1);
    expect(await firstValueFrom(source.issues$)).toEqual([]);
  });
});

it('consumers of one kind share one watch; another reading of it is another stream', async () => {
  server.apply(buildPod('a/p', { labels: { app: 'web' } }));
  await using source = createApiSource({ connection: connect() });
  const [one, two] = [source.open('Pod'), source.open('Pod')];
  const seen = [0, 0];
  one.changes$.subscribe(() => seen[0]!++);
  two.changes$.subscribe(() => seen[1]!++);
  await firstValueFrom(one.snapshot$.pipe(filter((now) => now.synced)));
  await createInformers({ source, kinds: ['Pod'] })
    .pods.snapshot$.pipe(
      filter((now) => now.synced),
      take(1),
    )
    .forEach(() => {});
  const watches = () => server.requests.filter((each) => each.verb === 'watch' && each.resource === 'pods').length;
  expect(two).toBe(one);
  expect(watches()).toBe(1);
  expect(seen[0]).toBe(seen[1]);
  const spec = { kind: 'Pod', apiVersion: 'v1', plural: 'pods', namespaced: true };
  const names = source.openKind({
    ...spec,
    project: (raw) => ({ object: (raw as { metadata: { name: string } }).metadata.name, issues: [] }),
  });
  await firstValueFrom(names.snapshot$.pipe(filter((now) => now.synced)));
  expect([...names.snapshot().items]).toEqual([['a/p', 'p']]);
  expect(one.snapshot().items.get('a/p')?.labels).toEqual({ app: 'web' });
  expect(watches()).toBe(2);
});

it('falls back to pages when the server cannot stream the first picture', async () => {
  await using old = await createApiServer({ watchList: false });
  old.apply(buildPod('a/p'));
  await using source = createApiSource({ connection: createConnection({ settings: () => ({ server: old.url }) }) });
  const pods = source.open('Pod');
  await firstValueFrom(pods.snapshot$.pipe(filter((now) => now.synced)));
  expect([...pods.snapshot().items.keys()]).toEqual(['a/p']);
});

it('follows a kind of the caller', async () => {
  const widget = { group: 'example.com', version: 'v1', kind: 'Widget', plural: 'widgets', namespaced: true };
  await using own = await createApiServer({ resources: [widget] });
  own.apply({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'w', namespace: 'a' }, size: 3 });
  await using source = createApiSource({ connection: createConnection({ settings: () => ({ server: own.url }) }) });
  const widgets = source.openKind({
    kind: 'Widget',
    apiVersion: 'example.com/v1',
    plural: 'widgets',
    namespaced: true,
    project: (raw) => {
      const { size } = raw as { size?: number };
      if (size === undefined) throw new Error('no size');
      return { object: { size }, issues: [] };
    },
  });
  await firstValueFrom(widgets.snapshot$.pipe(filter((now) => now.synced)));
  expect([...widgets.snapshot().items]).toEqual([['a/w', { size: 3 }]]);
  own.apply({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'x', namespace: 'a' } });
  const issues = await firstValueFrom(widgets.issues$.pipe(filter((list) => list.length > 0)));
  expect(issues).toEqual([
    { object: 'Widget a/x', field: '', reason: 'cannot be read: no size; the object is ignored' },
  ]);
});
