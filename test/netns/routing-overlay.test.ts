/**
 * The part of the overlay matrix that the machine's own kernel has, by packets: no encapsulation (routes from BGP), host-gateway (routes from
 * Node objects) and VXLAN, in namespaces of their own.
 * What iperf3 carries is printed, as ratios within the run.
 */
import { spawn } from 'node:child_process';
import { beforeAll } from 'vitest';
import { printRatios, readOverlay, testOverlay, type OverlayFindings } from '../support/overlay-matrix.ts';

const guest = new URL('../kernel/routing-overlay.guest.ts', import.meta.url).pathname;
const cases = ['none', 'host-gw', 'vxlan', 'vxlan-full'];
let found: OverlayFindings;

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
    // Not `exit`: that may come before the last of the output.
    child.once('close', (code) =>
      code === 0
        ? resolve(stdout)
        : reject(new Error(`ended with ${code}\n${stderr.slice(-4000)}\n${stdout.slice(-2000)}`)),
    );
  });
}

beforeAll(async () => {
  found = readOverlay(await run());
  console.log(`kernel ${found.kernel}: ${found.rows.length} ways\n${printRatios(found.benches)}`);
}, 400_000);

testOverlay(cases, () => found);
