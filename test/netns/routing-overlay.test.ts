/**
 * The part of the overlay matrix that the machine's own kernel has, by packets: no encapsulation (routes from BGP), host-gateway (routes from
 * Node objects) and VXLAN, in namespaces of their own. T16 is printed: what iperf3 carries, as ratios within the run.
 * T15 is in each row: the server sees the address of the pod or node that asked, in all pairs.
 */
import { spawn } from 'node:child_process';
import { beforeAll, describe, expect, test } from 'vitest';
import type { OverlayRow } from '../support/overlay-matrix.ts';
import { expectOverlay, overlayRatios, readOverlay } from '../support/overlay-matrix.ts';

const guest = new URL('../kernel/routing-overlay.guest.ts', import.meta.url).pathname;
let rows: readonly OverlayRow[] = [];
let other: readonly unknown[] = [];

/** Runs the guest where named namespaces, mounts and processes are its own and end with it. */
function run(cases: string): Promise<string> {
  const setup = 'mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up; exec "$@"';
  // /run is private as well: the lock of iptables and the folder of named namespaces are there.
  const args = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', setup, 'sh'];
  return new Promise((resolve, reject) => {
    const child = spawn('unshare', [...args, process.execPath, guest, cases, '3'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('exit', (code) =>
      code === 0
        ? resolve(stdout)
        : reject(new Error(`ended with ${code}\n${stderr.slice(-4000)}\n${stdout.slice(-2000)}`)),
    );
  });
}

beforeAll(async () => {
  const found = readOverlay(await run('none,host-gw,vxlan,vxlan-full'));
  ({ rows, other } = found);
  console.log(`kernel ${found.kernel}: ${rows.length} ways\n${overlayRatios(found.benches)}`);
}, 400_000);

describe.each(['none', 'host-gw', 'vxlan', 'vxlan-full'])('%s', (name) => {
  test.each(['4', '6', '4+6'])('families %s: ping, TCP, full MTU, over MTU, source address', (families) => {
    expectOverlay(rows, name, families);
  });
});

test('every plan was applied and read back without a difference, and every cleanup left nothing', () => {
  expect(other).toEqual([]);
});
