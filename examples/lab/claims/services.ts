/** The service proxy: ClusterIP from a pod, NodePort and LoadBalancer VIP from outside, spread over the pods of every node. */
import type { Lab } from '../lab.ts';
import { probe, type Attempt, type From } from '../probe.ts';
import type { Report } from '../report.ts';
import { bare, nodes } from '../topology.ts';
import { address, convergenceMs } from './pods.ts';

/** Says how `attempts` were spread over pods, or throws when one failed or fewer than `pods` pods answered. */
export function spread(attempts: readonly Attempt[], pods: number): string {
  const failures = attempts.filter(({ failure }) => failure !== undefined);
  if (failures.length > 0) {
    throw new Error(`${failures.length} of ${attempts.length} connections failed: ${failures[0]?.failure}`);
  }
  const counts = new Map<string, number>();
  for (const { pod = '' } of attempts) counts.set(pod, (counts.get(pod) ?? 0) + 1);
  const seen = [...counts]
    .sort()
    .map(([pod, count]) => `${pod} ${count}`)
    .join(', ');
  if (counts.size !== pods) throw new Error(`answered by ${counts.size} pods instead of ${pods}: ${seen}`);
  return seen;
}

async function spreadClaim(from: From, to: string, port: number, count: number, source?: string): Promise<string> {
  const attempts = await probe(from, to, port, { count, timeoutMs: 3000 });
  const seen = spread(attempts, 3);
  const strange = attempts.find((attempt) => source !== undefined && attempt.source !== source);
  if (strange !== undefined) throw new Error(`${strange.pod} saw the source ${strange.source}, not ${source}`);
  return source === undefined ? seen : `${seen}; all saw ${source}`;
}

export async function serviceClaims(lab: Lab, report: Report): Promise<void> {
  const friend = lab.pod('demo/friend');
  await report.comesTrue('pod → ClusterIP 172.16.0.80 → pods on every node, source kept', convergenceMs, () =>
    spreadClaim(friend, '172.16.0.80', 80, 30, address(lab, 'demo/friend', 4)),
  );
  await report.comesTrue('pod → ClusterIP fd00:172:16::80 → pods on every node, source kept', convergenceMs, () =>
    spreadClaim(friend, 'fd00:172:16::80', 80, 30, address(lab, 'demo/friend', 6)),
  );
  for (const node of nodes) {
    await report.comesTrue(`a process on ${node.name} → ClusterIP`, convergenceMs, () =>
      spreadClaim(lab.place(node.name), '172.16.0.80', 80, 12),
    );
  }
  await report.comesTrue('client → NodePort 30080 of node2', convergenceMs, () =>
    spreadClaim(lab.place('client'), bare(nodes[1]?.addresses[0] ?? ''), 30080, 12),
  );
  const connections = 60;
  await report.comesTrue('client → LoadBalancer VIP 203.0.113.80 over ECMP through the router', convergenceMs, () =>
    spreadClaim(lab.place('client'), '203.0.113.80', 80, connections),
  );
  await report.comesTrue(
    'client → LoadBalancer VIP 2001:db8:f00d::80 over ECMP through the router',
    convergenceMs,
    () => spreadClaim(lab.place('client'), '2001:db8:f00d::80', 80, 60),
  );
  // the kernel adds up its counters every two seconds (ip_vs_est.c): what it shows lags behind
  await report.comesTrue('more than one node served the VIP as director', convergenceMs, async () => {
    const served: string[] = [];
    let total = 0;
    for (const node of nodes) {
      const text = await lab.place(node.name).sh('ipvsadm -Ln --stats -t 203.0.113.80:80 | grep "^TCP"');
      const count = Number(text.trim().split(/\s+/)[2]);
      total += count;
      if (count > 0) served.push(`${node.name} ${count}`);
    }
    const seen = served.join(', ') || 'nobody';
    if (served.length < 2 || total < connections) throw new Error(`only ${seen}`);
    return `connections: ${seen}`;
  });
}
