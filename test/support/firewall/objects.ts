/**
 * Projected objects with the fields that policy reads, for tests of the firewall.
 */
import type {
  ClusterNetworkPolicyObject,
  ContainerPort,
  LabelSelector,
  NamespaceObject,
  NetworkPolicyObject,
  PodObject,
  PolicyRule,
} from '../../../src/objects/index.ts';

const base = { uid: '', annotations: {} };

/** A selector by labels alone. */
export const labels = (matchLabels: Record<string, string> = {}): LabelSelector => ({
  matchLabels,
  matchExpressions: [],
});

/** A running pod, `namespace/name`, on `n1` unless told otherwise. */
export function pod(
  key: string,
  ips: readonly string[],
  podLabels: Record<string, string> = {},
  more: Partial<PodObject> & { readonly ports?: readonly ContainerPort[] } = {},
): PodObject {
  const [namespace = '', name = ''] = key.split('/');
  return {
    ...base,
    kind: 'Pod',
    namespace,
    name,
    labels: podLabels,
    nodeName: 'n1',
    phase: 'Running',
    hostNetwork: false,
    hostIPs: [],
    ips,
    ports: [],
    terminationGracePeriodSeconds: 30,
    ready: true,
    containerIds: [],
    ...more,
  };
}

/** A namespace. */
export function namespace(name: string, own: Record<string, string> = {}): NamespaceObject {
  return { ...base, kind: 'Namespace', namespace: '', name, labels: own };
}

/** A policy, `namespace/name`. */
export function policy(
  key: string,
  podSelector: LabelSelector,
  rules: { readonly ingress?: readonly PolicyRule[]; readonly egress?: readonly PolicyRule[] },
): NetworkPolicyObject {
  const [space = '', name = ''] = key.split('/');
  return { ...base, kind: 'NetworkPolicy', namespace: space, name, labels: {}, podSelector, invalid: false, ...rules };
}

/** A ClusterNetworkPolicy about every pod, unless told otherwise. */
export function clusterPolicy(
  name: string,
  tier: ClusterNetworkPolicyObject['tier'],
  more: Partial<Pick<ClusterNetworkPolicyObject, 'priority' | 'subject' | 'ingress' | 'egress'>>,
): ClusterNetworkPolicyObject {
  const subject = { namespaceSelector: labels(), podSelector: labels() };
  const usual = { priority: 10, subject, ingress: [], egress: [], invalid: false };
  return { ...base, kind: 'ClusterNetworkPolicy', namespace: '', name, labels: {}, tier, ...usual, ...more };
}
