/**
 * One Service with its slices to the items that it needs: the unit of incremental compilation.
 * Every address of the Service goes through one function with the policy that holds for it, which is in place.ts. Pure; the
 * compiler counts owners.
 */
import { textFamily } from '../../net/address.ts';
import type { Family, Issue } from '../../net/values.ts';
import type { Endpoint, EndpointSliceObject, ServiceObject, ServicePort } from '../../objects/types.ts';
import type { IpvsItem } from '../model.ts';
import { externalAddresses, inside, loadBalancerAddresses } from './addresses.ts';
import { isServed, readChoices } from './annotations.ts';
import type { Complain } from './annotations.ts';
import { candidates, select } from './endpoints.ts';
import type { Selection } from './endpoints.ts';
import type { MarkAllocator } from './marks.ts';
import type { ResolvedOptions } from './options.ts';
import { createBuilder } from './place.ts';
import type { Kind } from './place.ts';

/** What a Service of this node's health-check port says. */
export interface HealthPort {
  readonly namespace: string;
  readonly name: string;
  /** TCP port that answers health checks, on every address. */
  readonly port: number;
  /** Local endpoints that take traffic. */
  readonly localEndpoints: number;
}

/** A local pod that serves a VIP by DSR and needs the VIP in its network namespace. */
export interface DsrPod {
  /** `namespace/name`. */
  readonly pod: string;
  /** The pod's address of the VIP's family. */
  readonly address: string;
  readonly vip: string;
  /** What the directors send travels in UDP. @defaultValue false */
  readonly fou?: boolean;
  /** The pod's uid: another pod of the same name and address is prepared anew. @defaultValue '' */
  readonly uid?: string;
}

/** What one Service needs. */
export interface Fragment {
  /** Each key once. */
  readonly items: readonly IpvsItem[];
  readonly issues: readonly Issue[];
  /** Where it asks to be served, whether it is or not: `tcp/10.96.0.1:80`. */
  readonly places: readonly string[];
  /** Owners of marks that it uses. */
  readonly marks: readonly string[];
  readonly health?: HealthPort;
  readonly dsr?: readonly DsrPod[];
  /** VIPs that are served by DSR. */
  readonly tunnelled?: readonly string[];
}

/** A Service that is not served. */
export const EMPTY_FRAGMENT: Fragment = { items: [], issues: [], places: [], marks: [] };

/** What compiling one Service needs to know besides it. */
export interface ServiceContext {
  readonly options: ResolvedOptions;
  /** Claims a place for the Service `namespace/name`; returns the one that has it. */
  readonly claim: (place: string, service: string) => string;
  readonly weightOf: (endpoint: Endpoint, complain: Complain) => number;
  readonly hostNetwork: (endpoint: Endpoint) => boolean;
  readonly podUid: (endpoint: Endpoint) => string;
  readonly dsrMarks: MarkAllocator;
  readonly fouMarks: MarkAllocator;
  readonly insideMarks: MarkAllocator;
}

/** Records problems of one Service, each once. */
function createComplaints(service: ServiceObject): { readonly issues: readonly Issue[]; readonly complain: Complain } {
  const issues: Issue[] = [];
  return {
    issues,
    complain(field, reason) {
      if (issues.some((issue) => issue.field === field && issue.reason === reason)) return;
      issues.push({ object: `Service ${service.namespace}/${service.name}`, field, reason });
    },
  };
}

/** Local endpoints that are ready and stay, of both families once. */
function healthOf(service: ServiceObject, slices: readonly EndpointSliceObject[], node: string): HealthPort {
  const { namespace, name, healthCheckNodePort: port, ports } = service;
  const local = new Set<string>();
  for (const one of ports) {
    for (const family of [4, 6] as const) {
      for (const { endpoint, address } of candidates(slices, one, family)) {
        if (endpoint.nodeName !== node || !endpoint.ready || endpoint.terminating) continue;
        local.add(endpoint.pod === '' ? address : endpoint.pod);
      }
    }
  }
  return { namespace, name, port, localEndpoints: local.size };
}

/** The first of each key; most Services have few items. */
function unique(items: readonly IpvsItem[]): readonly IpvsItem[] {
  if (items.length > 8) return [...new Map(items.toReversed().map((item) => [item.key, item])).values()].reverse();
  return items.filter((item, index) => {
    for (let other = 0; other < index; other++) if (items[other]?.key === item.key) return false;
    return true;
  });
}

const NONE: readonly never[] = [];

/** The list at its own length: one that grew holds room for more, in every Service for as long as it is there. */
function trimmed<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? NONE : list.slice();
}

/** Compiles one Service. */
export function compileService(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  context: ServiceContext,
): Fragment {
  if (!isServed(service)) return EMPTY_FRAGMENT;
  const { options } = context;
  const { node } = options;
  const { issues, complain } = createComplaints(service);
  const choices = readChoices(
    service,
    { scheduler: options.scheduler, hairpin: options.hairpin, drain: options.gracefulTermination },
    complain,
  );
  for (const slice of slices) {
    if (slice.ports.length > 0 || slice.endpoints.length === 0) continue;
    complain('spec.ports', `EndpointSlice ${slice.namespace}/${slice.name} has no port; its endpoints are left out`);
  }
  const builder = createBuilder(service, choices, context, complain);
  const external = externalAddresses(service, options, complain);
  const balanced = choices.skipLoadBalancer ? [] : loadBalancerAddresses(service, options, complain);
  const add = (kind: Kind, address: string, number: number, port: ServicePort, select: SelectFamily): void => {
    const family = textFamily(address);
    if (node.primary[family] === undefined || inside(address, options.excludedCidrs)) return;
    builder.add(kind, address, number, port, select(family));
  };
  for (const port of service.ports) {
    const select = selections(service, slices, port, options);
    for (const address of service.clusterIPs) add('cluster', address, port.port, port, select);
    for (const address of external) add('external', address, port.port, port, select);
    for (const address of balanced)
      if (!external.includes(address)) add('loadbalancer', address, port.port, port, select);
    if (port.nodePort === 0) continue;
    const primaries = [node.primary[4], node.primary[6]].filter((address) => address !== undefined);
    for (const address of options.nodePortOnAllAddresses ? node.addresses : primaries) {
      const served = service.clusterIPs.some((ip) => textFamily(ip) === textFamily(address));
      if (served) add('node', address, port.nodePort, port, select);
    }
  }
  return {
    items: trimmed(unique(builder.items)),
    issues: trimmed(issues),
    places: trimmed(builder.places),
    marks: trimmed(builder.marks),
    ...(builder.dsr.length === 0 ? {} : { dsr: builder.dsr }),
    ...(builder.tunnelled.length === 0 ? {} : { tunnelled: builder.tunnelled }),
    ...(service.healthCheckNodePort === 0 ? {} : { health: healthOf(service, slices, node.name) }),
  };
}

type SelectFamily = (family: Family) => Selection;

/** The endpoints of a port, looked up once for each family that is asked for. */
function selections(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  port: ServicePort,
  options: ResolvedOptions,
): SelectFamily {
  const known: { [F in Family]?: Selection } = {};
  return (family) => (known[family] ??= select(service, candidates(slices, port, family), options.node));
}
