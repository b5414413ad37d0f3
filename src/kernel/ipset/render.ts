/**
 * Writes lines for `ipset -exist restore`, and the difference between two sets as such lines. Pure.
 */
import { SdkError } from '../../net/errors.ts';
import type { Ipset, IpsetEntry, IpsetHeader } from './model.ts';
import { IPSET_NAME_MAX, canonicalElement, sameHeader } from './model.ts';

/** Refuses what would not be one word of one line. */
function word(text: string): string {
  if (text === '' || /[\s"\0]/.test(text)) {
    throw new SdkError(`not one word: ${JSON.stringify(text)}`, { code: 'INVALID_OPTION', details: { text } });
  }
  return text;
}

function nameOf(name: string): string {
  if (name.length > IPSET_NAME_MAX || name.startsWith('-')) {
    throw new SdkError(`not a name of a set: ${name}`, { code: 'INVALID_OPTION', details: { name } });
  }
  return word(name);
}

/** `create …`, with the defaults of the kernel written out where two kernels might differ. */
export function renderCreate(name: string, header: IpsetHeader): string {
  const parts = ['create', nameOf(name), word(header.type)];
  if (header.type.startsWith('hash:')) {
    parts.push('family', header.family === 6 ? 'inet6' : 'inet');
    if (header.hashsize !== undefined) parts.push('hashsize', String(header.hashsize));
    parts.push('maxelem', String(header.maxelem ?? 65_536));
  }
  if (header.type === 'list:set' && header.size !== undefined) parts.push('size', String(header.size));
  if (header.timeout !== undefined) parts.push('timeout', String(header.timeout));
  for (const flag of ['counters', 'comment', 'skbinfo', 'forceadd'] as const)
    if (header[flag] === true) parts.push(flag);
  return parts.join(' ');
}

/** `add …`; a comment loses its quotes and line ends, which ipset allows no spelling for. */
export function renderAdd(name: string, entry: IpsetEntry): string {
  let line = `add ${nameOf(name)} ${word(entry.element)}`;
  if (entry.timeout !== undefined) line += ` timeout ${entry.timeout}`;
  if (entry.nomatch === true) line += ' nomatch';
  if (entry.comment !== undefined) {
    line += ` comment "${entry.comment
      .replace(/"/g, "'")
      .replace(/[\n\r\0]/g, ' ')
      .slice(0, 255)}"`;
  }
  return line;
}

/** `del …` */
export function renderDel(name: string, element: string): string {
  return `del ${nameOf(name)} ${word(element)}`;
}

/** A whole set as the lines that make it. */
export function renderIpset(set: Ipset): string[] {
  return [renderCreate(set.name, set.header), ...[...set.entries.values()].map((entry) => renderAdd(set.name, entry))];
}

/** Name of the set in which a replacement is built: within the length limit, and the same for the same set. */
export function buildName(name: string): string {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  return `${name.slice(0, IPSET_NAME_MAX - 10)}:b${(hash >>> 0).toString(16).padStart(8, '0')}`;
}

/**
 * Lines that put a set in place of another in one step (build, swap, destroy): rules that name it never see it half full.
 * The old set must exist with the same type and family.
 */
export function renderReplace(set: Ipset): string[] {
  const build = buildName(set.name);
  return [
    renderCreate(build, set.header),
    `flush ${build}`,
    ...[...set.entries.values()].map((entry) => renderAdd(build, entry)),
    `swap ${build} ${nameOf(set.name)}`,
    `destroy ${build}`,
  ];
}

function sameEntry(a: IpsetEntry, b: IpsetEntry): boolean {
  // Time runs while we look: only whether an element has a timeout of its own and never expires is compared.
  const forever = (entry: IpsetEntry): boolean => (entry.timeout ?? 0) === 0;
  return (
    (a.nomatch === true) === (b.nomatch === true) &&
    (a.comment ?? '') === (b.comment ?? '') &&
    forever(a) === forever(b)
  );
}

/**
 * Lines that turn what the kernel holds into what is desired: nothing when they are equal, additions before deletions, and
 * build-and-swap when the set has to be created with other options.
 */
export function renderIpsetChange(desired: Ipset, observed: Ipset | undefined): string[] {
  if (observed === undefined) return renderIpset(desired);
  if (!sameHeader(desired.header, observed.header)) return renderReplace(desired);
  const lines: string[] = [];
  const wanted = new Set<string>();
  for (const entry of desired.entries.values()) {
    const element = canonicalElement(entry.element);
    wanted.add(element);
    const held = observed.entries.get(element);
    if (held === undefined || !sameEntry(entry, held)) lines.push(renderAdd(desired.name, entry));
  }
  for (const element of observed.entries.keys()) if (!wanted.has(element)) lines.push(renderDel(desired.name, element));
  return lines;
}
