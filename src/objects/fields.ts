/**
 * Reading untrusted JSON field by field: a value of the wrong type becomes an issue that names object and field,
 * and the fallback stands in its place, so that one bad field never costs the rest of the object.
 * The projections of this folder are written in these few verbs.
 */
import type { Issue } from '../net/values.ts';
import { formatAddress, tryParseAddress, unmapAddress } from '../net/address.ts';
import { withItem } from '../net/lists.ts';
import { formatPrefix, tryParsePrefix } from '../net/prefix.ts';
import { EMPTY_LIST, EMPTY_MAP, internMap } from './intern.ts';
import type { StringMap } from './types.ts';

/** A JSON object of unknown content. */
export type Json = Readonly<Record<string, unknown>>;

/** Where issues about one object are collected. */
export interface Report {
  /** `Kind namespace/name`. */
  object: string;
  readonly issues: Issue[];
}

/** Notes one thing wrong; a field's name may come from the object itself. */
export function note(report: Report, field: string, reason: string): void {
  report.issues.push({ object: report.object, field: printable(field), reason });
}

/** Text on one line, without what a terminal would take for a command. */
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');

/** A value as people should see it in an issue: short, on one line, without control characters. */
export function show(value: unknown): string {
  const text = (JSON.stringify(value) as string | undefined) ?? String(value);
  const line = printable(text);
  return line.length > 80 ? `${line.slice(0, 77)}...` : line;
}

/** Whether a value is a JSON object (neither null nor a list). */
export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const NOTHING: Json = Object.freeze({});

/** A field that is an object; absent or null: an empty one. */
export function objectAt(report: Report, parent: Json, key: string, path: string): Json {
  const value = parent[key];
  if (value === undefined || value === null) return NOTHING;
  if (isJson(value)) return value;
  note(report, path, `${show(value)} is not an object; ignored`);
  return NOTHING;
}

/** A field that is a list; absent or null: an empty one. */
export function listAt(report: Report, parent: Json, key: string, path: string): readonly unknown[] {
  const value = parent[key];
  if (value === undefined || value === null) return EMPTY_LIST;
  if (Array.isArray(value)) return value;
  note(report, path, `${show(value)} is not a list; ignored`);
  return EMPTY_LIST;
}

/** A field that is text; absent or null: the fallback. */
export function textAt(report: Report, parent: Json, key: string, path: string, fallback = ''): string {
  const value = parent[key];
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'string') return value;
  note(report, path, `${show(value)} is not a string; read as ${show(fallback)}`);
  return fallback;
}

/** A field that is one of a few words; absent, null or empty: the fallback. */
export function choiceAt<Word extends string>(
  report: Report,
  parent: Json,
  key: string,
  path: string,
  words: readonly Word[],
  fallback: Word,
): Word {
  const value = parent[key];
  if (value === undefined || value === null || value === '') return fallback;
  const index = words.indexOf(value as Word);
  if (index >= 0) return words[index] as Word;
  note(
    report,
    path,
    `${show(value)} is none of ${words.filter((word) => word !== '').join(', ')}; read as ${show(fallback)}`,
  );
  return fallback;
}

/** A field that is a truth value; absent or null: the fallback. */
export function flagAt(report: Report, parent: Json, key: string, path: string, fallback: boolean): boolean {
  const value = parent[key];
  if (value === undefined || value === null) return fallback;
  if (typeof value === 'boolean') return value;
  note(report, path, `${show(value)} is not true or false; read as ${fallback}`);
  return fallback;
}

/** A field that is a whole number within bounds; absent or null: the fallback. */
export function integerAt(
  report: Report,
  parent: Json,
  key: string,
  path: string,
  bounds: { readonly min: number; readonly max: number; readonly fallback: number },
): number {
  const value = parent[key];
  if (value === undefined || value === null) return bounds.fallback;
  if (typeof value === 'number' && Number.isInteger(value) && value >= bounds.min && value <= bounds.max) return value;
  note(report, path, `${show(value)} is not a number from ${bounds.min} to ${bounds.max}; read as ${bounds.fallback}`);
  return bounds.fallback;
}

/** A field that maps text to text. Numbers and truth values, a usual slip in YAML, are read as text and noted. */
export function mapAt(
  report: Report,
  parent: Json,
  key: string,
  path: string,
  keep?: (key: string) => boolean,
): StringMap {
  const value = parent[key];
  if (value === undefined || value === null) return EMPTY_MAP;
  if (!isJson(value)) {
    note(report, path, `${show(value)} is not a map; ignored`);
    return EMPTY_MAP;
  }
  const map: Record<string, string> = {};
  for (const name of Object.keys(value)) {
    if (keep !== undefined && !keep(name)) continue;
    const item = value[name];
    if (typeof item === 'string') setOwn(map, name, item);
    else if (typeof item === 'number' || typeof item === 'boolean') {
      note(report, `${path}[${show(name)}]`, `${show(item)} is not a string; read as ${show(String(item))}`);
      setOwn(map, name, String(item));
    } else note(report, `${path}[${show(name)}]`, `${show(item)} is not a string; left out`);
  }
  return internMap(map);
}

/** `__proto__` is a legal key of untrusted JSON and must not reach the setter of that name. */
function setOwn(map: Record<string, string>, name: string, value: string): void {
  if (name === '__proto__') Object.defineProperty(map, name, { value, enumerable: true, configurable: true });
  else map[name] = value;
}

/** Canonical text of an address; `undefined` and an issue when it is none. IPv4-mapped IPv6 is read as IPv4. */
export function addressOf(report: Report, value: unknown, path: string): string | undefined {
  const address = typeof value === 'string' ? tryParseAddress(value) : undefined;
  if (address !== undefined) return formatAddress(unmapAddress(address));
  note(report, path, `${show(value)} is not an IP address; left out`);
  return undefined;
}

/** Canonical prefixes of a list, host bits masked; what is none is left out with an issue. */
export function cidrsAt(report: Report, parent: Json, key: string, path: string): readonly string[] {
  const list = listAt(report, parent, key, path);
  if (list.length === 0) return EMPTY_LIST;
  const found: string[] = [];
  list.forEach((item, index) => {
    const prefix = typeof item === 'string' ? tryParsePrefix(item.trim(), { hostBits: 'mask' }) : undefined;
    const cidr = prefix === undefined ? undefined : formatPrefix(prefix);
    if (cidr === undefined) note(report, `${path}[${index}]`, `${show(item)} is not a CIDR; left out`);
    else if (!found.includes(cidr)) found.push(cidr);
  });
  return found;
}

/** Canonical addresses of a list, without repeats; what is none is left out with an issue. */
export function addressesAt(report: Report, parent: Json, key: string, path: string): readonly string[] {
  const list = listAt(report, parent, key, path);
  if (list.length === 0) return EMPTY_LIST;
  let found: readonly string[] = EMPTY_LIST;
  for (let index = 0; index < list.length; index++) {
    const address = addressOf(report, list[index], `${path}[${index}]`);
    if (address !== undefined && !found.includes(address)) found = withItem(found, address);
  }
  return found;
}

/** The objects of a list with their paths; what is no object is left out with an issue. */
export function* objectsAt(report: Report, parent: Json, key: string, path: string): Generator<[Json, string]> {
  const list = listAt(report, parent, key, path);
  for (let index = 0; index < list.length; index++) {
    const item = list[index];
    if (isJson(item)) yield [item, `${path}[${index}]`];
    else note(report, `${path}[${index}]`, `${show(item)} is not an object; left out`);
  }
}
