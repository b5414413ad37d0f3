/**
 * What goes to a peer: its update groups, what next hop self is on its session, answers to route refresh.
 * One of a peer's two directions; peer-runtime.ts opens it with the session and closes it with the session.
 */
import { addressToBytes, isAddress, parseAddress } from '../net/index.ts';
import type { GroupSpec } from './exports.ts';
import { encodeRouteRefresh } from './message/refresh.ts';
import { encodeEndOfRib } from './message/update.ts';
import type { UnicastFamily } from './model.ts';
import type { PeerFacts } from './peer-facts.ts';
import type { PeerRuntimeOptions, PeerSettings } from './peer-types.ts';
import type { Policy } from './policy/types.ts';
import { narrowAsNumbers } from './rib/attributes.ts';
import type { ExportSettings } from './rib/export-attributes.ts';
import type { ExportGroup } from './rib/group-types.ts';
import type { SessionDriver } from './session/driver-types.ts';
import { familyNumber } from './retention.ts';
import type { Negotiated } from './session/negotiate.ts';
import type { Connection } from './session/transport.ts';

/** What goes to one peer. */
export interface Outbound {
  readonly groups: ReadonlyMap<4 | 6, ExportGroup>;
  up(negotiated: Negotiated, connection: Connection): void;
  down(): void;
  /** What its update group of a family is to be. */
  specOf(family: 4 | 6): GroupSpec;
  /** It sits in another group now. */
  moved(group: ExportGroup): void;
  /** Answers a route refresh. */
  tellAgain(family: 4 | 6, group: ExportGroup): void;
}

const familyName = (family: 4 | 6): UnicastFamily => (family === 4 ? 'ipv4-unicast' : 'ipv6-unicast');

let policyCount = 0;
const policyIds = new WeakMap<Policy, number>();
function policyId(policy: Policy): number {
  let id = policyIds.get(policy);
  if (id === undefined) policyIds.set(policy, (id = ++policyCount));
  return id;
}

/** Makes an {@link Outbound}. */
export function createOutbound(
  made: PeerRuntimeOptions,
  facts: PeerFacts,
  options: () => PeerSettings,
  driver: () => SessionDriver,
): Outbound {
  const { core, address, policies } = made;
  const { store } = core;
  const { index, type, kind } = facts;
  const groups = new Map<4 | 6, ExportGroup>();
  /** Families that the peer is being told again, and whether it has asked once more since. */
  const refreshing = new Map<4 | 6, boolean>();
  let negotiated: Negotiated | undefined;
  let local = '';

  /** Our own address for a family on this session: what next hop self says. */
  const selfHop = (family: 4 | 6): Uint8Array | undefined => {
    const { nextHop } = options();
    const own = family === 4 ? nextHop?.ipv4 : nextHop?.ipv6;
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

  const settingsOf = (family: 4 | 6): ExportSettings => {
    const { nextHopSelf, nextHopUnchanged, role, removePrivateAs } = options();
    return {
      kind,
      ownAs: facts.shownAs,
      clusterId: core.clusterId,
      nextHop: selfHop(family),
      nextHopSelf: nextHopSelf ?? false,
      nextHopUnchanged: nextHopUnchanged ?? false,
      extendedNextHop: negotiated?.extendedNextHop ?? false,
      longLived: negotiated?.longLivedAware ?? false,
      role: type === 'ebgp' ? role : undefined,
      removePrivateAs: removePrivateAs ?? false,
    };
  };

  const specOf = (family: 4 | 6): GroupSpec => {
    const rib = core.ribOf(family);
    const { exportPolicy, asn, addPathLimit } = options();
    const policy = exportPolicy ?? policies.exportPolicy;
    return {
      rib,
      settings: settingsOf(family),
      policy: facts.hookOf(policy, rib, 'export', negotiated?.peerAsn ?? asn),
      policyKey: policy === undefined ? '' : `${policyId(policy)}${policy.readsPeer === false ? '' : `/${address}`}`,
      translate: negotiated?.fourOctetAs === true ? undefined : (attr) => narrowAsNumbers(store, attr, family, type),
      maxLength: negotiated?.extendedMessages === true ? 65_535 : 4096,
      paths: negotiated?.addPathSend.includes(familyName(family)) === true ? (addPathLimit ?? 8) : 0,
    };
  };

  /** One answer at a time: a peer that asks without reading must not make us queue answers. */
  const tellAgain = (family: 4 | 6, group: ExportGroup): void => {
    if (refreshing.has(family)) {
      refreshing.set(family, true);
      return;
    }
    refreshing.set(family, false);
    const mark = (subtype: 1 | 2): void => {
      if (negotiated?.enhancedRefresh === true) driver().write(encodeRouteRefresh(familyName(family), subtype));
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

  return {
    groups,
    up(settled, opened) {
      negotiated = settled;
      local = opened.localAddress;
      for (const name of settled.families) {
        const family = familyNumber(name);
        const member = {
          peer: index,
          write: (bytes: Uint8Array) => driver().write(bytes),
          backlog: () => driver().backlog(),
          onSynced: () => driver().write(encodeEndOfRib(name)),
        };
        groups.set(family, core.exports.join(specOf(family), member));
      }
    },
    down() {
      for (const group of groups.values()) core.exports.leave(group, index);
      groups.clear();
      refreshing.clear();
    },
    specOf,
    moved: (group) => void groups.set(group.rib.family, group),
    tellAgain,
  };
}
