/**
 * One peer at work: its session, its two directions, what is kept for it while it is away.
 * Made by the speaker for every configured peer and for every neighbour accepted by prefix.
 */
import type { MonitoredSession } from './bmp/exporter.ts';
import { createLiveness } from './liveness.ts';
import { CeaseError, NotificationCode } from './message/constants.ts';
import { encodeNotification, notification, shutdownNotification } from './message/notification.ts';
import { encodeRouteRefresh } from './message/refresh.ts';
import { factsOf } from './peer-facts.ts';
import { createInbound } from './peer-inbound.ts';
import { createOutbound } from './peer-outbound.ts';
import type { PeerRuntime, PeerRuntimeOptions } from './peer-types.ts';
import { createRetention, familyNumber } from './retention.ts';
import type { Opens, SessionDriver, SessionEnd } from './session/driver-types.ts';
import { createSessionDriver } from './session/driver.ts';
import type { Negotiated, Past } from './session/negotiate.ts';
import { offer } from './session/negotiate.ts';
import type { Connection } from './session/transport.ts';

/** Makes a {@link PeerRuntime}. */
export function createPeerRuntime(made: PeerRuntimeOptions): PeerRuntime {
  const { core, config, address } = made;
  const { clock } = core;
  let { options } = made;
  const settings = (): typeof options => options;
  const facts = factsOf(made, settings);
  const { index, far } = facts;
  let negotiated: Negotiated | undefined;
  let monitored: MonitoredSession | undefined;
  let lastError: string | undefined;
  let since: number | undefined;
  let up = false;
  let synced = false;
  let closed = false;
  /** It sent too much and is left alone: for a while, or until somebody says otherwise. */
  let held = false;
  let cancelRestart: () => void = () => undefined;

  core.peers[index] = facts.ribPeer(0);

  const retention = createRetention({
    core,
    peer: index,
    address,
    onChange() {
      leaveIfGone();
      made.onChange();
    },
  });

  const liveness = createLiveness(made, facts, settings, () =>
    driver.reset(notification(NotificationCode.cease, CeaseError.bfdDown), 'BFD went down'),
  );
  const outbound = createOutbound(made, facts, settings, () => driver);
  const inbound = createInbound(made, facts, settings, {
    onEndOfRib(family) {
      core.emit({ type: 'end-of-rib', peer: address, reason: `End-of-RIB for IPv${family} unicast` });
      retention.endOfRib(family);
      if (inbound.waiting.size > 0) return;
      synced = true;
      made.onChange();
    },
    onTooMany(cease, reason) {
      clock.soon(() => {
        held = true;
        driver.stop(cease);
        lastError = reason;
        made.onChange();
        const { restartAfter } = options.maxPrefixes ?? {};
        if (restartAfter !== undefined && !closed) cancelRestart = clock.after(restartAfter * 1000, startAgain);
      });
    },
  });

  /** A peer by prefix is forgotten once it is away, no other connection of it took the place, and nothing is kept for it. */
  const leaveIfGone = (): void => {
    if (!made.dynamic) return;
    clock.soon(() => {
      const away = driver.state === 'idle' || driver.state === 'active';
      if (away && !held && !retention.active) made.onGone();
    });
  };

  const startAgain = (): void => {
    if (!held || closed) return;
    held = false;
    cancelRestart();
    driver.start();
    leaveIfGone();
  };

  const onUp = (settled: Negotiated, opened: Connection, opens: Opens): void => {
    negotiated = settled;
    since = Date.now();
    lastError = undefined;
    up = true;
    cancelRestart();
    core.peers[index] = facts.ribPeer(settled.peerRouterId);
    const families = settled.families.map(familyNumber);
    inbound.up(settled, opened);
    // Routes kept over the restart stay only where the peer says that it kept forwarding.
    retention.up(settled.gracefulRestart, options.gracefulRestart?.staleTime ?? 360);
    synced = inbound.waiting.size === 0;
    core.emit({
      type: 'up',
      peer: address,
      reason: `established with AS ${settled.peerAsn}`,
      details: { families: settled.families, holdTime: settled.holdTime },
    });
    monitored = {
      index,
      peer: {
        address: facts.bare,
        asn: settled.peerAsn,
        routerId: settled.peerRouterId,
        twoOctetAs: !settled.fourOctetAs,
      },
      local: { address: opened.localAddress, port: opened.localPort ?? 0, remotePort: opened.remotePort },
      sentOpen: opens.sent,
      receivedOpen: opens.received,
      since,
      addPath: settled.addPathReceive.map(familyNumber),
      families,
    };
    for (const monitor of core.monitors) monitor.up(monitored);
    outbound.up(settled, opened);
    liveness.begin(opened.localAddress);
    core.schedule();
    made.onChange();
  };

  const onDown = (end: SessionEnd): void => {
    const graceful = negotiated?.gracefulRestart;
    outbound.down();
    liveness.end();
    if (monitored !== undefined) {
      const said = end.notification === undefined ? {} : { notification: encodeNotification(end.notification) };
      const why = { by: end.direction === 'sent' ? ('local' as const) : ('remote' as const), ...said };
      for (const monitor of core.monitors) monitor.down(monitored, why);
    }
    monitored = undefined;
    inbound.down();
    up = false;
    since = undefined;
    synced = false;
    lastError = end.reason;
    cancelRestart();
    retention.down(end.mayRetain && !closed && options.gracefulRestart !== undefined ? graceful : undefined);
    core.emit({
      type: 'down',
      peer: address,
      reason: end.reason,
      ...(end.notification === undefined
        ? {}
        : { details: { notification: end.notification, direction: end.direction } }),
    });
    core.schedule();
    made.onChange();
    leaveIfGone();
  };

  /** Whether we restarted and the peer may still hold what we told it before. */
  const restarting = (): boolean =>
    options.gracefulRestart?.restarting === true && made.elapsed() < options.gracefulRestart.restartTime;

  const past = (): Past => {
    const first = driver.counters.established === 0;
    return { restarting: first && restarting(), forwarding: !first || restarting() };
  };

  const { ttlSecurity, multihop } = options;
  const security = {
    password: options.password,
    ttlSecurityHops: ttlSecurity === true ? 1 : ttlSecurity === false ? undefined : ttlSecurity,
    ttl: typeof multihop === 'number' ? multihop : far ? undefined : 1,
  };
  const driver: SessionDriver = createSessionDriver({
    session: options,
    dial:
      made.dynamic || options.passive === true
        ? undefined
        : { address, port: options.port ?? 179, localAddress: options.localAddress, security },
    acceptableAsns: made.acceptableAsns,
    localOpen: () => ({
      asn: facts.shownAs,
      routerId: core.routerId,
      holdTime: options.holdTime ?? config.holdTime ?? 90,
      capabilities: offer(options, facts.shownAs, facts.type, past(), config.hostName),
    }),
    clock,
    transport: made.transport,
    random: Math.random,
    handlers: {
      onState: () => made.onChange(),
      onUp,
      onDown,
      onFailed(reason) {
        lastError = reason;
        core.emit({ type: 'failed', peer: address, reason });
        made.onChange();
        leaveIfGone();
      },
      onUpdate(bytes, offset, length) {
        if (core.monitors.size > 0 && monitored !== undefined) {
          const copy = bytes.slice(offset, offset + length);
          for (const monitor of core.monitors) monitor.update(monitored, copy);
        }
        return inbound.update(bytes, offset, length);
      },
      onRefresh(refresh) {
        const family = refresh.family === 'ipv4-unicast' ? 4 : refresh.family === 'ipv6-unicast' ? 6 : undefined;
        const group = family === undefined ? undefined : outbound.groups.get(family);
        if (family === undefined || group === undefined) return;
        if (refresh.subtype === 0) {
          core.emit({ type: 'refresh', peer: address, reason: `asked for ${refresh.family}` });
          outbound.tellAgain(family, group);
        } else if (refresh.subtype === 1) retention.refreshBegins(family);
        else if (refresh.subtype === 2) retention.refreshEnds(family);
      },
      onDrain: () => core.schedule(),
      onRead: (ms) => core.spend(ms, driver),
    },
  });

  return {
    address,
    get options() {
      return options;
    },
    dynamic: made.dynamic,
    index,
    driver,
    groups: outbound.groups,
    get synced() {
      return synced;
    },
    get monitored() {
      return monitored;
    },
    status: () => ({
      name: options.name ?? address,
      address,
      asn: negotiated?.peerAsn ?? options.asn,
      kind: facts.kind,
      state: driver.state,
      dynamic: made.dynamic,
      ...(since === undefined ? {} : { since }),
      ...(lastError === undefined ? {} : { lastError }),
      families: driver.state === 'established' ? (negotiated?.families ?? []) : [],
      capabilities: negotiated?.capabilities ?? [],
      ...(negotiated === undefined ? {} : { holdTime: negotiated.holdTime }),
      received: (core.ribs[0].peerRows[index] ?? 0) + (core.ribs[1].peerRows[index] ?? 0),
      messagesReceived: driver.counters.received,
      messagesSent: driver.counters.sent,
      established: driver.counters.established,
      synced,
      restarting: retention.active,
      ...(liveness.state === undefined ? {} : { bfd: liveness.state }),
      backlog: driver.backlog(),
    }),
    defers() {
      if (made.dynamic || (options.shutdown !== undefined && options.shutdown !== false)) return false;
      // Who is not back within the restart time has dropped our routes: there is nothing left to keep by waiting.
      if (!up) return restarting();
      return inbound.waiting.size > 0 && negotiated?.gracefulRestart?.restarting !== true;
    },
    start() {
      if (options.shutdown === undefined || options.shutdown === false) driver.start();
    },
    accept(accepted) {
      try {
        accepted.protect?.(security);
        driver.accept(accepted);
      } catch (error) {
        // Without the check that was asked for there is no session.
        accepted.destroy();
        core.emit({
          type: 'unsupported',
          peer: address,
          reason: error instanceof Error ? error.message : String(error),
        });
      }
    },
    change(next) {
      const limits = JSON.stringify(options.maxPrefixes) !== JSON.stringify(next.maxPrefixes);
      options = next;
      if (!limits) return;
      startAgain();
      inbound.checkLimit();
    },
    reset(message) {
      if (held) startAgain();
      else driver.reset(shutdownNotification(message, CeaseError.adminReset), 'reset here');
    },
    reimport: inbound.reimport,
    reimportRow: inbound.reimportRow,
    specOf: outbound.specOf,
    moved: outbound.moved,
    softReset() {
      for (const family of negotiated?.families ?? []) {
        if (negotiated?.routeRefresh === true) driver.write(encodeRouteRefresh(family));
        outbound.groups.get(familyNumber(family))?.refresh(index, () => undefined);
      }
      core.schedule();
    },
    shutdown(reason) {
      closed = true;
      if (reason === undefined) driver.abandon();
      else driver.stop(reason);
      cancelRestart();
    },
    close(reason) {
      closed = true;
      driver.stop(reason);
      cancelRestart();
      inbound.finish();
      retention.close();
      outbound.down();
      core.peers[index] = undefined;
      core.schedule();
    },
  };
}
