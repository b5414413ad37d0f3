/**
 * The part of the overlay matrix that needs tunnel modules, by packets in user-mode Linux: ipip and its IPv6 twin.
 * Host-gateway and VXLAN run on the machine's own kernel (test/netns). FoU links and WireGuard are in neither.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { OverlayRow } from '../support/overlay-matrix.ts';
import { expectOverlay, readOverlay } from '../support/overlay-matrix.ts';
import { runInUml } from '../support/uml.ts';

let rows: readonly OverlayRow[] = [];
let other: readonly unknown[] = [];

beforeAll(async () => {
  const result = await runInUml({
    name: 'krr-overlay',
    memMb: 768,
    timeoutMs: 590_000,
    modules: ['ipip', 'ip6_tunnel', 'bridge', 'br_netfilter', 'ip_set_hash_ip', 'ip_set_hash_net', 'xt_set'],
    node: { file: new URL('routing-overlay.guest.ts', import.meta.url).pathname, args: ['ipip'] },
  });
  const found = readOverlay(result.stdout);
  ({ rows, other } = found);
  console.log(`kernel ${found.kernel}: ${rows.length} ways in ${Math.round(result.durationMs / 1000)} s`);
}, 600_000);

describe.each(['ipip'])('%s', (name) => {
  test.each(['4', '6', '4+6'])('families %s: ping, TCP, full MTU, over MTU, source address', (families) => {
    expectOverlay(rows, name, families);
  });
});

test('every plan was applied and read back without a difference, and every cleanup left nothing', () => {
  expect(other).toEqual([]);
});
