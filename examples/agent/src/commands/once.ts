/**
 * `run --once` and `plan`: one pass of every enabled block over the first full picture of the objects. `--once` applies it
 * and reads the kernel again; `plan` only says what would change. Neither opens a port or speaks BGP.
 */
import { firstValueFrom, timeout } from 'rxjs';
import type { Outcome } from '../cli.ts';
import type { Config } from '../config/load.ts';
import { hasNetAdmin, type Environment } from '../node.ts';
import { dryPass, verifiedPass, type Part, type PassResult } from '../part.ts';
import { preflight } from '../preflight.ts';
import { exitCodes, type BlockReport, type Report } from '../report.ts';
import { assemble, type Assembly } from '../wire.ts';

const notPrivileged =
  'CAP_NET_ADMIN is missing: this plan is against an empty kernel; run as root to compare with the real one';

function blockReport(part: Part, pass: PassResult): BlockReport {
  return {
    name: part.name,
    changes: pass.changes,
    remaining: pass.remaining,
    durationMs: Math.round(pass.durationMs * 10) / 10,
    ...(pass.failures.length === 0
      ? {}
      : { failures: pass.failures.map(({ item, error }) => ({ item, error: error.message })) }),
  };
}

interface Passed {
  readonly blocks: readonly BlockReport[];
  readonly diff: readonly { readonly block: string; readonly lines: readonly string[] }[];
  readonly errors: readonly string[];
}

/** One pass of each part, in the order in which a start programs them. */
async function passAll(config: Config, assembly: Assembly, pass: typeof verifiedPass): Promise<Passed> {
  const blocks: BlockReport[] = [];
  const diff: { block: string; lines: readonly string[] }[] = [];
  const errors: string[] = [];
  const wait = config.flags['cache-sync-timeout'];
  for (const part of assembly.parts) {
    const started = performance.now();
    try {
      const desired = await firstValueFrom(part.desired$.pipe(timeout({ first: wait })));
      const result = await pass(part, desired, AbortSignal.timeout(Math.max(wait, 120_000)));
      blocks.push(blockReport(part, result));
      diff.push({ block: part.name, lines: result.lines });
    } catch (error) {
      const late = error instanceof Error && error.name === 'TimeoutError';
      const reason = late ? assembly.whyUnsynced() : error instanceof Error ? error.message : String(error);
      errors.push(`${part.name}: ${reason}`);
      blocks.push({ name: part.name, changes: 0, remaining: 1, durationMs: performance.now() - started });
      if (late) break;
    }
  }
  return { blocks, diff, errors };
}

/** `run --once`. */
export async function once(config: Config, env: Environment): Promise<Outcome> {
  const assembly = await assemble(config, env, { mode: 'once' });
  try {
    const missing = await preflight(config.flags, assembly.runner);
    if (missing.length > 0) {
      const report = {
        command: 'run',
        node: assembly.node(),
        ok: false,
        blocks: [],
        issues: [],
        errors: missing,
      } as const;
      return { report, exitCode: exitCodes.difference };
    }
    const { blocks, errors } = await passAll(config, assembly, verifiedPass);
    const issues = assembly.issues();
    const ok =
      errors.length === 0 && issues.length === 0 && blocks.every((b) => b.remaining === 0 && b.failures === undefined);
    const report: Report = { command: 'run', node: assembly.node(), ok, blocks, issues, errors };
    return { report, exitCode: ok ? exitCodes.ok : exitCodes.difference };
  } finally {
    await assembly.close();
  }
}

/** `plan`. */
export async function plan(config: Config, env: Environment): Promise<Outcome> {
  const privileged = hasNetAdmin();
  const assembly = await assemble(config, env, { mode: 'plan', emptyKernel: !privileged });
  try {
    const { blocks, diff, errors } = await passAll(config, assembly, dryPass);
    const issues = assembly.issues();
    const changes = blocks.reduce((sum, block) => sum + block.changes, 0);
    const broken = errors.length > 0 || issues.length > 0;
    const report: Report = {
      command: 'plan',
      node: assembly.node(),
      ok: !broken && changes === 0,
      blocks,
      issues,
      errors: privileged ? errors : [...errors, notPrivileged],
      diff,
    };
    const exitCode = broken ? exitCodes.difference : changes > 0 ? exitCodes.planned : exitCodes.ok;
    return { report, exitCode };
  } finally {
    await assembly.close();
  }
}
