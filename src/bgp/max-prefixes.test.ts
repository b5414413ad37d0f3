/**
 * A limit of prefixes between speakers in memory: who exceeds it is left alone as long as was asked, and a change of the limit counts at once.
 */
import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../testing/paired-peers.ts';
import type { Speaker, SpeakerOptions } from './index.ts';
import { createSpeaker } from './index.ts';

async function pair(options: Partial<SpeakerOptions>, asn = 65001) {
  const network = createMemoryNetwork();
  const make = (at: number, own: number, more: Partial<SpeakerOptions>): Promise<Speaker> =>
    createSpeaker({
      asn: own,
      routerId: `192.0.2.${at}`,
      listen: [{ address: `192.0.2.${at}` }],
      clock: network.clock,
      transport: network.transport(`192.0.2.${at}`),
      ...more,
    });
  const one = await make(1, asn, options);
  const two = await make(2, 65002, {
    peers: [{ address: '192.0.2.1', asn: 65001, connectRetryTime: 1, idleHoldTime: 0.1 }],
  });
  const say = (count: number): void =>
    two.setAdvertisements(
      Array.from({ length: count }, (_, index) => ({ prefix: `10.${index}.0.0/16`, origin: 'other' })),
    );
  const state = (): string => one.peers()[0]?.state ?? 'none';
  return { network, one, two, say, state };
}

const peer = { address: '192.0.2.2', asn: 65002, connectRetryTime: 1, idleHoldTime: 0.1 };

it('without a time it is left alone until its limit changes', async () => {
  const { network, one, say, state } = await pair({ peers: [{ ...peer, maxPrefixes: { limit: 3 } }] });
  say(3);
  network.run(5000);
  expect([state(), one.peers()[0]?.received]).toEqual(['established', 3]);
  say(4);
  network.run(60_000);
  expect([state(), one.peers()[0]?.received, one.peers()[0]?.established]).toEqual(['idle', 0, 1]);
  one.setPeers([{ ...peer, maxPrefixes: { limit: 4 } }]);
  network.run(5000);
  expect([state(), one.peers()[0]?.received]).toEqual(['established', 4]);
  // A lower one ends it at once, a reset has it tried again.
  one.setPeers([{ ...peer, maxPrefixes: { limit: 2 } }]);
  network.run(30_000);
  expect(state()).toBe('idle');
  say(2);
  one.resetPeer('192.0.2.2');
  network.run(5000);
  expect([state(), one.peers()[0]?.received]).toEqual(['established', 2]);
});

it('with a time it is tried again after it', async () => {
  const { network, one, say, state } = await pair({
    peers: [{ ...peer, maxPrefixes: { limit: 3, restartAfter: 30 } }],
  });
  say(4);
  network.run(20_000);
  expect(state()).toBe('idle');
  say(3);
  network.run(15_000);
  expect([state(), one.peers()[0]?.received]).toEqual(['established', 3]);
});

it('a peer by prefix is left alone as well', async () => {
  const { network, one, two, say } = await pair({
    dynamicPeers: [{ prefix: '192.0.2.0/24', asns: [65002], maxPrefixes: { limit: 3, restartAfter: 30 } }],
  });
  say(4);
  network.run(25_000);
  expect(two.peers()[0]?.established).toBe(1);
  say(3);
  // Who was refused again and again comes at longer and longer intervals.
  network.run(90_000);
  expect(one.peers()).toMatchObject([{ dynamic: true, state: 'established', received: 3 }]);
});

it('a limit that only warns goes on', async () => {
  const { network, one, say, state } = await pair({ peers: [{ ...peer, maxPrefixes: { limit: 3, warnOnly: true } }] });
  const warnings: string[] = [];
  one.events$.subscribe(({ type, reason }) => {
    if (type === 'max-prefixes') warnings.push(reason);
  });
  say(4);
  network.run(20_000);
  expect([state(), one.peers()[0]?.received]).toEqual(['established', 4]);
  expect(warnings[0]).toBe('4 prefixes, 3 allowed');
});
