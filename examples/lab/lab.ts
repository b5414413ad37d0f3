/**
 * The whole lab, assembled: cables, router, API server, kubelets, controllers and one agent a node.
 * demo.ts proves claims about it; shell.ts' sibling interactive.ts leaves it to you.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createApiSource, createConnection, createInformers } from 'kube-router-sdk/informers';
import { createApiServer } from 'kube-router-sdk/testing';
import { startAgent, type Agent } from './agents.ts';
import { createApi, loadYaml, type Api } from './api.ts';
import { layCables, type Fabric } from './cables.ts';
import { installCniConfiguration } from './cni.ts';
import { createControllers, type Controllers } from './controllers.ts';
import { createKubelet, type Kubelet, type RunningPod } from './kubelet.ts';
import type { Place } from './places.ts';
import { startRouter } from './router.ts';
import { ownShell } from './shell.ts';
import { apiPort, bare, controlPlane, nodes, tor } from './topology.ts';

/** Manifests of the lab. */
export const clusterFolder = fileURLToPath(new URL('cluster', import.meta.url));

/** A running lab. */
export interface Lab {
  readonly fabric: Fabric;
  readonly api: Api;
  readonly kubeconfig: string;
  /** URL of the API server. */
  readonly url: string;
  readonly kubelet: Kubelet;
  readonly controllers: Controllers;
  /** Agents by node; replaced when one is started anew. */
  readonly agents: Map<string, Agent>;
  /** What the lab's own parts complained about. */
  readonly complaints: string[];
  place(name: string): Place;
  /** A running pod as a place that probes start from. */
  pod(key: string): RunningPod & Pick<Place, 'run'>;
  startAgent(node: string): Agent;
  close(): Promise<void>;
}

/** Builds the lab up to the API server; agents are started by the caller, who may want to look at the bare nodes first. */
export async function buildLab(progress: (text: string) => void): Promise<Lab> {
  mkdirSync('/run/lab', { recursive: true });
  const complaints: string[] = [];
  const complain = (what: string): void => {
    complaints.push(what);
    progress(`! ${what}`);
  };
  const fabric = await layCables();
  const place = (name: string): Place => {
    const found = fabric.get(name);
    if (found === undefined) throw new Error(`no machine called ${name}`);
    return found;
  };
  await joinFabric(place(tor.name));
  await startRouter(place(tor.name));
  progress('cables plugged in, FRR runs on the router');

  // before anything looks for it: whoever reads a file that is being written sees half of it
  for (const node of nodes) await installCniConfiguration(place(node.name));
  const server = await createApiServer({ host: bare(controlPlane.addresses[0] ?? ''), port: apiPort });
  const url = `http://${bare(controlPlane.addresses[0] ?? '')}:${apiPort}`;
  const kubeconfig = '/run/lab/kubeconfig';
  writeFileSync(kubeconfig, kubeconfigText(url));
  const api = createApi(url);
  for (const object of loadYaml(clusterFolder)) if (object.kind !== 'NetworkPolicy') await api.put(object);
  progress(`test API server at ${url}, loaded from examples/lab/cluster`);

  const kubelet = createKubelet(fabric, api, complain);
  const controllers = createControllers(api, complain);
  const informers = createInformers({
    source: createApiSource({
      connection: createConnection({ server: url, settings: () => Promise.resolve({ server: url }) }),
    }),
    kinds: ['Pod', 'Service'],
  });
  informers.pods.changes$.subscribe(({ changed }) => {
    for (const { key, object } of changed) {
      kubelet.observe(key, object);
      controllers.observePod(key, object);
    }
  });
  informers.services.changes$.subscribe(({ changed }) => {
    for (const { key, object } of changed) controllers.observeService(key, object);
  });

  const agents = new Map<string, Agent>();
  return {
    fabric,
    api,
    kubeconfig,
    url,
    kubelet,
    controllers,
    agents,
    complaints,
    place,
    pod: (key) => {
      const pod = kubelet.running.get(key);
      if (pod === undefined) throw new Error(`pod ${key} does not run`);
      return {
        ...pod,
        run: (file, args = [], input) =>
          ownShell().run('nsenter', [`--net=/run/netns/${pod.netns}`, '--', file, ...args], input),
      };
    },
    startAgent: (node) => {
      const agent = startAgent(place(node), url);
      agents.set(node, agent);
      return agent;
    },
    close: async () => {
      for (const agent of agents.values()) await agent.stop();
      await informers.close();
      await server.close();
    },
  };
}

/** The control plane is this very namespace: it gets its cable too. */
async function joinFabric(router: Place): Promise<void> {
  await ownShell().ip([
    'link set lo up',
    `link add eth0 type veth peer name api netns ${router.name}`,
    'link set eth0 up',
    ...controlPlane.addresses.map((address) => `addr add ${address} dev eth0 nodad`),
  ]);
  await router.ip(['link set api master fabric up']);
  await ownShell().ip(controlPlane.gateways.map((gateway) => `route add default via ${gateway}`));
}

const kubeconfigText = (server: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster: { server } }],
    users: [{ name: 'lab', user: {} }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user: 'lab' } }],
    'current-context': 'lab',
  });
