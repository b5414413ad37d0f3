/**
 * The way to one API server: plain HTTP(S) with credentials that may change at any time.
 * Settings (tokens, certificates, CA) are asked for again when they may have changed, and new connections are made with the new
 * ones; a watch holds its connection, so that rotation never cuts a healthy stream.
 * Stands below client.ts and list-watch.ts; in-cluster.ts and kubeconfig.ts tell it where and as whom.
 */
import type http from 'node:http';
import type https from 'node:https';
import type { Readable } from 'node:stream';
import type zlib from 'node:zlib';
import { SdkError } from '../../net/errors.ts';

// Asked for when first needed: an import of node:http makes Node load its WebSocket as well, a third of what this package costs.
const nodeHttp = (): typeof http => process.getBuiltinModule('node:http');
const nodeZlib = (): typeof zlib => process.getBuiltinModule('node:zlib');
const nodeHttps = (): typeof https => process.getBuiltinModule('node:https');

/** Where an API server is and as whom to speak to it. */
export interface ConnectionSettings {
  /** Base URL, e.g. `https://10.96.0.1:443`, `https://[fd00::1]:6443/prefix`. */
  readonly server: string;
  /** Path of a Unix socket to connect to instead of the URL's host. */
  readonly socketPath?: string;
  /** PEM. @defaultValue the system's */
  readonly ca?: string | Buffer;
  /** Client certificate, PEM. */
  readonly cert?: string | Buffer;
  /** Client key, PEM. */
  readonly key?: string | Buffer;
  /** Name to verify the server's certificate against. @defaultValue the URL's host */
  readonly servername?: string;
  /** @defaultValue false */
  readonly insecureSkipTlsVerify?: boolean;
  /** Bearer token. */
  readonly token?: string;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** An agent that reaches the server another way (a SOCKS or HTTP proxy); TLS options are then its own. */
  readonly agent?: http.Agent;
}

/** One request. */
export interface ApiRequest {
  /** @defaultValue GET */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path below the server's URL, `/api/v1/pods`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** @defaultValue `application/json` */
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  /** Milliseconds until the answer's headers must be there. @defaultValue 15000 */
  readonly headersTimeoutMs?: number;
}

/** The beginning of an answer; the body is read by who asked. */
export interface ApiResponse {
  /** HTTP status. */
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Readable;
}

/** The way to one API server. */
export interface Connection {
  /** Base URL, for people. */
  readonly server: string;
  /** @throws SdkError `API_UNREACHABLE` (`details.sent`: whether the request left) | `ABORTED` */
  request(request: ApiRequest): Promise<ApiResponse>;
  /** The server refused our credentials: ask for new ones before the next request. */
  refresh(): void;
  /** Ends every connection. */
  close(): void;
}

/** How a connection is made. */
export interface ConnectionOptions {
  /** Asked at the first request, after `refresh()`, and once a minute when requests are made. `fresh`: cached credentials were refused. */
  readonly settings: (fresh: boolean) => ConnectionSettings | Promise<ConnectionSettings>;
  /** For people, until the settings are known. */
  readonly server?: string;
  /** Milliseconds after which settings are asked for again. @defaultValue 60000 */
  readonly settingsTtlMs?: number;
}

/** Makes a connection from settings that may change. */
export function createConnection(options: ConnectionOptions): Connection {
  let current: { settings: ConnectionSettings; agent: http.Agent; digest: string; readAt: number } | undefined;
  let loading: Promise<NonNullable<typeof current>> | undefined;
  let refused = false;
  let closed = false;
  const retired = new Set<http.Agent>();

  const load = async (): Promise<NonNullable<typeof current>> => {
    const fresh = refused;
    refused = false;
    let settings: ConnectionSettings;
    try {
      settings = await options.settings(fresh);
    } catch (error) {
      if (current !== undefined && !fresh) return current;
      refused = fresh;
      throw unreachable('The credentials for the API server cannot be read', error);
    }
    const digest = digestOf(settings);
    if (current?.digest === digest && current.settings.agent === settings.agent)
      return (current = { ...current, settings, readAt: Date.now() });
    if (current !== undefined && current.settings.agent === undefined) retire(current.agent);
    return (current = { settings, agent: settings.agent ?? createAgent(settings), digest, readAt: Date.now() });
  };
  // Streams that hold one of its sockets go on; idle ones are closed and no new ones are made.
  const retire = (agent: http.Agent) => {
    retired.add(agent);
    for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  };
  const ready = async () => {
    const stale = current === undefined || refused || Date.now() - current.readAt > (options.settingsTtlMs ?? 60_000);
    if (!stale && current !== undefined) return current;
    loading ??= load().finally(() => (loading = undefined));
    return loading;
  };

  return {
    get server() {
      return current?.settings.server ?? options.server ?? '';
    },
    async request(request) {
      if (closed) throw new SdkError('The connection is closed', { code: 'ABORTED' });
      const { settings, agent } = await ready();
      try {
        return await send(settings, agent, request).catch((error: unknown) => {
          // An idle connection that the server closed just as we used it: nothing was lost but the connection.
          if (!isStaleSocket(error) || (request.method ?? 'GET') !== 'GET') throw error;
          return send(settings, agent, request);
        });
      } catch (error) {
        // Perhaps a certificate was rotated or the server moved: look again before the next try.
        if (current !== undefined) current.readAt = 0;
        throw error;
      }
    },
    refresh() {
      refused = true;
    },
    close() {
      closed = true;
      current?.agent.destroy();
      for (const agent of retired) agent.destroy();
    },
  };
}

function digestOf(settings: ConnectionSettings): string {
  const hash = process.getBuiltinModule('node:crypto').createHash('sha256');
  const { server, socketPath, ca, cert, key, servername, insecureSkipTlsVerify } = settings;
  for (const part of [server, socketPath, ca, cert, key, servername, String(insecureSkipTlsVerify)])
    hash.update(`${part?.length ?? -1}:`).update(part ?? '');
  return hash.digest('hex');
}

function createAgent(settings: ConnectionSettings): http.Agent {
  // TCP keep-alive finds a dead peer below an idle watch; the watchdog of list-watch.ts finds one that lives and says nothing.
  const common = { keepAlive: true, keepAliveMsecs: 15_000, maxFreeSockets: 4, proxyEnv: process.env };
  if (settings.server.startsWith('http:')) return new (nodeHttp().Agent)(common);
  return new (nodeHttps().Agent)({
    ...common,
    ...(settings.ca === undefined ? {} : { ca: settings.ca }),
    ...(settings.cert === undefined ? {} : { cert: settings.cert }),
    ...(settings.key === undefined ? {} : { key: settings.key }),
    ...(settings.servername === undefined ? {} : { servername: settings.servername }),
    rejectUnauthorized: settings.insecureSkipTlsVerify !== true,
  });
}

function send(settings: ConnectionSettings, agent: http.Agent, request: ApiRequest): Promise<ApiResponse> {
  const url = new URL(settings.server);
  const base = url.pathname.replace(/\/+$/, '');
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {}))
    if (value !== undefined) query.set(name, String(value));
  const search = query.toString();
  const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
  return new Promise((resolve, reject) => {
    const outgoing = (url.protocol === 'http:' ? nodeHttp() : nodeHttps()).request({
      agent,
      method: request.method ?? 'GET',
      ...(settings.socketPath === undefined
        ? { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port || (url.protocol === 'http:' ? 80 : 443) }
        : { socketPath: settings.socketPath }),
      path: base + request.path + (search === '' ? '' : `?${search}`),
      headers: {
        accept: 'application/json',
        host: url.host,
        'user-agent': 'kube-router-sdk',
        ...settings.headers,
        ...(settings.token === undefined ? {} : { authorization: `Bearer ${settings.token}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': request.contentType ?? 'application/json', 'content-length': body.length }),
      },
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    const limit = request.headersTimeoutMs ?? 15_000;
    const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${limit} ms`)), limit);
    let sent = false;
    outgoing.on('finish', () => (sent = true));
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      if (request.signal?.aborted === true) return reject(aborted(error));
      const failure = unreachable('The API server cannot be reached', error, { sent });
      if (outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) staleSockets.add(failure);
      reject(failure);
    });
    outgoing.on('response', (incoming) => {
      clearTimeout(timer);
      resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: decode(incoming) });
    });
    outgoing.end(body);
  });
}

const staleSockets = new WeakSet<object>();
const isStaleSocket = (error: unknown) => typeof error === 'object' && error !== null && staleSockets.has(error);

/** The body as it was before a proxy compressed it; we ask for nothing of the kind, for a watch must not wait in a compressor. */
function decode(incoming: http.IncomingMessage): Readable {
  const encoding = incoming.headers['content-encoding']?.toLowerCase();
  const unpack =
    encoding === 'gzip' || encoding === 'x-gzip'
      ? nodeZlib().createGunzip()
      : encoding === 'deflate'
        ? nodeZlib().createInflate()
        : undefined;
  if (unpack === undefined) return incoming;
  incoming.on('error', (error) => unpack.destroy(error));
  incoming.on('close', () => {
    if (!incoming.complete) unpack.destroy(new Error('the connection was closed'));
  });
  unpack.on('close', () => incoming.destroy());
  return incoming.pipe(unpack);
}

/** The error for a call that its signal ended. */
export function aborted(cause?: unknown): SdkError {
  return new SdkError('Aborted', { code: 'ABORTED', cause });
}

/**
 * The error for a server that cannot be reached or a connection that broke; the cause's words are for people.
 * `sent: false`: the request never left, for there was no connection.
 */
export function unreachable(what: string, cause: unknown, facts: { readonly sent?: boolean } = {}): SdkError {
  const error = cause as NodeJS.ErrnoException;
  // Node's word for a connection that the other side broke while an answer was read.
  const said = cause instanceof Error && cause.message === 'aborted' ? 'the connection was reset' : undefined;
  const why = said ?? (cause instanceof Error && cause.message !== '' ? cause.message : (error.code ?? String(cause)));
  return new SdkError(`${what}: ${why}`, {
    code: 'API_UNREACHABLE',
    retryable: true,
    cause,
    details: { ...facts, ...(typeof error.code === 'string' ? { errno: error.code } : {}) },
  });
}
