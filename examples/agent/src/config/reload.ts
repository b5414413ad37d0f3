/**
 * What a changed configuration asks of a running agent: which blocks are wired anew, or, for what concerns the process as a
 * whole, a start over. Either way the kernel keeps what it has in between. Pure, but for {@link watchFiles}.
 */
import { readFileSync, watch, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import { flagNames, flagSpec, type FlagName } from '../flags/table.ts';
import { bgpFlags, routingFlags } from '../flags/routing.ts';
import { loadBalancerFlags, policyFlags, proxyFlags } from '../flags/services.ts';
import type { Config } from './load.ts';

/** Blocks that can take a new configuration by themselves. */
export type Reloadable = 'bgp' | 'ingress' | 'routing' | 'ipvs' | 'firewall' | 'loadbalancer' | 'log';

const everyService: readonly Reloadable[] = ['ipvs', 'firewall', 'ingress', 'bgp'];

/** Flags whose blocks are not those of their group. */
const exceptions: Partial<Record<FlagName, readonly Reloadable[]>> = {
  v: ['log'],
  'service-cluster-ip-range': everyService,
  'service-external-ip-range': everyService,
  'loadbalancer-ip-range': [...everyService, 'loadbalancer'],
  'strict-external-ip-validation': ['ipvs', 'ingress'],
  'service-node-port-range': ['firewall'],
  'advertise-cluster-ip': ['ingress'],
  'advertise-external-ip': ['ingress'],
  'advertise-loadbalancer-ip': ['ingress'],
  'advertise-without-endpoints': ['ingress'],
  'withdraw-on-maintenance': ['ingress'],
  'advertise-aggregates': ['bgp'],
  'advertise-pod-cidr': ['bgp'],
  'override-nexthop': ['bgp'],
  'disable-source-dest-check': [],
  'gobgp-admin-address': [],
  'gobgp-admin-port': [],
  'enable-pprof': [],
  'netpol-revocation-mask': ['firewall'],
  'netpol-dry-run': ['firewall'],
};

const groups: readonly (readonly [object, readonly Reloadable[]])[] = [
  [proxyFlags, ['ipvs']],
  [policyFlags, ['firewall']],
  [loadBalancerFlags, ['loadbalancer']],
  [routingFlags, ['routing']],
  [bgpFlags, ['bgp']],
];

/** Blocks that a flag concerns; `restart`: the process as a whole. */
export function blocksOf(name: FlagName): readonly Reloadable[] | 'restart' {
  if (name === 'enable-cni') return 'restart';
  return exceptions[name] ?? groups.find(([group]) => Object.hasOwn(group, name))?.[1] ?? 'restart';
}

/** What differs between two configurations. */
export interface ConfigChange {
  /** Names of flags and of other keys of the file that differ; never their values. */
  readonly names: readonly string[];
  readonly restart: boolean;
  readonly blocks: ReadonlySet<Reloadable>;
}

/** Compares two configurations. */
export function configChange(before: Config, after: Config): ConfigChange {
  const changed = flagNames.filter((name) => {
    const spec = flagSpec(name);
    return spec.format(before.flags[name]) !== spec.format(after.flags[name]);
  });
  const names: string[] = [...changed];
  const blocks = new Set<Reloadable>();
  let restart = before.cniConfFile !== after.cniConfFile;
  for (const name of changed) {
    const concerned = blocksOf(name);
    if (concerned === 'restart') restart = true;
    else for (const block of concerned) blocks.add(block);
  }
  if (JSON.stringify(before.pools) !== JSON.stringify(after.pools)) {
    names.push('loadBalancer.pools');
    // a pool is also a range that is accepted, served and announced
    for (const block of blocksOf('loadbalancer-ip-range')) blocks.add(block as Reloadable);
  }
  return { names, restart, blocks };
}

/** Files whose content decides the configuration. */
export function configFiles({ flags }: Config): readonly string[] {
  return [flags.config, flags['peer-router-passwords-file']].filter((path) => path !== '');
}

const SETTLE_MS = 200;

/**
 * Calls back when the content of one of the files has changed. Folders are watched, because an editor replaces the file and a
 * ConfigMap the link that leads to it.
 */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  const content = (): string => paths.map((path) => `${path}\n${readOrNothing(path)}`).join('\n');
  let known = content();
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const now = content();
      if (now === known) return;
      known = now;
      onChange();
    }, SETTLE_MS);
  };
  const watchers: FSWatcher[] = [];
  for (const folder of new Set(paths.map((path) => dirname(path)))) {
    const names = new Set(paths.filter((path) => dirname(path) === folder).map((path) => basename(path)));
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name === null || names.has(name) || name === '..data') look();
      });
      watcher.on('error', () => watcher.close());
      watchers.push(watcher);
    } catch {
      // A folder that cannot be watched: SIGHUP remains.
    }
  }
  return () => {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  };
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
