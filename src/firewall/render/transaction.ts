/**
 * An nftables plan as one transaction for `nft -f -`: what others refer to comes first and goes last.
 */
import type { Family } from '../../net/values.ts';
import { sizeTable } from '../plan/nftables.ts';
import type { NftablesPlan, TableChanges } from '../plan/nftables.ts';
import type { ObservedTable } from '../parse/nftables.ts';
import { BASE_CHAINS, TABLES, setType } from './nftables.ts';

/** Elements on one line; long lists are cut so that no line grows without bound. */
const LINE = 256;

function lists(elements: Iterable<string>): string[] {
  const all = [...elements];
  const out: string[] = [];
  for (let at = 0; at < all.length; at += LINE) out.push(`{ ${all.slice(at, at + LINE).join(', ')} }`);
  return out;
}

function renderTable(family: Family, changes: TableChanges, observed: ObservedTable): string[] {
  if (sizeTable(changes) === 0) return [];
  const table = `${TABLES[family].family} ${TABLES[family].name}`;
  const lines: string[] = [];
  if (changes.createTable) lines.push(`add table ${table}`);
  for (const [name, type] of changes.createSets) lines.push(`add set ${table} ${name} { ${type} }`);
  for (const name of changes.putChains.keys()) {
    lines.push(`add chain ${table} ${name}${BASE_CHAINS.has(name) ? ` ${BASE_CHAINS.get(name)}` : ''}`);
    if (observed.chains.has(name)) lines.push(`flush chain ${table} ${name}`);
  }
  const key = setType(family, 'ip').replace(';', ' : verdict;');
  for (const name of changes.createMaps) lines.push(`add map ${table} ${name} { ${key} }`);
  for (const [name, rules] of changes.putChains) {
    for (const { text } of rules) lines.push(`add rule ${table} ${name} ${text}`);
  }
  for (const [name, elements] of changes.remove) {
    for (const list of lists(elements)) lines.push(`delete element ${table} ${name} ${list}`);
  }
  for (const [name, elements] of changes.add) {
    for (const list of lists(elements)) lines.push(`add element ${table} ${name} ${list}`);
  }
  for (const [name, verdicts] of changes.verdicts) {
    const held = observed.maps.get(name);
    const gone = [...verdicts.keys()].filter((address) => held?.has(address) === true);
    const come: string[] = [];
    for (const [address, chain] of verdicts) if (chain !== undefined) come.push(`${address} : jump ${chain}`);
    for (const list of lists(gone)) lines.push(`delete element ${table} ${name} ${list}`);
    for (const list of lists(come)) lines.push(`add element ${table} ${name} ${list}`);
  }
  for (const name of changes.dropChains) lines.push(`flush chain ${table} ${name}`);
  for (const name of changes.dropChains) lines.push(`delete chain ${table} ${name}`);
  for (const name of changes.dropSets) lines.push(`delete set ${table} ${name}`);
  return lines;
}

/** The whole plan as one transaction; empty when there is nothing to do. */
export function renderTransaction(
  { tables }: NftablesPlan,
  observed: Readonly<Record<Family, ObservedTable>>,
  families: readonly Family[] = [4, 6],
): string {
  const lines = families.flatMap((family) => renderTable(family, tables[family], observed[family]));
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}
