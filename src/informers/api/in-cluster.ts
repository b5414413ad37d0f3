/**
 * The connection of a program that runs in a pod: address from the environment, token and CA from the service account's volume.
 * Tokens are rotated there under us; the files are read again as the connection asks.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SdkError } from '../../net/errors.ts';
import { createConnection } from './connection.ts';
import type { Connection } from './connection.ts';

/** How to find the API server from within a pod. */
export interface InClusterOptions {
  /** @defaultValue `process.env` */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** @defaultValue `/var/run/secrets/kubernetes.io/serviceaccount` */
  readonly folder?: string;
}

/**
 * Connects from within a pod.
 * @throws SdkError `INVALID_OPTION` when the environment is not that of a pod.
 */
export function createInClusterConnection(options: InClusterOptions = {}): Connection {
  const env = options.env ?? process.env;
  const folder = options.folder ?? '/var/run/secrets/kubernetes.io/serviceaccount';
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || host === '' || port === undefined || port === '')
    throw new SdkError('Not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set', {
      code: 'INVALID_OPTION',
      details: { path: 'KUBERNETES_SERVICE_HOST' },
    });
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return createConnection({
    server,
    settings: async () => ({
      server,
      token: (await readFile(join(folder, 'token'), 'utf8')).trim(),
      ca: await readFile(join(folder, 'ca.crt')),
    }),
  });
}
