/**
 * Makes the Grafana dashboard, dashboard.json, from a list of panels: `node examples/agent/monitoring/dashboard.ts`.
 */
import { writeFileSync } from 'node:fs';

interface PanelSpec {
  readonly title: string;
  readonly type?: 'timeseries' | 'stat' | 'table';
  readonly unit?: string;
  /** Query and legend. */
  readonly targets: readonly (readonly [string, string])[];
}

const filter = 'instance=~"$instance"';
const rows: readonly (readonly [string, readonly PanelSpec[]])[] = [
  [
    'Is it right?',
    [
      {
        title: 'Blocks ready',
        type: 'stat',
        targets: [[`min by (block) (kube_router_block_ready{${filter}})`, '{{block}}']],
      },
      {
        title: 'Changes that remain',
        targets: [[`sum by (instance, block) (kube_router_block_remaining{${filter}})`, '{{instance}} {{block}}']],
      },
      {
        title: 'Failures',
        unit: 'ops',
        targets: [
          [`sum by (block, reason) (rate(kube_router_block_failures_total{${filter}}[5m]))`, '{{block}} {{reason}}'],
        ],
      },
      { title: 'Issues of objects', targets: [[`max by (kind) (kube_router_issues{${filter}})`, '{{kind}}']] },
    ],
  ],
  [
    'Is it fast?',
    [
      {
        title: 'Object to kernel, 99 %',
        unit: 's',
        targets: [
          [
            `histogram_quantile(0.99, sum by (le, block) (rate(kube_router_block_latency_seconds_bucket{${filter}}[5m])))`,
            '{{block}}',
          ],
        ],
      },
      {
        title: 'Pass, 99 %',
        unit: 's',
        targets: [
          [
            `histogram_quantile(0.99, sum by (le, block) (rate(kube_router_block_pass_seconds_bucket{${filter}}[5m])))`,
            '{{block}}',
          ],
        ],
      },
      {
        title: 'Event loop delay, 99 %',
        unit: 's',
        targets: [[`kube_router_event_loop_delay_seconds{${filter},quantile="0.99"}`, '{{instance}}']],
      },
    ],
  ],
  [
    'BGP',
    [
      {
        title: 'Sessions that are not up',
        type: 'table',
        targets: [[`kube_router_bgp_peer_info{${filter},state!="ESTABLISHED"}`, '{{instance}} {{address}} {{state}}']],
      },
      { title: 'Routes learned', targets: [[`kube_router_bgp_routes{${filter}}`, '{{instance}} {{family}}']] },
      {
        title: 'Prefixes announced',
        targets: [[`kube_router_bgp_advertisements{${filter}}`, '{{instance}} {{origin}}']],
      },
    ],
  ],
  [
    'Services',
    [
      {
        title: 'Connections a second',
        unit: 'cps',
        targets: [
          [
            `topk(20, sum by (svc_namespace, service_name) (kube_router_service_cps{${filter}}))`,
            '{{svc_namespace}}/{{service_name}}',
          ],
        ],
      },
      {
        title: 'Bytes a second',
        unit: 'Bps',
        targets: [
          [
            `topk(20, sum by (svc_namespace, service_name) (kube_router_service_bps_in{${filter}} + kube_router_service_bps_out{${filter}}))`,
            '{{svc_namespace}}/{{service_name}}',
          ],
        ],
      },
    ],
  ],
  [
    'Cost',
    [
      {
        title: 'Resident memory',
        unit: 'bytes',
        targets: [[`kube_router_resident_memory_bytes{${filter}}`, '{{instance}}']],
      },
      {
        title: 'Processor',
        unit: 'percentunit',
        targets: [[`rate(kube_router_cpu_seconds_total{${filter}}[5m])`, '{{instance}}']],
      },
    ],
  ],
];

/** The dashboard as Grafana imports it. */
export function dashboard(): Readonly<Record<string, unknown>> {
  const panels: unknown[] = [];
  let id = 1;
  let y = 0;
  for (const [title, specs] of rows) {
    panels.push({ id: id++, type: 'row', title, gridPos: { x: 0, y: y++, w: 24, h: 1 }, panels: [] });
    const width = 24 / specs.length;
    specs.forEach((spec, index) => {
      panels.push({
        id: id++,
        type: spec.type ?? 'timeseries',
        title: spec.title,
        datasource: { type: 'prometheus', uid: '${datasource}' },
        gridPos: { x: index * width, y, w: width, h: 8 },
        fieldConfig: { defaults: { unit: spec.unit ?? 'short' }, overrides: [] },
        targets: spec.targets.map(([expr, legendFormat], target) => ({
          refId: String.fromCharCode(65 + target),
          expr,
          legendFormat,
        })),
      });
    });
    y += 8;
  }
  return {
    title: 'kube-router-agent',
    uid: 'kube-router-agent',
    schemaVersion: 39,
    time: { from: 'now-1h', to: 'now' },
    refresh: '30s',
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        {
          name: 'instance',
          type: 'query',
          datasource: { type: 'prometheus', uid: '${datasource}' },
          query: 'label_values(kube_router_build_info, instance)',
          multi: true,
          includeAll: true,
        },
      ],
    },
    panels,
  };
}

if (process.argv[1]?.endsWith('dashboard.ts') === true) {
  writeFileSync(new URL('dashboard.json', import.meta.url), `${JSON.stringify(dashboard(), null, 2)}\n`);
}
