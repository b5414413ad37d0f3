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

/** MTU of pods over an underlay of 1,500 bytes, with an IPv4 underlay alone and with an IPv6 one: outer headers of RFC 2003, RFC 2473, RFC 7348. */
const MTU: Readonly<Record<string, readonly [v4: number, v6: number]>> = {
  'host-gw': [1500, 1500],
  ipip: [1480, 1460],
  'ipip-full': [1480, 1460],
  vxlan: [1450, 1430],
  'vxlan-full': [1450, 1430],
};

/** Reads the guest's output: rows of the matrix, and whatever else it had to say. */
export function readOverlay(stdout: string): {
  readonly rows: readonly OverlayRow[];
  readonly kernel: string;
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
    other: all.filter((row) => !('case' in row) && !('kernel' in row)),
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
      tunnel: name.endsWith('-full') || (name !== 'host-gw' && row.where !== 'same subnet'),
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
