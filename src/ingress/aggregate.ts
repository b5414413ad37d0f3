/**
 * Fewer, wider announcements in place of many host routes, where that draws no traffic to a node that cannot serve it.
 * An aggregate says "any address in here", so an address that only some nodes can serve (traffic policy Local) keeps its host route
 * beside it: the longest prefix leads its traffic to those nodes alone.
 * Pure, over the finished list of advertisements: pod CIDRs of one node go through it as well.
 */
import { contains, formatPrefix, parsePrefix, tryParsePrefix } from '../net/prefix.ts';
import type { Prefix } from '../net/prefix.ts';
import type { Advertisement, Issue } from '../net/values.ts';

/** One prefix to announce in place of what lies inside it. */
export interface AggregateConfig {
  /** Canonical prefix, longer than /0. */
  readonly prefix: string;
  /** Which advertisements it stands for. @defaultValue 'vip' */
  readonly origin?: Advertisement['origin'];
}

/** What {@link aggregate} takes. */
export interface AggregateInput {
  readonly advertisements: readonly Advertisement[];
  readonly aggregates: readonly AggregateConfig[];
  /**
   * Whether every node that may draw the aggregate's traffic can serve this advertisement too: VIPs of policy Cluster and pod CIDRs of
   * this node. Whatever it denies keeps its own announcement.
   */
  everywhere(advertisement: Advertisement): boolean;
}

/** Aggregated advertisements. */
export interface AggregateOutput {
  readonly advertisements: readonly Advertisement[];
  readonly issues: readonly Issue[];
}

/** What must be equal for one announcement to speak for another. */
const manner = (one: Advertisement): string => JSON.stringify([one.nextHop ?? '', one.attributes ?? {}]);

/**
 * Replaces advertisements by the aggregates that hold them. Those that must stay reachable on their own, and those whose attributes or
 * next hop differ from the others', stay beside the aggregate.
 */
export function aggregate(input: AggregateInput): AggregateOutput {
  const issues: Issue[] = [];
  const configs: { readonly prefix: Prefix; readonly text: string; readonly origin: Advertisement['origin'] }[] = [];
  input.aggregates.forEach(({ prefix: text, origin = 'vip' }, index) => {
    const prefix = tryParsePrefix(text);
    if (prefix === undefined || prefix.length === 0) {
      issues.push({
        object: 'Aggregates',
        field: `[${index}].prefix`,
        reason: `"${text}" is no prefix longer than /0; it was left out`,
      });
    } else configs.push({ prefix, text: formatPrefix(prefix), origin });
  });
  // Of nested aggregates the widest stands for what it holds.
  configs.sort((a, b) => a.prefix.length - b.prefix.length);
  const kept: Advertisement[] = [];
  const members = new Map<string, Advertisement[]>();
  for (const one of input.advertisements) {
    const inner = parsePrefix(one.prefix);
    const config = configs.find(({ prefix, origin }) => origin === one.origin && contains(prefix, inner));
    if (config === undefined || !input.everywhere(one)) kept.push(one);
    else members.set(config.text, [...(members.get(config.text) ?? []), one]);
  }
  const made: Advertisement[] = [];
  for (const [text, list] of members) {
    // The manner that most members have is the aggregate's; ties go to the first in text order, so that all nodes decide alike.
    const byManner = new Map<string, Advertisement[]>();
    for (const one of list) byManner.set(manner(one), [...(byManner.get(manner(one)) ?? []), one]);
    const [lead] = [...byManner].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1));
    const first = lead?.[1][0];
    if (first === undefined) continue;
    kept.push(...list.filter((one) => manner(one) !== lead?.[0] && one.prefix !== text));
    made.push({
      prefix: text,
      ...(first.nextHop === undefined ? {} : { nextHop: first.nextHop }),
      ...(first.attributes === undefined ? {} : { attributes: first.attributes }),
      origin: first.origin,
      owners: [...new Set((lead?.[1] ?? []).flatMap((one) => one.owners ?? []))].sort(),
    });
  }
  return { advertisements: [...made, ...kept], issues };
}
