/**
 * `status`: what the running agent sees, as tables for a person or as JSON for a program; `--watch` prints at every change.
 */
import { askAgent, followAgent } from '../admin/client.ts';
import type { Outcome, Streams } from '../cli.ts';
import type { Config } from '../config/load.ts';
import { socketPath } from '../paths.ts';
import { exitCodes, renderReport, type Report } from '../report.ts';
import type { StatusView } from '../admin/views.ts';
import { renderStatus } from './status-text.ts';

const SETTLE_MS = 200;

/** Runs the command. */
export async function status(config: Config, streams: Streams): Promise<Outcome> {
  const { output, watch } = config.flags;
  const runDir = config.flags['run-dir'];
  const print = async (): Promise<Outcome | undefined> => {
    const view = (await askAgent(runDir, '/status')) as StatusView | undefined;
    if (view === undefined) return undefined;
    const report: Report = {
      command: 'status',
      node: view.node,
      ok: view.ready,
      blocks: view.blocks.map((block) => ({
        name: block.name,
        changes: block.last?.changes ?? 0,
        remaining: block.last?.remaining ?? 0,
        durationMs: block.last?.durationMs ?? 0,
      })),
      issues: view.issues,
      status: view,
    };
    streams.out(output === 'json' ? renderReport(report, 'json') : renderStatus(view));
    return { exitCode: exitCodes.ok };
  };
  const outcome = await print();
  if (outcome === undefined) {
    const report: Report = {
      command: 'status',
      node: '',
      ok: false,
      blocks: [],
      issues: [],
      errors: [`no agent runs with ${socketPath(runDir)}`],
    };
    return { report, exitCode: exitCodes.difference };
  }
  if (!watch) return outcome;
  let timer: NodeJS.Timeout | undefined;
  await followAgent(runDir, () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      if (output === 'text') streams.out('\u001b[2J\u001b[H');
      void print();
    }, SETTLE_MS);
  });
  clearTimeout(timer);
  return outcome;
}
