/**
 * A Kubernetes API server for tests and labs: real HTTP or HTTPS, real lists and watches, in memory, with faults at will.
 * It speaks to any client; kubectl and client-node are its witnesses. It runs no controllers: what is written is what there is.
 */
import http from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import { discover } from './discovery.ts';
import { StatusError, statusOf } from './errors.ts';
import { createFaultTable } from './faults.ts';
import type { Fault, FaultOptions, RequestInfo } from './faults.ts';
import { readManifests } from './load.ts';
import { replyList, replyWatch, textOf } from './reads.ts';
import type { ReadContext } from './reads.ts';
import { createReply } from './reply.ts';
import type { Reply } from './reply.ts';
import { BUILT_IN, apiVersionOf, findTarget } from './resources.ts';
import type { ResourceType, Target } from './resources.ts';
import { createObjectStore, storeKey } from './store.ts';
import type { Backup, StoredObject } from './store.ts';
import { createObject, deleteObject, notFound, patchObject, updateObject } from './writes.ts';

/** How a test API server is to be. */
export interface ApiServerOptions {
  /** @defaultValue `127.0.0.1` */
  readonly host?: string;
  /** @defaultValue 0: any free one */
  readonly port?: number;
  /** Listen on a Unix socket instead. */
  readonly socketPath?: string;
  /** PEM key and certificate: serves HTTPS. With `ca`, clients must show a certificate of it. */
  readonly tls?: { readonly key: string | Buffer; readonly cert: string | Buffer; readonly ca?: string | Buffer };
  /** Bearer tokens that are let in. @defaultValue everyone is */
  readonly tokens?: readonly string[];
  /** Served beside the built-in ones: custom resources. */
  readonly resources?: readonly ResourceType[];
  /** CIDRs that Services get their cluster addresses from, one a family. @defaultValue none are given */
  readonly serviceCidrs?: readonly string[];
  /** Milliseconds between bookmarks. @defaultValue 60000 */
  readonly bookmarkMs?: number;
  /** Whether watches can stream the full picture first (WatchList). @defaultValue true */
  readonly watchList?: boolean;
  /** Whether a deleted Pod on a node lingers for its grace period. @defaultValue false */
  readonly gracefulPods?: boolean;
  /** Files and folders of YAML or JSON to begin with; `status` is taken as written. */
  readonly manifests?: readonly string[];
}

/** A running test API server. */
export interface ApiServer extends AsyncDisposable {
  /** Base URL; `http://localhost` for a Unix socket. */
  readonly url: string;
  /** TCP port; 0 for a Unix socket. */
  readonly port: number;
  /** A kubeconfig for it, as YAML. */
  kubeconfig(options?: { readonly token?: string; readonly ca?: string }): string;
  /** Creates an object or replaces it whole, status included, as a test or a kubelet of the lab would. */
  apply(object: unknown): void;
  /** Deletes an object at once, finalizers and grace or not; false when there is none. */
  remove(kind: string, name: string, namespace?: string): boolean;
  /** One object as it is stored. */
  get(kind: string, name: string, namespace?: string): StoredObject | undefined;
  /** All objects of a kind, or those of a namespace. */
  list(kind: string, namespace?: string): readonly StoredObject[];
  /** Adds a fault; the answer removes it. */
  inject(fault: Fault, options?: FaultOptions): () => void;
  /** Removes every fault. */
  clearFaults(): void;
  /** Freezes every answer, also those under way, or lets new ones go again. */
  setFrozen(frozen: boolean): void;
  /** Bearer tokens let in from now on; `undefined` lets everyone in. */
  setTokens(tokens: readonly string[] | undefined): void;
  /** New key and certificate for new connections. */
  setTls(tls: NonNullable<ApiServerOptions['tls']>): void;
  /** Forgets the past: watches and lists that go on from before get 410. */
  compact(): void;
  /** A copy of everything stored, resource versions included. */
  backup(): Backup;
  /** Goes back to a backup, as an etcd that was restored would: resource versions go back as well. */
  restore(backup: Backup): void;
  /** Breaks every connection. */
  dropConnections(): void;
  /** Every request so far. */
  readonly requests: readonly RequestInfo[];
  /** Resource version of the latest write. */
  readonly version: number;
  /** Ends every connection and stops listening. */
  close(): Promise<void>;
}

/**
 * Starts a test API server.
 * @throws Error when the port is taken or a manifest cannot be read.
 * @example
 * ```ts
 * import { firstValueFrom, filter } from 'rxjs';
 * import { createApiSource, createConnection, createInformers } from 'kube-router-sdk/informers';
 * import { buildPod, createApiServer } from 'kube-router-sdk/testing';
 *
 * const server = await createApiServer();
 * server.apply(buildPod('shop/web-1', { ips: ['10.1.1.2'] }));
 * const connection = createConnection({ settings: () => ({ server: server.url }) });
 * const informers = createInformers({ source: createApiSource({ connection }), kinds: ['Pod'] });
 * const { items } = await firstValueFrom(informers.pods.snapshot$.pipe(filter(({ synced }) => synced)));
 * console.log([...items.keys()].join()); // shop/web-1
 * await informers.close();
 * await server.close();
 * ```
 */
export async function createApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const types = [...BUILT_IN, ...(options.resources ?? [])];
  const store = createObjectStore();
  const faults = createFaultTable();
  const closing = new AbortController();
  const requests: RequestInfo[] = [];
  let tokens = options.tokens;
  let frozen = false;
  const reads: ReadContext = {
    store,
    pages: new Map(),
    bookmarkMs: options.bookmarkMs ?? 60_000,
    watchList: options.watchList ?? true,
    closing: closing.signal,
  };
  const writes = {
    store,
    services: types.find((type) => type.group === '' && type.kind === 'Service'),
    serviceCidrs: options.serviceCidrs ?? [],
  };
  const typeOf = (kind: string, apiVersion?: string) => {
    const type = types.find(
      (one) => one.kind === kind && (apiVersion === undefined || apiVersionOf(one) === apiVersion),
    );
    if (type === undefined) throw new Error(`no such kind: ${apiVersion ?? ''} ${kind}`);
    return type;
  };
  const targetOf = (kind: string, name: string, namespace = '', apiVersion?: string): Target => {
    const type = typeOf(kind, apiVersion);
    return { type, name, namespace: type.namespaced ? namespace || 'default' : '', subresource: '', watch: false };
  };

  const apply = (raw: unknown) => {
    const object = raw as StoredObject;
    const target = targetOf(object.kind, object.metadata.name, object.metadata.namespace, object.apiVersion);
    const key = storeKey(target.namespace, target.name);
    const before = store.get(target.type, key);
    if (before === undefined) return void createObject(writes, { ...target, name: '' }, raw, false);
    const metadata = { ...object.metadata, ...(target.namespace === '' ? {} : { namespace: target.namespace }) };
    const { uid, creationTimestamp, generation } = before.metadata;
    store.put(target.type, key, {
      ...object,
      metadata: { ...metadata, uid, creationTimestamp, generation },
    });
  };
  for (const name of ['default', 'kube-system']) apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  for (const object of await readManifests(options.manifests ?? [], types)) apply(object);

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://x');
    const target = findTarget(types, url.pathname);
    const info: RequestInfo = {
      method: request.method ?? 'GET',
      path: url.pathname,
      verb: verbOf(request.method ?? 'GET', target, url.searchParams),
      resource: target?.type.plural ?? '',
      query: url.searchParams,
      at: Date.now(),
    };
    requests.push(info);
    const found = faults.take(info);
    const reply = createReply(request, response, found, () => frozen);
    try {
      const body = await readBody(request);
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
      if (tokens !== undefined && (token === undefined || !tokens.includes(token)))
        throw new StatusError(401, 'Unauthorized', 'Unauthorized');
      const status = found.find((fault) => fault.type === 'status');
      if (status !== undefined) {
        if (status.retryAfter !== undefined) response.setHeader('retry-after', status.retryAfter);
        throw new StatusError(status.code, status.reason ?? 'Injected', status.message ?? `injected ${status.code}`);
      }
      await serve(info, target, request, body, reply);
    } catch (error) {
      const refusal = error instanceof StatusError ? error : new StatusError(500, 'InternalError', String(error));
      if (await reply.begin(refusal.code, { 'content-type': 'application/json' })) {
        await reply.write(`${JSON.stringify(statusOf(refusal))}\n`);
        reply.end();
      }
    }
  };

  const serve = async (
    info: RequestInfo,
    target: Target | undefined,
    request: IncomingMessage,
    body: string,
    reply: Reply,
  ) => {
    const send = async (status: number, text: string, contentType = 'application/json') => {
      if (!(await reply.begin(status, { 'content-type': contentType }))) return;
      await reply.write(text);
      reply.end();
    };
    if (['/healthz', '/livez', '/readyz'].includes(info.path)) return send(200, 'ok', 'text/plain');
    if (target === undefined) {
      const accept = request.headers.accept ?? '';
      const found = discover(types, info.path, accept, `127.0.0.1:${port}`);
      if (found === undefined)
        throw new StatusError(404, 'NotFound', 'the server could not find the requested resource');
      const aggregated = (found as { kind?: string }).kind === 'APIGroupDiscoveryList';
      const version = /;v=v2(?![a-z0-9])/.test(accept) ? 'v2' : 'v2beta1';
      if (aggregated) (found as { apiVersion: string }).apiVersion = `apidiscovery.k8s.io/${version}`;
      const contentType = aggregated
        ? `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`
        : undefined;
      return send(200, JSON.stringify(found), contentType);
    }
    const known = target.subresource === '' || (target.subresource === 'status' && target.type.status === true);
    if (!known) throw new StatusError(404, 'NotFound', 'the server could not find the requested resource');
    if (info.verb === 'watch') return replyWatch(reads, target, info.query, reply);
    if (info.verb === 'list') return replyList(reads, target, info.query, reply);
    if (info.verb === 'get') {
      const object = store.get(target.type, storeKey(target.namespace, target.name));
      if (object === undefined) throw notFound(target);
      return send(200, textOf(object));
    }
    const contentType = (request.headers['content-type'] ?? 'application/json').split(';')[0] ?? '';
    if (contentType === 'application/vnd.kubernetes.protobuf')
      throw new StatusError(415, 'UnsupportedMediaType', 'protobuf is not served here');
    const dryRun = info.query.get('dryRun') === 'All';
    const json: unknown = body === '' ? undefined : parse(body);
    if (info.verb === 'create') return send(201, JSON.stringify(createObject(writes, target, json, dryRun)));
    if (info.verb === 'update') return send(200, JSON.stringify(updateObject(writes, target, json, dryRun)));
    if (info.verb === 'patch') return send(200, JSON.stringify(patchObject(writes, target, contentType, json, dryRun)));
    if (info.verb !== 'delete') throw new StatusError(405, 'MethodNotAllowed', `${info.method} is not served here`);
    const settings = { gracefulPods: options.gracefulPods ?? false, dryRun };
    if (target.name === '') {
      // A collection goes one by one, as controllers see it.
      for (const { metadata } of store.list(target.type, target.namespace))
        deleteObject(writes, { ...target, name: metadata.name, namespace: metadata.namespace ?? '' }, json, settings);
      return send(200, JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success' }));
    }
    const { object, gone } = deleteObject(writes, target, json, settings);
    const details = { name: target.name, kind: target.type.plural, uid: object.metadata.uid };
    const answer = gone ? { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details } : object;
    return send(200, JSON.stringify(answer));
  };

  const listener = (request: IncomingMessage, response: ServerResponse) => void handle(request, response);
  const tlsOptions = (tls: NonNullable<ApiServerOptions['tls']>) => ({
    key: tls.key,
    cert: tls.cert,
    ...(tls.ca === undefined ? {} : { ca: tls.ca, requestCert: true, rejectUnauthorized: true }),
  });
  const server =
    options.tls === undefined ? http.createServer(listener) : https.createServer(tlsOptions(options.tls), listener);
  server.requestTimeout = 0;
  // As kube-apiserver (IdleTimeout in its secure_serving.go): Node's five seconds end connections just as clients use them again.
  server.keepAliveTimeout = 90_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    if (options.socketPath === undefined) server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
    else server.listen(options.socketPath, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const host = options.host ?? '127.0.0.1';
  const scheme = options.tls === undefined ? 'http' : 'https';
  const url =
    options.socketPath === undefined
      ? `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
      : `${scheme}://localhost`;

  const close = async () => {
    closing.abort();
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return {
    url,
    port,
    requests,
    get version() {
      return store.version;
    },
    kubeconfig: (access = {}) => kubeconfigOf(url, access),
    apply,
    remove: (kind, name, namespace) => {
      const target = targetOf(kind, name, namespace);
      return store.remove(target.type, storeKey(target.namespace, name)) !== undefined;
    },
    get: (kind, name, namespace) => {
      const target = targetOf(kind, name, namespace);
      return store.get(target.type, storeKey(target.namespace, name));
    },
    list: (kind, namespace = '') => store.list(typeOf(kind), namespace),
    inject: (fault, when) => faults.add(fault, when),
    clearFaults: () => faults.clear(),
    setFrozen: (value) => {
      frozen = value;
    },
    setTokens: (value) => {
      tokens = value;
    },
    setTls: (tls) => (server as https.Server).setSecureContext(tlsOptions(tls)),
    compact() {
      store.compact();
      reads.pages.clear();
    },
    backup: () => store.backup(),
    restore: (backup) => store.restore(backup),
    dropConnections: () => server.closeAllConnections(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function verbOf(method: string, target: Target | undefined, query: URLSearchParams): RequestInfo['verb'] {
  if (target === undefined) return 'other';
  if (method === 'GET' || method === 'HEAD') {
    const watch = target.watch || ['true', '1'].includes(query.get('watch') ?? '');
    return watch ? 'watch' : target.name === '' ? 'list' : 'get';
  }
  const verbs = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' } as const;
  return method in verbs ? verbs[method as keyof typeof verbs] : 'other';
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new StatusError(400, 'BadRequest', `the body is not JSON: ${(error as Error).message}`);
  }
}

function kubeconfigOf(url: string, { token, ca }: { readonly token?: string; readonly ca?: string }): string {
  const quoted = (text: string) => JSON.stringify(text);
  const cluster = [`server: ${quoted(url)}`];
  if (ca !== undefined) cluster.push(`certificate-authority-data: ${Buffer.from(ca).toString('base64')}`);
  return `apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {${cluster.join(', ')}}}]
users: [{name: test, user: {${token === undefined ? '' : `token: ${quoted(token)}`}}}]
`;
}
