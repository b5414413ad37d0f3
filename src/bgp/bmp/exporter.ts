/**
 * Tells monitoring stations of our peers (RFC 7854): their sessions, and what they announce, before any policy.
 * A station gets what there is and then every UPDATE as it came. One that does not keep up is let go and begins anew: what it costs is
 * bounded. Stands beside the sessions, which report through {@link Monitor}.
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { Core } from '../core.ts';
import type { SpeakerConfig } from '../model.ts';
import { encodeEndOfRib } from '../message/update.ts';
import { addPrefix, beginAnnounce, createPacker, endMessage } from '../rib/packer.ts';
import type { BmpPeer, BmpPeerDown } from './messages.ts';
import {
  encodeInitiation,
  encodePeerDown,
  encodePeerUp,
  encodeRouteMonitoring,
  encodeStatistics,
  encodeTermination,
} from './messages.ts';

/** A monitoring station. */
export interface BmpStation {
  readonly address: string;
  /** @defaultValue 11019 */
  readonly port?: number;
  /** Seconds between Statistics Reports; 0 sends none. @defaultValue 60 */
  readonly statisticsInterval?: number;
  /** Seconds between attempts to connect. @defaultValue 10 */
  readonly retryInterval?: number;
}

/** A session as stations are told of it. */
export interface MonitoredSession {
  /** Index of the peer. */
  readonly index: number;
  readonly peer: BmpPeer;
  readonly local: { readonly address: string; readonly port: number; readonly remotePort: number };
  readonly sentOpen: Uint8Array;
  readonly receivedOpen: Uint8Array;
  /** Epoch milliseconds. */
  readonly since: number;
  /** Families in which the peer sends path identifiers. */
  readonly addPath: readonly (4 | 6)[];
  readonly families: readonly (4 | 6)[];
}

/** Who follows all sessions. */
export interface Monitor {
  up(session: MonitoredSession): void;
  down(session: MonitoredSession, why: BmpPeerDown): void;
  /** An UPDATE that a peer sent; valid during the call only. */
  update(session: MonitoredSession, bytes: Uint8Array): void;
}

/** Bytes that a station may leave unread. */
const HIGH_WATER = 16 * 1024 * 1024;
const PORT = 11_019;

/**
 * Keeps a station told until the returned function is called.
 * @param sessions - those that are up
 */
export function startBmp(
  core: Core,
  config: SpeakerConfig,
  station: BmpStation,
  sessions: () => Iterable<MonitoredSession>,
): () => void {
  const { clock } = core;
  let socket: Socket | undefined;
  let over = false;
  let cancelRetry: () => void = () => undefined;
  let cancelStatistics: () => void = () => undefined;
  /** Peers whose table has been told: their UPDATEs follow. */
  const following = new Set<number>();

  const say = (bytes: Uint8Array): void => {
    if (socket === undefined) return;
    socket.write(bytes);
    if (socket.writableLength < HIGH_WATER) return;
    core.emit({ type: 'failed', peer: '', reason: `BMP station ${station.address} does not keep up` });
    socket.destroy();
  };

  /** Peer Up, then its table, a slice a turn, then End-of-RIB. */
  const tell = (session: MonitoredSession): void => {
    const { index, peer, families, addPath } = session;
    say(encodePeerUp(peer, session.since, session.local, session.sentOpen, session.receivedOpen));
    following.add(index);
    const out = new Uint8Array(65_536);
    core.sweep(
      index,
      families,
      (rib, row) => {
        if (!following.has(index)) return;
        const packer = createPacker(rib.prefixes, rib.store, 65_535, out);
        if (!beginAnnounce(packer, rib.rowIn[row]!)) return;
        const pathId = addPath.includes(rib.family) ? (rib.rowPathId?.[row] ?? 0) : -1;
        addPrefix(packer, rib.rowPrefix[row]!, pathId);
        endMessage(packer);
        // Sets are kept with AS numbers of four octets, whatever the session speaks.
        say(encodeRouteMonitoring({ ...peer, twoOctetAs: false }, Date.now(), out.slice(0, packer.at)));
      },
      () => {
        if (!following.has(index)) return;
        for (const family of families) {
          const end = encodeEndOfRib(family === 4 ? 'ipv4-unicast' : 'ipv6-unicast');
          say(encodeRouteMonitoring(peer, Date.now(), end));
        }
      },
    );
  };

  const monitor: Monitor = {
    up: tell,
    down(session, why) {
      following.delete(session.index);
      say(encodePeerDown(session.peer, Date.now(), why));
    },
    update(session, bytes) {
      if (following.has(session.index)) say(encodeRouteMonitoring(session.peer, Date.now(), bytes));
    },
  };

  const report = (): void => {
    const seconds = station.statisticsInterval ?? 60;
    if (seconds === 0) return;
    cancelStatistics = clock.after(seconds * 1000, () => {
      for (const { index, peer } of sessions()) {
        const routes = core.ribs.reduce((sum, rib) => sum + (rib.peerRows[index] ?? 0), 0);
        say(encodeStatistics(peer, Date.now(), routes));
      }
      report();
    });
  };

  const dial = (): void => {
    const made = connect({ host: station.address, port: station.port ?? PORT, noDelay: true });
    made.on('connect', () => {
      socket = made;
      say(encodeInitiation(config.hostName ?? config.routerId, 'kube-router-sdk'));
      core.monitors.add(monitor);
      for (const session of sessions()) tell(session);
      report();
    });
    made.on('error', () => undefined);
    // A station says nothing; whatever it sends is read and dropped.
    made.resume();
    made.on('close', () => {
      if (socket === made) socket = undefined;
      core.monitors.delete(monitor);
      following.clear();
      cancelStatistics();
      if (!over) cancelRetry = clock.after((station.retryInterval ?? 10) * 1000, dial);
    });
    if (over) made.destroy();
  };
  dial();
  return () => {
    over = true;
    cancelRetry();
    say(encodeTermination());
    core.monitors.delete(monitor);
    following.clear();
    cancelStatistics();
    socket?.end();
  };
}
