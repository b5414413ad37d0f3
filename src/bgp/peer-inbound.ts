/**
 * What comes from a peer: how its UPDATEs are read, the import policy, End-of-RIB, how many prefixes it may send.
 * One of a peer's two directions; peer-runtime.ts opens it with the session and closes it with the session.
 */
import { addressToBytes, isAddress, parseAddress } from '../net/index.ts';
import { CeaseError, NotificationCode } from './message/constants.ts';
import { notification } from './message/notification.ts';
import type { Finding, Notification } from './message/types.ts';
import type { PeerFacts } from './peer-facts.ts';
import type { PeerRuntimeOptions, PeerSettings } from './peer-types.ts';
import { createImporter } from './policy/importer.ts';
import { release } from './rib/attribute-store.ts';
import type { PolicyHook } from './rib/group-types.ts';
import { createVerdicts } from './rib/import-verdicts.ts';
import type { IntakeSession, Reset } from './rib/intake-types.ts';
import type { Rib } from './rib/table.ts';
import { LONG_STALE, settle } from './rib/table.ts';
import { familyNumber } from './retention.ts';
import type { Negotiated } from './session/negotiate.ts';
import type { Connection } from './session/transport.ts';

/** What comes from one peer. */
export interface Inbound {
  /** Families whose End-of-RIB has not come yet. */
  readonly waiting: ReadonlySet<4 | 6>;
  up(negotiated: Negotiated, connection: Connection): void;
  down(): void;
  /** Takes an UPDATE; returns what ends the session, if anything. */
  update(bytes: Uint8Array, offset: number, length: number): Reset | undefined;
  /** Runs the import policy of now over everything that the peer sent. */
  reimport(): void;
  /** Runs it over one path that the peer sent. */
  reimportRow(rib: Rib, row: number): void;
  /** Whether the peer keeps to its limit of prefixes; told to the handlers when not. */
  checkLimit(): void;
  /** Ends what still runs over several turns. */
  finish(): void;
}

/** Who is told. */
export interface InboundHandlers {
  onEndOfRib(family: 4 | 6): void;
  /** The peer sent more than it may: the session is to end with this. */
  onTooMany(cease: Notification, reason: string): void;
}

let contextCount = 0;

/** Makes an {@link Inbound}. */
export function createInbound(
  made: PeerRuntimeOptions,
  facts: PeerFacts,
  options: () => PeerSettings,
  handlers: InboundHandlers,
): Inbound {
  const { core, address, policies } = made;
  const { index, type } = facts;
  const waiting = new Set<4 | 6>();
  let session: IntakeSession | undefined;
  let peerAsn = options().asn;
  let finishSweep: () => void = () => undefined;

  const importerOf = (rib: Rib): PolicyHook | undefined => {
    const { importPolicy, gracefulShutdown, role } = options();
    return createImporter({
      store: core.store,
      rib,
      policy: facts.hookOf(importPolicy ?? policies.importPolicy, rib, 'import', peerAsn),
      gracefulShutdown: type === 'ebgp' && gracefulShutdown !== false,
      role: type === 'ebgp' ? role : undefined,
      peerAsn,
    });
  };
  const importing = (): Pick<IntakeSession, 'importers' | 'imported'> => ({
    importers: [importerOf(core.ribOf(4)), importerOf(core.ribOf(6))],
    imported: [createVerdicts(), createVerdicts()],
  });

  const ownNextHops = (local: string): ReadonlySet<string> => {
    const keys = new Set<string>();
    const siblings = made.transport.siblings(local);
    for (const text of [local, siblings.ipv4, siblings.ipv6]) {
      if (text !== undefined && isAddress(text)) keys.add(String.fromCharCode(...addressToBytes(parseAddress(text))));
    }
    return keys;
  };

  const onFindings = (findings: readonly Finding[]): void => {
    const [first] = findings;
    if (first !== undefined)
      core.emit({ type: 'malformed', peer: address, reason: first.reason, details: { findings } });
  };

  const checkLimit = (): void => {
    const limit = options().maxPrefixes;
    if (limit === undefined || session === undefined) return;
    for (const rib of core.ribs) {
      const count = rib.peerRows[index] ?? 0;
      if (count <= limit.limit) continue;
      core.emit({ type: 'max-prefixes', peer: address, reason: `${count} prefixes, ${limit.limit} allowed` });
      if (limit.warnOnly === true) return;
      // RFC 4486 section 4: AFI, SAFI, upper bound.
      const data = new Uint8Array(7);
      const view = new DataView(data.buffer);
      view.setUint16(0, rib.family === 4 ? 1 : 2);
      data[2] = 1;
      view.setUint32(3, limit.limit);
      // The rest of the input at hand changes nothing any more.
      session = undefined;
      handlers.onTooMany(
        notification(NotificationCode.cease, CeaseError.maxPrefixes, data),
        `more than ${limit.limit} prefixes`,
      );
      return;
    }
  };

  const reimportRow = (rib: Rib, row: number): void => {
    if (session === undefined || (rib.rowFlags[row]! & LONG_STALE) !== 0) return;
    const prefix = rib.rowPrefix[row]!;
    const next = core.intake.importSet(session, rib.rowIn[row]!, rib, prefix);
    const old = rib.rowAttr[row]!;
    if (next === old) {
      if (next >= 0) release(core.store, next);
      return;
    }
    rib.rowAttr[row] = next;
    if (old >= 0) release(core.store, old);
    settle(rib, prefix, rib.best[prefix] === row);
  };

  return {
    waiting,
    up(settled, opened) {
      finishSweep();
      peerAsn = settled.peerAsn;
      session = {
        peer: index,
        kind: type,
        context: {
          fourOctetAs: settled.fourOctetAs,
          peerType: type,
          families: settled.families,
          addPath: settled.addPathReceive,
          extendedNextHop: settled.extendedNextHop ? ['ipv4-unicast'] : [],
        },
        contextId: (++contextCount << 8) | 1,
        ipv4: settled.families.includes('ipv4-unicast'),
        ipv6: settled.families.includes('ipv6-unicast'),
        addPath4: settled.addPathReceive.includes('ipv4-unicast'),
        addPath6: settled.addPathReceive.includes('ipv6-unicast'),
        firstAs: type === 'ebgp' && options().enforceFirstAs !== false ? settled.peerAsn : 0,
        ownNextHops: ownNextHops(opened.localAddress),
        ...importing(),
        onFindings,
        onEndOfRib(family) {
          if (waiting.delete(family)) handlers.onEndOfRib(family);
        },
      };
      waiting.clear();
      if (settled.gracefulRestart !== undefined)
        for (const family of settled.families) waiting.add(familyNumber(family));
    },
    down() {
      session = undefined;
    },
    update(bytes, offset, length) {
      if (session === undefined) return undefined;
      const reset = core.intake.update(session, bytes, offset, length);
      if (reset === undefined) checkLimit();
      return reset;
    },
    reimport() {
      if (session === undefined) return;
      session = { ...session, ...importing() };
      finishSweep();
      finishSweep = core.sweep(index, [4, 6], reimportRow);
    },
    reimportRow,
    checkLimit,
    finish: () => finishSweep(),
  };
}
