/**
 * Random clusters, policies and changes for property tests: few labels, few addresses and few ports, so that things collide.
 */
import fc from 'fast-check';
import type {
  ClusterNetworkPolicyObject,
  LabelSelector,
  NamespaceObject,
  NetworkPolicyObject,
  PodObject,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
} from '../../../src/objects/index.ts';
import { clusterPolicy, labels, namespace, pod, policy } from './objects.ts';

/** One change of one object. */
export type Change =
  | { readonly kind: 'pod'; readonly key: string; readonly object: PodObject | undefined }
  | { readonly kind: 'namespace'; readonly key: string; readonly object: NamespaceObject | undefined }
  | { readonly kind: 'policy'; readonly key: string; readonly object: NetworkPolicyObject | undefined }
  | { readonly kind: 'cluster'; readonly key: string; readonly object: ClusterNetworkPolicyObject | undefined };

const NAMESPACES = ['a', 'ab', 'c'];
const PODS = ['p', 'bp', 'q', 'r'];
const PORTS = [80, 81, 443, 8080];
const NAMES = ['web', 'dns'];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

/** Addresses that pods have, the node's own, another node's and two of the world outside. */
export const OUTSIDE = { 4: ['192.0.2.1', '198.51.100.7', '10.1.9.1'], 6: ['2001:db8::1', 'fc00::1', 'fd00:9::1'] };
export const OWN_NODE = { 4: '172.16.0.1', 6: 'fd00:16::1' };

/** Addresses that any pod may have; those of the crowd come after them. */
const SLOTS = 10;

const addressOf = (slot: number, family: 4 | 6): string =>
  family === 4 ? `10.1.${slot >> 2}.${(slot & 3) + 1}` : `fd00:1::1:${(slot + 1).toString(16)}`;

const labelMap = fc
  .record({ app: fc.constantFrom('x', 'y', ''), tier: fc.constantFrom('1', '2', '') })
  .map(({ app, tier }) => ({ ...(app === '' ? {} : { app }), ...(tier === '' ? {} : { tier }) }));

const expression = fc
  .record({
    key: fc.constantFrom('app', 'tier', 'ns'),
    operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
    values: fc.uniqueArray(fc.constantFrom('x', 'y', '1', 'a'), { minLength: 1, maxLength: 3 }),
  })
  .map(({ key, operator, values }) => ({
    key,
    operator,
    values: operator === 'In' || operator === 'NotIn' ? values : [],
  }));

const selector: fc.Arbitrary<LabelSelector> = fc.record({
  matchLabels: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, labelMap),
  matchExpressions: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(expression, { maxLength: 2 })),
});

const blocks = {
  4: [
    '0.0.0.0/0',
    '0.0.0.0/1',
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.0.0/30',
    '10.1.0.1/32',
    '10.1.0.2/32',
    '192.0.2.0/24',
    '10.1.0.0/31',
  ],
  6: [
    '::/0',
    '8000::/1',
    'fd00::/8',
    'fd00:1::/32',
    'fd00:1::1:1/128',
    'fd00:1::1:2/128',
    '2001:db8::/64',
    'fc00::/7',
    'fd00:1::1:2/127',
  ],
};

const ipBlock = fc.constantFrom(4 as const, 6 as const).chain((family) =>
  fc.record({
    cidr: fc.constantFrom(...blocks[family]),
    except: fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      { weight: 2, arbitrary: fc.uniqueArray(fc.constantFrom(...blocks[family]), { maxLength: 3 }) },
    ),
  }),
);

const peer: fc.Arbitrary<PolicyPeer> = fc.oneof(
  ipBlock.map((block) => ({ ipBlock: block })),
  selector.map((podSelector) => ({ podSelector })),
  selector.map((namespaceSelector) => ({ namespaceSelector })),
  fc.record({ podSelector: selector, namespaceSelector: selector }),
);

const port: fc.Arbitrary<PolicyPort> = fc.oneof(
  fc.record({ protocol: fc.constantFrom(...PROTOCOLS), port: fc.constantFrom(...PORTS) }),
  fc.record({ protocol: fc.constantFrom(...PROTOCOLS), port: fc.constantFrom(...NAMES, 'none') }),
  fc.record({ protocol: fc.constantFrom(...PROTOCOLS) }),
  fc
    .record({
      protocol: fc.constantFrom(...PROTOCOLS),
      port: fc.constantFrom(1, 80),
      more: fc.constantFrom(0, 1, 1000, 65000),
    })
    .map(({ protocol, port: first, more }) => ({ protocol, port: first, endPort: first + more })),
);

const rule: fc.Arbitrary<PolicyRule> = fc.record({
  peers: fc.oneof(
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 4, arbitrary: fc.array(peer, { minLength: 1, maxLength: 5 }) },
  ),
  ports: fc.oneof(
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.array(port, { minLength: 1, maxLength: 4 }) },
  ),
});

const rules = fc.array(rule, { maxLength: 3 });

const podKey = fc
  .tuple(fc.constantFrom(...NAMESPACES), fc.constantFrom(...PODS))
  .map(([space, name]) => `${space}/${name}`);

const randomPod = fc.record({
  slot: fc.nat(SLOTS - 1),
  families: fc.constantFrom([4], [6], [4, 6], [4, 6], [4, 6]),
  own: labelMap,
  node: fc.constantFrom('n1', 'n1', 'n2'),
  phase: fc.constantFrom('Running', 'Running', 'Running', 'Running', 'Pending', 'Succeeded'),
  hostNetwork: fc.constantFrom(false, false, false, false, false, true),
  deleted: fc.constantFrom(false, false, false, true),
  ports: fc.array(
    fc.record({
      name: fc.constantFrom(...NAMES),
      protocol: fc.constantFrom(...PROTOCOLS),
      port: fc.constantFrom(...PORTS),
    }),
    { maxLength: 3 },
  ),
});

/** Pods of one Deployment are alike but for their address: one more of them finds its class and its sets there. */
const replica: typeof randomPod = fc.record({
  slot: fc.nat(SLOTS - 1),
  families: fc.constant([4, 6]),
  own: fc.constant({ app: 'x' }),
  node: fc.constant('n1'),
  phase: fc.constant('Running'),
  hostNetwork: fc.constant(false),
  deleted: fc.constant(false),
  ports: fc.constant([{ name: 'web', protocol: 'TCP' as const, port: 80 }]),
});

const podObject = (key: string): fc.Arbitrary<PodObject> =>
  fc
    .oneof({ weight: 3, arbitrary: randomPod }, { weight: 1, arbitrary: replica })
    .map(({ slot, families, own, node, phase, hostNetwork, deleted, ports }) =>
      pod(
        key,
        [...families].map((family: 4 | 6) => addressOf(slot, family)),
        own,
        {
          nodeName: node,
          phase,
          hostNetwork,
          ports,
          hostIPs: node === 'n1' ? [OWN_NODE[4], OWN_NODE[6]] : [],
          ...(deleted ? { deletedAt: 1 } : {}),
        },
      ),
    );

const podChange: fc.Arbitrary<Change> = podKey.chain((key) =>
  fc
    .oneof({ weight: 1, arbitrary: fc.constant(undefined) }, { weight: 5, arbitrary: podObject(key) })
    .map((object) => ({ kind: 'pod' as const, key, object })),
);

const namespaceChange: fc.Arbitrary<Change> = fc
  .constantFrom(...NAMESPACES)
  .chain((key) =>
    fc
      .oneof(
        { weight: 1, arbitrary: fc.constant(undefined) },
        { weight: 6, arbitrary: labelMap.map((own) => namespace(key, { ...own, ns: key })) },
      )
      .map((object) => ({ kind: 'namespace' as const, key, object })),
  );

const policyObject = (key: string, targets: fc.Arbitrary<LabelSelector>): fc.Arbitrary<NetworkPolicyObject> =>
  fc
    .record({ target: targets, types: fc.constantFrom('i', 'i', 'e', 'ie'), ingress: rules, egress: rules })
    .map(({ target, types, ingress, egress }) =>
      policy(key, target, {
        ...(types.includes('i') ? { ingress } : {}),
        ...(types.includes('e') ? { egress } : {}),
      }),
    );

const policyChange: fc.Arbitrary<Change> = fc
  .tuple(fc.constantFrom(...NAMESPACES), fc.constantFrom('c', 'bc', 'd', 'e'))
  .chain(([space, name]) => {
    const key = `${space}/${name}`;
    return fc
      .oneof({ weight: 1, arbitrary: fc.constant(undefined) }, { weight: 4, arbitrary: policyObject(key, selector) })
      .map((one) => ({ kind: 'policy' as const, key, object: one }));
  });

const clusterRules = fc.array(
  fc.record({
    action: fc.constantFrom('Accept', 'Deny', 'Deny', 'Pass'),
    name: fc.constant(''),
    peers: fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      {
        weight: 8,
        arbitrary: fc.array(
          fc.oneof(
            { weight: 3, arbitrary: fc.record({ podSelector: selector, namespaceSelector: selector }) },
            { weight: 1, arbitrary: ipBlock.map(({ cidr }) => ({ ipBlock: { cidr, except: [] } })) },
          ),
          { minLength: 1, maxLength: 3 },
        ),
      },
    ),
    ports: fc.oneof(
      { weight: 2, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(port, { minLength: 1, maxLength: 3 }) },
    ),
  }),
  { maxLength: 4 },
);

const clusterChange: fc.Arbitrary<Change> = fc.constantFrom('k', 'l', 'm', 'n').chain((key) => {
  const object = fc
    .record({
      tier: fc.constantFrom('Admin', 'Baseline'),
      priority: fc.constantFrom(0, 5, 5, 1000),
      subject: fc.record({ namespaceSelector: selector, podSelector: selector }),
      ingress: clusterRules,
      egress: clusterRules,
    })
    .map(({ tier, ...more }) => clusterPolicy(key, tier, more));
  return fc
    .oneof({ weight: 1, arbitrary: fc.constant(undefined) }, { weight: 4, arbitrary: object })
    .map((one) => ({ kind: 'cluster' as const, key, object: one }));
});

/** A pod of this node at a slot. */
const localPod = (key: string, slot: number, own: Readonly<Record<string, string>>): Change => {
  const ips = [addressOf(slot, 4), addressOf(slot, 6)];
  const here = { nodeName: 'n1', hostIPs: [OWN_NODE[4], OWN_NODE[6]] };
  return { kind: 'pod', key, object: pod(key, ips, own, here) };
};

/** A policy for the pods of `c` with these labels. */
const policyFor = (key: string, own: Readonly<Record<string, string>>): fc.Arbitrary<Change> =>
  policyObject(key, fc.constant(labels(own))).map((object) => ({ kind: 'policy', key, object }));

/**
 * Pods of this node of which each has policies of its own, so that there are more classes than one list of a dispatch chain holds. A pod
 * that changes its kind moves to another class, known or new.
 */
const CROWD = Array.from({ length: 10 }, (_, kind) => `${kind}`);

const crowdPod = (key: string, kind: fc.Arbitrary<string>): fc.Arbitrary<Change> =>
  fc
    .record({ kind, own: labelMap })
    .map(({ kind: k, own }) => localPod(`c/k${key}`, SLOTS + CROWD.indexOf(key), { ...own, k }));

const crowdPolicy = (k: string): fc.Arbitrary<Change> => policyFor(`c/k${k}`, { k });

const crowdChange: fc.Arbitrary<Change> = fc
  .constantFrom(...CROWD)
  .chain((key) =>
    fc.oneof(
      { weight: 4, arbitrary: crowdPod(key, fc.constantFrom(...CROWD)) },
      { weight: 1, arbitrary: fc.constant({ kind: 'pod' as const, key: `c/k${key}`, object: undefined }) },
      { weight: 2, arbitrary: crowdPolicy(key) },
    ),
  );

const crowd: fc.Arbitrary<readonly Change[]> = fc
  .integer({ min: 4, max: CROWD.length })
  .chain((size) =>
    fc.tuple(
      ...CROWD.slice(0, size).map((key) => crowdPod(key, fc.constant(key))),
      ...CROWD.map((key) => crowdPolicy(key)),
    ),
  );

/** Pods of this node that the same policies select: as many as give a class a way of its own, or one fewer, or one more. */
const HERD = Array.from({ length: 34 }, (_, at) => at);

const herdPod = (at: number, own: Readonly<Record<string, string>> = { h: '1' }): Change =>
  localPod(`c/h${at}`, SLOTS + CROWD.length + at, own);

const herdPolicy = policyFor('c/herd', { h: '1' });

const herdChange: fc.Arbitrary<Change> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .constantFrom(...HERD.slice(13, 18), ...HERD.slice(29))
      .chain((at) =>
        fc.constantFrom(herdPod(at), herdPod(at, {}), { kind: 'pod' as const, key: `c/h${at}`, object: undefined }),
      ),
  },
  { weight: 1, arbitrary: herdPolicy },
);

const herd: fc.Arbitrary<readonly Change[]> = fc
  .tuple(fc.constantFrom(15, 16, 31, 32), herdPolicy)
  .map(([size, own]) => [...HERD.slice(0, size).map((at) => herdPod(at)), own]);

const anyChange = fc.oneof(
  { weight: 4, arbitrary: podChange },
  { weight: 1, arbitrary: namespaceChange },
  { weight: 3, arbitrary: policyChange },
  { weight: 2, arbitrary: clusterChange },
  { weight: 2, arbitrary: crowdChange },
  { weight: 1, arbitrary: herdChange },
);

/** One step of one change. */
export const singleStep: fc.Arbitrary<readonly Change[]> = anyChange.map((one) => [one]);

/** One step: a few changes at once. */
export const step: fc.Arbitrary<readonly Change[]> = fc.array(anyChange, { minLength: 1, maxLength: 4 });

/** A cluster to begin with: every namespace, some pods and policies. */
export const beginning: fc.Arbitrary<readonly Change[]> = fc
  .tuple(
    fc.tuple(...NAMESPACES.map((name) => labelMap.map((own) => namespace(name, { ...own, ns: name })))),
    fc.array(podChange, { minLength: 4, maxLength: 10 }),
    fc.array(policyChange, { minLength: 1, maxLength: 6 }),
    fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(clusterChange, { maxLength: 4 }) },
    ),
    fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: crowd }),
    fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: herd }),
  )
  .map(([spaces, pods, policies, more, many, alike]) => [
    ...spaces.map((object) => ({ kind: 'namespace' as const, key: object.name, object })),
    ...pods,
    ...policies,
    ...more,
    ...many,
    ...alike,
  ]);

/** A flow between any two ends; both of one family. */
export interface RandomFlow {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp' | 'icmp';
  readonly port: number;
}

/** Any flow among pods, nodes and the world. */
export const flow: fc.Arbitrary<RandomFlow> = fc.constantFrom(4 as const, 6 as const).chain((family) => {
  const end = fc.oneof(
    { weight: 8, arbitrary: fc.nat(SLOTS - 1).map((slot) => addressOf(slot, family)) },
    { weight: 4, arbitrary: fc.nat(CROWD.length - 1).map((at) => addressOf(SLOTS + at, family)) },
    { weight: 2, arbitrary: fc.constantFrom(0, 1, 15, 31).map((at) => addressOf(SLOTS + CROWD.length + at, family)) },
    { weight: 1, arbitrary: fc.constantFrom(...OUTSIDE[family]) },
    { weight: 1, arbitrary: fc.constant(OWN_NODE[family]) },
  );
  return fc.record({
    source: end,
    destination: end,
    protocol: fc.constantFrom('tcp', 'tcp', 'udp', 'sctp', 'icmp'),
    port: fc.constantFrom(...PORTS, 1, 1080, 65535),
  });
});

/** Objects by key, changed in place. */
export interface World {
  readonly pods: Map<string, PodObject>;
  readonly namespaces: Map<string, NamespaceObject>;
  readonly policies: Map<string, NetworkPolicyObject>;
  readonly clusterPolicies: Map<string, ClusterNetworkPolicyObject>;
}

/** Without an object. */
export const emptyWorld = (): World => ({
  pods: new Map(),
  namespaces: new Map(),
  policies: new Map(),
  clusterPolicies: new Map(),
});

/** Applies changes to a world and returns them sorted by kind, as a compiler takes them. */
export function change(
  world: World,
  changes: readonly Change[],
): {
  pods: { key: string; object: PodObject | undefined }[];
  namespaces: { key: string; object: NamespaceObject | undefined }[];
  policies: { key: string; object: NetworkPolicyObject | undefined }[];
  clusterPolicies: { key: string; object: ClusterNetworkPolicyObject | undefined }[];
} {
  const update = { pods: [], namespaces: [], policies: [], clusterPolicies: [] } as ReturnType<typeof change>;
  const put = <T>(map: Map<string, T>, key: string, object: T | undefined): void => {
    if (object === undefined) map.delete(key);
    else map.set(key, object);
  };
  for (const one of changes) {
    if (one.kind === 'pod') {
      put(world.pods, one.key, one.object);
      update.pods.push(one);
    } else if (one.kind === 'namespace') {
      put(world.namespaces, one.key, one.object);
      update.namespaces.push(one);
    } else if (one.kind === 'cluster') {
      put(world.clusterPolicies, one.key, one.object);
      update.clusterPolicies.push(one);
    } else {
      put(world.policies, one.key, one.object);
      update.policies.push(one);
    }
  }
  return update;
}
