/**
 * What one place of a Service (an address with protocol and port) needs: its virtual server or its mark, the entries of sets that
 * rules look at, its VIP. A place belongs to one Service; another that asks for it gets an issue and none of this. Pure.
 */
import { textFamily } from '../../net/address.ts';
import type { Family } from '../../net/values.ts';
import type { ServiceObject, ServicePort } from '../../objects/types.ts';
import { MARK_MASK, hostPort, ipvsNames, markKey, serverKey, setNameFor } from '../model.ts';
import type { IpvsItem, RealServer, VirtualServerItem } from '../model.ts';
import type { Complain, ServiceChoices } from './annotations.ts';
import { dsrItems } from './base.ts';
import { entry, network } from './elements.ts';
import { realServers } from './endpoints.ts';
import type { Candidate, Selection } from './endpoints.ts';
import type { MarkAllocator } from './marks.ts';
import type { DsrPod, ServiceContext } from './service.ts';

/** Kinds of addresses of a Service. */
export type Kind = 'cluster' | 'node' | 'external' | 'loadbalancer';

/** Collects what the places of one Service need. */
export interface Builder {
  /** Keys may repeat. */
  readonly items: readonly IpvsItem[];
  readonly places: readonly string[];
  readonly marks: readonly string[];
  readonly dsr: readonly DsrPod[];
  /** VIPs served by DSR. */
  readonly tunnelled: readonly string[];
  add(kind: Kind, address: string, number: number, port: ServicePort, selection: Selection): void;
}

/** Makes a {@link Builder}. */
export function createBuilder(
  service: ServiceObject,
  choices: ServiceChoices,
  context: ServiceContext,
  complain: Complain,
): Builder {
  const { options } = context;
  const self = `${service.namespace}/${service.name}`;
  const items: IpvsItem[] = [];
  const places: string[] = [];
  const marks: string[] = [];
  const dsr: DsrPod[] = [];
  const tunnelled: string[] = [];
  const persistence = service.sessionAffinity === 'ClientIP' ? service.sessionAffinityTimeoutSeconds : 0;
  const common = { type: 'vs', scheduler: choices.scheduler, flags: choices.flags, persistence } as const;
  const weightOf = (endpoint: Candidate['endpoint']): number => context.weightOf(endpoint, complain);
  let last: { readonly chosen: readonly Candidate[]; readonly servers: readonly RealServer[] } | undefined;
  /** Addresses of one port mostly share their real servers. */
  const serversOf = (chosen: readonly Candidate[]): readonly RealServer[] => {
    if (last?.chosen !== chosen) last = { chosen, servers: realServers(chosen, weightOf) };
    return last.servers;
  };
  const fieldOf = (port: ServicePort): string => `spec.ports[${service.ports.indexOf(port)}]`;
  const isLocal = (kind: Kind): boolean => {
    if (kind === 'cluster') return service.internalTrafficPolicy === 'Local' && !choices.local;
    return choices.local || service.externalTrafficPolicy === 'Local';
  };

  /** A service keyed by mark; false when no mark is left. */
  const addMarked = (
    allocator: MarkAllocator,
    set: string,
    element: string,
    port: ServicePort,
    server: Pick<VirtualServerItem, 'family' | 'forward' | 'servers' | 'serves'>,
  ): boolean => {
    const { family } = server;
    const owner = `${setNameFor(set, family)}/${element}`;
    const mark = allocator.take(owner);
    if (mark === undefined) {
      complain(fieldOf(port), 'every firewall mark is taken; it is not served this way');
      return false;
    }
    marks.push(owner);
    items.push({ ...common, key: markKey(family, mark), mark, ...server });
    items.push(entry(set, family, element, `skbmark 0x${mark.toString(16)}/0x${MARK_MASK.toString(16)}`));
    return true;
  };

  const isHere = ({ endpoint }: Candidate): boolean => endpoint.nodeName === options.node.name;

  /** Why an endpoint cannot answer by itself. */
  const unfit = ({ endpoint, address, port: target }: Candidate, port: ServicePort): string | undefined => {
    if (target !== port.port) return `DSR keeps the port: endpoint ${hostPort(address, target)} is left out`;
    if (!context.hostNetwork(endpoint)) return undefined;
    return `DSR needs a pod network: host-network endpoint ${address} is left out`;
  };

  /**
   * Pods of this node are prepared whether this node sends them anything or not: another one may, by its own topology, and a pod
   * that ends goes on with the connections that it has.
   */
  const askPods = (vip: string, port: ServicePort, all: readonly Candidate[]): void => {
    for (const candidate of all) {
      if (!isHere(candidate) || unfit(candidate, port) !== undefined) continue;
      const { endpoint, address } = candidate;
      const uid = context.podUid(endpoint);
      dsr.push({ pod: endpoint.pod, address, vip, uid, ...(choices.fou ? { fou: true } : {}) });
    }
  };

  const addDsr = (vip: string, port: ServicePort, element: string, chosen: readonly Candidate[]): void => {
    const family = textFamily(vip);
    const fit = chosen.filter((candidate) => {
      const reason = unfit(candidate, port);
      if (reason !== undefined) complain(fieldOf(port), reason);
      const { endpoint, address } = candidate;
      return reason === undefined && (!isHere(candidate) || options.dsrReady(endpoint.pod, address, vip));
    });
    const serves = { protocol: port.protocol, address: vip, port: port.port };
    const server = { family, forward: 'tunnel', servers: realServers(fit, weightOf, 0), serves } as const;
    if (fit.length === 0) items.push(entry(ipvsNames.refusedSet, family, element));
    const allocator = choices.fou ? context.fouMarks : context.dsrMarks;
    if (!addMarked(allocator, ipvsNames.markSet, element, port, server)) return;
    if (!tunnelled.includes(vip)) tunnelled.push(vip);
    items.push(...dsrItems(family, choices.scheduler));
    if (choices.fou) items.push(entry(ipvsNames.fouSet, family, element));
  };

  const addHairpin = (kind: Kind, family: Family, port: ServicePort, chosen: readonly Candidate[]): void => {
    if (!choices.hairpin || ((kind === 'external' || kind === 'loadbalancer') && !choices.hairpinExternal)) return;
    for (const candidate of chosen) {
      if (!isHere(candidate)) continue;
      const element = `${candidate.address},${port.protocol.toLowerCase()}:${candidate.port},${candidate.address}`;
      items.push(entry(ipvsNames.hairpinSet, family, element));
    }
  };

  const addSources = (address: string, element: string): void => {
    const family = textFamily(address);
    const ranges = service.loadBalancerSourceRanges;
    if (ranges.length === 0 || ranges.includes(family === 4 ? '0.0.0.0/0' : '::/0')) return;
    items.push(entry(ipvsNames.limitedSet, family, element));
    for (const range of ranges) {
      if (textFamily(range) === family) items.push(entry(ipvsNames.sourceSet, family, `${element},${network(range)}`));
    }
  };

  /** Whether this Service has the place. */
  const claims = (place: string): boolean => {
    if (places.includes(place)) return false;
    places.push(place);
    const owner = context.claim(place, self);
    if (owner === self) return true;
    const where = place.slice('vs/'.length);
    complain('spec', `${where} belongs to Service ${owner} already; it is not served for this one`);
    return false;
  };

  return {
    items,
    places,
    marks,
    dsr,
    tunnelled,
    add(kind, address, number, port, selection) {
      const key = serverKey(port.protocol, address, number);
      if (!claims(key)) return;
      const family = textFamily(address);
      const element = `${address},${port.protocol.toLowerCase()}:${number}`;
      const local = isLocal(kind);
      const chosen = local ? selection.local : selection.cluster;
      if (kind === 'loadbalancer') addSources(address, element);
      items.push(entry(ipvsNames.servedSet, family, element));
      if (choices.dsr && (kind === 'external' || kind === 'loadbalancer')) {
        askPods(address, port, selection.all);
        addDsr(address, port, element, chosen);
        return;
      }
      if (chosen.length === 0) items.push(entry(ipvsNames.refusedSet, family, element));
      if (kind !== 'node') {
        const source = options.node.primary[family] ?? '';
        items.push({ type: 'addr', key: `addr/${address}`, family, address, source });
        items.push(entry(ipvsNames.vipSet, family, address));
      }
      const { protocol } = port;
      const servers = serversOf(chosen);
      items.push({ ...common, key, family, protocol, address, port: number, forward: 'masq', servers });
      addHairpin(kind, family, port, chosen);
      if (!local || kind === 'cluster') return;
      const everywhere = serversOf(selection.cluster);
      const serves = { protocol, address, port: number };
      const server = { family, forward: 'masq', servers: everywhere, serves } as const;
      addMarked(context.insideMarks, ipvsNames.insideMarkSet, element, port, server);
    },
  };
}
