/**
 * Reads and changes sets through `ipset`.
 * `ipset restore` stops at the first line that fails. Lines that add and delete are sent in bundles, and a bundle not yet sent is lost
 * with the failure, although its lines stand before it: the driver names the failing line and runs the others of its bundle again,
 * so that one bad element never costs the others.
 */
import type { ApplyFailure, Runner } from '../types.ts';
import { isSdkError } from '../../net/errors.ts';
import type { Ipset } from './model.ts';
import { parseIpsetSave } from './parse.ts';

/** Options of the tool drivers. */
export interface DriverOptions {
  readonly runner: Runner;
  /** @defaultValue the runner's own network namespace */
  readonly netns?: string;
}

/** Options of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Reads and changes sets. */
export interface IpsetDriver {
  /** Every set, or those of the names given that exist. */
  save(names?: readonly string[], options?: CallOptions): Promise<Map<string, Ipset>>;
  /**
   * Runs lines of `ipset restore` with `-exist`; each line that fails is one failure, named by its text.
   * @throws SdkError when the tool itself cannot be run
   */
  restore(lines: readonly string[], options?: CallOptions): Promise<readonly ApplyFailure[]>;
}

/** Failing lines after which a batch is given up: something other than the lines is wrong. */
const GIVE_UP = 100;

/** Makes an {@link IpsetDriver}. */
export function createIpset(options: DriverOptions): IpsetDriver {
  const { runner } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  return {
    async save(names, call = {}) {
      if (names === undefined) {
        return parseIpsetSave((await runner.run({ file: 'ipset', args: ['save'], ...place }, call)).stdout);
      }
      const sets = new Map<string, Ipset>();
      for (const name of names) {
        const command = { file: 'ipset', args: ['save', name], okExitCodes: [1], ...place };
        const { exitCode, stdout } = await runner.run(command, call);
        if (exitCode === 0) for (const [key, set] of parseIpsetSave(stdout)) sets.set(key, set);
      }
      return sets;
    },

    async restore(lines, call = {}) {
      const failures: ApplyFailure[] = [];
      let rest = lines;
      while (rest.length > 0) {
        try {
          const input = `${rest.join('\n')}\n`;
          await runner.run({ file: 'ipset', args: ['-exist', 'restore'], input, ...place }, call);
          return failures;
        } catch (error) {
          const line = isSdkError(error, 'COMMAND_FAILED') ? error.details['line'] : undefined;
          if (typeof line !== 'number' || failures.length >= GIVE_UP) throw error;
          failures.push({ item: rest[line - 1] ?? `line ${line}`, error: error as Error });
          const at = line - 1;
          const bundle = rest.slice(0, at).findLastIndex((text) => !/^(?:add|del) /.test(text)) + 1;
          rest = [...rest.slice(bundle, at), ...rest.slice(line)];
        }
      }
      return failures;
    },
  };
}
