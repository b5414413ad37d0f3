/**
 * The connection that a kubeconfig file describes, with whatever authentication it names (tokens, certificates, exec plugins, OIDC).
 * Reading the file and running plugins is client-node's part, loaded only here; the requests are ours.
 */
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { SdkError } from '../../net/errors.ts';
import { createConnection } from './connection.ts';
import type { Connection, ConnectionSettings } from './connection.ts';

/** Which kubeconfig to use. */
export interface KubeConfigOptions {
  /** @defaultValue `$KUBECONFIG`, else `~/.kube/config` */
  readonly file?: string;
  /** @defaultValue the file's current context */
  readonly context?: string;
  /** Overrides the server's URL, as kube-router's `--master`. */
  readonly server?: string;
}

/**
 * Connects as a kubeconfig says.
 * @throws SdkError `INVALID_OPTION` when the file cannot be read or names no usable context.
 */
export async function createKubeConfigConnection(options: KubeConfigOptions = {}): Promise<Connection> {
  let config = await load(options);
  return createConnection({
    server: options.server ?? config.getCurrentCluster()?.server ?? '',
    settings: async (fresh) => {
      // Reloading also drops what client-node remembers of exec plugins: a refused credential is asked for anew.
      if (fresh || Date.now() - loadedAt.get(config)! > 60_000) config = await load(options);
      return settingsOf(config, options.server);
    },
  });
}

const loadedAt = new WeakMap<KubeConfig, number>();

async function load(options: KubeConfigOptions): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  try {
    if (options.file === undefined) config.loadFromDefault();
    else config.loadFromFile(options.file);
    if (options.context !== undefined) config.setCurrentContext(options.context);
  } catch (error) {
    throw invalid(options, `cannot be read: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  if (config.getCurrentCluster() === null && options.server === undefined)
    throw invalid(options, 'names no cluster to use');
  loadedAt.set(config, Date.now());
  return config;
}

function invalid(options: KubeConfigOptions, why: string, cause?: unknown): SdkError {
  return new SdkError(`The kubeconfig ${options.file ?? '(default)'} ${why}`, {
    code: 'INVALID_OPTION',
    cause,
    details: { path: 'kubeconfig' },
  });
}

async function settingsOf(config: KubeConfig, override: string | undefined): Promise<ConnectionSettings> {
  const cluster = config.getCurrentCluster();
  const server = override ?? cluster?.server ?? '';
  const options: RequestOptions = {};
  // client-node builds an agent too and refuses plain HTTP there, which a local proxy or a test speaks: tell it otherwise first.
  if (server.startsWith('http:') && cluster !== null) {
    const index = config.clusters.indexOf(cluster);
    config.clusters[index] = { ...cluster, skipTLSVerify: true };
  }
  await config.applyToHTTPSOptions(options);
  const proxied = cluster?.proxyUrl !== undefined && options.agent !== undefined && typeof options.agent === 'object';
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {}))
    if (value !== undefined) headers[name.toLowerCase()] = String(value);
  if (typeof options.auth === 'string' && headers['authorization'] === undefined)
    headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return {
    server,
    headers,
    ...(options.ca === undefined ? {} : { ca: options.ca as Buffer }),
    ...(options.cert === undefined ? {} : { cert: options.cert as Buffer }),
    ...(options.key === undefined ? {} : { key: options.key as Buffer }),
    ...(options.servername === undefined ? {} : { servername: options.servername }),
    insecureSkipTlsVerify: options.rejectUnauthorized === false,
    ...(proxied ? { agent: options.agent as NonNullable<ConnectionSettings['agent']> } : {}),
  };
}
