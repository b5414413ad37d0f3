/**
 * How long the tools of the policy firewall take, under the names that kube-router gives these times.
 */
import type { Command, StreamingRunner } from 'kube-router-sdk/kernel';
import type { MetricName } from './catalog.ts';
import type { Metrics } from './metrics.ts';

/** The histograms that a command belongs to. */
export function histogramsOf({ file, args, input = '' }: Command): readonly MetricName[] {
  const program = file.slice(file.lastIndexOf('/') + 1);
  const tables = /^ip(6?)tables(?:-legacy|-nft)?-(save|restore)$/.exec(program);
  if (tables !== null) {
    const family = tables[1] === '6' ? 'v6' : 'v4';
    return [`kube_router_controller_iptables_${family}_${tables[2] === 'save' ? 'save' : 'restore'}_time`];
  }
  if (program !== 'ipset' || args[0] !== 'restore') return [];
  // One batch holds both families.
  return [
    ...(/\bkrs4-|(^|\s)kube-router-local-pods\b/.test(input)
      ? (['kube_router_controller_policy_ipset_v4_restore_time'] as const)
      : []),
    ...(/\bkrs6-|inet6:/.test(input) ? (['kube_router_controller_policy_ipset_v6_restore_time'] as const) : []),
  ];
}

/** The same runner, with the time of each successful command in its histogram. */
export function meterTools(runner: StreamingRunner, metrics: Metrics | undefined): StreamingRunner {
  if (metrics === undefined) return runner;
  return {
    async run(command, options) {
      const result = await runner.run(command, options);
      for (const name of histogramsOf(command)) metrics.observe(name, result.durationMs / 1000);
      return result;
    },
    start: (command, options) => runner.start(command, options),
  };
}
