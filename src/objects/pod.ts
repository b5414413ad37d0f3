/**
 * Pod: where it runs, its addresses, the ports it names and the container ids by which its network namespace is found.
 * The kind of which there are most: everything that repeats is shared, and nothing is kept that no planner reads.
 */
import {
  addressOf,
  choiceAt,
  flagAt,
  integerAt,
  isJson,
  listAt,
  note,
  objectAt,
  objectsAt,
  show,
  textAt,
} from './fields.ts';
import type { Json, Report } from './fields.ts';
import { EMPTY_LIST, internList, internString, settleString } from './intern.ts';
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import { isPort, protocolOf } from './ports.ts';
import type { ContainerPort, PodObject } from './types.ts';

const PHASES = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'] as const;

/** Projects a Pod from the API's JSON. Never throws: what is wrong becomes an issue. */
export function projectPod(raw: unknown): Projected<PodObject> {
  return projectAs('Pod', 'namespace', raw, (base, json, report) => {
    const spec = objectAt(report, json, 'spec', 'spec');
    const status = objectAt(report, json, 'status', 'status');
    // An unreadable phase must not end what protects the pod: Unknown counts as alive.
    const phase = choiceAt(report, status, 'phase', 'status.phase', PHASES, phaseWithout(status));
    const pod = {
      kind: 'Pod' as const,
      namespace: base.namespace,
      name: base.name,
      uid: base.uid,
      labels: base.labels,
      annotations: base.annotations,
      nodeName: internString(textAt(report, spec, 'nodeName', 'spec.nodeName')),
      phase,
      hostNetwork: flagAt(report, spec, 'hostNetwork', 'spec.hostNetwork', false),
      hostIPs: internList(readIPs(report, status, 'hostIPs', 'hostIP')),
      ips: readIPs(report, status, 'podIPs', 'podIP'),
      ports: readPorts(report, spec),
      terminationGracePeriodSeconds: integerAt(
        report,
        spec,
        'terminationGracePeriodSeconds',
        'spec.terminationGracePeriodSeconds',
        { min: 0, max: Number.MAX_SAFE_INTEGER, fallback: 30 },
      ),
      ready: readReady(report, status),
      containerIds: readContainerIds(report, status),
    };
    return base.deletedAt === undefined ? pod : { ...pod, deletedAt: base.deletedAt };
  });
}

function phaseWithout(status: Json): PodObject['phase'] {
  return status['phase'] === undefined || status['phase'] === '' || status['phase'] === null ? 'Pending' : 'Unknown';
}

/** `podIPs: [{ip}]`, else `podIP`; the first of each family (validation allows one of each). */
function readIPs(report: Report, status: Json, many: string, one: string): readonly string[] {
  const found: string[] = [];
  const add = (value: unknown, path: string) => {
    const address = addressOf(report, value, path);
    if (address === undefined) return;
    const clash = found.find((other) => other.includes(':') === address.includes(':'));
    if (clash === undefined) found.push(settleString(address));
    else if (clash !== address) note(report, path, `${address} is a second address of its family; left out`);
  };
  let listed = 0;
  for (const [item, path] of objectsAt(report, status, many, `status.${many}`)) {
    listed++;
    add(item['ip'], `${path}.ip`);
  }
  const single = status[one];
  // The API server repeats the first of the list in it; then the text is the same and there is nothing to read.
  if (single !== undefined && single !== null && single !== '' && !(listed > 0 && single === found[0]))
    add(single, `status.${one}`);
  // A copy has no room to grow: with two lists a pod that is a quarter of its memory.
  return found.length === 0 ? EMPTY_LIST : found.slice();
}

function readPorts(report: Report, spec: Json): readonly ContainerPort[] {
  const ports: ContainerPort[] = [];
  const add = (container: Json, at: string) => {
    for (const [item, path] of objectsAt(report, container, 'ports', `${at}.ports`)) {
      const protocol = protocolOf(report, item, path);
      const port = item['containerPort'];
      if (protocol === undefined) continue;
      if (isPort(port)) ports.push({ name: textAt(report, item, 'name', `${path}.name`), protocol, port });
      else note(report, `${path}.containerPort`, `${show(port)} is not a port; left out`);
    }
  };
  for (const [item, path] of objectsAt(report, spec, 'containers', 'spec.containers')) add(item, path);
  for (const [item, path] of objectsAt(report, spec, 'initContainers', 'spec.initContainers')) {
    if (item['restartPolicy'] === 'Always') add(item, path);
  }
  return internList(ports);
}

function readReady(report: Report, status: Json): boolean {
  for (const [item] of objectsAt(report, status, 'conditions', 'status.conditions')) {
    if (item['type'] === 'Ready') return item['status'] === 'True';
  }
  return false;
}

function readContainerIds(report: Report, status: Json): readonly string[] {
  const ids: string[] = [];
  for (const key of ['initContainerStatuses', 'containerStatuses']) {
    for (const item of listAt(report, status, key, `status.${key}`)) {
      if (!isJson(item) || !isJson(item['state']) || !isJson(item['state']['running'])) continue;
      const id = item['containerID'];
      if (typeof id === 'string' && /^[a-z0-9-]+:\/\/[A-Za-z0-9_.-]+$/.test(id)) ids.push(id);
    }
  }
  return ids.length === 0 ? EMPTY_LIST : ids.slice();
}
