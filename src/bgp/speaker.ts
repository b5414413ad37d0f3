/**
 * A BGP speaker: peers, their routes, what is announced, as streams.
 * Usable alone; knows nothing of Kubernetes. The engine is in core.ts, the peers are in peer-set.ts; this file listens and shows
 * everything to its user.
 */
import type { Subscription } from 'rxjs';
import { Observable, ReplaySubject, Subject, startWith } from 'rxjs';
import type { Issue } from '../net/values.ts';
import { createAdvertisements } from './advertisements.ts';
import { startBmp } from './bmp/exporter.ts';
import { createCore } from './core.ts';
import { createFirstPicture } from './first-picture.ts';
import type { SpeakerConfig } from './model.ts';
import { dumpTable } from './mrt/dump.ts';
import { checkAggregates, checkSpeaker } from './options.ts';
import { createPeerSet } from './peer-set.ts';
import { lookup, query, received, subnets, told } from './queries.ts';
import type { Clock } from './session/clock.ts';
import { systemClock } from './session/clock.ts';
import { createTcpTransport } from './session/tcp.ts';
import { shutdownNotification } from './message/notification.ts';
import type { Listener, Transport } from './session/transport.ts';
import type { PeerStatus, Speaker, SpeakerEvent } from './speaker-types.ts';

/** How many times as long as it took to tell of all peers the next telling waits. */
const LIST_PAUSE = 10;

/** What {@link createSpeaker} is made from. */
export interface SpeakerOptions extends SpeakerConfig {
  /** Time. @defaultValue the system's */
  readonly clock?: Clock;
  /** Connections. @defaultValue TCP */
  readonly transport?: Transport;
  /**
   * Seconds until routes count as synced although some peers have not delivered their first picture; a speaker that restarted announces
   * nothing of what it learns before (Selection_Deferral_Timer of RFC 4724). @defaultValue 60
   */
  readonly syncTimeout?: number;
}

/**
 * Starts a speaker.
 * @throws SdkError `INVALID_OPTION` names the option; `CONFLICT` | `PERMISSION_DENIED` when an address cannot be listened on
 * @example
 * ```ts
 * import { createSpeaker } from 'kube-router-sdk/bgp';
 * import { createMemoryNetwork } from 'kube-router-sdk/testing';
 *
 * const network = createMemoryNetwork(); // leave clock and transport out for real sessions
 * const speaker = (own: string, other: string) =>
 *   createSpeaker({
 *     asn: 64512,
 *     routerId: own,
 *     listen: [{ address: own }],
 *     peers: [{ address: other, asn: 64512 }],
 *     clock: network.clock,
 *     transport: network.transport(own),
 *   });
 * const a = await speaker('192.0.2.1', '192.0.2.2');
 * const b = await speaker('192.0.2.2', '192.0.2.1');
 * a.setAdvertisements([{ prefix: '10.1.1.0/24', origin: 'pod-cidr' }]);
 * network.run(10_000);
 * console.log(b.lookup('10.1.1.7').map(({ prefix, nextHop }) => `${prefix} via ${nextHop}`).join()); // 10.1.1.0/24 via 192.0.2.1
 * await a.close();
 * await b.close();
 * ```
 */
export async function createSpeaker(options: SpeakerOptions): Promise<Speaker> {
  checkSpeaker(options);
  const clock = options.clock ?? systemClock;
  const transport = options.transport ?? createTcpTransport();
  const events = new Subject<SpeakerEvent>();
  const peersChanged = new Subject<readonly PeerStatus[]>();
  const issues$ = new ReplaySubject<readonly Issue[]>(1);
  const core = createCore(options, clock, (event) => events.next({ time: Date.now(), ...event }));
  const listeners: Listener[] = [];
  const stations = new Set<() => void>();
  let feed: Subscription | undefined;
  let peersDirty = false;
  let closed = false;

  const statuses = (): readonly PeerStatus[] => [...peers].map((peer) => peer.status());
  /** Until when the next list of all peers waits: a thousand that come up at once shall not cost a million statuses. */
  let quietUntil = -Infinity;
  let cancelTell = (): void => undefined;
  const tell = (): void => {
    peersDirty = false;
    if (closed) return;
    const began = clock.now();
    picture.check();
    peersChanged.next(statuses());
    const ended = clock.now();
    quietUntil = ended + (ended - began) * LIST_PAUSE;
  };
  const changed = (): void => {
    if (peersDirty) return;
    peersDirty = true;
    const wait = quietUntil - clock.now();
    if (wait > 0) cancelTell = clock.after(wait, tell);
    else clock.soon(tell);
  };

  const picture = createFirstPicture(core, () => peers, options.syncTimeout ?? 60);
  const peers = createPeerSet({
    core,
    config: options,
    transport,
    listeners,
    elapsed: picture.elapsed,
    onAdd: picture.expect,
    onChange: changed,
  });
  const addressOf = (index: number): string => peers.byIndex(index)?.address ?? '';
  const advertise = createAdvertisements(core);
  const setAdvertisements: Speaker['setAdvertisements'] = (advertisements) => issues$.next(advertise(advertisements));

  const close: Speaker['close'] = async (how = {}) => {
    if (closed) return;
    closed = true;
    cancelTell();
    picture.close();
    feed?.unsubscribe();
    // Whoever programs learned routes keeps them: they end with the stream, not by it.
    core.routes.complete();
    for (const stop of stations) stop();
    stations.clear();
    const reason = how.graceful === true ? undefined : shutdownNotification(how.message);
    for (const runtime of peers) runtime.shutdown(reason);
    peers.close();
    peersChanged.next(statuses());
    await Promise.all([core.bfd.close(), ...listeners.map((listener) => listener.close())]);
    peersChanged.complete();
    issues$.complete();
    events.complete();
  };

  issues$.next([]);
  for (const where of options.listen ?? []) {
    try {
      const accept: typeof peers.accept = (connection) => (closed ? connection.destroy() : peers.accept(connection));
      listeners.push(await transport.listen({ address: where.address, port: where.port ?? 179 }, accept));
    } catch (error) {
      await Promise.all(listeners.map((listener) => listener.close()));
      picture.close();
      throw error;
    }
  }
  peers.setDynamicPeers(options.dynamicPeers ?? []);
  core.setAggregates(options.aggregates ?? []);
  peers.setPeers(options.peers ?? []);
  changed();

  return {
    asn: options.asn,
    routerId: options.routerId,
    ports: listeners.map((listener) => listener.port),
    peers$: new Observable((subscriber) => peersChanged.pipe(startWith(statuses())).subscribe(subscriber)),
    routes$: core.routes.routes$,
    events$: events.asObservable(),
    issues$: issues$.asObservable(),
    peers: statuses,
    announce(advertisements$) {
      feed?.unsubscribe();
      const subscription = advertisements$.subscribe({
        next: setAdvertisements,
        // The last set stays: fail static.
        error: (error: unknown) =>
          core.emit({
            type: 'failed',
            peer: '',
            reason: `advertisements ended: ${error instanceof Error ? error.message : String(error)}`,
          }),
      });
      feed = subscription;
      return () => subscription.unsubscribe();
    },
    setAdvertisements,
    setPeers(wanted) {
      checkSpeaker({ ...options, peers: wanted });
      peers.setPeers(wanted);
    },
    setDynamicPeers: (wanted) => peers.setDynamicPeers(wanted),
    setAggregates(list) {
      checkAggregates(list);
      core.setAggregates(list);
    },
    setPolicies: ({ importPolicy, exportPolicy }) => peers.setPolicies({ importPolicy, exportPolicy }),
    resetPeer(address, how = {}) {
      for (const peer of peers.find(address)) {
        if (how.soft === true) peer.softReset();
        else peer.reset(how.message);
      }
    },
    lookup: (text) => lookup(core, text, addressOf),
    subnets: (text) => subnets(core, text, addressOf),
    query: (pick) => query(core, pick, addressOf),
    adjacent(address, direction) {
      return peers
        .find(address)
        .flatMap((peer) =>
          direction === 'in'
            ? received(core, peer.index, addressOf)
            : [...peer.groups.values()].flatMap((group) => told(core, group, peer.index, addressOf)),
        );
    },
    monitor(station) {
      const stop = startBmp(core, options, station, function* () {
        for (const { monitored } of peers) if (monitored !== undefined) yield monitored;
      });
      stations.add(stop);
      return () => {
        if (stations.delete(stop)) stop();
      };
    },
    dump: () =>
      dumpTable(core, options.routerId, Math.floor(Date.now() / 1000), (index) => {
        const status = peers.byIndex(index)?.status();
        return { address: status?.address ?? '0.0.0.0', asn: status?.asn ?? 0, since: status?.since ?? 0 };
      }),
    setNextHopCosts: (cost) => core.setNextHopCosts(cost),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}
