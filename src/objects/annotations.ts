/**
 * Values of annotations: what a tenant or an administrator wrote as text, read strictly. A bad value is an issue on the object that
 * carries it and is left out; the others stay in force. Blocks name their own keys; what a value may be is said here once.
 */
import type { Issue } from '../net/values.ts';
import type { StringMap } from './types.ts';

/** One object's annotations, and where to say what is wrong with them. */
export interface AnnotationReader {
  /** `Kind namespace/name` or `Kind name`. */
  readonly object: string;
  readonly annotations: StringMap;
  readonly issues: Issue[];
}

/** Value of an annotation without surrounding space; undefined when absent or empty. */
export function annotation(reader: AnnotationReader, key: string): string | undefined {
  const text = reader.annotations[key]?.trim();
  return text === '' ? undefined : text;
}

/** Reports a bad annotation. */
export function complain(reader: AnnotationReader, key: string, reason: string): void {
  reader.issues.push({ object: reader.object, field: `metadata.annotations["${key}"]`, reason });
}

/** Values of a comma list, each once, in their order; whatever `read` refuses is reported as "is no `what`". */
export function annotationList<T>(
  reader: AnnotationReader,
  key: string,
  read: (text: string) => T | undefined,
  what: string,
): readonly T[] {
  const found = new Set<T>();
  for (const part of (annotation(reader, key) ?? '').split(',')) {
    const text = part.trim();
    if (text === '') continue;
    const value = read(text);
    if (value === undefined) complain(reader, key, `"${text}" is no ${what}; it was left out`);
    else found.add(value);
  }
  return [...found];
}

/** A decimal integer within bounds, without sign or leading zeros. */
export function readInteger(text: string, min: number, max: number): number | undefined {
  if (!/^(0|[1-9]\d{0,9})$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

/** Names of the IANA registry of well-known communities. */
const WELL_KNOWN = new Set([
  'no-export',
  'no-advertise',
  'no-export-subconfed',
  'nopeer',
  'graceful-shutdown',
  'accept-own',
  'llgr-stale',
  'no-llgr',
  'blackhole',
]);

/** A standard community (RFC 1997) as `ASN:value` or a well-known name; a 32-bit number is split. */
export function readCommunity(text: string): string | undefined {
  const name = text.toLowerCase();
  if (WELL_KNOWN.has(name)) return name;
  const whole = readInteger(text, 0, 4294967295);
  if (whole !== undefined) return `${Math.floor(whole / 65536)}:${whole % 65536}`;
  const parts = text.split(':').map((part) => readInteger(part, 0, 65535));
  return parts.length === 2 && !parts.includes(undefined) ? parts.join(':') : undefined;
}
