/**
 * One node of a cluster of so many nodes: compiles everything, then one change after the other, and prints what it cost as JSON.
 * A process of its own a size, so that memory is that of this size.
 */
import { createPolicyCompiler } from '../../src/firewall/index.ts';
import { createIngressCompiler } from '../../src/ingress/index.ts';
import { createRoutingCompiler } from '../../src/routing/index.ts';
import { projectNode, projectService } from '../../src/objects/index.ts';
import type { NodeObject, ServiceObject } from '../../src/objects/index.ts';
import { buildNode, buildService } from '../../src/testing/index.ts';
import { benchPod, benchWorld } from '../firewall/world.ts';
import { measurePlanning, sliceOf } from '../ipvs/cluster.ts';

/** Pods and Services a node: those up to which Kubernetes is tested (150,000 and 10,000 at 5,000 nodes). */
const PODS = 30;
const SERVICES = 2;
const ENDPOINTS = 10;

/** Milliseconds of processor time, milliseconds of a change, bytes that stay. */
export interface Cost {
  readonly fullCpuMs: number;
  readonly changeMs: number;
  readonly bytes: number;
  /** Kernel objects or advertisements that this node holds for it. */
  readonly items: number;
}

/** One row of the measurement. */
export interface Row {
  readonly nodes: number;
  readonly routing: Cost;
  readonly ipvs: Cost;
  readonly firewall: Cost;
  readonly ingress: Cost;
}

const heap = (): number => {
  for (let round = 0; round < 3; round++) globalThis.gc?.();
  return process.memoryUsage().heapUsed;
};
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

function measure<T>(full: () => T, items: (made: T) => number, change: (made: T, round: number) => void): Cost {
  const before = heap();
  const cpu = process.cpuUsage();
  const made = full();
  const used = process.cpuUsage(cpu);
  const bytes = heap() - before;
  const times: number[] = [];
  for (let round = 0; round < 300; round++) {
    const start = performance.now();
    change(made, round);
    times.push(performance.now() - start);
  }
  return { fullCpuMs: (used.user + used.system) / 1000, changeMs: median(times), bytes, items: items(made) };
}

const nodeOf = (index: number, annotations: Record<string, string> = {}): NodeObject => {
  const { object } = projectNode(
    buildNode(`node-${index}`, {
      addresses: [`172.${16 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`],
      podCIDRs: [`10.${128 + (index >> 8)}.${index & 255}.0/24`],
      annotations,
    }),
  );
  if (object === undefined) throw new Error('a generated node is invalid');
  return object;
};

function routing(nodes: number): Cost {
  const objects = Array.from({ length: nodes }, (_, index) => ({ key: `node-${index}`, object: nodeOf(index) }));
  const other = [nodeOf(1, { a: '1' }), { ...nodeOf(1), podCIDRs: ['10.127.1.0/24'] }];
  return measure(
    () => {
      const compiler = createRoutingCompiler({ node: 'node-0', source: 'nodes' });
      const output = compiler.update({
        nodes: objects,
        underlay: { interface: 'eth0', mtu: 1500, subnets: ['172.16.0.0/12'] },
      });
      return { compiler, output };
    },
    ({ output }) => output.state.size,
    ({ compiler }, round) => void compiler.update({ nodes: [{ key: 'node-1', object: other[round % 2] }] }),
  );
}

function firewall(nodes: number): Cost {
  const namespaces = Math.max(10, nodes / 5);
  const world = benchWorld({
    pods: nodes * PODS,
    policies: namespaces * 10,
    local: PODS,
    namespaces,
    localNamespaces: 5,
  });
  const input = {
    pods: world.pods.map((object) => ({ key: `${object.namespace}/${object.name}`, object })),
    namespaces: world.namespaces.map((object) => ({ key: object.name, object })),
    policies: world.policies.map((object) => ({ key: `${object.namespace}/${object.name}`, object })),
  };
  const come = { ...benchPod(250_000, 'ns-2', false), name: 'extra' };
  return measure(
    () => {
      const compiler = createPolicyCompiler({ node: 'node-0' });
      return { compiler, first: compiler.update(input) };
    },
    ({ first }) => [...first.state.families[4].sets.values()].reduce((sum, { members }) => sum + members.size, 0),
    ({ compiler }, round) => {
      const object = round % 2 === 0 ? come : undefined;
      compiler.update({ pods: [{ key: 'ns-2/extra', object }] });
    },
  );
}

function ingress(nodes: number): Cost {
  const count = nodes * SERVICES;
  const services = Array.from({ length: count }, (_, n) => {
    const address = `203.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
    const { object } = projectService(
      buildService(`bench/s${n}`, { ports: [{ port: 80 }], spec: { externalIPs: [address] } }),
    );
    return { key: `bench/s${n}`, object: object as ServiceObject };
  });
  const slices = Array.from({ length: count }, (_, n) => ({ key: `bench/s${n}-4`, object: sliceOf(n, ENDPOINTS) }));
  const whole = sliceOf(1, ENDPOINTS);
  const states = [{ ...whole, endpoints: [] }, whole];
  return measure(
    () => {
      const compiler = createIngressCompiler('node-1', {
        advertiseExternalIp: true,
        externalIpRanges: ['203.0.0.0/8'],
      });
      return { compiler, output: compiler.update({ services, endpointSlices: slices }) };
    },
    ({ output }) => output.advertisements.length,
    ({ compiler }, round) => {
      compiler.update({ endpointSlices: [{ key: 'bench/s1-4', object: states[round % 2] }] });
    },
  );
}

function ipvs(nodes: number): Cost {
  const count = nodes * SERVICES;
  const seen = measurePlanning(count, ENDPOINTS, 300);
  return {
    fullCpuMs: seen.fullCpuMs,
    changeMs: seen.eventMedianMs,
    bytes: seen.bytesPerService * count,
    items: count * (1 + ENDPOINTS),
  };
}

const nodes = Number(process.argv[2]);
// warm, as a long-lived agent is
for (const one of [routing, firewall, ingress]) one(50);
measurePlanning(100, ENDPOINTS, 100);
const row: Row = {
  nodes,
  routing: routing(nodes),
  ipvs: ipvs(nodes),
  firewall: firewall(nodes),
  ingress: ingress(nodes),
};
console.log(JSON.stringify(row));
