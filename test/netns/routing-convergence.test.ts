/**
 * Convergence in a cluster of 200: one real node (speaker, compiler, kernel), 199 speakers as the others. A node that comes or goes is in
 * the FIB within a second, and `ip monitor` is the witness that no other route was touched.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { NodeObject } from '../../src/objects/types.ts';

const prefix = `krr-cv-${process.pid}`;
const sh = (text: string): string =>
  execFileSync('/bin/sh', ['-c', text], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const file = (name: string): string => new URL(name, import.meta.url).pathname;
const address = (index: number): string => `10.0.${index >> 8}.${index & 255}`;
const podCidr = (index: number): string => `10.${100 + (index >> 8)}.${index & 255}.0/24`;
const OTHERS = 199;

const object = (index: number): NodeObject => ({
  kind: 'Node',
  namespace: '',
  name: `n${index}`,
  uid: `n${index}`,
  labels: {},
  annotations: {},
  addresses: [{ type: 'InternalIP', address: address(index) }],
  podCIDRs: [podCidr(index)],
  unschedulable: false,
  ready: true,
  taints: [],
});

const children: ChildProcess[] = [];
let others: ChildProcess;
let node: ChildProcess;
const routes = (): string[] =>
  sh(`ip -n ${prefix}-n route show proto 17`)
    .split('\n')
    .filter((line) => line !== '');

const tell = (changes: readonly { key: string; object: NodeObject | undefined }[]): void =>
  void node.stdin?.write(`${JSON.stringify({ nodes: changes })}\n`);

beforeAll(async () => {
  for (const name of ['n', 'o']) sh(`ip netns add ${prefix}-${name}; ip -n ${prefix}-${name} link set lo up`);
  sh(`ip link add eth0 netns ${prefix}-n type veth peer name eth0 netns ${prefix}-o`);
  sh(
    `ip -n ${prefix}-n link set eth0 up; ip -n ${prefix}-o link set eth0 up; ip -n ${prefix}-n addr add 10.0.0.1/16 dev eth0`,
  );
  const addresses = Array.from({ length: OTHERS + 1 }, (_, index) => `addr add ${address(index + 2)}/16 dev eth0`);
  execFileSync('ip', ['-n', `${prefix}-o`, '-batch', '-'], { input: `${addresses.join('\n')}\n` });
  const run = (where: string, args: string[]): ChildProcess => {
    const child = spawn('ip', ['netns', 'exec', `${prefix}-${where}`, process.execPath, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    return child;
  };
  node = run('n', [file('../peers/ingress-node.guest.ts'), 'n1', JSON.stringify({ holdTimeSeconds: 30 })]);
  node.stdout?.resume();
  tell(Array.from({ length: OTHERS + 1 }, (_, index) => ({ key: `n${index + 1}`, object: object(index + 1) })));
  others = run('o', [file('routing-convergence.guest.ts'), `${OTHERS}`, '10.0.0.1']);
  others.stdout?.resume();
  await vi.waitFor(() => expect(routes()).toHaveLength(OTHERS), { timeout: 90_000, interval: 250 });
}, 100_000);

afterAll(async () => {
  for (const child of children) {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
  for (const name of ['n', 'o']) sh(`ip netns del ${prefix}-${name}`);
});

/** Milliseconds from `act` until the monitor reports the line, and every line about our routes that it reported. */
async function witness(act: () => void, wanted: RegExp): Promise<{ took: number; lines: string[] }> {
  const monitor = spawn('ip', ['-n', `${prefix}-n`, 'monitor', 'route']);
  const lines: string[] = [];
  let at = 0;
  monitor.stdout.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().split('\n')) {
      if (!line.includes('proto 17')) continue;
      lines.push(line.trim());
      if (at === 0 && wanted.test(line)) at = performance.now();
    }
  });
  await new Promise((resolve) => setTimeout(resolve, 500));
  const start = performance.now();
  act();
  await vi.waitFor(() => expect(at).toBeGreaterThan(0), { timeout: 20_000, interval: 20 });
  // Anything else that the change brings about has its time, too.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const gone = new Promise((resolve) => monitor.once('close', resolve));
  monitor.kill();
  await gone;
  return { took: at - start, lines };
}

test('a node that leaves is out of the FIB within a second, and no other route is touched', async () => {
  const { took, lines } = await witness(() => {
    others.stdin?.write('down 100\n');
    tell([{ key: 'n100', object: undefined }]);
  }, /^Deleted 10\.100\.100\.0\/24 /);
  console.log(`gone after ${took.toFixed(0)} ms`);
  expect(lines).toEqual([`Deleted 10.100.100.0/24 via 10.0.0.100 dev eth0 proto 17`]);
  expect(routes()).toHaveLength(OTHERS - 1);
  expect(took).toBeLessThan(1000);
});

test('a node that joins is in the FIB within a second of its first announcement, and no other route is touched', async () => {
  const joining = OTHERS + 2;
  const { took, lines } = await witness(
    () => {
      tell([{ key: `n${joining}`, object: object(joining) }]);
      others.stdin?.write(`up ${joining}\n`);
    },
    new RegExp(`^${podCidr(joining).replaceAll('.', '\\.')} `),
  );
  console.log(`there after ${took.toFixed(0)} ms`);
  expect(lines).toEqual([`${podCidr(joining)} via ${address(joining)} dev eth0 proto 17`]);
  expect(routes()).toHaveLength(OTHERS);
  expect(took).toBeLessThan(1000);
});
