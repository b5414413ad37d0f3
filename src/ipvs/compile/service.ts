/**
 * One Service with its slices to the items that it needs: the unit of incremental compilation.
 * Every address of the Service goes through one function with the policy that holds for it. Pure; the compiler counts owners.
 */
import type { Family, Issue } from '../../net/values.ts';
import type { Endpoint, EndpointSliceObject, ServiceObject, ServicePort } from '../../objects/types.ts';
import { MARK_MASK, hostPort, ipvsNames, markKey, serverKey, setNameFor } from '../model.ts';
import type { EntryItem, IpvsItem, RealServer, VirtualServerItem } from '../model.ts';
import { externalAddresses, inside, loadBalancerAddresses } from './addresses.ts';
import { isServed, readChoices } from './annotations.ts';
import type { Complain, ServiceChoices } from './annotations.ts';
import { dsrItems } from './base.ts';
import { candidates, realServers, select } from './endpoints.ts';
import type { Candidate, Selection } from './endpoints.ts';
import type { MarkAllocator } from './marks.ts';
import type { ResolvedOptions } from './options.ts';

/** What a Service of this node's health-check port says. */
export interface HealthPort {
  readonly namespace: string;
  readonly name: string;
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
  readonly items: readonly IpvsItem[];
  readonly issues: readonly Issue[];
  readonly health?: HealthPort;
  readonly dsr?: readonly DsrPod[];
  /** Owners of marks that it uses. */
  readonly marks: readonly string[];
}

/** What compiling one Service needs to know besides it. */
export interface ServiceContext {
  readonly options: ResolvedOptions;
  readonly weightOf: (endpoint: Endpoint, complain: Complain) => number;
  readonly hostNetwork: (endpoint: Endpoint) => boolean;
  readonly podUid: (endpoint: Endpoint) => string;
  readonly dsrMarks: MarkAllocator;
  readonly fouMarks: MarkAllocator;
  readonly insideMarks: MarkAllocator;
}

type Kind = 'cluster' | 'node' | 'external' | 'loadbalancer';

const EMPTY: Fragment = { items: [], issues: [], marks: [] };

/** Family of a canonical address. */
export function familyOfText(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

/** An element of one of our sets. */
export function entry(name: string, family: Family, element: string, options = ''): EntryItem {
  const set = setNameFor(name, family);
  return { type: 'entry', key: `entry/${set}/${element}`, set, element, options };
}

/** A network as `ipset save` prints it: a host without its length. */
function network(cidr: string): string {
  return cidr.replace(cidr.includes(':') ? /\/128$/ : /\/32$/, '');
}

/** Compiles one Service. */
export function compileService(
  service: ServiceObject,
  slices: readonly EndpointSliceObject[],
  context: ServiceContext,
): Fragment {
  if (!isServed(service)) return EMPTY;
  const { options } = context;
  const object = `Service ${service.namespace}/${service.name}`;
  const issues: Issue[] = [];
  const complained = new Set<string>();
  const complain: Complain = (field, reason) => {
    const text = `${field} ${reason}`;
    if (complained.has(text)) return;
    complained.add(text);
    issues.push({ object, field, reason });
  };
  const choices = readChoices(
    service,
    { scheduler: options.scheduler, hairpin: options.hairpin, drain: options.gracefulTermination },
    complain,
  );
  const builder = createBuilder(service, choices, context, complain);
  const external = externalAddresses(service, options, complain);
  const balanced = choices.skipLoadBalancer ? [] : loadBalancerAddresses(service, options, complain);
  const families = new Set(service.clusterIPs.map(familyOfText));
  const localNames = new Set<string>();
  service.ports.forEach((port, index) => {
    const selections = new Map<Family, Selection>();
    for (const family of [4, 6] as const) {
      const selection = select(service, candidates(slices, port, family), options.node);
      selections.set(family, selection);
      for (const { endpoint, address } of selection.local) {
        if (endpoint.ready && !endpoint.terminating) localNames.add(endpoint.pod === '' ? address : endpoint.pod);
      }
    }
    const add = (kind: Kind, address: string, number: number): void => {
      const family = familyOfText(address);
      if (options.node.primary[family] === undefined) return;
      if (inside(address, options.excludedCidrs)) return;
      builder.add(kind, address, number, port, index, selections.get(family) ?? { cluster: [], local: [] });
    };
    for (const address of service.clusterIPs) add('cluster', address, port.port);
    for (const address of external) add('external', address, port.port);
    for (const address of balanced) if (!external.includes(address)) add('loadbalancer', address, port.port);
    if (port.nodePort === 0) return;
    for (const family of families) {
      const primary = options.node.primary[family];
      const addresses = options.nodePortOnAllAddresses
        ? options.node.addresses.filter((address) => familyOfText(address) === family)
        : primary === undefined
          ? []
          : [primary];
      for (const address of addresses) add('node', address, port.nodePort);
    }
  });
  const health =
    service.healthCheckNodePort === 0
      ? {}
      : {
          health: {
            namespace: service.namespace,
            name: service.name,
            port: service.healthCheckNodePort,
            localEndpoints: localNames.size,
          },
        };
  const dsr = builder.dsr.length === 0 ? {} : { dsr: builder.dsr };
  return { items: builder.items, issues, marks: builder.marks, ...dsr, ...health };
}

function createBuilder(
  service: ServiceObject,
  choices: ServiceChoices,
  context: ServiceContext,
  complain: Complain,
): {
  readonly items: IpvsItem[];
  readonly marks: string[];
  readonly dsr: DsrPod[];
  add(kind: Kind, address: string, number: number, port: ServicePort, index: number, selection: Selection): void;
} {
  const { options } = context;
  const items: IpvsItem[] = [];
  const marks: string[] = [];
  const dsr: DsrPod[] = [];
  const persistence = service.sessionAffinity === 'ClientIP' ? service.sessionAffinityTimeoutSeconds : 0;
  const common = { type: 'vs', scheduler: choices.scheduler, flags: choices.flags, persistence } as const;
  const serversOf = (chosen: readonly Candidate[], port?: number): RealServer[] =>
    realServers(chosen, (endpoint) => context.weightOf(endpoint, complain), port);
  const isLocal = (kind: Kind): boolean => {
    if (kind === 'cluster') return service.internalTrafficPolicy === 'Local' && !choices.local;
    return choices.local || service.externalTrafficPolicy === 'Local';
  };

  /** A service keyed by mark for `where`; undefined when no mark is left. */
  const marked = (
    allocator: MarkAllocator,
    set: string,
    element: string,
    family: Family,
    server: Pick<VirtualServerItem, 'forward' | 'servers' | 'serves'>,
    index: number,
  ): boolean => {
    const owner = `${setNameFor(set, family)}/${element}`;
    const mark = allocator.take(owner);
    if (mark === undefined) {
      complain(`spec.ports[${index}]`, 'every firewall mark is taken; it is not served this way');
      return false;
    }
    marks.push(owner);
    items.push({ ...common, key: markKey(family, mark), family, mark, ...server });
    items.push(entry(set, family, element, `skbmark 0x${mark.toString(16)}/0x${MARK_MASK.toString(16)}`));
    return true;
  };

  const addDsr = (address: string, port: ServicePort, index: number, chosen: readonly Candidate[]): void => {
    const family = familyOfText(address);
    const fit = chosen.filter((candidate) => {
      const { pod, nodeName } = candidate.endpoint;
      const field = `spec.ports[${index}]`;
      if (candidate.port !== port.port) {
        complain(field, `DSR keeps the port: endpoint ${hostPort(candidate.address, candidate.port)} is left out`);
        return false;
      }
      if (context.hostNetwork(candidate.endpoint)) {
        complain(field, `DSR needs a pod network: host-network endpoint ${candidate.address} is left out`);
        return false;
      }
      if (nodeName !== options.node.name) return true;
      const uid = context.podUid(candidate.endpoint);
      dsr.push({ pod, address: candidate.address, vip: address, uid, ...(choices.fou ? { fou: true } : {}) });
      return options.dsrReady(pod, candidate.address, address);
    });
    const element = `${address},${port.protocol.toLowerCase()}:${port.port}`;
    const serves = { protocol: port.protocol, address, port: port.port };
    const server = { forward: 'tunnel', servers: serversOf(fit, 0), serves } as const;
    if (fit.length === 0) items.push(entry(ipvsNames.refusedSet, family, element));
    const marks = choices.fou ? context.fouMarks : context.dsrMarks;
    if (!marked(marks, ipvsNames.markSet, element, family, server, index)) return;
    items.push(...dsrItems(family));
    if (choices.fou) items.push(entry(ipvsNames.fouSet, family, element));
  };

  const addHairpin = (kind: Kind, family: Family, port: ServicePort, chosen: readonly Candidate[]): void => {
    if (!choices.hairpin || ((kind === 'external' || kind === 'loadbalancer') && !choices.hairpinExternal)) return;
    for (const candidate of chosen) {
      if (candidate.endpoint.nodeName !== options.node.name) continue;
      const element = `${candidate.address},${port.protocol.toLowerCase()}:${candidate.port},${candidate.address}`;
      items.push(entry(ipvsNames.hairpinSet, family, element));
    }
  };

  const addSources = (address: string, family: Family, element: string): void => {
    const ranges = service.loadBalancerSourceRanges;
    const everyone = family === 4 ? '0.0.0.0/0' : '::/0';
    if (ranges.length === 0 || ranges.includes(everyone)) return;
    items.push(entry(ipvsNames.limitedSet, family, element));
    for (const range of ranges) {
      if (familyOfText(range) === family)
        items.push(entry(ipvsNames.sourceSet, family, `${element},${network(range)}`));
    }
  };

  return {
    items,
    marks,
    dsr,
    add(kind, address, number, port, index, selection) {
      const family = familyOfText(address);
      const element = `${address},${port.protocol.toLowerCase()}:${number}`;
      const local = isLocal(kind);
      const chosen = local ? selection.local : selection.cluster;
      if (kind === 'loadbalancer') addSources(address, family, element);
      items.push(entry(ipvsNames.servedSet, family, element));
      if (choices.dsr && (kind === 'external' || kind === 'loadbalancer')) {
        addDsr(address, port, index, chosen);
        return;
      }
      if (chosen.length === 0) items.push(entry(ipvsNames.refusedSet, family, element));
      if (kind !== 'node') {
        const source = options.node.primary[family] ?? '';
        items.push({ type: 'addr', key: `addr/${address}`, family, address, source });
        items.push(entry(ipvsNames.vipSet, family, address));
      }
      items.push({
        ...common,
        key: serverKey(port.protocol, address, number),
        family,
        protocol: port.protocol,
        address,
        port: number,
        forward: 'masq',
        servers: serversOf(chosen),
      });
      addHairpin(kind, family, port, chosen);
      if (!local || kind === 'cluster') return;
      const serves = { protocol: port.protocol, address, port: number };
      const everywhere = { forward: 'masq', servers: serversOf(selection.cluster), serves } as const;
      marked(context.insideMarks, ipvsNames.insideMarkSet, element, family, everywhere, index);
    },
  };
}
