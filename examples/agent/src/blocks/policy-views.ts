/**
 * What is shown of policies: which pods of this node each one selects, and who reaches whom.
 */
import { evaluate, type FirewallState, type PolicyModel } from 'kube-router-sdk/firewall';
import type { ClusterNetworkPolicyObject, NetworkPolicyObject, ObjectKind } from 'kube-router-sdk/informers';
import type { MatrixView, PolicyView } from '../admin/views.ts';
import { followsClusterPolicies } from '../sources.ts';
import type { BlockContext } from './context.ts';

/** Pods of a matrix: a page holds no more, and each cell is a walk over every policy. */
const MATRIX_PODS = 16;

/** Policies with the addresses of the local pods that they select, read from the compiled classes. */
export function policyViews(
  policies: ReadonlyMap<string, NetworkPolicyObject>,
  clusterPolicies: ReadonlyMap<string, ClusterNetworkPolicyObject>,
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
  const view = (policy: string, says: (direction: 'ingress' | 'egress') => boolean): PolicyView => ({
    policy,
    directions: (['ingress', 'egress'] as const).filter(says),
    pods: [...(pods.get(policy) ?? [])].sort(),
  });
  return [
    ...[...policies].map(([policy, object]) => view(policy, (direction) => object[direction] !== undefined)),
    ...[...clusterPolicies].map(([policy, object]) => view(policy, (direction) => object[direction].length > 0)),
  ];
}

/** The objects that policy is judged by, as they are now. */
export function policyModel({ objects, config }: Pick<BlockContext, 'objects' | 'config'>): PolicyModel {
  const list = <K extends ObjectKind>(kind: K) => [...objects.open(kind).snapshot().items.values()];
  return {
    pods: list('Pod'),
    namespaces: list('Namespace'),
    policies: list('NetworkPolicy'),
    clusterPolicies: followsClusterPolicies(config.flags) ? list('ClusterNetworkPolicy') : [],
    nodes: list('Node'),
  };
}

/** Whether each of some pods reaches each other one: those whose name contains `filter`, those of this node first. */
export function reachability(context: BlockContext, query: URLSearchParams): MatrixView {
  const filter = query.get('filter') ?? '';
  const port = Number(query.get('port') ?? 0);
  const protocol = query.get('protocol') ?? 'tcp';
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error('port is not a port');
  const model = policyModel(context);
  const chosen = model.pods
    .filter((pod) => pod.ips.length > 0 && !pod.hostNetwork && `${pod.namespace}/${pod.name}`.includes(filter))
    .sort((a, b) => Number(b.nodeName === context.node) - Number(a.nodeName === context.node))
    .slice(0, MATRIX_PODS)
    .map((pod) => `${pod.namespace}/${pod.name}`)
    .sort();
  const may = (source: string, destination: string): string =>
    evaluate(model, { source, destination, protocol, port }).verdict === 'allow' ? '+' : '-';
  return { pods: chosen, rows: chosen.map((from) => chosen.map((to) => may(from, to)).join('')) };
}
