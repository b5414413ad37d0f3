/**
 * Pod networking under `reconcile()`: reads routes, rules, devices, sets, chains and sysctls, and applies plans to them.
 * Reads once, then remembers what it reached; every write is one of the commands of render.
 * Effects go through the runner alone, so a recording runner shows them.
 */
import { SdkError } from '../net/errors.ts';
import type { Family } from '../net/values.ts';
import type { Applied, ApplyFailure, CommandResult, Runner, Target } from '../kernel/types.ts';
import { MAIN_TABLE, OVERLAY_TABLE, names, setName } from './model.ts';
import type { RoutingItem, RoutingState } from './model.ts';
import {
  byKey,
  parseChains,
  parseFdb,
  parseFou,
  parseLinks,
  parseNeighbours,
  parseRoutes,
  parseRules,
  parseSets,
  parseSysctls,
  parseWireguard,
} from './parse.ts';
import { applyTo, plan } from './plan.ts';
import type { RoutingObserved, RoutingPlan } from './plan.ts';
import { defaultIptables, renderCommands } from './render.ts';
import type { RenderOptions, RoutingCommand } from './render.ts';

/** Options of {@link createRoutingTarget}. */
export interface RoutingTargetOptions extends RenderOptions {
  readonly runner: Runner;
  /** @defaultValue [4] */
  readonly families?: readonly Family[];
  /** @defaultValue 'kube-bridge' */
  readonly bridge?: string;
}

/** The target of pod networking. */
export type RoutingTarget = Target<RoutingState, RoutingObserved, RoutingPlan>;

/** Where the sysctls of this block live; one `grep` reads them all. */
const SYSCTL_FILES = [
  'net/ipv4/ip_forward',
  'net/ipv4/fib_multipath_hash_policy',
  'net/ipv6/fib_multipath_hash_policy',
  'net/ipv6/conf/all/disable_ipv6',
  'net/ipv6/conf/all/forwarding',
  'net/bridge/bridge-nf-call-iptables',
  'net/bridge/bridge-nf-call-ip6tables',
];
const SYSCTL_NAMES = [...new Set(SYSCTL_FILES.map((path) => path.slice(path.lastIndexOf('/') + 1)))];
const SYSCTL_ARGS = [
  '-rsH',
  ...[...SYSCTL_NAMES, 'rp_filter', 'accept_ra'].map((name) => `--include=${name}`),
  '',
  ...SYSCTL_FILES.map((path) => `/proc/sys/${path}`),
  '/proc/sys/net/ipv4/conf',
  '/proc/sys/net/ipv6/conf',
];

/** Reads everything of ours. */
export async function observeRouting(options: RoutingTargetOptions, signal: AbortSignal): Promise<RoutingObserved> {
  const families = options.families ?? [4];
  const programs = options.iptables ?? defaultIptables;
  const run = (file: string, args: readonly string[], okExitCodes: readonly number[] = []): Promise<CommandResult> =>
    options.runner.run({ file, args, okExitCodes }, { signal });
  /** For questions whose failure means "there is none": an absent table, set or device. */
  const maybe = async (file: string, args: readonly string[]): Promise<string> => {
    const result = await run(file, args, [1, 2, 255]);
    return result.exitCode === 0 ? result.stdout : '';
  };
  const items: RoutingItem[] = [];
  const foreign = new Map<string, string>();
  const heads = new Map<string, number>();

  const links = async (): Promise<void> => {
    const found = parseLinks((await run('ip', ['-j', '-d', 'link', 'show'])).stdout, options.bridge);
    for (const link of found) {
      if (link.type !== 'link') continue;
      if (link.kind === 'vxlan') {
        items.push(
          link,
          ...parseNeighbours(
            await maybe('ip', ['-j', 'neigh', 'show', 'dev', link.name, 'nud', 'permanent']),
            link.name,
          ),
          ...parseFdb(await maybe('bridge', ['-j', 'fdb', 'show', 'dev', link.name]), link.name),
        );
      } else if (link.kind === 'wireguard') {
        const { port, peers } = parseWireguard((await run('wg', ['show', link.name, 'dump'])).stdout, link.name);
        items.push(port === undefined ? link : { ...link, port }, ...peers);
      } else items.push(link);
    }
    if (found.some((link) => link.type === 'link' && link.port !== undefined && link.kind !== 'vxlan')) {
      items.push(...parseFou(await maybe('ip', ['-j', 'fou', 'show'])));
    }
  };
  const perFamily = async (family: Family): Promise<void> => {
    const flag = `-${family}`;
    const sets = [names.podSubnets, names.nodeIps].map((base) => setName(base, family));
    const [main, overlay, rules, chains, ...saved] = await Promise.all([
      run('ip', ['-j', flag, 'route', 'show', 'table', `${MAIN_TABLE}`]).then((result) => result.stdout),
      maybe('ip', ['-j', flag, 'route', 'show', 'table', `${OVERLAY_TABLE}`]),
      run('ip', ['-j', flag, 'rule', 'show']).then((result) => result.stdout),
      run(programs[family].save, []).then((result) => result.stdout),
      ...sets.map((set) => maybe('ipset', ['save', set])),
    ]);
    for (const [table, text] of [
      [MAIN_TABLE, main],
      [OVERLAY_TABLE, overlay],
    ] as const) {
      const routes = parseRoutes(text, family, table);
      items.push(...routes.items);
      for (const [key, protocol] of routes.foreign) foreign.set(key, protocol);
    }
    const parsed = parseChains(chains, family);
    for (const [place, count] of parsed.heads) heads.set(place, count);
    items.push(...parseRules(rules, family), ...parsed.items, ...saved.flatMap((text) => parseSets(text, [family])));
  };
  const sysctls = async (): Promise<void> => {
    // 1: no line matched, 2: some file is absent; both answer the question.
    items.push(...parseSysctls((await run('grep', SYSCTL_ARGS, [1, 2])).stdout));
  };
  await Promise.all([links(), sysctls(), ...families.map(perFamily)]);
  return { items: byKey(items), foreign, heads };
}

function failure(command: RoutingCommand, result: CommandResult, key: string, line?: string): ApplyFailure {
  const said = result.stderr.trim().split('\n').slice(0, 4).join('; ');
  return {
    item: key,
    error: new SdkError(`${command.file} refused ${line === undefined ? key : `"${line}"`}: ${said}`, {
      code: 'COMMAND_FAILED',
      retryable: true,
      details: { file: command.file, args: command.args, exitCode: result.exitCode, stderr: result.stderr, line },
    }),
  };
}

/** Splits the input of `iptables-restore` by table, so that one bad table does not hold up the others. */
function byTable(command: RoutingCommand): readonly RoutingCommand[] {
  const parts: RoutingCommand[] = [];
  let start = 0;
  command.lines.forEach((line, index) => {
    if (line !== 'COMMIT') return;
    parts.push({
      ...command,
      lines: command.lines.slice(start, index + 1),
      keys: command.keys.slice(start, index + 1),
    });
    start = index + 1;
  });
  return parts;
}

async function runCommand(
  runner: Runner,
  command: RoutingCommand,
  signal: AbortSignal,
): Promise<readonly ApplyFailure[]> {
  const attempt = (lines: readonly string[]): Promise<CommandResult> =>
    runner.run(
      {
        file: command.file,
        args: command.args,
        okExitCodes: [1, 2, 3, 4, 255],
        ...(lines.length === 0 ? {} : { input: `${lines.join('\n')}\n` }),
      },
      { signal },
    );
  const unique = (keys: readonly string[]): readonly string[] => [...new Set(keys.filter((key) => key !== ''))];
  try {
    const result = await attempt(command.lines);
    if (result.exitCode === 0 || command.onFailure === 'ignored') return [];
    switch (command.onFailure) {
      case 'continues': {
        const numbers = [...result.stderr.matchAll(/Command failed -:(\d+)/g)].map((match) => Number(match[1]) - 1);
        if (numbers.length === 0) return unique(command.keys).map((key) => failure(command, result, key));
        return numbers.map((at) => failure(command, result, command.keys[at] ?? '', command.lines[at]));
      }
      case 'stops': {
        const match = /[Ee]rror in line (\d+)/.exec(result.stderr);
        const at = match === null ? -1 : Number(match[1]) - 1;
        if (at < 0 || command.lines.length === 0)
          return unique(command.keys).map((key) => failure(command, result, key));
        const rest = { ...command, lines: command.lines.slice(at + 1), keys: command.keys.slice(at + 1) };
        const more = rest.lines.length === 0 ? [] : await runCommand(runner, rest, signal);
        return [failure(command, result, command.keys[at] ?? '', command.lines[at]), ...more];
      }
      case 'atomic': {
        const parts = byTable(command);
        if (parts.length <= 1) return unique(command.keys).map((key) => failure(command, result, key));
        const failures: ApplyFailure[] = [];
        for (const part of parts) failures.push(...(await runCommand(runner, part, signal)));
        return failures;
      }
    }
  } catch (error) {
    if (command.onFailure === 'ignored' || signal.aborted) {
      if (signal.aborted) throw error;
      return [];
    }
    const cause = error instanceof Error ? error : new Error(String(error));
    return unique(command.keys).map((key) => ({ item: key, error: cause }));
  }
}

/** Makes the target of pod networking for `reconcile()`. */
export function createRoutingTarget(options: RoutingTargetOptions): RoutingTarget {
  return {
    name: 'routing',
    observe: (signal) => observeRouting(options, signal),
    plan,
    size: (wanted) => wanted.changes.length,
    async apply(wanted, signal): Promise<Applied<RoutingObserved>> {
      const failures: ApplyFailure[] = [];
      for (const command of renderCommands(wanted, options)) {
        failures.push(...(await runCommand(options.runner, command, signal)));
      }
      for (const change of wanted.changes) {
        if (change.verb !== 'blocked') continue;
        failures.push({
          item: change.key,
          error: new SdkError(
            `a route of protocol ${change.note} is in the place of ${change.key}; it was left alone`,
            {
              code: 'CONFLICT',
              retryable: true,
            },
          ),
        });
      }
      const failed = new Set(failures.map((one) => one.item));
      return { observed: applyTo(wanted.observed, wanted.changes, failed), failures };
    },
  };
}
