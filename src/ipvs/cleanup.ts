/**
 * The inverse of everything that the service proxy applied, without a running agent: what is ours by name or by our sets goes,
 * settings get back what they held, where they still hold our value, DSR pods lose their tunnel ends. Virtual servers, addresses and rules of others stay.
 */
import type { BlockOwnership } from '../kernel/ownership.ts';
import type { ApplyFailure } from '../kernel/types.ts';
import { forgottenPods, releasePod } from './dsr/record.ts';
import { observeIpvs } from './observe.ts';
import type { ObserveOptions } from './observe.ts';
import { plan } from './plan.ts';
import type { IpvsPlan } from './plan.ts';
import { render, renderCommands } from './render.ts';
import type { IpvsCommand, RenderOptions } from './render.ts';

/** Options of {@link cleanupIpvs}. */
export interface CleanupOptions extends ObserveOptions, RenderOptions {
  /** This block's part of the ownership record; without it settings cannot be given back. */
  readonly owned?: BlockOwnership;
  /** Only say what would be done. @defaultValue false */
  readonly dryRun?: boolean;
}

/** What {@link cleanupIpvs} did. */
export interface CleanupResult {
  /** Commands as text. */
  readonly text: string;
  readonly changes: number;
  readonly failures: readonly ApplyFailure[];
  /** Settings that were changed and cannot be given back: unknown before, or somebody changed them since. */
  readonly kept: readonly string[];
}

/** Removes what is ours. */
export async function cleanupIpvs(
  options: CleanupOptions,
  signal: AbortSignal = new AbortController().signal,
): Promise<CleanupResult> {
  const observed = await observeIpvs(options, signal);
  const full = plan({ items: new Map(), graceMs: () => 0, drain: false }, observed, { prune: true });
  const removal: IpvsPlan = { steps: full.steps.filter((step) => step.kind === 'remove') };
  const restored: string[] = [];
  const kept: string[] = [];
  const assignments: string[] = [];
  for (const [path, { before, ours }] of options.owned?.values ?? []) {
    const item = observed.items.get(`sysctl/${path}`);
    // Settings of the device go with it.
    if (item === undefined || path.includes('/kube-dummy-if/')) {
      restored.push(path);
      continue;
    }
    if (before === null || item.type !== 'sysctl' || item.value !== ours) kept.push(path);
    else {
      if (before !== ours) assignments.push(`${path}=${before}`);
      restored.push(path);
    }
  }
  const commands: IpvsCommand[] = renderCommands(removal, options);
  if (assignments.length > 0) commands.push({ file: 'sysctl', args: ['-qw', ...assignments], steps: [] });
  const pods = forgottenPods(options.owned);
  const changes = removal.steps.length + assignments.length + pods.size;
  const text = [
    render(removal, options),
    ...assignments.map((one) => `sysctl -qw ${one}\n`),
    ...[...pods].map(([name, { netns }]) => `# DSR pod ${name}: tunnel end and VIPs in ${netns}\n`),
  ].join('');
  if (options.dryRun === true) return { text, changes, failures: [], kept };
  const failures: ApplyFailure[] = [];
  for (const { steps, verify: _, ...command } of commands) {
    try {
      await options.runner.run(command, { signal });
    } catch (error) {
      const item = steps.length === 0 ? command.file : `${command.file} (${steps.length} changes)`;
      failures.push({ item, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
  for (const [name, record] of pods) {
    try {
      await releasePod(options.runner, name.slice(name.indexOf(' ') + 1), record);
    } catch (error) {
      failures.push({ item: `DSR pod ${name}`, error: error instanceof Error ? error : new Error(String(error)) });
    }
  }
  if (failures.length === 0 && options.owned !== undefined) {
    for (const path of restored) await options.owned.forget(path);
    await options.owned.remove([...options.owned.applied.keys()]);
  }
  return { text, changes, failures, kept };
}
