/**
 * What routing needs of a Node object: its addresses by family and its pod CIDRs, annotations included.
 * The one place that knows which of `kube-router.io/pod-cidr`, `pod-cidrs` and the spec wins.
 */
import { tryParseAddress, formatAddress } from '../../net/address.ts';
import { formatPrefix, tryParsePrefix } from '../../net/prefix.ts';
import type { Family, Issue } from '../../net/values.ts';
import type { NodeObject } from '../../objects/types.ts';
import { textFamily } from '../model.ts';

/** Annotation keys of a Node that pod networking reads. */
export const nodeAnnotations = {
  podCidrs: 'kube-router.io/pod-cidrs',
  podCidr: 'kube-router.io/pod-cidr',
  wireguardKey: 'kube-router.io/wireguard.public-key',
} as const;

/** A Node, reduced. */
export interface NodeFacts {
  readonly name: string;
  /** First InternalIP whatever its family, else first ExternalIP; absent: the node cannot be reached. */
  readonly primary?: string;
  /** Per family: first InternalIP, else first ExternalIP. */
  readonly best: Readonly<Partial<Record<Family, string>>>;
  /** Internal and external addresses. */
  readonly addresses: readonly string[];
  /** Canonical. */
  readonly podCidrs: readonly string[];
  /** WireGuard public key (base64). */
  readonly wireguardKey?: string;
  readonly issues: readonly Issue[];
}

function annotatedCidrs(node: NodeObject, key: string, issues: Issue[]): readonly string[] | undefined {
  const text = node.annotations[key];
  if (text === undefined || text.trim() === '') return undefined;
  const found: string[] = [];
  for (const part of text.split(',')) {
    const prefix = tryParsePrefix(part.trim(), { hostBits: 'mask' });
    if (prefix !== undefined) found.push(formatPrefix(prefix));
    else {
      issues.push({
        object: `Node ${node.name}`,
        field: `metadata.annotations["${key}"]`,
        reason: `"${part.trim()}" is not a CIDR; it was left out`,
      });
    }
  }
  return found.length === 0 ? undefined : [...new Set(found)];
}

/** First address of a family, internal ones before external ones. */
function bestOf(node: NodeObject, family?: Family): string | undefined {
  for (const type of ['InternalIP', 'ExternalIP'] as const) {
    for (const one of node.addresses) {
      if (one.type === type && (family === undefined || textFamily(one.address) === family)) return one.address;
    }
  }
  return undefined;
}

const WIREGUARD_KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw480]=$/;

/** Reduces a Node to what routing needs; a bad annotation is an issue and the next best source is used. */
export function nodeFacts(node: NodeObject): NodeFacts {
  const issues: Issue[] = [];
  const primary = bestOf(node);
  const best: Partial<Record<Family, string>> = {};
  for (const family of [4, 6] as const) {
    const address = bestOf(node, family);
    if (address !== undefined) best[family] = address;
  }
  const podCidrs =
    annotatedCidrs(node, nodeAnnotations.podCidr, issues) ??
    annotatedCidrs(node, nodeAnnotations.podCidrs, issues) ??
    node.podCIDRs;
  const key = node.annotations[nodeAnnotations.wireguardKey];
  if (key !== undefined && !WIREGUARD_KEY.test(key)) {
    issues.push({
      object: `Node ${node.name}`,
      field: `metadata.annotations["${nodeAnnotations.wireguardKey}"]`,
      reason: 'not a WireGuard public key (32 bytes in base64); the node is not reached through WireGuard',
    });
  }
  return {
    name: node.name,
    ...(primary === undefined ? {} : { primary }),
    best,
    addresses: [...new Set(node.addresses.map((one) => one.address))],
    podCidrs,
    ...(key !== undefined && WIREGUARD_KEY.test(key) ? { wireguardKey: key } : {}),
    issues,
  };
}

/** Canonical text of an address, or undefined. */
export function addressText(text: string): string | undefined {
  const address = tryParseAddress(text.trim());
  return address === undefined ? undefined : formatAddress(address);
}
