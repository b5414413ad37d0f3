/**
 * The informers against a real kube-apiserver, started and stopped here from the binaries in `KUBEBUILDER_ASSETS`
 * (the envtest convention: etcd, kube-apiserver and kubectl in one folder). Skipped, and says so, without them.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { filter, firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  callApi,
  createApiSource,
  createApiWriter,
  createConnection,
  createLeaderElection,
} from '../../src/informers/index.ts';
import type { Connection } from '../../src/informers/index.ts';

const assets = process.env['KUBEBUILDER_ASSETS'] ?? '';
const missing = ['etcd', 'kube-apiserver', 'kubectl'].filter(
  (name) => assets === '' || !existsSync(join(assets, name)),
);
if (missing.length > 0)
  console.warn(`SKIPPED: informers against a real kube-apiserver: KUBEBUILDER_ASSETS has no ${missing.join(', ')}`);

const run = promisify(execFile);
const TOKEN = 'envtest-token';
const CONFIG_MAPS = { apiVersion: 'v1', plural: 'configmaps', namespaced: true };
const KIND = {
  ...CONFIG_MAPS,
  kind: 'ConfigMap',
  project: (raw: unknown) => ({ object: (raw as { data?: Record<string, string> }).data ?? {}, issues: [] }),
};

let folder = '';
let etcd: ChildProcess | undefined;
let apiserver: ChildProcess | undefined;
let server = '';
let connection: Connection;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await sleep(50);
  }
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await ended;
  clearTimeout(timer);
}

let startApiserver = () => {};

describe.skipIf(missing.length > 0)('a real kube-apiserver', () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kri-envtest-'));
    const log = openSync(join(folder, 'log'), 'a');
    const [client, peer, secure] = [await freePort(), await freePort(), await freePort()];
    etcd = spawn(
      join(assets, 'etcd'),
      [
        `--data-dir=${join(folder, 'etcd')}`,
        `--listen-client-urls=http://127.0.0.1:${client}`,
        `--advertise-client-urls=http://127.0.0.1:${client}`,
        `--listen-peer-urls=http://127.0.0.1:${peer}`,
        '--unsafe-no-fsync',
      ],
      { stdio: ['ignore', log, log] },
    );
    execFileSync('openssl', ['genrsa', '-out', join(folder, 'sa.key'), '2048'], { stdio: 'ignore' });
    await writeFile(join(folder, 'tokens.csv'), `${TOKEN},admin,admin,"system:masters"\n`);
    startApiserver = () => {
      apiserver = spawn(
        join(assets, 'kube-apiserver'),
        [
          `--etcd-servers=http://127.0.0.1:${client}`,
          `--cert-dir=${folder}`,
          '--bind-address=127.0.0.1',
          `--secure-port=${secure}`,
          `--token-auth-file=${join(folder, 'tokens.csv')}`,
          '--authorization-mode=RBAC',
          '--service-account-issuer=https://kubernetes.default.svc',
          `--service-account-key-file=${join(folder, 'sa.key')}`,
          `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
          '--service-cluster-ip-range=172.16.0.0/16',
          '--disable-admission-plugins=ServiceAccount',
        ],
        { stdio: ['ignore', log, log] },
      );
    };
    startApiserver();
    server = `https://127.0.0.1:${secure}`;
    connection = createConnection({ settings: () => ({ server, token: TOKEN, insecureSkipTlsVerify: true }) });
    await until('the API server is ready', () => {
      if (apiserver?.exitCode != null)
        throw new Error(`kube-apiserver ended: ${readFileSync(join(folder, 'log'), 'utf8')}`);
      return callApi(connection, { path: '/api/v1/namespaces/default' }).then(
        () => true,
        () => false,
      );
    });
  }, 120_000);
  afterAll(async () => {
    connection?.close();
    await stop(apiserver);
    await stop(etcd);
    if (folder !== '') await rm(folder, { recursive: true, force: true });
  });

  const writer = () => createApiWriter(connection);
  const put = (name: string, value: string) =>
    writer().create(CONFIG_MAPS, { metadata: { name, namespace: 'default' }, data: { value } });
  /** The server's truth, by a plain list. */
  const truth = async () => {
    const list = (await callApi(connection, { path: '/api/v1/namespaces/default/configmaps' })) as {
      items: { metadata: { name: string }; data?: Record<string, string> }[];
    };
    return new Map(list.items.map((one) => [`default/${one.metadata.name}`, one.data ?? {}]));
  };

  const own = () => createConnection({ settings: () => ({ server, token: TOKEN, insecureSkipTlsVerify: true }) });
  const answers = () =>
    truth().then(
      () => true,
      () => false,
    );

  describe.each(['auto', 'never'] as const)('WatchList %s', (watchList) => {
    const options = { watchList, pageSize: 3, backoff: { baseMs: 50, maxMs: 1000 } };
    it('lists in pages, watches and equals the server after churn', async () => {
      for (let index = 0; index < 8; index++) await put(`${watchList}-${index}`, '0');
      await using source = createApiSource({ connection: own(), ...options });
      const maps = source.openKind(KIND, { namespace: 'default' });
      await firstValueFrom(maps.snapshot$.pipe(filter((now) => now.synced)));
      expect(new Map(maps.snapshot().items)).toEqual(await truth());
      for (let index = 0; index < 8; index++) {
        const ref = { namespace: 'default', name: `${watchList}-${index}` };
        if (index % 2 === 0) await writer().remove(CONFIG_MAPS, ref);
        else await writer().modify(CONFIG_MAPS, ref, (now) => ({ ...now, data: { value: String(index) } }));
      }
      const wanted = await truth();
      await until(
        'the store equals the server',
        () => maps.snapshot().items.get(`default/${watchList}-7`)?.['value'] === '7',
      );
      expect(new Map(maps.snapshot().items)).toEqual(wanted);
    });

    it('survives a restart of the server', async () => {
      await using source = createApiSource({ connection: own(), ...options });
      const maps = source.openKind(KIND, { namespace: 'default' });
      await firstValueFrom(maps.snapshot$.pipe(filter((now) => now.synced)));
      await stop(apiserver);
      await until('it knows that it is out of touch', () => maps.snapshot().staleSince !== undefined);
      startApiserver();
      await until('the API server is back', answers);
      await put(`after-restart-${watchList}`, 'x');
      await until('the change arrives', () => maps.snapshot().items.has(`default/after-restart-${watchList}`));
      expect(maps.snapshot().staleSince).toBeUndefined();
      expect(new Map(maps.snapshot().items)).toEqual(await truth());
    }, 120_000);
  });

  it('killed and started anew', async () => {
    await using source = createApiSource({ connection: own(), backoff: { baseMs: 50, maxMs: 1000 } });
    const maps = source.openKind(KIND, { namespace: 'default' });
    await firstValueFrom(maps.snapshot$.pipe(filter((now) => now.synced)));
    const ended = new Promise((resolve) => apiserver?.once('exit', resolve));
    apiserver?.kill('SIGKILL');
    await ended;
    await until('it knows that it is out of touch', () => maps.snapshot().staleSince !== undefined);
    startApiserver();
    await until('the API server is back', answers);
    await put('after-kill', 'x');
    await until('the change arrives', () => maps.snapshot().items.has('default/after-kill'));
    expect(new Map(maps.snapshot().items)).toEqual(await truth());
  }, 120_000);

  it('frozen, and going again', async () => {
    await using source = createApiSource({
      connection: own(),
      backoff: { baseMs: 50, maxMs: 1000 },
      silenceMs: 3000,
      headersTimeoutMs: 2000,
    });
    const maps = source.openKind(KIND, { namespace: 'default' });
    await firstValueFrom(maps.snapshot$.pipe(filter((now) => now.synced)));
    apiserver?.kill('SIGSTOP');
    try {
      const { reason } = await firstValueFrom(maps.state$.pipe(filter(({ phase }) => phase === 'waiting')));
      expect(reason).toMatch(/nothing came for 3000 ms|no answer within 2000 ms/);
      await until('it says that it is out of touch', () => maps.snapshot().staleSince !== undefined);
    } finally {
      apiserver?.kill('SIGCONT');
    }
    await put('after-freeze', 'x');
    await until('the change arrives', () => maps.snapshot().items.has('default/after-freeze'));
    await until('in touch again', () => maps.snapshot().staleSince === undefined);
    expect(new Map(maps.snapshot().items)).toEqual(await truth());
  }, 120_000);

  it('a way to it that breaks at every stage: 25 connections, each reset a little later', async () => {
    const { port } = new URL(server);
    let connections = 0;
    let mended = false;
    const relay = createServer((client: Socket) => {
      const upstream = connect(Number(port), '127.0.0.1');
      // From within the TLS handshake to within a list.
      let left = mended ? Number.POSITIVE_INFINITY : 200 + 60 * connections;
      connections++;
      upstream.on('data', (chunk: Buffer) => {
        left -= chunk.length;
        if (left > 0) return void client.write(chunk);
        client.write(chunk.subarray(0, chunk.length + left));
        client.resetAndDestroy();
        upstream.destroy();
      });
      client.pipe(upstream);
      client.on('error', () => upstream.destroy());
      upstream.on('error', () => client.destroy());
      upstream.on('close', () => client.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
    const through = `https://127.0.0.1:${(relay.address() as AddressInfo).port}`;
    const broken = createConnection({
      settings: () => ({ server: through, token: TOKEN, insecureSkipTlsVerify: true }),
    });
    await using source = createApiSource({
      connection: broken,
      pageSize: 3,
      backoff: { baseMs: 10, maxMs: 50 },
      listLimit: { burst: 100, everyMs: 10 },
    });
    const maps = source.openKind(KIND, { namespace: 'default' });
    await until('25 connections', () => connections > 25);
    mended = true;
    await put('after-resets', 'x');
    await until(
      'the change arrives',
      () => maps.snapshot().synced && maps.snapshot().items.has('default/after-resets'),
    );
    expect(new Map(maps.snapshot().items)).toEqual(await truth());
    relay.close();
  }, 120_000);

  it('elects one leader', async () => {
    const stand = (identity: string) =>
      createLeaderElection({ connection, namespace: 'kube-system', name: 'x', identity });
    const [a, b] = [stand('a'), stand('b')];
    await until('a leader', () => a.current.leader || b.current.leader);
    await sleep(500);
    expect([a, b].filter((one) => one.current.leader)).toHaveLength(1);
    const [first, second] = a.current.leader ? [a, b] : [b, a];
    await first.close();
    await until('the other leads', () => second.current.leader);
    await second.close();
  });

  it('its own kubectl sees what our writer wrote', async () => {
    await put('seen', 'by-kubectl');
    const args = [
      `--server=${server}`,
      `--token=${TOKEN}`,
      '--insecure-skip-tls-verify',
      'get',
      'configmap',
      'seen',
      '-o',
      'jsonpath={.data.value}',
    ];
    const { stdout } = await run(join(assets, 'kubectl'), args);
    expect(stdout).toBe('by-kubectl');
  });
});
