/**
 * Runs in the guest kernel for the benchmark: a cluster of `SERVICES` is programmed, then one endpoint after the other moves;
 * each event is timed from the change to the end of its command, and the latency of a lookup-bound packet path is left to tests.
 */
import { createIpvsTarget, createServiceCompiler } from '../../src/ipvs/index.ts';
import { commands, pass, sh, shellRunner, answer } from '../../test/support/ipvs-shell.ts';
import { clusterChanges, sliceOf } from './cluster.ts';

const services = Number(process.env.SERVICES ?? 100);
await sh(
  'ip link add eth0 type dummy; ip link set eth0 up; ip addr add 192.168.1.11/24 dev eth0; ip route add default via 192.168.1.1',
);
const target = createIpvsTarget({ runner: shellRunner(), families: [4], drainIntervalMs: 600_000 });
const compiler = createServiceCompiler({
  node: { name: 'n1', primary: { 4: '192.168.1.11' } },
  gracefulTermination: false,
});
const memory = {};
compiler.update(clusterChanges(services, 10));
const started = performance.now();
const first = await pass(target, compiler.flush().state, memory);
const loadMs = performance.now() - started;
const times: number[] = [];
let ran = 0;
for (let event = 0; event < 60; event++) {
  // The first endpoint comes back where it was: first it goes, then it is added, one command each.
  const number = (event >> 1) % services;
  const whole = sliceOf(number, 10);
  const object = event % 2 === 0 ? { ...whole, endpoints: whole.endpoints.slice(1) } : whole;
  const from = performance.now();
  compiler.update([{ kind: 'EndpointSlice', key: `bench/s${number}-4`, object }]);
  const { state, dirty } = compiler.flush();
  commands.length = 0;
  const one = await pass(target, state, memory, dirty);
  if (one.failures.length > 0) throw new Error(one.failures.join('; '));
  times.push(performance.now() - from);
  ran += commands.length;
}
times.sort((a, b) => a - b);
answer({ failures: first.failures, loadMs, p50: times[30], p99: times[59], commandsPerEvent: ran / 60 });
process.exit(0);
