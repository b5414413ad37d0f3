/**
 * The administration API: JSON views and server-sent events over HTTP on a Unix socket that only its owner may open, and, when
 * `--admin-port` asks for it, with the web page on a loopback port. Views only read. The port refuses what a browser sends on behalf
 * of another site: a foreign Host (DNS rebinding), a foreign Origin, a cross-site fetch. The socket also takes the gate's question.
 */
import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { SdkError } from 'kube-router-sdk/net';
import type { Observable } from 'rxjs';
import { listen } from '../health.ts';

/** One view: query in, JSON value or the promise of one out. */
export type View = (query: URLSearchParams) => unknown;

/** What the API shows. */
export interface AdminOptions {
  /** Views by path, e.g. `/status`. */
  readonly views: ReadonlyMap<string, View>;
  /** What POST does, by path; on the socket alone. */
  readonly actions?: ReadonlyMap<string, View>;
  /** Events of `/events`: each is sent as one message of that type. */
  readonly events$: Observable<{ readonly type: string; readonly data: unknown }>;
  /** HTML of `/` on the port. */
  readonly page?: string;
}

const POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";

/** A reader that lets this many bytes pile up is cut off rather than buffered without end. */
const MAX_BACKLOG = 1_000_000;

/** Whether a request to the port comes from a page of our own or from no browser at all. */
export function isOwnRequest(headers: IncomingMessage['headers'], localHosts: ReadonlySet<string>): boolean {
  const host = (headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
  if (!localHosts.has(host)) return false;
  if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`) return false;
  const site = headers['sec-fetch-site'];
  return site === undefined || site === 'same-origin' || site === 'none';
}

function send(response: ServerResponse, status: number, body: string, type: string): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': POLICY,
  });
  response.end(body);
}

const json = (response: ServerResponse, status: number, value: unknown): void =>
  send(response, status, `${JSON.stringify(value)}\n`, 'application/json');

function stream(response: ServerResponse, options: AdminOptions): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': connected\n\n');
  const subscription = options.events$.subscribe(({ type, data }) => {
    if (response.writableLength > MAX_BACKLOG) response.destroy();
    else response.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
  });
  response.on('close', () => subscription.unsubscribe());
}

function handle(request: IncomingMessage, response: ServerResponse, options: AdminOptions, page?: string): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (request.method === 'POST' && page === undefined) {
    const action = options.actions?.get(url.pathname);
    if (action === undefined) return json(response, 404, { error: `no action ${url.pathname}` });
    return answer(response, action, url, 503);
  }
  if (request.method !== 'GET') return json(response, 405, { error: 'only GET is offered' });
  if (url.pathname === '/events') return stream(response, options);
  if (url.pathname === '/' && page !== undefined) return send(response, 200, page, 'text/html');
  const path = url.pathname.replace(/^\/api\//, '/');
  const view = options.views.get(path);
  if (view === undefined) return json(response, 404, { error: `no view ${path}`, views: [...options.views.keys()] });
  return answer(response, view, url, 400);
}

function answer(response: ServerResponse, view: View, url: URL, failed: number): void {
  const fail = (error: unknown): void =>
    json(response, failed, { error: error instanceof Error ? error.message : String(error) });
  try {
    const value = view(url.searchParams);
    if (value instanceof Promise) value.then((done) => json(response, 200, done), fail);
    else json(response, 200, value);
  } catch (error) {
    fail(error);
  }
}

/**
 * Opens the socket, 0600. A socket left by an agent that was killed is replaced; one that answers is not.
 * @throws SdkError `CONFLICT`
 */
export async function openAdminSocket(path: string, options: AdminOptions): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if (await answers(path)) {
    throw new SdkError(`another agent runs with ${path}; stop it first or choose another --run-dir`, {
      code: 'CONFLICT',
    });
  }
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const server = createServer((request, response) => handle(request, response, options));
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
  server.unref();
  return server;
}

/** Opens the page and the views on a port. */
export async function openAdminPort(address: string, port: number, options: AdminOptions): Promise<Server> {
  const hosts = new Set(['localhost', '127.0.0.1', '[::1]', address.includes(':') ? `[${address}]` : address]);
  const server = createServer((request, response) => {
    if (isOwnRequest(request.headers, hosts)) handle(request, response, options, options.page);
    else json(response, 403, { error: 'requests from other sites are refused' });
  });
  await listen(server, address, port, 'admin');
  return server;
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
