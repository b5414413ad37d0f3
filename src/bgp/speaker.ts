/**
 * A BGP speaker: peers, their routes, what is announced, as streams.
 * Usable alone; knows nothing of Kubernetes. The engine is in core.ts, one peer in peer-runtime.ts; this file listens, matches
 * connections to peers, applies changes of configuration to what they touch and no more, and shows everything to its user.
 */
import type { Subscription } from 'rxjs';
import { Observable, ReplaySubject, Subject, startWith } from 'rxjs';
import {
  SdkError,
  contains,
  formatPrefix,
  isAddress,
  parseAddress,
  parsePrefix,
  tryParsePrefix,
} from '../net/index.ts';
import type { Prefix } from '../net/index.ts';
import type { Advertisement, Issue } from '../net/values.ts';
import { CeaseError } from './message/constants.ts';
import { notification } from './message/notification.ts';
import { createCore } from './core.ts';
import type { DynamicPeerOptions, PeerOptions, SpeakerConfig } from './model.ts';
import { startBmp } from './bmp/exporter.ts';
import { dumpTable } from './mrt/dump.ts';
import { checkAggregates, checkSpeaker } from './options.ts';
import type { DefaultPolicies, PeerRuntime } from './peer-runtime.ts';
import { createPeerRuntime, peerAddress, shutdownNotification } from './peer-runtime.ts';
import type { PolicyRoute } from './policy/types.ts';
import { eachPrefix, lookup, pathsOf, prefixId, received, told } from './queries.ts';
import { originate } from './rib/attributes.ts';
import { release } from './rib/attribute-store.ts';
import { internPrefix } from './rib/prefix-table.ts';
import { dropRow, findRow, fitRib, putPath, settle } from './rib/table.ts';
import type { Clock } from './session/clock.ts';
import { systemClock } from './session/clock.ts';
import { createTcpTransport } from './session/tcp.ts';
import type { Connection, Listener, Transport } from './session/transport.ts';
import type { PathView, PeerStatus, Speaker, SpeakerEvent } from './speaker-types.ts';

/** What {@link createSpeaker} is made from. */
export interface SpeakerOptions extends SpeakerConfig {
  /** Time. @defaultValue the system's */
  readonly clock?: Clock;
  /** Connections. @defaultValue TCP */
  readonly transport?: Transport;
  /**
   * Seconds until routes count as synced although some peers have not delivered their first picture; a speaker that restarted announces
   * nothing before (Selection_Deferral_Timer of RFC 4724). @defaultValue 60
   */
  readonly syncTimeout?: number;
}

interface Dynamic {
  readonly options: DynamicPeerOptions;
  readonly prefix: Prefix;
  readonly key: string;
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
  const policies: DefaultPolicies = { importPolicy: options.importPolicy, exportPolicy: options.exportPolicy };
  const peers = new Map<string, PeerRuntime>();
  const listeners: Listener[] = [];
  let dynamics: readonly Dynamic[] = [];
  let feed: Subscription | undefined;
  let peersDirty = false;
  let closed = false;

  const stations = new Set<() => void>();
  const runtimes = new Map<number, PeerRuntime>();
  const addressOf = (index: number): string => runtimes.get(index)?.address ?? '';
  const sourceOf = (index: number): PolicyRoute['source'] => {
    const runtime = runtimes.get(index);
    return {
      kind: core.peers[index]?.kind ?? 'local',
      address: runtime?.address ?? '',
      asn: runtime?.status().asn ?? core.asn,
    };
  };

  // First picture: every peer said End-of-RIB, or the wait is over.
  let synced = false;
  const checkSynced = (late: boolean): void => {
    if (synced) return;
    const waiting = [...peers.values()].filter(
      (peer) => !peer.dynamic && !peer.options.shutdown && !peer.status().synced,
    );
    if (waiting.length > 0 && !late) return;
    synced = true;
    core.routes.setSynced();
  };
  // RFC 4724 section 4.1: a speaker that restarted lets its peers keep what they have until it knows what there is.
  const startedAt = clock.now();
  const elapsed = (): number => (clock.now() - startedAt) / 1000;
  let deferred = false;
  const checkDeferral = (late: boolean): void => {
    if (!core.deferring || (!late && [...peers.values()].some((peer) => peer.defers()))) return;
    core.deferring = false;
    deferred = true;
    core.schedule();
  };
  /** Peers may be configured some time after the start: the first that knows of a restart begins the wait. */
  const deferFor = ({ gracefulRestart }: PeerOptions): void => {
    if (gracefulRestart?.restarting !== true || elapsed() >= gracefulRestart.restartTime) return;
    core.deferring = !deferred;
    cancels.push(clock.after((gracefulRestart.restartTime - elapsed()) * 1000 + 1, () => checkDeferral(false)));
  };
  const cancels = [
    clock.after((options.syncTimeout ?? 60) * 1000, () => {
      checkDeferral(true);
      deferred = true;
      checkSynced(true);
    }),
  ];
  const cancelSync = (): void => {
    for (const cancel of cancels) cancel();
  };

  const statuses = (): readonly PeerStatus[] => [...peers.values()].map((peer) => peer.status());
  const changed = (): void => {
    if (peersDirty) return;
    peersDirty = true;
    clock.soon(() => {
      peersDirty = false;
      if (closed) return;
      checkDeferral(false);
      checkSynced(false);
      peersChanged.next(statuses());
    });
  };

  const protect = (address: string, peer: PeerOptions | undefined): void => {
    for (const listener of listeners) {
      try {
        listener.protect(address.replace(/%.*$/, ''), peer === undefined ? undefined : { password: peer.password });
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        core.emit({ type: 'unsupported', peer: address, reason });
      }
    }
  };

  const keyOf = (peer: PeerOptions): string =>
    `${peerAddress(peer.address, 'peers')}|${peer.port ?? 179}|${peer.localAddress ?? ''}`;

  const addPeer = (key: string, peer: PeerOptions, dynamic: Dynamic | undefined): PeerRuntime => {
    const address = peerAddress(peer.address, 'peers');
    const runtime = createPeerRuntime({
      core,
      config: options,
      transport,
      options: peer,
      address,
      acceptableAsns: dynamic?.options.asns ?? [peer.asn],
      policies,
      dynamic: dynamic !== undefined,
      elapsed,
      sourceOf,
      onChange: changed,
      onGone() {
        if (peers.get(key) !== runtime) return;
        peers.delete(key);
        runtimes.delete(runtime.index);
        runtime.close(undefined);
        changed();
      },
    });
    deferFor(peer);
    peers.set(key, runtime);
    runtimes.set(runtime.index, runtime);
    if (dynamic === undefined) protect(address, peer);
    changed();
    return runtime;
  };

  const removePeer = (key: string, runtime: PeerRuntime, subcode: number): void => {
    peers.delete(key);
    runtime.close(notification(6, subcode));
    runtimes.delete(runtime.index);
    protect(runtime.address, undefined);
    changed();
  };

  const setPeers = (wanted: readonly PeerOptions[]): void => {
    checkSpeaker({ ...options, peers: wanted });
    const byKey = new Map(wanted.map((peer) => [keyOf(peer), peer] as const));
    for (const [key, runtime] of [...peers]) {
      if (runtime.dynamic) continue;
      const peer = byKey.get(key);
      if (peer === undefined) removePeer(key, runtime, CeaseError.peerDeconfigured);
      else if (!samePeer(runtime.options as PeerOptions, peer))
        removePeer(key, runtime, peer.shutdown ? CeaseError.adminShutdown : CeaseError.configurationChange);
    }
    for (const [key, peer] of byKey) if (!peers.has(key)) addPeer(key, peer, undefined).start();
  };

  const setDynamicPeers = (wanted: readonly DynamicPeerOptions[]): void => {
    dynamics = wanted.map((one) => ({
      options: one,
      prefix: parsePrefix(one.prefix),
      key: JSON.stringify([one.prefix, one.asns]),
    }));
    dynamics = [...dynamics].sort((a, b) => b.prefix.length - a.prefix.length);
    for (const [key, runtime] of [...peers]) {
      if (runtime.dynamic && matching(runtime.address) === undefined)
        removePeer(key, runtime, CeaseError.peerDeconfigured);
    }
  };

  const matching = (address: string): Dynamic | undefined => {
    if (!isAddress(address)) return undefined;
    const value = parseAddress(address);
    return dynamics.find((one) => one.prefix.family === value.family && contains(one.prefix, value));
  };

  const accept = (connection: Connection): void => {
    const { remoteAddress, localAddress } = connection;
    if (closed) {
      connection.destroy();
      return;
    }
    let chosen: PeerRuntime | undefined;
    for (const peer of peers.values()) {
      if (peer.address.replace(/%.*$/, '') !== remoteAddress) continue;
      if (peer.options.localAddress !== undefined && peer.options.localAddress !== localAddress) continue;
      if (chosen === undefined || (chosen.driver.state === 'established' && peer.driver.state !== 'established'))
        chosen = peer;
    }
    if (chosen === undefined) {
      const dynamic = matching(remoteAddress);
      const count =
        dynamic === undefined
          ? 0
          : [...peers.values()].filter((peer) => peer.dynamic && matching(peer.address) === dynamic).length;
      if (dynamic === undefined || count >= (dynamic.options.limit ?? 1000)) {
        core.emit({
          type: 'rejected',
          peer: remoteAddress,
          reason: dynamic === undefined ? 'no such peer' : 'too many peers of its prefix',
        });
        connection.destroy();
        return;
      }
      const { prefix: _prefix, asns, limit: _limit, ...session } = dynamic.options;
      const peer: PeerOptions = { ...session, address: remoteAddress, asn: asns[0] ?? 0 };
      chosen = addPeer(`dynamic|${remoteAddress}`, peer, dynamic);
      chosen.start();
    }
    chosen.accept(connection);
  };

  /** Announced by us, by prefix, as text that tells two advertisements apart. */
  let announced = new Map<string, string>();
  const setAdvertisements = (advertisements: readonly Advertisement[]): void => {
    const next = new Map<string, string>();
    const issues: Issue[] = [];
    for (const one of advertisements) {
      const object = one.owners?.[0] ?? `Advertisement ${one.prefix}`;
      const prefix = tryParsePrefix(one.prefix);
      if (prefix === undefined) {
        issues.push({
          object,
          field: 'prefix',
          reason: `${JSON.stringify(one.prefix)} is no canonical prefix; it is not announced`,
        });
        continue;
      }
      const canonical = formatPrefix(prefix);
      if (next.has(canonical)) {
        issues.push({ object, field: 'prefix', reason: `${canonical} is advertised twice; the first one stands` });
        continue;
      }
      const key = JSON.stringify([one.nextHop, one.attributes, one.origin]);
      next.set(canonical, key);
      if (announced.get(canonical) === key) continue;
      const rib = core.ribOf(prefix.family);
      let attr: number;
      try {
        attr = originate(core.store, one, prefix.family);
      } catch (error) {
        next.delete(canonical);
        const path = error instanceof SdkError ? error.details['path'] : undefined;
        const field = typeof path === 'string' ? path : 'attributes';
        issues.push({
          object,
          field,
          reason: `${error instanceof Error ? error.message : String(error)}; it is not announced`,
        });
        continue;
      }
      const id =
        prefix.family === 4
          ? internPrefix(rib.prefixes, prefix.value, 0, 0, 0, prefix.length)
          : internPrefix(rib.prefixes, ...prefix.words, prefix.length);
      fitRib(rib);
      putPath(rib, 0, id, 0, attr, attr);
      release(core.store, attr);
    }
    for (const prefix of announced.keys()) {
      if (next.has(prefix)) continue;
      const parsed = parsePrefix(prefix);
      const rib = core.ribOf(parsed.family);
      const id = prefixId(rib, parsed);
      const row = id < 0 ? -1 : findRow(rib, 0, id, 0);
      if (row >= 0) dropRow(rib, row);
    }
    announced = next;
    issues$.next(issues);
    core.schedule();
  };

  const find = (address: string): PeerRuntime[] => {
    const wanted = peerAddress(address, 'address');
    return [...peers.values()].filter((peer) => peer.address === wanted);
  };

  const close = async (how: { readonly graceful?: boolean; readonly message?: string } = {}): Promise<void> => {
    if (closed) return;
    closed = true;
    cancelSync();
    feed?.unsubscribe();
    // Whoever programs learned routes keeps them: they end with the stream, not by it.
    core.routes.complete();
    for (const stop of stations) stop();
    stations.clear();
    const reason = how.graceful === true ? undefined : shutdownNotification(how.message);
    for (const runtime of peers.values()) runtime.shutdown(reason);
    peersChanged.next(statuses());
    await Promise.all([core.bfd.close(), ...listeners.map((listener) => listener.close())]);
    peersChanged.complete();
    issues$.complete();
    events.complete();
  };

  issues$.next([]);
  for (const where of options.listen ?? []) {
    try {
      listeners.push(await transport.listen({ address: where.address, port: where.port ?? 179 }, accept));
    } catch (error) {
      await Promise.all(listeners.map((listener) => listener.close()));
      cancelSync();
      throw error;
    }
  }
  setDynamicPeers(options.dynamicPeers ?? []);
  core.setAggregates(options.aggregates ?? []);
  for (const peer of options.peers ?? []) addPeer(keyOf(peer), peer, undefined).start();
  changed();

  const speaker: Speaker = {
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
    setPeers,
    setDynamicPeers,
    setAggregates(list) {
      checkAggregates(list);
      core.setAggregates(list);
    },
    setPolicies(next) {
      policies.importPolicy = next.importPolicy;
      policies.exportPolicy = next.exportPolicy;
      for (const peer of peers.values()) peer.reimport();
      core.exports.regroup(
        (peer, family) => runtimes.get(peer)!.specOf(family),
        (peer, group) => runtimes.get(peer)?.moved(group),
      );
      core.schedule();
    },
    resetPeer(address, how = {}) {
      for (const peer of find(address)) {
        if (how.soft === true) peer.softReset();
        else peer.driver.reset(shutdownNotification(how.message, CeaseError.adminReset), 'reset here');
      }
    },
    lookup: (text) => lookup(core, text, addressOf),
    subnets(text) {
      const outer = parsePrefix(text);
      const views: PathView[] = [];
      eachPrefix(core, (rib, prefix) => {
        if (rib.family !== outer.family || rib.prefixes.lengths[prefix]! < outer.length) return;
        const { bits } = rib.prefixes;
        const at = prefix * 4;
        const address =
          rib.family === 4
            ? ({ family: 4, value: bits[prefix]! } as const)
            : ({ family: 6, words: [bits[at]!, bits[at + 1]!, bits[at + 2]!, bits[at + 3]!] } as const);
        if (contains(outer, address)) views.push(...pathsOf(core, rib, prefix, addressOf));
      });
      return views;
    },
    query(pick) {
      const views: PathView[] = [];
      eachPrefix(core, (rib, prefix) => {
        for (const view of pathsOf(core, rib, prefix, addressOf)) if (pick(view)) views.push(view);
      });
      return views;
    },
    adjacent(address, direction) {
      return find(address).flatMap((peer) =>
        direction === 'in'
          ? received(core, peer.index, addressOf)
          : [...peer.groups.values()].flatMap((group) => told(core, group, peer.index, addressOf)),
      );
    },
    monitor(station) {
      const stop = startBmp(core, options, station, function* () {
        for (const { monitored } of peers.values()) if (monitored !== undefined) yield monitored;
      });
      stations.add(stop);
      return () => {
        if (stations.delete(stop)) stop();
      };
    },
    dump: () =>
      dumpTable(core, options.routerId, Math.floor(Date.now() / 1000), (index) => {
        const status = runtimes.get(index)?.status();
        return { address: status?.address ?? '0.0.0.0', asn: status?.asn ?? 0, since: status?.since ?? 0 };
      }),
    setNextHopCosts(cost) {
      for (const rib of core.ribs) {
        const before = rib.metrics;
        rib.metrics = cost === undefined ? undefined : core.costs(cost);
        if (before === undefined && rib.metrics === undefined) continue;
        for (let prefix = 0; prefix < rib.prefixes.size; prefix++)
          if (rib.head[prefix]! >= 0) settle(rib, prefix, false);
      }
      core.schedule();
    },
    close,
    [Symbol.asyncDispose]: () => close(),
  };
  return speaker;
}

/** Whether two configurations of a peer ask for the same session. Policies are compared by identity. */
function samePeer(a: PeerOptions, b: PeerOptions): boolean {
  const { importPolicy: importA, exportPolicy: exportA, ...plainA } = a;
  const { importPolicy: importB, exportPolicy: exportB, ...plainB } = b;
  return importA === importB && exportA === exportB && stable(plainA) === stable(plainB);
}

function stable(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([x], [y]) => (x < y ? -1 : 1)))
      : inner,
  );
}
