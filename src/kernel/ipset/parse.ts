/**
 * Reads `ipset save`. Pure.
 */
import { SdkError } from '../../net/errors.ts';
import type { Ipset, IpsetEntry, IpsetHeader } from './model.ts';
import { canonicalElement } from './model.ts';

/** Cuts a line at blanks; a comment stands in quotes, and ipset allows no quote inside. */
function words(line: string): string[] {
  return (line.match(/"[^"]*"|\S+/g) ?? []).map((word) => (word.startsWith('"') ? word.slice(1, -1) : word));
}

function parseHeader(type: string, options: readonly string[]): IpsetHeader {
  const header: Record<string, unknown> = { type };
  for (let index = 0; index < options.length; index++) {
    const name = options[index]!;
    if (name === 'family') header['family'] = options[++index] === 'inet6' ? 6 : 4;
    else if (name === 'maxelem' || name === 'hashsize' || name === 'timeout' || name === 'size') {
      header[name] = Number(options[++index]);
    } else if (name === 'comment' || name === 'counters' || name === 'skbinfo' || name === 'forceadd') {
      header[name] = true;
    } else if (name !== 'wait') index++; // bucketsize, initval, netmask, range … take a value and are not ours to compare
  }
  return header as unknown as IpsetHeader;
}

function parseEntry(element: string, options: readonly string[]): IpsetEntry {
  const entry: Record<string, unknown> = { element: canonicalElement(element) };
  for (let index = 0; index < options.length; index++) {
    const name = options[index]!;
    if (name === 'nomatch') entry['nomatch'] = true;
    else if (name === 'comment') entry['comment'] = options[++index];
    else if (name === 'timeout' || name === 'packets' || name === 'bytes') entry[name] = Number(options[++index]);
    else index++;
  }
  return entry as unknown as IpsetEntry;
}

/**
 * The sets in the output of `ipset save`, by name.
 * @throws SdkError `PARSE_FAILED`
 */
export function parseIpsetSave(text: string): Map<string, Ipset> {
  const sets = new Map<string, { name: string; header: IpsetHeader; entries: Map<string, IpsetEntry> }>();
  for (const line of text.split('\n')) {
    if (line.startsWith('add ')) {
      // The hot path: elements without options need no cutting into words.
      const at = line.indexOf(' ', 4);
      const end = line.indexOf(' ', at + 1);
      const set = sets.get(line.slice(4, at));
      if (set === undefined) throw new SdkError(`an element before its set: ${line}`, { code: 'PARSE_FAILED' });
      const element = line.slice(at + 1, end < 0 ? undefined : end);
      const entry = end < 0 ? { element: canonicalElement(element) } : parseEntry(element, words(line.slice(end)));
      set.entries.set(entry.element, entry);
    } else if (line.startsWith('create ')) {
      const [, name, type, ...options] = words(line);
      if (name === undefined || type === undefined) {
        throw new SdkError(`not a set: ${line}`, { code: 'PARSE_FAILED' });
      }
      sets.set(name, { name, header: parseHeader(type, options), entries: new Map() });
    } else if (line.trim() !== '') throw new SdkError(`not a line of ipset save: ${line}`, { code: 'PARSE_FAILED' });
  }
  return sets;
}
