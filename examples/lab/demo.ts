/**
 * The project's main job, proven by packets: three nodes become a cluster network by one agent each, and every claim is a line
 * of the report. Runs inside the guest kernel (run.ts boots it); exit code 0 when every claim held.
 */
import { basename } from 'node:path';
import { bgpClaims } from './claims/bgp.ts';
import { changeClaims } from './claims/changes.ts';
import { cleanupClaims } from './claims/cleanup.ts';
import { kubectlClaims } from './claims/kubectl.ts';
import { podClaims } from './claims/pods.ts';
import { policyClaims } from './claims/policy.ts';
import { serviceClaims } from './claims/services.ts';
import { buildLab } from './lab.ts';
import { createReport } from './report.ts';
import { takeTrace, type Trace } from './traces.ts';
import { nodes } from './topology.ts';

/** A bound, not a claim: on a machine that others use too, the guest's one processor is slow. */
const readyWithinMs = 180_000;

const report = createReport();
report.chapter('The lab: three nodes, a router with FRR, a client; one kernel');
const lab = await buildLab(report.note);
const before = new Map<string, Trace>();
await Promise.all(nodes.map(async ({ name }) => before.set(name, await takeTrace(lab.place(name)))));

report.chapter('One agent a node');
for (const node of nodes) lab.startAgent(node.name);
for (const [name, agent] of lab.agents) {
  await report.claim(`${name}: agent ready`, async () => {
    const took = await agent.ready(readyWithinMs);
    if (took === undefined)
      throw new Error(
        `not within ${readyWithinMs / 1000} s; the end of ${basename(agent.log)} follows\n${await tail(agent.log)}`,
      );
    return `/readyz answered after ${took} ms`;
  });
}
const plugged = await report.claim('every pod plugged in by CNI', async () => {
  await lab.kubelet.settled();
  await lab.controllers.settled();
  if (lab.complaints.length > 0) throw new Error(lab.complaints.join('; '));
  return [...lab.kubelet.running].map(([key, pod]) => `${key} ${pod.ips[0]}`).join(', ');
});

const chapters: readonly (readonly [title: string, prove: () => Promise<void>])[] = [
  ['BGP', () => bgpClaims(lab, report)],
  ['Pod to pod', () => podClaims(lab, report)],
  ['Services', () => serviceClaims(lab, report)],
  ['kubectl', () => kubectlClaims(lab, report)],
  ['Network policy on every path (T13)', () => policyClaims(lab, report)],
  ['Changes', () => changeClaims(lab, report)],
  ['Cleanup', () => cleanupClaims(lab, report, before)],
];
// without pods there is nothing that could answer
for (const [title, prove] of plugged ? chapters : []) {
  report.chapter(title);
  await prove();
}

const failures = report.end();
if (failures > 0) {
  for (const [name, agent] of lab.agents) console.log(`\nThe end of the log of ${name}:\n${await tail(agent.log)}`);
}
process.exit(failures === 0 && plugged ? 0 : 1);

async function tail(file: string): Promise<string> {
  return lab.place(nodes[0]?.name ?? '').sh(`tail -n 15 ${file}`);
}
