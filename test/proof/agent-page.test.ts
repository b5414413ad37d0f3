/**
 * The web page in headless Chromium: its five views hold what the agent knows, text from the cluster stays text, and nothing is
 * loaded from elsewhere. `SCREENSHOTS` names a folder for pictures; docs/images holds those of the guide.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NEVER } from 'rxjs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { page } from '../../examples/agent/src/admin/page.ts';
import { openAdminPort } from '../../examples/agent/src/admin/server.ts';
import { createViews, emptyProviders, type Providers } from '../../examples/agent/src/admin/views.ts';
import { closeServer } from '../../examples/agent/src/health.ts';
import { createAgentState } from '../../examples/agent/src/state.ts';
import { until } from '../support/agent-netns.ts';

const state = createAgentState();
state.expect(['routing', 'ipvs', 'firewall']);
for (const target of ['routing', 'ipvs', 'firewall']) {
  state.record({ target, reason: 'start', changes: 12, remaining: 0, durationMs: 80, failures: [] });
}
for (let i = 0; i < 60; i++) {
  const latencyMs = 20 + ((i * 37) % 90);
  state.record({ target: 'ipvs', reason: 'change', changes: 1, remaining: 0, durationMs: 9, latencyMs, failures: [] });
}
state.setIssues('objects', [
  {
    object: 'Service shop/<img src=x onerror=alert(1)>',
    field: 'spec.externalIPs',
    reason: '198.51.100.7 is in no allowed range',
  },
]);
const peer = { name: 'external 192.0.2.1', kind: 'external', received: 12, announced: 4 } as const;
const providers: Providers = {
  ...emptyProviders(),
  peers: () => [
    { ...peer, address: '192.0.2.1', asn: 65000, state: 'established', since: Date.now() - 90_000 },
    { ...peer, address: '192.0.2.2', asn: 65000, state: 'active', reason: 'connection refused' },
    {
      address: '192.168.1.12',
      asn: 64512,
      name: 'node worker-2',
      kind: 'internal',
      state: 'established',
      since: Date.now() - 80_000,
      received: 1,
      announced: 1,
    },
  ],
  routes: () => [{ prefix: '10.1.2.0/24', nextHops: [{ via: '192.168.1.12' }] }],
  services: () => [
    {
      service: 'vs/tcp/10.96.0.10:80',
      address: '10.96.0.10',
      protocol: 'TCP',
      port: 80,
      kind: 'masq',
      scheduler: 'rr',
      backends: [{ address: '10.1.1.5:8080', weight: 1, draining: false }],
    },
  ],
  counted: (views) =>
    Promise.resolve(
      views.map((view) => ({
        ...view,
        connections: 4711,
        rate: 12,
        backends: view.backends.map((one) => ({ ...one, connections: 4711, rate: 12 })),
      })),
    ),
  hits: () =>
    Promise.resolve([{ policy: 'shop/web', directions: ['ingress'], pods: ['10.1.1.5'], allowed: 4700, refused: 11 }]),
  explain: () => ({
    verdict: 'deny',
    egress: { reason: 'unselected' },
    ingress: { reason: 'isolated', policies: ['shop/web'] },
  }),
  matrix: () => ({ pods: ['shop/api', 'shop/web'], rows: ['++', '-+'] }),
};
let server: Awaited<ReturnType<typeof openAdminPort>>;
let port = 0;
let profile = '';
let browser: Browser;
beforeAll(async () => {
  const views = createViews({ node: 'worker-1', startedAt: Date.now(), state, providers });
  server = await openAdminPort('127.0.0.1', 0, { views, page, events$: NEVER });
  port = (server.address() as AddressInfo).port;
  profile = mkdtempSync(join(tmpdir(), 'kra-page-'));
  browser = await openBrowser();
}, 90_000);
afterAll(async () => {
  await browser.close();
  await closeServer(server);
  rmSync(profile, { recursive: true, force: true });
});

/** A page in Chromium, driven over its debugging protocol: the page keeps a stream open, so that it is never done loading. */
interface Browser {
  evaluate(expression: string): Promise<unknown>;
  screenshot(): Promise<Buffer>;
  close(): Promise<void>;
}

async function openBrowser(): Promise<Browser> {
  const child = spawn(
    'chromium',
    [
      ...['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars'],
      ...[`--user-data-dir=${profile}`, '--remote-debugging-port=0', '--window-size=1100,2300', 'about:blank'],
    ],
    { stdio: 'ignore' },
  );
  const portFile = join(profile, 'DevToolsActivePort');
  for (let i = 0; i < 300 && !existsSync(portFile); i++) await sleep(100);
  const debug = readFileSync(portFile, 'utf8').split('\n')[0] ?? '';
  const targets = (await (await fetch(`http://127.0.0.1:${debug}/json`)).json()) as {
    type: string;
    webSocketDebuggerUrl: string;
  }[];
  const socket = new WebSocket(targets.find(({ type }) => type === 'page')?.webSocketDebuggerUrl ?? '');
  await once(socket, 'open');
  const waiting = new Map<number, (result: Record<string, unknown>) => void>();
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: Record<string, unknown> };
    waiting.get(id)?.(result);
  });
  let last = 0;
  const send = (method: string, params: object): Promise<Record<string, unknown>> =>
    new Promise((resolve) => {
      waiting.set(++last, resolve);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  await send('Page.navigate', { url: `http://127.0.0.1:${port}/` });
  return {
    evaluate: async (expression) =>
      (
        (await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }))['result'] as {
          value: unknown;
        }
      ).value,
    screenshot: async () =>
      Buffer.from((await send('Page.captureScreenshot', { format: 'png' }))['data'] as string, 'base64'),
    async close() {
      socket.close();
      child.kill();
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('five views hold what the agent knows', async () => {
  await until('the page is filled', async () =>
    String(
      await browser.evaluate(
        'document.title + document.getElementById("title").textContent + document.getElementById("top").textContent',
      ),
    ).includes('slowest'),
  );
  const dom = String(await browser.evaluate('document.documentElement.outerHTML'));
  expect(dom).toContain('worker-1: ready');
  // Topology with live session state.
  expect(dom.match(/<line [^>]*class="ok"/g)).toHaveLength(2);
  expect(dom).toContain('connection refused');
  // Services with rates.
  expect(dom).toContain('12/s of 4711');
  // The matrix.
  expect(dom.match(/<td class="ok">✓/g)).toHaveLength(3);
  expect(dom.match(/<td class="bad">✗/g)).toHaveLength(1);
  expect(dom).toContain('<td>4700</td>');
  // Routes and latency.
  expect(dom).toContain('192.168.1.12');
  expect(dom).toMatch(/60 changes, slowest \d+ ms/);
  // Text of the cluster is text.
  expect(dom).toContain('shop/&lt;img src=x onerror=alert(1)&gt;');
  expect(dom).not.toContain('<img');
}, 120_000);

test('can A reach B is answered in words', async () => {
  await browser.evaluate(
    "document.getElementById('from').value = 'shop/web'; document.getElementById('to').value = 'shop/api'; document.getElementById('ask').requestSubmit()",
  );
  await until(
    'the verdict',
    async () => String(await browser.evaluate("document.getElementById('verdict').textContent")) !== '',
  );
  expect(await browser.evaluate("document.getElementById('verdict').textContent")).toBe(
    'deny: egress unselected; ingress isolated by shop/web',
  );
}, 60_000);

test('a picture for the guide', async () => {
  const folder = process.env['SCREENSHOTS'] ?? profile;
  const file = join(folder, 'agent-page.png');
  writeFileSync(file, await browser.screenshot());
  expect(statSync(file).size).toBeGreaterThan(20_000);
}, 120_000);
