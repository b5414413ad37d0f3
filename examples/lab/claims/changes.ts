/** The network follows: a Service scaled, a policy edited, a node killed; each with the time until packets showed it. */
import type { Lab } from '../lab.ts';
import { defaultPort } from '../kubelet.ts';
import { watch } from '../probe.ts';
import type { Report } from '../report.ts';
import { sleep, until } from '../shell.ts';
import { routerTable } from './bgp.ts';
import { address, startPods } from './pods.ts';
import { answers } from './policy.ts';

export async function changeClaims(lab: Lab, report: Report): Promise<void> {
  await report.claim('Service scaled up: a fourth pod gets connections, none fails', async () => {
    const traffic = watchPod(lab, 'demo/friend', '172.16.0.80', 80);
    await startPods(lab, [{ namespace: 'demo', name: 'web-4', node: 'node2', labels: { app: 'web' } }]);
    await lab.controllers.settled();
    const since = Date.now();
    const first = await until(() => Promise.resolve(traffic.attempts.find(({ pod }) => pod === 'web-4')), 15_000, 20);
    const attempts = await traffic.stop();
    if (first === undefined) throw new Error('the new pod got no connection within 15 s');
    const failed = attempts.filter(({ failure }) => failure !== undefined);
    if (failed.length > 0)
      throw new Error(`${failed.length} of ${attempts.length} connections failed: ${failed[0]?.failure}`);
    return `first answer ${Math.max(0, first.at - since)} ms after its endpoint was published; ${attempts.length} connections, 0 failed`;
  });

  await report.claim('Service scaled down: the fourth pod gets no new connection, none fails', async () => {
    const traffic = watchPod(lab, 'demo/friend', '172.16.0.80', 80);
    await lab.api.patch(
      'Pod',
      'demo',
      'web-4',
      { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
      'status',
    );
    await until(() => Promise.resolve(traffic.attempts.length > 0), 5000, 20);
    await lab.controllers.settled();
    const since = Date.now();
    await sleep(3000);
    const attempts = await traffic.stop();
    const last = attempts.filter(({ pod }) => pod === 'web-4').at(-1);
    const failed = attempts.filter(({ failure }) => failure !== undefined);
    await lab.api.remove('Pod', 'demo', 'web-4');
    if (failed.length > 0)
      throw new Error(`${failed.length} of ${attempts.length} connections failed: ${failed[0]?.failure}`);
    const lag = last === undefined ? 0 : Math.max(0, last.at - since);
    if (lag > 2500) throw new Error(`it still got connections ${lag} ms later`);
    return `last connection ${lag} ms after the endpoint was withdrawn; ${attempts.length} connections, 0 failed`;
  });

  await report.claim('policy edited: pods of namespace `other` are let in', async () => {
    const stranger = lab.pod('other/stranger');
    const to = address(lab, 'demo/web-3', 4);
    if (await answers(stranger, to, defaultPort)) throw new Error('a stranger got in before the edit');
    const traffic = watchPod(lab, 'other/stranger', to, defaultPort);
    await until(() => Promise.resolve(traffic.attempts.length > 0), 5000, 20);
    const from = [
      { podSelector: { matchLabels: { app: 'friend' } } },
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'other' } } },
    ];
    const ports = [{ protocol: 'TCP', port: 'http' }];
    const since = Date.now();
    await lab.api.patch('NetworkPolicy', 'demo', 'web-from-friends', { spec: { ingress: [{ from, ports }] } });
    const first = await until(() => Promise.resolve(traffic.attempts.find(({ pod }) => pod !== undefined)), 15_000, 20);
    await traffic.stop();
    if (first === undefined) throw new Error('still denied after 15 s');
    return `first connection ${Math.max(0, first.at - since)} ms after the edit`;
  });

  await report.claim('policy deleted: everyone is let in', async () => {
    const since = performance.now();
    await lab.api.remove('NetworkPolicy', 'demo', 'web-from-friends');
    const open = await until(
      () => answers(lab.place('client'), address(lab, 'demo/web-2', 4), defaultPort),
      15_000,
      50,
    );
    if (open === undefined) throw new Error('the client is still denied after 15 s');
    return `client let in after ${Math.round(performance.now() - since)} ms`;
  });

  await report.claim('node3 killed: the router stops using it and the VIP answers on', async () => {
    const vip = '203.0.113.80/32';
    const traffic = watch(`/proc/${lab.place('client').pid}/ns/net`, '203.0.113.80', 80, {
      intervalMs: 50,
      timeoutMs: 400,
    });
    await until(() => Promise.resolve(traffic.attempts.length > 3), 5000, 20);
    const since = Date.now();
    // the power goes: no goodbye, no carrier
    await lab.place('tor').sh('ip link set node3 down');
    await lab.agents.get('node3')?.kill();
    const rerouted = await until(async () => (await routerTable(lab, 'ipv4')).get(vip)?.length === 2, 20_000, 50);
    const reroutedAfter = Date.now() - since;
    if (rerouted === undefined) throw new Error('the router still uses it after 20 s');
    await lab.controllers.nodeLost('node3');
    await sleep(3000);
    const attempts = await traffic.stop();
    const lastFailure = attempts.filter(({ failure }) => failure !== undefined).at(-1);
    const failedFor = lastFailure === undefined ? 0 : lastFailure.at - since;
    const settled = attempts.filter(({ at }) => at > since + Math.max(failedFor, reroutedAfter) + 1);
    if (settled.length < 10) throw new Error(`connections still failed ${failedFor} ms after the loss`);
    return `router rerouted after ${reroutedAfter} ms, last failed connection ${failedFor} ms after the loss`;
  });

  await report.claim('node3 returns: its path comes back unaided', async () => {
    const since = performance.now();
    await lab.place('tor').sh('ip link set node3 up');
    lab.startAgent('node3');
    await lab.controllers.nodeBack('node3');
    const back = await until(
      async () => (await routerTable(lab, 'ipv4')).get('203.0.113.80/32')?.length === 3,
      30_000,
      100,
    );
    if (back === undefined) throw new Error('not within 30 s');
    return `three next hops again ${Math.round(performance.now() - since)} ms after its start`;
  });
}

function watchPod(lab: Lab, key: string, to: string, port: number): ReturnType<typeof watch> {
  return watch(`/run/netns/${lab.pod(key).netns}`, to, port, { intervalMs: 20, timeoutMs: 1500 });
}
