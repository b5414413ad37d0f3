import { afterEach, describe, expect, it } from 'vitest';
import { createSpeaker } from 'kube-router-sdk/bgp';
import type { PeerOptions, Speaker } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { startFrr } from '../support/daemons.ts';
import type { TestNetns } from '../support/netns.ts';
import { createTestNetns, until } from '../support/netns.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Lab {
  readonly ns: TestNetns;
  readonly frr: Daemon;
  readonly speaker: Speaker;
  readonly events: string[];
}

/** FRR as AS 65000 and a speaker that dials it. */
async function lab(
  asn: number,
  neighbour: string,
  afi4: string,
  peer: Partial<PeerOptions> = {},
  globals = '',
): Promise<Lab> {
  const ns = createTestNetns('krbf');
  cleanups.push(() => ns.close());
  const frr = await startFrr(
    ns,
    `hostname bgpd
log stdout
router bgp 65000
 bgp router-id 10.0.0.254
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 ${globals}
 neighbor ${ns.here4} remote-as ${asn}
 neighbor ${ns.here4} timers connect 1
 ${neighbour.replaceAll('PEER', ns.here4)}
 address-family ipv4 unicast
  network 192.0.2.0/24
  neighbor ${ns.here4} activate
  ${afi4.replaceAll('PEER', ns.here4)}
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:f::/48
  neighbor ${ns.here4} activate
 exit-address-family
`,
  );
  cleanups.push(() => frr.close());
  const speaker = await createSpeaker({
    asn,
    routerId: '10.0.0.1',
    listen: [{ address: ns.here4, port: 179 }],
    peers: [{ address: ns.there4, asn: 65000, connectRetryTime: 1, ...peer }],
  });
  const events: string[] = [];
  speaker.events$.subscribe((event) => events.push(`${event.type}: ${event.reason}`));
  cleanups.push(() => speaker.close());
  return { ns, frr, speaker, events };
}

const up = (speaker: Speaker): Promise<boolean> =>
  until('the session', () => speaker.peers()[0]?.state === 'established' && speaker.peers()[0]?.synced === true);

interface FrrPath {
  readonly aspath: { readonly string: string };
  readonly metric?: number;
  readonly locPrf?: number;
  readonly community?: { readonly string: string };
  readonly largeCommunity?: { readonly string: string };
  readonly extendedCommunity?: { readonly string: string };
  readonly nexthops: readonly { readonly ip: string; readonly scope?: string }[];
}
function frrPath(frr: Daemon, prefix: string): FrrPath | undefined {
  const family = prefix.includes(':') ? 'ipv6' : 'ipv4';
  const answer = JSON.parse(frr.ask(`show bgp ${family} unicast ${prefix} json`)) as { paths?: FrrPath[] };
  return answer.paths?.[0];
}

describe('FRR', () => {
  it('eBGP: both families over one session, attributes both ways, withdrawal', async () => {
    const { ns, frr, speaker } = await lab(65001, '', '');
    speaker.setAdvertisements([
      { prefix: '10.244.1.0/24', origin: 'pod-cidr' },
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
    const pod = await until('the pod CIDR', () => frrPath(frr, '10.244.1.0/24'));
    expect(pod.aspath.string).toBe('65001');
    expect(pod.nexthops[0]?.ip).toBe(ns.here4);
    const pod6 = await until('the IPv6 pod CIDR', () => frrPath(frr, 'fd00:244:1::/64'));
    expect(pod6.nexthops[0]?.ip).toBe(ns.here6);
    const vip = await until('the VIP', () => frrPath(frr, '198.51.100.7/32'));
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
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await until(
      'the withdrawal',
      () => frrPath(frr, '198.51.100.7/32') === undefined && frrPath(frr, 'fd00:244:1::/64') === undefined,
    );
    expect(frrPath(frr, '10.244.1.0/24')).toBeDefined();
    frr.ask('show bgp summary');
  });

  it('iBGP: LOCAL_PREF goes along, the path stays empty', async () => {
    const { frr, speaker } = await lab(65000, '', '');
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr', attributes: { localPreference: 333 } }]);
    await up(speaker);
    const path = await until('the route', () => frrPath(frr, '10.244.1.0/24'));
    expect(path.locPrf).toBe(333);
    expect(path.aspath.string).toBe('Local');
  });

  it('shutdown communication is heard by FRR and by us', async () => {
    const { ns, frr, speaker, events } = await lab(65001, '', '');
    await up(speaker);
    const conf = `configure terminal\nrouter bgp 65000\nneighbor ${ns.here4} shutdown message Schicht im Schacht`.split(
      '\n',
    );
    ns.exec('vtysh', ['--vty_socket', frr.folder, '-d', 'bgpd', ...conf.flatMap((line) => ['-c', line])]);
    await until('the reason', () => events.some((event) => event.includes('Schicht im Schacht')));
    expect(events.find((event) => event.startsWith('down'))).toContain(
      'Cease/Administrative Shutdown "Schicht im Schacht" (6/2)',
    );
    ns.exec('vtysh', [
      '--vty_socket',
      frr.folder,
      '-d',
      'bgpd',
      '-c',
      conf[0]!,
      '-c',
      conf[1]!,
      '-c',
      `no neighbor ${ns.here4} shutdown`,
    ]);
    await up(speaker);
    await speaker.close({ message: 'moving racks' });
    const heard = (): string =>
      ns.exec('vtysh', ['--vty_socket', frr.folder, '-d', 'bgpd', '-c', `show bgp neighbors ${ns.here4} json`]);
    await until('our reason at FRR', () => heard().includes('moving racks'));
  });

  it('TCP MD5: with the key up as client and as listener, without it never', async () => {
    const good = await lab(65001, 'neighbor PEER password s3cret', '', { password: 's3cret' });
    await up(good.speaker);
    const passive = await lab(65001, 'neighbor PEER password s3cret', '', { password: 's3cret', passive: true });
    await up(passive.speaker);
    const bad = await lab(65001, 'neighbor PEER password s3cret', '', { password: 'wrong' });
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect(bad.speaker.peers()[0]?.state).not.toBe('established');
  });

  it('route refresh: FRR asks and gets everything again; we ask and get everything again', async () => {
    const { ns, frr, speaker, events } = await lab(65001, '', '');
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(speaker);
    await until('the route', () => frrPath(frr, '10.244.1.0/24'));
    frr.ask(`clear bgp ipv4 unicast ${ns.here4} soft in`);
    await until('the request', () => events.includes('refresh: asked for ipv4-unicast'));
    const before = speaker.peers()[0]!.messagesReceived;
    speaker.resetPeer(ns.there4, { soft: true });
    await until('the answer', () => speaker.peers()[0]!.messagesReceived > before);
    expect(speaker.peers()[0]?.established).toBe(1);
  });
});
