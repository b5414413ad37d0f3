/**
 * What is shown of policies: which pods of this node each one selects, and who reaches whom.
 */
import { evaluate, type FirewallState } from 'kube-router-sdk/firewall';
import type { NetworkPolicyObject } from 'kube-router-sdk/informers';
import type { MatrixView, PolicyView } from '../admin/views.ts';
import type { BlockContext } from './context.ts';

/** Pods of a matrix: a page holds no more, and each cell is a walk over every policy. */
const MATRIX_PODS = 16;

/** Policies with the addresses of the local pods that they select, read from the compiled classes. */
export function policyViews(
  policies: ReadonlyMap<string, NetworkPolicyObject>,
  compiled: FirewallState | undefined,
): readonly PolicyView[] {
  const pods = new Map<string, Set<string>>();
  for (const family of [4, 6] as const) {
    const found = compiled?.families[family];
    for (const { chain: name, members } of found?.sets.values() ?? []) {
      const chain = name === undefined ? undefined : found?.chains.get(name);
      if (chain?.kind !== 'class') continue;
      for (const policy of chain.policies) {
        const all = pods.get(policy) ?? new Set<string>();
        for (const member of members.keys()) all.add(member);
        pods.set(policy, all);
      }
    }
  }
  return [...policies].map(([policy, object]) => ({
    policy,
    directions: [
      ...(object.ingress === undefined ? [] : (['ingress'] as const)),
      ...(object.egress === undefined ? [] : (['egress'] as const)),
    ],
    pods: [...(pods.get(policy) ?? [])].sort(),
  }));
}

/** Whether each of some pods reaches each other one: those whose name contains `filter`, those of this node first. */
export function reachability({ objects, node }: BlockContext, query: URLSearchParams): MatrixView {
  const list = <K extends 'Pod' | 'Namespace' | 'NetworkPolicy' | 'Node'>(kind: K) => [
    ...objects.open(kind).snapshot().items.values(),
  ];
  const filter = query.get('filter') ?? '';
  const port = Number(query.get('port') ?? 0);
  const protocol = query.get('protocol') ?? 'tcp';
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error('port is not a port');
  const all = list('Pod');
  const model = {
    pods: all,
    namespaces: list('Namespace'),
    policies: list('NetworkPolicy'),
    nodes: list('Node'),
  };
  const chosen = all
    .filter((pod) => pod.ips.length > 0 && !pod.hostNetwork && `${pod.namespace}/${pod.name}`.includes(filter))
    .sort((a, b) => Number(b.nodeName === node) - Number(a.nodeName === node))
    .slice(0, MATRIX_PODS)
    .map((pod) => `${pod.namespace}/${pod.name}`)
    .sort();
  const may = (source: string, destination: string): string =>
    evaluate(model, { source, destination, protocol, port }).verdict === 'allow' ? '+' : '-';
  return { pods: chosen, rows: chosen.map((from) => chosen.map((to) => may(from, to)).join('')) };
}
