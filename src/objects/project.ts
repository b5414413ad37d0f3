/**
 * Every kind's projection by name, with where the API serves it.
 * The one table that sources of objects (list and watch, manifests, the snapshot on disk) go by.
 */
import { projectClusterNetworkPolicy } from './cluster-network-policy.ts';
import { projectEndpointSlice } from './endpoint-slice.ts';
import type { Projected } from './metadata.ts';
import { projectNamespace } from './namespace.ts';
import { projectNetworkPolicy } from './network-policy.ts';
import { projectNode } from './node.ts';
import { projectPod } from './pod.ts';
import { projectService } from './service.ts';
import type { ObjectKind, ObjectKinds } from './types.ts';

/** Where a kind lives in the API. */
export interface KindInfo {
  /** Group and version, `v1` or `networking.k8s.io/v1`. */
  readonly apiVersion: string;
  /** Name in URLs. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** A custom resource: a server that does not know it (404) holds none of it. @defaultValue false */
  readonly custom?: boolean;
}

/** Where each projected kind lives in the API. */
export const KINDS: Readonly<Record<ObjectKind, KindInfo>> = {
  Node: { apiVersion: 'v1', plural: 'nodes', namespaced: false },
  Namespace: { apiVersion: 'v1', plural: 'namespaces', namespaced: false },
  Pod: { apiVersion: 'v1', plural: 'pods', namespaced: true },
  Service: { apiVersion: 'v1', plural: 'services', namespaced: true },
  EndpointSlice: { apiVersion: 'discovery.k8s.io/v1', plural: 'endpointslices', namespaced: true },
  NetworkPolicy: { apiVersion: 'networking.k8s.io/v1', plural: 'networkpolicies', namespaced: true },
  ClusterNetworkPolicy: {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    plural: 'clusternetworkpolicies',
    namespaced: false,
    custom: true,
  },
};

/** The names of the projected kinds. */
export const OBJECT_KINDS: readonly ObjectKind[] = Object.freeze(Object.keys(KINDS) as ObjectKind[]);

const PROJECTIONS: { readonly [Kind in ObjectKind]: (raw: unknown) => Projected<ObjectKinds[Kind]> } = {
  Node: projectNode,
  Namespace: projectNamespace,
  Pod: projectPod,
  Service: projectService,
  EndpointSlice: projectEndpointSlice,
  NetworkPolicy: projectNetworkPolicy,
  ClusterNetworkPolicy: projectClusterNetworkPolicy,
};

/** Projects an object of a kind from the API's JSON. Never throws: what is wrong becomes an issue. */
export function project<Kind extends ObjectKind>(kind: Kind, raw: unknown): Projected<ObjectKinds[Kind]> {
  return PROJECTIONS[kind](raw);
}

/** Whether a name is one of the projected kinds. */
export function isObjectKind(kind: unknown): kind is ObjectKind {
  return typeof kind === 'string' && Object.hasOwn(KINDS, kind);
}
