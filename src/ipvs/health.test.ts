import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { service, slice } from '../../test/support/ipvs-objects.ts';
import { createServiceCompiler } from './compile/compiler.ts';
import { createHealthPorts } from './health.ts';

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });

test('answers as kube-proxy does, follows endpoints and Services, more than 127 endpoints included', async () => {
  const port = await freePort();
  const compiler = createServiceCompiler({ node: { name: 'n1', primary: { 4: '192.168.1.11' } } });
  const endpoints = (count: number) =>
    slice(
      'shop/web',
      Array.from({ length: count }, (_, index) => ({
        address: `10.1.1.${index + 1}`,
        node: 'n1',
        pod: `shop/web-${index}`,
      })),
    );
  const web = (number: number, name = '') =>
    service('shop/web', {
      type: 'LoadBalancer',
      clusterIPs: ['172.16.0.10'],
      ports: [{ port: 80, protocol: 'TCP', name }],
      spec: { externalTrafficPolicy: 'Local', healthCheckNodePort: number },
    });
  await using health = createHealthPorts({ host: '127.0.0.1' });
  const apply = async (
    ...changes: Parameters<typeof compiler.update>[0] extends Iterable<infer One> ? One[] : never
  ): Promise<void> => {
    compiler.update(changes);
    compiler.flush();
    await health.update(compiler.health.values());
  };
  await apply(
    { kind: 'Service', key: 'shop/web', object: web(port) },
    { kind: 'EndpointSlice', key: 'shop/web-4', object: endpoints(200) },
  );
  const url = `http://127.0.0.1:${port}/healthz`;
  const good = await fetch(url);
  expect(good.status).toBe(200);
  expect(good.headers.get('content-type')).toBe('application/json');
  expect(await good.json()).toEqual({
    service: { namespace: 'shop', name: 'web' },
    localEndpoints: 200,
    serviceProxyHealthy: true,
  });
  await apply({ kind: 'EndpointSlice', key: 'shop/web-4', object: endpoints(0) });
  const bad = await fetch(url);
  expect(bad.status).toBe(503);
  expect(await bad.text()).toBe(
    '{\n\t"service": {\n\t\t"namespace": "shop",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 0,\n\t"serviceProxyHealthy": true\n}',
  );
  // A renamed port does not matter, a taken port is an issue, and an end of the Service closes the port.
  await apply(
    { kind: 'EndpointSlice', key: 'shop/web-4', object: endpoints(1) },
    { kind: 'Service', key: 'shop/web', object: web(port, '') },
  );
  expect((await fetch(url)).status).toBe(200);
  await using second = createHealthPorts({ host: '127.0.0.1' });
  await second.update(compiler.health.values());
  expect(second.issues()[0]?.object).toBe('Service shop/web');
  await apply({ kind: 'Service', key: 'shop/web', object: undefined });
  await expect(fetch(url)).rejects.toThrow();
});
