/** Peers accepted by prefix, between speakers in memory: they come with their first connection and stay while any of theirs lives. */
import { expect, it } from 'vitest';
import { createMemoryNetwork } from '../testing/paired-peers.ts';
import { createSpeaker } from './index.ts';

it('a connection that takes the place of a mute one is not ended with it', async () => {
  const network = createMemoryNetwork();
  const { clock } = network;
  const one = await createSpeaker({
    asn: 65001,
    routerId: '192.0.2.1',
    listen: [{ address: '192.0.2.1' }],
    dynamicPeers: [{ prefix: '192.0.2.0/24', asns: [65002] }],
    clock,
    transport: network.transport('192.0.2.1'),
  });
  const transport = network.transport('192.0.2.2');
  const ends: string[] = [];
  const open = (name: string): void => {
    const where = { address: '192.0.2.1', port: 179, security: {} };
    const opened = (connection: Parameters<Parameters<typeof transport.dial>[1]>[0]): void =>
      connection.start({ onData: () => undefined, onDrain: () => undefined, onClose: () => ends.push(name) });
    transport.dial(where, opened, (reason) => ends.push(`${name}: ${reason}`));
    network.run(1000);
  };
  open('first');
  expect(one.peers()).toMatchObject([{ dynamic: true, state: 'opensent' }]);
  open('second');
  expect(ends).toEqual(['first']);
  expect(one.peers()).toMatchObject([{ dynamic: true, state: 'opensent' }]);
  // Who never says OPEN is forgotten, a peer with a session comes in as ever.
  network.run(300_000);
  expect(ends).toEqual(['first', 'second']);
  expect(one.peers()).toEqual([]);
  const two = await createSpeaker({
    asn: 65002,
    routerId: '192.0.2.2',
    listen: [],
    peers: [{ address: '192.0.2.1', asn: 65001 }],
    clock,
    transport,
  });
  network.run(10_000);
  expect(one.peers()).toMatchObject([{ dynamic: true, state: 'established' }]);
  await two.close();
  await one.close();
});
