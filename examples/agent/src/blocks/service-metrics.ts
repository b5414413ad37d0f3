/**
 * Counters of Services, read from IPVS at the scrape and labelled as kube-router does.
 */
import type { IpvsState } from 'kube-router-sdk/ipvs';
import type { ObjectSource } from 'kube-router-sdk/informers';
import type { Runner } from 'kube-router-sdk/kernel';
import type { ServiceView } from '../admin/views.ts';
import type { MetricName } from '../metrics/catalog.ts';
import type { Labels, Metrics } from '../metrics/metrics.ts';

/** Counters of one virtual server, or of one of its endpoints. */
export interface ServerCounters {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
  /** `address:port` of the endpoint; absent: the virtual server itself. */
  readonly endpoint?: string;
  /** Connections, packets in, packets out, bytes in, bytes out; or their rates. */
  readonly values: readonly number[];
}

/** Reads `ipvsadm -Ln --stats --exact` or `--rate`; marked services are left out. */
export function parseCounters(text: string): readonly ServerCounters[] {
  const found: ServerCounters[] = [];
  let server: Omit<ServerCounters, 'values'> | undefined;
  for (const line of text.split('\n')) {
    const match = /^(TCP|UDP|SCTP|FWM|->)\s+(\S+)\s+(?:IPv6\s+)?(\d[\d\s]*)$/.exec(line.trim());
    if (match === null) continue;
    const [, kind = '', place = '', numbers = ''] = match;
    const values = numbers.trim().split(/\s+/).map(Number);
    if (kind === '->') {
      if (server !== undefined) found.push({ ...server, endpoint: place, values });
      continue;
    }
    const colon = place.lastIndexOf(':');
    const address = place.slice(0, colon).replaceAll(/^\[|\]$/g, '');
    server = kind === 'FWM' ? undefined : { protocol: kind, address, port: Number(place.slice(colon + 1)) };
    if (server !== undefined) found.push({ ...server, values });
  }
  return found;
}

const STATS: readonly MetricName[] = [
  'kube_router_service_total_connections',
  'kube_router_service_packets_in',
  'kube_router_service_packets_out',
  'kube_router_service_bytes_in',
  'kube_router_service_bytes_out',
];
/** Of endpoints, by column of the counters. */
const ENDPOINTS: readonly (readonly [MetricName, number])[] = [
  ['kube_router_endpoint_connections_total', 0],
  ['kube_router_endpoint_bytes_in_total', 3],
  ['kube_router_endpoint_bytes_out_total', 4],
];
const RATES: readonly MetricName[] = [
  'kube_router_service_cps',
  'kube_router_service_pps_in',
  'kube_router_service_pps_out',
  'kube_router_service_bps_in',
  'kube_router_service_bps_out',
];

/** Adds the kernel's counters to what is shown of services; as it was where the kernel cannot be asked. */
export async function countedServices(runner: Runner, views: readonly ServiceView[]): Promise<readonly ServiceView[]> {
  const read = async (flag: string): Promise<ReadonlyMap<string, number>> => {
    const { stdout } = await runner.run({ file: 'ipvsadm', args: ['-Ln', flag, '--exact'] });
    const key = ({ protocol, address, port, endpoint = '' }: ServerCounters): string =>
      `${protocol} ${address} ${port} ${endpoint}`;
    return new Map(parseCounters(stdout).map((one) => [key(one), one.values[0] ?? 0]));
  };
  try {
    const [totals, rates] = await Promise.all([read('--stats'), read('--rate')]);
    return views.map((view) => {
      const key = `${view.protocol} ${view.address} ${view.port} `;
      const counts = (name: string) => ({ connections: totals.get(name) ?? 0, rate: rates.get(name) ?? 0 });
      return {
        ...view,
        ...counts(key),
        backends: view.backends.map((one) => ({ ...one, ...counts(key + one.address) })),
      };
    });
  } catch {
    return views;
  }
}

/** Fills the service metrics before every scrape. */
export function serviceMetrics(
  metrics: Metrics,
  runner: Runner,
  objects: ObjectSource,
  state: () => IpvsState | undefined,
): void {
  const read = async (flag: string): Promise<readonly ServerCounters[]> =>
    parseCounters((await runner.run({ file: 'ipvsadm', args: ['-Ln', flag, '--exact'] })).stdout);
  metrics.onScrape(async () => {
    const started = performance.now();
    const count = [...(state()?.items.values() ?? [])].filter((item) => item.type === 'vs').length;
    metrics.set('kube_router_controller_ipvs_services', count);
    const owners = new Map<string, { readonly namespace: string; readonly name: string }>();
    for (const service of objects.open('Service').snapshot().items.values()) {
      const addresses = [...service.clusterIPs, ...service.externalIPs, ...service.ingress.map(({ ip }) => ip)];
      for (const { protocol, port, nodePort } of service.ports) {
        for (const address of addresses) owners.set(`${protocol} ${address} ${port}`, service);
        if (nodePort !== 0) owners.set(`${protocol} node ${nodePort}`, service);
      }
    }
    try {
      const [stats, rates] = await Promise.all([read('--stats'), read('--rate')]);
      for (const [names, counters] of [
        [STATS, stats],
        [RATES, rates],
      ] as const) {
        const servers = counters.filter(({ endpoint }) => endpoint === undefined);
        names.forEach((name, column) => metrics.replace(name, series(servers, owners, column)));
      }
      const endpoints = stats.filter(({ endpoint }) => endpoint !== undefined);
      for (const [name, column] of ENDPOINTS) metrics.replace(name, series(endpoints, owners, column));
    } catch {
      // A scrape without service counters is better than none: the failure shows in the block's own metrics.
    }
    metrics.observe('kube_router_controller_ipvs_metrics_export_time', (performance.now() - started) / 1000);
  });
}

function series(
  counters: readonly ServerCounters[],
  owners: ReadonlyMap<string, { readonly namespace: string; readonly name: string }>,
  column: number,
): (readonly [Labels, number])[] {
  return counters.flatMap(({ protocol, address, port, endpoint, values }) => {
    const owner = owners.get(`${protocol} ${address} ${port}`) ?? owners.get(`${protocol} node ${port}`);
    if (owner === undefined) return [];
    const labels = {
      svc_namespace: owner.namespace,
      service_name: owner.name,
      service_vip: address,
      protocol: protocol.toLowerCase(),
      port: String(port),
      ...(endpoint === undefined ? {} : { endpoint }),
    };
    return [[labels, values[column] ?? 0] as const];
  });
}
