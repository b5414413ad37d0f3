/**
 * Counters of Services, read from IPVS when they are asked for and labelled as kube-router does. Virtual servers that are keyed by a
 * mark (DSR, clients inside the cluster) count for the address that they serve.
 */
import {
  parseCounters,
  type Counts,
  type IpvsState,
  type ReadCounts,
  type VirtualServerItem,
} from 'kube-router-sdk/ipvs';
import type { Runner } from 'kube-router-sdk/kernel';
import type { ServiceView } from '../admin/views.ts';
import type { MetricName } from '../metrics/catalog.ts';
import type { Labels, Metrics } from '../metrics/metrics.ts';

const STATS: readonly (readonly [MetricName, keyof Counts])[] = [
  ['kube_router_service_total_connections', 'connections'],
  ['kube_router_service_packets_in', 'packetsIn'],
  ['kube_router_service_packets_out', 'packetsOut'],
  ['kube_router_service_bytes_in', 'bytesIn'],
  ['kube_router_service_bytes_out', 'bytesOut'],
];
const ENDPOINTS: readonly (readonly [MetricName, keyof Counts])[] = [
  ['kube_router_endpoint_connections_total', 'connections'],
  ['kube_router_endpoint_bytes_in_total', 'bytesIn'],
  ['kube_router_endpoint_bytes_out_total', 'bytesOut'],
];
const RATES: readonly (readonly [MetricName, keyof Counts])[] = [
  ['kube_router_service_cps', 'connections'],
  ['kube_router_service_pps_in', 'packetsIn'],
  ['kube_router_service_pps_out', 'packetsOut'],
  ['kube_router_service_bps_in', 'bytesIn'],
  ['kube_router_service_bps_out', 'bytesOut'],
];

/** Totals (`--stats`) or what they grow by a second (`--rate`). */
async function readCounts(runner: Runner, flag: '--stats' | '--rate'): Promise<readonly ReadCounts[]> {
  return parseCounters((await runner.run({ file: 'ipvsadm', args: ['-Ln', flag, '--exact'] })).stdout);
}

/** Adds the kernel's counters to what is shown of services; as it was where the kernel cannot be asked. */
export async function countedServices(runner: Runner, views: readonly ServiceView[]): Promise<readonly ServiceView[]> {
  const read = async (flag: '--stats' | '--rate'): Promise<ReadonlyMap<string, ReadCounts>> =>
    new Map((await readCounts(runner, flag)).map((one) => [one.key, one]));
  try {
    const [totals, rates] = await Promise.all([read('--stats'), read('--rate')]);
    return views.map((view) => {
      const [total, rate] = [totals.get(view.service), rates.get(view.service)];
      return {
        ...view,
        connections: total?.total.connections ?? 0,
        rate: rate?.total.connections ?? 0,
        backends: view.backends.map((one) => ({
          ...one,
          connections: total?.endpoints.get(one.address)?.connections ?? 0,
          rate: rate?.endpoints.get(one.address)?.connections ?? 0,
        })),
      };
    });
  } catch {
    return views;
  }
}

/** What the metrics are made from. */
export interface CountedState {
  readonly runner: Runner;
  readonly state: () => IpvsState | undefined;
  /** `namespace/name` of the Service of a virtual server. */
  readonly owner: (key: string) => string | undefined;
}

/** Fills the service metrics before every scrape. */
export function serviceMetrics(metrics: Metrics, { runner, state, owner }: CountedState): void {
  const labelled = (one: ReadCounts): readonly (readonly [Labels, Counts])[] => labelsOf(one, state(), owner);
  const endpoints = (one: ReadCounts): readonly (readonly [Labels, Counts])[] =>
    labelled(one).flatMap(([labels]) =>
      [...one.endpoints].map(([place, counts]) => {
        // A tunnelled packet keeps its port.
        const endpoint = place.replace(/:0$/, `:${labels.port}`);
        return [{ ...labels, endpoint }, counts] as const;
      }),
    );
  metrics.onScrape(async () => {
    const started = performance.now();
    const count = [...(state()?.items.values() ?? [])].filter((item) => item.type === 'vs').length;
    metrics.set('kube_router_controller_ipvs_services', count);
    try {
      const [stats, rates] = await Promise.all([readCounts(runner, '--stats'), readCounts(runner, '--rate')]);
      const [services, growth, ends] = [stats.flatMap(labelled), rates.flatMap(labelled), stats.flatMap(endpoints)];
      for (const [name, column] of STATS) metrics.replace(name, series(services, column));
      for (const [name, column] of RATES) metrics.replace(name, series(growth, column));
      for (const [name, column] of ENDPOINTS) metrics.replace(name, series(ends, column));
    } catch {
      // A scrape without service counters is better than none: the failure shows in the block's own metrics.
    }
    metrics.observe('kube_router_controller_ipvs_metrics_export_time', (performance.now() - started) / 1000);
  });
}

/** What a virtual server serves, whatever it is keyed by. */
export function servedBy(item: VirtualServerItem): {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
} {
  const { protocol = '', address = `mark ${item.mark}`, port = 0 } = item.serves ?? item;
  return { protocol, address, port };
}

function labelsOf(
  { key, total }: ReadCounts,
  state: IpvsState | undefined,
  owner: CountedState['owner'],
): readonly (readonly [Labels, Counts])[] {
  const item = state?.items.get(key);
  const [namespace, name] = owner(key)?.split('/') ?? [];
  if (item?.type !== 'vs' || namespace === undefined || name === undefined) return [];
  const { protocol, address, port } = servedBy(item);
  const place = { service_vip: address, protocol: protocol.toLowerCase(), port: String(port) };
  return [[{ svc_namespace: namespace, service_name: name, ...place }, total]];
}

/** One value for each set of labels: an address has two virtual servers where clients inside have one of their own. */
function series(
  counted: readonly (readonly [Labels, Counts])[],
  column: keyof Counts,
): Iterable<readonly [Labels, number]> {
  const sums = new Map<string, readonly [Labels, number]>();
  for (const [labels, counts] of counted) {
    const key = Object.values(labels).join(' ');
    sums.set(key, [labels, (sums.get(key)?.[1] ?? 0) + counts[column]]);
  }
  return sums.values();
}
