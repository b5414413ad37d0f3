/** Two agents that contend for one Lease, each allocating through a real API: one address never goes to two Services, and people are told. */
import { createApiServer, buildService, type ApiServer } from 'kube-router-sdk/testing';
import { createConnection, createEventRecorder, createLeaderElection } from 'kube-router-sdk/informers';
import { createLoadBalancerController } from 'kube-router-sdk/ingress';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ADDRESS_CONDITION, loadBalancerApi } from './load-balancer.ts';

let server: ApiServer;
beforeEach(async () => {
  server = await createApiServer();
});
afterEach(() => server.close());

interface Stored {
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] };
    readonly conditions?: readonly Readonly<Record<string, unknown>>[];
  };
}
const services = (): Stored[] => server.list('Service') as unknown as Stored[];
const addressesOf = (one: Stored): readonly string[] => (one.status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
const conditionOf = (name: string): Readonly<Record<string, unknown>> | undefined =>
  services()
    .find(({ metadata }) => metadata.name === name)
    ?.status?.conditions?.find(({ type }) => type === ADDRESS_CONDITION);
const put = (name: string): void =>
  server.apply(buildService(`default/${name}`, { ports: [{ port: 80 }], spec: { type: 'LoadBalancer' } }));

function allocator(identity: string) {
  const connection = createConnection({ settings: () => ({ server: server.url }) });
  const events = createEventRecorder({ connection, component: 'kube-router', instance: identity });
  const election = createLeaderElection({
    connection,
    namespace: 'kube-system',
    name: 'kube-router-lballoc',
    identity,
    // The API counts a Lease in whole seconds.
    durationMs: 1000,
    renewDeadlineMs: 600,
    retryMs: 50,
  });
  const controller = createLoadBalancerController({
    pools: [{ name: 'p', ranges: ['192.0.2.1-192.0.2.12'] }],
    api: loadBalancerApi(connection, events),
    lease: { term: () => election.current.token, confirm: (term) => election.confirm(term) },
  });
  return { controller, election, events };
}

test('two agents and one Lease: an address is never with two Services, and in the end everyone is served or told why not', async () => {
  const both = [allocator('a'), allocator('b')];
  // A generator with a fixed seed (Lehmer), so that a failure comes again.
  let seed = 20_260_101;
  const roll = (sides: number): number => (seed = (seed * 48_271) % 2_147_483_647) % sides;
  const passes: Promise<{ readonly led: boolean } | undefined>[] = [];
  let successions = 0;
  const check = (): void => {
    const held = services().flatMap(addressesOf);
    expect(new Set(held).size).toBe(held.length);
  };
  for (let operation = 0; operation < 1000; operation++) {
    const dice = roll(10);
    if (dice < 4) put(`s${roll(16)}`);
    else if (dice < 6) server.remove('Service', `s${roll(16)}`, 'default');
    else if (dice < 9) passes.push(both[roll(2)]!.controller.sync().catch(() => undefined));
    else if (roll(15) === 0) {
      // Whoever leads loses the Lease, at times in the middle of a pass, and another takes its place.
      const index = roll(2);
      await both[index]!.election.close();
      both[index] = allocator(`${index}-${operation}`);
      successions++;
    }
    check();
    if (operation % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const led = (await Promise.all(passes)).filter((pass) => pass?.led === true);
  expect(led.length).toBeGreaterThan(10);
  expect(successions).toBeGreaterThan(1);
  for (const { election } of both) await election.close();
  check();
  const last = allocator('c');
  const end = Date.now() + 10_000;
  while (!last.election.current.leader && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await last.controller.sync()).toMatchObject({ led: true, settled: true });
  check();
  for (const one of services().filter(({ metadata }) => metadata.name.startsWith('s'))) {
    const condition = conditionOf(one.metadata.name);
    if (addressesOf(one).length === 0)
      expect(condition).toMatchObject({ status: 'False', reason: 'AddressPoolExhausted' });
  }
  await last.election.close();
}, 60_000);

test('exhaustion is a condition and an event on the Service, and both say so when an address is there after all', async () => {
  for (let index = 0; index < 13; index++) put(`s${String(index).padStart(2, '0')}`);
  const { controller, election, events } = allocator('a');
  const end = Date.now() + 10_000;
  while (!election.current.leader && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  await controller.sync();
  expect(conditionOf('s00')).toMatchObject({ status: 'True', reason: 'AddressAssigned', message: '192.0.2.1' });
  expect(conditionOf('s12')).toMatchObject({
    status: 'False',
    reason: 'AddressPoolExhausted',
    message: 'no IPv4 address is left in p',
  });
  server.remove('Service', 's03', 'default');
  await controller.sync();
  expect(conditionOf('s12')).toMatchObject({ status: 'True', reason: 'AddressAssigned', message: '192.0.2.4' });
  await events.flush();
  const told = server.list('Event') as unknown as { reason: string; involvedObject: { name: string } }[];
  const about = told.filter(({ involvedObject }) => involvedObject.name === 's12').map(({ reason }) => reason);
  expect(about).toEqual(['AddressPoolExhausted', 'AddressAssigned']);
  await election.close();
}, 30_000);
