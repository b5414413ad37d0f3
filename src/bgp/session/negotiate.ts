/**
 * What two OPENs settle: capabilities that we offer, and what follows from those of the peer.
 * Pure; the session driver sends what `offer` says and judges with `negotiate`.
 */
import type { Capability, Family, Notification, Open, PeerType, Role } from '../message/types.ts';
import { AS_TRANS, NotificationCode, OpenError } from '../message/constants.ts';
import { capabilityCode } from '../message/capability.ts';
import { openAsn } from '../message/open.ts';
import type { SessionOptions, UnicastFamily } from '../model.ts';

/** Both families, in the order in which they are offered. */
export const FAMILIES: readonly UnicastFamily[] = ['ipv4-unicast', 'ipv6-unicast'];

/** What a session is offered with. */
export interface LocalOpen {
  readonly asn: number;
  readonly routerId: number;
  /** Seconds. */
  readonly holdTime: number;
  readonly capabilities: readonly Capability[];
}

/** What is in force on an established session. */
export interface Negotiated {
  readonly peerAsn: number;
  readonly peerRouterId: number;
  /** Seconds; 0: no keepalives. */
  readonly holdTime: number;
  readonly families: readonly UnicastFamily[];
  readonly fourOctetAs: boolean;
  readonly extendedMessages: boolean;
  readonly routeRefresh: boolean;
  readonly enhancedRefresh: boolean;
  /** Families in which we take, and send, path identifiers. */
  readonly addPathReceive: readonly UnicastFamily[];
  readonly addPathSend: readonly UnicastFamily[];
  readonly extendedNextHop: boolean;
  /** The peer's graceful restart capability, when both sides sent one. */
  readonly gracefulRestart:
    | {
        /** Seconds. */
        readonly restartTime: number;
        readonly restarting: boolean;
        readonly notification: boolean;
        /** Families whose routes the peer wants kept. */
        readonly families: readonly UnicastFamily[];
        /** Families whose forwarding the peer kept. */
        readonly forwarding: readonly UnicastFamily[];
        /** Long-lived staleness by family, when we offer it too (RFC 9494): seconds, and whether forwarding was kept. */
        readonly longLived: ReadonlyMap<UnicastFamily, { readonly staleTime: number; readonly forwarding: boolean }>;
      }
    | undefined;
  /** The peer knows LLGR_STALE (RFC 9494): it may be told of routes kept as last resort. */
  readonly longLivedAware: boolean;
  readonly peerRole: Role | undefined;
  readonly peerHostName: string;
  readonly capabilities: readonly Capability[];
}

/** What happened to us before a session. */
export interface Past {
  /** We restarted and hold back our routes until we know the peer's. */
  readonly restarting: boolean;
  /** Forwarding went on all the time: through our restart, or because only the session had ended. */
  readonly forwarding: boolean;
}

/** The capabilities to offer. `peerType` decides what makes sense. */
export function offer(
  options: SessionOptions,
  asn: number,
  peerType: PeerType,
  { restarting, forwarding }: Past,
  hostName?: string,
): Capability[] {
  const families = options.families ?? FAMILIES;
  const capabilities: Capability[] = families.map((family) => ({ type: 'multiprotocol', family }));
  capabilities.push({ type: 'route-refresh' }, { type: 'enhanced-route-refresh' }, { type: 'four-octet-as', asn });
  if (options.extendedMessages !== false) capabilities.push({ type: 'extended-message' });
  if (options.extendedNextHop === true && families.includes('ipv4-unicast')) {
    capabilities.push({ type: 'extended-next-hop', entries: [{ family: 'ipv4-unicast', nextHopAfi: 2 }] });
  }
  if (options.addPath !== undefined) {
    const mode = options.addPath;
    capabilities.push({ type: 'add-path', entries: families.map((family) => ({ family, mode })) });
  }
  const graceful = options.gracefulRestart;
  // Without the option we still help a restarting peer: an empty capability says that End-of-RIB is sent (RFC 4724 section 3).
  capabilities.push({
    type: 'graceful-restart',
    restarting: restarting && graceful !== undefined,
    notification: graceful !== undefined,
    restartTime: graceful?.restartTime ?? 0,
    families: graceful === undefined ? [] : families.map((family) => ({ family, forwarding })),
  });
  if ((graceful?.longLivedTime ?? 0) > 0) {
    const staleTime = graceful?.longLivedTime ?? 0;
    capabilities.push({
      type: 'long-lived-graceful-restart',
      entries: families.map((family) => ({ family, forwarding, staleTime })),
    });
  }
  if (options.role !== undefined && peerType === 'ebgp') capabilities.push({ type: 'role', role: options.role });
  if (hostName !== undefined) capabilities.push({ type: 'fqdn', hostName, domainName: '' });
  return capabilities;
}

/** An OPEN that cannot be accepted. */
export interface Refusal {
  readonly notification: Notification;
  readonly reason: string;
}

const ROLE_PAIRS: Readonly<Record<Role, Role>> = {
  provider: 'customer',
  customer: 'provider',
  rs: 'rs-client',
  'rs-client': 'rs',
  peer: 'peer',
};

function refuse(subcode: number, reason: string, data: Uint8Array = new Uint8Array(0)): Refusal {
  return { notification: { code: NotificationCode.open, subcode, data }, reason };
}

/** Judges a peer's OPEN (RFC 4271 section 6.2, RFC 5492, RFC 9234 section 4.2) and settles the session. */
export function negotiate(
  local: LocalOpen,
  open: Open,
  options: SessionOptions,
  asns: readonly number[],
): Negotiated | Refusal {
  const peerAsn = openAsn(open);
  const bad = Uint8Array.of(open.myAs >>> 8, open.myAs & 255);
  if (!asns.includes(peerAsn) || peerAsn === 0 || peerAsn === AS_TRANS)
    return refuse(OpenError.badPeerAs, `AS ${peerAsn} instead of ${asns.join(', ')}`, bad);
  // RFC 6286: equal identifiers are an error within an AS only.
  if (open.routerId === local.routerId && peerAsn === local.asn)
    return refuse(OpenError.badIdentifier, 'the peer has our own identifier');
  const theirs = open.capabilities;
  const find = <T extends Capability['type']>(type: T): Extract<Capability, { type: T }> | undefined =>
    theirs.find((one): one is Extract<Capability, { type: T }> => one.type === type);
  const ours = <T extends Capability['type']>(type: T): Extract<Capability, { type: T }> | undefined =>
    local.capabilities.find((one): one is Extract<Capability, { type: T }> => one.type === type);

  const offered = options.families ?? FAMILIES;
  const claimed: Family[] = theirs.flatMap((one) => (one.type === 'multiprotocol' ? [one.family] : []));
  // Without any multiprotocol capability IPv4 unicast is meant (RFC 4760 section 8).
  if (claimed.length === 0) claimed.push('ipv4-unicast');
  const families = offered.filter((family) => claimed.includes(family));
  if (families.length === 0) {
    return refuse(OpenError.unsupportedCapability, `no family in common: the peer has ${claimed.join(', ')}`);
  }
  const peerRole = find('role')?.role;
  const roles = new Set(theirs.flatMap((one) => (one.type === 'role' ? [one.role] : [])));
  if (options.role !== undefined && peerAsn !== local.asn) {
    if (roles.size > 1) return refuse(OpenError.roleMismatch, 'the peer sent several roles');
    if (peerRole === undefined && options.strictRole === true)
      return refuse(OpenError.roleMismatch, 'the peer sent no role');
    if (peerRole !== undefined && ROLE_PAIRS[options.role] !== peerRole) {
      return refuse(OpenError.roleMismatch, `the peer is ${peerRole} and we are ${options.role}`);
    }
  }
  const both = (type: Capability['type']): boolean =>
    find(type as 'route-refresh') !== undefined && ours(type as 'route-refresh') !== undefined;
  const paths = (direction: 'receive' | 'send'): UnicastFamily[] => {
    const opposite = direction === 'receive' ? 'send' : 'receive';
    return families.filter((family) => {
      const mine = ours('add-path')?.entries.find((entry) => entry.family === family)?.mode;
      const their = find('add-path')?.entries.find((entry) => entry.family === family)?.mode;
      return (mine === direction || mine === 'both') && (their === opposite || their === 'both');
    });
  };
  const graceful = find('graceful-restart');
  const longLived = new Map<UnicastFamily, { readonly staleTime: number; readonly forwarding: boolean }>();
  if (ours('long-lived-graceful-restart') !== undefined) {
    for (const { family, staleTime, forwarding } of find('long-lived-graceful-restart')?.entries ?? []) {
      if (families.includes(family as UnicastFamily)) longLived.set(family as UnicastFamily, { staleTime, forwarding });
    }
  }
  const holdTime = Math.min(local.holdTime, open.holdTime);
  return {
    peerAsn,
    peerRouterId: open.routerId,
    holdTime,
    families,
    fourOctetAs: both('four-octet-as'),
    extendedMessages: both('extended-message'),
    routeRefresh: both('route-refresh'),
    enhancedRefresh: both('enhanced-route-refresh'),
    addPathReceive: paths('receive'),
    addPathSend: paths('send'),
    extendedNextHop:
      ours('extended-next-hop') !== undefined &&
      (find('extended-next-hop')?.entries.some((entry) => entry.family === 'ipv4-unicast' && entry.nextHopAfi === 2) ??
        false),
    gracefulRestart:
      graceful === undefined
        ? undefined
        : {
            restartTime: graceful.restartTime,
            restarting: graceful.restarting,
            notification: graceful.notification && (ours('graceful-restart')?.notification ?? false),
            families: families.filter((family) => graceful.families.some((one) => one.family === family)),
            forwarding: families.filter((family) =>
              graceful.families.some((one) => one.family === family && one.forwarding),
            ),
            longLived,
          },
    // Alone the capability counts for nothing (RFC 9494 section 3.1).
    longLivedAware: graceful !== undefined && find('long-lived-graceful-restart') !== undefined,
    peerRole,
    peerHostName: find('fqdn')?.hostName ?? '',
    capabilities: [...theirs].sort((a, b) => capabilityCode(a) - capabilityCode(b)),
  };
}
