/**
 * Kubernetes objects as the blocks see them: flat, trimmed to the fields that a planner reads, validated, canonical.
 * Each kind has one file with its projection from the API's JSON. Pure; published through `kube-router-sdk/informers`.
 */
export type * from './types.ts';
export type { Projected } from './metadata.ts';
export { objectKey, objectName } from './metadata.ts';
export type { KindInfo } from './project.ts';
export { KINDS, OBJECT_KINDS, isObjectKind, project } from './project.ts';
export { projectClusterNetworkPolicy } from './cluster-network-policy.ts';
export { projectEndpointSlice } from './endpoint-slice.ts';
export { projectNamespace } from './namespace.ts';
export { projectNetworkPolicy } from './network-policy.ts';
export { projectNode } from './node.ts';
export { projectPod } from './pod.ts';
export { projectService } from './service.ts';
export { mapSelects, selectorMatches } from './selector.ts';
export type { FieldMask } from './masks.ts';
export { MASKS } from './masks.ts';
