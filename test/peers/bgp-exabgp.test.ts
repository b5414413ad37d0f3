import { afterEach, describe, expect, it } from 'vitest';
import { exabgp, netns, speak, tidy, up } from '../support/bgp.ts';
import { until } from '../support/netns.ts';

afterEach(tidy);

const POD = [{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }] as const;

describe('ExaBGP', () => {
  it('eBGP: both families, what it sends and what it reads of ours', async () => {
    const ns = netns();
    const daemon = await exabgp(ns);
    const { speaker } = await speak(ns, { passive: true });
    speaker.setAdvertisements([
      { ...POD[0], attributes: { communities: ['65001:100'], largeCommunities: ['65001:1:2'], med: 50 } },
      { prefix: 'fd00:244:1::/64', origin: 'pod-cidr' },
    ]);
    await up(speaker);
    await until('its routes', () => speaker.query((path) => path.peer !== '').length === 2);
    expect(speaker.lookup('192.0.2.0/24')[0]).toMatchObject({ nextHop: ns.there4, best: true });
    expect(speaker.lookup('2001:db8:f::/48')[0]).toMatchObject({ nextHop: ns.there6, best: true });
    const read = await until('our route', () =>
      daemon.updates().find(({ announce }) => JSON.stringify(announce ?? {}).includes('10.244.1.0/24')),
    );
    expect(read.announce).toEqual({ 'ipv4 unicast': { [ns.here4]: [{ nlri: '10.244.1.0/24' }] } });
    expect(read.attribute).toMatchObject({
      origin: 'igp',
      'as-path': [65001],
      med: 50,
      community: [[65001, 100]],
      'large-community': [[65001, 1, 2]],
    });
    const six = await until('the IPv6 route', () =>
      daemon.updates().find(({ announce }) => JSON.stringify(announce ?? {}).includes('fd00:244:1::/64')),
    );
    expect(six.announce).toEqual({ 'ipv6 unicast': { [ns.here6]: [{ nlri: 'fd00:244:1::/64' }] } });
    speaker.setAdvertisements([]);
    await until('the withdrawal', () =>
      daemon.updates().some(({ withdraw }) => JSON.stringify(withdraw ?? {}).includes('10.244.1.0/24')),
    );
  });

  it('an AS number of four octets of ours towards an ExaBGP of two, and its path back', async () => {
    const ns = netns();
    const daemon = await exabgp(ns, { asn: 23456, neighbour: 'capability { asn4 disable; }' });
    const { speaker } = await speak(ns, { passive: true }, { asn: 4_200_000_001 });
    speaker.setAdvertisements(POD);
    await up(speaker);
    const read = await until('our route', () =>
      daemon.updates().find(({ announce }) => JSON.stringify(announce ?? {}).includes('10.244.1.0/24')),
    );
    // ExaBGP joins AS_PATH and AS4_PATH.
    expect(read.attribute?.['as-path']).toEqual([4_200_000_001]);
    await until('its route', () => speaker.lookup('192.0.2.0/24').length > 0);
    expect(speaker.lookup('192.0.2.0/24')[0]?.attributes.asPath).toEqual([{ type: 'sequence', asns: [65000] }]);
  });

  it('TCP MD5 and TTL security: up with both, as listener', async () => {
    const ns = netns();
    await exabgp(ns, { neighbour: 'md5-password "s3cret"; outgoing-ttl 255; incoming-ttl 255;' });
    const { speaker } = await speak(ns, { passive: true, password: 's3cret', ttlSecurity: true });
    await up(speaker);
  });

  it('add-path: two paths of one prefix arrive apart', async () => {
    const ns = netns();
    await exabgp(ns, {
      neighbour: 'capability { add-path send/receive; }',
      family: `add-path { ipv4 unicast; }
  announce { ipv4 {
    unicast 203.0.113.0/24 next-hop ${ns.there4} path-information 0.0.0.1 community [ 65000:1 ];
    unicast 203.0.113.0/24 next-hop ${ns.there4} path-information 0.0.0.2 community [ 65000:2 ];
  } }`,
    });
    const { speaker } = await speak(ns, { passive: true, addPath: 'both' });
    await up(speaker);
    const paths = await until('both', () => {
      const found = speaker.lookup('203.0.113.0/24');
      return found.length === 2 ? found : undefined;
    });
    expect(paths.map(({ pathId }) => pathId).sort()).toEqual([1, 2]);
  });

  it('graceful restart: its routes stay while it is away, and go when it does not return', async () => {
    const ns = netns();
    const daemon = await exabgp(ns, { neighbour: 'capability { graceful-restart 3; }' });
    const { speaker, removed } = await speak(ns, { passive: true, gracefulRestart: { restartTime: 20 } });
    await up(speaker);
    daemon.child.kill('SIGKILL');
    await until('the mark', () => speaker.lookup('192.0.2.0/24')[0]?.stale === true);
    expect(removed).toEqual([]);
    await until('the end', () => removed.includes('192.0.2.0/24'));
    expect(speaker.lookup('192.0.2.0/24')).toEqual([]);
  });

  it('max-prefix of ours ends its session with Cease', async () => {
    const ns = netns();
    await exabgp(ns, { family: `announce { ipv4 { unicast 203.0.113.0/24 next-hop ${ns.there4}; } }` });
    const { events } = await speak(ns, { passive: true, maxPrefixes: { limit: 1 } });
    await until('the end', () => events.some((event) => event.includes('Maximum Number of Prefixes Reached')));
  });
});
