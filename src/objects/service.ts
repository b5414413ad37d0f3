/**
 * Service: addresses, ports and the policies by which it is served.
 * What a bad field falls back to is the narrower reading wherever one exists: a source range that cannot be read admits nobody.
 */
import { textFamily } from '../net/address.ts';
import type { Family } from '../net/values.ts';
import {
  addressOf,
  addressesAt,
  choiceAt,
  cidrsAt,
  flagAt,
  integerAt,
  listAt,
  mapAt,
  note,
  objectAt,
  objectsAt,
  show,
  textAt,
} from './fields.ts';
import type { Json, Report } from './fields.ts';
import { EMPTY_LIST, internList } from './intern.ts';
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import { isPort, isPortName, protocolOf } from './ports.ts';
import type { ServiceObject, ServicePort } from './types.ts';

/** A range that no packet comes from: what is left when every source range of a Service is unreadable. */
const NOBODY = '0.0.0.0/32';

/** Projects a Service from the API's JSON. Never throws: what is wrong becomes an issue. */
export function projectService(raw: unknown): Projected<ServiceObject> {
  return projectAs('Service', 'namespace', raw, (base, json, report) => {
    const spec = objectAt(report, json, 'spec', 'spec');
    const status = objectAt(report, json, 'status', 'status');
    const type = choiceAt(
      report,
      spec,
      'type',
      'spec.type',
      ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'],
      'ClusterIP',
    );
    const headless = isHeadless(spec);
    const clusterIPs = headless ? EMPTY_LIST : readClusterIPs(report, spec);
    return {
      kind: 'Service' as const,
      ...base,
      type,
      clusterIPs,
      headless,
      ipFamilies: readFamilies(report, spec, clusterIPs),
      ipFamilyPolicy: choiceAt(
        report,
        spec,
        'ipFamilyPolicy',
        'spec.ipFamilyPolicy',
        ['SingleStack', 'PreferDualStack', 'RequireDualStack'],
        'SingleStack',
      ),
      externalIPs: addressesAt(report, spec, 'externalIPs', 'spec.externalIPs'),
      loadBalancerIP: readLoadBalancerIP(report, spec),
      loadBalancerClass: textAt(report, spec, 'loadBalancerClass', 'spec.loadBalancerClass'),
      loadBalancerSourceRanges: readSourceRanges(report, spec),
      ingress: readIngress(report, status),
      ports: readPorts(report, spec),
      selector: mapAt(report, spec, 'selector', 'spec.selector'),
      sessionAffinity: choiceAt(report, spec, 'sessionAffinity', 'spec.sessionAffinity', ['None', 'ClientIP'], 'None'),
      sessionAffinityTimeoutSeconds: readAffinityTimeout(report, spec),
      internalTrafficPolicy: trafficPolicy(report, spec, 'internalTrafficPolicy'),
      externalTrafficPolicy: trafficPolicy(report, spec, 'externalTrafficPolicy'),
      healthCheckNodePort: integerAt(report, spec, 'healthCheckNodePort', 'spec.healthCheckNodePort', {
        min: 0,
        max: 65535,
        fallback: 0,
      }),
      trafficDistribution: readDistribution(report, spec),
      publishNotReadyAddresses: flagAt(
        report,
        spec,
        'publishNotReadyAddresses',
        'spec.publishNotReadyAddresses',
        false,
      ),
      allocateLoadBalancerNodePorts: flagAt(
        report,
        spec,
        'allocateLoadBalancerNodePorts',
        'spec.allocateLoadBalancerNodePorts',
        true,
      ),
    };
  });
}

function isHeadless(spec: Json): boolean {
  const many = spec['clusterIPs'];
  return spec['clusterIP'] === 'None' || (Array.isArray(many) && many[0] === 'None');
}

/** `spec.clusterIPs`, else `[spec.clusterIP]`; at most one a family. */
function readClusterIPs(report: Report, spec: Json): readonly string[] {
  const many = addressesAt(report, spec, 'clusterIPs', 'spec.clusterIPs');
  if (many.length > 0) {
    checkFirst(report, spec, many[0]);
    const one = many.filter(
      (ip, index) => many.findIndex((other) => other.includes(':') === ip.includes(':')) === index,
    );
    if (one.length === many.length) return many;
    note(report, 'spec.clusterIPs', 'has two addresses of one family; the first is kept');
    return one;
  }
  // Written down twice by the API server: one wrong address is one issue.
  if (Array.isArray(spec['clusterIPs']) && spec['clusterIPs'].length > 0) return EMPTY_LIST;
  const single = spec['clusterIP'];
  if (single === undefined || single === null || single === '') return EMPTY_LIST;
  const address = addressOf(report, single, 'spec.clusterIP');
  return address === undefined ? EMPTY_LIST : [address];
}

/** `clusterIP` repeats `clusterIPs[0]`: the API server keeps them equal, a hand-written manifest may not. */
function checkFirst(report: Report, spec: Json, first: string | undefined): void {
  const single = spec['clusterIP'];
  if (single === undefined || single === null || single === '' || single === first) return;
  const address = addressOf(report, single, 'spec.clusterIP');
  if (address !== undefined && address !== first)
    note(report, 'spec.clusterIP', `is not the first of spec.clusterIPs, ${first}, which is used`);
}

function readFamilies(report: Report, spec: Json, clusterIPs: readonly string[]): readonly Family[] {
  const families: Family[] = [];
  listAt(report, spec, 'ipFamilies', 'spec.ipFamilies').forEach((item, index) => {
    const family = item === 'IPv4' ? 4 : item === 'IPv6' ? 6 : undefined;
    if (family === undefined)
      note(report, `spec.ipFamilies[${index}]`, `${show(item)} is neither IPv4 nor IPv6; left out`);
    else if (!families.includes(family)) families.push(family);
  });
  if (families.length > 0) return internList(families);
  // YAML that no API server has defaulted: the families are those of its addresses.
  return internList(clusterIPs.map(textFamily));
}

function readLoadBalancerIP(report: Report, spec: Json): string {
  const value = spec['loadBalancerIP'];
  if (value === undefined || value === null || value === '') return '';
  return addressOf(report, value, 'spec.loadBalancerIP') ?? '';
}

function readSourceRanges(report: Report, spec: Json): readonly string[] {
  const before = report.issues.length;
  const ranges = cidrsAt(report, spec, 'loadBalancerSourceRanges', 'spec.loadBalancerSourceRanges');
  if (ranges.length > 0 || report.issues.length === before) return internList(ranges);
  note(report, 'spec.loadBalancerSourceRanges', 'has no readable range; nobody is admitted');
  return internList([NOBODY]);
}

function readIngress(report: Report, status: Json): ServiceObject['ingress'] {
  const ingress: ServiceObject['ingress'][number][] = [];
  const balancer = objectAt(report, status, 'loadBalancer', 'status.loadBalancer');
  for (const [item, path] of objectsAt(report, balancer, 'ingress', 'status.loadBalancer.ingress')) {
    if (item['ip'] === undefined || item['ip'] === null || item['ip'] === '') continue;
    const ip = addressOf(report, item['ip'], `${path}.ip`);
    if (ip === undefined || ingress.some((one) => one.ip === ip)) continue;
    ingress.push({ ip, ipMode: choiceAt(report, item, 'ipMode', `${path}.ipMode`, ['VIP', 'Proxy'], 'VIP') });
  }
  return ingress.length === 0 ? EMPTY_LIST : ingress;
}

function readPorts(report: Report, spec: Json): readonly ServicePort[] {
  const ports: ServicePort[] = [];
  for (const [item, path] of objectsAt(report, spec, 'ports', 'spec.ports')) {
    const port = item['port'];
    const protocol = protocolOf(report, item, path);
    if (protocol === undefined) continue;
    if (!isPort(port)) {
      note(report, `${path}.port`, `${show(port)} is not a port; the port is left out`);
      continue;
    }
    if (ports.some((other) => other.port === port && other.protocol === protocol)) {
      note(report, path, `repeats ${protocol} port ${port}; left out`);
      continue;
    }
    const targetPort = readTargetPort(report, item, port, path);
    if (targetPort === undefined) continue;
    ports.push({
      name: textAt(report, item, 'name', `${path}.name`),
      protocol,
      port,
      targetPort,
      nodePort: integerAt(report, item, 'nodePort', `${path}.nodePort`, { min: 0, max: 65535, fallback: 0 }),
      appProtocol: textAt(report, item, 'appProtocol', `${path}.appProtocol`),
    });
  }
  return internList(ports);
}

function readTargetPort(report: Report, item: Json, port: number, path: string): number | string | undefined {
  const value = item['targetPort'];
  if (value === undefined || value === null || value === 0 || value === '') return port;
  if (isPort(value) || isPortName(value)) return value;
  note(report, `${path}.targetPort`, `${show(value)} is neither a port nor a port name; the port is left out`);
  return undefined;
}

function readAffinityTimeout(report: Report, spec: Json): number {
  const config = objectAt(report, spec, 'sessionAffinityConfig', 'spec.sessionAffinityConfig');
  const client = objectAt(report, config, 'clientIP', 'spec.sessionAffinityConfig.clientIP');
  const path = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  return integerAt(report, client, 'timeoutSeconds', path, { min: 1, max: 86_400, fallback: 10_800 });
}

/** An unreadable traffic policy is read as Local: traffic stays on the node rather than going where it may not. */
function trafficPolicy(
  report: Report,
  spec: Json,
  key: 'internalTrafficPolicy' | 'externalTrafficPolicy',
): 'Cluster' | 'Local' {
  const absent = spec[key] === undefined || spec[key] === null || spec[key] === '';
  return choiceAt(report, spec, key, `spec.${key}`, ['Cluster', 'Local'], absent ? 'Cluster' : 'Local');
}

function readDistribution(report: Report, spec: Json): ServiceObject['trafficDistribution'] {
  const words = ['', 'PreferClose', 'PreferSameZone', 'PreferSameNode'] as const;
  return choiceAt(report, spec, 'trafficDistribution', 'spec.trafficDistribution', words, '');
}
