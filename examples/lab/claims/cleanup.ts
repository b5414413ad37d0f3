/** Cleanup is the exact inverse: with the pods gone, each node's network state is what it was before its agent first ran. */
import { runAgent } from '../agents.ts';
import type { Lab } from '../lab.ts';
import type { Report } from '../report.ts';
import { nodes } from '../topology.ts';
import { compareTraces, takeTrace, type Trace } from '../traces.ts';

export async function cleanupClaims(lab: Lab, report: Report, before: ReadonlyMap<string, Trace>): Promise<void> {
  await report.claim('pods removed by CNI', async () => {
    const keys = [...lab.kubelet.running.keys()];
    for (const key of keys) {
      const [namespace = '', name = ''] = key.split('/');
      await lab.api.remove('Pod', namespace, name);
    }
    for (let n = 0; n < 100 && lab.kubelet.running.size > 0; n++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await lab.kubelet.settled();
    }
    if (lab.kubelet.running.size > 0) throw new Error(`${lab.kubelet.running.size} pods still run`);
    return `${keys.length} pods`;
  });
  for (const { name } of nodes) {
    await report.claim(`${name}: stopped and cleaned up, its kernel is as it was`, async () => {
      await lab.agents.get(name)?.stop();
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
      const lines = [...trace.values()].reduce((sum, text) => sum + text.split('\n').length - 1, 0);
      return `${lines} lines of links, addresses, routes, rules, sets, chains, IPVS, sysctls compared, 0 differ`;
    });
  }
}
