/** Debian's kubectl at the control plane: what it applies and deletes is what the agents program, shown by packets. */
import { fileURLToPath } from 'node:url';
import type { Lab } from '../lab.ts';
import { defaultPort } from '../kubelet.ts';
import type { Report } from '../report.ts';
import { must, until } from '../shell.ts';
import { nodes } from '../topology.ts';
import { address } from './pods.ts';
import { answers } from './policy.ts';

const manifest = fileURLToPath(new URL('../by-kubectl.yaml', import.meta.url));
const service = { ip: '172.16.0.90', port: 8090 };

export async function kubectlClaims(lab: Lab, report: Report): Promise<void> {
  const kubectl = (...args: string[]): Promise<string> =>
    must('env', [`KUBECONFIG=${lab.kubeconfig}`, 'kubectl', ...args]);
  const friend = lab.pod('demo/friend');
  const stranger = lab.pod('other/stranger');
  const pod = address(lab, 'demo/web-2', 4);
  /** Milliseconds until a connection is answered, or no more. */
  const comesTo = async (from: typeof friend, to: string, port: number, answered: boolean): Promise<string> => {
    const began = performance.now();
    const as = await until(async () => (await answers(from, to, port)) === answered, 15_000, 50);
    if (as === undefined)
      throw new Error(`${to}:${port} is ${answered ? 'not answered' : 'still answered'} after 15 s`);
    return `after ${Math.round(performance.now() - began)} ms`;
  };

  await report.claim('before: no such Service, and no policy', async () => {
    if (await answers(friend, service.ip, service.port)) throw new Error(`${service.ip} answers`);
    if (!(await answers(stranger, pod, defaultPort))) throw new Error('a stranger is refused');
    return `${service.ip} does not answer, a stranger reaches ${pod}`;
  });
  await report.claim(
    'kubectl apply -f by-kubectl.yaml: the Service answers, the policy refuses strangers',
    async () => {
      const said = await kubectl('apply', '--validate=false', '-f', manifest);
      const served = await comesTo(friend, service.ip, service.port, true);
      const refused = await comesTo(stranger, pod, defaultPort, false);
      return `${lines(said)}; answered ${served}, refused ${refused}`;
    },
  );
  await report.claim('kubectl get: both are there', async () => {
    const said = await kubectl(
      'get',
      '-n',
      'demo',
      'service/web-by-kubectl',
      'networkpolicy/friends-by-kubectl',
      '-o',
      'name',
    );
    return lines(said);
  });
  await report.claim('kubectl delete -f by-kubectl.yaml: gone from every node', async () => {
    const said = await kubectl('delete', '--wait=false', '-f', manifest);
    const admitted = await comesTo(stranger, pod, defaultPort, true);
    const silent = await comesTo(friend, service.ip, service.port, false);
    for (const node of nodes) {
      const gone = await until(
        async () => !(await lab.place(node.name).sh('ipvsadm -Sn')).includes(service.ip),
        15_000,
      );
      if (gone === undefined) throw new Error(`${node.name} still has ${service.ip} in IPVS`);
    }
    return `${lines(said)}; stranger admitted ${admitted}, Service silent ${silent}, IPVS of all nodes without it`;
  });
}

const lines = (text: string): string => text.trim().split('\n').join(', ');
