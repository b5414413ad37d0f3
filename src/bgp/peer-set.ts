/**
 * All peers of a speaker: those configured, and those that came from within a prefix. Connections find their peer here, and a change of
 * configuration touches what it changes: options that need no new session are taken over live.
 */
import type { Prefix } from '../net/index.ts';
import { contains, isAddress, parseAddress, parsePrefix } from '../net/index.ts';
import type { Core } from './core.ts';
import { CeaseError } from './message/constants.ts';
import { notification } from './message/notification.ts';
import type { DynamicPeerOptions, PeerOptions, SpeakerConfig } from './model.ts';
import { peerAddress } from './peer-facts.ts';
import { createPeerRuntime } from './peer-runtime.ts';
import type { DefaultPolicies, PeerRuntime } from './peer-types.ts';
import { createPolicyWatch } from './policy-watch.ts';
import type { PolicyRoute } from './policy/types.ts';
import type { Connection, Listener, Transport } from './session/transport.ts';

/** Peers of a speaker. */
export interface PeerSet extends Iterable<PeerRuntime> {
  byIndex(index: number): PeerRuntime | undefined;
  /** All peers of an address. */
  find(address: string): readonly PeerRuntime[];
  setPeers(wanted: readonly PeerOptions[]): void;
  setDynamicPeers(wanted: readonly DynamicPeerOptions[]): void;
  setPolicies(policies: DefaultPolicies): void;
  close(): void;
  /** Gives an accepted connection to its peer, or refuses it. */
  accept(connection: Connection): void;
}

/** What a peer set is made from. */
export interface PeerSetOptions {
  readonly core: Core;
  readonly config: SpeakerConfig;
  readonly transport: Transport;
  readonly listeners: readonly Listener[];
  readonly elapsed: () => number;
  /** A peer is about to be added. */
  readonly onAdd: (options: PeerOptions) => void;
  readonly onChange: () => void;
}

interface Dynamic {
  readonly options: DynamicPeerOptions;
  readonly prefix: Prefix;
}

const keyOf = (peer: PeerOptions): string =>
  `${peerAddress(peer.address, 'peers')}|${peer.port ?? 179}|${peer.localAddress ?? ''}`;

/** Makes a {@link PeerSet}. */
export function createPeerSet({ core, config, transport, listeners, ...made }: PeerSetOptions): PeerSet {
  const { onChange } = made;
  const policies: DefaultPolicies = { importPolicy: config.importPolicy, exportPolicy: config.exportPolicy };
  const peers = new Map<string, PeerRuntime>();
  const byIndex = new Map<number, PeerRuntime>();
  let dynamics: readonly Dynamic[] = [];
  const watch = createPolicyWatch(
    core,
    () => peers.values(),
    ({ options }) => ({
      importPolicy: options.importPolicy ?? policies.importPolicy,
      exportPolicy: options.exportPolicy ?? policies.exportPolicy,
    }),
  );

  const sourceOf = (index: number): PolicyRoute['source'] => {
    const runtime = byIndex.get(index);
    const kind = core.peers[index]?.kind ?? 'local';
    return { kind, address: runtime?.address ?? '', asn: runtime?.status().asn ?? core.asn };
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

  const add = (key: string, peer: PeerOptions, dynamic: Dynamic | undefined): PeerRuntime => {
    const address = peerAddress(peer.address, 'peers');
    const runtime = createPeerRuntime({
      core,
      config,
      transport,
      options: peer,
      address,
      acceptableAsns: dynamic?.options.asns ?? [peer.asn],
      policies,
      dynamic: dynamic !== undefined,
      elapsed: made.elapsed,
      sourceOf,
      onChange,
      onGone() {
        if (peers.get(key) !== runtime) return;
        peers.delete(key);
        byIndex.delete(runtime.index);
        runtime.close(undefined);
        onChange();
      },
    });
    made.onAdd(peer);
    peers.set(key, runtime);
    byIndex.set(runtime.index, runtime);
    watch.renew();
    if (dynamic === undefined) protect(address, peer);
    onChange();
    return runtime;
  };

  const remove = (key: string, runtime: PeerRuntime, subcode: number): void => {
    peers.delete(key);
    runtime.close(notification(6, subcode));
    byIndex.delete(runtime.index);
    watch.renew();
    protect(runtime.address, undefined);
    onChange();
  };

  /** Has the groups of some peers, or of all, made anew under the options and policies of now. */
  const regroup = (affected?: ReadonlySet<number>): void =>
    core.exports.regroup(
      (peer, family) => byIndex.get(peer)!.specOf(family),
      (peer, group) => byIndex.get(peer)?.moved(group),
      affected,
    );

  const matching = (address: string): Dynamic | undefined => {
    if (!isAddress(address)) return undefined;
    const value = parseAddress(address);
    return dynamics.find((one) => one.prefix.family === value.family && contains(one.prefix, value));
  };

  /** A new peer for a connection from within a prefix; a reason when there is to be none. */
  const admit = (address: string): PeerRuntime | string => {
    const dynamic = matching(address);
    if (dynamic === undefined) return 'no such peer';
    let count = 0;
    for (const peer of peers.values()) if (peer.dynamic && matching(peer.address) === dynamic) count++;
    if (count >= (dynamic.options.limit ?? 1000)) return 'too many peers of its prefix';
    const { prefix: _prefix, asns, limit: _limit, ...session } = dynamic.options;
    const runtime = add(`dynamic|${address}`, { ...session, address, asn: asns[0] ?? 0 }, dynamic);
    runtime.start();
    return runtime;
  };

  return {
    [Symbol.iterator]: () => peers.values(),
    byIndex: (index) => byIndex.get(index),
    find(address) {
      const wanted = peerAddress(address, 'address');
      return [...peers.values()].filter((peer) => peer.address === wanted);
    },
    setPeers(wanted) {
      const byKey = new Map(wanted.map((peer) => [keyOf(peer), peer] as const));
      const regrouped = new Set<number>();
      for (const [key, runtime] of [...peers]) {
        if (runtime.dynamic) continue;
        const peer = byKey.get(key);
        if (peer === undefined) remove(key, runtime, CeaseError.peerDeconfigured);
        else {
          const before = runtime.options as PeerOptions;
          if (!sameSession(before, peer)) {
            remove(key, runtime, peer.shutdown ? CeaseError.adminShutdown : CeaseError.configurationChange);
            continue;
          }
          runtime.change(peer);
          if (before.importPolicy !== peer.importPolicy) runtime.reimport();
          if (before.exportPolicy !== peer.exportPolicy) regrouped.add(runtime.index);
        }
      }
      if (regrouped.size > 0) regroup(regrouped);
      watch.renew();
      for (const [key, peer] of byKey) if (!peers.has(key)) add(key, peer, undefined).start();
      core.schedule();
    },
    setDynamicPeers(wanted) {
      dynamics = wanted
        .map((one) => ({ options: one, prefix: parsePrefix(one.prefix) }))
        .sort((a, b) => b.prefix.length - a.prefix.length);
      for (const [key, runtime] of [...peers]) {
        if (runtime.dynamic && matching(runtime.address) === undefined)
          remove(key, runtime, CeaseError.peerDeconfigured);
      }
    },
    setPolicies(next) {
      Object.assign(policies, { importPolicy: next.importPolicy, exportPolicy: next.exportPolicy });
      for (const peer of peers.values()) peer.reimport();
      regroup();
      watch.renew();
      core.schedule();
    },
    close: () => watch.close(),
    accept(connection) {
      const { remoteAddress, localAddress } = connection;
      let chosen: PeerRuntime | undefined;
      for (const peer of peers.values()) {
        if (peer.address.replace(/%.*$/, '') !== remoteAddress) continue;
        if (peer.options.localAddress !== undefined && peer.options.localAddress !== localAddress) continue;
        if (chosen === undefined || (chosen.driver.state === 'established' && peer.driver.state !== 'established'))
          chosen = peer;
      }
      const found = chosen ?? admit(remoteAddress);
      if (typeof found !== 'string') found.accept(connection);
      else {
        core.emit({ type: 'rejected', peer: remoteAddress, reason: found });
        connection.destroy();
      }
    },
  };
}

/** Options that a session takes over while it is up; policies are compared by identity, everything else by value. */
const LIVE: ReadonlySet<string> = new Set(['name', 'importPolicy', 'exportPolicy', 'maxPrefixes', 'addPathLimit']);

/** Whether two configurations of a peer can share a session. */
function sameSession(a: PeerOptions, b: PeerOptions): boolean {
  return stable(a) === stable(b);
}

function stable(options: PeerOptions): string {
  return JSON.stringify(options, (key, inner: unknown) =>
    typeof inner !== 'object' || inner === null || Array.isArray(inner)
      ? inner
      : Object.fromEntries(
          Object.entries(inner)
            .filter(([name]) => key !== '' || !LIVE.has(name))
            .sort(([x], [y]) => (x < y ? -1 : 1)),
        ),
  );
}
