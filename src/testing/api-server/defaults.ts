/**
 * What a real API server fills in and refuses for the kinds that networking depends on: names, cluster addresses, node ports.
 * Only what a client would notice is missing; everything else is stored as it came.
 */
import { randomBytes } from 'node:crypto';
import { formatAddress, maskAddress, parsePrefix, addressFromBigInt, addressToBigInt } from '../../net/index.ts';
import { StatusError } from './errors.ts';
import type { ObjectStore } from './store.ts';
import type { ResourceType } from './resources.ts';

type Json = Record<string, unknown>;

/** What the defaults need to know. */
export interface DefaultsContext {
  readonly store: ObjectStore;
  readonly services: ResourceType | undefined;
  /** CIDRs that cluster addresses are given from, one a family; empty: none are given. */
  readonly serviceCidrs: readonly string[];
}

const LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** A name for `metadata.generateName`, as the API makes them. */
export function generatedName(prefix: string): string {
  let text = prefix;
  for (const byte of randomBytes(5)) text += LETTERS[byte % LETTERS.length];
  return text;
}

/** Fills in what the API server would for an object about to be stored; changes the object given. */
export function applyDefaults(context: DefaultsContext, type: ResourceType, object: Json): void {
  if (type.group !== '') {
    if (type.kind === 'NetworkPolicy') defaultPolicy(object);
    return;
  }
  if (type.kind === 'Namespace') {
    const metadata = object['metadata'] as Json;
    metadata['labels'] = {
      ...(metadata['labels'] as Json | undefined),
      'kubernetes.io/metadata.name': metadata['name'],
    };
    object['status'] ??= { phase: 'Active' };
  } else if (type.kind === 'Pod') {
    object['status'] ??= { phase: 'Pending' };
  } else if (type.kind === 'Service') defaultService(context, object);
}

function defaultPolicy(object: Json): void {
  const spec = object['spec'] as Json | undefined;
  if (spec === undefined || (Array.isArray(spec['policyTypes']) && spec['policyTypes'].length > 0)) return;
  const egress = Array.isArray(spec['egress']) && spec['egress'].length > 0;
  spec['policyTypes'] = egress ? ['Ingress', 'Egress'] : ['Ingress'];
}

function defaultService(context: DefaultsContext, object: Json): void {
  const spec = (object['spec'] ??= {}) as Json;
  spec['type'] ??= 'ClusterIP';
  spec['sessionAffinity'] ??= 'None';
  if (spec['type'] !== 'ExternalName') {
    spec['internalTrafficPolicy'] ??= 'Cluster';
    if (spec['type'] !== 'ClusterIP') spec['externalTrafficPolicy'] ??= 'Cluster';
    giveAddresses(context, spec);
  }
  const external = spec['type'] === 'NodePort' || spec['type'] === 'LoadBalancer';
  for (const port of (spec['ports'] ?? []) as Json[]) {
    port['protocol'] ??= 'TCP';
    port['targetPort'] ??= port['port'];
    if (external && spec['allocateLoadBalancerNodePorts'] !== false) port['nodePort'] ??= freeNodePort(context, spec);
  }
  object['status'] ??= { loadBalancer: {} };
}

function giveAddresses(context: DefaultsContext, spec: Json): void {
  const one = spec['clusterIP'];
  if (typeof one === 'string' && one !== '' && spec['clusterIPs'] === undefined) spec['clusterIPs'] = [one];
  if (Array.isArray(spec['clusterIPs']) && spec['clusterIPs'].length > 0)
    spec['clusterIP'] ??= spec['clusterIPs'][0] as unknown;
  else {
    const dual = spec['ipFamilyPolicy'] === 'PreferDualStack' || spec['ipFamilyPolicy'] === 'RequireDualStack';
    const wanted = (spec['ipFamilies'] ?? []) as string[];
    const cidrs = [...context.serviceCidrs].sort(
      (a, b) => wanted.indexOf(familyName(a)) - wanted.indexOf(familyName(b)),
    );
    const chosen = dual
      ? cidrs
      : cidrs.filter((cidr) => wanted.length === 0 || wanted.includes(familyName(cidr))).slice(0, 1);
    if (chosen.length === 0) return;
    const given = chosen.map((cidr) => freeAddress(context, cidr));
    spec['clusterIPs'] = given;
    spec['clusterIP'] = given[0];
  }
  const addresses = (spec['clusterIPs'] as string[]).filter((ip) => ip !== 'None');
  spec['ipFamilies'] ??= addresses.map((ip) => familyName(ip));
  spec['ipFamilyPolicy'] ??= addresses.length > 1 ? 'RequireDualStack' : 'SingleStack';
}

const familyName = (text: string) => (text.includes(':') ? 'IPv6' : 'IPv4');

function otherSpecs({ store, services }: DefaultsContext): Json[] {
  return services === undefined ? [] : store.list(services, '').map((one) => (one['spec'] ?? {}) as Json);
}

function freeAddress(context: DefaultsContext, cidr: string): string {
  const taken = new Set(otherSpecs(context).flatMap((spec) => (spec['clusterIPs'] ?? []) as string[]));
  const prefix = parsePrefix(cidr);
  const base = addressToBigInt(maskAddress(prefix, prefix.length));
  // The first ten are left to addresses that people choose, as the API does with its lower band.
  for (let offset = 10n; offset < 65_536n; offset++) {
    const address = formatAddress(addressFromBigInt(prefix.family, base + offset));
    if (!taken.has(address)) return address;
  }
  throw new StatusError(500, 'InternalError', `no free address in ${cidr}`);
}

function freeNodePort(context: DefaultsContext, spec: Json): number {
  const taken = new Set(
    [...otherSpecs(context), spec].flatMap((one) => ((one['ports'] ?? []) as Json[]).map((port) => port['nodePort'])),
  );
  for (let port = 30_000; port < 32_768; port++) if (!taken.has(port)) return port;
  throw new StatusError(500, 'InternalError', 'no free node port');
}
