/**
 * Reads from the kernel everything of the service proxy: one call a tool. What is absent (no set, no device) reads as nothing.
 * Effects go through the runner alone.
 */
import type { CommandResult, Runner } from '../kernel/types.ts';
import type { Family } from '../net/values.ts';
import { DSR_RULE_PRIORITY, DSR_TABLE, ipvsNames } from './model.ts';
import type { IpvsItem, VirtualServerItem } from './model.ts';
import {
  parseAddresses,
  parseChains,
  parseRules,
  parseServers,
  parseSets,
  parseSysctls,
  parseTimeouts,
  separate,
} from './parse.ts';
import type { ReadServer } from './parse.ts';
import type { IpvsObserved } from './plan.ts';
import { serviceArgs } from './render.ts';

/** What {@link observeIpvs} needs. */
export interface ObserveOptions {
  readonly runner: Runner;
  /** @defaultValue [4, 6] */
  readonly families?: readonly Family[];
  /** @defaultValue 'iptables' and 'ip6tables' */
  readonly iptables?: { readonly 4: string; readonly 6: string };
}

/** Settings that this block may write. */
export const IPVS_SYSCTLS: readonly string[] = [
  'net/ipv4/vs/conntrack',
  'net/ipv4/vs/expire_nodest_conn',
  'net/ipv4/vs/expire_quiescent_template',
  'net/ipv4/vs/conn_reuse_mode',
  'net/ipv4/vs/sloppy_tcp',
  'net/ipv4/conf/all/arp_ignore',
  'net/ipv4/conf/all/arp_announce',
  'net/ipv4/conf/all/rp_filter',
  `net/ipv4/conf/${ipvsNames.device}/rp_filter`,
];

/** Up to so many virtual servers are asked for one by one; beyond, all of them are listed. */
const FEW = 8;

/** Virtual servers in the kernel with their connections: all, or those of `only` that are there. */
export async function readServers(
  runner: Runner,
  signal?: AbortSignal,
  only?: readonly VirtualServerItem[],
): Promise<ReadServer[]> {
  const list = async (...args: string[]): Promise<ReadServer[]> => {
    const command = {
      file: 'ipvsadm',
      args: ['-Ln', '--nosort', ...args],
      okExitCodes: args.length > 0 ? [1, 2, 255] : [],
    };
    const { stdout, exitCode } = await runner.run(command, signal === undefined ? {} : { signal });
    return exitCode === 0 ? parseServers(stdout) : [];
  };
  if (only === undefined || only.length > FEW) return list();
  return (await Promise.all(only.map((vs) => list(...serviceArgs(vs))))).flat();
}

/** Reads everything. */
export async function observeIpvs(options: ObserveOptions, signal: AbortSignal): Promise<IpvsObserved> {
  const { runner } = options;
  const families = options.families ?? [4, 6];
  const programs = options.iptables ?? { 4: 'iptables', 6: 'ip6tables' };
  const run = (file: string, args: readonly string[], okExitCodes: readonly number[] = []): Promise<CommandResult> =>
    runner.run({ file, args, okExitCodes }, { signal });
  const maybe = async (file: string, args: readonly string[]): Promise<string> => {
    const result = await run(file, args, [1, 2, 255]);
    return result.exitCode === 0 ? result.stdout : '';
  };
  // First, because it loads the module that the settings under vs/ belong to.
  const servers = await readServers(runner, signal);
  const [sets, links, sysctls, timeouts, ...perFamily] = await Promise.all([
    run('ipset', ['save']),
    maybe('ip', ['-j', 'addr', 'show', 'dev', ipvsNames.device]),
    run('sysctl', ['-e', ...IPVS_SYSCTLS], [255, 1]),
    run('ipvsadm', ['-L', '--timeout']),
    ...families.map(async (family) => ({
      family,
      chains: (await run(`${programs[family]}-save`, [])).stdout,
      rules: await maybe('ip', ['-N', '-j', `-${family}`, 'rule', 'show']),
      marked: await maybe('ip', ['-j', `-${family}`, 'route', 'show', 'table', String(DSR_TABLE)]),
      local: await maybe('ip', ['-j', `-${family}`, 'route', 'show', 'table', 'local', 'dev', ipvsNames.device]),
    })),
  ]);
  const items: IpvsItem[] = [
    ...parseSets(sets.stdout),
    ...parseSysctls(sysctls.stdout, IPVS_SYSCTLS),
    ...parseTimeouts(timeouts.stdout),
    ...parseAddresses(
      links,
      perFamily.map(({ local }) => local),
    ),
  ];
  for (const { family, chains, rules, marked } of perFamily) {
    items.push(...parseChains(chains, family), ...parseRules(rules, family, DSR_TABLE, DSR_RULE_PRIORITY));
    if (marked.includes('"local"')) {
      items.push({ type: 'route', key: `route/${family}/${DSR_TABLE}`, family, table: DSR_TABLE });
    }
  }
  const { ours, foreign } = separate(servers, items);
  return {
    items: new Map([...items, ...ours].map((item) => [item.key, item])),
    foreign,
    drained: new Set(),
    draining: new Set(),
  };
}
