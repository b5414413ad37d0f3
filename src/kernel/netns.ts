/**
 * Network namespaces: named ones under /run/netns, and the one a process or a pod is in.
 * A path is what commands take; whether two paths are one namespace is told by device and inode, for names can be many.
 */
import { stat } from 'node:fs/promises';
import { SdkError } from '../net/errors.ts';
import type { CallOptions } from './ipset/driver.ts';
import type { Runner } from './types.ts';

/** Folder of named namespaces. */
export const NETNS_FOLDER = '/run/netns';

/**
 * The path of a named namespace.
 * @throws SdkError `INVALID_OPTION` for a name that would leave the folder
 */
export function netnsPath(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw new SdkError(`not a name of a network namespace: ${name}`, { code: 'INVALID_OPTION', details: { name } });
  }
  return `${NETNS_FOLDER}/${name}`;
}

/** Path of the namespace that a process is in. */
export function processNetns(pid: number | 'self'): string {
  return `/proc/${pid}/ns/net`;
}

/** Identity of a namespace, equal for two paths of the same one; `undefined` when there is none. */
export async function netnsIdentity(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** Whether two paths are the same namespace; false when one does not exist. */
export async function sameNetns(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([netnsIdentity(a), netnsIdentity(b)]);
  return one !== undefined && one === other;
}

/** Makes a named namespace with its loopback up; returns its path. */
export async function createNetns(runner: Runner, name: string, options: CallOptions = {}): Promise<string> {
  const path = netnsPath(name);
  await runner.run({ file: 'ip', args: ['netns', 'add', name] }, options);
  await runner.run({ file: 'ip', args: ['link', 'set', 'lo', 'up'], netns: path }, options);
  return path;
}

/** Removes a named namespace; it lives on while a process is in it. Removing none is no failure. */
export async function removeNetns(runner: Runner, name: string, options: CallOptions = {}): Promise<void> {
  const path = netnsPath(name);
  if ((await netnsIdentity(path)) === undefined) return;
  await runner.run({ file: 'ip', args: ['netns', 'del', name] }, options);
}
