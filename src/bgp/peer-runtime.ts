/**
 * One peer at work: its session, what its routes are allowed to be, the update groups it sits in, graceful restart.
 * Made by the speaker for every configured peer and for every neighbour accepted by prefix.
 */
import { SdkError, addressToBytes, canonicalAddress, isAddress, parseAddress } from '../net/index.ts';
import type { Notification, PeerType } from './message/types.ts';
import { CeaseError, NotificationCode } from './message/constants.ts';
import { encodeNotification, notification, shutdownData } from './message/notification.ts';
import type { MonitoredSession } from './bmp/exporter.ts';
import { encodeRouteRefresh } from './message/refresh.ts';
import { encodeEndOfRib } from './message/update.ts';
import type { BfdWatch } from './bfd/monitor.ts';
import type { BfdState } from './bfd/packet.ts';
import type { Core } from './core.ts';
import type { PeerOptions, SessionOptions, SpeakerConfig, UnicastFamily } from './model.ts';
import { createImporter } from './policy/importer.ts';
import { createHook } from './policy/hook.ts';
import type { Policy, PolicyContext, PolicyRoute } from './policy/types.ts';
import { narrowAsNumbers } from './rib/attributes.ts';
import type { ExportSettings } from './rib/export-attributes.ts';
import type { GroupSpec } from './exports.ts';
import type { ExportGroup, Member, PolicyHook } from './rib/group.ts';
import type { IntakeSession } from './rib/intake.ts';
import { createVerdicts } from './rib/intake.ts';
import { release } from './rib/attribute-store.ts';
import type { Rib } from './rib/table.ts';
import { LONG_STALE, settle } from './rib/table.ts';
import { createRetention, familyNumber } from './retention.ts';
import type { Negotiated, Past } from './session/negotiate.ts';
import { offer } from './session/negotiate.ts';
import type { Opens, SessionDriver, SessionEnd } from './session/peer.ts';
import { createSessionDriver } from './session/peer.ts';
import type { Connection, Transport } from './session/transport.ts';
import type { PeerStatus } from './speaker-types.ts';

/** Policies of a speaker for peers without their own. */
export interface DefaultPolicies {
  importPolicy: Policy | undefined;
  exportPolicy: Policy | undefined;
}

/** A peer at work. */
export interface PeerRuntime {
  readonly address: string;
  readonly options: SessionOptions & Partial<PeerOptions>;
  readonly dynamic: boolean;
  readonly index: number;
  readonly driver: SessionDriver;
  readonly groups: ReadonlyMap<4 | 6, ExportGroup>;
  status(): PeerStatus;
  /** Whether a restarted speaker still waits for this peer before it announces (RFC 4724 section 4.1). */
  defers(): boolean;
  start(): void;
  accept(connection: Connection): void;
  /** Runs the import policy of now over everything that the peer sent. */
  reimport(): void;
  /** What its update group of a family is to be. */
  specOf(family: 4 | 6): GroupSpec;
  /** It sits in another group now. */
  moved(group: ExportGroup): void;
  /** The session as monitoring stations are told of it; undefined while there is none. */
  readonly monitored: MonitoredSession | undefined;
  /** Asks for the peer's routes and tells ours again. */
  softReset(): void;
  /** Ends the session for good; without a reason the connection just goes, so that a peer with graceful restart keeps our routes. */
  shutdown(reason: Notification | undefined): void;
  /** Ends the session and forgets the peer. */
  close(reason: Notification | undefined): void;
}

/** What a runtime is made from. */
export interface PeerRuntimeOptions {
  readonly core: Core;
  readonly config: SpeakerConfig;
  readonly transport: Transport;
  readonly options: SessionOptions & Partial<PeerOptions>;
  /** Canonical address, with a zone where it needs one. */
  readonly address: string;
  readonly acceptableAsns: readonly number[];
  readonly policies: DefaultPolicies;
  readonly dynamic: boolean;
  /** Seconds since the speaker began. */
  readonly elapsed: () => number;
  readonly sourceOf: (peer: number) => PolicyRoute['source'];
  readonly onChange: () => void;
  /** A dynamic peer's session is over. */
  readonly onGone: () => void;
}

const familyName = (family: 4 | 6): UnicastFamily => (family === 4 ? 'ipv4-unicast' : 'ipv6-unicast');

let policyCount = 0;
const policyIds = new WeakMap<Policy, number>();
function policyId(policy: Policy): number {
  let id = policyIds.get(policy);
  if (id === undefined) policyIds.set(policy, (id = ++policyCount));
  return id;
}

let contextCount = 0;

/** Makes a {@link PeerRuntime}. */
export function createPeerRuntime(made: PeerRuntimeOptions): PeerRuntime {
  const { core, config, options, address, policies } = made;
  const { store, clock } = core;
  const index = core.newIndex();
  const ownAs = options.localAsn ?? core.asn;
  const members = config.confederation?.members ?? [];
  const peerType: PeerType = options.asn === core.asn ? 'ibgp' : members.includes(options.asn) ? 'confed' : 'ebgp';
  const kind = peerType === 'ibgp' && options.routeReflectorClient === true ? 'ibgp-client' : peerType;
  const shownAs = peerType === 'ebgp' && config.confederation !== undefined ? config.confederation.id : ownAs;
  const bare = address.replace(/%.*$/, '');
  /** More than one hop away. */
  const far = options.multihop === undefined ? peerType === 'ibgp' : options.multihop !== false;
  const holdTime = options.holdTime ?? config.holdTime ?? 90;
  const groups = new Map<4 | 6, ExportGroup>();
  const waitingForEnd = new Set<4 | 6>();
  const timers = new Set<() => void>();
  let session: IntakeSession | undefined;
  let negotiated: Negotiated | undefined;
  let connection: Connection | undefined;
  let monitored: MonitoredSession | undefined;
  let lastError: string | undefined;
  let since: number | undefined;
  let synced = false;
  let finishSweep: () => void = () => undefined;
  let closed = false;
  let liveness: BfdWatch | undefined;
  let bfdState: BfdState | undefined;

  core.peers[index] = { index, kind, routerId: 0, addressKey: keyOf(bare) };

  const retention = createRetention({
    core,
    peer: index,
    address,
    onChange() {
      leaveIfGone();
      made.onChange();
    },
  });

  /** A peer by prefix is forgotten once it is away and nothing is kept for it. */
  const leaveIfGone = (): void => {
    if (made.dynamic && session === undefined && !retention.active) clock.soon(made.onGone);
  };

  const after = (seconds: number, callback: () => void): (() => void) => {
    const cancel = clock.after(seconds * 1000, () => {
      timers.delete(cancel);
      callback();
    });
    timers.add(cancel);
    return cancel;
  };

  const context = (direction: 'import' | 'export'): PolicyContext => ({
    direction,
    peer: { address: bare, asn: negotiated?.peerAsn ?? options.asn, kind, name: options.name ?? address },
  });

  const hookOf = (policy: Policy | undefined, rib: Rib, direction: 'import' | 'export'): PolicyHook | undefined =>
    policy === undefined
      ? undefined
      : createHook({ policy, store, table: rib.prefixes, context: context(direction), sourceOf: made.sourceOf });

  const importerOf = (rib: Rib): PolicyHook | undefined =>
    createImporter({
      store,
      rib,
      policy: hookOf(options.importPolicy ?? policies.importPolicy, rib, 'import'),
      gracefulShutdown: peerType === 'ebgp' && options.gracefulShutdown !== false,
      role: peerType === 'ebgp' ? options.role : undefined,
      peerAsn: negotiated?.peerAsn ?? options.asn,
    });

  /** Our own address for a family on this session: what next hop self says. */
  const selfHop = (family: 4 | 6): Uint8Array | undefined => {
    const local = connection?.localAddress ?? '';
    const own = family === 4 ? options.nextHop?.ipv4 : options.nextHop?.ipv6;
    const fits = (text: string | undefined): text is string =>
      text !== undefined && isAddress(text) && text.includes(':') === (family === 6);
    if (fits(own)) return addressToBytes(parseAddress(own));
    if (fits(local) && !(family === 6 && local.startsWith('fe8'))) return addressToBytes(parseAddress(local));
    const siblings = made.transport.siblings(local);
    const other = family === 4 ? siblings.ipv4 : siblings.ipv6;
    if (fits(other)) return addressToBytes(parseAddress(other));
    if (family === 6 && isAddress(local)) {
      // Nothing better on the interface: the link-local address alone, else the IPv4 address mapped.
      if (local.startsWith('fe8')) return addressToBytes(parseAddress(local));
      if (siblings.linkLocal !== undefined) return addressToBytes(parseAddress(siblings.linkLocal));
      return addressToBytes(parseAddress(`::ffff:${local}`));
    }
    if (family === 4 && negotiated?.extendedNextHop === true && local.includes(':'))
      return addressToBytes(parseAddress(local));
    return undefined;
  };

  const settingsOf = (family: 4 | 6): ExportSettings => ({
    kind,
    ownAs: shownAs,
    clusterId: core.clusterId,
    nextHop: selfHop(family),
    nextHopSelf: options.nextHopSelf ?? false,
    nextHopUnchanged: options.nextHopUnchanged ?? false,
    extendedNextHop: negotiated?.extendedNextHop ?? false,
    longLived: negotiated?.longLivedAware ?? false,
    role: peerType === 'ebgp' ? options.role : undefined,
    removePrivateAs: options.removePrivateAs ?? false,
  });

  const specOf = (family: 4 | 6): GroupSpec => {
    const rib = core.ribOf(family);
    const policy = options.exportPolicy ?? policies.exportPolicy;
    return {
      rib,
      settings: settingsOf(family),
      policy: hookOf(policy, rib, 'export'),
      policyKey: policy === undefined ? '' : `${policyId(policy)}${policy.readsPeer === false ? '' : `/${address}`}`,
      translate:
        negotiated?.fourOctetAs === true ? undefined : (attr) => narrowAsNumbers(store, attr, family, peerType),
      maxLength: negotiated?.extendedMessages === true ? 65_535 : 4096,
      paths: negotiated?.addPathSend.includes(familyName(family)) === true ? (options.addPathLimit ?? 8) : 0,
    };
  };

  const joinGroup = (family: 4 | 6): void => {
    const member: Member = {
      peer: index,
      write: (bytes) => driver.write(bytes),
      backlog: () => driver.backlog(),
      onSynced() {
        driver.write(encodeEndOfRib(familyName(family)));
      },
    };
    groups.set(family, core.exports.join(specOf(family), member));
  };

  const leaveGroups = (): void => {
    for (const group of groups.values()) core.exports.leave(group, index);
    groups.clear();
    refreshing.clear();
  };

  const endOfRib = (family: 4 | 6): void => {
    if (!waitingForEnd.delete(family)) return;
    core.emit({ type: 'end-of-rib', peer: address, reason: `End-of-RIB for ${familyName(family)}` });
    retention.endOfRib(family);
    if (waitingForEnd.size === 0) {
      synced = true;
      made.onChange();
    }
  };

  const ownNextHops = (local: string): ReadonlySet<string> => {
    const keys = new Set<string>();
    const siblings = made.transport.siblings(local);
    for (const text of [local, siblings.ipv4, siblings.ipv6]) {
      if (text !== undefined && isAddress(text)) keys.add(String.fromCharCode(...addressToBytes(parseAddress(text))));
    }
    return keys;
  };

  /** RFC 5882 section 4: the session ends when BFD, having been up, goes down; it does not wait for BFD to come up. */
  const watchLiveness = (localAddress: string): void => {
    if (options.bfd === undefined) return;
    let wasUp = false;
    liveness = core.bfd.watch(
      { peer: address, localAddress, multihop: far, ...options.bfd },
      (state, diagnostic) => {
        bfdState = state;
        core.emit({ type: 'bfd', peer: address, reason: `BFD is ${state}`, details: { diagnostic } });
        made.onChange();
        if (state === 'up') wasUp = true;
        else if (wasUp && state === 'down') {
          driver.reset(notification(NotificationCode.cease, CeaseError.bfdDown), 'BFD went down');
        }
      },
      (reason) => core.emit({ type: 'unsupported', peer: address, reason: `BFD: ${reason}` }),
    );
  };

  const endLiveness = (): void => {
    liveness?.close();
    liveness = undefined;
    bfdState = undefined;
  };

  const onUp = (settled: Negotiated, opened: Connection, opens: Opens): void => {
    negotiated = settled;
    connection = opened;
    since = Date.now();
    lastError = undefined;
    synced = false;
    finishSweep();
    for (const cancel of timers) cancel();
    timers.clear();
    core.peers[index] = { index, kind, routerId: settled.peerRouterId, addressKey: keyOf(bare) };
    const families = settled.families.map(familyNumber);
    session = {
      peer: index,
      kind: peerType,
      context: {
        fourOctetAs: settled.fourOctetAs,
        peerType,
        families: settled.families,
        addPath: settled.addPathReceive,
        extendedNextHop: settled.extendedNextHop ? ['ipv4-unicast'] : [],
      },
      contextId: (++contextCount << 8) | 1,
      ipv4: settled.families.includes('ipv4-unicast'),
      ipv6: settled.families.includes('ipv6-unicast'),
      addPath4: settled.addPathReceive.includes('ipv4-unicast'),
      addPath6: settled.addPathReceive.includes('ipv6-unicast'),
      firstAs: peerType === 'ebgp' && options.enforceFirstAs !== false ? settled.peerAsn : 0,
      ownNextHops: ownNextHops(opened.localAddress),
      importers: [importerOf(core.ribOf(4)), importerOf(core.ribOf(6))],
      imported: [createVerdicts(), createVerdicts()],
      onFindings(findings) {
        const [first] = findings;
        if (first !== undefined)
          core.emit({ type: 'malformed', peer: address, reason: first.reason, details: { findings } });
      },
      onEndOfRib: endOfRib,
    };
    // Routes kept over the restart stay only where the peer says that it kept forwarding.
    retention.up(settled.gracefulRestart, options.gracefulRestart?.staleTime ?? 360);
    waitingForEnd.clear();
    if (settled.gracefulRestart !== undefined) for (const family of families) waitingForEnd.add(family);
    if (waitingForEnd.size === 0) synced = true;
    core.emit({
      type: 'up',
      peer: address,
      reason: `established with AS ${settled.peerAsn}`,
      details: { families: settled.families, holdTime: settled.holdTime },
    });
    monitored = {
      index,
      peer: { address: bare, asn: settled.peerAsn, routerId: settled.peerRouterId, twoOctetAs: !settled.fourOctetAs },
      local: { address: opened.localAddress, port: opened.localPort ?? 0, remotePort: opened.remotePort },
      sentOpen: opens.sent,
      receivedOpen: opens.received,
      since,
      addPath: settled.addPathReceive.map(familyNumber),
      families,
    };
    for (const monitor of core.monitors) monitor.up(monitored);
    for (const family of families) joinGroup(family);
    watchLiveness(opened.localAddress);
    core.schedule();
    made.onChange();
  };

  const onDown = (end: SessionEnd): void => {
    const graceful = negotiated?.gracefulRestart;
    leaveGroups();
    endLiveness();
    if (monitored !== undefined) {
      const notification = end.notification === undefined ? undefined : encodeNotification(end.notification);
      const why = { by: end.direction === 'sent' ? ('local' as const) : ('remote' as const) };
      for (const monitor of core.monitors)
        monitor.down(monitored, notification === undefined ? why : { ...why, notification });
    }
    monitored = undefined;
    session = undefined;
    connection = undefined;
    since = undefined;
    synced = false;
    lastError = end.reason;
    for (const cancel of timers) cancel();
    timers.clear();
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

  const withinRestart = (): boolean => made.elapsed() < (options.gracefulRestart?.restartTime ?? 0);

  const past = (): Past => {
    const first = driver.counters.established === 0;
    const restarting = first && options.gracefulRestart?.restarting === true && withinRestart();
    return { restarting, forwarding: restarting || !first };
  };

  const overLimit = (): { notification: Notification; reason: string } | undefined => {
    const limit = options.maxPrefixes;
    if (limit === undefined) return undefined;
    for (const rib of core.ribs) {
      const count = rib.peerRows[index] ?? 0;
      if (count <= limit.limit) continue;
      core.emit({ type: 'max-prefixes', peer: address, reason: `${count} prefixes, ${limit.limit} allowed` });
      if (limit.warnOnly === true) return undefined;
      const data = new Uint8Array(7);
      new DataView(data.buffer).setUint16(0, rib.family === 4 ? 1 : 2);
      data[2] = 1;
      new DataView(data.buffer).setUint32(3, limit.limit);
      const reason = `more than ${limit.limit} prefixes`;
      // The rest of the input at hand changes nothing any more.
      session = undefined;
      clock.soon(() => {
        driver.stop(notification(NotificationCode.cease, CeaseError.maxPrefixes, data));
        lastError = reason;
        made.onChange();
        if (limit.restartAfter !== undefined) after(limit.restartAfter, () => driver.start());
      });
      return undefined;
    }
    return undefined;
  };

  /** Families that the peer is being told again, and whether it has asked once more since. */
  const refreshing = new Map<4 | 6, boolean>();

  /** Answers a route refresh. One answer at a time: a peer that asks without reading must not make us queue answers. */
  const tellAgain = (family: 4 | 6, group: ExportGroup): void => {
    if (refreshing.has(family)) {
      refreshing.set(family, true);
      return;
    }
    refreshing.set(family, false);
    const mark = (subtype: 1 | 2): void => {
      if (negotiated?.enhancedRefresh === true) driver.write(encodeRouteRefresh(familyName(family), subtype));
    };
    mark(1);
    group.refresh(index, () => {
      mark(2);
      const again = refreshing.get(family) === true;
      refreshing.delete(family);
      const now = groups.get(family);
      if (again && now !== undefined) tellAgain(family, now);
    });
    core.schedule();
  };

  const ttlSecurityHops =
    options.ttlSecurity === true ? 1 : options.ttlSecurity === false ? undefined : options.ttlSecurity;
  const ttl = typeof options.multihop === 'number' ? options.multihop : far ? undefined : 1;
  const security = { password: options.password, ttlSecurityHops, ttl };
  const driver: SessionDriver = createSessionDriver({
    session: options,
    dial:
      made.dynamic || options.passive === true
        ? undefined
        : { address, port: options.port ?? 179, localAddress: options.localAddress, security },
    acceptableAsns: made.acceptableAsns,
    localOpen: () => ({
      asn: shownAs,
      routerId: core.routerId,
      holdTime,
      capabilities: offer(options, shownAs, peerType, past(), config.hostName),
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
        if (session === undefined) return undefined;
        if (core.monitors.size > 0 && monitored !== undefined) {
          const copy = bytes.slice(offset, offset + length);
          for (const monitor of core.monitors) monitor.update(monitored, copy);
        }
        return core.intake.update(session, bytes, offset, length) ?? overLimit();
      },
      onRefresh(refresh) {
        const family = refresh.family === 'ipv4-unicast' ? 4 : refresh.family === 'ipv6-unicast' ? 6 : undefined;
        const group = family === undefined ? undefined : groups.get(family);
        if (family === undefined || group === undefined) return;
        if (refresh.subtype === 0) {
          core.emit({ type: 'refresh', peer: address, reason: `asked for ${refresh.family}` });
          tellAgain(family, group);
        } else if (refresh.subtype === 1) retention.refreshBegins(family);
        else if (refresh.subtype === 2) retention.refreshEnds(family);
      },
      onDrain: () => core.schedule(),
      onRead: (ms) => core.spend(ms, driver),
    },
  });

  /** Runs the import policy over everything that the peer sent. */
  const reimport = (): void => {
    if (session === undefined) return;
    const current = {
      ...session,
      importers: [importerOf(core.ribOf(4)), importerOf(core.ribOf(6))] as const,
      imported: [createVerdicts(), createVerdicts()] as const,
    };
    session = current;
    finishSweep();
    finishSweep = core.sweep(index, [4, 6], (rib, row) => {
      if ((rib.rowFlags[row]! & LONG_STALE) !== 0) return;
      const prefix = rib.rowPrefix[row]!;
      const next = core.intake.importSet(current, rib.rowIn[row]!, rib, prefix);
      const old = rib.rowAttr[row]!;
      if (next === old) {
        if (next >= 0) release(store, next);
        return;
      }
      rib.rowAttr[row] = next;
      if (old >= 0) release(store, old);
      settle(rib, prefix, rib.best[prefix] === row);
    });
  };

  return {
    address,
    options,
    dynamic: made.dynamic,
    index,
    driver,
    groups,
    get monitored() {
      return monitored;
    },
    status: () => ({
      name: options.name ?? address,
      address,
      asn: negotiated?.peerAsn ?? options.asn,
      kind,
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
      ...(bfdState === undefined ? {} : { bfd: bfdState }),
      backlog: driver.backlog(),
    }),
    defers() {
      if (made.dynamic || (options.shutdown !== undefined && options.shutdown !== false)) return false;
      // Who is not back within the restart time has dropped our routes: there is nothing left to keep by waiting.
      if (session === undefined) return withinRestart();
      return waitingForEnd.size > 0 && negotiated?.gracefulRestart?.restarting !== true;
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
    reimport,
    specOf,
    moved: (group) => void groups.set(group.rib.family, group),
    softReset() {
      for (const family of negotiated?.families ?? []) {
        if (negotiated?.routeRefresh === true) driver.write(encodeRouteRefresh(family));
        groups.get(familyNumber(family))?.refresh(index, () => undefined);
      }
      core.schedule();
    },
    shutdown(reason) {
      closed = true;
      if (reason === undefined) driver.abandon();
      else driver.stop(reason);
      for (const cancel of timers) cancel();
      timers.clear();
    },
    close(reason) {
      closed = true;
      driver.stop(reason);
      for (const cancel of timers) cancel();
      timers.clear();
      finishSweep();
      retention.close();
      leaveGroups();
      core.peers[index] = undefined;
      core.schedule();
    },
  };

  function keyOf(text: string): string {
    return isAddress(text)
      ? Array.from(addressToBytes(parseAddress(text)), (octet) => octet.toString(16).padStart(2, '0')).join('')
      : text;
  }
}

/** NOTIFICATION for an administrative shutdown with a reason in words (RFC 9003). */
export function shutdownNotification(
  message: string | undefined,
  subcode: number = CeaseError.adminShutdown,
): Notification {
  return notification(NotificationCode.cease, subcode, message === undefined ? undefined : shutdownData(message));
}

/** Canonical text of a peer's address, its zone kept. @throws SdkError `INVALID_OPTION` */
export function peerAddress(text: string, path: string): string {
  const [bare = '', zone] = text.split('%');
  try {
    return canonicalAddress(bare) + (zone === undefined ? '' : `%${zone}`);
  } catch (cause) {
    throw new SdkError(`${path}: ${JSON.stringify(text)} is no address`, {
      code: 'INVALID_OPTION',
      cause,
      details: { path },
    });
  }
}
