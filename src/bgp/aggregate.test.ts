import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../testing/paired-peers.ts';
import type { Speaker, SpeakerOptions } from './index.ts';
import { createSpeaker } from './index.ts';

/** Source (AS 65001) – aggregator (65002) – receiver (65003). */
async function chain(options: Partial<SpeakerOptions>) {
  const network = createMemoryNetwork();
  const make = (number: number, peers: readonly number[], extra: Partial<SpeakerOptions> = {}): Promise<Speaker> =>
    createSpeaker({
      asn: 65000 + number,
      routerId: `192.0.2.${number}`,
      listen: [{ address: `192.0.2.${number}` }],
      clock: network.clock,
      transport: network.transport(`192.0.2.${number}`),
      peers: peers.map((other) => ({
        address: `192.0.2.${other}`,
        asn: 65000 + other,
        nextHop: { ipv6: `2001:db8::${number}` },
      })),
      ...extra,
    });
  const source = await make(1, [2]);
  const aggregator = await make(2, [1, 3], options);
  const receiver = await make(3, [2]);
  const say = (...prefixes: readonly string[]): void => {
    source.setAdvertisements(prefixes.map((prefix) => ({ prefix, origin: 'other' })));
    network.run(5000);
  };
  const heard = (): readonly string[] =>
    receiver
      .query(() => true)
      .map(({ prefix }) => prefix)
      .sort();
  return { network, source, aggregator, receiver, say, heard };
}

it('is originated with the first longer route and taken back with the last, with ATOMIC_AGGREGATE and AGGREGATOR', async () => {
  const { say, heard, receiver } = await chain({ aggregates: [{ prefix: '10.1.0.0/16' }] });
  say('10.2.0.0/24');
  expect(heard()).toEqual(['10.2.0.0/24']);
  say('10.1.1.0/24', '10.2.0.0/24');
  expect(heard()).toEqual(['10.1.0.0/16', '10.1.1.0/24', '10.2.0.0/24']);
  expect(receiver.lookup('10.1.0.0/16')[0]?.attributes).toMatchObject({
    origin: 'igp',
    asPath: [{ type: 'sequence', asns: [65002] }],
    atomicAggregate: true,
    aggregator: { asn: 65002, address: '192.0.2.2' },
  });
  say('10.1.2.0/24');
  expect(heard()).toEqual(['10.1.0.0/16', '10.1.2.0/24']);
  say('10.2.0.0/24');
  expect(heard()).toEqual(['10.2.0.0/24']);
});

it('comes back as itself after its prefix was forgotten and others came', async () => {
  const { say, heard } = await chain({ aggregates: [{ prefix: '10.1.0.0/16' }] });
  say('10.1.1.0/24');
  say();
  expect(heard()).toEqual([]);
  const others = ['10.2.0.0/24', '10.3.0.0/24', '10.4.0.0/24'];
  say(...others);
  expect(heard()).toEqual(others);
  say(...others, '10.1.7.0/24');
  expect(heard()).toEqual(['10.1.0.0/16', '10.1.7.0/24', ...others]);
  say(...others);
  expect(heard()).toEqual(others);
});

it('the prefix itself is no longer route: it does not keep its own aggregate', async () => {
  const { say, aggregator } = await chain({ aggregates: [{ prefix: '10.1.0.0/16' }] });
  say('10.1.0.0/16');
  expect(aggregator.lookup('10.1.0.0/16').map(({ peer }) => peer)).toEqual(['192.0.2.1']);
});

it('summary only: what it stands for is not told, and is again when the aggregate goes', async () => {
  const { say, heard, aggregator, network } = await chain({
    aggregates: [{ prefix: '10.1.0.0/16', summaryOnly: true }],
  });
  say('10.1.1.0/24', '10.1.2.0/24', '10.2.0.0/24');
  expect(heard()).toEqual(['10.1.0.0/16', '10.2.0.0/24']);
  say('10.1.2.0/24', '10.1.3.0/24');
  expect(heard()).toEqual(['10.1.0.0/16']);
  aggregator.setAggregates([]);
  network.run(1000);
  expect(heard()).toEqual(['10.1.2.0/24', '10.1.3.0/24']);
  aggregator.setAggregates([{ prefix: '10.1.0.0/16', summaryOnly: true }]);
  network.run(1000);
  expect(heard()).toEqual(['10.1.0.0/16']);
});

it('one within another: each route counts for the longest that holds it, the inner aggregate for the outer', async () => {
  const { say, heard } = await chain({
    aggregates: [
      { prefix: '10.0.0.0/8', summaryOnly: true },
      { prefix: '10.1.0.0/16', summaryOnly: true },
    ],
  });
  say('10.1.1.0/24');
  expect(heard()).toEqual(['10.0.0.0/8']);
  say('192.0.2.0/24');
  expect(heard()).toEqual(['192.0.2.0/24']);
});

it('IPv6, with attributes of its own', async () => {
  const { say, receiver } = await chain({
    aggregates: [{ prefix: '2001:db8:1::/48', attributes: { communities: ['65002:1'], prepend: { count: 1 } } }],
  });
  say('2001:db8:1:2::/64');
  expect(receiver.lookup('2001:db8:1::/48')[0]?.attributes).toMatchObject({
    communities: [65002 * 65536 + 1],
    asPath: [{ type: 'sequence', asns: [65002, 65002] }],
  });
});

it('names a fault', async () => {
  await expect(chain({ aggregates: [{ prefix: '10.1.0.1/16' }] })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    details: { path: 'aggregates[0].prefix' },
  });
});
