/**
 * Names and labels of kube-router's metrics, written by hand, against the page that the agent serves.
 */
import { describe, expect, test } from 'vitest';
import { metricContract as contract } from '../../contract/metrics.ts';
import { createAgentState } from '../state.ts';
import { catalog, compatible } from './catalog.ts';
import { createMetrics, measureState } from './metrics.ts';

test('no name is missing and none is invented', () => {
  expect(Object.keys(compatible).sort()).toEqual(contract.map(([name]) => `kube_router_${name}`).sort());
});

test.each(contract)('%s is a %s {%s}', async (name, type, labels) => {
  const metrics = createMetrics();
  expect(catalog[`kube_router_${name}` as keyof typeof catalog].labels.join(' ')).toBe(labels);
  expect(await metrics.text()).toContain(`# TYPE kube_router_${name} ${type}\n`);
  metrics.close();
});

describe('passes', () => {
  test('a pass fills its histograms and counts its failures', async () => {
    const state = createAgentState(() => 0);
    const metrics = createMetrics();
    const end = measureState(metrics, state);
    state.record({
      target: 'ipvs',
      reason: 'change',
      changes: 3,
      remaining: 1,
      durationMs: 20,
      latencyMs: 60,
      failures: [{ item: 'vs/1', error: new Error('no') }],
    });
    const page = await metrics.text();
    end();
    metrics.close();
    expect(page).toContain('kube_router_controller_ipvs_services_sync_time_count 1\n');
    expect(page).toContain('kube_router_controller_ipvs_services_sync_time_sum 0.02\n');
    expect(page).toContain('kube_router_block_latency_seconds_sum{block="ipvs"} 0.06\n');
    expect(page).toContain('kube_router_block_failures_total{block="ipvs",reason="change"} 1\n');
    expect(page).toContain('kube_router_block_remaining{block="ipvs"} 1\n');
    expect(page).toContain('kube_router_block_ready{block="ipvs"} 0\n');
  });
});
