/**
 * What a peer is to us, from configuration alone: kind, numbers, distance, how its policies are asked.
 * Stands under both directions of a peer.
 */
import { SdkError, addressToBytes, canonicalAddress, isAddress, parseAddress } from '../net/index.ts';
import type { PeerType } from './message/types.ts';
import { createHook } from './policy/hook.ts';
import type { Policy } from './policy/types.ts';
import type { PeerRuntimeOptions, PeerSettings } from './peer-types.ts';
import type { PolicyHook } from './rib/group-types.ts';
import type { Rib, RibPeer } from './rib/table.ts';

/** What does not change while a peer lives. */
export interface PeerFacts {
  readonly index: number;
  /** Address without its zone. */
  readonly bare: string;
  readonly type: PeerType;
  readonly kind: PeerType | 'ibgp-client';
  /** Our AS number as the peer sees it. */
  readonly shownAs: number;
  /** More than one hop away. */
  readonly far: boolean;
  /** The peer as the RIB knows it. */
  ribPeer(routerId: number): RibPeer;
  /** A policy as it is asked for this peer. */
  hookOf(policy: Policy | undefined, rib: Rib, direction: 'import' | 'export', asn: number): PolicyHook | undefined;
}

/** Establishes a peer's {@link PeerFacts}. */
export function factsOf(made: PeerRuntimeOptions, settings: () => PeerSettings): PeerFacts {
  const { core, config, options, address, sourceOf } = made;
  const members = config.confederation?.members ?? [];
  const type: PeerType = options.asn === core.asn ? 'ibgp' : members.includes(options.asn) ? 'confed' : 'ebgp';
  const kind: PeerFacts['kind'] = type === 'ibgp' && options.routeReflectorClient === true ? 'ibgp-client' : type;
  const bare = address.replace(/%.*$/, '');
  const index = core.newIndex();
  const ownAs = options.localAsn ?? core.asn;
  const addressKey = isAddress(bare)
    ? Array.from(addressToBytes(parseAddress(bare)), (octet) => octet.toString(16).padStart(2, '0')).join('')
    : bare;
  return {
    index,
    bare,
    type,
    kind,
    shownAs: type === 'ebgp' && config.confederation !== undefined ? config.confederation.id : ownAs,
    far: options.multihop === undefined ? type === 'ibgp' : options.multihop !== false,
    ribPeer: (routerId) => ({ index, kind, routerId, addressKey }),
    hookOf(policy, rib, direction, asn) {
      if (policy === undefined) return undefined;
      const { name = address, role } = settings();
      const peer = { address: bare, asn, kind, name, ...(role === undefined ? {} : { role }) };
      const context = { direction, peer };
      return createHook({ policy, store: core.store, table: rib.prefixes, context, sourceOf });
    },
  };
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
