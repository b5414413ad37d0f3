/**
 * Speed of the service proxy: full compile and plan, one slice change, memory, for growing clusters; then from the event to the
 * kernel inside the guest with real IPVS. The guest's system calls are slow, so its times compare sizes, not products.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { runInUml, umlMissing } from '../../test/support/uml.ts';
import { measurePlanning } from './cluster.ts';

if (globalThis.gc === undefined) {
  const self = spawnSync(process.execPath, ['--expose-gc', fileURLToPath(import.meta.url)], { stdio: 'inherit' });
  process.exit(self.status ?? 1);
}

const ENDPOINTS = 10;
measurePlanning(200, ENDPOINTS);
const ms = (value: number): string => `${value.toFixed(value < 10 ? 3 : 0)} ms`;
const missed: string[] = [];
console.log('services  full compile+plan (CPU)  one slice change p50 / p99      commands  memory a service');
for (const services of [100, 1000, 5000]) {
  const seen = measurePlanning(services, ENDPOINTS);
  if (services === 5000 && seen.fullCpuMs > 300) missed.push(`full compile and plan took ${ms(seen.fullCpuMs)} of CPU`);
  if (seen.eventMedianMs > 1) missed.push(`a slice change took ${ms(seen.eventMedianMs)} at ${services} Services`);
  if (seen.commandsPerEvent !== 1) missed.push(`a slice change ran ${seen.commandsPerEvent} commands`);
  if (seen.bytesPerService > 4096) missed.push(`a Service took ${seen.bytesPerService} bytes at ${services} Services`);
  const change = `${ms(seen.eventMedianMs)} / ${ms(seen.eventP99Ms)}`;
  console.log(
    `${String(services).padEnd(9)} ${`${ms(seen.fullMs)} (${ms(seen.fullCpuMs)})`.padEnd(24)} ${change.padEnd(31)} ` +
      `${seen.commandsPerEvent.toFixed(2).padEnd(9)} ${(seen.bytesPerService / 1024).toFixed(2)} KB`,
  );
}
console.log('wanted    <= 300 ms CPU at 5000    p50 <= 1 ms                     1         <= 4 KB\n');

const missing = umlMissing();
if (missing !== undefined) {
  console.log(`event to kernel: not measured, ${missing}`);
  process.exit(1);
}
console.log('services  load in the guest  event to kernel p50 / p99   commands an event');
for (const services of [100, 1000, 5000]) {
  const file = fileURLToPath(new URL('guest.ts', import.meta.url));
  const env = { SERVICES: String(services) };
  const result = await runInUml({ name: `bench${services}`, node: { file }, env, memMb: 2048, timeoutMs: 900_000 });
  const seen = JSON.parse(result.files['answer.json'] ?? '') as {
    failures: string[];
    loadMs: number;
    p50: number;
    p99: number;
    commandsPerEvent: number;
  };
  if (seen.failures.length > 0) throw new Error(seen.failures.join('\n'));
  if (seen.commandsPerEvent !== 1)
    missed.push(`an event ran ${seen.commandsPerEvent} commands at ${services} Services`);
  const latency = `${ms(seen.p50)} / ${ms(seen.p99)}`;
  console.log(
    `${String(services).padEnd(9)} ${ms(seen.loadMs).padEnd(18)} ${latency.padEnd(27)} ${seen.commandsPerEvent.toFixed(2)}`,
  );
}
console.log(missed.length === 0 ? '\nevery budget held' : `\nnot held:\n${missed.join('\n')}`);
process.exit(missed.length === 0 ? 0 : 1);
