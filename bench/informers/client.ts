/**
 * One side of the benchmark, in a process of its own so that its memory is its own: our informer or client-node's.
 * It runs as JavaScript against the built package, as a user's program does: run.ts strips the types, because Node's own stripping
 * costs 40 MB that are nobody's informer.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { preciseNow } from './pods.ts';

const [, , side, url = '', count] = process.argv;
const wanted = Number(count);
const collect = (globalThis as { gc?: () => void }).gc ?? (() => {});

/** Starts following pods; calls back for every change with the moment at which it was written. */
type Side = (url: string, onChange: (writtenAt: number) => void) => Promise<{ size: () => number }>;

const ours: Side = async (server, onChange) => {
  const { createApiSource, createConnection } = await import('kube-router-sdk/informers');
  // As an agent does that runs on one node.
  const source = createApiSource({
    connection: createConnection({ settings: () => ({ server }) }),
    nodeName: 'node-1',
  });
  const pods = source.open('Pod');
  pods.changes$.subscribe(({ changed }) => {
    for (const { object, previous } of changed)
      if (previous !== undefined) onChange(Number(object?.annotations['kube-router.io/bench'] ?? 0));
  });
  return { size: () => (pods.snapshot().synced ? pods.snapshot().items.size : 0) };
};

const clientNode: Side = async (server, onChange) => {
  const { CoreV1Api, KubeConfig, makeInformer } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'x', server, skipTLSVerify: true }, { name: 'x' });
  const api = config.makeApiClient(CoreV1Api);
  const informer = makeInformer(config, '/api/v1/pods', () => api.listPodForAllNamespaces());
  informer.on('update', (pod) => onChange(Number(pod.metadata?.annotations?.['kube-router.io/bench'] ?? 0)));
  void informer.start();
  return { size: () => informer.list().length };
};

// Code is loaded before: what is measured is what the objects cost.
await (side === 'ours' ? import('kube-router-sdk/informers') : import('@kubernetes/client-node'));
const latencies: number[] = [];
collect();
const before = process.memoryUsage();
const loop = monitorEventLoopDelay({ resolution: 5 });
loop.enable();
const startedAt = performance.now();
const follower = await (side === 'ours' ? ours : clientNode)(url, (at) => {
  if (at > 0) latencies.push(preciseNow() - at);
});
while (follower.size() < wanted) await new Promise((resolve) => setTimeout(resolve, 5));
const syncMs = performance.now() - startedAt;
await new Promise((resolve) => setTimeout(resolve, 200));
loop.disable();
// Peak first: a collection for the measure of what is retained is none of the informer's.
const peakRss = process.resourceUsage().maxRSS * 1024;
for (let round = 0; round < 3; round++) {
  collect();
  await new Promise((resolve) => setTimeout(resolve, 100));
}
const after = process.memoryUsage();
process.send?.({
  syncMs,
  peakRss,
  retained: after.heapUsed + after.external - before.heapUsed - before.external,
  blockMs: loop.max / 1e6,
});

const churn = monitorEventLoopDelay({ resolution: 5 });
churn.enable();
process.on('message', (order: { report: number } | 'end') => {
  if (order === 'end') process.exit(0);
  void report(order.report);
});

async function report(sent: number): Promise<void> {
  // What is late is waited for and counts with its delay; what has not come after 10 s is lost.
  const end = Date.now() + 10_000;
  while (latencies.length < sent && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  process.send?.({
    delivered: latencies.length,
    p50: at(0.5),
    p99: at(0.99),
    max: at(1),
    peakRss: process.resourceUsage().maxRSS * 1024,
    blockMs: churn.max / 1e6,
  });
}
