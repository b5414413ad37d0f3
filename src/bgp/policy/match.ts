/**
 * Building blocks of policies: conditions, rules and lists of rules that know what they look at, so that a policy of attributes alone is
 * asked once a set of attributes.
 * Stands on types.ts; pure, testable without a session.
 */
import type { Prefix } from '../../net/index.ts';
import { contains, parsePrefix } from '../../net/index.ts';
import { parseCommunity } from '../message/attributes/communities.ts';
import type { Policy, PolicyContext, PolicyRoute, Verdict } from './types.ts';

/** A condition on routes. */
export interface Match {
  readonly readsPrefix: boolean;
  readonly readsPeer: boolean;
  /** Whether a route fits. */
  test(route: PolicyRoute, context: PolicyContext): boolean;
}

const byAttributes = (test: Match['test']): Match => ({ readsPrefix: false, readsPeer: false, test });

/** Routes within a prefix, of lengths from `ge` to `le`. @defaultValue exactly the prefix's length */
export interface PrefixRange {
  readonly prefix: string;
  readonly ge?: number;
  readonly le?: number;
}

/** Matches prefixes in any of the ranges. @throws SdkError `INVALID_PREFIX` */
export function prefixIn(ranges: readonly PrefixRange[]): Match {
  const read = ranges.map(({ prefix, ge, le }) => {
    const parsed = parsePrefix(prefix);
    return { parsed, low: ge ?? parsed.length, high: le ?? ge ?? parsed.length };
  });
  return {
    readsPrefix: true,
    readsPeer: false,
    test(route) {
      const { length, ...address }: Prefix = parsePrefix(route.prefix);
      return read.some(
        ({ parsed, low, high }) =>
          length >= low && length <= high && length >= parsed.length && contains(parsed, address),
      );
    },
  };
}

/** Matches routes that carry a community, as `ASN:value` or by a well-known name. */
export function hasCommunity(text: string): Match {
  const value = parseCommunity(text);
  return byAttributes((route) => value !== undefined && (route.attributes.communities?.includes(value) ?? false));
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

/** Matches when all do. */
export function all(...parts: readonly Match[]): Match {
  return {
    readsPrefix: parts.some((part) => part.readsPrefix),
    readsPeer: parts.some((part) => part.readsPeer),
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
    evaluate: (route, context) => rules.find(({ when }) => when.test(route, context))?.then ?? otherwise,
  };
}
