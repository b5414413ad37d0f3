/**
 * Which service addresses this node announces, and why: Services, their endpoints and the node's own condition, change by change.
 * An address is announced while any Service that holds it wants that, so a shared one is never withdrawn early; a changed
 * Service or slice recomputes that Service and its addresses only.
 * Pure: speaks to no router; what it says is a plain list that any speaker takes.
 */
import { withItem } from '../net/lists.ts';
import { createLpmTrie } from '../net/lpm.ts';
import { parsePrefix } from '../net/prefix.ts';
import { compareAddresses, parseAddress, textFamily, tryParseAddress } from '../net/address.ts';
import type { Advertisement, AdvertisementAttributes, Family, Issue, VirtualIp } from '../net/values.ts';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../objects/types.ts';
import { createAddressOrder } from './address-order.ts';
import { joinAttributes, requestedAttributes } from './attributes.ts';
import type { RequestedAttributes } from './attributes.ts';
import type { Change, IngressInput, IngressOptions, IngressOutput } from './model.ts';
import { serviceAnnotations } from './model.ts';
import { createAddressCheck } from './validate.ts';

/** Compiler with memory; see {@link createIngressCompiler}. */
export interface IngressCompiler {
  /** Takes what changed and gives the whole list of advertisements. */
  update(input: IngressInput): IngressOutput;
}

/** What one Service says of one of its addresses. */
interface Claim {
  readonly kind: VirtualIp['kind'];
  readonly announce: boolean;
  readonly reason: string;
  /** Traffic policy Local: only nodes with endpoints may draw its traffic. */
  readonly local: boolean;
  readonly requested: RequestedAttributes;
}

interface Endpoints {
  readonly any: boolean;
  readonly usable: boolean;
  readonly local: boolean;
  readonly localReady: boolean;
}

/** Go's strconv.ParseBool, as kube-router reads these annotations; anything else is false. */
function readBool(text: string): boolean | undefined {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  return ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text) ? false : undefined;
}

/** Taints that say that a node is about to go: set by kubectl drain and cordon, shutdown managers and autoscalers. */
const LEAVING = new Set([
  'node.kubernetes.io/unschedulable',
  'node.kubernetes.io/out-of-service',
  'node.cloudprovider.kubernetes.io/shutdown',
  'ToBeDeletedByClusterAutoscaler',
  'karpenter.sh/disrupted',
]);

/** Why the whole node announces nothing; `undefined` when it does. */
function leaving(node: NodeObject | undefined, shuttingDown: boolean): string | undefined {
  if (shuttingDown) return 'this node is shutting down';
  if (node === undefined) return undefined;
  if (node.deletedAt !== undefined) return 'this node is being deleted';
  const taint = node.taints.find((one) => LEAVING.has(one.key) && one.key !== 'node.kubernetes.io/unschedulable');
  if (taint !== undefined) return `this node is going away (taint ${taint.key})`;
  const cordoned = node.unschedulable || node.taints.some((one) => one.key === 'node.kubernetes.io/unschedulable');
  return cordoned ? 'this node is cordoned' : undefined;
}

function sortedAddresses(addresses: Iterable<string>): string[] {
  return [...addresses].sort((a, b) => compareAddresses(parseAddress(a), parseAddress(b)));
}

/**
 * Makes the incremental compiler of one node's announcements.
 * @example
 * ```ts
 * import { project } from 'kube-router-sdk/informers';
 * import { createIngressCompiler } from 'kube-router-sdk/ingress';
 * import { buildEndpointSlice, buildService } from 'kube-router-sdk/testing';
 *
 * const service = buildService('shop/web', { ports: [{ port: 80 }], spec: { externalIPs: ['192.0.2.10'] } });
 * const slice = buildEndpointSlice('shop/web', { endpoints: [{ address: '10.1.1.2' }], ports: [{ port: 8080 }] });
 * const ingress = createIngressCompiler('worker-1', { advertiseExternalIp: true, externalIpRanges: ['192.0.2.0/24'] });
 * const { advertisements } = ingress.update({
 *   services: [{ key: 'shop/web', object: project('Service', service).object }],
 *   endpointSlices: [{ key: 'shop/web-4', object: project('EndpointSlice', slice).object }],
 * });
 * console.log(advertisements.map(({ prefix }) => prefix).join()); // 192.0.2.10/32
 * ```
 */
export function createIngressCompiler(node: string, options: IngressOptions = {}): IngressCompiler {
  const families = options.families ?? [4];
  const check = createAddressCheck({
    strict: options.strictExternalIpValidation ?? true,
    clusterIpRanges: options.clusterIpRanges ?? ['10.96.0.0/12'],
    externalIpRanges: options.externalIpRanges ?? [],
    loadBalancerIpRanges: options.loadBalancerIpRanges ?? [],
  });
  const pools = createLpmTrie<AdvertisementAttributes>();
  for (const one of options.attributes ?? [])
    pools.insert(parsePrefix(one.prefix, { hostBits: 'mask' }), one.attributes);

  const services = new Map<string, ServiceObject>();
  const slices = new Map<string, { readonly service: string; readonly slice: EndpointSliceObject }>();
  const byService = new Map<string, readonly EndpointSliceObject[]>();
  /** Who asks for an address: one Service, as a rule. */
  const claims = new Map<string, readonly (readonly [service: string, claim: Claim])[]>();
  const addressesOf = new Map<string, readonly string[]>();
  const issues = new Map<string, readonly Issue[]>();
  const sharedIssues = new Map<string, readonly Issue[]>();
  const adverts = createAddressOrder<Advertisement>();
  let self: NodeObject | undefined;
  let shuttingDown = false;
  let away: string | undefined;
  const everywhere = ({ prefix }: Advertisement): boolean => {
    const held = claims.get(prefix.slice(0, prefix.lastIndexOf('/')));
    return held !== undefined && held.every(([, claim]) => !claim.announce || !claim.local);
  };
  const isServiceAddress = (address: string): boolean => claims.has(address);

  /** The claims of an address by the names of their Services. */
  const heldBy = (address: string) => [...(claims.get(address) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));

  /** What is said of an address that somebody claims. */
  const vipAt = (address: string): VirtualIp => {
    const held = heldBy(address);
    const [, lead] = held.find(([, claim]) => claim.announce) ?? held[0]!;
    return {
      address,
      kind: lead.kind,
      announced: lead.announce && away === undefined,
      reason: lead.announce && away !== undefined ? away : lead.reason,
      services: held.map(([key]) => `Service ${key}`),
    };
  };

  /** The lists for people are made when they are read: an event must not cost a walk over every address. */
  const view = (advertisements: readonly Advertisement[], changed: boolean): IngressOutput => {
    let listed: readonly VirtualIp[] | undefined;
    return {
      advertisements,
      changed,
      everywhere,
      isServiceAddress,
      get virtualIps() {
        return (listed ??= sortedAddresses(claims.keys()).map(vipAt));
      },
      issues: [...issues.values(), ...sharedIssues.values()].flat(),
    };
  };

  let output = view([], false);

  const endpointsOf = (key: string): Endpoints => {
    let [any, usable, local, localReady] = [false, false, false, false];
    const own = new Set(self?.addresses.map((one) => one.address));
    for (const slice of byService.get(key) ?? []) {
      for (const endpoint of slice.endpoints) {
        any = true;
        const here =
          endpoint.nodeName === node ||
          (endpoint.nodeName === '' && endpoint.addresses.some((address) => own.has(address)));
        // The proxy falls back to endpoints that terminate and still serve (KEP-1669); new traffic is not drawn to them locally.
        usable ||= endpoint.ready || endpoint.serving;
        local ||= here;
        localReady ||= here && endpoint.ready && !endpoint.terminating;
      }
    }
    return { any, usable, local, localReady };
  };

  /** Claims of one Service by address. */
  const claimsOf = (key: string, service: ServiceObject, found: Issue[]): Map<string, Claim> => {
    const out = new Map<string, Claim>();
    const object = `Service ${key}`;
    if (service.headless || service.type === 'ExternalName') return out;
    const requested = requestedAttributes(service);
    found.push(...requested.issues);
    const endpoints = endpointsOf(key);
    const wanted = (annotation: string, fallback: boolean): { readonly yes: boolean; readonly why: string } => {
      const text = service.annotations[annotation];
      if (text === undefined) return { yes: fallback, why: fallback ? 'on by default' : 'not asked for' };
      const value = readBool(text.trim());
      if (value === undefined) {
        found.push({
          object,
          field: `metadata.annotations["${annotation}"]`,
          reason: `"${text}" is no boolean; taken as false`,
        });
      }
      return { yes: value ?? false, why: value === true ? 'asked for by annotation' : 'switched off by annotation' };
    };
    const forcedLocal = service.annotations[serviceAnnotations.local] === 'true';
    const policy = (kind: VirtualIp['kind']): 'Cluster' | 'Local' => {
      if (kind === 'cluster') return forcedLocal ? 'Cluster' : service.internalTrafficPolicy;
      return forcedLocal ? 'Local' : service.externalTrafficPolicy;
    };
    const judge = (
      kind: VirtualIp['kind'],
      asked: { readonly yes: boolean; readonly why: string },
    ): readonly [boolean, string] => {
      if (!asked.yes) return [false, asked.why];
      if (policy(kind) === 'Local') {
        if (!endpoints.local) return [false, 'traffic policy is Local and no endpoint is on this node'];
        if (!endpoints.localReady) return [false, 'traffic policy is Local and no endpoint on this node is ready'];
        return [true, `${asked.why}; a ready endpoint is on this node`];
      }
      if (endpoints.usable) return [true, asked.why];
      if (options.withoutEndpoints === 'announce') return [true, `${asked.why}, though no endpoint is ready`];
      return [false, endpoints.any ? 'no endpoint is ready anywhere' : 'the service has no endpoint'];
    };
    const add = (address: string, kind: VirtualIp['kind'], announce: boolean, reason: string): void => {
      if (!families.includes(textFamily(address))) return;
      const before = out.get(address);
      if (before === undefined || (announce && !before.announce))
        out.set(address, { kind, announce, reason, local: policy(kind) === 'Local', requested });
    };
    const external = (
      list: readonly string[],
      kind: 'external' | 'loadbalancer',
      field: string,
      asked: ReturnType<typeof wanted>,
    ): void => {
      list.forEach((address, index) => {
        const refused = check(address, kind);
        if (refused !== undefined && asked.yes) {
          found.push({ object, field: `${field}[${index}]`, reason: `${address} is not announced: ${refused}` });
        }
        if (tryParseAddress(address) === undefined) return;
        const [announce, reason] = refused === undefined ? judge(kind, asked) : [false, refused];
        add(address, kind, announce, reason);
      });
    };

    const cluster = wanted(serviceAnnotations.advertiseClusterIp, options.advertiseClusterIp ?? false);
    for (const address of service.clusterIPs) add(address, 'cluster', ...judge('cluster', cluster));
    const outside = wanted(serviceAnnotations.advertiseExternalIp, options.advertiseExternalIp ?? false);
    external(service.externalIPs, 'external', 'spec.externalIPs', outside);
    if (service.type === 'LoadBalancer') {
      const skipped = service.annotations[serviceAnnotations.skipLoadBalancerIps] !== undefined;
      const balanced = skipped
        ? { yes: false, why: 'load-balancer IPs are skipped by annotation' }
        : wanted(serviceAnnotations.advertiseLoadBalancerIp, options.advertiseLoadBalancerIp ?? false);
      const usable = service.ingress.filter((one) => one.ipMode !== 'Proxy').map((one) => one.ip);
      external(usable, 'loadbalancer', 'status.loadBalancer.ingress', balanced);
    }
    return out;
  };

  /** Recomputes an address from its claims; says whether the announcement changed. */
  const settle = (address: string): boolean => {
    const before = adverts.get(address);
    sharedIssues.delete(address);
    const announcing = heldBy(address).filter(([, claim]) => claim.announce);
    if (announcing.length === 0 || away !== undefined) return adverts.delete(address);
    const next = advertise(address, announcing);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(next)) return false;
    adverts.set(address, next);
    return true;
  };

  const advertise = (address: string, announcing: readonly (readonly [string, Claim])[]): Advertisement => {
    const family = textFamily(address);
    const parsed = parseAddress(address);
    let attributes: AdvertisementAttributes = {};
    const found: Issue[] = [];
    for (const [key, claim] of announcing) {
      const joined = joinAttributes(attributes, claim.requested.attributes);
      attributes = joined.attributes;
      for (const name of joined.conflicts) {
        found.push({
          object: `Service ${key}`,
          field: 'metadata.annotations',
          reason: `${name} of ${address} is set differently by a Service that shares it, whose value counts`,
        });
      }
    }
    if (found.length > 0) sharedIssues.set(address, found);
    const pool = pools.match(parsed);
    if (pool !== undefined) attributes = { ...pool, ...attributes };
    const asked = announcing.flatMap(([, claim]) => claim.requested.nextHops).find((one) => textFamily(one) === family);
    const nextHop = asked ?? bestAddress(self, family);
    return {
      prefix: `${address}/${family === 4 ? 32 : 128}`,
      ...(nextHop === undefined ? {} : { nextHop }),
      ...(Object.keys(attributes).length === 0 ? {} : { attributes }),
      origin: 'vip',
      owners: announcing.map(([key]) => `Service ${key}`),
    };
  };

  const othersOf = (address: string, key: string) => (claims.get(address) ?? []).filter(([service]) => service !== key);

  const recompute = (key: string, touched: Set<string>): void => {
    const service = services.get(key);
    const found: Issue[] = [];
    const now = service === undefined ? new Map<string, Claim>() : claimsOf(key, service, found);
    for (const address of addressesOf.get(key) ?? []) {
      if (now.has(address)) continue;
      const left = othersOf(address, key);
      if (left.length === 0) claims.delete(address);
      else claims.set(address, left);
      touched.add(address);
    }
    for (const [address, claim] of now) {
      claims.set(address, withItem(othersOf(address, key), [key, claim] as const));
      touched.add(address);
    }
    if (now.size === 0) addressesOf.delete(key);
    else addressesOf.set(key, [...now.keys()]);
    if (found.length === 0) issues.delete(key);
    else issues.set(key, found);
  };

  const takeSlice = ({ key, object }: Change<EndpointSliceObject>, dirty: Set<string>): void => {
    const before = slices.get(key);
    if (before !== undefined) {
      const left = (byService.get(before.service) ?? []).filter((slice) => slice !== before.slice);
      if (left.length === 0) byService.delete(before.service);
      else byService.set(before.service, left);
      slices.delete(key);
      dirty.add(before.service);
    }
    if (object === undefined || object.service === '') return;
    const service = `${object.namespace}/${object.service}`;
    slices.set(key, { service, slice: object });
    byService.set(service, withItem(byService.get(service) ?? [], object));
    dirty.add(service);
  };

  return {
    update(input) {
      const dirty = new Set<string>();
      const touched = new Set<string>();
      for (const { key, object } of input.services ?? []) {
        if (object === undefined) services.delete(key);
        else services.set(key, object);
        dirty.add(key);
      }
      for (const change of input.endpointSlices ?? []) takeSlice(change, dirty);
      const selfChange = (input.nodes ?? []).filter((change) => change.key === node).at(-1);
      if (selfChange !== undefined || input.shuttingDown !== undefined) {
        const addresses = JSON.stringify(self?.addresses);
        if (selfChange !== undefined) self = selfChange.object;
        shuttingDown = input.shuttingDown ?? shuttingDown;
        const next = (options.withdrawOnMaintenance ?? true) || shuttingDown ? leaving(self, shuttingDown) : undefined;
        if (next !== away) for (const address of claims.keys()) touched.add(address);
        away = next;
        // Own addresses decide which endpoints are local, and next hops.
        if (JSON.stringify(self?.addresses) !== addresses) for (const key of services.keys()) dirty.add(key);
      }
      for (const key of dirty) recompute(key, touched);
      let changed = false;
      for (const address of touched) if (settle(address)) changed = true;
      if (touched.size > 0 || dirty.size > 0) {
        output = view(changed ? adverts.values() : output.advertisements, changed);
      } else output = view(output.advertisements, false);
      return output;
    },
  };
}

/** First internal, else first external address of a family. */
function bestAddress(node: NodeObject | undefined, family: Family): string | undefined {
  for (const type of ['InternalIP', 'ExternalIP'] as const) {
    const found = node?.addresses.find((one) => one.type === type && textFamily(one.address) === family);
    if (found !== undefined) return found.address;
  }
  return undefined;
}

/** What {@link compile} takes: everything at once. */
export interface IngressCompileInput {
  readonly services: Iterable<ServiceObject>;
  readonly endpointSlices: Iterable<EndpointSliceObject>;
  /** Name of this node. */
  readonly node: string;
  readonly nodes?: Iterable<NodeObject>;
  readonly shuttingDown?: boolean;
  readonly options?: IngressOptions;
}

/** Decides from scratch what a node announces: {@link createIngressCompiler} fed once. */
export function compile(input: IngressCompileInput): IngressOutput {
  const named = <T extends { namespace: string; name: string }>(objects: Iterable<T>): Change<T>[] =>
    [...objects].map((object) => ({
      key: object.namespace === '' ? object.name : `${object.namespace}/${object.name}`,
      object,
    }));
  return createIngressCompiler(input.node, input.options).update({
    services: named(input.services),
    endpointSlices: named(input.endpointSlices),
    nodes: named(input.nodes ?? []),
    ...(input.shuttingDown === undefined ? {} : { shuttingDown: input.shuttingDown }),
  });
}
