/**
 * What happens to a route between Adj-RIB-In and the decision: roles (RFC 9234), GRACEFUL_SHUTDOWN (RFC 8326), then the policy.
 * When none of them is in use there is no hook, and an imported set is the set received.
 */
import { keepAttributes, readAttributes } from '../rib/attributes.ts';
import type { AttributeStore, Tag } from '../rib/attribute-store.ts';
import { nextHopBytes, release, retain } from '../rib/attribute-store.ts';
import type { PolicyHook } from '../rib/group-types.ts';
import type { Rib } from '../rib/table.ts';
import type { Role } from '../message/types.ts';

/** What an importer is made from. */
export interface ImporterOptions {
  readonly store: AttributeStore;
  readonly rib: Rib;
  readonly policy: PolicyHook | undefined;
  /** Lowers routes that carry GRACEFUL_SHUTDOWN to LOCAL_PREF 0. */
  readonly gracefulShutdown: boolean;
  /** Our role towards the peer. */
  readonly role: Role | undefined;
  readonly peerAsn: number;
}

/** Makes the hook; undefined when there is nothing to do. */
export function createImporter({
  store,
  rib,
  policy,
  gracefulShutdown,
  role,
  peerAsn,
}: ImporterOptions): PolicyHook | undefined {
  if (policy === undefined && !gracefulShutdown && role === undefined) return undefined;

  /** RFC 9234 section 5: -1 a leak, else the set with ONLY_TO_CUSTOMER where it belongs. */
  const checkRole = (attr: number): number => {
    const otc = store.otc[attr]!;
    if (role === undefined) return attr;
    if (otc !== 0) {
      if (role === 'provider' || role === 'rs') return -1;
      if (role === 'peer' && otc !== peerAsn) return -1;
      return attr;
    }
    if (role === 'provider' || role === 'rs') return attr;
    return keepAttributes(
      store,
      { ...readAttributes(store, attr), otc: peerAsn },
      nextHopBytes(store, attr),
      rib.family,
      store.tag[attr] as Tag,
    );
  };

  return {
    readsPrefix: policy?.readsPrefix ?? false,
    sets: policy?.sets ?? [],
    keepMed: false,
    evaluate(attr, prefix, sourcePeer) {
      let now = checkRole(attr);
      if (now < 0) return -1;
      if (now === attr) retain(store, attr);
      if (gracefulShutdown && (store.wellKnown[now]! & 8) !== 0) {
        const changed = { ...readAttributes(store, now), localPref: 0 };
        const lowered = keepAttributes(store, changed, nextHopBytes(store, now), rib.family, store.tag[now] as Tag);
        release(store, now);
        now = lowered;
        if (now < 0) return -1;
      }
      if (policy === undefined) return now;
      const result = policy.evaluate(now, prefix, sourcePeer);
      release(store, now);
      return result;
    },
  };
}
