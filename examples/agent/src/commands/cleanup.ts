/**
 * `cleanup`: the exact inverse of what was applied, from the record of it and from our own names; needs no running agent and
 * no API. Values are given back only where they are still ours. `--dry-run` lists what would be done.
 */
import { rmSync } from 'node:fs';
import { createRunner, openOwnership, type Ownership, type StreamingRunner } from 'kube-router-sdk/kernel';
import { SdkError, type Family } from 'kube-router-sdk/net';
import { askAgent } from '../admin/client.ts';
import { cleaners } from '../blocks/cleaners.ts';
import type { BlockContext } from '../blocks/context.ts';
import { iptablesFlavour } from '../wire.ts';
import { createDryRunner } from '../capture.ts';
import { renderSetReturn } from '../takeover/rules.ts';
import {
  countFindings,
  describeFindings,
  findLeftovers,
  removeOthers,
  removeTables,
  type TakeoverOptions,
} from '../takeover/takeover.ts';
import type { Outcome } from '../cli.ts';
import type { Config } from '../config/load.ts';
import { hasNetAdmin, nodeNameCandidates, noPrivilege, type Environment } from '../node.ts';
import { ownershipPath } from '../paths.ts';
import { exitCodes, type BlockReport, type Report } from '../report.ts';

/** What a block's cleanup is given. */
export interface CleanupContext {
  readonly config: Config;
  readonly runner: StreamingRunner;
  readonly ownership: Ownership;
  readonly families: readonly Family[];
  readonly flavour: BlockContext['flavour'];
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** What a block's cleanup did. */
export interface CleanupResult {
  /** Number of things removed or given back. */
  readonly changes: number;
  readonly failures: readonly { readonly item: string; readonly error: Error }[];
  /** What could not be given back, and why. */
  readonly notes?: readonly string[];
  /** With `dryRun`: what would be done, where it is no command. */
  readonly lines?: readonly string[];
}

/** Cleans one block. */
export type Cleaner = (context: CleanupContext) => Promise<CleanupResult>;

const TIMEOUT_MS = 300_000;

/** Runs the command. */
export async function cleanup(config: Config, env: Environment): Promise<Outcome> {
  const { flags } = config;
  const [node] = nodeNameCandidates(config, env);
  const dryRun = flags['dry-run'];
  if (!hasNetAdmin()) {
    const report: Report = { command: 'cleanup', node, ok: false, blocks: [], issues: [], errors: [noPrivilege] };
    return { report, exitCode: exitCodes.difference };
  }
  if (flags['leave'] !== '') return leave(config, node, dryRun);
  if (!dryRun && (await askAgent(flags['run-dir'], '/status').catch(() => true)) !== undefined) {
    throw new SdkError('an agent is running on this node; stop it before cleaning up', { code: 'CONFLICT' });
  }
  const ownership = await openOwnership({ path: ownershipPath(flags['run-dir']) });
  const real = createRunner();
  const flavour = await iptablesFlavour(config, real);
  const blocks: BlockReport[] = [];
  const diff: { block: string; lines: readonly string[] }[] = [];
  const errors: string[] = [];
  if (ownership.damaged !== undefined) {
    errors.push(`the record of what was applied is damaged (${ownership.damaged}): what it alone knew stays`);
  }
  // Rules of kube-router's go before the chains that they lead to, its sets after the chains that name them.
  const adopted: TakeoverOptions = { runner: real, families: [4, 6], flavour };
  const adopt = flags.adopt === 'kube-router';
  const left = adopt
    ? await findLeftovers(adopted, new Set(['firewall', 'ipvs', 'routing']))
    : new Map<Family, never>();
  const began = performance.now();
  const troubles = adopt && !dryRun ? [...(await removeTables(adopted, left))] : [];
  for (const [name, clean] of cleaners(config)) {
    const started = performance.now();
    const dry = dryRun ? createDryRunner(real) : undefined;
    const context: CleanupContext = {
      config,
      runner: dry ?? real,
      ownership,
      families: [4, 6],
      flavour,
      dryRun,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    };
    try {
      const { changes, failures, notes = [], lines = [] } = await clean(context);
      const listed = [...(dry?.lines ?? []), ...lines];
      if (dryRun) diff.push({ block: name, lines: listed });
      errors.push(...notes);
      blocks.push({
        name,
        changes: dryRun ? listed.length : changes,
        remaining: failures.length,
        durationMs: Math.round(performance.now() - started),
        ...(failures.length === 0
          ? {}
          : { failures: failures.map(({ item, error }) => ({ item, error: error.message })) }),
      });
    } catch (error) {
      errors.push(`${name}: ${(error as Error).message}`);
      blocks.push({ name, changes: 0, remaining: 1, durationMs: Math.round(performance.now() - started) });
    }
  }
  if (adopt) {
    if (!dryRun && troubles.length === 0) troubles.push(...(await removeOthers(adopted, left)));
    const lines = describeFindings(left);
    if (dryRun) diff.push({ block: 'takeover', lines });
    blocks.push(takeoverReport(countFindings(left), troubles, began));
  }
  if (!dryRun) {
    // What carried the traffic is gone: the next agent must not tell peers that it kept forwarding.
    const peers = ownership.block('bgp');
    await peers.remove([...peers.applied.keys()]);
    await ownership.compact();
  }
  const ok = blocks.every((block) => block.remaining === 0);
  const report: Report = {
    command: 'cleanup',
    node,
    ok,
    blocks,
    issues: [],
    ...(errors.length === 0 ? {} : { errors }),
    ...(dryRun ? { diff } : {}),
  };
  return { report, exitCode: ok ? exitCodes.ok : exitCodes.difference };
}

function takeoverReport(
  changes: number,
  failures: readonly { readonly item: string; readonly error: Error }[],
  began: number,
): BlockReport {
  return {
    name: 'takeover',
    changes,
    remaining: failures.length,
    durationMs: Math.round(performance.now() - began),
    ...(failures.length === 0 ? {} : { failures: failures.map(({ item, error }) => ({ item, error: error.message })) }),
  };
}

/**
 * `--leave kube-router`: shared sets get the form that kube-router's start asks for, at any time; what kube-router neither uses nor
 * removes goes, block by block, once its own rules are there, for until then ours carry the traffic.
 */
async function leave(config: Config, node: string, dryRun: boolean): Promise<Outcome> {
  const runner = createRunner();
  const options: TakeoverOptions = { runner, families: [4, 6], flavour: await iptablesFlavour(config, runner) };
  const owners = new Set(['firewall', 'ipvs', 'routing'] as const);
  const began = performance.now();
  const input = renderSetReturn((await runner.run({ file: 'ipset', args: ['save'] })).stdout);
  const sets = input.split('\n').filter((line) => line.startsWith('swap ')).length;
  const theirs = [...(await findLeftovers(options, owners)).values()].flatMap(({ table }) => table);
  const back = new Set(theirs.map(({ owner }) => owner));
  const arrived = back.size > 0;
  const found = await findLeftovers({ ...options, of: 'ours' }, back);
  const troubles: { item: string; error: Error }[] = [];
  if (!dryRun) {
    if (sets > 0) {
      await runner.run({ file: 'ipset', args: ['restore'], input }).catch((error: unknown) => {
        troubles.push({ item: 'shared sets', error: error as Error });
      });
    }
    troubles.push(...(await removeTables(options, found)));
    if (troubles.length === 0) troubles.push(...(await removeOthers(options, found)));
  }
  const ok = troubles.length === 0;
  if (ok && arrived && !dryRun) rmSync(ownershipPath(config.flags['run-dir']), { force: true });
  const report: Report = {
    command: 'cleanup',
    node,
    ok,
    blocks: [takeoverReport(countFindings(found) + sets, troubles, began)],
    issues: [],
    ...(arrived ? {} : { errors: ['kube-router has not started here yet: run this again when it has'] }),
    ...(dryRun
      ? { diff: [{ block: 'takeover', lines: [...input.split('\n').filter(Boolean), ...describeFindings(found)] }] }
      : {}),
  };
  return { report, exitCode: ok ? exitCodes.ok : exitCodes.difference };
}
