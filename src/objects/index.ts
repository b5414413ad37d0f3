/**
 * Kubernetes objects as the blocks see them: flat, trimmed to the fields that a planner reads, validated, canonical.
 * Each kind has one file with its type and its projection from the API's JSON. Pure; published through `kube-router-sdk/informers`.
 */
export type * from './types.ts';
