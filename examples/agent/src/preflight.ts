/**
 * What must be there before anything is touched: the privilege, the programs, the kernel's own parts. One line each, with
 * what to do; a node is either programmable in full or left alone.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import type { Runner } from 'kube-router-sdk/kernel';
import type { FlagValues } from './flags/table.ts';
import { hasNetAdmin, noPrivilege } from './node.ts';

/** Where the runner looks for programs, whatever `$PATH` of the caller says. */
const FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'];

/** Debian package of each program. */
const packages: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ipset: 'ipset',
  'iptables-save': 'iptables',
  'iptables-restore': 'iptables',
  'ip6tables-save': 'iptables',
  'ip6tables-restore': 'iptables',
  ipvsadm: 'ipvsadm',
  conntrack: 'conntrack',
  nft: 'nftables',
};

/** Programs that the enabled blocks run. */
export function neededPrograms(flags: FlagValues): readonly string[] {
  const programs = new Set(['ip']);
  const iptables = () => {
    programs.add('iptables-save').add('iptables-restore');
    if (flags['enable-ipv6']) programs.add('ip6tables-save').add('ip6tables-restore');
  };
  if (flags['run-router']) {
    programs.add('ipset');
    iptables();
  }
  if (flags['run-service-proxy']) {
    programs.add('ipvsadm').add('ipset').add('conntrack');
    iptables();
  }
  if (flags['run-firewall']) {
    if (flags['use-nftables-for-netpol']) programs.add('nft');
    else {
      programs.add('ipset');
      iptables();
    }
  }
  return [...programs];
}

function isInstalled(program: string): boolean {
  return FOLDERS.some((folder) => {
    try {
      accessSync(`${folder}/${program}`, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What is replaceable in tests. */
export interface PreflightProbes {
  readonly privileged?: () => boolean;
  readonly installed?: (program: string) => boolean;
  readonly exists?: (path: string) => boolean;
}

/** Everything that is missing; empty when the blocks can run. */
export async function preflight(
  flags: FlagValues,
  runner: Runner,
  { privileged = hasNetAdmin, installed = isInstalled, exists = existsSync }: PreflightProbes = {},
): Promise<readonly string[]> {
  if (!privileged()) return [noPrivilege];
  const missing = neededPrograms(flags)
    .filter((program) => !installed(program))
    .map((program) => `${program} is not installed: install the package ${packages[program] ?? program}`);
  if (flags['run-service-proxy'] && !exists('/proc/net/ip_vs')) {
    await runner.run({ file: 'modprobe', args: ['ip_vs'] }).catch(() => undefined);
    if (!exists('/proc/net/ip_vs')) {
      missing.push(
        'this kernel has no IPVS: make the module ip_vs available (/lib/modules), or use --run-service-proxy=false',
      );
    }
  }
  return missing;
}
