/**
 * Pod networking under `reconcile()`: reads routes, rules, devices, sets, chains and sysctls, and applies plans to them.
 * Reads once, then remembers what it reached; every write is one of the commands of render.
 * Effects go through the runner alone, so a recording runner shows them.
 */
import { SdkError } from '../net/errors.ts';
import type { Family } from '../net/values.ts';
import type { Applied, ApplyFailure, CommandResult, Runner, Target } from '../kernel/types.ts';
import type { BlockOwnership } from '../kernel/ownership.ts';
import { createSysctl } from '../kernel/sysctl.ts';
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
} from './parse/state.ts';
import { applyTo, plan } from './plan.ts';
import type { RoutingChange, RoutingObserved, RoutingPlan } from './plan.ts';
import { defaultIptables, renderCommands } from './render.ts';
import type { RenderOptions, RoutingCommand } from './render.ts';

/** Options of {@link createRoutingTarget}. */
export interface RoutingTargetOptions extends RenderOptions {
  readonly runner: Runner;
  /** @defaultValue [4] */
  readonly families?: readonly Family[];
  /** @defaultValue 'kube-bridge' */
  readonly bridge?: string;
  /** Where what is applied, and what sysctls held before, is recorded; absent: nowhere, and cleanup cannot be exact. */
  readonly ownership?: BlockOwnership;
}

/** Parts of what is observed that can be read on their own. */
export type RoutingPart = 'links' | 'routes' | 'rules' | 'sets' | 'chains' | 'sysctls';

const PARTS: readonly RoutingPart[] = ['links', 'routes', 'rules', 'sets', 'chains', 'sysctls'];

/** Which part an item belongs to. */
function partOf(item: RoutingItem): RoutingPart {
  switch (item.type) {
    case 'route':
      return 'routes';
    case 'rule':
      return 'rules';
    case 'set':
    case 'entry':
      return 'sets';
    case 'chain':
      return 'chains';
    case 'sysctl':
      return 'sysctls';
    default:
      return 'links';
  }
}

/** The target of pod networking. */
export interface RoutingTarget extends Target<RoutingState, RoutingObserved, RoutingPlan> {
  /** What the kernel is known to hold, for {@link watchRouting}; undefined before the first reading. */
  known(): ReadonlyMap<string, RoutingItem> | undefined;
  /** Whether a plan is being applied right now. */
  busy(): boolean;
  /** Says that these parts may have changed: the next reading reads them alone. */
  suspect(parts: Iterable<RoutingPart>): void;
}

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

/** Reads what is ours; with `parts` only those, the rest is taken from `before`. */
export async function observeRouting(
  options: RoutingTargetOptions,
  signal: AbortSignal,
  before?: RoutingObserved,
  parts: ReadonlySet<RoutingPart> = new Set(PARTS),
): Promise<RoutingObserved> {
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
  if (before !== undefined) for (const item of before.items.values()) if (!parts.has(partOf(item))) items.push(item);
  const foreign = new Map<string, string>(before === undefined || parts.has('routes') ? [] : before.foreign);
  const heads = new Map<string, number>(before === undefined || parts.has('chains') ? [] : before.heads);

  const links = async (): Promise<void> => {
    const found = parseLinks((await run('ip', ['-j', '-d', 'link', 'show'])).stdout, options.bridge);
    for (const link of found) {
      if (link.type !== 'link') continue;
      if (link.kind === 'vxlan') {
        const [neighbours, fdb] = await Promise.all([
          maybe('ip', ['-j', 'neigh', 'show', 'dev', link.name, 'nud', 'permanent']),
          maybe('bridge', ['-j', 'fdb', 'show', 'dev', link.name]),
        ]);
        items.push(link, ...parseNeighbours(neighbours, link.name), ...parseFdb(fdb, link.name));
      } else if (link.kind === 'wireguard') {
        const { port, peers } = parseWireguard((await run('wg', ['show', link.name, 'dump'])).stdout, link.name);
        items.push(port === undefined ? link : { ...link, port }, ...peers);
      } else items.push(link);
    }
    // Asked even without tunnels: a port that an earlier run opened is there before the first of them.
    items.push(...parseFou(await maybe('ip', ['-j', 'fou', 'show'])));
  };
  const routes = async (family: Family): Promise<void> => {
    // Not `table all`: the local one has an entry for each of the thousands of Service addresses.
    const show = (table: number): readonly string[] => ['-j', `-${family}`, 'route', 'show', 'table', `${table}`];
    const [main, overlay] = await Promise.all([
      run('ip', show(MAIN_TABLE)).then(({ stdout }) => parseRoutes(stdout, family, MAIN_TABLE)),
      // Absent until its first route.
      maybe('ip', show(OVERLAY_TABLE)).then((text) => parseRoutes(text, family, OVERLAY_TABLE)),
    ]);
    items.push(...main.items, ...overlay.items);
    for (const [key, protocol] of [...main.foreign, ...overlay.foreign]) foreign.set(key, protocol);
  };
  const rules = async (family: Family): Promise<void> => {
    items.push(...parseRules((await run('ip', ['-j', `-${family}`, 'rule', 'show'])).stdout, family));
  };
  const chains = async (family: Family): Promise<void> => {
    const found = parseChains((await run(programs[family].save, [])).stdout, family);
    for (const [place, count] of found.heads) heads.set(place, count);
    items.push(...found.items);
  };
  const sets = async (family: Family): Promise<void> => {
    const ours = [names.podSubnets, names.nodeIps].map((base) => setName(base, family));
    const saved = await Promise.all(ours.map((set) => maybe('ipset', ['save', set])));
    for (const text of saved) items.push(...parseSets(text, [family]));
  };
  const sysctls = async (): Promise<void> => {
    // 1: no line matched, 2: some file is absent; both answer the question.
    items.push(...parseSysctls((await run('grep', SYSCTL_ARGS, [1, 2])).stdout));
  };
  const each = { routes, rules, chains, sets };
  await Promise.all([
    ...(parts.has('links') ? [links()] : []),
    ...(parts.has('sysctls') ? [sysctls()] : []),
    ...(['routes', 'rules', 'chains', 'sets'] as const).flatMap((part) =>
      parts.has(part) ? families.map((family) => each[part](family)) : [],
    ),
  ]);
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

/** Writes sysctls, remembering what they held. */
async function applySysctls(
  changes: readonly RoutingChange[],
  options: RoutingTargetOptions,
  signal: AbortSignal,
): Promise<readonly ApplyFailure[]> {
  const values = new Map<string, string>();
  for (const { item, verb } of changes) {
    if (item.type === 'sysctl' && verb !== 'remove') values.set(item.path, item.value);
  }
  if (values.size === 0) return [];
  const { failures } = await createSysctl(options).write(values, { signal });
  return [...failures].map(([path, error]) => ({ item: `sysctl/${path}`, error }));
}

/** Makes the target of pod networking for `reconcile()`. */
export function createRoutingTarget(options: RoutingTargetOptions): RoutingTarget {
  let known: RoutingObserved | undefined;
  let busy = false;
  const suspects = new Set<RoutingPart>();

  const applyPlan = async (wanted: RoutingPlan, signal: AbortSignal): Promise<Applied<RoutingObserved>> => {
    const failures: ApplyFailure[] = [];
    const { ownership } = options;
    // On record before it is in the kernel: a crash in between leaves a line too many, never an item too many.
    const made = wanted.changes.filter((one) => one.verb === 'add' && one.item.type !== 'sysctl');
    await ownership?.add(made.map((one) => [one.key, JSON.stringify(one.item)]));
    for (const command of renderCommands(wanted, options)) {
      if (command.file === 'sysctl') continue;
      failures.push(...(await runCommand(options.runner, command, signal)));
    }
    failures.push(...(await applySysctls(wanted.changes, options, signal)));
    for (const change of wanted.changes) {
      if (change.verb !== 'blocked') continue;
      failures.push({
        item: change.key,
        error: new SdkError(`a route of protocol ${change.note} is in the place of ${change.key}; it was left alone`, {
          code: 'CONFLICT',
          retryable: true,
        }),
      });
    }
    const failed = new Set(failures.map((one) => one.item));
    const removed = wanted.changes.filter((one) => one.verb === 'remove' && !failed.has(one.key));
    await ownership?.remove(removed.map((one) => one.key));
    return { observed: applyTo(wanted.observed, wanted.changes, failed), failures };
  };

  return {
    name: 'routing',
    async observe(signal) {
      // Asked without a suspicion (at start, after a failure, at the resync), everything is read.
      const parts = suspects.size === 0 || known === undefined ? undefined : new Set(suspects);
      suspects.clear();
      known = await (parts === undefined
        ? observeRouting(options, signal)
        : observeRouting(options, signal, known, parts));
      return known;
    },
    plan,
    size: (wanted) => wanted.changes.length,
    async apply(wanted, signal) {
      busy = true;
      try {
        const applied = await applyPlan(wanted, signal);
        known = applied.observed;
        return applied;
      } finally {
        busy = false;
      }
    },
    known: () => known?.items,
    busy: () => busy,
    suspect(parts) {
      for (const part of parts) suspects.add(part);
    },
  };
}
