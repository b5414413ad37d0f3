/** The admin API as its callers meet it: permissions of the socket, views, events, and what a foreign page gets. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Subject } from 'rxjs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeServer } from '../health.ts';
import { socketPath } from '../paths.ts';
import { createAgentState } from '../state.ts';
import { askAgent, followAgent } from './client.ts';
import { openAdminPort, openAdminSocket, type AdminOptions } from './server.ts';
import { createViews, emptyProviders } from './views.ts';

let folder = '';
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'kra-admin-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const events = new Subject<{ type: string; data: unknown }>();
const options = (): AdminOptions => ({
  events$: events,
  page: '<title>page</title>',
  views: createViews({ node: 'n1', startedAt: 0, state: createAgentState(), providers: emptyProviders() }),
});

const get = (port: number, path: string, headers: Record<string, string>): Promise<number> =>
  new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers, method: 'GET' }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });

test('the socket is for its owner alone and answers', async () => {
  const server = await openAdminSocket(socketPath(folder), options());
  expect(statSync(socketPath(folder)).mode & 0o777).toBe(0o600);
  expect(await askAgent(folder, '/status')).toMatchObject({ node: 'n1', ready: false, peers: [] });
  expect(await askAgent(folder, '/issues?limit=5')).toEqual({ issues: [], total: 0 });
  await expect(askAgent(folder, '/issues?limit=x')).rejects.toThrow('limit is not a whole number');
  await expect(askAgent(folder, '/nothing')).rejects.toThrow('no view /nothing');
  await closeServer(server);
});

test('no agent: no answer; a socket left behind is replaced, a live one is not', async () => {
  expect(await askAgent(folder, '/status')).toBeUndefined();
  writeFileSync(socketPath(folder), '');
  const server = await openAdminSocket(socketPath(folder), options());
  await expect(openAdminSocket(socketPath(folder), options())).rejects.toThrow('another agent runs');
  await closeServer(server);
});

test('events reach a follower', async () => {
  const server = await openAdminSocket(socketPath(folder), options());
  const seen = new Promise<void>((resolve) => void followAgent(folder, resolve));
  while (!events.observed) await new Promise((resolve) => setTimeout(resolve, 5));
  events.next({ type: 'pass', data: {} });
  await seen;
  await closeServer(server);
});

test('the port serves its own page and refuses other sites', async () => {
  const server = await openAdminPort('127.0.0.1', 0, options());
  const { port } = server.address() as AddressInfo;
  const host = `127.0.0.1:${port}`;
  expect(await get(port, '/', { host })).toBe(200);
  expect(await get(port, '/api/status', { host: `localhost:${port}` })).toBe(200);
  expect(await get(port, '/api/status', { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' })).toBe(200);
  expect(await get(port, '/api/status', { host: `evil.example:${port}` })).toBe(403);
  expect(await get(port, '/api/status', { host, origin: 'http://evil.example' })).toBe(403);
  expect(await get(port, '/api/status', { host, 'sec-fetch-site': 'cross-site' })).toBe(403);
  await closeServer(server);
});
