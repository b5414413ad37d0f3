/**
 * Cleanup of each block, in the order opposite to a start: what judges packets goes first, what carries them last.
 */
import { existsSync } from 'node:fs';
import { cleanupFirewall } from 'kube-router-sdk/firewall';
import { cleanupRouting, restoreCni } from 'kube-router-sdk/routing';
import { cleanIpvs } from './ipvs.ts';
import { routingPrograms } from './routing.ts';
import type { Cleaner } from '../commands/cleanup.ts';
import type { Config } from '../config/load.ts';

const firewall: Cleaner = async ({ runner, families, dryRun, signal }) => {
  const { found, failures } = await cleanupFirewall({ runner, families, dryRun }, signal);
  return { changes: found.length, failures };
};

const routing: Cleaner = async ({ config, runner, families, ownership, dryRun, flavour, signal }) => {
  const report = await cleanupRouting({
    runner,
    families,
    ownership: ownership.block('routing'),
    adopt: config.flags.adopt === 'kube-router',
    dryRun,
    signal,
    ...routingPrograms(flavour),
  });
  const block = ownership.block('routing');
  if (!dryRun && report.failures.length === 0) {
    // Entries go with their set: what is not kept is gone, and off the record.
    const kept = new Set(report.kept.map(({ key }) => key));
    await block.remove([...block.applied.keys()].filter((key) => !kept.has(key)));
  }
  const changed = report.restored.filter(({ outcome }) => outcome === 'changed by someone else');
  const failed = report.restored.filter(({ outcome }) => outcome === 'failed');
  return {
    changes: report.removed.length + report.restored.filter(({ outcome }) => outcome === 'restored').length,
    failures: [
      ...report.failures,
      ...failed.map(({ name }) => ({ item: name, error: new Error('cannot be written') })),
    ],
    notes: [
      ...report.kept.map(({ key, reason }) => `routing: ${key} was left in place: ${reason}`),
      ...changed.map(({ name }) => `routing: ${name} no longer holds what was written; it stays as it is`),
    ],
    lines: dryRun ? report.text.split('\n').filter((line) => line !== '') : [],
  };
};

const cni: Cleaner = async ({ ownership, dryRun }) => {
  const found = await restoreCni({ ownership: ownership.block('cni'), dryRun });
  const done = found.filter(({ outcome }) => outcome === 'restored' || outcome === 'removed');
  const left = found.filter(({ outcome }) => outcome !== 'restored' && outcome !== 'removed');
  return {
    changes: done.length,
    failures: [],
    notes: left.map(({ path, outcome }) => `cni: ${path}: ${outcome}; nothing was done`),
    lines: dryRun ? done.map(({ path, outcome }) => `${outcome === 'removed' ? 'remove' : 'restore'} ${path}`) : [],
  };
};

/** A kernel that has no IPVS holds nothing of it, and asking would load it. */
const ipvs: Cleaner = (context) => {
  const never = !existsSync('/proc/net/ip_vs') && context.ownership.block('ipvs').applied.size === 0;
  return never ? Promise.resolve({ changes: 0, failures: [] }) : cleanIpvs(context);
};

/** All cleaners with their names. */
export function cleaners(_config: Config): readonly (readonly [string, Cleaner])[] {
  return [
    ['firewall', firewall],
    ['ipvs', ipvs],
    ['cni', cni],
    ['routing', routing],
  ];
}
