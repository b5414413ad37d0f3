import type { IpvsState, VirtualServerItem } from 'kube-router-sdk/ipvs';
import type { Runner } from 'kube-router-sdk/kernel';
import { expect, test } from 'vitest';
import { createMetrics } from '../metrics/metrics.ts';
import { countedServices, serviceMetrics } from './service-metrics.ts';

// As ipvsadm 1.31 prints them: a Service of policy Local (outside, and by mark for clients inside), one by DSR, and somebody else's.
const STATS = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  198.51.100.5:80                     3       30       20     3000     2000
  -> 10.1.1.2:8080                       3       30       20     3000     2000
FWM  5                                   4       40       30     4000     3000
  -> 10.1.1.2:8080                       1       10        5     1000      500
  -> 10.1.2.2:8080                       3       30       25     3000     2500
FWM  8199                               12      120        0    12000        0
  -> 10.1.2.3:0                         12      120        0    12000        0
TCP  203.0.113.9:443                     9        9        9        9        9
`;
const RATES = STATS.replaceAll(/ +\d+ +\d+ +\d+ +\d+ +\d+$/gm, ' 2 0 0 0 0');
const runner: Runner = {
  run: ({ args }) =>
    Promise.resolve({ exitCode: 0, stdout: args.includes('--rate') ? RATES : STATS, stderr: '', durationMs: 1 }),
};
const server = (key: string, more: Partial<VirtualServerItem>): VirtualServerItem => ({
  type: 'vs',
  key,
  family: 4,
  scheduler: 'rr',
  flags: [],
  persistence: 0,
  forward: 'masq',
  servers: [],
  ...more,
});
const local = { protocol: 'TCP', address: '198.51.100.5', port: 80 } as const;
const servers = [
  server('vs/tcp/198.51.100.5:80', local),
  server('vs/fwm/4/5', { mark: 5, serves: local }),
  server('vs/fwm/4/8199', { mark: 8199, serves: { protocol: 'TCP', address: '198.51.100.9', port: 81 } }),
];
const state: IpvsState = {
  items: new Map(servers.map((item) => [item.key, item])),
  graceMs: () => 0,
  drain: true,
};
const owner = (key: string): string => (key === 'vs/fwm/4/8199' ? 'shop/dsr' : 'shop/web');

test('a Service counts by the address that it serves: marked ones with the others, DSR too, nobody else’s', async () => {
  const metrics = createMetrics();
  serviceMetrics(metrics, { runner, state: () => state, owner });
  const lines = (await metrics.text()).split('\n');
  metrics.close();
  const series = (name: string): string[] => lines.filter((line) => line.startsWith(`${name}{`)).sort();
  const web = 'svc_namespace="shop",service_name="web",service_vip="198.51.100.5",protocol="tcp",port="80"';
  const dsr = 'svc_namespace="shop",service_name="dsr",service_vip="198.51.100.9",protocol="tcp",port="81"';
  expect(series('kube_router_service_total_connections')).toEqual([
    `kube_router_service_total_connections{${dsr}} 12`,
    `kube_router_service_total_connections{${web}} 7`,
  ]);
  expect(series('kube_router_service_bytes_out')).toEqual([
    `kube_router_service_bytes_out{${dsr}} 0`,
    `kube_router_service_bytes_out{${web}} 5000`,
  ]);
  expect(series('kube_router_service_cps')).toEqual([
    `kube_router_service_cps{${dsr}} 2`,
    `kube_router_service_cps{${web}} 4`,
  ]);
  expect(series('kube_router_endpoint_connections_total')).toEqual([
    `kube_router_endpoint_connections_total{${dsr},endpoint="10.1.2.3:81"} 12`,
    `kube_router_endpoint_connections_total{${web},endpoint="10.1.1.2:8080"} 4`,
    `kube_router_endpoint_connections_total{${web},endpoint="10.1.2.2:8080"} 3`,
  ]);
});

test('what is shown of a virtual server has its own counters; without IPVS it has none', async () => {
  const view = {
    service: 'vs/fwm/4/8199',
    address: '198.51.100.9',
    protocol: 'TCP',
    port: 81,
    kind: 'tunnel',
    scheduler: 'rr',
    backends: [{ address: '10.1.2.3:0', weight: 1, draining: false }],
  };
  const counted = { connections: 12, rate: 2 };
  expect(await countedServices(runner, [view])).toEqual([
    { ...view, ...counted, backends: [{ ...view.backends[0], ...counted }] },
  ]);
  expect(await countedServices({ run: () => Promise.reject(new Error('no ipvsadm')) }, [view])).toEqual([view]);
});
