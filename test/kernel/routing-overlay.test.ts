/**
 * The part of the overlay matrix that needs tunnel modules, by packets: ipip and its IPv6 twin in user-mode Linux; FoU with GUE and
 * WireGuard in QEMU with Debian's stock kernel. No encapsulation, host-gateway and VXLAN run on the machine's own (test/netns).
 * What iperf3 carries is printed, as ratios within each kernel.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import type { OverlayBench, OverlayRow } from '../support/overlay-matrix.ts';
import {
  expectOverlay,
  expectPlainRoutingFastest,
  expectSourceKept,
  printRatios,
  readOverlay,
} from '../support/overlay-matrix.ts';
import { runInQemu } from '../support/qemu.ts';
import { runInUml } from '../support/uml.ts';

const file = new URL('routing-overlay.guest.ts', import.meta.url).pathname;
const common = ['bridge', 'br_netfilter', 'ip_set_hash_ip', 'ip_set_hash_net', 'xt_set', 'ipip', 'ip6_tunnel'];

describe.each<[string, typeof runInUml, readonly string[]]>([
  ['ipip', runInUml, []],
  ['fou', runInQemu, ['fou', 'fou6', 'ip_tunnel', 'veth']],
  ['wireguard', runInQemu, ['wireguard', 'veth']],
])('%s', (name, boot, modules) => {
  let rows: readonly OverlayRow[] = [];
  let benches: readonly OverlayBench[] = [];
  let other: readonly unknown[] = [];

  beforeAll(async () => {
    const result = await boot({
      name: `krr-${name}`,
      memMb: 1024,
      timeoutMs: 890_000,
      modules: [...common, ...modules],
      node: { file, args: [`none:4,${name},${name}-full`, '3'] },
    });
    const found = readOverlay(result.stdout);
    ({ rows, benches, other } = found);
    const seconds = Math.round(result.durationMs / 1000);
    console.log(`kernel ${found.kernel}: ${rows.length} ways in ${seconds} s\n${printRatios(benches)}`);
  }, 900_000);

  describe.each([name, `${name}-full`])('%s', (one) => {
    test.each(['4', '6', '4+6'])('families %s: ping, TCP, full MTU, over MTU, source address', (families) => {
      expectOverlay(rows, one, families);
    });
  });

  test('T15: the server sees the address of the pod or node that asked, in all pairs', () => {
    expectSourceKept(rows);
  });

  test('T16: what each way carries, and no tunnel more than plain routing', () => {
    expectPlainRoutingFastest(benches, ['none', name, `${name}-full`]);
  });

  test('every plan was applied and read back without a difference, and every cleanup left nothing', () => {
    expect(other).toEqual([]);
  });
});
