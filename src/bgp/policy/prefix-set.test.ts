import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../../testing/paired-peers.ts';
import type { Policy, Speaker, SpeakerOptions } from '../index.ts';
import { createPolicy, createPrefixSet, createSpeaker, prefixIn } from '../index.ts';

it.each([
  ['10.0.0.0/8', ['10.0.0.0/8'], ['10.0.0.0/9', '10.1.0.0/16', '11.0.0.0/8', '0.0.0.0/0']],
  [{ prefix: '10.0.0.0/8', ge: 16, le: 24 }, ['10.1.0.0/16', '10.1.2.0/24'], ['10.0.0.0/8', '10.1.2.0/25']],
  [{ prefix: '10.0.0.0/8', le: 9 }, ['10.0.0.0/8', '10.128.0.0/9'], ['10.0.0.0/10', '11.0.0.0/9']],
  [{ prefix: '10.0.0.0/8', ge: 16 }, ['10.1.0.0/16'], ['10.1.0.0/17', '10.0.0.0/8']],
  [{ prefix: '0.0.0.0/0', le: 32 }, ['0.0.0.0/0', '192.0.2.1/32'], ['::/0']],
  [{ prefix: '2001:db8::/32', le: 48 }, ['2001:db8:1::/48'], ['2001:db8:1:2::/64', '2001:db9::/32']],
] as const)('%j', (range, inside, outside) => {
  const set = createPrefixSet([range]);
  for (const prefix of inside) expect([prefix, set.has(prefix)]).toEqual([prefix, true]);
  for (const prefix of outside) expect([prefix, set.has(prefix)]).toEqual([prefix, false]);
});

it('overlapping ranges go one by one; what is refused changes nothing', () => {
  const set = createPrefixSet(['10.0.0.0/8', { prefix: '10.0.0.0/8', le: 16 }]);
  expect(set.size).toBe(2);
  set.update({ remove: [{ prefix: '10.0.0.0/8', le: 16 }] });
  expect([set.has('10.0.0.0/8'), set.has('10.1.0.0/16')]).toEqual([true, false]);
  expect(() => set.update({ remove: ['10.0.0.0/8'], add: ['10.0.0.1/8'] })).toThrow('10.0.0.1/8');
  expect(set.has('10.0.0.0/8')).toBe(true);
});

/** A policy, and how often it is asked. */
function counted(policy: Policy): { readonly policy: Policy; asked: number } {
  const counter = {
    asked: 0,
    policy: {
      ...policy,
      evaluate(...args: Parameters<Policy['evaluate']>) {
        counter.asked++;
        return policy.evaluate(...args);
      },
    },
  };
  return counter;
}

async function pair(policies: Partial<SpeakerOptions>) {
  const network = createMemoryNetwork();
  const make = (at: number, more: Partial<SpeakerOptions>): Promise<Speaker> =>
    createSpeaker({
      asn: 65000 + at,
      routerId: `192.0.2.${at}`,
      listen: [{ address: `192.0.2.${at}` }],
      peers: [{ address: `192.0.2.${3 - at}`, asn: 65003 - at, nextHop: { ipv6: `2001:db8::${at}` } }],
      clock: network.clock,
      transport: network.transport(`192.0.2.${at}`),
      ...more,
    });
  const one = await make(1, {});
  const two = await make(2, policies);
  const prefixes = Array.from({ length: 200 }, (_, index) => `10.${index}.0.0/16`);
  const more = ['10.7.1.0/24', '10.7.2.0/24', '2001:db8:7::/48'];
  const advertisements = [...prefixes, ...more].map((prefix) => ({ prefix, origin: 'other' as const }));
  one.setAdvertisements(advertisements);
  two.setAdvertisements([...prefixes.slice(0, 20), ...more].map((prefix) => ({ prefix, origin: 'other' as const })));
  // Messages are counted afterwards: the first KEEPALIVE, jittered, is due 22.5 seconds after the session is up at the earliest.
  network.run(20_000);
  return { network, one, two };
}

it('import: only what a change concerns is judged anew', async () => {
  const set = createPrefixSet();
  const counter = counted(createPolicy([{ when: prefixIn(set), then: false }]));
  const { network, two } = await pair({ importPolicy: counter.policy });
  const rejected = (): readonly string[] =>
    two
      .query(({ reason }) => reason === 'rejected by policy')
      .map(({ prefix }) => prefix)
      .sort();
  expect(rejected()).toEqual([]);
  counter.asked = 0;
  set.update({ add: ['10.3.0.0/16', '2001:db8:7::/48', '172.16.0.0/12'] });
  network.run(1000);
  expect(rejected()).toEqual(['10.3.0.0/16', '2001:db8:7::/48']);
  expect(counter.asked).toBe(2);
  set.update({ add: [{ prefix: '10.7.0.0/16', le: 24 }], remove: ['10.3.0.0/16'] });
  network.run(1000);
  expect(rejected()).toEqual(['10.7.0.0/16', '10.7.1.0/24', '10.7.2.0/24', '2001:db8:7::/48']);
  expect(counter.asked).toBe(6);
});

it('export: the peer is told the difference', async () => {
  const set = createPrefixSet();
  const counter = counted(createPolicy([{ when: prefixIn(set), then: false }]));
  const { network, one, two } = await pair({ exportPolicy: counter.policy });
  const heard = (): readonly string[] => one.query(({ peer }) => peer !== '').map(({ prefix }) => prefix);
  expect(heard()).toHaveLength(23);
  counter.asked = 0;
  const before = one.peers()[0]!.messagesReceived;
  set.update({ add: [{ prefix: '10.7.0.0/16', ge: 24, le: 24 }] });
  network.run(1000);
  expect(heard()).toHaveLength(21);
  expect(counter.asked).toBe(2);
  expect(one.peers()[0]!.messagesReceived - before).toBe(1);
  // A set of a policy that is no longer in use concerns nobody.
  two.setPolicies({});
  network.run(1000);
  expect(heard()).toHaveLength(23);
  counter.asked = 0;
  set.update({ add: ['10.1.0.0/16'] });
  network.run(1000);
  expect(heard()).toHaveLength(23);
  expect(counter.asked).toBe(0);
});
