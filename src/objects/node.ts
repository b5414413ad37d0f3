/**
 * Node: addresses, pod CIDRs, readiness and taints.
 * A Node without a Ready condition counts as ready: offline YAML has no kubelet to write one.
 */
import { addressOf, cidrsAt, flagAt, note, objectAt, objectsAt, show, textAt } from './fields.ts';
import type { Json, Report } from './fields.ts';
import { internList, internString } from './intern.ts';
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import type { NodeObject } from './types.ts';

/** Projects a Node from the API's JSON. Never throws: what is wrong becomes an issue. */
export function projectNode(raw: unknown): Projected<NodeObject> {
  return projectAs('Node', 'cluster', raw, (base, json, report) => {
    const spec = objectAt(report, json, 'spec', 'spec');
    const status = objectAt(report, json, 'status', 'status');
    return {
      kind: 'Node' as const,
      ...base,
      name: internString(base.name),
      addresses: readAddresses(status, report),
      podCIDRs: readPodCIDRs(spec, report),
      unschedulable: flagAt(report, spec, 'unschedulable', 'spec.unschedulable', false),
      ready: readReady(status, report),
      taints: readTaints(spec, report),
    };
  });
}

function readAddresses(status: Json, report: Report): NodeObject['addresses'] {
  const addresses: NodeObject['addresses'][number][] = [];
  for (const [item, path] of objectsAt(report, status, 'addresses', 'status.addresses')) {
    const type = item['type'];
    if (type !== 'InternalIP' && type !== 'ExternalIP') continue;
    const address = addressOf(report, item['address'], `${path}.address`);
    if (address !== undefined && !addresses.some((one) => one.type === type && one.address === address))
      addresses.push({ type, address });
  }
  return internList(addresses);
}

function readPodCIDRs(spec: Json, report: Report): readonly string[] {
  const many = internList(cidrsAt(report, spec, 'podCIDRs', 'spec.podCIDRs'));
  const single = spec['podCIDR'];
  if (single === undefined || single === null || single === '') return many;
  // The API server repeats the first of the list in it; written by hand the two may differ.
  const one = internList(cidrsAt(report, { podCIDR: [single] }, 'podCIDR', 'spec.podCIDR'));
  if (many.length === 0) return one;
  if (one[0] !== undefined && one[0] !== many[0])
    note(report, 'spec.podCIDR', `is not the first of spec.podCIDRs, ${many[0]}, which is used`);
  return many;
}

function readReady(status: Json, report: Report): boolean {
  for (const [item, path] of objectsAt(report, status, 'conditions', 'status.conditions')) {
    if (item['type'] !== 'Ready') continue;
    if (typeof item['status'] === 'string') return item['status'] === 'True';
    note(report, `${path}.status`, `${show(item['status'])} is not a string; read as not ready`);
    return false;
  }
  return true;
}

function readTaints(spec: Json, report: Report): NodeObject['taints'] {
  const taints: NodeObject['taints'][number][] = [];
  for (const [item, path] of objectsAt(report, spec, 'taints', 'spec.taints')) {
    const key = textAt(report, item, 'key', `${path}.key`);
    if (key === '') continue;
    const value = textAt(report, item, 'value', `${path}.value`);
    taints.push({ key, value, effect: textAt(report, item, 'effect', `${path}.effect`) });
  }
  return internList(taints);
}
