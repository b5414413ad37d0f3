import { afterEach, describe, expect, it } from 'vitest';
import type { PeerOptions } from 'kube-router-sdk/bgp';
import type { Daemon } from '../support/daemons.ts';
import { bird, birdConfig, netns, pause, speak, tidy, up } from '../support/bgp.ts';
import type { Scene, Talking } from '../support/bgp.ts';
import type { TestNetns } from '../support/netns.ts';
import { sh, until } from '../support/netns.ts';

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
const established = (daemon: Daemon): boolean => daemon.ask('show protocols speaker').includes('Established');

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

/** Ends BIRD without a word and starts it again, as one that kept its forwarding state. */
async function restartBird(ns: TestNetns, daemon: Daemon, wait = 0): Promise<void> {
  daemon.child.kill('SIGKILL');
  await pause(wait);
  ns.spawn('/usr/sbin/bird', ['-f', '-R', '-c', `${daemon.folder}/bird.conf`, '-s', `${daemon.folder}/bird.ctl`]);
}

describe('BIRD', () => {
  it('hop limits: 1 towards a neighbour of another AS, as configured where it is multihop', async () => {
    const ttlOf = async (peer: Partial<PeerOptions>, neighbour: string): Promise<string> => {
      const made = await lab({ neighbour }, peer);
      await up(made.speaker);
      const line = made.ns.spawn('tcpdump', [
        '-n',
        '-v',
        '-l',
        '-c',
        '1',
        '-i',
        made.ns.thereIf,
        'src',
        made.ns.here4,
        'and',
        'tcp',
        'port',
        '179',
      ]);
      let text = '';
      line.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
      await pause(500);
      made.speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
      return (await until('a packet', () => /ttl (\d+)/.exec(text)))[1]!;
    };
    expect(await ttlOf({}, '')).toBe('1');
    expect(await ttlOf({ multihop: 7 }, 'multihop 7;')).toBe('7');
    expect(await ttlOf({ passive: true }, '')).toBe('1');
  });

  it('TTL security: up when BIRD checks and we send 255, over both protocols; never when we do not', async () => {
    const good = await lab({ neighbour: 'ttl security on;' }, { ttlSecurity: true });
    await up(good.speaker);
    const ns = netns();
    await bird(ns, { neighbour: 'ttl security on;', over6: true });
    const six = await speak(
      ns,
      { address: ns.there6, ttlSecurity: true },
      { listen: [{ address: ns.here6, port: 179 }] },
    );
    await up(six.speaker);
    const bad = await lab({ neighbour: 'ttl security on;' });
    await pause(3000);
    expect(established(bad.daemon)).toBe(false);
  });

  it('TTL security: we drop what comes from further away than allowed', async () => {
    // BIRD without it sends a hop limit of 1.
    const { daemon } = await lab({ neighbour: '' }, { ttlSecurity: true });
    await pause(3000);
    expect(established(daemon)).toBe(false);
  });

  it('TCP MD5: as client and as listener, over both protocols; a wrong key never', async () => {
    for (const over6 of [false, true]) {
      for (const passive of [false, true]) {
        const ns = netns();
        await bird(ns, { neighbour: 'password "s3cret";', over6 });
        const [here, there] = over6 ? [ns.here6, ns.there6] : [ns.here4, ns.there4];
        const peer = { address: there, password: 's3cret', passive };
        const { speaker } = await speak(ns, peer, { listen: [{ address: here, port: 179 }] });
        await up(speaker);
        await tidy();
      }
    }
    const wrong = await lab({ neighbour: 'password "s3cret";' }, { password: 'other' });
    await pause(3000);
    expect(wrong.speaker.peers()[0]?.state).not.toBe('established');
  });

  it('graceful restart: our routes stay at BIRD while we restart, its routes stay with us while it restarts', async () => {
    const options = { gracefulRestart: { restartTime: 20 } };
    const { ns, daemon, speaker, events, removed } = await lab({ neighbour: 'graceful restart on;' }, options);
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(speaker);
    await until('our route', () => holds(daemon, '10.244.1.0/24'));

    // BIRD is killed without a word: its routes are kept, marked stale.
    daemon.child.kill('SIGKILL');
    await until('its end', () => events.some((event) => event.startsWith('stale')));
    expect(speaker.lookup('192.0.2.0/24')[0]).toMatchObject({ stale: true, best: true });
    await restartBird(ns, daemon);
    await up(speaker);
    await until('fresh routes', () => speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    expect(removed).toEqual([]);

    // We go without a word and come back as restarting: BIRD keeps the route all the time.
    await until('our route again', () => holds(daemon, '10.244.1.0/24'));
    const misses = watch(() => holds(daemon, '10.244.1.0/24'));
    await speaker.close({ graceful: true });
    await pause(500);
    const again = await speak(ns, { gracefulRestart: { restartTime: 20, restarting: true } });
    again.speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(again.speaker);
    await pause(500);
    expect(misses()).toBe(0);
    // A session that is cut, without a restart, costs nothing either.
    const after = watch(() => holds(daemon, '10.244.1.0/24'));
    ns.exec('ss', ['-K', 'dport', '=', '179']);
    ns.exec('ss', ['-K', 'sport', '=', '179']);
    await until(
      'the end',
      () => again.speaker.peers()[0]!.established === 2 || again.events.some((event) => event.startsWith('down')),
    );
    await up(again.speaker);
    await pause(300);
    expect(after()).toBe(0);
    // BIRD, which did not restart, does not say that it kept forwarding: its routes go and come (RFC 4724 section 4.2).
    await until('its route', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === false);
  });

  it('graceful restart: what BIRD does not announce again goes with its End-of-RIB, all of it when it does not return', async () => {
    const { ns, daemon, speaker, removed } = await lab(
      {
        neighbour: 'graceful restart on; graceful restart time 3;',
        global: 'protocol static more { ipv4; route 203.0.113.0/24 blackhole; }',
      },
      { gracefulRestart: { restartTime: 20 } },
    );
    await up(speaker);
    await until('both', () => speaker.lookup('203.0.113.0/24').length === 1);
    const conf = birdConfig(ns, { neighbour: 'graceful restart on; graceful restart time 3;' });
    daemon.child.kill('SIGKILL');
    sh('tee', [`${daemon.folder}/bird.conf`], conf);
    await restartBird(ns, daemon);
    await until('the end of the route', () => speaker.lookup('203.0.113.0/24').length === 0);
    expect(removed).toEqual(['203.0.113.0/24']);
    expect(speaker.lookup('192.0.2.0/24')[0]?.stale).toBe(false);
    ns.exec('sh', ['-c', `kill -9 $(ip netns pids ${ns.name} | head -1)`]);
    const gone = performance.now();
    await until('the end of all', () => speaker.lookup('192.0.2.0/24').length === 0, 10_000);
    expect(performance.now() - gone).toBeGreaterThan(2500);
  });

  it('long-lived graceful restart: routes are kept as last resort, marked, after the restart time; and ours at BIRD', async () => {
    const neighbour =
      'graceful restart on; graceful restart time 1; long lived graceful restart on; long lived stale time 30;';
    const { ns, daemon, speaker, removed } = await lab(
      { neighbour },
      { gracefulRestart: { restartTime: 1, longLivedTime: 30 } },
    );
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(speaker);
    await until('our route', () => holds(daemon, '10.244.1.0/24'));
    // We go and do not come back in time.
    await speaker.close({ graceful: true });
    const marked = await until('the mark', () => {
      const text = shown(daemon, '10.244.1.0/24');
      return text.includes('65535,6') && text;
    });
    expect(marked).toContain('10.244.1.0/24');
    const again = await speak(ns, { gracefulRestart: { restartTime: 5, longLivedTime: 30, restarting: true } });
    again.speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await up(again.speaker);
    await until(
      'the fresh route',
      () => holds(daemon, '10.244.1.0/24') && !shown(daemon, '10.244.1.0/24').includes('65535,6'),
    );
    // BIRD goes and does not come back in time.
    await until('its route', () => again.speaker.lookup('192.0.2.0/24')[0]?.stale === false);
    daemon.child.kill('SIGKILL');
    const kept = await until('the long-lived phase', () => {
      const [path] = again.speaker.lookup('192.0.2.0/24');
      return path?.attributes.communities?.includes(0xffff0006) === true ? path : undefined;
    });
    expect(kept).toMatchObject({ best: true, stale: true });
    await restartBird(ns, daemon);
    await until('a fresh route', () => {
      const [path] = again.speaker.lookup('192.0.2.0/24');
      return path?.stale === false && path.attributes.communities === undefined;
    });
    expect([...removed, ...again.removed]).toEqual([]);
  });

  it('max-prefix: ours ends the session with Cease and tries again later; BIRD’s is heard', async () => {
    const global =
      'protocol static many { ipv4; route 203.0.113.0/28 blackhole; route 203.0.113.16/28 blackhole; route 203.0.113.32/28 blackhole; }';
    const { daemon, speaker, events } = await lab({ global }, { maxPrefixes: { limit: 3, restartAfter: 2 } });
    await until('the end', () => events.some((event) => event.includes('Maximum Number of Prefixes Reached')));
    expect(events.filter((event) => event.startsWith('max-prefixes'))).toHaveLength(1);
    expect(speaker.query((path) => path.peer !== '')).toEqual([]);
    daemon.ask('disable many');
    const ended = performance.now();
    await up(speaker);
    expect(performance.now() - ended).toBeGreaterThan(1000);
    expect(speaker.peers()[0]).toMatchObject({ established: 2 });
    await tidy();

    const limited = await lab({ family: 'import limit 1 action restart;' });
    limited.speaker.setAdvertisements(
      ['10.244.1.0/24', '10.244.2.0/24'].map((prefix) => ({ prefix, origin: 'pod-cidr' })),
    );
    await until('the refusal', () =>
      limited.events.some((event) => event.includes('Maximum Number of Prefixes Reached')),
    );
  });

  it('dynamic neighbours: BIRD is taken in by prefix, and takes us in by prefix', async () => {
    const ns = netns();
    const daemon = await bird(ns);
    const dynamicPeers = [{ prefix: `${ns.there4.replace(/\d+$/, '0')}/24`, asns: [64999, 65000] }];
    const { speaker, events } = await speak(ns, {}, { peers: [], dynamicPeers });
    speaker.setAdvertisements([{ prefix: '10.244.1.0/24', origin: 'pod-cidr' }]);
    await until('the peer', () => speaker.peers()[0]?.state === 'established');
    expect(speaker.peers()[0]).toMatchObject({ dynamic: true, asn: 65000, address: ns.there4 });
    await until('our route', () => holds(daemon, '10.244.1.0/24'));
    await until('its route', () => speaker.lookup('192.0.2.0/24').length === 1);
    daemon.ask('disable speaker');
    await until('its end', () => speaker.peers().length === 0);
    expect(speaker.lookup('192.0.2.0/24')).toEqual([]);
    speaker.setDynamicPeers([{ prefix: '203.0.113.0/24', asns: [65000] }]);
    daemon.ask('enable speaker');
    await until('the rejection', () => events.some((event) => event === 'rejected: no such peer'));
    await tidy();

    const other = netns();
    const text = birdConfig(other).replace(
      `neighbor ${other.here4} as 65001;`,
      `neighbor range ${other.here4.replace(/\d+$/, '0')}/24 as 65001; dynamic name "dyn";`,
    );
    const open = await bird(other, { global: '' });
    sh('tee', [`${open.folder}/bird.conf`], text.replace('connect retry time 1; connect delay time 1; ', ''));
    expect(open.ask('configure')).toMatch(/Reconfigur/);
    const dialling = await speak(other);
    await up(dialling.speaker);
    expect(open.ask('show protocols')).toMatch(/dyn1\s+BGP.*Established/);
  });

  it('collision: both dial at once, again and again, and one session stays', async () => {
    const { ns, daemon, speaker } = await lab(
      { neighbour: 'connect delay time 0;' },
      { idleHoldTime: 0.05, connectRetryTime: 1 },
    );
    for (let round = 0; round < 5; round++) {
      await up(speaker);
      await until('BIRD too', () => established(daemon));
      await pause(300);
      expect(speaker.peers()[0]?.state).toBe('established');
      const count = ns.exec('ss', ['-Htn', 'state', 'established']).split('\n').filter(Boolean).length;
      expect(count).toBe(1);
      const before = speaker.peers()[0]!.established;
      daemon.ask('restart speaker');
      await until('the next session', () => speaker.peers()[0]!.established > before);
    }
  });

  it('delayed OPEN: the peer’s OPEN ends the wait, over a connection of either side', async () => {
    const dialled = await lab({ neighbour: 'passive on;' }, { delayOpen: 20 });
    const began = performance.now();
    await up(dialled.speaker);
    expect(performance.now() - began).toBeLessThan(10_000);
    await tidy();
    const accepted = await lab({}, { delayOpen: 20, passive: true });
    await up(accepted.speaker);
  });
});
