/**
 * A synthetic cluster for the benchmarks of the service proxy: so many Services with so many endpoints each.
 */
import { createServiceCompiler, emptyObserved, plan, renderCommands } from '../../src/ipvs/index.ts';
import type { IpvsObserved, ServiceChange, ServiceCompiler } from '../../src/ipvs/index.ts';
import { applyStep } from '../../src/ipvs/plan.ts';
import { projectEndpointSlice, projectService } from '../../src/objects/index.ts';
import type { EndpointSliceObject, ServiceObject } from '../../src/objects/index.ts';
import { buildEndpointSlice, buildService } from '../../src/testing/builders.ts';

/** Address of endpoint `index` of service `service`. */
export function endpointAddress(service: number, index: number): string {
  const number = service * 16 + index;
  return `10.${128 + ((number >> 16) & 127)}.${(number >> 8) & 255}.${number & 255}`;
}

function must<T>(object: T | undefined): T {
  if (object === undefined) throw new Error('a generated object is invalid');
  return object;
}

/** The Service of a number. */
export function serviceOf(number: number): ServiceObject {
  const clusterIPs = [`10.96.${number >> 8}.${number & 255}`];
  return must(
    projectService(buildService(`bench/s${number}`, { clusterIPs, ports: [{ port: 80, protocol: 'TCP' }] })).object,
  );
}

/** Its slice. */
export function sliceOf(number: number, endpoints: number): EndpointSliceObject {
  const list = Array.from({ length: endpoints }, (_, index) => ({
    address: endpointAddress(number, index),
    node: `node-${index % 50}`,
    pod: `bench/s${number}-${index}`,
  }));
  return must(
    projectEndpointSlice(buildEndpointSlice(`bench/s${number}`, { endpoints: list, ports: [{ port: 8080 }] })).object,
  );
}

/** All objects as changes. */
export function clusterChanges(services: number, endpoints: number): ServiceChange[] {
  const changes: ServiceChange[] = [];
  for (let number = 0; number < services; number++) {
    changes.push({ kind: 'Service', key: `bench/s${number}`, object: serviceOf(number) });
    changes.push({ kind: 'EndpointSlice', key: `bench/s${number}-4`, object: sliceOf(number, endpoints) });
  }
  return changes;
}

/** What a run of {@link measurePlanning} measured; milliseconds and bytes. */
export interface PlanningResult {
  readonly fullMs: number;
  /** Processor time of the same, user and system: what the machine's other work does not change. */
  readonly fullCpuMs: number;
  readonly eventMedianMs: number;
  readonly eventP99Ms: number;
  readonly commandsPerEvent: number;
  readonly bytesPerService: number;
}

const NODE = { name: 'node-1', primary: { 4: '192.168.1.11' }, podCIDRs: ['10.1.1.0/24'] } as const;

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** Compiles, plans and renders a cluster in full, then one slice change after the other. */
export function measurePlanning(services: number, endpoints: number, events = 500): PlanningResult {
  const changes = clusterChanges(services, endpoints);
  globalThis.gc?.();
  globalThis.gc?.();
  const heapBefore = process.memoryUsage().heapUsed;
  const started = performance.now();
  const cpu = process.cpuUsage();
  const compiler: ServiceCompiler = createServiceCompiler({ node: NODE, gracefulTermination: false });
  compiler.update(changes);
  const { state } = compiler.flush();
  const observed: IpvsObserved = emptyObserved();
  let full: ReturnType<typeof plan> | undefined = plan(state, observed);
  const fullMs = performance.now() - started;
  const used = process.cpuUsage(cpu);
  const fullCpuMs = (used.user + used.system) / 1000;
  for (const step of full.steps) applyStep(observed, step);
  full = undefined;
  globalThis.gc?.();
  globalThis.gc?.();
  const bytesPerService = (process.memoryUsage().heapUsed - heapBefore) / services;
  const times: number[] = [];
  let commands = 0;
  for (let event = 0; event < events; event++) {
    // An endpoint leaves, then returns: each is one event and one command.
    const number = ((event >> 1) * 7919) % services;
    const whole = sliceOf(number, endpoints);
    const object = event % 2 === 0 ? { ...whole, endpoints: whole.endpoints.slice(1) } : whole;
    const from = performance.now();
    compiler.update([{ kind: 'EndpointSlice', key: `bench/s${number}-4`, object }]);
    const next = compiler.flush();
    const steps = plan(next.state, observed, {
      prune: true,
      ...(next.dirty === undefined ? {} : { dirty: next.dirty }),
    });
    commands += renderCommands(steps).length;
    times.push(performance.now() - from);
    for (const step of steps.steps) applyStep(observed, step);
  }
  times.sort((a, b) => a - b);
  return {
    fullMs,
    fullCpuMs,
    eventMedianMs: quantile(times, 0.5),
    eventP99Ms: quantile(times, 0.99),
    commandsPerEvent: commands / events,
    bytesPerService,
  };
}
