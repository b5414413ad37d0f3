/**
 * Reads and changes rules through `iptables-save` and `iptables-restore`, of one flavour and one family.
 * iptables-restore is atomic per table: those before a failing one are in force, those behind it were not looked at. The driver
 * tells which failed, and goes on behind it.
 */
import { SdkError, isSdkError } from '../../net/errors.ts';
import type { ApplyFailure, Runner } from '../types.ts';
import type { CallOptions, DriverOptions } from '../ipset/driver.ts';
import type { IptablesFlavour, IptablesState } from './parse.ts';
import { chooseFlavour, parseIptablesSave } from './parse.ts';
import type { IptablesBatch } from './render.ts';
import { renderIptablesRestore, renderTable } from './render.ts';

/** Options of {@link createIptables}. */
export interface IptablesOptions extends DriverOptions {
  readonly family: 4 | 6;
  readonly flavour: IptablesFlavour;
  /** Seconds to wait for the lock that other iptables hold. @defaultValue 5 */
  readonly waitSeconds?: number;
}

/** Reads and changes rules. */
export interface IptablesDriver {
  /** Every table in use, or one. */
  save(table?: IptablesBatch['table'], options?: CallOptions): Promise<IptablesState>;
  /**
   * Applies batches with `--noflush`, one transaction a table; a table that fails is one failure, named by the table, and leaves
   * that table as it was.
   * @throws SdkError when the tool itself cannot be run
   */
  restore(batches: readonly IptablesBatch[], options?: CallOptions): Promise<readonly ApplyFailure[]>;
}

/** `iptables-legacy-save`, `ip6tables-nft-restore` … */
export function iptablesProgram(family: 4 | 6, flavour: IptablesFlavour, verb?: 'save' | 'restore'): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'}-${flavour}${verb === undefined ? '' : `-${verb}`}`;
}

/** Makes an {@link IptablesDriver}. */
export function createIptables(options: IptablesOptions): IptablesDriver {
  const { runner, family, flavour, waitSeconds = 5 } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  const program = (verb: 'save' | 'restore'): string => iptablesProgram(family, flavour, verb);
  return {
    async save(table, call = {}) {
      const args = table === undefined ? [] : ['-t', table];
      return parseIptablesSave((await runner.run({ file: program('save'), args, ...place }, call)).stdout);
    },

    async restore(batches, call = {}) {
      const failures: ApplyFailure[] = [];
      // The nft flavour takes no lock, and takes the option without a word.
      const args = ['--noflush', '-w', String(waitSeconds)];
      let rest = batches.filter(({ declare = [], lines }) => declare.length + lines.length > 0);
      while (rest.length > 0) {
        try {
          await runner.run({ file: program('restore'), args, input: renderIptablesRestore(rest), ...place }, call);
          return failures;
        } catch (error) {
          const line = isSdkError(error) ? error.details['line'] : undefined;
          if (!isSdkError(error, 'COMMAND_FAILED')) throw error;
          const at = rest.length === 1 ? 0 : tableAt(rest, line);
          const failed = rest[at];
          if (failed === undefined) throw error;
          failures.push({ item: failed.table, error });
          rest = rest.slice(at + 1);
        }
      }
      return failures;
    },
  };
}

/** Place of the batch that a line, counted from 1 over all of them, belongs to; -1 when the tool named none. */
function tableAt(batches: readonly IptablesBatch[], line: unknown): number {
  if (typeof line !== 'number') return -1;
  let end = 0;
  return batches.findIndex((batch) => (end += renderTable(batch).split('\n').length - 1) >= line);
}

/**
 * Finds out which flavour this host uses.
 * @throws SdkError `KERNEL_UNSUPPORTED` when neither can be used
 */
export async function detectIptablesFlavour(
  runner: Runner,
  options: CallOptions & { readonly netns?: string } = {},
): Promise<IptablesFlavour> {
  const { netns, ...call } = options;
  const place = netns === undefined ? {} : { netns };
  const attempt = async (file: string, args: readonly string[]): Promise<string | undefined> => {
    try {
      return (await runner.run({ file, args, ...place }, call)).stdout;
    } catch (error) {
      if (isSdkError(error, 'ABORTED') || isSdkError(error, 'PERMISSION_DENIED')) throw error;
      return undefined;
    }
  };
  const both = async (flavour: IptablesFlavour): Promise<string | undefined> => {
    // Listing a chain fails where the kernel lacks the flavour; a mere save prints nothing and succeeds.
    const four = iptablesProgram(4, flavour);
    if ((await attempt(four, ['-w', '5', '-n', '-L', 'INPUT'])) === undefined) return undefined;
    const saves = await Promise.all(
      ([4, 6] as const).map((family) => attempt(iptablesProgram(family, flavour, 'save'), [])),
    );
    return saves.join('');
  };
  const nft = await both('nft');
  const legacy = await both('legacy');
  const usable = (['nft', 'legacy'] as const).filter((flavour) => (flavour === 'nft' ? nft : legacy) !== undefined);
  if (usable.length === 0) {
    throw new SdkError('neither flavour of iptables works here', { code: 'KERNEL_UNSUPPORTED' });
  }
  const version = (await attempt('iptables', ['--version'])) ?? '';
  return chooseFlavour({ nft: nft ?? '', legacy: legacy ?? '', version, usable });
}
