/** A NetworkPolicy on all the paths that traffic takes to a pod: same node and other node, each directly and through a Service, from outside. */
import { clusterFolder, type Lab } from '../lab.ts';
import { loadYaml } from '../api.ts';
import { defaultPort } from '../kubelet.ts';
import { probe, type From } from '../probe.ts';
import type { Report } from '../report.ts';
import { until } from '../shell.ts';
import { address, convergenceMs } from './pods.ts';

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

/** Puts them; without a selector, so that no controller changes their endpoints. */
async function putServices(lab: Lab): Promise<void> {
  for (const { name, pod, digit } of oneEach) {
    await lab.api.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace: 'demo' },
      spec: {
        type: 'ClusterIP',
        clusterIP: clusterIp(digit, 4),
        clusterIPs: [clusterIp(digit, 4), clusterIp(digit, 6)],
        ipFamilies: ['IPv4', 'IPv6'],
        ipFamilyPolicy: 'RequireDualStack',
        ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: defaultPort }],
      },
    });
    for (const family of [4, 6] as const) {
      await lab.api.put({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-${family}`, namespace: 'demo', labels: { 'kubernetes.io/service-name': name } },
        addressType: `IPv${family}`,
        ports: [{ name: 'http', protocol: 'TCP', port: defaultPort }],
        endpoints: [{ addresses: [address(lab, pod, family)], conditions: { ready: true } }],
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

export async function policyClaims(lab: Lab, report: Report): Promise<void> {
  const friend = lab.pod('demo/friend');
  const stranger = lab.pod('other/stranger');
  const client = lab.place('client');
  await putServices(lab);
  await report.comesTrue('before any policy a stranger reaches every Service', convergenceMs, async () => {
    for (const { digit, where } of oneEach) {
      for (const family of [4, 6] as const) {
        if (!(await answers(stranger, clusterIp(digit, family), 80)))
          throw new Error(`no answer from ${where}, IPv${family}`);
      }
    }
    return 'the pod on the same node and the one on another, IPv4 and IPv6';
  });
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
    const vip = family === 4 ? '203.0.113.80' : '2001:db8:f00d::80';
    const paths: Path[] = [
      ...[friend, stranger].flatMap((from) => {
        const allowed = from === friend;
        const who = allowed ? 'friend' : 'stranger';
        return [
          {
            name: `${who} → pod on the same node`,
            from,
            to: address(lab, 'demo/web-1', family),
            port: defaultPort,
            allowed,
          },
          {
            name: `${who} → pod on another node`,
            from,
            to: address(lab, 'demo/web-3', family),
            port: defaultPort,
            allowed,
          },
          ...oneEach.map(({ digit, where }) => ({
            name: `${who} → Service → pod on ${where}`,
            from,
            to: clusterIp(digit, family),
            port: 80,
            allowed,
          })),
          { name: `${who} → Service of both`, from, to: clusterIp(0, family), port: 80, allowed },
        ];
      }),
      {
        name: 'outside → pod',
        from: client,
        to: address(lab, 'demo/web-2', family),
        port: defaultPort,
        allowed: false,
      },
      { name: 'outside → VIP', from: client, to: vip, port: 80, allowed: false },
      {
        name: 'stranger → pod that no policy selects',
        from: stranger,
        to: address(lab, 'demo/friend', family),
        port: defaultPort,
        allowed: true,
      },
    ];
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
  }
  await removeServices(lab);
}
