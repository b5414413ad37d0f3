/** A NetworkPolicy on all the paths that traffic takes to a pod: same node and other node, each directly and through a Service, from outside. */
import { clusterFolder, type Lab } from '../lab.ts';
import { loadYaml } from '../api.ts';
import { defaultPort } from '../kubelet.ts';
import { probe, type From } from '../probe.ts';
import type { Report } from '../report.ts';
import { until } from '../shell.ts';
import { address } from './pods.ts';

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

export async function policyClaims(lab: Lab, report: Report): Promise<void> {
  const friend = lab.pod('demo/friend');
  const stranger = lab.pod('other/stranger');
  const client = lab.place('client');
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
    const service = family === 4 ? '172.16.0.8' : 'fd00:172:16::8';
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
          { name: `${who} → Service → pod on the same node`, from, to: `${service}1`, port: 80, allowed },
          { name: `${who} → Service → pod on another node`, from, to: `${service}2`, port: 80, allowed },
          { name: `${who} → Service of both`, from, to: `${service}0`, port: 80, allowed },
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
}
