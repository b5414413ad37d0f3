/**
 * The part of the overlay matrix that the machine's own kernel has, by packets: no encapsulation (routes from BGP), host-gateway (routes from
 * Node objects) and VXLAN, in namespaces of their own.
 * What iperf3 carries is printed, as ratios within the run.
 */
import { spawn } from 'node:child_process';
import { beforeAll, describe, expect, test } from 'vitest';
import type { OverlayBench, OverlayRow } from '../support/overlay-matrix.ts';
import {
  expectOverlay,
  expectPlainRoutingFastest,
  expectSourceKept,
  printRatios,
  readOverlay,
} from '../support/overlay-matrix.ts';

const guest = new URL('../kernel/routing-overlay.guest.ts', import.meta.url).pathname;
let rows: readonly OverlayRow[] = [];
const cases = ['none', 'host-gw', 'vxlan', 'vxlan-full'];
let benches: readonly OverlayBench[] = [];
let other: readonly unknown[] = [];

/** Runs the guest where named namespaces, mounts and processes are its own and end with it. */
function run(): Promise<string> {
  const setup = 'mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up; exec "$@"';
  // /run is private as well: the lock of iptables and the folder of named namespaces are there.
  const args = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', setup, 'sh'];
  return new Promise((resolve, reject) => {
    const child = spawn('unshare', [...args, process.execPath, guest, cases.join(), '3'], {
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
  const found = readOverlay(await run());
  ({ rows, benches, other } = found);
  console.log(`kernel ${found.kernel}: ${rows.length} ways\n${printRatios(benches)}`);
}, 400_000);

describe.each(cases)('%s', (name) => {
  test.each(['4', '6', '4+6'])('families %s: ping, TCP, full MTU, over MTU, source address', (families) => {
    expectOverlay(rows, name, families);
  });
});

test('T15: the server sees the address of the pod or node that asked, in all pairs', () => {
  expectSourceKept(rows);
});

test('T16: what each way carries, and no tunnel more than plain routing', () => {
  expectPlainRoutingFastest(benches, cases);
});

test('every plan was applied and read back without a difference, and every cleanup left nothing', () => {
  expect(other).toEqual([]);
});
