/**
 * Which external and load-balancer addresses of a Service may be served here. Whoever may edit a Service could otherwise take
 * over any address for this node's traffic (CVE-2020-8554), so without a configured range none is accepted. Pure.
 */
import { tryParseAddress } from '../../net/address.ts';
import { contains } from '../../net/prefix.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { ServiceObject } from '../../objects/types.ts';
import type { Complain } from './annotations.ts';
import type { ResolvedOptions } from './options.ts';

/** Whether an address lies in one of the prefixes. */
export function inside(address: string, prefixes: readonly Prefix[]): boolean {
  if (prefixes.length === 0) return false;
  const parsed = tryParseAddress(address);
  return parsed !== undefined && prefixes.some((prefix) => contains(prefix, parsed));
}

function accepted(
  addresses: readonly { readonly address: string; readonly field: string }[],
  ranges: readonly Prefix[],
  flag: string,
  options: ResolvedOptions,
  complain: Complain,
): string[] {
  const kept = new Set<string>();
  for (const { address, field } of addresses) {
    if (options.strictExternalIps) {
      if (inside(address, options.clusterIpRanges)) {
        complain(field, `${address} lies in the cluster IP range; it is not served`);
        continue;
      }
      if (!inside(address, ranges)) {
        complain(field, `${address} lies in no range of ${flag}; it is not served`);
        continue;
      }
    }
    kept.add(address);
  }
  return [...kept];
}

/** `spec.externalIPs` that are served. */
export function externalAddresses(service: ServiceObject, options: ResolvedOptions, complain: Complain): string[] {
  const list = service.externalIPs.map((address, index) => ({ address, field: `spec.externalIPs[${index}]` }));
  return accepted(list, options.externalIpRanges, '--service-external-ip-range', options, complain);
}

/** Load-balancer addresses of mode VIP that are served. */
export function loadBalancerAddresses(service: ServiceObject, options: ResolvedOptions, complain: Complain): string[] {
  if (service.type !== 'LoadBalancer') return [];
  const list = service.ingress.flatMap(({ ip, ipMode }, index) =>
    ipMode === 'VIP' ? [{ address: ip, field: `status.loadBalancer.ingress[${index}].ip` }] : [],
  );
  return accepted(list, options.loadBalancerRanges, '--loadbalancer-ip-range', options, complain);
}
