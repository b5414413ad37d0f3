/**
 * The cluster that the benchmark compiles: namespaces of alike pods, each namespace with the usual handful of policies, and one
 * node that runs a small part of the pods.
 */
import type { NamespaceObject, NetworkPolicyObject, PodObject, PolicyRule } from '../../src/objects/index.ts';

const base = { uid: '', annotations: {} };

/** A cluster by its numbers. */
export interface Size {
  readonly pods: number;
  readonly policies: number;
  readonly local: number;
  /** Namespaces; policies, and the pods of other nodes, are spread evenly. */
  readonly namespaces: number;
  /** Namespaces that the node's pods are spread over. */
  readonly localNamespaces: number;
}

/** Objects of a cluster. */
export interface BenchWorld {
  readonly pods: PodObject[];
  readonly namespaces: NamespaceObject[];
  readonly policies: NetworkPolicyObject[];
}

const APPS = ['web', 'api', 'db', 'cache', 'job'];

/** A pod of the cluster; every ten kinds its labels begin anew. */
export function benchPod(index: number, namespace: string, local: boolean, kind = 0): PodObject {
  return {
    ...base,
    kind: 'Pod',
    namespace,
    name: `pod-${index}`,
    labels: { app: APPS[kind % APPS.length]!, tier: kind % 10 < 5 ? 'front' : 'back' },
    nodeName: local ? 'node-0' : `node-${1 + (index % 39)}`,
    phase: 'Running',
    hostNetwork: false,
    hostIPs: [],
    ips: [`10.${64 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`],
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    terminationGracePeriodSeconds: 30,
    ready: true,
    containerIds: [],
  };
}

const none = { matchLabels: {}, matchExpressions: [] };
const select = (matchLabels: Record<string, string>): typeof none => ({ matchLabels, matchExpressions: [] });

function rules(kind: number): { ingress?: PolicyRule[]; egress?: PolicyRule[]; target: typeof none } {
  const tcp = (port: number | string): PolicyRule['ports'] => [{ protocol: 'TCP', port }];
  switch (kind % 10) {
    case 0:
      return { target: none, ingress: [] };
    case 1:
      return { target: select({ app: 'web' }), ingress: [{ peers: [], ports: tcp(80) }] };
    case 2:
      return {
        target: select({ app: 'api' }),
        ingress: [
          {
            peers: [{ podSelector: select({ app: 'web' }) }],
            ports: [...tcp('http'), { protocol: 'UDP', port: 8080 }],
          },
        ],
      };
    case 3:
      return {
        target: select({ app: 'db' }),
        ingress: [{ peers: [{ podSelector: select({ app: 'api' }) }], ports: tcp(5432) }],
      };
    case 4:
      return {
        target: select({ app: 'cache' }),
        ingress: [{ peers: [{ podSelector: select({ tier: 'back' }) }], ports: tcp(6379) }],
      };
    case 5:
      return {
        target: select({ app: 'job' }),
        egress: [
          { peers: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/8', '169.254.0.0/16'] } }], ports: tcp(443) },
        ],
      };
    case 6:
      return {
        target: none,
        egress: [
          { peers: [{ namespaceSelector: select({ name: 'ns-0' }) }], ports: [{ protocol: 'UDP', port: 53 }] },
          { peers: [{ podSelector: none }], ports: [] },
        ],
      };
    case 7:
      return {
        target: select({ tier: 'front' }),
        ingress: [{ peers: [{ namespaceSelector: select({ name: 'ns-1' }) }], ports: tcp(8080) }],
      };
    case 8:
      return {
        target: select({ app: 'web' }),
        ingress: [{ peers: [{ ipBlock: { cidr: '192.168.0.0/16', except: [] } }], ports: tcp(443) }],
      };
    default:
      return {
        target: select({ app: 'db' }),
        ingress: [{ peers: [{ podSelector: select({ app: 'job' }) }], ports: tcp(5432) }],
      };
  }
}

/** Makes the cluster. */
export function benchWorld({ pods, policies, local, namespaces, localNamespaces }: Size): BenchWorld {
  const world: BenchWorld = { pods: [], namespaces: [], policies: [] };
  for (let index = 0; index < namespaces; index++) {
    world.namespaces.push({
      ...base,
      kind: 'Namespace',
      namespace: '',
      name: `ns-${index}`,
      labels: { name: `ns-${index}` },
    });
  }
  for (let index = 0; index < pods; index++) {
    const over = index < local ? localNamespaces : namespaces;
    world.pods.push(benchPod(index, `ns-${index % over}`, index < local, Math.floor(index / over)));
  }
  for (let index = 0; index < policies; index++) {
    const { target, ...own } = rules(Math.floor(index / namespaces));
    const namespace = `ns-${index % namespaces}`;
    world.policies.push({
      ...base,
      kind: 'NetworkPolicy',
      namespace,
      name: `policy-${index}`,
      labels: {},
      podSelector: target,
      invalid: false,
      ...own,
    });
  }
  return world;
}
