/**
 * The projected kinds. Addresses and CIDRs are canonical text (RFC 5952, host bits masked where Kubernetes tolerates them).
 * Absent maps and lists are empty ones (shared and frozen), so that readers need no `?.`; label maps are interned.
 */
import type { Family, Protocol } from '../net/values.ts';

/** String map such as labels or annotations; frozen, never mutated. */
export type StringMap = Readonly<Record<string, string>>;

/** What every projected object has. */
export interface ObjectBase {
  /** Empty for cluster-scoped kinds. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: StringMap;
  /** Only annotations under `kube-router.io/` and those named by a kind's projection are kept. */
  readonly annotations: StringMap;
  /** Epoch milliseconds of `metadata.deletionTimestamp`. */
  readonly deletedAt?: number;
}

/** A Node. */
export interface NodeObject extends ObjectBase {
  readonly kind: 'Node';
  readonly addresses: readonly { readonly type: 'InternalIP' | 'ExternalIP'; readonly address: string }[];
  /** `spec.podCIDRs`, else `[spec.podCIDR]`. */
  readonly podCIDRs: readonly string[];
  readonly unschedulable: boolean;
  /** Condition Ready: `True`; absent condition: true. */
  readonly ready: boolean;
  readonly taints: readonly { readonly key: string; readonly value: string; readonly effect: string }[];
}

/** A Namespace. */
export interface NamespaceObject extends ObjectBase {
  readonly kind: 'Namespace';
}

/** A port that a container declares. */
export interface ContainerPort {
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535. */
  readonly port: number;
}

/** A Pod. */
export interface PodObject extends ObjectBase {
  readonly kind: 'Pod';
  readonly nodeName: string;
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  readonly hostNetwork: boolean;
  readonly hostIPs: readonly string[];
  /** `status.podIPs`, else `[status.podIP]`; at most one a family. */
  readonly ips: readonly string[];
  /** Declared by containers and sidecar (restartPolicy Always) init containers. */
  readonly ports: readonly ContainerPort[];
  /** Seconds. */
  readonly terminationGracePeriodSeconds: number;
  readonly ready: boolean;
  /** Container ids, `containerd://…`, of running containers. */
  readonly containerIds: readonly string[];
}

/** One port of a Service. */
export interface ServicePort {
  readonly name: string;
  readonly protocol: Protocol;
  /** 1–65535. */
  readonly port: number;
  /** Number or container port name; slices carry the resolved one. */
  readonly targetPort: number | string;
  /** 0: none. */
  readonly nodePort: number;
  readonly appProtocol: string;
}

/** A Service. */
export interface ServiceObject extends ObjectBase {
  readonly kind: 'Service';
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  /** Canonical; empty when headless (`None`) or not yet assigned. */
  readonly clusterIPs: readonly string[];
  readonly headless: boolean;
  readonly ipFamilies: readonly Family[];
  readonly ipFamilyPolicy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  readonly externalIPs: readonly string[];
  readonly loadBalancerIP: string;
  readonly loadBalancerClass: string;
  /** Canonical CIDRs; empty: everyone. */
  readonly loadBalancerSourceRanges: readonly string[];
  /** `status.loadBalancer.ingress` items with an address. */
  readonly ingress: readonly { readonly ip: string; readonly ipMode: 'VIP' | 'Proxy' }[];
  readonly ports: readonly ServicePort[];
  readonly selector: StringMap;
  readonly sessionAffinity: 'None' | 'ClientIP';
  /** Seconds. */
  readonly sessionAffinityTimeoutSeconds: number;
  readonly internalTrafficPolicy: 'Cluster' | 'Local';
  readonly externalTrafficPolicy: 'Cluster' | 'Local';
  /** 0: none. */
  readonly healthCheckNodePort: number;
  readonly trafficDistribution: '' | 'PreferClose' | 'PreferSameZone' | 'PreferSameNode';
  readonly publishNotReadyAddresses: boolean;
  readonly allocateLoadBalancerNodePorts: boolean;
}

/** One endpoint of a slice. */
export interface Endpoint {
  /** Canonical addresses of the slice's family. */
  readonly addresses: readonly string[];
  /** nil means ready (EndpointSlice API). */
  readonly ready: boolean;
  /** nil means the value of `ready`. */
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName: string;
  readonly zone: string;
  readonly hintZones: readonly string[];
  readonly hintNodes: readonly string[];
  /** `namespace/name` of the target Pod, empty when the target is no Pod. */
  readonly pod: string;
}

/** An EndpointSlice. */
export interface EndpointSliceObject extends ObjectBase {
  readonly kind: 'EndpointSlice';
  /** Name of the owning Service in the same namespace: label, else owner reference, else empty. */
  readonly service: string;
  readonly family: Family;
  /** Ports without a number are dropped with an issue. */
  readonly ports: readonly {
    readonly name: string;
    readonly protocol: Protocol;
    readonly port: number;
    readonly appProtocol: string;
  }[];
  readonly endpoints: readonly Endpoint[];
}

/** A label selector; an empty one selects everything. */
export interface LabelSelector {
  readonly matchLabels: StringMap;
  readonly matchExpressions: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values: readonly string[];
  }[];
}

/** One alternative of a rule's `from` or `to`. */
export type PolicyPeer =
  | { readonly ipBlock: { readonly cidr: string; readonly except: readonly string[] } }
  | { readonly podSelector?: LabelSelector; readonly namespaceSelector?: LabelSelector };

/** One alternative of a rule's `ports`. */
export interface PolicyPort {
  readonly protocol: Protocol;
  /** Absent: every port of the protocol. */
  readonly port?: number | string;
  /** Last port of a range, not below `port`. */
  readonly endPort?: number;
}

/** One ingress or egress rule. */
export interface PolicyRule {
  /** Empty: any peer. */
  readonly peers: readonly PolicyPeer[];
  /** Empty: any port and protocol. */
  readonly ports: readonly PolicyPort[];
}

/** A NetworkPolicy. */
export interface NetworkPolicyObject extends ObjectBase {
  readonly kind: 'NetworkPolicy';
  readonly podSelector: LabelSelector;
  /** Ingress rules when the policy isolates ingress; absent otherwise. */
  readonly ingress?: readonly PolicyRule[];
  /** Egress rules when the policy isolates egress; absent otherwise. */
  readonly egress?: readonly PolicyRule[];
  /** A rule that could not be understood makes the policy stricter, never looser; named here and as an issue. */
  readonly invalid: boolean;
}

/** What a rule of a ClusterNetworkPolicy does with what it matches; `Pass` leaves it to the next tier. */
export type ClusterPolicyAction = 'Accept' | 'Deny' | 'Pass';

/** One rule of a ClusterNetworkPolicy: the first that matches decides. */
export interface ClusterPolicyRule extends PolicyRule {
  readonly action: ClusterPolicyAction;
  /** The rule's own name; may be empty. */
  readonly name: string;
}

/** A ClusterNetworkPolicy (policy.networking.k8s.io): before (`Admin`) or after (`Baseline`) the NetworkPolicies of namespaces. */
export interface ClusterNetworkPolicyObject extends ObjectBase {
  readonly kind: 'ClusterNetworkPolicy';
  readonly tier: 'Admin' | 'Baseline';
  /** 0–1000; the lower is asked first. */
  readonly priority: number;
  /** Pods that it is about: by labels of their namespace and of their own. */
  readonly subject: { readonly namespaceSelector: LabelSelector; readonly podSelector: LabelSelector };
  /** In the order in which they are asked. */
  readonly ingress: readonly ClusterPolicyRule[];
  /** In the order in which they are asked. */
  readonly egress: readonly ClusterPolicyRule[];
  /** A part that could not be understood makes the policy stricter, never looser; named here and as an issue. */
  readonly invalid: boolean;
}

/** Every projected kind by name. */
export interface ObjectKinds {
  readonly Node: NodeObject;
  readonly Namespace: NamespaceObject;
  readonly Pod: PodObject;
  readonly Service: ServiceObject;
  readonly EndpointSlice: EndpointSliceObject;
  readonly NetworkPolicy: NetworkPolicyObject;
  readonly ClusterNetworkPolicy: ClusterNetworkPolicyObject;
}

/** Name of a projected kind. */
export type ObjectKind = keyof ObjectKinds;

/** `namespace/name`, or `name` for cluster-scoped kinds. */
export type ObjectKey = string;
