/**
 * The Prometheus registry: one instrument for each entry of the catalog, filled by events as they happen and, for what has a
 * current value, by collectors that run at the scrape.
 */
import { createServer, type Server } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { listen } from '../health.ts';
import type { AgentState } from '../state.ts';
import { version } from '../version.ts';
import { catalog, type MetricName } from './catalog.ts';

/** Label values. */
export type Labels = Readonly<Record<string, string>>;

/** The agent's instruments. */
export interface Metrics {
  /** Adds to a counter. */
  add(name: MetricName, amount: number, labels?: Labels): void;
  /** Sets a gauge. */
  set(name: MetricName, value: number, labels?: Labels): void;
  /** Seconds into a histogram. */
  observe(name: MetricName, seconds: number, labels?: Labels): void;
  /** Replaces every series of a gauge or of a counter whose value the kernel counts. */
  replace(name: MetricName, series: Iterable<readonly [Labels, number]>): void;
  /** Runs before every scrape, until the returned function is called. */
  onScrape(collect: () => void | Promise<void>): () => void;
  /** The page. */
  text(): Promise<string>;
  readonly contentType: string;
  close(): void;
}

/** Makes the registry and what every agent measures of itself. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  const instruments = new Map<string, Gauge | Counter | Histogram>();
  for (const [name, { type, help, labels }] of Object.entries(catalog)) {
    const options = { name, help, labelNames: [...labels], registers: [registry] };
    const Kind = type === 'gauge' ? Gauge : type === 'counter' ? Counter : Histogram;
    instruments.set(name, new Kind(options));
  }
  const collectors = new Set<() => void | Promise<void>>();
  // Each sample wakes the process: at Node's default of a hundred a second an idle agent would be busy with nothing else.
  const delay = monitorEventLoopDelay({ resolution: 250 });
  delay.enable();
  let cpu = 0;
  const metrics: Metrics = {
    add: (name, amount, labels = {}) => (instruments.get(name) as Counter).inc({ ...labels }, amount),
    set: (name, value, labels = {}) => (instruments.get(name) as Gauge).set({ ...labels }, value),
    observe: (name, seconds, labels = {}) => (instruments.get(name) as Histogram).observe({ ...labels }, seconds),
    replace(name, series) {
      const instrument = instruments.get(name) as Gauge | Counter;
      instrument.reset();
      for (const [labels, value] of series) instrument.inc({ ...labels }, value);
    },
    onScrape(collect) {
      collectors.add(collect);
      return () => void collectors.delete(collect);
    },
    async text() {
      for (const collect of collectors) await collect();
      return registry.metrics();
    },
    contentType: registry.contentType,
    close: () => delay.disable(),
  };
  metrics.set('kube_router_build_info', 1, { goversion: `node ${process.version}`, version });
  metrics.onScrape(() => {
    const used = process.cpuUsage();
    const seconds = (used.user + used.system) / 1e6;
    metrics.add('kube_router_cpu_seconds_total', seconds - cpu);
    cpu = seconds;
    metrics.set('kube_router_resident_memory_bytes', process.memoryUsage.rss());
    for (const quantile of [50, 99, 100]) {
      const value = delay.percentile(quantile) / 1e9;
      metrics.set('kube_router_event_loop_delay_seconds', Number.isFinite(value) ? value : 0, {
        quantile: String(quantile / 100),
      });
    }
    delay.reset();
  });
  return metrics;
}

/** Which of kube-router's histograms a block's pass also feeds. */
const passTimes: Readonly<Record<string, readonly MetricName[]>> = {
  ipvs: ['kube_router_controller_ipvs_services_sync_time'],
  firewall: ['kube_router_controller_iptables_sync_time'],
  routing: ['kube_router_controller_routes_sync_time', 'kube_router_host_routes_sync_time'],
};

/** Feeds the instruments from the agent's memory of itself; returns what ends it. */
export function measureState(metrics: Metrics, state: AgentState): () => void {
  const passes = state.passes$.subscribe((pass) => {
    const labels = { block: pass.block };
    metrics.observe('kube_router_block_pass_seconds', pass.durationMs / 1000, labels);
    if (pass.latencyMs !== undefined)
      metrics.observe('kube_router_block_latency_seconds', pass.latencyMs / 1000, labels);
    for (const name of passTimes[pass.block] ?? []) metrics.observe(name, pass.durationMs / 1000);
    metrics.add('kube_router_block_passes_total', 1, { ...labels, reason: pass.reason });
    if (pass.failures.length > 0)
      metrics.add('kube_router_block_failures_total', pass.failures.length, { ...labels, reason: 'change' });
    if (pass.error !== undefined) metrics.add('kube_router_block_failures_total', 1, { ...labels, reason: 'pass' });
    metrics.set('kube_router_block_remaining', pass.remaining, labels);
  });
  const forget = metrics.onScrape(() => {
    for (const block of state.blocks())
      metrics.set('kube_router_block_ready', block.ready ? 1 : 0, { block: block.name });
    const kinds = new Map<string, number>();
    for (const issue of state.issues()) {
      const kind = issue.object.split(' ', 1)[0] ?? '';
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    metrics.replace(
      'kube_router_issues',
      [...kinds].map(([kind, count]) => [{ kind }, count] as const),
    );
  });
  return () => {
    passes.unsubscribe();
    forget();
  };
}

/** Opens the Prometheus page. */
export async function openMetricsServer(
  address: string,
  port: number,
  path: string,
  metrics: Metrics,
): Promise<Server> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname !== path) {
      response.writeHead(404).end('not found\n');
      return;
    }
    metrics.text().then(
      (body) => response.writeHead(200, { 'content-type': metrics.contentType }).end(body),
      (error: unknown) => response.writeHead(500).end(`${error instanceof Error ? error.message : 'failed'}\n`),
    );
  });
  await listen(server, address, port, 'metrics');
  return server;
}
