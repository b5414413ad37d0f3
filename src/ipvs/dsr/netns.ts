/**
 * Where a pod's network namespace is, without asking a container runtime: the kubelet names the pod's uid in the cgroup of its
 * processes, under containerd, CRI-O and Docker, with either cgroup driver. Needs the host's process table (hostPID).
 */
import { readFile, readdir } from 'node:fs/promises';

/** Reads /proc for a pod's uid. Resolves with `/proc/PID/ns/net` of one of its processes. */
export async function findNetnsByCgroup(uid: string, proc = '/proc'): Promise<string | undefined> {
  if (!/^[0-9a-f-]{8,64}$/i.test(uid)) return undefined;
  // The systemd driver writes underscores for dashes.
  const names = [`pod${uid}`, `pod${uid.replaceAll('-', '_')}`];
  for (const pid of await readdir(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    const cgroup = await readFile(`${proc}/${pid}/cgroup`, 'utf8').catch(() => '');
    const parts = cgroup.split(/[/\n]/);
    const found = parts.some((part) => names.some((name) => part === name || part.endsWith(`-${name}.slice`)));
    if (found) return `${proc}/${pid}/ns/net`;
  }
  return undefined;
}
