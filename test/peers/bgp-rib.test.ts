/**
 * What the RIB does, as real peers see it: aggregates, confederations, long messages, the shortest hold time, changed policies; and what
 * we make of two peers and of next hops that come and go.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { createPolicy, hasOrigin } from 'kube-router-sdk/bgp';
import type { Advertisement } from 'kube-router-sdk/net';
import { bird, frr, frrPaths, netns, pause, speak, tidy, up } from '../support/bgp.ts';
import { until } from '../support/netns.ts';

afterEach(tidy);

const routes = (...prefixes: readonly string[]): Advertisement[] =>
  prefixes.map((prefix) => ({ prefix, origin: 'other' }));

describe('BIRD', () => {
  it('an aggregate stands for the routes within it, comes with the first and goes with the last', async () => {
    const ns = netns();
    const daemon = await bird(ns);
    const { speaker } = await speak(ns, {}, { aggregates: [{ prefix: '10.1.0.0/16', summaryOnly: true }] });
    await up(speaker);
    const shown = (): string => daemon.ask('show route protocol speaker table master4 all');
    speaker.setAdvertisements(routes('10.1.1.0/24', '10.1.2.0/24', '10.9.0.0/24'));
    await until('the aggregate', () => shown().includes('10.1.0.0/16') && shown().includes('10.9.0.0/24'));
    expect(shown()).not.toContain('10.1.1.0/24');
    expect(shown()).toMatch(/10\.1\.0\.0\/16[\s\S]*BGP\.atomic_aggr/);
    expect(shown()).toMatch(/BGP\.aggregator: 10\.0\.0\.1 AS65001/);
    speaker.setAdvertisements(routes('10.9.0.0/24'));
    await until('its end', () => !shown().includes('10.1.0.0/16'));
    speaker.setAdvertisements(routes('10.9.0.0/24', '10.1.200.0/24'));
    await until('its return', () => shown().includes('10.1.0.0/16'));
    expect(shown()).not.toContain('10.1.200.0/24');
  });

  it('extended messages: a set of attributes of 6,000 octets goes through with them, and is not told without', async () => {
    const ns = netns();
    const daemon = await bird(ns, { neighbour: 'enable extended messages on;' });
    const { speaker } = await speak(ns);
    await up(speaker);
    const communities = Array.from({ length: 1500 }, (_, index) => `65001:${index}`);
    const long: Advertisement = { prefix: '10.1.0.0/16', origin: 'other', attributes: { communities } };
    speaker.setAdvertisements([long, ...routes('10.2.0.0/16')]);
    const shown = (): string => daemon.ask('show route protocol speaker table master4 all');
    await until('the long one', () => shown().includes('(65001,1499)'));
    speaker.setPeers([
      { address: ns.there4, asn: 65000, connectRetryTime: 1, idleHoldTime: 0.2, extendedMessages: false },
    ]);
    await until('the short one alone', () => shown().includes('10.2.0.0/16') && !shown().includes('10.1.0.0/16'));
    await up(speaker);
    await pause(500);
    expect(shown()).not.toContain('10.1.0.0/16');
  });

  it('a next hop that is out of reach takes its routes away, and gives them back', async () => {
    const ns = netns();
    await bird(ns);
    const { speaker, removed } = await speak(ns);
    await up(speaker);
    const reason = (): string | undefined => speaker.lookup('192.0.2.0/24')[0]?.reason;
    expect(reason()).toBe('only path');
    speaker.setNextHopCosts((hop) => (hop === ns.there4 ? undefined : 0));
    await until('its end', () => removed.includes('192.0.2.0/24'));
    expect(reason()).toBe('next hop unreachable');
    speaker.setNextHopCosts(() => 10);
    expect(reason()).toBe('only path');
  });
});

describe('FRR', () => {
  it('a hold time of 3 s: kept up by keepalives, over 3 s after FRR stops', async () => {
    const ns = netns();
    const daemon = await frr(ns, { neighbour: 'neighbor PEER timers 1 3' });
    const { speaker, events } = await speak(ns, { holdTime: 3 });
    await up(speaker);
    expect(speaker.peers()[0]?.holdTime).toBe(3);
    await pause(8000);
    expect(speaker.peers()[0]).toMatchObject({ state: 'established', established: 1 });
    daemon.child.kill('SIGSTOP');
    const stopped = performance.now();
    await until('the end', () => events.some((event) => event.startsWith('down: hold timer expired')));
    const seconds = (performance.now() - stopped) / 1000;
    daemon.child.kill('SIGCONT');
    expect(seconds).toBeGreaterThan(1.5);
    expect(seconds).toBeLessThan(4);
  });

  it('confederation: member AS numbers stay inside, in their own segments, and LOCAL_PREF goes along', async () => {
    const ns = netns();
    const daemon = await frr(ns, { global: 'bgp confederation identifier 64999\n bgp confederation peers 65001' });
    const { speaker } = await speak(ns, {}, { confederation: { id: 64999, members: [65000] } });
    await up(speaker);
    speaker.setAdvertisements([{ prefix: '10.1.0.0/16', origin: 'other', attributes: { localPreference: 300 } }]);
    await until('our route', () => frrPaths(daemon, '10.1.0.0/16').length > 0);
    expect(frrPaths(daemon, '10.1.0.0/16')[0]).toMatchObject({ aspath: { string: '(65001)' }, locPrf: 300 });
    const [theirs] = speaker.lookup('192.0.2.0/24');
    expect(theirs?.attributes.asPath).toEqual([{ type: 'confed-sequence', asns: [65000] }]);
    expect(speaker.peers()[0]?.kind).toBe('confed');
  });

  it('another policy of one peer takes effect while its session goes on', async () => {
    const ns = netns();
    const daemon = await frr(ns);
    const { speaker } = await speak(ns);
    await up(speaker);
    speaker.setAdvertisements([...routes('10.1.0.0/16'), { prefix: '10.2.0.0/16', origin: 'vip' }]);
    const heard = (): readonly number[] =>
      ['10.1.0.0/16', '10.2.0.0/16'].map((prefix) => frrPaths(daemon, prefix).length);
    await until('both', () => heard().join() === '1,1');
    const peer = { address: ns.there4, asn: 65000, connectRetryTime: 1, idleHoldTime: 0.2 };
    speaker.setPeers([
      {
        ...peer,
        name: 'renamed',
        exportPolicy: createPolicy([{ when: hasOrigin('vip'), then: false }]),
        importPolicy: createPolicy([], false),
      },
    ]);
    await until('one', () => heard().join() === '1,0');
    await until('the import', () => speaker.lookup('192.0.2.0/24')[0]?.reason === 'rejected by policy');
    speaker.setPeers([peer]);
    await until('both again', () => heard().join() === '1,1');
    await until('the import again', () => speaker.lookup('192.0.2.0/24')[0]?.reason === 'only path');
    expect(speaker.peers()[0]?.established).toBe(1);
  });
});

it('two peers of one AS: both next hops together, the other alone when one goes, and why one is best', async () => {
  const [left, right] = [netns(), netns()];
  const gone = await bird(left);
  await frr(right);
  const session = { asn: 65000, connectRetryTime: 1, idleHoldTime: 0.2 };
  const { speaker } = await speak(
    left,
    {},
    {
      listen: [left, right].map(({ here4 }) => ({ address: here4, port: 179 })),
      peers: [left, right].map(({ there4 }) => ({ ...session, address: there4 })),
      multipath: { ebgp: 2 },
    },
  );
  let hops: readonly string[] = [];
  speaker.routes$.subscribe(({ changed }) => {
    for (const { prefix, nextHops } of changed) if (prefix === '192.0.2.0/24') hops = nextHops.map(({ via }) => via);
  });
  await until('both', () => hops.length === 2);
  expect([...hops].sort()).toEqual([left.there4, right.there4].sort());
  // BIRD's routes have no MED, FRR's have 0 and both have ORIGIN IGP: the step that decides comes after those that load sharing needs alike.
  const [best, other] = speaker.lookup('192.0.2.0/24');
  expect([best?.best, other?.best]).toEqual([true, false]);
  expect(['router id', 'peer address']).toContain(other?.reason);
  gone.child.kill('SIGKILL');
  await until('one', () => hops.join() === right.there4);
  expect(speaker.lookup('192.0.2.0/24')[0]?.reason).toBe('only path');
});
