import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../../testing/paired-peers.ts';
import type { Clock } from './clock.ts';
import { createSpeaker } from '../index.ts';

/**
 * A clock on which looking takes time: each look is a millisecond later than the one before, so that whoever counts what its work costs
 * finds it dear. Work that never looks costs nothing.
 */
function dear(clock: Clock): Clock {
  let looks = 0;
  return { ...clock, now: () => clock.now() + looks++ };
}

it('a chunk that takes too long to read is read over several turns, in order and to the end', async () => {
  const network = createMemoryNetwork();
  const make = (at: number, clock: Clock) =>
    createSpeaker({
      asn: 65000 + at,
      routerId: `192.0.2.${at}`,
      listen: [{ address: `192.0.2.${at}` }],
      peers: [{ address: `192.0.2.${3 - at}`, asn: 65003 - at, extendedMessages: false }],
      clock,
      transport: network.transport(`192.0.2.${at}`),
    });
  const sender = await make(1, network.clock);
  const reader = await make(2, dear(network.clock));
  const ends: string[] = [];
  reader.events$.subscribe(({ type, reason }) => {
    if (type === 'down') ends.push(reason);
  });
  network.run(10_000);
  // Each with attributes of its own, so that each is a message: about 350 kB in all.
  const routes = Array.from({ length: 5000 }, (_, index) => ({
    prefix: `10.${index >> 8}.${index & 255}.0/24`,
    origin: 'other' as const,
    attributes: { communities: [`65001:${index}`] },
  }));
  sender.setAdvertisements(routes);
  network.run(60_000);
  const heard = (): number => reader.peers()[0]?.received ?? 0;
  expect(heard()).toBe(5000);
  expect(reader.lookup('10.19.135.1')[0]?.attributes.communities).toEqual([65001 * 65536 + 4999]);
  // What was said last counts, also when the connection ends while it waits to be read.
  sender.setAdvertisements(routes.slice(0, 10));
  network.run(60_000);
  expect(heard()).toBe(10);
  sender.setAdvertisements(routes);
  network.run(12);
  await sender.close();
  network.run(1000);
  expect(heard()).toBe(0);
  expect(ends).toEqual([expect.stringMatching(/administrative shutdown/i)]);
  await reader.close();
});

it('who says little is heard while others say much', async () => {
  const network = createMemoryNetwork();
  const make = (at: number, peers: readonly number[], clock: Clock) =>
    createSpeaker({
      asn: 65000 + at,
      routerId: `192.0.2.${at}`,
      listen: [{ address: `192.0.2.${at}` }],
      peers: peers.map((other) => ({ address: `192.0.2.${other}`, asn: 65000 + other, extendedMessages: false })),
      clock,
      transport: network.transport(`192.0.2.${at}`),
    });
  const reader = await make(1, [2, 3, 4, 5], dear(network.clock));
  const senders = await Promise.all([2, 3, 4, 5].map((at) => make(at, [1], network.clock)));
  network.run(10_000);
  const told: string[][] = [];
  reader.routes$.subscribe(({ changed }) => told.push(changed.map(({ prefix }) => prefix)));
  senders.forEach((sender, which) =>
    sender.setAdvertisements(
      Array.from({ length: which < 3 ? 3000 : 1 }, (_, index) => ({
        prefix: `10.${which * 16 + (index >> 8)}.${index & 255}.0/24`,
        origin: 'other' as const,
        attributes: { communities: [`65001:${index}`] },
      })),
    ),
  );
  network.run(60_000);
  const turnOf = (prefix: string): number => told.findIndex((batch) => batch.includes(prefix));
  const last = [0, 1, 2].map((which) => turnOf(`10.${which * 16 + 11}.183.0/24`));
  expect(Math.min(...last)).toBeGreaterThan(20);
  expect(turnOf('10.48.0.0/24')).toBeGreaterThan(-1);
  expect(turnOf('10.48.0.0/24')).toBeLessThan(Math.min(...last) / 2);
  // And they take turns among themselves: none is done long before the others.
  expect(Math.max(...last) - Math.min(...last)).toBeLessThan(Math.min(...last) / 2);
  await Promise.all([reader, ...senders].map((speaker) => speaker.close()));
});
