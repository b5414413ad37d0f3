/**
 * Opens the source of objects that the flags ask for: manifests on disk, or the API by kubeconfig or from inside the cluster.
 */
import { accessSync } from 'node:fs';
import {
  createApiSource,
  createConnection,
  createInClusterConnection,
  createKubeConfigConnection,
  createManifestSource,
  type Connection,
  type ObjectSource,
} from 'kube-router-sdk/informers';
import { SdkError } from 'kube-router-sdk/net';
import type { Config } from './config/load.ts';
import type { Environment } from './node.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** A source, and the way to the API where it is one. */
export interface OpenedSource {
  readonly objects: ObjectSource;
  readonly connection?: Connection;
}

/**
 * Opens it.
 * @throws SdkError `INVALID_OPTION` when a path or the kubeconfig cannot be read, or no API is named at all
 */
export async function openSource(config: Config, env: Environment): Promise<OpenedSource> {
  const { manifests, once } = config.flags;
  if (manifests.length > 0) {
    return { objects: await createManifestSource({ paths: manifests, watch: config.command === 'run' && !once }) };
  }
  const connection = await openConnection(config, env);
  return { objects: createApiSource({ connection }), connection };
}

async function openConnection(config: Config, env: Environment): Promise<Connection> {
  const { kubeconfig, master } = config.flags;
  if (kubeconfig !== '') {
    try {
      accessSync(kubeconfig);
    } catch (cause) {
      throw new SdkError(`--kubeconfig: cannot read ${kubeconfig}`, { code: 'INVALID_OPTION', cause });
    }
    return createKubeConfigConnection({ file: kubeconfig, ...(master === '' ? {} : { server: master }) });
  }
  if (master !== '') {
    const url = new URL(master);
    const credentials = url.protocol === 'https:' && isReadable(`${SERVICE_ACCOUNT}/token`);
    if (!credentials) return createConnection({ server: master, settings: () => Promise.resolve({ server: master }) });
    const port = url.port === '' ? '443' : url.port;
    const host = url.hostname.replace(/^\[|\]$/g, '');
    return createInClusterConnection({ env: { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } });
  }
  if (env['KUBERNETES_SERVICE_HOST'] === undefined) {
    throw new SdkError('no source of objects: give --kubeconfig, --manifests or --master, or run in a pod', {
      code: 'INVALID_OPTION',
    });
  }
  return createInClusterConnection({ env });
}

function isReadable(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}
