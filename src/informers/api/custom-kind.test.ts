/**
 * A custom resource that the server does not know: none of it, until it is defined; and no loss when it is gone for a while.
 */
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { buildClusterNetworkPolicy } from '../../testing/builders.ts';
import { createConnection } from './connection.ts';
import { createApiSource } from './source.ts';

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

it('counts as none while it is not defined, and is kept once it was there', async () => {
  let defined = false;
  let asked = 0;
  const server = createServer(({ url = '' }, response) => {
    const { pathname, searchParams } = new URL(url, 'http://localhost');
    if (pathname === '/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies') asked++;
    if (!defined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('404 page not found\n');
    } else if (searchParams.has('watch')) {
      // The watch ends at once, so that the next request meets whatever is true by then.
      response.writeHead(200, { 'content-type': 'application/json' }).end();
    } else {
      const items = [{ ...buildClusterNetworkPolicy('guard'), apiVersion: undefined, kind: undefined }];
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ kind: 'List', metadata: { resourceVersion: '5' }, items }));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = createConnection({ settings: () => ({ server: `http://127.0.0.1:${port}` }) });
  try {
    await using source = createApiSource({
      connection,
      watchList: 'never',
      unknownMs: 20,
      backoff: { baseMs: 10, maxMs: 50 },
      listLimit: { burst: 100, everyMs: 10 },
    });
    const policies = source.open('ClusterNetworkPolicy');
    await until('a first picture', () => policies.snapshot().synced);
    expect(policies.snapshot().items.size).toBe(0);
    expect(policies.snapshot().staleSince).toBeUndefined();
    defined = true;
    await until('the object', () => policies.snapshot().items.size === 1);
    defined = false;
    const before = asked;
    await until('more questions', () => asked > before + 3);
    expect([...policies.snapshot().items.keys()]).toEqual(['guard']);
    await until('staleness', () => policies.snapshot().staleSince !== undefined);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
