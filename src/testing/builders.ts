/**
 * Builders of Kubernetes objects as the API serves them: small valid JSON with the fields a test is about.
 * Tests of every block and the lab's examples speak in these, so that a case reads as its difference from the ordinary.
 */

/** A Kubernetes object as JSON. */
export interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** What every builder takes. */
export interface MetadataOptions {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Merged into `metadata` last. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Merged into `spec` last. */
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Merged into `status` last. */
  readonly status?: Readonly<Record<string, unknown>>;
}

/** Splits `namespace/name`; without a slash the namespace is `default`. */
function place(key: string): { namespace: string; name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: 'default', name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

function metadataOf(kind: string, key: string, namespaced: boolean, options: MetadataOptions): RawObject['metadata'] {
  const { namespace, name } = namespaced ? place(key) : { namespace: '', name: key };
  return {
    name,
    ...(namespaced ? { namespace } : {}),
    uid: `uid-${kind.toLowerCase()}-${namespaced ? `${namespace}-` : ''}${name}`,
    ...(options.labels === undefined ? {} : { labels: options.labels }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
    ...options.metadata,
  };
}

/** A ready Node: `buildNode('worker-1', { addresses: ['192.168.1.11'], podCIDRs: ['10.1.1.0/24'] })`. */
export function buildNode(
  name: string,
  options: MetadataOptions & { readonly addresses?: readonly string[]; readonly podCIDRs?: readonly string[] } = {},
): RawObject {
  const podCIDRs = options.podCIDRs ?? [];
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: metadataOf('Node', name, false, options),
    spec: { ...(podCIDRs.length === 0 ? {} : { podCIDR: podCIDRs[0], podCIDRs }), ...options.spec },
    status: {
      addresses: (options.addresses ?? []).map((address) => ({ type: 'InternalIP', address })),
      conditions: [{ type: 'Ready', status: 'True' }],
      ...options.status,
    },
  };
}

/** A Namespace. */
export function buildNamespace(name: string, options: MetadataOptions = {}): RawObject {
  const labels = { 'kubernetes.io/metadata.name': name, ...options.labels };
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: metadataOf('Namespace', name, false, { ...options, labels }),
    status: { phase: 'Active' },
  };
}

/** A running, ready Pod: `buildPod('shop/web-1', { node: 'worker-1', ips: ['10.1.1.2'] })`. */
export function buildPod(
  key: string,
  options: MetadataOptions & {
    readonly node?: string;
    readonly ips?: readonly string[];
    readonly phase?: string;
    readonly hostNetwork?: boolean;
    readonly ready?: boolean;
    readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
  } = {},
): RawObject {
  const ips = options.ips ?? [];
  const ready = options.ready ?? true;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: metadataOf('Pod', key, true, options),
    spec: {
      nodeName: options.node ?? '',
      ...(options.hostNetwork === true ? { hostNetwork: true } : {}),
      containers: [
        { name: 'main', image: 'example/main', ...(options.ports === undefined ? {} : { ports: options.ports }) },
      ],
      ...options.spec,
    },
    status: {
      phase: options.phase ?? 'Running',
      ...(ips.length === 0 ? {} : { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      ...options.status,
    },
  };
}

/** A Service: `buildService('shop/web', { clusterIPs: ['172.16.0.10'], ports: [{ port: 80 }], selector: { app: 'web' } })`. */
export function buildService(
  key: string,
  options: MetadataOptions & {
    readonly type?: string;
    readonly clusterIPs?: readonly string[];
    readonly ports?: readonly Readonly<Record<string, unknown>>[];
    readonly selector?: Readonly<Record<string, string>>;
    readonly ingress?: readonly string[];
  } = {},
): RawObject {
  const clusterIPs = options.clusterIPs ?? [];
  const families = clusterIPs.filter((ip) => ip !== 'None').map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4'));
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf('Service', key, true, options),
    spec: {
      type: options.type ?? 'ClusterIP',
      ...(clusterIPs.length === 0 ? {} : { clusterIP: clusterIPs[0], clusterIPs }),
      ...(families.length === 0 ? {} : { ipFamilies: families }),
      ipFamilyPolicy: families.length > 1 ? 'RequireDualStack' : 'SingleStack',
      ports: options.ports ?? [],
      ...(options.selector === undefined ? {} : { selector: options.selector }),
      ...options.spec,
    },
    status: {
      loadBalancer: options.ingress === undefined ? {} : { ingress: options.ingress.map((ip) => ({ ip })) },
      ...options.status,
    },
  };
}

/** One endpoint for {@link buildEndpointSlice}. */
export interface EndpointOptions {
  readonly address: string;
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly node?: string;
  readonly zone?: string;
  /** Zones that the endpoint is meant for. */
  readonly hintZones?: readonly string[];
  /** Nodes that the endpoint is meant for. */
  readonly hintNodes?: readonly string[];
  /** `namespace/name`. */
  readonly pod?: string;
}

function hintsOf({ hintZones, hintNodes }: EndpointOptions): Readonly<Record<string, unknown>> {
  if (hintZones === undefined && hintNodes === undefined) return {};
  const named = (names: readonly string[] = []) => names.map((name) => ({ name }));
  return { hints: { forZones: named(hintZones), forNodes: named(hintNodes) } };
}

/** An EndpointSlice of a Service: `buildEndpointSlice('shop/web', { endpoints: [{ address: '10.1.1.2' }], ports: [{ port: 8080 }] })`. */
export function buildEndpointSlice(
  service: string,
  options: MetadataOptions & {
    /** @defaultValue the Service's name with `-4` or `-6` */
    readonly name?: string;
    readonly endpoints?: readonly EndpointOptions[];
    readonly ports?: readonly Readonly<Record<string, unknown>>[];
    readonly addressType?: string;
  } = {},
): RawObject {
  const { namespace, name } = place(service);
  const endpoints = options.endpoints ?? [];
  const addressType = options.addressType ?? (endpoints[0]?.address.includes(':') === true ? 'IPv6' : 'IPv4');
  const own = options.name ?? `${name}-${addressType === 'IPv6' ? '6' : '4'}`;
  const labels = { 'kubernetes.io/service-name': name, ...options.labels };
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: metadataOf('EndpointSlice', `${namespace}/${own}`, true, { ...options, labels }),
    addressType,
    ports: (options.ports ?? []).map((port) => ({ protocol: 'TCP', ...port })),
    endpoints: endpoints.map((endpoint) => ({
      addresses: [endpoint.address],
      conditions: {
        ready: endpoint.ready ?? true,
        serving: endpoint.serving ?? endpoint.ready ?? true,
        terminating: endpoint.terminating ?? false,
      },
      ...(endpoint.node === undefined ? {} : { nodeName: endpoint.node }),
      ...(endpoint.zone === undefined ? {} : { zone: endpoint.zone }),
      ...hintsOf(endpoint),
      ...(endpoint.pod === undefined
        ? {}
        : { targetRef: { kind: 'Pod', namespace: place(endpoint.pod).namespace, name: place(endpoint.pod).name } }),
    })),
  };
}

/** A ClusterNetworkPolicy with the given `spec`; of the Admin tier and about every pod unless it says otherwise. */
export function buildClusterNetworkPolicy(name: string, options: MetadataOptions = {}): RawObject {
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: metadataOf('ClusterNetworkPolicy', name, false, options),
    spec: { tier: 'Admin', priority: 0, subject: { namespaces: {} }, ...options.spec },
  };
}

/** A NetworkPolicy with the given `spec`: `buildNetworkPolicy('shop/deny', { spec: { podSelector: {}, policyTypes: ['Ingress'] } })`. */
export function buildNetworkPolicy(key: string, options: MetadataOptions = {}): RawObject {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadataOf('NetworkPolicy', key, true, options),
    spec: { podSelector: {}, ...options.spec },
  };
}
