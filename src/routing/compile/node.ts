/**
 * What routing needs of a Node object: its addresses by family and its pod CIDRs, annotations included.
 * The one place that knows which of `kube-router.io/pod-cidr`, `pod-cidrs` and the spec wins.
 */
import { formatAddress, textFamily, tryParseAddress } from '../../net/address.ts';
import { formatPrefix, tryParsePrefix } from '../../net/prefix.ts';
import type { Family, Issue } from '../../net/values.ts';
import { annotationList, complain } from '../../objects/annotations.ts';
import type { NodeObject } from '../../objects/types.ts';

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

/** Canonical text of a CIDR, host bits masked; undefined when it is none. */
export function readCidr(text: string): string | undefined {
  const prefix = tryParsePrefix(text, { hostBits: 'mask' });
  return prefix === undefined ? undefined : formatPrefix(prefix);
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
  const reader = { object: `Node ${node.name}`, annotations: node.annotations, issues };
  const annotated = [nodeAnnotations.podCidr, nodeAnnotations.podCidrs]
    .map((name) => annotationList(reader, name, readCidr, 'CIDR'))
    .find((found) => found.length > 0);
  const key = node.annotations[nodeAnnotations.wireguardKey];
  if (key !== undefined && !WIREGUARD_KEY.test(key)) {
    complain(
      reader,
      nodeAnnotations.wireguardKey,
      'not a WireGuard public key (32 bytes in base64); the node is not reached through WireGuard',
    );
  }
  return {
    name: node.name,
    ...(primary === undefined ? {} : { primary }),
    best,
    addresses: [...new Set(node.addresses.map((one) => one.address))],
    podCidrs: annotated ?? node.podCIDRs,
    ...(key !== undefined && WIREGUARD_KEY.test(key) ? { wireguardKey: key } : {}),
    issues,
  };
}

/** Canonical text of an address, or undefined. */
export function addressText(text: string): string | undefined {
  const address = tryParseAddress(text.trim());
  return address === undefined ? undefined : formatAddress(address);
}
