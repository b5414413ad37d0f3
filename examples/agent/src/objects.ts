/**
 * Opens the source of objects that the flags ask for: manifests on disk, or the API by kubeconfig or from inside the cluster.
 */
import { createManifestSource, type ObjectSource } from 'kube-router-sdk/informers';
import type { Config } from './config/load.ts';

/**
 * Opens it.
 * @throws SdkError `INVALID_OPTION` when a path or the kubeconfig cannot be read
 */
export async function openSource(config: Config): Promise<ObjectSource> {
  const { manifests, once } = config.flags;
  return createManifestSource({ paths: manifests, watch: config.command === 'run' && !once });
}
