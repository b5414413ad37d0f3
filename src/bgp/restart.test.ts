/**
 * Restarts, refreshes and changes of policy between speakers in memory and virtual time: what peers are told, when, and nothing more.
 */
import { describe, expect, it } from 'vitest';
import type { MemoryNetwork } from '../testing/paired-peers.ts';
import { createMemoryNetwork } from '../testing/paired-peers.ts';
import type { PeerOptions, Policy, Speaker, SpeakerOptions } from './index.ts';
import { createSpeaker, message } from './index.ts';
import { MessageType } from './message/constants.ts';
import type { Connection } from './session/transport.ts';

const hosts = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'] as const;

/** The speaker with a number from 1, peered with all those listed. */
async function host(
  network: MemoryNetwork,
  number: number,
  peers: readonly number[],
  peer: Partial<PeerOptions> = {},
  options: Partial<SpeakerOptions> = {},
): Promise<Speaker> {
  const address = hosts[number - 1]!;
  return createSpeaker({
    asn: 65000 + number,
    routerId: address,
    listen: [{ address }],
    clock: network.clock,
    transport: network.transport(address),
    peers: peers.map((other) => ({
      address: hosts[other - 1]!,
      asn: 65000 + other,
      connectRetryTime: 1,
      idleHoldTime: 0.1,
      nextHop: { ipv6: `2001:db8::${number}` },
      ...peer,
    })),
    ...options,
  });
}

const advertise = (speaker: Speaker, ...prefixes: readonly string[]): void =>
  speaker.setAdvertisements(prefixes.map((prefix) => ({ prefix, origin: 'other' })));

describe('selection deferral (RFC 4724 section 4.1)', () => {
  const graceful = { gracefulRestart: { restartTime: 20 } };
  const back = { gracefulRestart: { restartTime: 20, restarting: true } };

  it('a restarted speaker announces nothing before it has heard every peer that it restarts with', async () => {
    const network = createMemoryNetwork();
    const one = await host(network, 1, [2, 3], graceful);
    const two = await host(network, 2, [1], graceful);
    const three = await host(network, 3, [1], graceful);
    advertise(three, '10.3.0.0/16');
    network.run(5000);
    expect(two.lookup('10.3.0.0/16')).toMatchObject([{ stale: false }]);
    await one.close({ graceful: true });
    network.run(1000);
    expect(two.lookup('10.3.0.0/16')).toMatchObject([{ stale: true }]);
    // The third host is cut off while the first comes back: the second is told nothing, so that it keeps what it has.
    const heal = network.partition((a, b) => [a, b].includes(hosts[2]));
    const again = await host(network, 1, [2, 3], back, { syncTimeout: 300 });
    network.run(5000);
    expect(again.peers()[0]).toMatchObject({ state: 'established' });
    expect(two.lookup('10.3.0.0/16')).toMatchObject([{ stale: true }]);
    heal();
    network.run(5000);
    expect(two.lookup('10.3.0.0/16')).toMatchObject([{ stale: false }]);
    expect(two.peers()[0]?.restarting).toBe(false);
  });

  it('it does not wait for a peer that held nothing of it', async () => {
    const network = createMemoryNetwork();
    const two = await host(network, 2, [1], graceful);
    const peers = [
      { address: hosts[1], asn: 65002, connectRetryTime: 1, ...back },
      { address: hosts[2], asn: 65003, ...graceful },
    ];
    const one = await host(network, 1, [], {}, { peers, syncTimeout: 300 });
    advertise(one, '10.1.0.0/16');
    network.run(5000);
    expect(two.lookup('10.1.0.0/16')).toHaveLength(1);
  });

  it('it waits no longer than its restart time for a peer that does not come back', async () => {
    const network = createMemoryNetwork();
    const two = await host(network, 2, [1], graceful);
    const four = await host(network, 4, [1]);
    const one = await host(network, 1, [2, 3, 4], back, { syncTimeout: 300 });
    advertise(one, '10.1.0.0/16');
    advertise(four, '10.4.0.0/16');
    network.run(19_000);
    expect(one.peers()[0]).toMatchObject({ state: 'established' });
    expect(two.lookup('10.4.0.0/16')).toEqual([]);
    // What it originates itself depends on nobody.
    expect(two.lookup('10.1.0.0/16')).toMatchObject([{ best: true }]);
    expect(two.peers()[0]).toMatchObject({ synced: false });
    network.run(2000);
    expect(two.lookup('10.4.0.0/16')).toMatchObject([{ best: true }]);
    expect(two.peers()[0]).toMatchObject({ synced: true });
  });

  it.each([
    ['best paths', {}],
    ['several paths', { addPath: 'both' as const }],
  ])('lost again before that, it has renewed what it originates, and keeps it: %s', async (_what, more) => {
    const network = createMemoryNetwork();
    const two = await host(network, 2, [1], { ...graceful, ...more });
    let one = await host(network, 1, [2, 3], { ...graceful, ...more });
    advertise(one, '10.1.0.0/16');
    network.run(5000);
    for (let restart = 0; restart < 3; restart++) {
      await one.close({ graceful: true });
      // It waits for the third host, which does not come.
      one = await host(network, 1, [2, 3], { ...back, ...more }, { syncTimeout: 300 });
      advertise(one, '10.1.0.0/16');
      for (let step = 0; step < 30; step++) {
        network.run(100);
        expect(two.lookup('10.1.0.0/16')).toHaveLength(1);
      }
      expect(two.lookup('10.1.0.0/16')).toMatchObject([{ stale: false }]);
    }
    await Promise.all([one.close(), two.close()]);
  });

  it('nor for one that restarts as well, nor longer than the sync timeout for one that never says End-of-RIB', async () => {
    const network = createMemoryNetwork();
    const one = await host(network, 1, [2], back);
    const two = await host(network, 2, [1], back);
    advertise(one, '10.1.0.0/16');
    network.run(3000);
    expect(two.lookup('10.1.0.0/16')).toMatchObject([{ best: true }]);
  });

  it('peers configured some time after the start are restarted with as well', async () => {
    const network = createMemoryNetwork();
    const two = await host(network, 2, [1], graceful);
    advertise(two, '10.2.0.0/16');
    const one = await host(network, 1, [2], graceful);
    advertise(one, '10.1.0.0/16');
    network.run(5000);
    await one.close({ graceful: true });
    network.run(500);
    const again = await host(network, 1, []);
    advertise(again, '10.1.0.0/16');
    network.run(1000);
    again.setPeers([{ address: hosts[1], asn: 65002, connectRetryTime: 1, ...back }]);
    let seen = 0;
    for (let step = 0; step < 50; step++) {
      network.run(100);
      if (two.lookup('10.1.0.0/16').length === 0) seen++;
    }
    expect(seen).toBe(0);
    expect(two.lookup('10.1.0.0/16')).toMatchObject([{ stale: false }]);
  });
});

describe('a further connection of a peer with graceful restart (RFC 4724 section 5)', () => {
  /** Another connection of the first host says OPEN; gives what it is told. */
  const comeAgain = (network: MemoryNetwork): number[] => {
    const types: number[] = [];
    const dial = { address: hosts[1], port: 179, security: {} };
    const connected = (connection: Connection): void => {
      const framer = message.createFramer();
      const onData = (bytes: Uint8Array): void =>
        void framer.push(bytes, (_chunk, _offset, _length, type) => void types.push(type));
      connection.start({ onData, onDrain: () => undefined, onClose: () => undefined });
      const capabilities = [
        { type: 'multiprotocol', family: 'ipv4-unicast' },
        { type: 'four-octet-as', asn: 65001 },
      ] as const;
      connection.write(message.encodeOpen({ asn: 65001, holdTime: 90, routerId: 0xc0000201, capabilities }));
    };
    network.transport(hosts[0]).dial(dial, connected, (reason) => expect(reason).toBeUndefined());
    network.run(500);
    return types;
  };
  it.each([
    [
      'some time after the session came up: it takes the place of the old one',
      10_000,
      [MessageType.open, MessageType.keepalive],
      1,
    ],
    ['just after it came up: both sides had dialled, and the session stays', 1000, [MessageType.notification], 0],
  ])('%s', async (_when, ms, answer, ends) => {
    const network = createMemoryNetwork();
    const graceful = { gracefulRestart: { restartTime: 20 } };
    const one = await host(network, 1, [2], graceful);
    const two = await host(network, 2, [1], { ...graceful, passive: true });
    let ended = 0;
    two.events$.subscribe(({ type }) => void (type === 'down' && ended++));
    while (two.peers()[0]?.state !== 'established') network.run(100);
    network.run(ms);
    expect(comeAgain(network)).toEqual(answer);
    expect(ended).toBe(ends);
    await Promise.all([one.close(), two.close()]);
  });
});

describe('long-lived graceful restart (RFC 9494)', () => {
  const llgr = { gracefulRestart: { restartTime: 5, longLivedTime: 60 } };

  it('routes become a last resort after the restart time, go on to peers that know the mark only, and end with their term', async () => {
    const network = createMemoryNetwork();
    const one = await host(network, 1, [2, 3], llgr);
    const two = await host(network, 2, [1], { gracefulRestart: { restartTime: 5, longLivedTime: 60 } });
    const aware = await host(network, 3, [1], llgr);
    const plain = await host(network, 4, []);
    one.setPeers([
      ...[2, 3].map((number) => ({ address: hosts[number - 1]!, asn: 65000 + number, connectRetryTime: 1, ...llgr })),
      { address: hosts[3], asn: 65004, connectRetryTime: 1 },
    ]);
    plain.setPeers([{ address: hosts[0], asn: 65001, connectRetryTime: 1 }]);
    two.setAdvertisements([
      { prefix: '10.2.0.0/16', origin: 'other' },
      { prefix: '10.22.0.0/16', origin: 'other', attributes: { communities: ['65535:7'] } },
    ]);
    network.run(5000);
    expect(plain.lookup('10.2.0.0/16')).toHaveLength(1);
    await two.close({ graceful: true });
    network.run(4000);
    expect(plain.lookup('10.2.0.0/16')).toHaveLength(1);
    network.run(3000);
    expect(one.lookup('10.2.0.0/16')[0]?.attributes.communities).toEqual([0xffff0006]);
    // NO_LLGR: not a last resort.
    expect(one.lookup('10.22.0.0/16')).toEqual([]);
    expect(aware.lookup('10.2.0.0/16')[0]?.attributes.communities).toEqual([0xffff0006]);
    expect(plain.lookup('10.2.0.0/16')).toEqual([]);
    network.run(56_000);
    expect(one.lookup('10.2.0.0/16')).toHaveLength(1);
    network.run(5000);
    expect(one.lookup('10.2.0.0/16')).toEqual([]);
    expect(aware.lookup('10.2.0.0/16')).toEqual([]);
  });

  it('a peer that comes back and goes again without End-of-RIB does not prolong the term', async () => {
    const network = createMemoryNetwork();
    const one = await host(network, 1, [2], llgr);
    const two = await host(network, 2, [1], llgr);
    advertise(two, '10.2.0.0/16');
    network.run(5000);
    await two.close({ graceful: true });
    network.run(30_000);
    expect(one.lookup('10.2.0.0/16')[0]?.attributes.communities).toEqual([0xffff0006]);
    // It waits for a third that never comes, so that it says nothing and no End-of-RIB either.
    const back = { gracefulRestart: { ...llgr.gracefulRestart, restartTime: 200, restarting: true } };
    const again = await host(network, 2, [1, 3], back);
    network.run(5000);
    expect(one.peers()[0]).toMatchObject({ state: 'established', restarting: true });
    await again.close({ graceful: true });
    network.run(1000);
    expect(one.lookup('10.2.0.0/16')).toHaveLength(1);
    // 5 s of restart time and 60 s of the long term after the first end, of which 36 are over.
    network.run(28_000);
    expect(one.lookup('10.2.0.0/16')).toHaveLength(1);
    network.run(2000);
    expect(one.lookup('10.2.0.0/16')).toEqual([]);
  });

  it('a route that the import policy marks NO_LLGR is no last resort', async () => {
    const network = createMemoryNetwork();
    const importPolicy: Policy = {
      readsPrefix: true,
      evaluate: ({ prefix }) => (prefix === '10.2.0.0/16' ? { communities: [0xffff0007] } : true),
    };
    const one = await host(network, 1, [2], { ...llgr, importPolicy });
    const two = await host(network, 2, [1], llgr);
    advertise(two, '10.2.0.0/16', '10.3.0.0/16');
    network.run(5000);
    await two.close({ graceful: true });
    network.run(4000);
    expect(one.lookup('10.2.0.0/16')).toHaveLength(1);
    network.run(3000);
    expect(one.lookup('10.2.0.0/16')).toEqual([]);
    expect(one.lookup('10.3.0.0/16')).toHaveLength(1);
  });

  it('any other path is better than a last resort', async () => {
    const network = createMemoryNetwork();
    const one = await host(network, 1, [2, 3], llgr);
    const two = await host(network, 2, [1], llgr);
    const three = await host(network, 3, [1], llgr);
    two.setAdvertisements([{ prefix: '10.9.0.0/16', origin: 'other' }]);
    three.setAdvertisements([{ prefix: '10.9.0.0/16', origin: 'other', attributes: { prepend: { count: 5 } } }]);
    network.run(5000);
    expect(one.lookup('10.9.0.0/16')[0]?.peer).toBe(hosts[1]);
    await two.close({ graceful: true });
    network.run(1000);
    expect(one.lookup('10.9.0.0/16')[0]?.peer).toBe(hosts[1]);
    network.run(6000);
    expect(one.lookup('10.9.0.0/16')[0]).toMatchObject({ peer: hosts[2], reason: 'not long-lived stale' });
  });
});

describe('change of policies', () => {
  /** Takes prefixes that begin with a text, for the peers of an AS or all. */
  const policy = (start: string, asn?: number): Policy => ({
    readsPrefix: true,
    readsPeer: asn !== undefined,
    evaluate: (route, { peer }) => route.prefix.startsWith(start) || (asn !== undefined && peer.asn !== asn),
  });

  it('one policy for all gives way to one that tells peers apart and back: each is told its own difference and nothing else', async () => {
    const network = createMemoryNetwork();
    const one = await host(network, 1, [2, 3, 4], { families: ['ipv4-unicast'] }, { exportPolicy: policy('10.') });
    const others = await Promise.all(
      [2, 3, 4].map((number) => host(network, number, [1], { families: ['ipv4-unicast'] })),
    );
    advertise(one, '10.1.0.0/16', '10.2.0.0/16', '20.1.0.0/16');
    network.run(5000);
    const held = (): string[][] =>
      others.map((other) =>
        other
          .query(({ peer }) => peer !== '')
          .map(({ prefix }) => prefix)
          .sort(),
      );
    expect(held()).toEqual([
      ['10.1.0.0/16', '10.2.0.0/16'],
      ['10.1.0.0/16', '10.2.0.0/16'],
      ['10.1.0.0/16', '10.2.0.0/16'],
    ]);
    const messages = (): number[] => others.map((other) => other.peers()[0]!.messagesReceived);
    let before = messages();
    one.setPolicies({ exportPolicy: policy('20.', 65003) });
    network.run(1000);
    const all = ['10.1.0.0/16', '10.2.0.0/16', '20.1.0.0/16'];
    expect(held()).toEqual([all, ['20.1.0.0/16'], all]);
    // The others learn one route; the third host loses two and learns one.
    expect(messages().map((count, index) => count - before[index]!)).toEqual([1, 2, 1]);
    before = messages();
    one.setPolicies({ exportPolicy: policy('10.') });
    network.run(1000);
    expect(held()).toEqual([
      ['10.1.0.0/16', '10.2.0.0/16'],
      ['10.1.0.0/16', '10.2.0.0/16'],
      ['10.1.0.0/16', '10.2.0.0/16'],
    ]);
    before = messages();
    one.setPolicies({ exportPolicy: policy('10.') });
    advertise(one, '10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16');
    network.run(1000);
    expect(messages().map((count, index) => count - before[index]!)).toEqual([1, 1, 1]);
    // A session that comes anew finds its place among them.
    network.cut((a, b) => [a, b].includes(hosts[1]));
    network.run(10_000);
    expect(held()[0]).toEqual(['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16']);
  });
});
