/**
 * Writes input for `iptables-restore --noflush`. Pure.
 * A chain that is declared is created, or emptied when it exists; everything not named stays as it is. Each table is one
 * transaction, tables follow one another.
 */
import { SdkError } from '../../net/errors.ts';

/** The changes of one table. */
export interface IptablesBatch {
  readonly table: 'filter' | 'nat' | 'mangle' | 'raw' | 'security';
  /** Chains of one's own to create, or to empty. Never a built-in chain. */
  readonly declare?: readonly string[];
  /** Lines in order: `-A CHAIN rule`, `-I CHAIN 1 rule`, `-D CHAIN rule`, `-F CHAIN`, `-X CHAIN`. */
  readonly lines: readonly string[];
}

const BUILT_IN = new Set(['INPUT', 'FORWARD', 'OUTPUT', 'PREROUTING', 'POSTROUTING']);
/** Longest name of a chain (XT_EXTENSION_MAXNAMELEN less its closing zero). */
export const IPTABLES_CHAIN_MAX = 28;

/** An argument as iptables-restore reads it: quoted where it holds more than one plain word. */
export function quoteArgument(text: string): string {
  if (/[\n\r\0]/.test(text)) throw new SdkError('a rule is one line', { code: 'INVALID_OPTION', details: { text } });
  return /^[A-Za-z0-9_.:,/!=+@%^~*-]+$/.test(text) ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** Arguments as one rule. */
export function joinRule(args: readonly string[]): string {
  return args.map(quoteArgument).join(' ');
}

/**
 * The input of one table.
 * @throws SdkError `INVALID_OPTION` for a line break inside a line, a built-in chain declared, or a name too long
 */
export function renderTable(batch: IptablesBatch): string {
  for (const chain of batch.declare ?? []) {
    if (BUILT_IN.has(chain) || chain.length > IPTABLES_CHAIN_MAX || /\s/.test(chain) || chain === '') {
      throw new SdkError(`not a chain of one's own: ${chain}`, { code: 'INVALID_OPTION', details: { chain } });
    }
  }
  for (const line of batch.lines) {
    if (!/^-[AIDFXRN] \S/.test(line) || /[\n\r\0]/.test(line)) {
      throw new SdkError(`not a line of iptables-restore: ${line}`, { code: 'INVALID_OPTION', details: { line } });
    }
  }
  const declared = (batch.declare ?? []).map((chain) => `:${chain} - [0:0]`);
  return [`*${batch.table}`, ...declared, ...batch.lines, 'COMMIT', ''].join('\n');
}

/** The input of several tables, in order. */
export function renderIptablesRestore(batches: readonly IptablesBatch[]): string {
  return batches.map(renderTable).join('');
}
