/**
 * Packets that each policy let through and that each isolated class of pods refused, read from the rules' own counters at the
 * scrape. A rule names the policy that it comes from; a refusal has no policy but those that select the pod.
 */
import type { FirewallState } from 'kube-router-sdk/firewall';
import type { Runner } from 'kube-router-sdk/kernel';
import type { Family } from 'kube-router-sdk/net';
import type { Metrics } from './metrics.ts';

/** Counters of one rule of a class chain. */
export interface RuleCounter {
  readonly chain: string;
  /** The policy of a rule; absent: the refusal at the end. */
  readonly policy?: string;
  readonly verdict: 'allowed' | 'refused';
  readonly packets: number;
}

/** Reads `iptables-save -c -t filter`. */
export function parsePolicyCounters(text: string): readonly RuleCounter[] {
  const found: RuleCounter[] = [];
  for (const line of text.split('\n')) {
    const match = /^\[(\d+):\d+\] -A (KUBE-NWPLCY-[A-Z2-7]{16}) (.*)$/.exec(line);
    if (match === null) continue;
    const [, packets = '0', chain = '', rule = ''] = match;
    const [, policy, verdict] = /--comment "?([^"\s]+)"? (-j RETURN|-g KUBE-NWPLCY-REJECT)$/.exec(rule) ?? [];
    const count = { chain, packets: Number(packets) };
    if (policy !== undefined)
      found.push({ ...count, policy, verdict: verdict === '-j RETURN' ? 'allowed' : 'refused' });
    else if (rule === '-g KUBE-NWPLCY-REJECT') found.push({ ...count, verdict: 'refused' });
  }
  return found;
}

/** What {@link policyMetrics} reads. */
export interface PolicyMetricsOptions {
  readonly metrics: Metrics;
  readonly runner: Runner;
  readonly families: readonly Family[];
  /** Suffix of the iptables programs; absent where another backend is in force and has no such counters. */
  readonly flavour?: 'legacy' | 'nft' | 'system' | undefined;
  readonly state: () => FirewallState | undefined;
}

/** Packets of one policy in one direction. */
export interface PolicyPackets {
  readonly policy: string;
  readonly direction: 'ingress' | 'egress';
  readonly verdict: 'allowed' | 'refused';
  readonly packets: number;
}

/** Asks the rules. */
export async function countPolicies({
  runner,
  families,
  flavour,
  state,
}: Omit<PolicyMetricsOptions, 'metrics'>): Promise<readonly PolicyPackets[]> {
  const now = state();
  if (now === undefined || flavour === undefined) return [];
  const sums = new Map<string, PolicyPackets>();
  const add = (one: PolicyPackets): void => {
    const key = `${one.policy} ${one.direction} ${one.verdict}`;
    sums.set(key, { ...one, packets: one.packets + (sums.get(key)?.packets ?? 0) });
  };
  for (const family of families) {
    const file = `${family === 4 ? 'iptables' : 'ip6tables'}${flavour === 'system' ? '' : `-${flavour}`}-save`;
    const read = await runner.run({ file, args: ['-c', '-t', 'filter'] }).catch(() => undefined);
    for (const { chain: name, policy, verdict, packets } of parsePolicyCounters(read?.stdout ?? '')) {
      const chain = now.families[family].chains.get(name);
      if (chain?.kind !== 'class') continue;
      const { direction } = chain;
      for (const one of policy === undefined ? chain.policies : [policy])
        add({ policy: one, direction, verdict, packets });
    }
  }
  return [...sums.values()];
}

/** Fills the policy metrics before every scrape. */
export function policyMetrics({ metrics, runner, families, flavour, state }: PolicyMetricsOptions): void {
  metrics.onScrape(async () => {
    const now = state();
    if (now === undefined) return;
    const all = [now.families[4], now.families[6]];
    const count = (of: (one: (typeof all)[number]) => number): number => all.reduce((sum, one) => sum + of(one), 0);
    metrics.set(
      'kube_router_controller_policy_chains',
      count(({ chains }) => chains.size),
    );
    metrics.set(
      'kube_router_controller_policy_ipsets',
      count(({ sets }) => sets.size),
    );
    const counts = await countPolicies({ runner, families, flavour, state });
    metrics.replace(
      'kube_router_policy_packets_total',
      counts.map(({ packets, ...labels }) => [labels, packets] as const),
    );
  });
}
