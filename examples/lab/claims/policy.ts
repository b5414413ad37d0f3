/**
 * T13: a NetworkPolicy on all the paths that traffic takes to a pod: same node (bridged and routed) and other node, each directly and
 * through a Service, and from outside to a VIP.
 */
import { clusterFolder, type Lab } from '../lab.ts';
import { loadYaml } from '../api.ts';
import { defaultPort, routedLabel } from '../kubelet.ts';
import { probe, type From } from '../probe.ts';
import type { Report } from '../report.ts';
import { until } from '../shell.ts';
import { address, convergenceMs, startPods, type ExtraPod } from './pods.ts';

interface Path {
  readonly name: string;
  readonly from: From;
  readonly to: string;
  readonly port: number;
  readonly allowed: boolean;
}

/** Whether one connection gets an answer. */
export async function answers(from: From, to: string, port: number): Promise<boolean> {
  const [attempt] = await probe(from, to, port, { timeoutMs: 1500 });
  return attempt?.pod !== undefined;
}

/** Services of one pod each, so that a path through a Service is known: `web-1` is on the node of those who ask, `web-3` on another. */
const oneEach = [
  { name: 'web-near', pod: 'demo/web-1', where: 'the same node', digit: 1 },
  { name: 'web-far', pod: 'demo/web-3', where: 'another node', digit: 2 },
] as const;
const clusterIp = (digit: number, family: 4 | 6): string => `${family === 4 ? '172.16.0.' : 'fd00:172:16::'}8${digit}`;

const anyVip = (family: 4 | 6): string => (family === 4 ? '203.0.113.80' : '2001:db8:f00d::80');
/** A VIP of `web-near` with policy Local: only its pod's node draws the traffic, and the pod sees the client. */
const localVip = (family: 4 | 6): string => (family === 4 ? '203.0.113.81' : '2001:db8:f00d::81');

/** Puts them; without a selector, so that no controller changes their endpoints. */
async function putServices(lab: Lab): Promise<void> {
  for (const { name, pod, digit } of oneEach) {
    const outside = digit === 1;
    await lab.api.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'demo' },
      spec: {
        ...(outside ? { type: 'LoadBalancer', externalTrafficPolicy: 'Local' } : { type: 'ClusterIP' }),
        clusterIP: clusterIp(digit, 4),
        clusterIPs: [clusterIp(digit, 4), clusterIp(digit, 6)],
        ipFamilies: ['IPv4', 'IPv6'],
        ipFamilyPolicy: 'RequireDualStack',
        ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: defaultPort }],
      },
      ...(outside ? { status: { loadBalancer: { ingress: [{ ip: localVip(4) }, { ip: localVip(6) }] } } } : {}),
    });
    for (const family of [4, 6] as const) {
      await lab.api.put({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-${family}`, namespace: 'demo', labels: { 'kubernetes.io/service-name': name } },
        addressType: `IPv${family}`,
        ports: [{ name: 'http', protocol: 'TCP', port: defaultPort }],
        endpoints: [
          { addresses: [address(lab, pod, family)], conditions: { ready: true }, nodeName: lab.pod(pod).node },
        ],
      });
    }
  }
}

async function removeServices(lab: Lab): Promise<void> {
  for (const { name } of oneEach) {
    for (const family of [4, 6]) await lab.api.remove('EndpointSlice', 'demo', `${name}-${family}`);
    await lab.api.remove('Service', 'demo', name);
  }
}

/** A pod of node1 that has no bridge; `host` is its number in the node's pod ranges. */
const routedPod = (namespace: string, name: string, app: string, host: number): ExtraPod => ({
  namespace,
  name,
  node: 'node1',
  labels: { app, [routedLabel]: `${host}` },
});

/** Of each kind one. */
const routedPods = [
  routedPod('demo', 'routed', 'routed', 241),
  routedPod('demo', 'routed-friend', 'friend', 242),
  routedPod('other', 'routed-stranger', 'stranger', 243),
];

/** Lets the client's network in, beside the friends. */
const fromClient = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'web-from-client', namespace: 'demo' },
  spec: {
    podSelector: { matchLabels: { app: 'web' } },
    policyTypes: ['Ingress'],
    ingress: [
      {
        from: [{ ipBlock: { cidr: '198.51.100.0/24' } }, { ipBlock: { cidr: '2001:db8:c::/64' } }],
        ports: [{ protocol: 'TCP', port: 'http' }],
      },
    ],
  },
};

export async function policyClaims(lab: Lab, report: Report): Promise<void> {
  const client = lab.place('client');
  await putServices(lab);
  await startPods(lab, routedPods);
  const friend = lab.pod('demo/friend');
  const stranger = lab.pod('other/stranger');
  const claimPaths = async (family: 4 | 6, paths: readonly Path[]): Promise<void> => {
    for (const path of paths) {
      await report.claim(`IPv${family}: ${path.name} is ${path.allowed ? 'allowed' : 'denied'}`, async () => {
        const tries = 3;
        const attempts = await probe(path.from, path.to, path.port, { count: tries, timeoutMs: 1500 });
        const wrong = attempts.findIndex(({ pod }) => (pod !== undefined) !== path.allowed);
        if (wrong >= 0)
          throw new Error(`connection ${wrong + 1} of ${tries} was ${path.allowed ? 'denied' : 'answered'}`);
        return `${tries} of ${tries}`;
      });
    }
  };
  await report.comesTrue('before any policy a stranger reaches every Service', convergenceMs, async () => {
    for (const { digit, where } of oneEach) {
      for (const family of [4, 6] as const) {
        if (!(await answers(stranger, clusterIp(digit, family), 80)))
          throw new Error(`no answer from ${where}, IPv${family}`);
      }
    }
    return 'the pod on the same node and the one on another, IPv4 and IPv6';
  });
  await report.comesTrue(
    'before any policy the client reaches the VIPs, strangers the routed pod',
    convergenceMs,
    async () => {
      const routed = lab.pod('other/routed-stranger');
      for (const family of [4, 6] as const) {
        for (const vip of [anyVip(family), localVip(family)])
          if (!(await answers(client, vip, 80))) throw new Error(`no answer from ${vip}`);
        if (!(await answers(routed, address(lab, 'demo/routed', family), defaultPort)))
          throw new Error(`no answer from the routed pod, IPv${family}`);
      }
      return 'IPv4 and IPv6';
    },
  );
  for (const object of loadYaml(`${clusterFolder}/policy.yaml`)) await lab.api.put(object);
  await report.claim('the policy is in force', async () => {
    const began = performance.now();
    const closed = await until(
      async () => !(await answers(stranger, address(lab, 'demo/web-3', 4), defaultPort)),
      15_000,
      50,
    );
    if (closed === undefined) throw new Error('a stranger still gets through after 15 s');
    return `a stranger was refused ${Math.round(performance.now() - began)} ms after it was written`;
  });
  for (const family of [4, 6] as const) {
    const pod = (key: string) => ({ to: address(lab, key, family), port: defaultPort });
    const who = (name: 'friend' | 'stranger'): Path[] => {
      const allowed = name === 'friend';
      const from = allowed ? friend : stranger;
      const routed = lab.pod(allowed ? 'demo/routed-friend' : 'other/routed-stranger');
      return [
        { name: `${name} → pod on the same node, bridged`, from, ...pod('demo/web-1'), allowed },
        { name: `${name} → pod on the same node, routed`, from: routed, ...pod('demo/routed'), allowed },
        { name: `${name} → pod on another node`, from, ...pod('demo/web-3'), allowed },
        ...oneEach.map(({ digit, where }) => {
          return { name: `${name} → Service → pod on ${where}`, from, to: clusterIp(digit, family), port: 80, allowed };
        }),
        { name: `${name} → Service of both`, from, to: clusterIp(0, family), port: 80, allowed },
      ];
    };
    await claimPaths(family, [
      ...who('friend'),
      ...who('stranger'),
      { name: 'outside → pod', from: client, ...pod('demo/web-2'), allowed: false },
      { name: 'outside → VIP', from: client, to: anyVip(family), port: 80, allowed: false },
      { name: 'outside → VIP of policy Local', from: client, to: localVip(family), port: 80, allowed: false },
      { name: 'stranger → pod that no policy selects', from: stranger, ...pod('demo/friend'), allowed: true },
    ]);
  }
  await lab.api.put(fromClient);
  await report.comesTrue("a second policy lets the client's network in", convergenceMs, async () => {
    if (!(await answers(client, localVip(4), 80))) throw new Error('the client is still denied');
    return 'at the VIP of policy Local';
  });
  for (const family of [4, 6] as const) {
    await claimPaths(family, [
      { name: 'outside → pod', from: client, to: address(lab, 'demo/web-2', family), port: defaultPort, allowed: true },
      { name: 'outside → VIP of policy Local', from: client, to: localVip(family), port: 80, allowed: true },
      { name: 'stranger → Service of both', from: stranger, to: clusterIp(0, family), port: 80, allowed: false },
    ]);
  }
  await lab.api.remove('NetworkPolicy', 'demo', fromClient.metadata.name);
  for (const { namespace, name } of routedPods) await lab.api.remove('Pod', namespace, name);
  await removeServices(lab);
}
