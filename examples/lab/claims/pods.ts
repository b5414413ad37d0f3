/** Plain L3 between pods: every pair of pods on different nodes, source address unchanged, both families. */
import type { Lab } from '../lab.ts';
import { defaultPort } from '../kubelet.ts';
import { probe } from '../probe.ts';
import type { Report } from '../report.ts';
import { until } from '../shell.ts';

/** A pod's address of a family. */
export function address(lab: Lab, key: string, family: 4 | 6): string {
  const found = lab.pod(key).ips.find((ip) => ip.includes(':') === (family === 6));
  if (found === undefined) throw new Error(`${key} has no IPv${family} address`);
  return found;
}

/** A pod that a claim adds to those of the manifests. */
export interface ExtraPod {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Creates pods as the manifests describe theirs, and resolves when they run. */
export async function startPods(lab: Lab, pods: readonly ExtraPod[]): Promise<void> {
  for (const { namespace, name, node, labels } of pods) {
    await lab.api.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels },
      spec: {
        nodeName: node,
        containers: [{ name, image: name, ports: [{ name: 'http', containerPort: defaultPort, protocol: 'TCP' }] }],
      },
    });
  }
  const missing = (): readonly string[] =>
    pods.map(({ namespace, name }) => `${namespace}/${name}`).filter((key) => !lab.kubelet.running.has(key));
  if ((await until(() => Promise.resolve(missing().length === 0), 20_000, 20)) === undefined) {
    throw new Error(`did not start: ${missing().join(', ')}; ${lab.complaints.join('; ')}`);
  }
}

/** How long the first routes may take to be learned and programmed, in the slow kernel of the lab. */
export const convergenceMs = 30_000;

export const webPods = ['demo/web-1', 'demo/web-2', 'demo/web-3'] as const;

export async function podClaims(lab: Lab, report: Report): Promise<void> {
  for (const family of [4, 6] as const) {
    await report.comesTrue(
      `IPv${family}: every web pod reaches every other, source address unchanged`,
      convergenceMs,
      async () => {
        let pairs = 0;
        for (const from of webPods) {
          for (const to of webPods) {
            if (from === to) continue;
            const [attempt] = await probe(lab.pod(from), address(lab, to, family), defaultPort, { timeoutMs: 3000 });
            const source = address(lab, from, family);
            if (attempt?.source !== source) {
              throw new Error(
                `${from} to ${to}: ${attempt?.failure ?? `source seen as ${attempt?.source}, not ${source}`}`,
              );
            }
            pairs++;
          }
        }
        return `${pairs} pairs`;
      },
    );
  }
  await report.comesTrue('the client reaches a pod by its own address, unmasked', convergenceMs, async () => {
    const [attempt] = await probe(lab.place('client'), address(lab, 'demo/web-2', 4), defaultPort, { timeoutMs: 3000 });
    if (attempt?.source !== '198.51.100.10') throw new Error(attempt?.failure ?? `source seen as ${attempt?.source}`);
    return `answered by ${attempt.pod}, which saw ${attempt.source}`;
  });
}
