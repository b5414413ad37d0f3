/**
 * EndpointSlice: where the traffic of one Service goes, in one address family.
 * Conditions that nobody wrote mean ready (EndpointSlice API); a slice of host names (`FQDN`) has nothing to program and is an issue.
 */
import type { Family } from '../net/values.ts';
import { addressOf, isJson, listAt, note, objectAt, objectsAt, show, textAt } from './fields.ts';
import type { Json, Report } from './fields.ts';
import { EMPTY_LIST, internList, internString } from './intern.ts';
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import { isPort, protocolOf } from './ports.ts';
import type { Endpoint, EndpointSliceObject, ObjectBase } from './types.ts';

/** The API's limit for one slice (discovery/v1 validation). */
const ENDPOINTS_MAX = 1000;
const SERVICE_LABEL = 'kubernetes.io/service-name';

/** Projects an EndpointSlice from the API's JSON. Never throws: what is wrong becomes an issue. */
export function projectEndpointSlice(raw: unknown): Projected<EndpointSliceObject> {
  return projectAs('EndpointSlice', 'namespace', raw, (base, json, report) => {
    const family = readFamily(report, json);
    if (family === undefined) return undefined;
    return {
      kind: 'EndpointSlice' as const,
      ...base,
      service: readService(base, json),
      family,
      ports: readPorts(report, json),
      endpoints: readEndpoints(report, json, family, base.namespace),
    };
  });
}

function readFamily(report: Report, json: Json): Family | undefined {
  const type = json['addressType'];
  if (type === 'IPv4') return 4;
  if (type === 'IPv6') return 6;
  if (type === 'FQDN') note(report, 'addressType', 'FQDN: no packet is sent to a host name; the slice is ignored');
  else note(report, 'addressType', `${show(type)} is none of IPv4, IPv6, FQDN; the slice is ignored`);
  return undefined;
}

function readService(base: ObjectBase, json: Json): string {
  const label = base.labels[SERVICE_LABEL];
  if (label !== undefined && label !== '') return label;
  const metadata = json['metadata'];
  const owners: unknown = isJson(metadata) ? metadata['ownerReferences'] : undefined;
  if (!Array.isArray(owners)) return '';
  for (const owner of owners as readonly unknown[]) {
    if (isJson(owner) && owner['kind'] === 'Service' && typeof owner['name'] === 'string')
      return internString(owner['name']);
  }
  return '';
}

function readPorts(report: Report, json: Json): EndpointSliceObject['ports'] {
  const ports: EndpointSliceObject['ports'][number][] = [];
  for (const [item, path] of objectsAt(report, json, 'ports', 'ports')) {
    const protocol = protocolOf(report, item, path);
    if (protocol === undefined) continue;
    const port = item['port'];
    if (!isPort(port)) {
      note(report, `${path}.port`, `${show(port)} is not a port; left out`);
      continue;
    }
    const name = textAt(report, item, 'name', `${path}.name`);
    ports.push({ name, protocol, port, appProtocol: textAt(report, item, 'appProtocol', `${path}.appProtocol`) });
  }
  return internList(ports);
}

function readEndpoints(report: Report, json: Json, family: Family, namespace: string): readonly Endpoint[] {
  const endpoints: Endpoint[] = [];
  const list = json['endpoints'];
  if (Array.isArray(list) && list.length > ENDPOINTS_MAX) {
    note(report, 'endpoints', `${list.length} endpoints, of which the API allows ${ENDPOINTS_MAX}; all are used`);
  }
  for (const [item, path] of objectsAt(report, json, 'endpoints', 'endpoints')) {
    const addresses = readAddresses(report, item, path, family);
    if (addresses.length === 0) continue;
    const conditions = objectAt(report, item, 'conditions', `${path}.conditions`);
    const ready = condition(report, conditions, 'ready', `${path}.conditions.ready`, true);
    const hints = objectAt(report, item, 'hints', `${path}.hints`);
    endpoints.push({
      addresses,
      ready,
      serving: condition(report, conditions, 'serving', `${path}.conditions.serving`, ready),
      terminating: condition(report, conditions, 'terminating', `${path}.conditions.terminating`, false),
      nodeName: internString(textAt(report, item, 'nodeName', `${path}.nodeName`)),
      zone: internString(textAt(report, item, 'zone', `${path}.zone`)),
      hintZones: readHints(report, hints, 'forZones', path),
      hintNodes: readHints(report, hints, 'forNodes', path),
      pod: readPod(item['targetRef'], namespace),
    });
  }
  return endpoints.length === 0 ? EMPTY_LIST : endpoints.slice();
}

function readAddresses(report: Report, item: Json, path: string, family: Family): readonly string[] {
  const found: string[] = [];
  const raw = item['addresses'];
  if (raw === undefined || raw === null || (Array.isArray(raw) && raw.length === 0)) {
    note(report, `${path}.addresses`, 'no address; the endpoint is left out');
  }
  listAt(report, item, 'addresses', `${path}.addresses`).forEach((value, index) => {
    const at = `${path}.addresses[${index}]`;
    const address = addressOf(report, value, at);
    if (address === undefined || found.includes(address)) return;
    if (address.includes(':') === (family === 6)) found.push(address);
    else note(report, at, `${address} is not of the slice's family; left out`);
  });
  return found.slice();
}

/** An unreadable condition counts as not met: traffic is kept away from what is not known to be well. */
function condition(report: Report, conditions: Json, key: string, path: string, absent: boolean): boolean {
  const value = conditions[key];
  if (value === undefined || value === null) return absent;
  if (typeof value === 'boolean') return value;
  note(report, path, `${show(value)} is not true or false; read as ${key === 'terminating'}`);
  return key === 'terminating';
}

function readHints(report: Report, hints: Json, key: 'forZones' | 'forNodes', path: string): readonly string[] {
  if (hints[key] === undefined) return EMPTY_LIST;
  const names: string[] = [];
  for (const [item, at] of objectsAt(report, hints, key, `${path}.hints.${key}`)) {
    const name = textAt(report, item, 'name', `${at}.name`);
    if (name !== '') names.push(name);
  }
  return internList(names);
}

function readPod(target: unknown, namespace: string): string {
  if (!isJson(target) || target['kind'] !== 'Pod' || typeof target['name'] !== 'string') return '';
  const own = typeof target['namespace'] === 'string' && target['namespace'] !== '' ? target['namespace'] : namespace;
  return `${own}/${target['name']}`;
}
