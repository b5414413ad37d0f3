/** Cleanup is the exact inverse: with the pods gone, each node's network state is what it was before its agent first ran. */
import { runAgent } from '../agents.ts';
import type { Lab } from '../lab.ts';
import type { Report } from '../report.ts';
import { until } from '../shell.ts';
import { nodes } from '../topology.ts';
import { compareTraces, takeTrace, traceLines, type Trace } from '../traces.ts';

export async function cleanupClaims(lab: Lab, report: Report, before: ReadonlyMap<string, Trace>): Promise<void> {
  await report.claim('pods removed by CNI', async () => {
    const keys = [...lab.kubelet.running.keys()];
    await Promise.all(
      keys.map((key) => {
        const [namespace = '', name = ''] = key.split('/');
        return lab.api.remove('Pod', namespace, name);
      }),
    );
    await until(() => Promise.resolve(lab.kubelet.running.size === 0), 20_000, 50);
    await lab.kubelet.settled();
    if (lab.kubelet.running.size > 0) throw new Error(`${lab.kubelet.running.size} pods still run`);
    return `${keys.length} pods`;
  });
  // an agent that stops leaves everything in place; all three end at once, as they share one processor
  const stopped = Promise.all([...lab.agents.values()].map((agent) => agent.stop()));
  for (const { name } of nodes) {
    await report.claim(`${name}: stopped and cleaned up, its kernel is as it was`, async () => {
      await stopped;
      const { code, stdout, stderr } = await runAgent(lab.place(name), 'cleanup', lab.url);
      if (code !== 0) throw new Error(`cleanup ended with ${code}: ${(stderr || stdout).trim().slice(-500)}`);
      const trace = before.get(name);
      if (trace === undefined) throw new Error('no trace from before');
      const differences = compareTraces(trace, await takeTrace(lab.place(name)));
      if (differences.length > 0) {
        throw new Error(
          `${differences.length} lines differ\n          ${differences.slice(0, 12).join('\n          ')}`,
        );
      }
      return `${traceLines(trace)} lines of links, addresses, routes, rules, sets, chains, IPVS, sysctls compared, 0 differ`;
    });
  }
}
