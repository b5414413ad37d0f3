/**
 * What our nftables tables hold, read from `nft -j list table`. Rules are known by the hash in their comment.
 */
import { SdkError } from '../../net/errors.ts';
import { formatAddress, parseAddress } from '../../net/address.ts';
import { lastAddress, maskAddress } from '../../net/prefix.ts';
import { rangeText } from '../render/nftables.ts';

/** One of our tables as the kernel holds it. */
export interface ObservedTable {
  present: boolean;
  /** Elements by set, in nft's words. */
  readonly sets: Map<string, Set<string>>;
  /** Target chain by address, by verdict map. */
  readonly maps: Map<string, Map<string, string>>;
  /** Comments of the rules by chain. */
  readonly chains: Map<string, readonly string[]>;
}

/** Everything of ours in nftables. */
export interface ObservedNftables {
  readonly tables: { readonly 4: ObservedTable; readonly 6: ObservedTable };
}

/** A table that is not there. */
export function absentTable(): ObservedTable {
  return { present: false, sets: new Map(), maps: new Map(), chains: new Map() };
}

type Json = Readonly<Record<string, unknown>>;

function element(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  const { concat, range, prefix, elem } = value as Json;
  if (Array.isArray(concat)) return concat.map(String).join(' . ');
  if (Array.isArray(range)) return rangeText(String(range[0]), String(range[1]));
  if (prefix !== undefined) {
    const { addr, len } = prefix as { addr: string; len: number };
    const block = maskAddress(parseAddress(addr), len);
    return rangeText(addr, formatAddress(lastAddress(block)));
  }
  if (elem !== undefined) return element((elem as Json)['val']);
  throw new Error(`element ${JSON.stringify(value)}`);
}

/**
 * Reads a table.
 * @throws SdkError `PARSE_FAILED` when the text is not nft's JSON.
 */
export function parseTable(text: string): ObservedTable {
  const table = absentTable();
  const comments = new Map<string, string[]>();
  try {
    const { nftables } = JSON.parse(text) as { nftables: readonly Json[] };
    for (const item of nftables) {
      if ('table' in item) table.present = true;
      else if ('set' in item) {
        const { name, elem = [] } = item['set'] as { name: string; elem?: readonly unknown[] };
        table.sets.set(name, new Set(elem.map(element)));
      } else if ('map' in item) {
        const { name, elem = [] } = item['map'] as { name: string; elem?: readonly [unknown, Json][] };
        const targets = new Map<string, string>();
        for (const [key, verdict] of elem) {
          const target = (verdict['jump'] ?? verdict['goto']) as { target: string } | undefined;
          targets.set(element(key), target?.target ?? '');
        }
        table.maps.set(name, targets);
      } else if ('chain' in item) comments.set((item['chain'] as { name: string }).name, []);
      else if ('rule' in item) {
        const { chain, comment = '' } = item['rule'] as { chain: string; comment?: string };
        comments.get(chain)?.push(comment);
      }
    }
  } catch (cause) {
    throw new SdkError('nft -j list table: cannot read the answer', { code: 'PARSE_FAILED', cause });
  }
  for (const [name, list] of comments) table.chains.set(name, list);
  return table;
}
