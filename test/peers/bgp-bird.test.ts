import { afterEach, describe, expect, it } from 'vitest';
import type { PeerOptions, Speaker } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { bird, netns, pause, speak, tidy, up } from '../support/bgp.ts';
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
  const daemon = await bird(ns, scene);
  return { ns, daemon, ...(await speak(ns, peer, { asn: scene.asn ?? 65001 })) };
}

const shown = (daemon: Daemon, prefix: string): string => daemon.ask(`show route for ${prefix} all`);
const holds = (daemon: Daemon, prefix: string): boolean => shown(daemon, prefix).includes(prefix);
/** Looks every 20 ms whether something holds until told to stop: how often it did not. */
function watch(holdsNow: () => boolean): () => number {
  let misses = 0;
  const timer = setInterval(() => {
    if (!holdsNow()) misses++;
  }, 20);
  return () => {
    clearInterval(timer);
    return misses;
  };
}

describe('BIRD', () => {
  it('eBGP: both families, attributes both ways, withdrawal', async () => {
    const { ns, daemon, speaker } = await lab();
    speaker.setAdvertisements([
      { prefix: 'fd00:244:1::/64', origin: 'pod-cidr' },
      {
        prefix: '198.51.100.7/32',
        origin: 'vip',
        attributes: { communities: ['65001:100'], largeCommunities: ['65001:1:2'], med: 50, prepend: { count: 2 } },
      },
    ]);
    await up(speaker);
    const vip = await until('the VIP', () => {
      const text = shown(daemon, '198.51.100.7/32');
      return text.includes('BGP.') && text;
    });
    expect(vip).toContain('BGP.as_path: 65001 65001 65001');
    expect(vip).toContain(`BGP.next_hop: ${ns.here4}`);
    expect(vip).toContain('BGP.med: 50');
    expect(vip).toContain('BGP.community: (65001,100)');
    expect(vip).toContain('BGP.large_community: (65001, 1, 2)');
    const pod = await until('the pod CIDR', () => {
      const text = shown(daemon, 'fd00:244:1::/64');
      return text.includes('BGP.') && text;
    });
    expect(pod).toContain(`BGP.next_hop: ${ns.here6}`);
    expect(speaker.lookup('192.0.2.0/24')[0]).toMatchObject({ nextHop: ns.there4, best: true });
    expect(speaker.lookup('2001:db8:f::1')[0]).toMatchObject({ nextHop: ns.there6, prefix: '2001:db8:f::/48' });
    speaker.setAdvertisements([]);
    await until('the withdrawal', () => !daemon.ask('show route').includes('198.51.100.7'));
  });

  it('add-path: BIRD gets all paths of a prefix with their identifiers, and loses the one that goes', async () => {
    const { daemon, speaker, ns } = await lab({ family: 'add paths on;' }, { addPath: 'both' });
    const sources = [11, 12].map((last) => `127.0.0.${last}`);
    await up(speaker);
    await speaker.close();
    await speak(
      ns,
      {},
      {
        listen: [
          { address: ns.here4, port: 179 },
          { address: '127.0.0.1', port: 11_792 },
        ],
        peers: [
          { address: ns.there4, asn: 65000, connectRetryTime: 1, addPath: 'both' },
          ...sources.map((address, index) => ({ address, asn: 64900 + index, passive: true })),
        ],
      },
    );
    const leaves: Speaker[] = [];
    for (const [index, localAddress] of sources.entries()) {
      const leaf = await speak(
        ns,
        {},
        {
          asn: 64900 + index,
          routerId: `10.0.1.${index + 1}`,
          listen: [],
          peers: [{ address: '127.0.0.1', port: 11_792, localAddress, asn: 65001, connectRetryTime: 1 }],
        },
      );
      leaf.speaker.setAdvertisements([{ prefix: '203.0.113.0/24', origin: 'other' }]);
      leaves.push(leaf.speaker);
    }
    const paths = (): number => shown(daemon, '203.0.113.0/24').match(/BGP\.as_path: 65001 6490[01]/g)?.length ?? 0;
    await until('both paths', () => paths() === 2);
    await leaves[0]!.close();
    await until('one path', () => paths() === 1);
  });

  it('add-path: we take both of two paths from BIRD, and the one that stays when the other goes', async () => {
    const { daemon, speaker } = await lab(
      {
        family: 'add paths tx;',
        global: `protocol static one { ipv4 { preference 150; }; route 203.0.113.0/24 blackhole { bgp_community.add((65000, 1)); }; }
protocol static two { ipv4 { preference 140; }; route 203.0.113.0/24 blackhole { bgp_community.add((65000, 2)); }; }`,
      },
      { addPath: 'receive' },
    );
    await up(speaker);
    await until('both paths', () => speaker.lookup('203.0.113.0/24').length === 2);
    const [one, two] = speaker.lookup('203.0.113.0/24');
    expect(one!.pathId).not.toBe(two!.pathId);
    daemon.ask('disable one');
    await until('one path', () => speaker.lookup('203.0.113.0/24').length === 1);
    expect(speaker.lookup('203.0.113.0/24')[0]?.attributes.communities).toEqual([0xfde80002]);
  });

  it('extended next hop: IPv4 routes with IPv6 next hops both ways over a session on IPv6', async () => {
    const ns = netns();
    const daemon = await bird(ns, { over6: true, family: 'extended next hop on;' });
    const { speaker } = await speak(
      ns,
      { address: ns.there6, extendedNextHop: true, nextHop: { ipv6: ns.here6 } },
      { listen: [{ address: ns.here6, port: 179 }] },
    );
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr', nextHop: ns.here6 }]);
    await up(speaker);
    await until('the route', () => shown(daemon, '10.244.1.0/24').includes(`BGP.next_hop: ${ns.here6}`));
    expect(await until('its route', () => speaker.lookup('192.0.2.0/24')[0]?.nextHop)).toBe(ns.there6);
  });

  it('enhanced route refresh: BIRD asks, gets everything between the two marks and loses nothing; we ask and purge what is not told again', async () => {
    const { ns, daemon, speaker, events } = await lab();
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(speaker);
    await until('the route', () => holds(daemon, '10.244.1.0/24'));
    const misses = watch(() => holds(daemon, '10.244.1.0/24'));
    daemon.ask('reload in speaker');
    await until('the request', () => events.includes('refresh: asked for ipv4-unicast'));
    await pause(500);
    expect(misses()).toBe(0);
    const before = speaker.peers()[0]!.messagesReceived;
    speaker.resetPeer(ns.there4, { soft: true });
    // Two families, each with a route between two marks.
    await until('the answer', () => speaker.peers()[0]!.messagesReceived >= before + 6);
    expect(speaker.lookup('192.0.2.0/24')[0]?.stale).toBe(false);
    expect(speaker.peers()[0]?.restarting).toBe(false);
    expect(speaker.peers()[0]?.established).toBe(1);
  });

  it('roles: matching ones come up and routes are marked and filtered; others are refused', async () => {
    const { daemon, speaker } = await lab(
      { neighbour: 'local role provider;' },
      { role: 'customer', strictRole: true },
    );
    await up(speaker);
    // RFC 9234 section 5: the provider marks its routes with its AS; they must not go to providers or peers.
    expect(speaker.lookup('192.0.2.0/24')[0]?.attributes.otc).toBe(65000);
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await until('our route', () => holds(daemon, '10.244.1.0/24'));
    expect(shown(daemon, '10.244.1.0/24')).not.toContain('BGP.otc');
    await tidy();

    const down = await lab({ neighbour: 'local role customer;' }, { role: 'provider' });
    down.speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(down.speaker);
    await until('our route', () => holds(down.daemon, '10.244.1.0/24'));
    expect(shown(down.daemon, '10.244.1.0/24')).toContain('BGP.otc: 65001');
    await tidy();

    const wrong = await lab({ neighbour: 'local role provider;' }, { role: 'provider' });
    await until('the refusal', () => wrong.events.some((event) => event.includes('Role Mismatch')));
    expect(wrong.speaker.peers()[0]?.state).not.toBe('established');
    await tidy();
    const strict = await lab({}, { role: 'customer', strictRole: true });
    await until('the refusal', () => strict.events.some((event) => event.includes('sent no role')));
  });

  it('four-octet AS numbers through a BIRD that knows two: AS_TRANS and AS4_PATH', async () => {
    const { daemon, speaker } = await lab({ neighbour: 'enable as4 off;' });
    const attributes = { prepend: { count: 1, asn: 4_200_000_002 } };
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr', attributes }]);
    await up(speaker);
    // BIRD joins AS_PATH and AS4_PATH again.
    await until('the route', () => shown(daemon, '10.244.1.0/24').includes('BGP.as_path: 65001 4200000002'));
    expect(speaker.lookup('192.0.2.0/24')[0]?.attributes.asPath).toEqual([{ type: 'sequence', asns: [65000] }]);
  });

  it('shutdown communication and administrative reset, in words, both ways', async () => {
    const { ns, daemon, speaker, events } = await lab();
    await up(speaker);
    daemon.ask('disable speaker "Schicht im Schacht"');
    await until('the reason', () =>
      events.some((event) => event.includes('Cease/Administrative Shutdown "Schicht im Schacht" (6/2)')),
    );
    daemon.ask('enable speaker');
    await up(speaker);
    speaker.resetPeer(ns.there4, { message: 'new key' });
    await until('our reason', () => daemon.log().includes('new key'));
    await up(speaker);
    await speaker.close({ message: 'moving racks' });
    await until('our last words', () => daemon.log().includes('moving racks'));
  });

  it('GRACEFUL_SHUTDOWN lowers LOCAL_PREF to 0; BLACKHOLE comes through with its mark', async () => {
    const { speaker } = await lab({
      global: `protocol static marked { ipv4;
  route 203.0.113.0/24 blackhole { bgp_community.add((65535, 0)); };
  route 203.0.114.1/32 blackhole { bgp_community.add((65535, 666)); };
}`,
    });
    await up(speaker);
    expect(speaker.lookup('203.0.113.0/24')[0]?.attributes.localPref).toBe(0);
    expect(speaker.lookup('203.0.114.1/32')[0]?.attributes.communities).toEqual([0xffff029a]);
    expect(speaker.lookup('192.0.2.0/24')[0]?.attributes.localPref).toBeUndefined();
  });
});
