/**
 * Judges the findings of routing-overlay.guest.ts: the same rows are expected in every kernel.
 */
import { expect } from 'vitest';

/** One finding: a way from pod to pod under one encapsulation. */
export interface OverlayRow {
  readonly case: string;
  readonly families: string;
  readonly family: number;
  readonly where: string;
  readonly [check: string]: unknown;
}

/** MTU of pods over an underlay of 1,500 bytes, with an IPv4 underlay alone and with an IPv6 one: outer headers of RFC 2003, RFC 2473, RFC 7348, UDP with GUE, WireGuard. */
const MTU: Readonly<Record<string, readonly [v4: number, v6: number]>> = {
  none: [1500, 1500],
  'host-gw': [1500, 1500],
  ipip: [1480, 1460],
  'ipip-full': [1480, 1460],
  vxlan: [1450, 1430],
  'vxlan-full': [1450, 1430],
  fou: [1468, 1448],
  'fou-full': [1468, 1448],
  wireguard: [1440, 1420],
  'wireguard-full': [1440, 1420],
};

/** What iperf3 carried from pod to pod in another subnet. */
export interface OverlayBench {
  readonly bench: string;
  readonly mbps: number;
  /** Percent of one processor, both ends together. */
  readonly cpu: number;
}

/** Reads the guest's output: rows of the matrix, and whatever else it had to say. */
export function readOverlay(stdout: string): {
  readonly rows: readonly OverlayRow[];
  readonly kernel: string;
  readonly benches: readonly OverlayBench[];
  readonly other: readonly unknown[];
} {
  const all = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const rows = all.filter((row): row is OverlayRow & Record<string, unknown> => 'case' in row);
  const kernel = all.find((row) => 'kernel' in row)?.['kernel'];
  return {
    rows,
    kernel: typeof kernel === 'string' ? kernel : '',
    benches: all.filter((row): row is OverlayBench & Record<string, unknown> => 'bench' in row),
    other: all.filter((row) => !('case' in row) && !('kernel' in row) && !('bench' in row)),
  };
}

/** Every way of one encapsulation and choice of families: ping, TCP, full MTU, one byte more, source address kept. */
export function expectOverlay(rows: readonly OverlayRow[], name: string, families: string): void {
  const mine = rows.filter((row) => row.case === name && row.families === families);
  expect(mine).toHaveLength(families === '4+6' ? 6 : 3);
  for (const row of mine) {
    expect(row).toEqual({
      case: name,
      families,
      family: row.family,
      where: row.where,
      mtu: MTU[name]?.[families === '4' ? 0 : 1],
      tunnel: name.endsWith('-full') || (!['none', 'host-gw'].includes(name) && row.where !== 'same subnet'),
      ping: true,
      source: 'kept',
      fullMtu: true,
      overWhole: false,
      overFragmented: true,
      nodeToPod: 'kept',
      podToNode: 'kept',
    });
  }
}

/** T15: the server sees the address of the pod or node that asked, in all pairs. */
export function expectSourceKept(rows: readonly OverlayRow[]): void {
  expect(rows).not.toEqual([]);
  for (const { source, nodeToPod, podToNode, ...way } of rows) {
    expect({ ...way, source, nodeToPod, podToNode }).toEqual({
      ...way,
      source: 'kept',
      nodeToPod: 'kept',
      podToNode: 'kept',
    });
  }
}

/** One way against the way without encapsulation in the same run: throughput, and processor time per bit. */
interface OverlayRatio {
  readonly bench: string;
  readonly mbps: number;
  readonly throughput: number;
  readonly perBit: number;
}

function overlayRatios(benches: readonly OverlayBench[]): readonly OverlayRatio[] {
  const base = benches.find(({ bench }) => bench === 'none');
  if (base === undefined) throw new Error('nothing to compare with: the case "none" was not measured');
  return benches.map(({ bench, mbps, cpu }) => ({
    bench,
    mbps,
    throughput: mbps / base.mbps,
    perBit: cpu / mbps / (base.cpu / base.mbps),
  }));
}

/** The ratios as a table. */
export function printRatios(benches: readonly OverlayBench[]): string {
  return overlayRatios(benches)
    .map(
      ({ bench, mbps, throughput, perBit }) =>
        `${bench.padEnd(15)} ${String(mbps).padStart(6)} Mbit/s ${throughput.toFixed(2)} of none, processor per bit ${perBit.toFixed(2)}`,
    )
    .join('\n');
}

/** T16: each of `names` was measured, and no tunnel carries more than plain routing does. */
export function expectPlainRoutingFastest(benches: readonly OverlayBench[], names: readonly string[]): void {
  expect(benches.map(({ bench }) => bench)).toEqual(names);
  for (const { bench, mbps, throughput } of overlayRatios(benches)) {
    expect(mbps, bench).toBeGreaterThan(0);
    if (!['none', 'host-gw'].includes(bench)) expect(throughput, bench).toBeLessThan(1);
  }
}
