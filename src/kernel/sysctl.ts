/**
 * Kernel switches under /proc/sys, in whichever network namespace the runner is in.
 * Names are paths (`net/ipv4/conf/eth0.100/rp_filter`): the dotted spelling cannot tell an interface's dot from its own.
 * With an ownership record every value is remembered before its first change, and `restore` gives back those that are still ours.
 */
import { SdkError } from '../net/errors.ts';
import type { BlockOwnership } from './ownership.ts';
import type { Runner } from './types.ts';

/** Options of {@link createSysctl}. */
export interface SysctlOptions {
  readonly runner: Runner;
  /** Where values before are remembered; absent: nowhere, and `restore` does nothing. */
  readonly ownership?: BlockOwnership;
  /** @defaultValue the runner's own network namespace */
  readonly netns?: string;
}

/** What became of one value in {@link Sysctl.restore}. */
export interface RestoreResult {
  readonly name: string;
  readonly outcome: 'restored' | 'changed by someone else' | 'gone' | 'failed';
}

/** Reads and writes kernel switches. */
export interface Sysctl {
  /** Current values of those that exist, without the closing newline; tabs as the kernel prints them. */
  read(names: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<Map<string, string>>;
  /**
   * Writes the values that differ from what is there and returns the names written; a switch that does not exist is a
   * failure of its own and does not stop the others.
   */
  write(
    values: ReadonlyMap<string, string>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly written: readonly string[]; readonly failures: ReadonlyMap<string, Error> }>;
  /** Gives back every remembered value that is still the one we wrote, and forgets it; with `dryRun` only tells. */
  restore(options?: { readonly dryRun?: boolean; readonly signal?: AbortSignal }): Promise<readonly RestoreResult[]>;
}

const ROOT = '/proc/sys/';

/** Refuses what would leave /proc/sys. */
function pathOf(name: string): string {
  const parts = name.split('/');
  if (name === '' || /[\n\0]/.test(name) || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new SdkError(`not a kernel switch: ${JSON.stringify(name)}`, { code: 'INVALID_OPTION', details: { name } });
  }
  return `${ROOT}${name}`;
}

/** Makes a {@link Sysctl} driver. */
export function createSysctl(options: SysctlOptions): Sysctl {
  const { runner, ownership } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };

  const read: Sysctl['read'] = async (names, { signal } = {}) => {
    const values = new Map<string, string>();
    if (names.length === 0) return values;
    // One process for all: grep prints `path:value`, leaves out what does not exist (-s) and then exits 2.
    const { stdout } = await runner.run(
      { file: 'grep', args: ['-sH', '-e', '', '--', ...names.map(pathOf)], okExitCodes: [1, 2], ...place },
      signal === undefined ? {} : { signal },
    );
    for (const line of stdout.split('\n')) {
      if (!line.startsWith(ROOT)) continue;
      // The name itself may hold a colon (an interface alias), so it is looked up rather than cut off.
      const name = names.find((one) => line.startsWith(`${ROOT}${one}:`));
      if (name !== undefined && !values.has(name)) values.set(name, line.slice(ROOT.length + name.length + 1));
    }
    return values;
  };

  const put = async (name: string, value: string, signal: AbortSignal | undefined): Promise<void> => {
    const command = { file: 'tee', args: ['--', pathOf(name)], input: `${value}\n`, ...place };
    await runner.run(command, signal === undefined ? {} : { signal });
  };

  return {
    read,
    async write(values, { signal } = {}) {
      const current = await read([...values.keys()], signal === undefined ? {} : { signal });
      const written: string[] = [];
      const failures = new Map<string, Error>();
      for (const [name, value] of values) {
        const before = current.get(name);
        if (before === value) continue;
        try {
          if (before === undefined) {
            throw new SdkError(`the kernel has no ${name}`, { code: 'KERNEL_UNSUPPORTED', details: { name } });
          }
          await ownership?.remember(name, before, value);
          await put(name, value, signal);
          written.push(name);
        } catch (cause) {
          failures.set(name, cause as Error);
        }
      }
      return { written, failures };
    },

    async restore({ dryRun = false, signal } = {}) {
      if (ownership === undefined) return [];
      const remembered = [...ownership.values];
      const current = await read(
        remembered.map(([name]) => name),
        signal === undefined ? {} : { signal },
      );
      const results: RestoreResult[] = [];
      for (const [name, { before, ours }] of remembered) {
        const now = current.get(name);
        let outcome: RestoreResult['outcome'];
        if (now === undefined) outcome = 'gone';
        else if (now !== ours || before === null) outcome = 'changed by someone else';
        else outcome = 'restored';
        try {
          if (outcome === 'restored' && before !== null && !dryRun) await put(name, before, signal);
          if (!dryRun) await ownership.forget(name);
        } catch {
          outcome = 'failed';
        }
        results.push({ name, outcome });
      }
      return results;
    },
  };
}
