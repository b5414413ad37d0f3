/**
 * What tells clients which resources there are: the legacy lists, the aggregated form that kubectl asks for first, the version.
 */
import type { ResourceType } from './resources.ts';
import { apiVersionOf } from './resources.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const STATUS_VERBS = ['get', 'patch', 'update'];

/** The answer to a discovery path; `undefined` when it is none. */
export function discover(types: readonly ResourceType[], path: string, accept: string, address: string): unknown {
  const parts = path.split('/').filter((part) => part !== '');
  const aggregated = /as=APIGroupDiscoveryList/.test(accept) && /g=apidiscovery\.k8s\.io/.test(accept);
  if (path === '/version' || path === '/version/')
    return {
      major: '1',
      minor: '33',
      gitVersion: 'v1.33.0',
      gitCommit: '',
      gitTreeState: 'clean',
      platform: 'linux/amd64',
    };
  if (parts.length === 1 && parts[0] === 'api') {
    if (aggregated) return aggregate(types.filter((type) => type.group === ''));
    return {
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
    };
  }
  if (parts.length === 1 && parts[0] === 'apis') {
    const named = types.filter((type) => type.group !== '');
    if (aggregated) return aggregate(named);
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: [...groupsOf(named)].map(([name, own]) => groupObject(name, own)),
    };
  }
  if (parts[0] === 'apis' && parts.length === 2) {
    const own = types.filter((type) => type.group === parts[1]);
    return own.length === 0 ? undefined : { kind: 'APIGroup', apiVersion: 'v1', ...groupObject(parts[1] ?? '', own) };
  }
  const group = parts[0] === 'api' ? '' : parts[0] === 'apis' ? parts[1] : undefined;
  const version = parts[0] === 'api' ? parts[1] : parts[2];
  if (group === undefined || parts.length !== (group === '' ? 2 : 3)) return undefined;
  const own = types.filter((type) => type.group === group && type.version === version);
  return own.length === 0 ? undefined : resourceList(own);
}

function groupsOf(types: readonly ResourceType[]): Map<string, ResourceType[]> {
  const groups = new Map<string, ResourceType[]>();
  for (const type of types) groups.set(type.group, [...(groups.get(type.group) ?? []), type]);
  return groups;
}

const versionsOf = (types: readonly ResourceType[]) => [...new Set(types.map((type) => type.version))];

function groupObject(name: string, types: readonly ResourceType[]) {
  const versions = versionsOf(types).map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions, preferredVersion: versions[0] };
}

function resourceList(types: readonly ResourceType[]) {
  const first = types[0] as ResourceType;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf(first),
    resources: types.flatMap((type) => [
      {
        name: type.plural,
        singularName: type.kind.toLowerCase(),
        namespaced: type.namespaced,
        kind: type.kind,
        verbs: VERBS,
        shortNames: type.shortNames ?? [],
      },
      ...(type.status === true
        ? [
            {
              name: `${type.plural}/status`,
              singularName: '',
              namespaced: type.namespaced,
              kind: type.kind,
              verbs: STATUS_VERBS,
            },
          ]
        : []),
    ]),
  };
}

function aggregate(types: readonly ResourceType[]) {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: [...groupsOf(types)].map(([name, own]) => ({
      metadata: name === '' ? {} : { name },
      versions: versionsOf(own).map((version) => ({
        version,
        freshness: 'Current',
        resources: own.filter((type) => type.version === version).map((type) => aggregatedResource(type)),
      })),
    })),
  };
}

function aggregatedResource(type: ResourceType) {
  const responseKind = { group: type.group, version: type.version, kind: type.kind };
  return {
    resource: type.plural,
    responseKind,
    scope: type.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: type.kind.toLowerCase(),
    verbs: VERBS,
    shortNames: type.shortNames ?? [],
    ...(type.status === true ? { subresources: [{ subresource: 'status', responseKind, verbs: STATUS_VERBS }] } : {}),
  };
}
