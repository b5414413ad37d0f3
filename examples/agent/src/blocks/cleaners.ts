/**
 * Cleanup of each block, in the order opposite to a start: what judges packets goes first, what carries them last.
 */
import { cleanupFirewall } from 'kube-router-sdk/firewall';
import { createSysctl } from 'kube-router-sdk/kernel';
import { createRoutingTarget } from 'kube-router-sdk/routing';
import type { Cleaner, CleanupContext, CleanupResult } from '../commands/cleanup.ts';
import type { Config } from '../config/load.ts';

const firewall: Cleaner = async ({ runner, families, dryRun, signal }) => {
  const { found, failures } = await cleanupFirewall({ runner, families, dryRun }, signal);
  return { changes: found.length, failures };
};

const routing: Cleaner = async (context) => {
  const { runner, families, signal } = context;
  const target = createRoutingTarget({ runner, families });
  const plan = target.plan(new Map(), await target.observe(signal), { prune: true });
  const { failures } = await target.apply(plan, signal);
  const given = await giveBack(context, 'routing');
  return {
    changes: target.size(plan) + given.changes,
    failures: [...failures, ...given.failures],
    notes: given.notes ?? [],
  };
};

/** Gives kernel switches back their values from before. */
async function giveBack(context: CleanupContext, block: string): Promise<CleanupResult> {
  const sysctl = createSysctl({ runner: context.runner, ownership: context.ownership.block(block) });
  const results = await sysctl.restore({ dryRun: context.dryRun, signal: context.signal });
  const notes = results
    .filter(({ outcome }) => outcome === 'changed by someone else')
    .map(({ name }) => `${block}: ${name} is no longer what was written; it stays as it is`);
  const failures = results
    .filter(({ outcome }) => outcome === 'failed')
    .map(({ name }) => ({ item: name, error: new Error('cannot be written') }));
  return { changes: results.filter(({ outcome }) => outcome === 'restored').length, failures, notes };
}

/** All cleaners with their names. */
export function cleaners(_config: Config): readonly (readonly [string, Cleaner])[] {
  return [
    ['firewall', firewall],
    ['routing', routing],
  ];
}
