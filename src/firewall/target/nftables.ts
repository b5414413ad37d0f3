/**
 * The nftables target of `reconcile()`: one `nft` process a pass, all or nothing. A transaction that fails has changed nothing,
 * so the kernel keeps the verdicts that it had.
 */
import type { Applied, Runner, Target } from '../../kernel/types.ts';
import type { Family } from '../../net/values.ts';
import type { EntryOptions } from '../model/options.ts';
import type { FirewallState } from '../model/types.ts';
import { absentTable, parseTable } from '../parse/nftables.ts';
import type { ObservedNftables, ObservedTable } from '../parse/nftables.ts';
import { planNftables, sizeTable } from '../plan/nftables.ts';
import type { NftablesPlan, TableChanges } from '../plan/nftables.ts';
import { TABLES } from '../render/nftables.ts';
import { renderTransaction } from '../render/transaction.ts';

/** What an nftables target is made from. */
export interface NftablesTargetOptions extends EntryOptions {
  readonly runner: Runner;
  /** Families that the node has. @defaultValue [4, 6] */
  readonly families?: readonly Family[];
  /** Network namespace path. @defaultValue the runner's own */
  readonly netns?: string;
}

type Tools = Required<Pick<NftablesTargetOptions, 'families'>> & {
  nft(args: readonly string[], input?: string, signal?: AbortSignal): Promise<string>;
};

/** Milliseconds that a large transaction may take. */
const TIMEOUT = 60_000;

function createTools({ runner, netns, families = [4, 6] }: NftablesTargetOptions): Tools {
  return {
    families,
    async nft(args, input, signal) {
      const command = {
        file: 'nft',
        args,
        timeoutMs: TIMEOUT,
        ...(input === undefined ? { okExitCodes: [1] } : { input }),
        ...(netns === undefined ? {} : { netns }),
      };
      const { stdout, exitCode } = await runner.run(command, signal === undefined ? {} : { signal });
      return exitCode === 0 ? stdout : '';
    },
  };
}

async function observe(tools: Tools, signal?: AbortSignal): Promise<ObservedNftables> {
  const read = async (family: Family): Promise<ObservedTable> => {
    if (!tools.families.includes(family)) return absentTable();
    const text = await tools.nft(
      ['-j', 'list', 'table', TABLES[family].family, TABLES[family].name],
      undefined,
      signal,
    );
    return text === '' ? absentTable() : parseTable(text);
  };
  const [four, six] = await Promise.all([read(4), read(6)]);
  return { tables: { 4: four, 6: six } };
}

function hold(table: ObservedTable, changes: TableChanges): void {
  table.present = true;
  for (const name of changes.createSets.keys()) table.sets.set(name, new Set());
  for (const name of changes.createMaps) table.maps.set(name, new Map());
  for (const [name, rules] of changes.putChains)
    table.chains.set(
      name,
      rules.map(({ comment }) => comment),
    );
  for (const [name, elements] of changes.remove) for (const element of elements) table.sets.get(name)?.delete(element);
  for (const [name, elements] of changes.add) for (const element of elements) table.sets.get(name)?.add(element);
  for (const [name, verdicts] of changes.verdicts) {
    for (const [address, chain] of verdicts) {
      if (chain === undefined) table.maps.get(name)?.delete(address);
      else table.maps.get(name)?.set(address, chain);
    }
  }
  for (const name of changes.dropChains) table.chains.delete(name);
  for (const name of changes.dropSets) table.sets.delete(name);
}

/** A target that programs nftables. */
export function createNftablesTarget(
  options: NftablesTargetOptions,
): Target<FirewallState, ObservedNftables, NftablesPlan & { readonly observed: ObservedNftables }> {
  const tools = createTools(options);
  return {
    name: 'firewall',
    observe: (signal) => observe(tools, signal),
    plan: (desired, observed, how) => ({ ...planNftables(desired, observed, how, options), observed }),
    size: ({ tables }) => tools.families.reduce((sum, family) => sum + sizeTable(tables[family]), 0),
    async apply(plan, signal): Promise<Applied<ObservedNftables>> {
      const { observed } = plan;
      const text = renderTransaction(plan, observed.tables, tools.families);
      if (text === '') return { observed, failures: [] };
      try {
        await tools.nft(['-f', '-'], text, signal);
      } catch (error) {
        return { failures: [{ item: 'nftables', error: error instanceof Error ? error : new Error(String(error)) }] };
      }
      for (const family of tools.families) {
        if (sizeTable(plan.tables[family]) > 0) hold(observed.tables[family], plan.tables[family]);
      }
      return { observed, failures: [] };
    },
  };
}

/** Whether a table of ours is there. */
export async function hasNftables(options: NftablesTargetOptions, signal?: AbortSignal): Promise<boolean> {
  const { tables } = await observe(createTools(options), signal);
  return tables[4].present || tables[6].present;
}

/** Removes our tables; nothing of anybody else. Needs no running agent. */
export async function cleanupNftables(options: NftablesTargetOptions, signal?: AbortSignal): Promise<void> {
  const tools = createTools(options);
  const { tables } = await observe(tools, signal);
  const lines = tools.families
    .filter((family) => tables[family].present)
    .map((family) => `delete table ${TABLES[family].family} ${TABLES[family].name}\n`);
  if (lines.length > 0) await tools.nft(['-f', '-'], lines.join(''), signal);
}
