/**
 * The part of the overlay matrix that needs tunnel modules, by packets: ipip and its IPv6 twin in user-mode Linux; FoU with GUE and
 * WireGuard in QEMU with Debian's stock kernel. No encapsulation, host-gateway and VXLAN run on the machine's own (test/netns).
 * What iperf3 carries is printed, as ratios within each kernel.
 */
import { beforeAll, describe } from 'vitest';
import { printRatios, readOverlay, testOverlay, type OverlayFindings } from '../support/overlay-matrix.ts';
import { runInQemu } from '../support/qemu.ts';
import { runInUml } from '../support/uml.ts';

const file = new URL('routing-overlay.guest.ts', import.meta.url).pathname;
const common = ['bridge', 'br_netfilter', 'ip_set_hash_ip', 'ip_set_hash_net', 'xt_set', 'ipip', 'ip6_tunnel'];

describe.each<[string, typeof runInUml, readonly string[]]>([
  ['ipip', runInUml, []],
  ['fou', runInQemu, ['fou', 'fou6', 'ip_tunnel', 'veth']],
  ['wireguard', runInQemu, ['wireguard', 'veth']],
])('%s', (name, boot, modules) => {
  let found: OverlayFindings;

  beforeAll(async () => {
    const result = await boot({
      name: `krr-${name}`,
      memMb: 1024,
      timeoutMs: 890_000,
      modules: [...common, ...modules],
      node: { file, args: [`none:4,${name},${name}-full`, '3'] },
    });
    found = readOverlay(result.stdout);
    const seconds = Math.round(result.durationMs / 1000);
    console.log(`kernel ${found.kernel}: ${found.rows.length} ways in ${seconds} s\n${printRatios(found.benches)}`);
  }, 900_000);

  testOverlay([name, `${name}-full`], () => found);
});
