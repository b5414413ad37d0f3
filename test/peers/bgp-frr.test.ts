import { afterEach, describe, expect, it } from 'vitest';
import type { PeerOptions } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { configureFrr, frr, frrPaths, netns, speak, tidy, up } from '../support/bgp.ts';
import type { Scene, Talking } from '../support/bgp.ts';
import type { TestNetns } from '../support/netns.ts';
import { until } from '../support/netns.ts';

afterEach(tidy);

interface Lab extends Talking {
  readonly ns: TestNetns;
  readonly daemon: Daemon;
}

async function lab(scene: Scene = {}, peer: Partial<PeerOptions> = {}): Promise<Lab> {
  const ns = netns();
  const daemon = await frr(ns, scene);
  return { ns, daemon, ...(await speak(ns, peer, { asn: scene.asn ?? 65001 })) };
}

const POD = [{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }] as const;

describe('FRR', () => {
  it('eBGP: both families over one session, attributes both ways, withdrawal', async () => {
    const { ns, daemon, speaker } = await lab();
    speaker.setAdvertisements([
      ...POD,
      { prefix: 'fd00:244:1::/64', origin: 'pod-cidr' },
      {
        prefix: '198.51.100.7/32',
        origin: 'vip',
        attributes: {
          communities: ['65001:100', 'no-export'],
          largeCommunities: ['65001:1:2'],
          extendedCommunities: ['rt:65001:7'],
          med: 50,
          localPreference: 200,
          prepend: { count: 2 },
        },
      },
    ]);
    await up(speaker);
    const pod = await until('the pod CIDR', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    expect(pod.aspath.string).toBe('65001');
    expect(pod.nexthops[0]?.ip).toBe(ns.here4);
    const pod6 = await until('the IPv6 pod CIDR', () => frrPaths(daemon, 'fd00:244:1::/64')[0]);
    expect(pod6.nexthops[0]?.ip).toBe(ns.here6);
    const vip = await until('the VIP', () => frrPaths(daemon, '198.51.100.7/32')[0]);
    expect(vip.aspath.string).toBe('65001 65001 65001');
    expect(vip.metric).toBe(50);
    expect(vip.locPrf).toBeUndefined();
    expect(vip.community?.string).toBe('65001:100 no-export');
    expect(vip.largeCommunity?.string).toBe('65001:1:2');
    expect(vip.extendedCommunity?.string).toBe('RT:65001:7');
    const [learned] = speaker.lookup('192.0.2.0/24');
    expect(learned).toMatchObject({
      nextHop: ns.there4,
      best: true,
      attributes: { asPath: [{ type: 'sequence', asns: [65000] }] },
    });
    expect(speaker.lookup('2001:db8:f::/48')[0]?.nextHop).toBe(ns.there6);
    speaker.setAdvertisements(POD);
    await until(
      'the withdrawal',
      () => frrPaths(daemon, '198.51.100.7/32').length === 0 && frrPaths(daemon, 'fd00:244:1::/64').length === 0,
    );
    expect(frrPaths(daemon, '10.244.1.0/24')).toHaveLength(1);
  });

  it('iBGP: LOCAL_PREF goes along, the path stays empty', async () => {
    const { daemon, speaker } = await lab({ asn: 65000 });
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr', attributes: { localPreference: 333 } }]);
    await up(speaker);
    const path = await until('the route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    expect(path.locPrf).toBe(333);
    expect(path.aspath.string).toBe('Local');
  });

  it('route refresh: FRR asks and gets everything again; we ask and get everything again', async () => {
    const { ns, daemon, speaker, events } = await lab();
    speaker.setAdvertisements(POD);
    await up(speaker);
    await until('the route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    daemon.ask(`clear bgp ipv4 unicast ${ns.here4} soft in`);
    await until('the request', () => events.includes('refresh: asked for ipv4-unicast'));
    const before = speaker.peers()[0]!.messagesReceived;
    speaker.resetPeer(ns.there4, { soft: true });
    await until('the answer', () => speaker.peers()[0]!.messagesReceived > before);
    expect(speaker.peers()[0]?.established).toBe(1);
  });

  it('add-path both ways', async () => {
    const ns = netns();
    const daemon = await frr(ns, { family: 'neighbor PEER addpath-tx-all-paths' });
    const sources = [11, 12].map((last) => `127.0.0.${last}`);
    const { speaker } = await speak(
      ns,
      {},
      {
        listen: [
          { address: ns.here4, port: 179 },
          { address: '127.0.0.1', port: 11_793 },
        ],
        peers: [
          { address: ns.there4, asn: 65000, connectRetryTime: 1, addPath: 'both' },
          ...sources.map((address, index) => ({ address, asn: 64900 + index, passive: true })),
        ],
      },
    );
    for (const [index, localAddress] of sources.entries()) {
      const leaf = await speak(
        ns,
        {},
        {
          asn: 64900 + index,
          routerId: `10.0.1.${index + 1}`,
          listen: [],
          peers: [{ address: '127.0.0.1', port: 11_793, localAddress, asn: 65001, connectRetryTime: 1 }],
        },
      );
      leaf.speaker.setAdvertisements([{ prefix: '203.0.113.0/24', origin: 'other' }]);
    }
    await until('both paths at FRR', () => frrPaths(daemon, '203.0.113.0/24').length === 2);
    expect(
      frrPaths(daemon, '203.0.113.0/24')
        .map((path) => path.aspath.string)
        .sort(),
    ).toEqual(['65001 64900', '65001 64901']);
    // FRR tells paths apart for us too: the path identifiers are read.
    const learned = await until('its route', () => speaker.lookup('192.0.2.0/24')[0]);
    expect(learned.pathId).toBeGreaterThan(0);
  });

  it('four-octet AS number of ours towards an FRR that negotiates nothing: it sees AS_TRANS', async () => {
    const ns = netns();
    const narrow = await frr(ns, { asn: 4_200_000_001, neighbour: 'neighbor PEER dont-capability-negotiate' });
    const wide = await speak(ns, {}, { asn: 4_200_000_001 });
    wide.speaker.setAdvertisements(POD);
    await up(wide.speaker);
    const path = await until('the route', () => frrPaths(narrow, '10.244.1.0/24')[0]);
    expect(path.aspath.string).toBe('23456');
    expect(wide.speaker.peers()[0]?.families).toEqual(['ipv4-unicast']);
  });

  it('GRACEFUL_SHUTDOWN both ways, BLACKHOLE by name', async () => {
    const { ns, daemon, speaker } = await lab();
    speaker.setAdvertisements([
      { prefix: '10.244.1.0/24', origin: 'pod-cidr', attributes: { communities: ['graceful-shutdown'] } },
      { prefix: '198.51.100.9/32', origin: 'vip', attributes: { communities: ['blackhole'] } },
    ]);
    await up(speaker);
    expect((await until('the route', () => frrPaths(daemon, '10.244.1.0/24')[0])).locPrf).toBe(0);
    expect((await until('the VIP', () => frrPaths(daemon, '198.51.100.9/32')[0])).community?.string).toContain(
      'blackhole',
    );
    expect(speaker.lookup('192.0.2.0/24')[0]?.attributes.localPref).toBeUndefined();
    configureFrr(ns, daemon, 'router bgp 65000', 'bgp graceful-shutdown');
    await until('the mark', () => speaker.lookup('192.0.2.0/24')[0]?.attributes.localPref === 0);
  });
});
