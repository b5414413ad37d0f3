/**
 * Which endpoints of a Service port take traffic: ready before serving-terminating (KEP-1669), by traffic policy, by topology.
 * Two answers a port and family: `cluster` for policy Cluster, `local` for policy Local. Pure.
 */
import { compareAddresses, parseAddress } from '../../net/address.ts';
import type { Family } from '../../net/values.ts';
import type { Endpoint, EndpointSliceObject, ServiceObject, ServicePort } from '../../objects/types.ts';
import type { RealServer } from '../model.ts';

/** An endpoint of one port. */
export interface Candidate {
  readonly address: string;
  readonly port: number;
  readonly endpoint: Endpoint;
}

/** Where this node is. */
export interface Place {
  readonly name: string;
  readonly zone: string;
}

/** Endpoints that take traffic under each policy. */
export interface Selection {
  /** Every endpoint, whether it takes traffic or not. */
  readonly all: readonly Candidate[];
  readonly cluster: readonly Candidate[];
  readonly local: readonly Candidate[];
}

/** An IPv4 address as a number without building objects: real servers are sorted on every event. */
function value4(address: string): number {
  let value = 0;
  let octet = 0;
  for (let index = 0; index < address.length; index++) {
    const code = address.charCodeAt(index);
    if (code === 46) {
      value = value * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - 48;
  }
  return value * 256 + octet;
}

/** The canonical order of real servers: by address as a number, then port. Every node agrees on it. */
export function compareServers(a: { address: string; port: number }, b: { address: string; port: number }): number {
  if (a.address === b.address) return a.port - b.port;
  if (a.address.includes(':') || b.address.includes(':')) {
    return compareAddresses(parseAddress(a.address), parseAddress(b.address));
  }
  return value4(a.address) - value4(b.address);
}

/** Every endpoint of a port in a family. One may come twice while a slice is being split. */
export function candidates(slices: Iterable<EndpointSliceObject>, port: ServicePort, family: Family): Candidate[] {
  const found: Candidate[] = [];
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const slicePort of slice.ports) {
      if (slicePort.name !== port.name || slicePort.protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const address = endpoint.addresses[0];
        if (address !== undefined) found.push({ address, port: slicePort.port, endpoint });
      }
    }
  }
  return found;
}

/** Ready ones; when there is none, those that still serve while they end. */
function usable(all: readonly Candidate[]): readonly Candidate[] {
  if (all.every(({ endpoint }) => endpoint.ready)) return all;
  const ready = all.filter(({ endpoint }) => endpoint.ready);
  if (ready.length > 0) return ready;
  return all.filter(({ endpoint }) => endpoint.serving && endpoint.terminating);
}

/**
 * Endpoints near this node. Hints count only when every ready endpoint has them and one names this place, as kube-proxy does;
 * where nobody wrote hints, `trafficDistribution` is applied to the endpoints' own zones and nodes.
 */
function near(service: ServiceObject, ready: readonly Candidate[], place: Place): readonly Candidate[] {
  const narrowed = (here: (candidate: Candidate) => boolean): readonly Candidate[] | undefined => {
    const some = ready.filter(here);
    return some.length > 0 ? some : undefined;
  };
  const all = (has: (endpoint: Endpoint) => boolean): boolean => ready.every(({ endpoint }) => has(endpoint));
  if (place.name !== '' && all((endpoint) => endpoint.hintNodes.length > 0)) {
    const some = narrowed(({ endpoint }) => endpoint.hintNodes.includes(place.name));
    if (some !== undefined) return some;
  }
  if (place.zone !== '' && all((endpoint) => endpoint.hintZones.length > 0)) {
    return narrowed(({ endpoint }) => endpoint.hintZones.includes(place.zone)) ?? ready;
  }
  if (service.trafficDistribution === '') return ready;
  const hinted = ready.some(({ endpoint }) => endpoint.hintZones.length > 0 || endpoint.hintNodes.length > 0);
  if (hinted) return ready;
  if (service.trafficDistribution === 'PreferSameNode') {
    const same = narrowed(({ endpoint }) => endpoint.nodeName === place.name);
    if (same !== undefined) return same;
  }
  if (place.zone === '') return ready;
  return narrowed(({ endpoint }) => endpoint.zone === place.zone) ?? ready;
}

/** Applies the rules to the endpoints of one port; each answer is worked out when it is asked for. */
export function select(service: ServiceObject, all: readonly Candidate[], place: Place): Selection {
  let cluster: readonly Candidate[] | undefined;
  let local: readonly Candidate[] | undefined;
  const everywhere = (): readonly Candidate[] => {
    const some = usable(all);
    return some[0]?.endpoint.ready === true ? near(service, some, place) : some;
  };
  return {
    all,
    get cluster() {
      return (cluster ??= everywhere());
    },
    get local() {
      return (local ??= usable(all.filter(({ endpoint }) => endpoint.nodeName === place.name)));
    },
  };
}

/** Real servers in canonical order, one of each address and port. */
export function realServers(
  chosen: readonly Candidate[],
  weightOf: (endpoint: Endpoint) => number,
  port?: number,
): RealServer[] {
  const servers = chosen.map((candidate): RealServer => {
    const number = port ?? candidate.port;
    return { address: candidate.address, port: number, weight: weightOf(candidate.endpoint) };
  });
  for (let index = 1; index < servers.length; index++) {
    const [left, right] = [servers[index - 1], servers[index]];
    if (left === undefined || right === undefined || compareServers(left, right) < 0) continue;
    servers.sort(compareServers);
    return servers.filter((server, at) => at === 0 || compareServers(servers[at - 1] ?? server, server) !== 0);
  }
  return servers;
}
