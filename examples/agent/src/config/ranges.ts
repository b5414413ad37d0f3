/**
 * Which addresses a Service of type LoadBalancer may have: the ranges of the flag, and whatever the pools of the file give out. An
 * address from a pool that the flag does not name would otherwise be given and then neither served nor announced.
 */
import { formatPrefix, intervalsFromRanges, toPrefixes, tryParseRange } from 'kube-router-sdk/net';
import type { Config } from './load.ts';

/** Canonical prefixes, those of the flag first. */
export function loadBalancerRanges({ flags, pools }: Pick<Config, 'flags' | 'pools'>): readonly string[] {
  const ranges = pools.flatMap((pool) => [...(pool.cidrs ?? []), ...(pool.ranges ?? [])]);
  const parsed = ranges.flatMap((text) => tryParseRange(text) ?? []);
  const ofPools = ([4, 6] as const).flatMap((family) =>
    toPrefixes(
      intervalsFromRanges(
        family,
        parsed.filter(({ first }) => first.family === family),
      ),
    ).map(formatPrefix),
  );
  return [...new Set([...flags['loadbalancer-ip-range'], ...ofPools])];
}
