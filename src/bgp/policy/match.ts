/**
 * Building blocks of policies: conditions, rules and lists of rules that know what they look at, so that a policy of attributes alone is
 * asked once a set of attributes.
 * Stands on types.ts; pure, testable without a session.
 */
import { contains, parseAddress, parsePrefix } from '../../net/index.ts';
import { parseCommunity } from '../message/attributes/communities.ts';
import type { Role } from '../message/types.ts';
import type { PrefixRange, PrefixSet } from './prefix-set.ts';
import { createPrefixSet } from './prefix-set.ts';
import type { Policy, PolicyContext, PolicyRoute, Verdict } from './types.ts';

/** A condition on routes. */
export interface Match {
  readonly readsPrefix: boolean;
  readonly readsPeer: boolean;
  /** Sets that it looks into. */
  readonly sets?: readonly PrefixSet[];
  /** Whether a route fits. */
  test(route: PolicyRoute, context: PolicyContext): boolean;
}

const byAttributes = (test: Match['test']): Match => ({ readsPrefix: false, readsPeer: false, test });

/**
 * Matches prefixes in any of the ranges, or in a set that may change: routes that a change concerns are judged anew.
 * @throws SdkError `INVALID_PREFIX`
 */
export function prefixIn(ranges: readonly (string | PrefixRange)[] | PrefixSet): Match {
  const fixed = Array.isArray(ranges);
  const set = fixed ? createPrefixSet(ranges as readonly (string | PrefixRange)[]) : (ranges as PrefixSet);
  return {
    readsPrefix: true,
    readsPeer: false,
    sets: fixed ? [] : [set],
    test: (route) => set.has(route.prefix),
  };
}

/** Matches routes by their next hop: an address within one of the prefixes. @throws SdkError `INVALID_PREFIX` */
export function nextHopIn(prefixes: readonly string[]): Match {
  const read = prefixes.map((prefix) => parsePrefix(prefix));
  return byAttributes(({ nextHop }) => {
    if (nextHop === '') return false;
    const address = parseAddress(nextHop);
    return read.some((prefix) => prefix.family === address.family && contains(prefix, address));
  });
}

/** Matches routes that carry a community, as `ASN:value` or by a well-known name. */
export function hasCommunity(text: string): Match {
  const value = parseCommunity(text);
  return byAttributes((route) => value !== undefined && (route.attributes.communities?.includes(value) ?? false));
}

/** Matches routes that carry a large community (RFC 8092), as `global:local1:local2`. */
export function hasLargeCommunity(text: string): Match {
  const parts = text.split(':').map(Number);
  return byAttributes(
    ({ attributes: { largeCommunities = [] } }) =>
      parts.length === 3 && largeCommunities.some((one) => parts.every((part, at) => part === one[at])),
  );
}

/** Matches AS paths, written as numbers with spaces between, by a regular expression. */
export function asPathMatches(pattern: RegExp): Match {
  return byAttributes((route) => pattern.test((route.attributes.asPath ?? []).flatMap(({ asns }) => asns).join(' ')));
}

/** Matches routes originated here for one of these purposes. */
export function hasOrigin(...origins: readonly NonNullable<PolicyRoute['origin']>[]): Match {
  return byAttributes((route) => route.origin !== undefined && origins.includes(route.origin));
}

/** Matches routes by the kind of peer that they came from. */
export function fromKind(...kinds: readonly PolicyRoute['source']['kind'][]): Match {
  return byAttributes((route) => kinds.includes(route.source.kind));
}

/** Matches by the peer that the policy is applied for. */
export function peerIs(...kinds: readonly PolicyContext['peer']['kind'][]): Match {
  return { readsPrefix: false, readsPeer: true, test: (_route, { peer }) => kinds.includes(peer.kind) };
}

/** Matches by our role towards the peer that the policy is applied for (RFC 9234). */
export function roleIs(...roles: readonly Role[]): Match {
  const test: Match['test'] = (_route, { peer }) => peer.role !== undefined && roles.includes(peer.role);
  return { readsPrefix: false, readsPeer: true, test };
}

/** Matches when all do. */
export function all(...parts: readonly Match[]): Match {
  return {
    readsPrefix: parts.some((part) => part.readsPrefix),
    readsPeer: parts.some((part) => part.readsPeer),
    sets: parts.flatMap(({ sets = [] }) => sets),
    test: (route, context) => parts.every((part) => part.test(route, context)),
  };
}

/** Matches when one does. */
export function any(...parts: readonly Match[]): Match {
  return { ...all(...parts), test: (route, context) => parts.some((part) => part.test(route, context)) };
}

/** Matches when the other does not. */
export function not(part: Match): Match {
  return { ...part, test: (route, context) => !part.test(route, context) };
}

/** A condition and what follows from it. */
export interface PolicyRule {
  readonly when: Match;
  readonly then: Verdict;
}

/**
 * A policy of rules: the first that matches decides, else `otherwise`.
 * @example
 * ```ts
 * import { createPolicy, hasCommunity, prefixIn } from 'kube-router-sdk/bgp';
 *
 * const importPolicy = createPolicy(
 *   [
 *     { when: hasCommunity('65001:666'), then: false },
 *     { when: prefixIn([{ prefix: '10.0.0.0/8', ge: 16, le: 24 }]), then: { localPref: 200 } },
 *   ],
 *   false,
 * );
 * console.log(importPolicy.readsPrefix, importPolicy.readsPeer); // true false
 * ```
 */
export function createPolicy(rules: readonly PolicyRule[], otherwise: Verdict = true): Policy {
  return {
    readsPrefix: rules.some(({ when }) => when.readsPrefix),
    readsPeer: rules.some(({ when }) => when.readsPeer),
    sets: [...new Set(rules.flatMap(({ when: { sets = [] } }) => sets))],
    evaluate: (route, context) => rules.find(({ when }) => when.test(route, context))?.then ?? otherwise,
  };
}
