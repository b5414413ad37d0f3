/** Liveness and readiness as an operator sees them, over real HTTP. */
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { closeServer, healthAnswer, openHealthServer } from './health.ts';
import { createAgentState } from './state.ts';

const clean = { reason: 'start', changes: 1, remaining: 0, durationMs: 1, failures: [] } as const;

test('ready only after every expected block had a complete, verified pass', () => {
  const state = createAgentState(() => 0);
  expect(healthAnswer('/readyz', false, { state })?.status).toBe(503);
  state.expect(['ipvs', 'firewall']);
  expect(healthAnswer('/readyz', false, { state })).toEqual({
    status: 503,
    body: 'Not ready: ipvs (no pass yet), firewall (no pass yet)\n',
  });
  state.record({ ...clean, target: 'ipvs' });
  state.record({ ...clean, target: 'firewall', remaining: 2 });
  expect(healthAnswer('/readyz', true, { state })).toEqual({
    status: 503,
    body: 'Not ready: firewall (2 changes remain)\n[+] ipvs: ok\n[-] firewall: 2 changes remain\n',
  });
  state.record({ ...clean, target: 'firewall' });
  expect(healthAnswer('/readyz', false, { state })).toEqual({ status: 200, body: 'OK\n' });
});

test('a failing block does not fail liveness, a pass that never ends does', () => {
  const state = createAgentState(() => 0);
  state.record({ ...clean, target: 'ipvs', error: new Error('ipvsadm: not found') });
  expect(healthAnswer('/healthz', false, { state })).toEqual({ status: 200, body: 'OK\n' });
  const running = () => new Map([['ipvs', 0]]);
  expect(healthAnswer('/healthz', false, { state, running, now: () => 600_000 })?.status).toBe(200);
  expect(healthAnswer('/healthz', false, { state, running, now: () => 600_001 })).toEqual({
    status: 500,
    body: 'Unhealthy: a pass of ipvs does not end\n',
  });
});

test('served over HTTP; a taken port is said in one line', async () => {
  const state = createAgentState();
  const server = await openHealthServer('127.0.0.1', 0, { state });
  const { port } = server.address() as AddressInfo;
  expect(await (await fetch(`http://127.0.0.1:${port}/healthz`)).text()).toBe('OK\n');
  expect((await fetch(`http://127.0.0.1:${port}/x`)).status).toBe(404);
  await expect(openHealthServer('127.0.0.1', port, { state })).rejects.toThrow(
    `cannot open the health server on 127.0.0.1:${port}: the port is in use; choose --health-port`,
  );
  await closeServer(server);
});
