/**
 * The tests of what routing-overlay.guest.ts finds: the same rows are expected in every kernel.
 */
import { describe, expect, test } from 'vitest';

/** One finding: a way from pod to pod under one encapsulation. */
interface OverlayRow {
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
interface OverlayBench {
  readonly bench: string;
  readonly mbps: number;
  /** Percent of one processor, both ends together. */
  readonly cpu: number;
}

/** What a guest found. */
export interface OverlayFindings {
  readonly kernel: string;
  readonly rows: readonly OverlayRow[];
  readonly benches: readonly OverlayBench[];
  /** Whatever else it had to say: differences after a pass, leftovers of a cleanup. */
  readonly other: readonly unknown[];
}

/**
 * Registers the tests of one guest: the ways of each of `cases`, T15, T16 and clean ends.
 * Each guest measures `none` first: T16 compares within one run.
 */
export function testOverlay(cases: readonly string[], found: () => OverlayFindings): void {
  describe.each(cases)('%s', (name) => {
    test.each(['4', '6', '4+6'])('families %s: ping, TCP, full MTU, over MTU, source address', (families) => {
      expectOverlay(found().rows, name, families);
    });
  });

  test('T15: the server sees the address of the pod or node that asked, in all pairs', () => {
    expectSourceKept(found().rows);
  });

  test('T16: what each way carries, and no tunnel more than plain routing', () => {
    expectPlainRoutingFastest(found().benches, [...new Set(['none', ...cases])]);
  });

  test('every plan was applied and read back without a difference, and every cleanup left nothing', () => {
    expect(found().other).toEqual([]);
  });
}

/** Reads the guest's output. */
export function readOverlay(stdout: string): OverlayFindings {
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
function expectOverlay(rows: readonly OverlayRow[], name: string, families: string): void {
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
function expectSourceKept(rows: readonly OverlayRow[]): void {
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
function expectPlainRoutingFastest(benches: readonly OverlayBench[], names: readonly string[]): void {
  expect(benches.map(({ bench }) => bench)).toEqual(names);
  for (const { bench, mbps, throughput } of overlayRatios(benches)) {
    expect(mbps, bench).toBeGreaterThan(0);
    if (!['none', 'host-gw'].includes(bench)) expect(throughput, bench).toBeLessThan(1);
  }
}
