import { afterEach, describe, expect, it } from 'vitest';
import type { PeerOptions } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { configureFrr, frr, frrPaths, netns, pause, speak, tidy, up } from '../support/bgp.ts';
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
  it('shutdown communication is heard by FRR and by us', async () => {
    const { ns, daemon, speaker, events } = await lab();
    await up(speaker);
    configureFrr(ns, daemon, 'router bgp 65000', `neighbor ${ns.here4} shutdown message Schicht im Schacht`);
    await until('the reason', () => events.some((event) => event.includes('Schicht im Schacht')));
    expect(events.find((event) => event.startsWith('down'))).toContain(
      'Cease/Administrative Shutdown "Schicht im Schacht" (6/2)',
    );
    configureFrr(ns, daemon, 'router bgp 65000', `no neighbor ${ns.here4} shutdown`);
    await up(speaker);
    await speaker.close({ message: 'moving racks' });
    const heard = (): string => daemon.ask(`show bgp neighbors ${ns.here4} json`);
    await until('our reason at FRR', () => heard().includes('moving racks'));
  });

  it('TCP MD5: with the key up as client and as listener, without it never', async () => {
    const key = { neighbour: 'neighbor PEER password s3cret' };
    const good = await lab(key, { password: 's3cret' });
    await up(good.speaker);
    const passive = await lab(key, { password: 's3cret', passive: true });
    await up(passive.speaker);
    const bad = await lab(key, { password: 'wrong' });
    await pause(4000);
    expect(bad.speaker.peers()[0]?.state).not.toBe('established');
  });

  it('TTL security: up when both check and send 255; never when one does not', async () => {
    const check = { neighbour: 'neighbor PEER ttl-security hops 1' };
    const good = await lab(check, { ttlSecurity: true });
    await up(good.speaker);
    const bad = await lab(check);
    await pause(3000);
    expect(bad.daemon.ask(`show bgp neighbors ${bad.ns.here4} json`)).not.toContain('"bgpState":"Established"');
  });

  it('graceful restart: FRR keeps our routes while we restart, we keep FRR’s while it restarts', async () => {
    const scene = {
      global: 'bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time 20',
    };
    const { ns, daemon, speaker, events, removed } = await lab(scene, { gracefulRestart: { restartTime: 20 } });
    speaker.setAdvertisements(POD);
    await up(speaker);
    await until('our route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    await speaker.close({ graceful: true });
    await until('the mark', () => frrPaths(daemon, '10.244.1.0/24')[0]?.stale === true);
    const again = await speak(ns, { gracefulRestart: { restartTime: 20, restarting: true } });
    again.speaker.setAdvertisements(POD);
    let misses = 0;
    const timer = setInterval(() => (misses += frrPaths(daemon, '10.244.1.0/24').length === 0 ? 1 : 0), 200);
    await up(again.speaker);
    await until('the route anew', () => frrPaths(daemon, '10.244.1.0/24')[0]?.stale !== true);
    clearInterval(timer);
    expect(misses).toBe(0);
    await until('its route', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    daemon.child.kill('SIGKILL');
    await until('its end', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === true);
    // The next FRR, in the same place.
    await frr(ns, scene);
    await up(again.speaker);
    await until('a fresh route', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    expect([...removed, ...again.removed]).toEqual([]);
    expect(events.some((event) => event.startsWith('purged'))).toBe(false);
  });

  it('long-lived graceful restart: FRR keeps our routes, marked, when we do not come back; we keep FRR’s', async () => {
    const scene = {
      global:
        'bgp graceful-restart\n bgp graceful-restart restart-time 1\n bgp long-lived-graceful-restart stale-time 30',
    };
    const { daemon, speaker } = await lab(scene, { gracefulRestart: { restartTime: 1, longLivedTime: 30 } });
    speaker.setAdvertisements(POD);
    await up(speaker);
    await until('our route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    await speaker.close({ graceful: true });
    await until('the mark', () => frrPaths(daemon, '10.244.1.0/24')[0]?.community?.string.includes('llgr-stale'));
    await tidy();

    const away = await lab(scene, { gracefulRestart: { restartTime: 1, longLivedTime: 4 } });
    await up(away.speaker);
    away.daemon.child.kill('SIGKILL');
    const kept = await until('the mark', () => {
      const [path] = away.speaker.lookup('192.0.2.0/24');
      return path?.attributes.communities?.includes(0xffff0006) === true ? path : undefined;
    });
    expect(kept).toMatchObject({ best: true, stale: true });
    expect(away.removed).toEqual([]);
  });

  it('extended next hop: IPv4 routes with IPv6 next hops both ways over a session on IPv6', async () => {
    const ns = netns();
    const daemon = await frr(ns, { over6: true, neighbour: 'neighbor PEER capability extended-nexthop' });
    const { speaker } = await speak(
      ns,
      { address: ns.there6, extendedNextHop: true },
      { listen: [{ address: ns.here6, port: 179 }] },
    );
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr', nextHop: ns.here6 }]);
    await up(speaker);
    const path = await until('the route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    expect(path.nexthops.map(({ ip }) => ip)).toContain(ns.here6);
    expect((await until('its route', () => speaker.lookup('192.0.2.0/24')[0])).nextHop).toBe(ns.there6);
  });

  it('roles: FRR as provider marks, as customer is marked; a wrong pair is refused', async () => {
    const customer = await lab({ neighbour: 'neighbor PEER local-role provider' }, { role: 'customer' });
    await up(customer.speaker);
    expect(customer.speaker.lookup('192.0.2.0/24')[0]?.attributes.otc).toBe(65000);
    const wrong = await lab({ neighbour: 'neighbor PEER local-role peer' }, { role: 'customer' });
    await until('the refusal', () => wrong.events.some((event) => event.includes('Role Mismatch')));
  });

  it('reflector chain: client – our reflector – our reflector – FRR, with originator and cluster list', async () => {
    const ns = netns();
    const daemon = await frr(ns, { asn: 65000, neighbour: 'neighbor PEER passive' });
    // leaf (10.0.0.3) – inner reflector (10.0.0.2) – outer reflector (10.0.0.1) – FRR
    const outer = await speak(
      ns,
      {},
      {
        asn: 65000,
        listen: [
          { address: ns.here4, port: 179 },
          { address: '127.0.0.1', port: 11_794 },
        ],
        peers: [
          { address: ns.there4, asn: 65000, connectRetryTime: 1 },
          { address: '127.0.0.2', asn: 65000, passive: true, routeReflectorClient: true },
        ],
      },
    );
    await speak(
      ns,
      {},
      {
        asn: 65000,
        routerId: '10.0.0.2',
        listen: [{ address: '127.0.0.2', port: 11_795 }],
        peers: [
          { address: '127.0.0.1', port: 11_794, localAddress: '127.0.0.2', asn: 65000, connectRetryTime: 1 },
          { address: '127.0.0.3', asn: 65000, passive: true, routeReflectorClient: true },
        ],
      },
    );
    const leaf = await speak(
      ns,
      {},
      {
        asn: 65000,
        routerId: '10.0.0.3',
        listen: [],
        peers: [{ address: '127.0.0.2', port: 11_795, localAddress: '127.0.0.3', asn: 65000, connectRetryTime: 1 }],
      },
    );
    const onLink = ns.here4.replace(/\d+$/, '77');
    leaf.speaker.setAdvertisements([{ ...POD[0], nextHop: onLink }]);
    await up(outer.speaker);
    const path = await until('the route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    expect(path.originatorId).toBe('10.0.0.3');
    expect(path.clusterList?.list).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(path.nexthops[0]?.ip).toBe(onLink);
    // And the other way: FRR is no client, its route goes down to both clients.
    const down = await until('its route at the leaf', () => leaf.speaker.lookup('192.0.2.0/24')[0]);
    expect(down.attributes).toMatchObject({ originatorId: 0x0a0000fe, clusterList: [0x0a000002, 0x0a000001] });
    expect(down.nextHop).toBe(ns.there4);
  });

  it('max-prefix: FRR’s limit is heard; ours ends the session and tries again later', async () => {
    const theirs = await lab({ family: 'neighbor PEER maximum-prefix 1' });
    theirs.speaker.setAdvertisements(
      ['10.244.1.0/24', '10.244.2.0/24', '10.244.3.0/24'].map((prefix) => ({ prefix, origin: 'pod-cidr' })),
    );
    await until('the end of theirs', () =>
      theirs.events.some((event) => event.includes('Maximum Number of Prefixes Reached')),
    );
    const ours = await lab({ family: 'network 203.0.113.0/24' }, { maxPrefixes: { limit: 1, restartAfter: 2 } });
    await until('the end', () => ours.events.some((event) => event.includes('Maximum Number of Prefixes Reached')));
    configureFrr(ours.ns, ours.daemon, 'router bgp 65000', 'address-family ipv4 unicast', 'no network 203.0.113.0/24');
    await up(ours.speaker);
    expect(ours.speaker.peers()[0]?.established).toBe(2);
    await tidy();
    const warned = await lab({ family: 'network 203.0.113.0/24' }, { maxPrefixes: { limit: 1, warnOnly: true } });
    await up(warned.speaker);
    expect(warned.events.some((event) => event.startsWith('max-prefixes'))).toBe(true);
    expect(warned.speaker.query((path) => path.peer !== '')).toHaveLength(3);
  });

  it('dynamic neighbours: FRR is taken in by prefix, and takes us in by prefix', async () => {
    const ns = netns();
    await frr(ns);
    const dynamicPeers = [{ prefix: `${ns.there4.replace(/\d+$/, '0')}/24`, asns: [65000] }];
    const { speaker } = await speak(ns, {}, { peers: [], dynamicPeers });
    await until('the peer', () => speaker.peers()[0]?.state === 'established');
    await until('its route', () => speaker.lookup('192.0.2.0/24').length === 1);
    await tidy();
    const other = netns();
    const range = `${other.here4.replace(/\d+$/, '0')}/24`;
    const daemon = await frr(other);
    configureFrr(
      other,
      daemon,
      'router bgp 65000',
      `no neighbor ${other.here4}`,
      'neighbor any peer-group',
      'neighbor any remote-as 65001',
      `bgp listen range ${range} peer-group any`,
      'address-family ipv4 unicast',
      'neighbor any activate',
    );
    const dialling = await speak(other);
    dialling.speaker.setAdvertisements(POD);
    await up(dialling.speaker);
    await until('our route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
  });

  it('hard reset: with the N bit a plain reset keeps routes, a hard one does not', async () => {
    const { ns, daemon, speaker, events, removed } = await lab(
      { global: 'bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart notification' },
      { gracefulRestart: { restartTime: 30 } },
    );
    speaker.setAdvertisements(POD);
    await up(speaker);
    await until('our route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    // FRR sends administrative resets as hard ones by default (bgp hard-administrative-reset).
    daemon.ask(`clear bgp ${ns.here4}`);
    await until('the reset', () => events.some((event) => event.startsWith('down') && event.includes('Hard Reset')));
    expect(removed).toContain('192.0.2.0/24');
    await up(speaker);
    removed.length = 0;
    // Ours: an administrative reset is a plain NOTIFICATION, after which FRR keeps what it has.
    await until('our route', () => frrPaths(daemon, '10.244.1.0/24')[0]);
    let misses = 0;
    const timer = setInterval(() => (misses += frrPaths(daemon, '10.244.1.0/24').length === 0 ? 1 : 0), 100);
    speaker.resetPeer(ns.there4);
    await until('the next session', () => speaker.peers()[0]!.established === 3);
    await up(speaker);
    clearInterval(timer);
    expect(misses).toBe(0);
    // A shutdown is final: FRR drops our routes at once.
    await speaker.close({ message: 'for good' });
    await until('the end of our route', () => frrPaths(daemon, '10.244.1.0/24').length === 0, 5000);
  });
});
