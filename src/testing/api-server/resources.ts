/**
 * Which resources the test API server serves, and how they are found by group, version and plural.
 * The built-in ones are those that this package reads or writes and those that people reach for with kubectl; more can be added.
 */

/** One resource type. */
export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly shortNames?: readonly string[];
  /** Whether `status` is a subresource of its own. @defaultValue false */
  readonly status?: boolean;
}

const core = (
  kind: string,
  plural: string,
  namespaced: boolean,
  shortNames: string[] = [],
  status = false,
): ResourceType => ({
  group: '',
  version: 'v1',
  kind,
  plural,
  namespaced,
  shortNames,
  status,
});

/** The resource types served without being asked for. */
export const BUILT_IN: readonly ResourceType[] = [
  core('Namespace', 'namespaces', false, ['ns'], true),
  core('Node', 'nodes', false, ['no'], true),
  core('Pod', 'pods', true, ['po'], true),
  core('Service', 'services', true, ['svc'], true),
  core('Endpoints', 'endpoints', true, ['ep']),
  core('ConfigMap', 'configmaps', true, ['cm']),
  core('Secret', 'secrets', true),
  core('ServiceAccount', 'serviceaccounts', true, ['sa']),
  core('Event', 'events', true, ['ev']),
  { group: 'events.k8s.io', version: 'v1', kind: 'Event', plural: 'events', namespaced: true, shortNames: ['ev'] },
  { group: 'discovery.k8s.io', version: 'v1', kind: 'EndpointSlice', plural: 'endpointslices', namespaced: true },
  {
    group: 'networking.k8s.io',
    version: 'v1',
    kind: 'NetworkPolicy',
    plural: 'networkpolicies',
    namespaced: true,
    shortNames: ['netpol'],
  },
  {
    group: 'policy.networking.k8s.io',
    version: 'v1alpha2',
    kind: 'ClusterNetworkPolicy',
    plural: 'clusternetworkpolicies',
    namespaced: false,
    shortNames: ['cnp'],
  },
  { group: 'coordination.k8s.io', version: 'v1', kind: 'Lease', plural: 'leases', namespaced: true },
];

/** `v1` or `group/version`. */
export function apiVersionOf(type: Pick<ResourceType, 'group' | 'version'>): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

/** What a URL path means. */
export interface Target {
  readonly type: ResourceType;
  /** Empty: all namespaces, or a cluster-scoped type. */
  readonly namespace: string;
  /** Empty: the collection. */
  readonly name: string;
  readonly subresource: string;
  /** The old `/watch/` form of the path. */
  readonly watch: boolean;
}

/** Reads a resource path; `undefined` when nothing is served there. */
export function findTarget(types: readonly ResourceType[], path: string): Target | undefined {
  const parts = path
    .split('/')
    .filter((part) => part !== '')
    .map((part) => decodeURIComponent(part));
  const root = parts.shift();
  const group = root === 'api' ? '' : root === 'apis' ? parts.shift() : undefined;
  const version = parts.shift();
  if (group === undefined || version === undefined) return undefined;
  const watch = parts[0] === 'watch' && parts.length > 1;
  if (watch) parts.shift();
  const served = types.filter((type) => type.group === group && type.version === version);
  let namespace = '';
  // `namespaces/x` alone is the Namespace; with more behind it that is no subresource, it is where the rest lives.
  if (parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'status' && parts[2] !== 'finalize') {
    namespace = parts[1] ?? '';
    parts.splice(0, 2);
  }
  const [plural, name = '', subresource = '', ...more] = parts;
  const type = served.find((one) => one.plural === plural);
  if (type === undefined || more.length > 0 || (namespace !== '' && !type.namespaced)) return undefined;
  return { type, namespace, name, subresource, watch };
}
