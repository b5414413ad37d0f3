import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../../testing/paired-peers.ts';
import type { Speaker } from '../index.ts';
import { createPolicy, createSpeaker, hasCommunity, hasOrigin, prefixIn } from '../index.ts';

it('export by origin, import by prefix and community, changed live with only the difference sent', async () => {
  const network = createMemoryNetwork();
  const exportPolicy = createPolicy([{ when: hasOrigin('pod-cidr'), then: false }]);
  const importPolicy = createPolicy([
    { when: prefixIn([{ prefix: '10.0.0.0/8', ge: 24, le: 32 }]), then: { localPref: 200 } },
    { when: hasCommunity('65001:666'), then: false },
  ]);
  const make = (at: number, more: object): Promise<Speaker> =>
    createSpeaker({
      asn: 65000 + at,
      routerId: `192.0.2.${at}`,
      listen: [{ address: `192.0.2.${at}` }],
      peers: [{ address: `192.0.2.${3 - at}`, asn: 65003 - at }],
      clock: network.clock,
      transport: network.transport(`192.0.2.${at}`),
      ...more,
    });
  const a = await make(1, { exportPolicy });
  const b = await make(2, { importPolicy });
  a.setAdvertisements([
    { prefix: '10.1.0.0/24', origin: 'vip' },
    { prefix: '10.2.0.0/16', origin: 'vip' },
    { prefix: '172.16.0.0/24', origin: 'vip', attributes: { communities: ['65001:666'] } },
    { prefix: '10.244.1.0/24', origin: 'pod-cidr' },
  ]);
  // Messages are counted afterwards: the first KEEPALIVE, jittered, is due 22.5 seconds after the session is up at the earliest.
  network.run(20_000);
  const seen = (): unknown[] =>
    b
      .query(({ peer }) => peer !== '')
      .map((path) => [path.prefix, path.reason, path.attributes.localPref])
      .sort();
  expect(seen()).toEqual([
    ['10.1.0.0/24', 'only path', 200],
    ['10.2.0.0/16', 'only path', undefined],
    ['172.16.0.0/24', 'rejected by policy', undefined],
  ]);
  const before = b.peers()[0]!.messagesReceived;
  a.setPolicies({});
  network.run(1000);
  expect(seen().map((row) => (row as string[])[0])).toContain('10.244.1.0/24');
  expect(b.peers()[0]!.messagesReceived - before).toBe(1);
  await a.close();
  await b.close();
});
