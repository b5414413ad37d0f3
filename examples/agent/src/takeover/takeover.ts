/**
 * Taking a node over from kube-router, and giving it back: what the blocks adopt by name they have adopted; the rest is removed
 * here, after everything of the new owner is in force, so that no packet ever finds less than one owner's rules.
 */
import type { ApplyFailure, Runner, Target } from 'kube-router-sdk/kernel';
import type { Family } from 'kube-router-sdk/net';
import {
  describeFinding,
  findKubeRouter,
  findOurs,
  renderRemoval,
  type FamilyFindings,
  type OtherFinding,
  type Owner,
} from './rules.ts';

/** How to reach the kernel. */
export interface TakeoverOptions {
  readonly runner: Runner;
  readonly families: readonly Family[];
  /** Flavour of iptables; `system`: whatever the plain names mean. */
  readonly flavour: 'legacy' | 'nft' | 'system';
  /** Whose leftovers are looked for. @defaultValue 'kube-router' */
  readonly of?: 'kube-router' | 'ours';
}

/** Findings by family. */
export type Leftovers = ReadonlyMap<Family, FamilyFindings>;

const suffix = ({ flavour }: TakeoverOptions): string => (flavour === 'system' ? '' : `-${flavour}`);
const iptables = (options: TakeoverOptions, family: Family): string =>
  `${family === 4 ? 'iptables' : 'ip6tables'}${suffix(options)}`;

/** Reads the kernel; only what belongs to `owners`. A tool that is not installed has nothing to show. */
export async function findLeftovers(
  options: TakeoverOptions,
  owners: ReadonlySet<Owner>,
  signal?: AbortSignal,
): Promise<Leftovers> {
  const ask = async (file: string, args: readonly string[]): Promise<string> => {
    try {
      const done = await options.runner.run(
        { file, args, okExitCodes: [1, 2, 255] },
        signal === undefined ? {} : { signal },
      );
      return done.exitCode === 0 ? done.stdout : '';
    } catch {
      return '';
    }
  };
  const sets = await ask('ipset', ['list', '-t']);
  const found = new Map<Family, FamilyFindings>();
  for (const family of options.families) {
    const texts = {
      sets,
      tables: await ask(`${iptables(options, family)}-save`, []),
      rules: await ask('ip', ['-N', `-${family}`, 'rule', 'show']),
      external: await ask('ip', [`-${family}`, 'route', 'show', 'table', '79']),
    };
    const all = options.of === 'ours' ? findOurs(texts, family) : findKubeRouter(texts, family);
    found.set(family, {
      table: all.table.filter(({ owner }) => owners.has(owner)),
      other: all.other.filter(({ owner }) => owners.has(owner)),
    });
  }
  return found;
}

/** How many things were found. */
export function countFindings(found: Leftovers): number {
  return [...found.values()].reduce((sum, { table, other }) => sum + table.length + other.length, 0);
}

/** Each of them as a line. */
export function describeFindings(found: Leftovers): readonly string[] {
  return [...found].flatMap(([family, { table, other }]) => [
    ...table.map((one) => `remove IPv${family} ${describeFinding(one)}`),
    ...other.map((one) => `remove IPv${family} ${describeFinding(one)}`),
  ]);
}

/** Removes rules and chains, one commit a table. */
export async function removeTables(
  options: TakeoverOptions,
  found: Leftovers,
  signal?: AbortSignal,
): Promise<readonly ApplyFailure[]> {
  const failures: ApplyFailure[] = [];
  for (const [family, { table }] of found) {
    if (table.length === 0) continue;
    const file = `${iptables(options, family)}-restore`;
    await attempt(failures, `IPv${family} rules`, () =>
      options.runner.run(
        { file, args: ['--noflush', '--wait'], input: renderRemoval(table) },
        signal === undefined ? {} : { signal },
      ),
    );
  }
  return failures;
}

/** The command that removes something that is no rule of iptables. */
function otherCommand(family: Family, { kind, name }: OtherFinding): { file: string; args: readonly string[] } {
  const words = name.split(' ');
  if (kind === 'set') return { file: 'ipset', args: ['destroy', name] };
  if (kind === 'mark') return { file: 'ipvsadm', args: ['-D', '-f', name, ...(family === 6 ? ['-6'] : [])] };
  return { file: 'ip', args: [`-${family}`, kind, 'del', ...words] };
}

/** Removes sets, marked virtual servers and policy routing; call it when no rule names them any more. */
export async function removeOthers(
  options: TakeoverOptions,
  found: Leftovers,
  signal?: AbortSignal,
): Promise<readonly ApplyFailure[]> {
  const failures: ApplyFailure[] = [];
  for (const [family, { other }] of found) {
    for (const one of other) {
      await attempt(failures, describeFinding(one), () =>
        options.runner.run(otherCommand(family, one), signal === undefined ? {} : { signal }),
      );
    }
  }
  return failures;
}

async function attempt(failures: ApplyFailure[], item: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    failures.push({ item, error: error instanceof Error ? error : new Error(String(error)) });
  }
}

/** Removal as a target, so that a failure is tried again and `plan` shows it: desired is an empty list. */
export function createTakeoverTarget(
  options: TakeoverOptions,
  owners: ReadonlySet<Owner>,
): Target<null, Leftovers, Leftovers> {
  return {
    name: 'takeover',
    observe: (signal) => findLeftovers(options, owners, signal),
    plan: (_desired, observed, { prune }) => (prune ? observed : new Map()),
    size: countFindings,
    async apply(plan, signal) {
      const tables = await removeTables(options, plan, signal);
      // A set in use cannot go.
      const failures = tables.length > 0 ? tables : await removeOthers(options, plan, signal);
      return failures.length > 0 ? { failures } : { observed: new Map(), failures };
    },
  };
}
