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
  readonly cluster: readonly Candidate[];
  readonly local: readonly Candidate[];
}

const numbers = new Map<string, ReturnType<typeof parseAddress>>();

function numberOf(address: string): ReturnType<typeof parseAddress> {
  let parsed = numbers.get(address);
  if (parsed === undefined) {
    if (numbers.size > 200_000) numbers.clear();
    parsed = parseAddress(address);
    numbers.set(address, parsed);
  }
  return parsed;
}

/** The canonical order of real servers: by address as a number, then port. Every node agrees on it. */
export function compareServers(a: { address: string; port: number }, b: { address: string; port: number }): number {
  if (a.address === b.address) return a.port - b.port;
  return compareAddresses(numberOf(a.address), numberOf(b.address));
}

/** Every endpoint of a port in a family, one of each address and port. */
export function candidates(slices: Iterable<EndpointSliceObject>, port: ServicePort, family: Family): Candidate[] {
  const found: Candidate[] = [];
  const seen = new Map<string, number>();
  for (const slice of slices) {
    if (slice.family !== family) continue;
    for (const slicePort of slice.ports) {
      if (slicePort.name !== port.name || slicePort.protocol !== port.protocol) continue;
      for (const endpoint of slice.endpoints) {
        const address = endpoint.addresses[0];
        if (address === undefined) continue;
        const candidate = { address, port: slicePort.port, endpoint };
        const key = `${address} ${slicePort.port}`;
        const at = seen.get(key);
        // An endpoint in two slices (a slice being split) counts once, in its best condition.
        if (at === undefined) seen.set(key, found.push(candidate) - 1);
        else if (endpoint.ready && found[at]?.endpoint.ready === false) found[at] = candidate;
      }
    }
  }
  return found;
}

/** Ready ones; when there is none, those that still serve while they end. */
function usable(all: readonly Candidate[]): readonly Candidate[] {
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

/** Applies the rules to the endpoints of one port. */
export function select(service: ServiceObject, all: readonly Candidate[], place: Place): Selection {
  const cluster = usable(all);
  const preferred = cluster[0]?.endpoint.ready === true ? near(service, cluster, place) : cluster;
  return { cluster: preferred, local: usable(all.filter(({ endpoint }) => endpoint.nodeName === place.name)) };
}

/** Real servers in canonical order. */
export function realServers(
  chosen: readonly Candidate[],
  weightOf: (endpoint: Endpoint) => number,
  port?: number,
): RealServer[] {
  return chosen
    .map((candidate) => ({
      address: candidate.address,
      port: port ?? candidate.port,
      weight: weightOf(candidate.endpoint),
    }))
    .sort(compareServers);
}
