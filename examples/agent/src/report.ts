/**
 * The answer of a call: one document with the same shape for every command, as JSON for programs or as text for people.
 */
import type { Issue } from 'kube-router-sdk/net';
import type { CommandName } from './flags/command-line.ts';

/** What one block did or would do. */
export interface BlockReport {
  readonly name: string;
  /** Changes made, or with `plan` and `cleanup --dry-run` those that would be. */
  readonly changes: number;
  /** Changes still wanted afterwards. */
  readonly remaining: number;
  readonly durationMs: number;
  /** What failed, by item. */
  readonly failures?: readonly { readonly item: string; readonly error: string }[];
}

/** The document of `--output json`. */
export interface Report {
  readonly command: CommandName;
  readonly node: string;
  readonly ok: boolean;
  readonly blocks: readonly BlockReport[];
  readonly issues: readonly Issue[];
  /** One line each: what kept the call from its purpose. */
  readonly errors?: readonly string[];
  /** Of `plan` and `cleanup --dry-run`: commands and lines a block. */
  readonly diff?: readonly { readonly block: string; readonly lines: readonly string[] }[];
  /** Of `explain`. */
  readonly verdict?: unknown;
  /** Of `status`. */
  readonly status?: unknown;
}

/** Exit codes of the contract. */
export const exitCodes = { ok: 0, difference: 1, usage: 2, planned: 3, denied: 4 } as const;

/** `Service default/web: spec.ports[0]: …  (file:line:column)` */
export function issueLine(issue: Issue): string {
  const where = issue.source === undefined ? '' : ` (${issue.source})`;
  return `${issue.object}: ${issue.field === '' ? '' : `${issue.field}: `}${issue.reason}${where}`;
}

/** The document as text. */
export function renderText(report: Report): string {
  const lines: string[] = [];
  for (const { block, lines: changes } of report.diff ?? []) {
    if (changes.length === 0) continue;
    lines.push(`# ${block}`, ...changes, '');
  }
  for (const block of report.blocks) {
    const rest = block.remaining === 0 ? '' : `, ${block.remaining} remaining`;
    lines.push(`${block.name}: ${block.changes} changes${rest} in ${Math.round(block.durationMs)} ms`);
    for (const failure of block.failures ?? []) lines.push(`  failed: ${failure.item}: ${failure.error}`);
  }
  for (const issue of report.issues) lines.push(`issue: ${issueLine(issue)}`);
  for (const error of report.errors ?? []) lines.push(`error: ${error}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** The document in the form that `--output` asks for. */
export function renderReport(report: Report, output: 'text' | 'json'): string {
  return output === 'json' ? `${JSON.stringify(report)}\n` : renderText(report);
}
