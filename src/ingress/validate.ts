/**
 * Which external and load-balancer addresses a Service may claim: strict, because whoever may create a Service could otherwise
 * take over any address of the network (CVE-2020-8554). No range configured means none is accepted.
 */
import { tryParseAddress } from '../net/address.ts';
import { contains, tryParsePrefix } from '../net/prefix.ts';
import type { Prefix } from '../net/prefix.ts';

/** Ranges in force. */
export interface AddressRules {
  readonly strict: boolean;
  readonly clusterIpRanges: readonly string[];
  readonly externalIpRanges: readonly string[];
  readonly loadBalancerIpRanges: readonly string[];
}

/** Says why an address may not be used; `undefined` when it may. */
export type AddressCheck = (address: string, kind: 'external' | 'loadbalancer') => string | undefined;

const prefixes = (texts: readonly string[]): readonly Prefix[] =>
  texts.flatMap((text) => tryParsePrefix(text.trim(), { hostBits: 'mask' }) ?? []);

/** Prepares the check for a set of ranges. */
export function createAddressCheck(rules: AddressRules): AddressCheck {
  const cluster = prefixes(rules.clusterIpRanges);
  const allowed = { external: prefixes(rules.externalIpRanges), loadbalancer: prefixes(rules.loadBalancerIpRanges) };
  return (text, kind) => {
    if (!rules.strict) return undefined;
    const address = tryParseAddress(text);
    if (address === undefined) return 'it is no address';
    const inside = cluster.findIndex((range) => contains(range, address));
    if (inside >= 0) return 'it lies in a cluster IP range';
    if (allowed[kind].length === 0) {
      return `no ${kind === 'external' ? 'external' : 'load-balancer'} IP range is configured`;
    }
    return allowed[kind].some((range) => contains(range, address)) ? undefined : 'it lies in no configured range';
  };
}
