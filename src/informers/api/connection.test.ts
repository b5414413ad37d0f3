import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { filter, firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildNode, buildPod } from '../../testing/builders.ts';
import { createApiServer } from '../../testing/api-server/server.ts';
import type { ApiServerOptions } from '../../testing/api-server/server.ts';
import { callApi } from './client.ts';
import { createConnection } from './connection.ts';
import type { Connection, ConnectionSettings } from './connection.ts';
import { createInClusterConnection } from './in-cluster.ts';
import { createKubeConfigConnection } from './kubeconfig.ts';
import { createApiSource } from './source.ts';

let folder = '';
const file = (name: string) => join(folder, name);
const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });

/** A CA, and certificates of it. */
function makeCa(name: string): void {
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.crt`,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  );
}
async function makeCert(ca: string, name: string): Promise<void> {
  await writeFile(file(`${name}.ext`), 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1');
  openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
    '-subj',
    `/CN=${name}`,
  );
  openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    `${ca}.crt`,
    '-CAkey',
    `${ca}.key`,
    '-CAcreateserial',
    '-out',
    `${name}.crt`,
    '-days',
    '2',
    '-extfile',
    `${name}.ext`,
  );
}
const text = (name: string) => readFile(file(name), 'utf8');
const tlsOf = async (name: string, ca?: string): Promise<NonNullable<ApiServerOptions['tls']>> => ({
  key: await text(`${name}.key`),
  cert: await text(`${name}.crt`),
  ...(ca === undefined ? {} : { ca: await text(`${ca}.crt`) }),
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kri-connection-'));
  makeCa('ca');
  makeCa('ca2');
  await makeCert('ca', 'server');
  await makeCert('ca2', 'server2');
  await makeCert('ca', 'client');
  await makeCert('ca2', 'client2');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function until(what: string, holds: () => boolean): Promise<void> {
  const end = Date.now() + 8000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Follows nodes over a connection until it has them and sees a change. */
async function follows(server: { apply(object: unknown): void }, connection: Connection): Promise<void> {
  server.apply(buildNode('worker-1'));
  await using source = createApiSource({ connection, backoff: { baseMs: 20, maxMs: 200 } });
  const nodes = source.open('Node');
  await firstValueFrom(nodes.snapshot$.pipe(filter((now) => now.synced && now.items.has('worker-1'))));
  server.apply(buildNode('worker-2'));
  await until('the change', () => nodes.snapshot().items.has('worker-2'));
}

describe('reaches servers', () => {
  it('over HTTPS with its own CA and a client certificate', async () => {
    await using server = await createApiServer({ tls: await tlsOf('server', 'ca') });
    const settings = {
      server: server.url,
      ca: await text('ca.crt'),
      cert: await text('client.crt'),
      key: await text('client.key'),
    };
    await follows(server, createConnection({ settings: () => settings }));
    const without = createConnection({ settings: () => ({ server: server.url, ca: settings.ca }) });
    await expect(callApi(without, { path: '/version' })).rejects.toMatchObject({ code: 'API_UNREACHABLE' });
    const strange = createConnection({ settings: () => ({ server: server.url }) });
    await expect(callApi(strange, { path: '/version' })).rejects.toMatchObject({ code: 'API_UNREACHABLE' });
  });

  it('over IPv6', async () => {
    await using server = await createApiServer({ host: '::1' });
    expect(server.url).toMatch(/^http:\/\/\[::1\]:/);
    await follows(server, createConnection({ settings: () => ({ server: server.url }) }));
  });

  it('over a Unix socket', async () => {
    const socketPath = file('api.sock');
    await using server = await createApiServer({ socketPath });
    await follows(server, createConnection({ settings: () => ({ server: server.url, socketPath }) }));
  });

  it('below a path', async () => {
    await using server = await createApiServer();
    const front = http.createServer((request, response) => {
      request.pipe(
        http.request(
          `${server.url}${request.url?.replace('/k8s/cluster', '')}`,
          { headers: request.headers },
          (answer) => {
            response.writeHead(answer.statusCode ?? 500, answer.headers);
            answer.pipe(response);
          },
        ),
      );
    });
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const { port } = front.address() as AddressInfo;
    await follows(server, createConnection({ settings: () => ({ server: `http://127.0.0.1:${port}/k8s/cluster/` }) }));
    front.closeAllConnections();
    front.close();
  });

  it('through the HTTP proxy that a kubeconfig names', async () => {
    await using server = await createApiServer({ tls: await tlsOf('server') });
    let tunnels = 0;
    const proxy = http.createServer();
    proxy.on('connect', (request, client) => {
      tunnels++;
      const upstream = connect(Number(request.url?.split(':')[1]), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        upstream.pipe(client).pipe(upstream);
      });
      upstream.on('error', () => client.destroy());
      client.on('error', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as AddressInfo;
    const config = server
      .kubeconfig({ ca: await text('ca.crt') })
      .replace('cluster: {server', `cluster: {proxy-url: "http://127.0.0.1:${port}", server`);
    await writeFile(file('proxied'), config);
    await follows(server, await createKubeConfigConnection({ file: file('proxied') }));
    expect(tunnels).toBeGreaterThan(0);
    proxy.closeAllConnections();
    proxy.close();
  });
});

describe('connections that break', () => {
  /** A way to a server that does with each connection, by its number, what it is told to. */
  async function relay(port: number, treat: (client: Socket, count: number) => boolean) {
    let count = 0;
    const server = createServer((client) => {
      client.on('error', () => {});
      if (!treat(client, count++)) return;
      const upstream = connect(port, '127.0.0.1');
      client.pipe(upstream).pipe(client);
      upstream.on('error', () => client.destroy());
      client.on('close', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      get count() {
        return count;
      },
      [Symbol.dispose]: () => void server.close(),
    };
  }

  it('reset during the TLS handshake, again and again, each time a step later', async () => {
    await using server = await createApiServer({ tls: await tlsOf('server') });
    using way = await relay(server.port, (client, count) => {
      if (count >= 6) return true;
      if (count === 0) client.resetAndDestroy();
      else if (count < 3) client.once('data', () => client.resetAndDestroy());
      else {
        const upstream = connect(server.port, '127.0.0.1');
        client.pipe(upstream);
        // Some bytes of the server's part of the handshake, then the end.
        upstream.once('data', (chunk: Buffer) => {
          client.write(chunk.subarray(0, 100 * count), () => client.resetAndDestroy());
          upstream.destroy();
        });
        upstream.on('error', () => {});
      }
      return false;
    });
    const ca = await text('ca.crt');
    await follows(server, createConnection({ settings: () => ({ server: `https://localhost:${way.port}`, ca }) }));
    expect(way.count).toBeGreaterThan(6);
  });

  it('an idle connection that the server closes as it is used again', async () => {
    let requests = 0;
    const server = createServer((client) => {
      client.on('error', () => {});
      let own = 0;
      client.on('data', () => {
        requests++;
        if (own++ > 0) return void client.resetAndDestroy();
        client.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}');
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const connection = createConnection({ settings: () => ({ server: `http://127.0.0.1:${port}` }) });
    expect(await callApi(connection, { path: '/a' })).toEqual({});
    // Read again where reading twice is reading once; a write is the caller's to repeat.
    expect(await callApi(connection, { path: '/b' })).toEqual({});
    expect(requests).toBe(3);
    await expect(callApi(connection, { path: '/c', method: 'POST', body: {} })).rejects.toMatchObject({
      code: 'API_UNREACHABLE',
    });
    expect(requests).toBe(4);
    connection.close();
    server.close();
  });

  it('a server that is away and comes back at the same place', async () => {
    const first = await createApiServer();
    const { port } = first;
    first.apply(buildPod('a/p'));
    const connection = createConnection({ settings: () => ({ server: `http://127.0.0.1:${port}` }) });
    await using source = createApiSource({ connection, backoff: { baseMs: 20, maxMs: 200 } });
    const pods = source.open('Pod');
    await firstValueFrom(pods.snapshot$.pipe(filter((now) => now.synced)));
    const backup = first.backup();
    await first.close();
    const away = await firstValueFrom(pods.state$.pipe(filter(({ reason }) => reason.includes('ECONNREFUSED'))));
    expect(away.phase).toBe('waiting');
    expect(pods.snapshot()).toMatchObject({ synced: true, staleSince: expect.any(Number) as number });
    expect([...pods.snapshot().items.keys()]).toEqual(['a/p']);
    await using second = await createApiServer({ port });
    second.restore(backup);
    second.apply(buildPod('a/q'));
    await until('it follows', () => pods.snapshot().items.has('a/q') && pods.snapshot().staleSince === undefined);
    expect([...pods.snapshot().items.keys()].sort()).toEqual(['a/p', 'a/q']);
  });
});

describe('credentials', () => {
  it('in a cluster: token and CA from the volume, rotated under us', async () => {
    await using server = await createApiServer({ tls: await tlsOf('server'), tokens: ['one'] });
    await writeFile(file('token'), 'one\n');
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(server.port) };
    const connection = createInClusterConnection({ env, folder });
    expect(await callApi(connection, { path: '/version' })).toMatchObject({ major: '1' });
    server.setTokens(['two']);
    await writeFile(file('token'), 'two\n');
    await expect(callApi(connection, { path: '/version' })).rejects.toMatchObject({ details: { status: 401 } });
    expect(await callApi(connection, { path: '/version' })).toMatchObject({ major: '1' });
    connection.close();
    expect(() => createInClusterConnection({ env: {} })).toThrow(/Not in a cluster/);
  });

  it('an exec plugin is asked again when its token is refused', async () => {
    await using server = await createApiServer({ tls: await tlsOf('server'), tokens: ['one'] });
    await writeFile(file('exec-token'), 'one');
    await writeFile(
      file('plugin.sh'),
      `#!/bin/sh\nprintf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat ${file('exec-token')})"\n`,
    );
    await chmod(file('plugin.sh'), 0o755);
    const exec = `exec: {apiVersion: client.authentication.k8s.io/v1, command: ${file('plugin.sh')}, interactiveMode: Never}`;
    const config = server.kubeconfig({ ca: await text('ca.crt') }).replace('user: {}', `user: {${exec}}`);
    await writeFile(file('exec-config'), config);
    const connection = await createKubeConfigConnection({ file: file('exec-config') });
    await using source = createApiSource({ connection, backoff: { baseMs: 20, maxMs: 200 } });
    const pods = source.open('Pod');
    await firstValueFrom(pods.snapshot$.pipe(filter((now) => now.synced)));
    await writeFile(file('exec-token'), 'two');
    server.setTokens(['two']);
    server.dropConnections();
    server.apply(buildPod('a/p'));
    await until('it follows with the new token', () => pods.snapshot().items.has('a/p'));
  });

  it('server certificate, CA and client certificate rotated while we watch', async () => {
    await using server = await createApiServer({ tls: await tlsOf('server', 'ca') });
    const settingsOf = async (ca: string, client: string): Promise<ConnectionSettings> => ({
      server: server.url,
      ca: await text(`${ca}.crt`),
      cert: await text(`${client}.crt`),
      key: await text(`${client}.key`),
    });
    let settings = await settingsOf('ca', 'client');
    await using source = createApiSource({
      connection: createConnection({ settings: () => settings }),
      backoff: { baseMs: 20, maxMs: 200 },
    });
    const pods = source.open('Pod');
    await firstValueFrom(pods.snapshot$.pipe(filter((now) => now.synced)));
    server.setTls(await tlsOf('server2', 'ca2'));
    server.dropConnections();
    server.apply(buildPod('a/p'));
    const state = await firstValueFrom(
      pods.state$.pipe(filter((one) => one.phase === 'waiting' && /certificate|self.signed/i.test(one.reason))),
    );
    expect(state.reason).toMatch(/cannot be reached/);
    settings = await settingsOf('ca2', 'client2');
    await until('it follows with the new certificates', () => pods.snapshot().items.has('a/p'));
  });

  it('a kubeconfig that is not there or names nothing is refused at once', async () => {
    await expect(createKubeConfigConnection({ file: file('none') })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await writeFile(file('empty'), 'apiVersion: v1\nkind: Config\n');
    await expect(createKubeConfigConnection({ file: file('empty') })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
