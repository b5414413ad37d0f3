/**
 * Learned routes in force, added and removed, counted as the routing block's plans are applied.
 */
import type { Target } from 'kube-router-sdk/kernel';
import type { RoutingObserved, RoutingPlan, RoutingState } from 'kube-router-sdk/routing';
import type { Metrics } from './metrics.ts';

type RoutingTarget = Target<RoutingState, RoutingObserved, RoutingPlan>;

/** The same target; what it does with routes is counted. */
export function countRoutes<T extends RoutingTarget>(target: T, metrics: Metrics | undefined): RoutingTarget {
  if (metrics === undefined) return target;
  let observed: RoutingObserved | undefined;
  metrics.onScrape(() => {
    if (observed === undefined) return;
    const routes = [...observed.items.values()].filter(({ type }) => type === 'route').length;
    metrics.set('kube_router_host_routes_synced', routes);
  });
  return {
    ...target,
    name: target.name,
    observe: async (signal) => (observed = await target.observe(signal)),
    async apply(plan, signal) {
      const applied = await target.apply(plan, signal);
      observed = applied.observed ?? observed;
      const failed = new Set(applied.failures.map(({ item }) => item));
      for (const { key, verb, item } of plan.changes) {
        if (item.type !== 'route' || failed.has(key)) continue;
        if (verb === 'add') metrics.add('kube_router_host_routes_added', 1);
        if (verb === 'remove') metrics.add('kube_router_host_routes_removed', 1);
      }
      return applied;
    },
  };
}
