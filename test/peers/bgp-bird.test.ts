import { afterEach, describe, expect, it } from 'vitest';
import { createSpeaker } from 'kube-router-sdk/bgp';
import type { PeerOptions, Speaker } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { startBird } from '../support/daemons.ts';
import type { TestNetns } from '../support/netns.ts';
import { createTestNetns, until } from '../support/netns.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Lab {
  readonly ns: TestNetns;
  readonly bird: Daemon;
  readonly speaker: Speaker;
  readonly events: string[];
}

/** BIRD as AS 65000 with two static routes, and a speaker. */
async function lab(asn: number, bgp: string, channel: string, peer: Partial<PeerOptions> = {}): Promise<Lab> {
  const ns = createTestNetns('krbb');
  cleanups.push(() => ns.close());
  const bird = await startBird(
    ns,
    `router id 10.0.0.254;
log stderr all;
protocol device {}
protocol direct { ipv4; ipv6; }
protocol static { ipv4; route 192.0.2.0/24 blackhole; }
protocol static { ipv6; route 2001:db8:f::/48 blackhole; }
protocol bgp speaker {
  local ${ns.there4} as 65000;
  neighbor ${ns.here4} as ${asn};
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ${bgp}
  ipv4 { import all; export where source = RTS_STATIC; ${channel} };
  ipv6 { import all; export where source = RTS_STATIC; ${channel} };
}
`,
  );
  cleanups.push(() => bird.close());
  const speaker = await createSpeaker({
    asn,
    routerId: '10.0.0.1',
    listen: [{ address: ns.here4, port: 179 }],
    peers: [{ address: ns.there4, asn: 65000, connectRetryTime: 1, ...peer }],
  });
  const events: string[] = [];
  speaker.events$.subscribe((event) => events.push(`${event.type}: ${event.reason}`));
  cleanups.push(() => speaker.close());
  return { ns, bird, speaker, events };
}

const up = (speaker: Speaker): Promise<boolean> =>
  until('the session', () => speaker.peers()[0]?.state === 'established' && speaker.peers()[0]?.synced === true);

describe('BIRD', () => {
  it('eBGP: both families, attributes both ways, withdrawal', async () => {
    const { ns, bird, speaker } = await lab(65001, '', '');
    speaker.setAdvertisements([
      { prefix: 'fd00:244:1::/64', origin: 'pod-cidr' },
      {
        prefix: '198.51.100.7/32',
        origin: 'vip',
        attributes: { communities: ['65001:100'], largeCommunities: ['65001:1:2'], med: 50, prepend: { count: 2 } },
      },
    ]);
    await up(speaker);
    const show = (prefix: string): string => bird.ask(`show route for ${prefix} all`);
    const vip = await until('the VIP', () => show('198.51.100.7/32').includes('BGP.') && show('198.51.100.7/32'));
    expect(vip).toContain('BGP.as_path: 65001 65001 65001');
    expect(vip).toContain(`BGP.next_hop: ${ns.here4}`);
    expect(vip).toContain('BGP.med: 50');
    expect(vip).toContain('BGP.community: (65001,100)');
    expect(vip).toContain('BGP.large_community: (65001, 1, 2)');
    const pod = await until('the pod CIDR', () => show('fd00:244:1::/64').includes('BGP.') && show('fd00:244:1::/64'));
    expect(pod).toContain(`BGP.next_hop: ${ns.here6}`);
    expect(speaker.lookup('192.0.2.0/24')[0]).toMatchObject({ nextHop: ns.there4, best: true });
    expect(speaker.lookup('2001:db8:f::1')[0]).toMatchObject({ nextHop: ns.there6, prefix: '2001:db8:f::/48' });
    speaker.setAdvertisements([]);
    await until('the withdrawal', () => !bird.ask('show route').includes('198.51.100.7'));
  });

  it('TTL security: up when BIRD checks and we send 255; never when we do not', async () => {
    const good = await lab(65001, 'ttl security on;', '', { ttlSecurity: true });
    await up(good.speaker);
    const bad = await lab(65001, 'ttl security on;', '');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect(bad.bird.ask('show protocols speaker')).not.toContain('Established');
  });

  it('graceful restart: our routes stay at BIRD while we restart, its routes stay with us while it restarts', async () => {
    const options = { gracefulRestart: { restartTime: 20 } };
    const { ns, bird, speaker, events } = await lab(65001, 'graceful restart on;', '', options);
    const routes: string[] = [];
    speaker.routes$.subscribe(({ removed }) => routes.push(...removed));
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(speaker);
    await until('our route', () => bird.ask('show route for 10.244.1.0/24').includes('10.244.1.0/24'));

    // BIRD is killed without a word: its routes are kept, marked stale.
    bird.child.kill('SIGKILL');
    await until('its end', () => events.some((event) => event.startsWith('stale')));
    expect(speaker.lookup('192.0.2.0/24')[0]).toMatchObject({ stale: true, best: true });
    const conf = `${bird.folder}/bird.conf`;
    ns.spawn('/usr/sbin/bird', ['-f', '-R', '-c', conf, '-s', `${bird.folder}/bird.ctl`]);
    await until('its return', () => speaker.peers()[0]?.state === 'established' && speaker.peers()[0]?.synced === true);
    await until('fresh routes', () => speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    expect(routes).toEqual([]);

    // We go without a word and come back as restarting: BIRD keeps the route all the time.
    await speaker.close({ graceful: true });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(bird.ask('show route for 10.244.1.0/24')).toContain('10.244.1.0/24');
    const again = await createSpeaker({
      asn: 65001,
      routerId: '10.0.0.1',
      listen: [{ address: ns.here4, port: 179 }],
      peers: [
        { address: ns.there4, asn: 65000, connectRetryTime: 1, gracefulRestart: { restartTime: 20, restarting: true } },
      ],
    });
    cleanups.push(() => again.close());
    again.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(again);
    expect(bird.ask('show route for 10.244.1.0/24')).toContain('10.244.1.0/24');
  });

  it('add-path: BIRD gets all paths of a prefix with their identifiers, and loses the one that goes', async () => {
    const { ns, bird, speaker } = await lab(65001, '', 'add paths on;', { addPath: 'both' });
    const sources = [11, 12].map((last) => `127.0.0.${last}`);
    await up(speaker);
    await speaker.close();
    const direct = await createSpeaker({
      asn: 65001,
      routerId: '10.0.0.1',
      listen: [
        { address: ns.here4, port: 179 },
        { address: '127.0.0.1', port: 11_792 },
      ],
      peers: [
        { address: ns.there4, asn: 65000, connectRetryTime: 1, addPath: 'both' },
        ...sources.map((address, index) => ({ address, asn: 64900 + index, passive: true })),
      ],
    });
    cleanups.push(() => direct.close());
    const leaves = await Promise.all(
      sources.map(async (localAddress, index) => {
        const leaf = await createSpeaker({
          asn: 64900 + index,
          routerId: `10.0.1.${index + 1}`,
          peers: [{ address: '127.0.0.1', port: 11_792, localAddress, asn: 65001, connectRetryTime: 1 }],
        });
        cleanups.push(() => leaf.close());
        leaf.setAdvertisements([{ prefix: '203.0.113.0/24', origin: 'other' }]);
        return leaf;
      }),
    );
    const paths = (): number =>
      bird.ask('show route for 203.0.113.0/24 all').match(/BGP\.as_path: 65001 6490[01]/g)?.length ?? 0;
    await until('both paths', () => paths() === 2);
    await leaves[0]!.close();
    await until('one path', () => paths() === 1);
  });
});
