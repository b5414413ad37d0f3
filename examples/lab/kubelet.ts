/**
 * What kubelets do, for all nodes at once: a Pod bound to a node gets a namespace by CNI ADD, a process that answers on its port,
 * and a status; a Pod that is deleted loses them. Watches the API through the SDK's own informers.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { PodObject } from 'kube-router-sdk/informers';
import { fileURLToPath } from 'node:url';
import type { Api } from './api.ts';
import type { Fabric } from './cables.ts';
import { cniAdd, cniDelete, cniReady, routedAdd } from './cni.ts';
import { must, until } from './shell.ts';
import { bare, nodes } from './topology.ts';

const echo = fileURLToPath(new URL('echo.pl', import.meta.url));

/** Label of a pod that is plugged in without a bridge: its number in the node's pod ranges. */
export const routedLabel = 'routed';

/** The port on which a pod answers that declares none. */
export const defaultPort = 8080;

/** The kubelet's readiness probe: whether something listens on the port in the pod's namespace. */
async function answersHere(netns: string, port: number): Promise<boolean> {
  const command = ['nsenter', `--net=/run/netns/${netns}`, 'ss', '-Hltn', `sport = :${port}`];
  return (await must('env', command)).trim() !== '';
}

/** Runs pods. */
export interface Kubelet {
  /** Takes note of a Pod as it is now, or of its end. */
  observe(key: string, pod: PodObject | undefined): void;
  /** Namespaces of running pods by `namespace/name`. */
  readonly running: ReadonlyMap<string, RunningPod>;
  /** Resolves when every Pod seen so far runs or is gone. */
  settled(): Promise<void>;
}

/** A pod that has been started. */
export interface RunningPod {
  readonly node: string;
  readonly netns: string;
  readonly ips: readonly string[];
  readonly process: ChildProcess;
}

/** Makes the kubelets of all nodes of `fabric`; `failed` hears what went wrong. */
export function createKubelet(fabric: Fabric, api: Api, failed: (what: string) => void): Kubelet {
  const running = new Map<string, RunningPod>();
  // one pod after the other on each node: host-local has one lock a node, and the guest one processor
  const queues = new Map<string, Promise<void>>();
  const wanted = new Map<string, PodObject>();

  const enqueue = (node: string, job: () => Promise<void>): void => {
    const previous = queues.get(node) ?? Promise.resolve();
    queues.set(
      node,
      previous.then(job).catch((error: unknown) => failed(String(error))),
    );
  };

  const start = async (key: string, pod: PodObject): Promise<void> => {
    const node = fabric.get(pod.nodeName);
    if (node === undefined || running.has(key) || !wanted.has(key)) return;
    if ((await until(() => cniReady(node), 120_000)) === undefined) {
      throw new Error(`${pod.nodeName}: the agent wrote no pod ranges into the CNI configuration within 120 s`);
    }
    const netns = `${pod.namespace}-${pod.name}`;
    const host = pod.labels[routedLabel];
    const ips = host === undefined ? await cniAdd(node, netns) : await routedAdd(node, netns, Number(host));
    const machine = nodes.find(({ name }) => name === pod.nodeName);
    const hostIPs = (machine?.addresses ?? []).map((address) => ({ ip: bare(address) }));
    const report = (phase: string, ready: boolean): Promise<void> => {
      const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
      const podIPs = ips.map((ip) => ({ ip }));
      const status = { phase, hostIP: hostIPs[0]?.ip, hostIPs, podIP: ips[0], podIPs, conditions };
      return api.patch('Pod', pod.namespace, pod.name, { status }, 'status');
    };
    // the address is known as soon as the sandbox stands, before any container runs
    await report('Pending', false);
    const port = pod.ports[0]?.port ?? defaultPort;
    const process = spawn('nsenter', [`--net=/run/netns/${netns}`, '--', 'perl', echo, pod.name, String(port)], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    // readiness: traffic comes when the pod answers, not before
    const ready = (): Promise<boolean> => answersHere(netns, port);
    if ((await until(ready, 60_000, 50)) === undefined) throw new Error(`${key} does not answer on port ${port}`);
    running.set(key, { node: pod.nodeName, netns, ips, process });
    await report('Running', true);
  };

  const stop = async (key: string): Promise<void> => {
    const pod = running.get(key);
    const node = fabric.get(pod?.node ?? '');
    if (pod === undefined || node === undefined) return;
    running.delete(key);
    pod.process.kill();
    await cniDelete(node, pod.netns);
  };

  return {
    running,
    observe: (key, pod) => {
      const known = wanted.get(key);
      if (pod !== undefined && pod.deletedAt === undefined) {
        wanted.set(key, pod);
        if (known === undefined && pod.nodeName !== '') enqueue(pod.nodeName, () => start(key, pod));
      } else if (known !== undefined) {
        wanted.delete(key);
        enqueue(known.nodeName, () => stop(key));
      }
    },
    settled: async () => {
      await Promise.all(queues.values());
    },
  };
}
