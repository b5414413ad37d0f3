/**
 * What the control plane's controllers do: EndpointSlices from Services and Pods, and the end of a node that has died.
 * Plain and whole-state on purpose: it stands for someone else's software, and the agents are what is looked at.
 */
import type { PodObject, ServiceObject } from 'kube-router-sdk/informers';
import type { Api, KubeObject } from './api.ts';

/** Keeps EndpointSlices in line. */
export interface Controllers {
  observePod(key: string, pod: PodObject | undefined): void;
  observeService(key: string, service: ServiceObject | undefined): void;
  /** The node has stopped reporting: its pods are no longer ready. */
  nodeLost(name: string): Promise<void>;
  nodeBack(name: string): Promise<void>;
  /** Resolves when every slice has been written. */
  settled(): Promise<void>;
}

/** Makes the controllers; `failed` hears what the API refused. */
export function createControllers(api: Api, failed: (what: string) => void): Controllers {
  const pods = new Map<string, PodObject>();
  const services = new Map<string, ServiceObject>();
  const lost = new Set<string>();
  /** Text of each slice as last written. */
  const written = new Map<string, string>();
  let pass: Promise<void> = Promise.resolve();
  let queued = false;

  const slices = (service: ServiceObject): KubeObject[] => {
    const selected = [...pods.values()].filter(
      (pod) =>
        pod.namespace === service.namespace &&
        pod.ips.length > 0 &&
        Object.entries(service.selector).every(([key, value]) => pod.labels[key] === value),
    );
    return service.ipFamilies.map((family) => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        namespace: service.namespace,
        name: `${service.name}-ipv${family}`,
        labels: { 'kubernetes.io/service-name': service.name },
      },
      addressType: `IPv${family}`,
      ports: service.ports.map((port) => ({
        name: port.name,
        protocol: port.protocol,
        port: typeof port.targetPort === 'number' ? port.targetPort : 8080,
      })),
      endpoints: selected.flatMap((pod) => {
        const address = pod.ips.find((ip) => ip.includes(':') === (family === 6));
        if (address === undefined) return [];
        const ready = pod.ready && pod.deletedAt === undefined && !lost.has(pod.nodeName);
        return [
          {
            addresses: [address],
            conditions: { ready, serving: ready, terminating: pod.deletedAt !== undefined },
            nodeName: pod.nodeName,
            targetRef: { kind: 'Pod', namespace: pod.namespace, name: pod.name },
          },
        ];
      }),
    }));
  };

  const write = async (): Promise<void> => {
    queued = false;
    for (const service of services.values()) {
      if (Object.keys(service.selector).length === 0) continue;
      for (const slice of slices(service)) {
        const id = `${service.namespace}/${slice.metadata.name}`;
        const text = JSON.stringify(slice);
        if (written.get(id) === text) continue;
        await api.put(slice);
        written.set(id, text);
      }
    }
  };
  const changed = (): void => {
    if (queued) return;
    queued = true;
    pass = pass.then(write).catch((error: unknown) => failed(String(error)));
  };
  const setReady = async (node: string, ready: boolean): Promise<void> => {
    if (ready) lost.delete(node);
    else lost.add(node);
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'Unknown' }];
    await api.patch('Node', '', node, { status: { conditions } }, 'status');
    changed();
    await pass;
  };

  return {
    observePod: (key, pod) => {
      if (pod === undefined) pods.delete(key);
      else pods.set(key, pod);
      changed();
    },
    observeService: (key, service) => {
      const gone = services.get(key);
      if (service !== undefined) services.set(key, service);
      else if (gone !== undefined) {
        services.delete(key);
        for (const slice of slices(gone)) {
          written.delete(`${gone.namespace}/${slice.metadata.name}`);
          pass = pass
            .then(() => api.remove('EndpointSlice', gone.namespace, slice.metadata.name))
            .catch((error: unknown) => failed(String(error)));
        }
      }
      changed();
    },
    nodeLost: (name) => setReady(name, false),
    nodeBack: (name) => setReady(name, true),
    settled: () => pass,
  };
}
