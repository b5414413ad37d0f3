/**
 * Reads and changes IPVS through `ipvsadm`.
 * `ipvsadm -R` goes on after a line that fails, names none, and can still exit 0, so after a batch the caller reads back; a batch of
 * few lines runs as direct commands, which say exactly what they refuse.
 */
import { isSdkError } from '../../net/errors.ts';
import type { CallOptions, DriverOptions } from '../ipset/driver.ts';
import type { ApplyFailure } from '../types.ts';
import type { IpvsEntry } from './model.ts';
import type { IpvsConnection, IpvsStatistics } from './parse.ts';
import { parseIpvsConnections, parseIpvsCounters, parseIpvsSave } from './parse.ts';

/** Options of {@link createIpvsadm}. */
export interface IpvsadmOptions extends DriverOptions {
  /** Most lines that run as one direct command each; more go through one `ipvsadm -R`. @defaultValue 8 */
  readonly directLimit?: number;
}

/** Reads and changes IPVS. */
export interface IpvsadmDriver {
  /** Virtual services and their real servers by key, as `ipvsadm -Sn` tells them. */
  save(options?: CallOptions): Promise<Map<string, IpvsEntry>>;
  /** Packets, bytes and connections since the service was made; with `rate`, the kernel's averages a second. */
  counters(options?: CallOptions & { readonly rate?: boolean }): Promise<Map<string, IpvsStatistics>>;
  /** The connection table (`ipvsadm -Lnc`). */
  connections(options?: CallOptions): Promise<IpvsConnection[]>;
  /**
   * Runs argument lists as render makes them, in order. `certain` is false after a bulk batch, and when something failed in it:
   * what was reached must be read back then.
   */
  apply(
    lines: readonly (readonly string[])[],
    options?: CallOptions,
  ): Promise<{ readonly failures: readonly ApplyFailure[]; readonly certain: boolean }>;
}

/** Makes an {@link IpvsadmDriver}. */
export function createIpvsadm(options: IpvsadmOptions): IpvsadmDriver {
  const { runner, directLimit = 8 } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  const ask = async (args: readonly string[], call: CallOptions): Promise<string> =>
    (await runner.run({ file: 'ipvsadm', args, ...place }, call)).stdout;
  const tolerable = (error: unknown): error is Error => isSdkError(error, 'COMMAND_FAILED');

  return {
    save: async (call = {}) => parseIpvsSave(await ask(['-Sn'], call)),
    counters: async ({ rate = false, ...call } = {}) =>
      parseIpvsCounters(await ask(['-Ln', rate ? '--rate' : '--stats', '--exact'], call)),
    connections: async (call = {}) => parseIpvsConnections(await ask(['-Lnc'], call)),

    async apply(lines, call = {}) {
      const failures: ApplyFailure[] = [];
      if (lines.length > directLimit) {
        const input = `${lines.map((line) => line.join(' ')).join('\n')}\n`;
        try {
          await runner.run({ file: 'ipvsadm', args: ['-R'], input, timeoutMs: 120_000, ...place }, call);
        } catch (error) {
          if (!tolerable(error)) throw error;
          failures.push({ item: 'ipvsadm -R', error });
        }
        return { failures, certain: false };
      }
      for (const args of lines) {
        try {
          await runner.run({ file: 'ipvsadm', args, ...place }, call);
        } catch (error) {
          if (!tolerable(error)) throw error;
          failures.push({ item: args.join(' '), error });
        }
      }
      return { failures, certain: true };
    },
  };
}
