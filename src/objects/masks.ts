/**
 * Which fields each projection reads, as masks for a parser that leaves out the rest.
 * Held to the projections by a test: an object and its masked form project alike.
 */
import type { ObjectKind } from './types.ts';

/** `true`: the whole value; an object: these keys, through lists; `prefix*`: keys that begin so. */
export type FieldMask = true | { readonly [key: string]: FieldMask };

const metadata: FieldMask = {
  name: true,
  namespace: true,
  uid: true,
  labels: true,
  annotations: { 'kube-router.io/*': true },
  deletionTimestamp: true,
};
const conditions: FieldMask = { type: true, status: true };
const container: FieldMask = { restartPolicy: true, ports: true };
const containerStatus: FieldMask = { state: { running: true }, containerID: true };

/** The fields that the projection of each kind reads. */
export const MASKS: Readonly<Record<ObjectKind, FieldMask>> = {
  Node: {
    metadata,
    spec: { podCIDR: true, podCIDRs: true, unschedulable: true, taints: true },
    status: { addresses: true, conditions },
  },
  Namespace: { metadata },
  Pod: {
    metadata,
    spec: {
      nodeName: true,
      hostNetwork: true,
      terminationGracePeriodSeconds: true,
      containers: container,
      initContainers: container,
    },
    status: {
      phase: true,
      hostIP: true,
      hostIPs: true,
      podIP: true,
      podIPs: true,
      conditions,
      containerStatuses: containerStatus,
      initContainerStatuses: containerStatus,
    },
  },
  Service: { metadata, spec: true, status: { loadBalancer: true } },
  EndpointSlice: {
    metadata: { ...metadata, ownerReferences: { kind: true, name: true } },
    addressType: true,
    ports: true,
    endpoints: true,
  },
  NetworkPolicy: { metadata, spec: true },
  ClusterNetworkPolicy: { metadata, spec: true },
};
