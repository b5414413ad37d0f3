/**
 * Where the network namespace of a pod of this node is, for DSR: from the container runtime when `--runtime-endpoint` names one,
 * from the pod's annotation where the operator trusts it, else by the cgroup that the kubelet gives to the pod's processes.
 */
import { createCri, findNetnsByCgroup } from 'kube-router-sdk/ipvs';
import { sameNetns } from 'kube-router-sdk/kernel';
import type { PodObject } from 'kube-router-sdk/informers';
import type { BlockContext } from './context.ts';

const ANNOTATION = 'kube-router.io/netns';

/** Makes the finder; `podOf` is what is known of a pod by `namespace/name`. */
export function podNetns(
  { config, onClose }: Pick<BlockContext, 'config' | 'onClose'>,
  podOf: (key: string) => PodObject | undefined,
): (key: string) => Promise<string | undefined> {
  const { flags } = config;
  const endpoint = flags['runtime-endpoint'];
  const cri = endpoint === '' ? undefined : createCri({ endpoint });
  if (cri !== undefined) onClose(() => cri.close());
  const find = async (key: string, pod: PodObject | undefined): Promise<string | undefined> => {
    const named = pod?.annotations[ANNOTATION];
    if (named !== undefined && flags['trust-netns-annotation']) return named;
    if (cri !== undefined) return cri.findNetns(key);
    return pod === undefined ? undefined : findNetnsByCgroup(pod.uid);
  };
  return async (key) => {
    const pod = podOf(key);
    if (pod?.hostNetwork === true) return undefined;
    const path = await find(key, pod);
    // The node's own namespace has the node's address too: a VIP there would swallow the node's traffic.
    if (path !== undefined && (await sameNetns(path, '/proc/self/ns/net'))) return undefined;
    return path;
  };
}
