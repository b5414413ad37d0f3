import { afterEach, describe, expect, it } from 'vitest';
import type { PeerOptions } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { gobgp, netns, pause, speak, tidy, up } from '../support/bgp.ts';
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
  const daemon = await gobgp(ns, scene);
  return { ns, daemon, ...(await speak(ns, peer, { asn: scene.asn ?? 65001 })) };
}

const POD = [{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }] as const;

interface GobgpPath {
  readonly stale?: boolean;
  readonly attrs: readonly { readonly type: number; readonly [field: string]: unknown }[];
}

/** GoBGP's paths to a prefix. */
function paths(daemon: Daemon, prefix: string): readonly GobgpPath[] {
  const family = prefix.includes(':') ? 'ipv6' : 'ipv4';
  try {
    const answer = JSON.parse(daemon.ask(`global rib ${prefix} -a ${family} -j`)) as Record<string, GobgpPath[]>;
    return answer[prefix] ?? [];
  } catch {
    // It exits with an error when the table lacks the prefix.
    return [];
  }
}
const attribute = (path: GobgpPath | undefined, type: number) => path?.attrs.find((one) => one.type === type);

describe('GoBGP', () => {
  it('eBGP: both families, attributes both ways, withdrawal', async () => {
    const { ns, daemon, speaker } = await lab();
    const attributes = { communities: ['65001:100'], largeCommunities: ['65001:1:2'], med: 50, prepend: { count: 2 } };
    speaker.setAdvertisements([
      ...POD,
      { prefix: 'fd00:244:1::/64', origin: 'pod-cidr' },
      { prefix: '198.51.100.7/32', origin: 'vip', attributes },
    ]);
    await up(speaker);
    const vip = await until('the VIP', () => paths(daemon, '198.51.100.7/32')[0]);
    expect(attribute(vip, 2)).toMatchObject({ as_paths: [{ asns: [65001, 65001, 65001] }] });
    expect(attribute(vip, 4)).toMatchObject({ metric: 50 });
    expect(attribute(vip, 8)).toMatchObject({ communities: [(65001 * 65536 + 100) >>> 0] });
    expect(attribute(vip, 32)).toMatchObject({ value: [{ ASN: 65001, LocalData1: 1, LocalData2: 2 }] });
    const pod6 = await until('the IPv6 pod CIDR', () => paths(daemon, 'fd00:244:1::/64')[0]);
    expect(attribute(pod6, 14)).toMatchObject({ nexthop: ns.here6 });
    await until('its routes', () => speaker.query((path) => path.peer === ns.there4).length >= 2);
    expect(speaker.lookup('192.0.2.0/24')[0]).toMatchObject({ best: true, nextHop: ns.there4 });
    expect(speaker.lookup('2001:db8:f::/48')[0]).toMatchObject({ best: true, nextHop: ns.there6 });
    speaker.setAdvertisements(POD);
    await until('the withdrawal', () => paths(daemon, '198.51.100.7/32').length === 0);
  });

  it('TCP MD5: as client and as listener; a wrong key never', async () => {
    const key = { neighbour: 'auth-password = "s3cret"' };
    const client = await lab(key, { password: 's3cret' });
    await up(client.speaker);
    await tidy();
    const ns = netns();
    await gobgp(ns, key);
    const listener = await speak(ns, { password: 's3cret', passive: true });
    await up(listener.speaker);
    await tidy();
    const wrong = await lab(key, { password: 'other' });
    await pause(3000);
    expect(wrong.speaker.peers()[0]?.state).not.toBe('established');
  });

  it('graceful restart: GoBGP keeps our routes while we restart; we keep GoBGP’s while it restarts', async () => {
    const scene = {
      neighbour: '[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 20',
      family: '[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true',
    };
    const { ns, daemon, speaker, removed } = await lab(scene, { gracefulRestart: { restartTime: 20 } });
    speaker.setAdvertisements(POD);
    await up(speaker);
    await until('our route', () => paths(daemon, '10.244.1.0/24')[0]);
    await speaker.close({ graceful: true });
    await until('the mark', () => paths(daemon, '10.244.1.0/24')[0]?.stale === true);
    const again = await speak(ns, { gracefulRestart: { restartTime: 20, restarting: true } });
    again.speaker.setAdvertisements(POD);
    let misses = 0;
    const timer = setInterval(() => (misses += paths(daemon, '10.244.1.0/24').length === 0 ? 1 : 0), 200);
    await up(again.speaker);
    await until('the route anew', () => paths(daemon, '10.244.1.0/24')[0]?.stale !== true);
    clearInterval(timer);
    expect(misses).toBe(0);

    await until('its route', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    daemon.child.kill('SIGKILL');
    await until('its end', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === true);
    const next = await gobgp(ns, { ...scene, args: ['-r'] });
    await until('a fresh route', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    await until('our route at the next', () => paths(next, '10.244.1.0/24')[0]);
    expect([...removed, ...again.removed]).toEqual([]);
  });

  it('long-lived graceful restart: both keep what the other announced, marked, past the restart time', async () => {
    const scene = {
      neighbour: '[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 1\nlong-lived-enabled = true',
      family: `[neighbors.afi-safis.mp-graceful-restart.config]
enabled = true
[neighbors.afi-safis.long-lived-graceful-restart.config]
enabled = true
restart-time = 30`,
    };
    const { daemon, speaker } = await lab(scene, { gracefulRestart: { restartTime: 1, longLivedTime: 30 } });
    speaker.setAdvertisements(POD);
    await up(speaker);
    await until('our route', () => paths(daemon, '10.244.1.0/24')[0]);
    await speaker.close({ graceful: true });
    await until('the mark', () =>
      (attribute(paths(daemon, '10.244.1.0/24')[0], 8)?.['communities'] as number[] | undefined)?.includes(0xffff0006),
    );
    await tidy();
    const away = await lab(scene, { gracefulRestart: { restartTime: 1, longLivedTime: 30 } });
    await up(away.speaker);
    away.daemon.child.kill('SIGKILL');
    await until('the mark', () => away.speaker.lookup('192.0.2.0/24')[0]?.attributes.communities?.includes(0xffff0006));
    expect(away.removed).toEqual([]);
  });

  it('add-path: GoBGP gets both paths of a prefix, and loses the one that goes', async () => {
    const ns = netns();
    const daemon = await gobgp(ns, { family: '[neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 4' });
    const sources = [11, 12].map((last) => `127.0.0.${last}`);
    await speak(
      ns,
      {},
      {
        listen: [
          { address: ns.here4, port: 179 },
          { address: '127.0.0.1', port: 11_796 },
        ],
        peers: [
          { address: ns.there4, asn: 65000, connectRetryTime: 1, addPath: 'both' },
          ...sources.map((address, index) => ({ address, asn: 64900 + index, passive: true })),
        ],
      },
    );
    const leaves: Talking[] = [];
    for (const [index, localAddress] of sources.entries()) {
      const leaf = await speak(
        ns,
        {},
        {
          asn: 64900 + index,
          routerId: `10.0.1.${index + 1}`,
          listen: [],
          peers: [{ address: '127.0.0.1', port: 11_796, localAddress, asn: 65001, connectRetryTime: 1 }],
        },
      );
      leaf.speaker.setAdvertisements([{ prefix: '203.0.113.0/24', origin: 'other' }]);
      leaves.push(leaf);
    }
    await until('both paths', () => paths(daemon, '203.0.113.0/24').length === 2);
    await leaves[0]!.speaker.close();
    await until('one path', () => paths(daemon, '203.0.113.0/24').length === 1);
  });

  it('route refresh: GoBGP tells everything again when asked', async () => {
    const { ns, speaker } = await lab();
    await up(speaker);
    await until('its route', () => speaker.lookup('192.0.2.0/24').length === 1);
    const before = speaker.peers()[0]!.messagesReceived;
    speaker.resetPeer(ns.there4, { soft: true });
    // One UPDATE a family at least.
    await until('the answer', () => speaker.peers()[0]!.messagesReceived >= before + 2);
    expect(speaker.peers()[0]?.established).toBe(1);
    expect(speaker.lookup('192.0.2.0/24')).toHaveLength(1);
  });

  it('reset and shutdown by its client are heard in words', async () => {
    for (const [command, said] of [
      ['reset', 'Cease/Administrative Reset'],
      ['shutdown', 'Cease/Administrative Shutdown'],
    ]) {
      const { ns, daemon, speaker, events } = await lab();
      await up(speaker);
      daemon.ask(`neighbor ${ns.here4} ${command}`);
      await until(said!, () => events.some((event) => event.includes(said!)));
      await tidy();
    }
  });

  it('max-prefix: its limit is heard', async () => {
    const { speaker, events } = await lab({
      family: '[neighbors.afi-safis.prefix-limit.config]\nmax-prefixes = 1\nshutdown-threshold-pct = 100',
    });
    speaker.setAdvertisements(
      ['10.244.1.0/24', '10.244.2.0/24', '10.244.3.0/24'].map((prefix) => ({ prefix, origin: 'pod-cidr' })),
    );
    await until('the end', () => events.some((event) => event.includes('Maximum Number of Prefixes Reached')));
  });

  it('iBGP as its reflector client: routes go both ways with LOCAL_PREF', async () => {
    const ns = netns();
    const daemon = await gobgp(ns, {
      own: 65001,
      neighbour:
        '[neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = "10.9.9.9"',
    });
    const one = await speak(ns, { asn: 65001 });
    one.speaker.setAdvertisements(POD);
    await up(one.speaker);
    await until('the route', () => paths(daemon, '10.244.1.0/24')[0]);
    // GoBGP's own route comes with LOCAL_PREF as iBGP asks.
    expect(one.speaker.lookup('192.0.2.0/24')[0]?.attributes.localPref).toBe(100);
  });
});
