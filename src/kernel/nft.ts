/**
 * Applies and lists nftables through `nft`: one input is one transaction, applied whole or not at all.
 */
import { SdkError } from '../net/errors.ts';
import type { CallOptions, DriverOptions } from './ipset/driver.ts';

/** A table of nftables. */
export interface NftTable {
  readonly family: 'ip' | 'ip6' | 'inet' | 'bridge' | 'netdev' | 'arp';
  readonly name: string;
}

/** Applies and lists nftables. */
export interface NftDriver {
  /**
   * Applies statements as one transaction.
   * @throws SdkError `COMMAND_FAILED` with the refused line in `details`; nothing was changed then
   */
  apply(text: string, options?: CallOptions): Promise<void>;
  /** Whether the kernel would take the statements; changes nothing. @throws as `apply` does */
  check(text: string, options?: CallOptions): Promise<void>;
  /** The objects of one table, or of all, as `nft -j` gives them; `undefined` when there is no such table. */
  list(table?: NftTable, options?: CallOptions): Promise<readonly Readonly<Record<string, unknown>>[] | undefined>;
}

/** Makes an {@link NftDriver}. */
export function createNft(options: DriverOptions): NftDriver {
  const { runner } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  return {
    async apply(text, call = {}) {
      await runner.run({ file: 'nft', args: ['-f', '-'], input: text, ...place }, call);
    },
    async check(text, call = {}) {
      await runner.run({ file: 'nft', args: ['-c', '-f', '-'], input: text, ...place }, call);
    },
    async list(table, call = {}) {
      const what = table === undefined ? ['ruleset'] : ['table', table.family, table.name];
      const command = { file: 'nft', args: ['-j', 'list', ...what], okExitCodes: [1], ...place };
      const { exitCode, stdout, stderr } = await runner.run(command, call);
      if (exitCode !== 0) {
        if (stderr.includes('No such file or directory')) return undefined;
        const code = /not permitted/.test(stderr) ? 'PERMISSION_DENIED' : 'COMMAND_FAILED';
        throw new SdkError(`nft could not list: ${stderr.trim()}`, { code, details: { stderr } });
      }
      const { nftables } = JSON.parse(stdout) as { nftables?: unknown };
      if (!Array.isArray(nftables)) throw new SdkError('nft printed no list', { code: 'PARSE_FAILED' });
      return nftables as Readonly<Record<string, unknown>>[];
    },
  };
}
