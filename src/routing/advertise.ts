/**
 * What a node says of its own pods: its pod CIDRs, each with the node's best address of that family as next hop.
 * Pure; the agent joins this with what ingress announces.
 */
import { textFamily } from '../net/address.ts';
import type { Advertisement, Family } from '../net/values.ts';
import type { NodeObject } from '../objects/types.ts';
import { nodeFacts } from './compile/node.ts';

/** Advertisements of a node's pod CIDRs of the enabled families. */
export function advertisements(node: NodeObject, families: readonly Family[] = [4]): readonly Advertisement[] {
  const facts = nodeFacts(node);
  return facts.podCidrs.flatMap((prefix): Advertisement[] => {
    const family = textFamily(prefix);
    const nextHop = facts.best[family];
    if (!families.includes(family)) return [];
    return [
      { prefix, ...(nextHop === undefined ? {} : { nextHop }), origin: 'pod-cidr', owners: [`Node ${node.name}`] },
    ];
  });
}
