/**
 * This node's WireGuard key: made once and kept in the state folder, its public half told to the other nodes by an annotation of the Node.
 * Whoever may annotate Nodes decides whom nodes encrypt to, as whoever may write their addresses decides where packets go.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createApiWriter, type Connection } from 'kube-router-sdk/informers';
import type { BlockContext } from './context.ts';

/** Annotation that carries the public key. */
export const PUBLIC_KEY_ANNOTATION = 'kube-router.io/wireguard.public-key';
const NODES = { apiVersion: 'v1', plural: 'nodes', namespaced: false };
const RETRY_MS = 10_000;
/** PKCS #8 of an X25519 private key, up to its 32 bytes (RFC 8410 section 7). */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** The 32 bytes of a key in base64, as `wg` writes them. */
const textOf = (key: KeyObject, part: 'd' | 'x'): string =>
  Buffer.from(key.export({ format: 'jwk' })[part] ?? '', 'base64url').toString('base64');

/** Public key of the private key in a file, which is made when it is not there. */
export function wireguardPublicKey(path: string): string {
  let secret: string | undefined;
  try {
    secret = readFileSync(path, 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  if (secret === undefined) {
    const { privateKey } = generateKeyPairSync('x25519');
    secret = textOf(privateKey, 'd');
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  }
  const der = Buffer.concat([PKCS8, Buffer.from(secret, 'base64')]);
  return textOf(createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })), 'x');
}

/** Makes the key where there is none, and tells the cluster; without an API the annotation is whoever writes the manifests' to set. */
export function wireWireguard(context: BlockContext, connection: Connection | undefined): string {
  const { config, node, log, mode } = context;
  const path = `${config.flags['state-dir']}/wireguard.key`;
  if (mode !== 'run') return path;
  const key = wireguardPublicKey(path);
  if (connection === undefined) {
    log.info({ annotation: PUBLIC_KEY_ANNOTATION, key }, "this node's WireGuard key: to be set on its Node");
    return path;
  }
  let timer: NodeJS.Timeout | undefined;
  const publish = (): void => {
    const patch = { metadata: { annotations: { [PUBLIC_KEY_ANNOTATION]: key } } };
    createApiWriter(connection)
      .patch(NODES, { name: node }, 'merge', patch)
      .catch((error: unknown) => {
        log.warn(
          { error: (error as Error).message },
          "this node's WireGuard key is not published yet; it is tried again",
        );
        timer = setTimeout(publish, RETRY_MS);
      });
  };
  publish();
  context.onClose(() => clearTimeout(timer));
  return path;
}
