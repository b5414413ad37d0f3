import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { firstValueFrom, filter } from 'rxjs';
import type { ChangeBatch } from './source.ts';
import type { ServiceObject } from '../objects/types.ts';
import { createInformers } from './informers.ts';
import { createManifestSource } from './manifests.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kri-manifests-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const service = (name: string, ip: string) =>
  `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {clusterIP: ${ip}}\n`;
const put = (name: string, text: string) => writeFile(join(folder, name), text);

/** Resolves when the condition holds; fails by name otherwise. */
async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 5000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('manifests', () => {
  it('offers the same streams as any source, every kind from one place', async () => {
    await mkdir(join(folder, 'sub'));
    await put('sub/b.yml', 'apiVersion: v1\nkind: Namespace\nmetadata: {name: n}');
    await put('a.yaml', service('a', '172.16.0.1') + service('b', '010.0.0.1'));
    await put('ignored.txt', '{');
    await using informers = createInformers({ source: await createManifestSource({ paths: [folder], watch: false }) });
    expect([...informers.services.snapshot().items.keys()]).toEqual(['default/a', 'default/b']);
    expect([...informers.namespaces.snapshot().items.keys()]).toEqual(['n']);
    expect(informers.pods.snapshot()).toMatchObject({ synced: true });
    expect(await firstValueFrom(informers.synced$)).toBe(true);
    const issues = await firstValueFrom(informers.issues$);
    expect(issues).toEqual([
      {
        object: 'Service default/b',
        field: 'spec.clusterIP',
        reason: '"010.0.0.1" is not an IP address; left out',
        source: `${join(folder, 'a.yaml')}:10:8`,
      },
    ]);
    expect(await firstValueFrom(informers.services.issues$)).toEqual(issues);
  });

  it('a path that is not there is refused at the start', async () => {
    await expect(createManifestSource({ paths: [join(folder, 'none.yaml')] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });

  it('follows changes as per-key batches', async () => {
    await put('a.yaml', service('a', '172.16.0.1') + service('b', '172.16.0.2'));
    await using source = await createManifestSource({ paths: [join(folder, 'a.yaml')], settleMs: 20 });
    const batches: ChangeBatch<ServiceObject>[] = [];
    source.open('Service').changes$.subscribe((batch) => batches.push(batch));
    expect(batches.map((one) => one.changed.map((change) => change.key))).toEqual([['default/a', 'default/b']]);

    // As editors do it: a new file renamed over the old one.
    await put('new', service('a', '172.16.0.9') + service('c', '172.16.0.3'));
    await rename(join(folder, 'new'), join(folder, 'a.yaml'));
    await until('the second batch', () => batches.length === 2);
    const seen = batches[1]?.changed.map(({ key, object, previous }) => [
      key,
      previous?.clusterIPs[0],
      object?.clusterIPs[0],
    ]);
    expect(seen).toEqual([
      ['default/a', '172.16.0.1', '172.16.0.9'],
      ['default/c', undefined, '172.16.0.3'],
      ['default/b', '172.16.0.2', undefined],
    ]);
  });

  it('the last good version of a broken document stays in force, whichever way it breaks', async () => {
    const good = service('a', '172.16.0.1') + service('b', '172.16.0.2');
    await put('a.yaml', good);
    await using source = await createManifestSource({ paths: [folder], watch: false });
    const services = source.open('Service');
    const state = async () => ({
      ips: [...services.snapshot().items.values()].map((one) => `${one.name} ${one.clusterIPs[0]}`),
      issues: (await firstValueFrom(source.issues$)).map((one) => one.object),
    });

    await put('a.yaml', service('a', '172.16.0.7') + service('b', 'rubbish'));
    await source.reload();
    expect(await state()).toEqual({ ips: ['a 172.16.0.7', 'b 172.16.0.2'], issues: ['Service default/b'] });

    await put('a.yaml', service('a', '172.16.0.8') + service('b', '{'));
    await source.reload();
    expect(await state()).toEqual({ ips: ['a 172.16.0.8', 'b 172.16.0.2'], issues: ['Service default/b'] });

    await put('a.yaml', `${service('a', '172.16.0.9')}---\n]rubbish[\n`);
    await source.reload();
    expect(await state()).toEqual({
      ips: ['a 172.16.0.9', 'b 172.16.0.2'],
      issues: [`Manifest ${join(folder, 'a.yaml')}`],
    });

    await put('a.yaml', service('a', '172.16.0.9'));
    await source.reload();
    expect(await state()).toEqual({ ips: ['a 172.16.0.9'], issues: [] });
  });

  it('a ConfigMap mount, switched by its link, is followed', async () => {
    await mkdir(join(folder, '..one'));
    await mkdir(join(folder, '..two'));
    await put('..one/s.yaml', service('one', '172.16.0.1'));
    await put('..two/s.yaml', service('two', '172.16.0.2'));
    await symlink('..one', join(folder, '..data'));
    await symlink('..data/s.yaml', join(folder, 's.yaml'));
    await using source = await createManifestSource({ paths: [folder], settleMs: 20, pollMs: 200 });
    const services = source.open('Service');
    expect([...services.snapshot().items.keys()]).toEqual(['default/one']);
    await symlink('..two', join(folder, '..tmp'));
    await rename(join(folder, '..tmp'), join(folder, '..data'));
    await until('the new link is read', () => services.snapshot().items.has('default/two'));
    expect([...services.snapshot().items.keys()]).toEqual(['default/two']);
  });

  it('a path that vanishes makes the source stale and keeps what it said', async () => {
    await mkdir(join(folder, 'x'));
    await put('x/a.yaml', service('a', '172.16.0.1'));
    await using source = await createManifestSource({ paths: [join(folder, 'x')], watch: false });
    const services = source.open('Service');
    await rename(join(folder, 'x'), join(folder, 'y'));
    await source.reload();
    expect(services.snapshot()).toMatchObject({ synced: true, staleSince: expect.any(Number) as number });
    expect(services.snapshot().items.size).toBe(1);
    await rename(join(folder, 'y'), join(folder, 'x'));
    await source.reload();
    const state = await firstValueFrom(services.state$.pipe(filter((one) => one.phase === 'watching')));
    expect(state.reason).toBe('');
    expect(services.snapshot().staleSince).toBeUndefined();
  });

  it('selects by label and namespace', async () => {
    await put(
      'a.json',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'List',
        items: ['web', 'api', 'db'].map((app, index) => ({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: app, namespace: index === 2 ? 'other' : 'default', labels: { app } },
        })),
      }),
    );
    await using source = await createManifestSource({ paths: [folder], watch: false });
    const keys = (options: object) => [...source.open('Pod', options).snapshot().items.keys()];
    expect(keys({ labelSelector: 'app in (web, db)' })).toEqual(['default/web', 'other/db']);
    expect(keys({ labelSelector: 'app!=web', namespace: 'default' })).toEqual(['default/api']);
    expect(() => source.open('Pod', { labelSelector: 'a b' })).toThrow(/not a label selector/);
  });
});
