/**
 * Who this node is and what the process may do: the Node name as kube-router finds it, and the capability that programming
 * the network needs.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Config } from './config/load.ts';

/** Process environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Names to look for among the Nodes, best first: `--hostname-override`, `$NODE_NAME`, the host's name. */
export function nodeNameCandidates(config: Config, env: Environment): readonly [string, ...string[]] {
  const names = [config.flags['hostname-override'], env['NODE_NAME'] ?? '', hostname()].filter((name) => name !== '');
  return [names[0] ?? 'localhost', ...names.slice(1)];
}

const CAP_NET_ADMIN = 12n;

/** Whether the effective capabilities, as `/proc/self/status` prints them, include CAP_NET_ADMIN. */
export function hasNetAdmin(status: string = readFileSync('/proc/self/status', 'utf8')): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${mask}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

/** The line for a process that may not. */
export const noPrivilege =
  'CAP_NET_ADMIN is missing: run as root (or give the container NET_ADMIN, NET_RAW and SYS_MODULE); nothing was changed';
