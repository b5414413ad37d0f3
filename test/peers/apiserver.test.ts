/**
 * Witnesses for the test API server that are not ours: client-node's list, watch and writes, the machine's kubectl,
 * and Debian's kubectl 1.20, each unmodified.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CoreV1Api, KubeConfig, Watch, makeInformer } from '@kubernetes/client-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNode, buildPod, buildService, createApiServer } from '../../src/testing/index.ts';
import type { ApiServer } from '../../src/testing/index.ts';

const run = promisify(execFile);
let folder = '';
let server: ApiServer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kri-apiserver-'));
  server = await createApiServer({ serviceCidrs: ['172.16.0.0/16', 'fd00:172::/112'] });
  await writeFile(join(folder, 'kubeconfig'), server.kubeconfig());
  server.apply(buildNode('worker-1', { addresses: ['192.168.1.11'], labels: { zone: 'a' } }));
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

/** Resolves when the condition holds; fails by name otherwise. */
async function until(what: string, holds: () => boolean, ms = 15_000): Promise<void> {
  const end = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('client-node', () => {
  const config = () => {
    const kc = new KubeConfig();
    kc.loadFromString(server.kubeconfig());
    for (const cluster of kc.clusters) Object.assign(cluster, { skipTLSVerify: true });
    return kc;
  };

  it('lists in pages, reads, creates, patches, updates status and deletes', async () => {
    const api = config().makeApiClient(CoreV1Api);
    for (let index = 0; index < 5; index++)
      await api.createNamespacedPod({
        namespace: 'default',
        body: {
          metadata: { name: `p${index}`, labels: { even: String(index % 2 === 0) } },
          spec: { containers: [{ name: 'c' }] },
        },
      });
    const first = await api.listNamespacedPod({ namespace: 'default', limit: 2 });
    expect(first.items.map((one) => one.metadata?.name)).toEqual(['p0', 'p1']);
    const next = await api.listNamespacedPod({ namespace: 'default', limit: 9, _continue: first.metadata!._continue! });
    expect(next.items.map((one) => one.metadata?.name)).toEqual(['p2', 'p3', 'p4']);
    const even = await api.listPodForAllNamespaces({ labelSelector: 'even=true', fieldSelector: 'metadata.name!=p0' });
    expect(even.items.map((one) => one.metadata?.name)).toEqual(['p2', 'p4']);

    const pod = await api.readNamespacedPod({ namespace: 'default', name: 'p0' });
    pod.status = { phase: 'Running', podIP: '10.0.0.1' };
    await api.replaceNamespacedPodStatus({ namespace: 'default', name: 'p0', body: pod });
    expect((await api.readNamespacedPod({ namespace: 'default', name: 'p0' })).status?.podIP).toBe('10.0.0.1');
    await expect(api.replaceNamespacedPod({ namespace: 'default', name: 'p0', body: pod })).rejects.toMatchObject({
      code: 409,
    });
    await expect(api.readNamespacedPod({ namespace: 'default', name: 'no' })).rejects.toMatchObject({ code: 404 });
    for (let index = 0; index < 5; index++) await api.deleteNamespacedPod({ namespace: 'default', name: `p${index}` });
    expect((await api.listNamespacedPod({ namespace: 'default' })).items).toEqual([]);
  });

  it('watches', async () => {
    const seen: string[] = [];
    const controller = await new Watch(config()).watch(
      '/api/v1/namespaces/watched/pods',
      {},
      (phase, object: { metadata: { name: string } }) => seen.push(`${phase} ${object.metadata.name}`),
      () => {},
    );
    server.apply(buildPod('watched/a'));
    server.apply(buildPod('watched/a', { ips: ['10.0.0.1'] }));
    server.apply(buildPod('elsewhere/b'));
    server.remove('Pod', 'a', 'watched');
    await until('three events', () => seen.length === 3);
    expect(seen).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a']);
    controller.abort();
  });

  it('runs its informer', async () => {
    const kc = config();
    const api = kc.makeApiClient(CoreV1Api);
    const informer = makeInformer(kc, '/api/v1/services', () => api.listServiceForAllNamespaces());
    const seen: string[] = [];
    informer.on('add', (one) => seen.push(`add ${one.metadata?.name}`));
    informer.on('delete', (one) => seen.push(`delete ${one.metadata?.name}`));
    server.apply(buildService('default/first', { ports: [{ port: 80 }] }));
    await informer.start();
    server.apply(buildService('default/second', { ports: [{ port: 80 }] }));
    server.remove('Service', 'first');
    await until('the informer follows', () => seen.length === 3);
    expect(seen).toEqual(['add first', 'add second', 'delete first']);
    await informer.stop();
    server.remove('Service', 'second');
  });
});

/** Debian's kubectl, unpacked from its package into a cache, never installed. */
async function debianKubectl(): Promise<string> {
  const cache = join(tmpdir(), 'kri-debian-kubectl');
  const binary = join(cache, 'root/usr/bin/kubectl');
  if (existsSync(binary)) return binary;
  await mkdir(join(cache, 'root'), { recursive: true });
  await run('apt-get', ['download', 'kubernetes-client'], { cwd: cache });
  const archive = (await readdir(cache)).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new Error('apt-get download kubernetes-client left no package');
  await run('dpkg', ['-x', join(cache, archive), join(cache, 'root')]);
  return binary;
}

describe.each([
  ["the machine's kubectl", () => Promise.resolve('kubectl')],
  ["Debian's kubectl 1.20", debianKubectl],
])('%s', (_, find) => {
  let binary = '';
  beforeAll(async () => {
    binary = await find();
  }, 120_000);
  const environment = () => ({ ...process.env, KUBECONFIG: join(folder, 'kubeconfig'), HOME: folder });
  const kubectl = async (...args: string[]) => {
    const { stdout } = await run(binary, [`--cache-dir=${join(folder, 'cache')}`, ...args], {
      env: environment(),
      timeout: 60_000,
    });
    return stdout;
  };
  const manifest = (port: number) => `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: ${port}}, {name: https, port: 443}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
`;

  it('gets', async () => {
    expect(await kubectl('get', 'nodes')).toMatch(/worker-1/);
    expect(await kubectl('get', 'no', '-l', 'zone=a', '-o', 'name')).toBe('node/worker-1\n');
    expect(await kubectl('get', 'node', 'worker-1', '-o', 'jsonpath={.status.addresses[0].address}')).toBe(
      '192.168.1.11',
    );
  });

  it('applies, applies again, and deletes', async () => {
    await writeFile(join(folder, 'shop.yaml'), manifest(80));
    const apply = () => kubectl('apply', '--validate=false', '-f', join(folder, 'shop.yaml'));
    expect(await apply()).toMatch(
      /namespace\/shop created\nservice\/web created\nnetworkpolicy.networking.k8s.io\/deny created/,
    );
    const created = server.get('Service', 'web', 'shop')?.['spec'] as { clusterIP: string; ports: unknown[] };
    expect(created.clusterIP).toMatch(/^172\.16\./);
    expect(await apply()).toMatch(/namespace\/shop unchanged\nservice\/web unchanged/);
    await writeFile(join(folder, 'shop.yaml'), manifest(81));
    expect(await apply()).toMatch(/service\/web configured/);
    expect(server.get('Service', 'web', 'shop')?.['spec']).toMatchObject({
      clusterIP: created.clusterIP,
      ports: [
        { name: 'http', port: 81 },
        { name: 'https', port: 443 },
      ],
    });
    expect(await kubectl('label', 'service', 'web', '-n', 'shop', 'x=y')).toMatch(/labeled/);
    expect(server.get('Service', 'web', 'shop')?.metadata.labels).toEqual({ x: 'y' });
    expect(await kubectl('delete', '-f', join(folder, 'shop.yaml'))).toMatch(/"web" deleted/);
    expect(server.get('Service', 'web', 'shop')).toBeUndefined();
    expect(server.get('Namespace', 'shop')).toBeUndefined();
  });

  it('watches', async () => {
    const child = spawn(
      binary,
      [`--cache-dir=${join(folder, 'cache')}`, 'get', 'pods', '-n', 'live', '--watch', '-o', 'name'],
      {
        env: environment(),
      },
    );
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    try {
      const before = server.requests.length;
      await until('kubectl watches', () =>
        server.requests
          .slice(before - 1)
          .some((one) => one.verb === 'watch' && one.resource === 'pods' && one.path.includes('live')),
      );
      server.apply(buildPod('live/one'));
      await until('kubectl prints it', () => text.includes('pod/one'));
    } finally {
      child.kill();
      server.remove('Pod', 'one', 'live');
    }
  });
});
