/**
 * AS_PATH and AS4_PATH: octets, arithmetic and text (RFC 4271 5.1.2, RFC 5065, RFC 6793).
 * Values always hold four-octet numbers; the width on the wire is the session's matter and ends here.
 * Stands on bytes.ts; decode.ts, encode.ts and policies use it.
 */
import { put16, put32, u16, u32 } from '../bytes.ts';
import { AS_TRANS, SegmentType } from '../constants.ts';
import type { AsPathSegment } from '../types.ts';

/** Most AS numbers in one segment on the wire: its count is one octet. */
export const MAX_SEGMENT = 255;

const TYPES = [undefined, 'set', 'sequence', 'confed-sequence', 'confed-set'] as const;
const CODES: Readonly<Record<AsPathSegment['type'], number>> = {
  set: SegmentType.set,
  sequence: SegmentType.sequence,
  'confed-sequence': SegmentType.confedSequence,
  'confed-set': SegmentType.confedSet,
};

/** Whether a segment is of a confederation and counts nothing outside it (RFC 5065 section 5.3). */
export function isConfedSegment(segment: AsPathSegment): boolean {
  return segment.type === 'confed-sequence' || segment.type === 'confed-set';
}

/** Reads segments of two- or four-octet numbers; a text says why they are malformed (RFC 7606 section 7.2). */
export function decodeAsPath(
  bytes: Uint8Array,
  offset: number,
  length: number,
  width: 2 | 4,
): AsPathSegment[] | string {
  const segments: AsPathSegment[] = [];
  const end = offset + length;
  let at = offset;
  while (at < end) {
    if (at + 2 > end) return 'one octet is left after the last segment';
    const type = TYPES[bytes[at] ?? 0];
    const count = bytes[at + 1] ?? 0;
    if (type === undefined) return `segment of type ${bytes[at]}`;
    if (count === 0) return 'segment without AS numbers';
    at += 2;
    if (at + count * width > end) return 'segment runs over the attribute';
    const asns = new Array<number>(count);
    for (let index = 0; index < count; index++) {
      const asn = width === 4 ? u32(bytes, at) : u16(bytes, at);
      // RFC 7607 section 2.
      if (asn === 0) return 'AS number 0';
      asns[index] = asn;
      at += width;
    }
    segments.push({ type, asns });
  }
  return segments;
}

/** Octets that a path takes on the wire. */
export function asPathSize(path: readonly AsPathSegment[], width: 2 | 4): number {
  let size = 0;
  for (const { asns } of path) size += Math.ceil(asns.length / MAX_SEGMENT) * 2 + asns.length * width;
  return size;
}

/** Writes segments, splitting those of more than 255 numbers; numbers that do not fit two octets become AS_TRANS. */
export function writeAsPath(out: Uint8Array, at: number, path: readonly AsPathSegment[], width: 2 | 4): number {
  for (const { type, asns } of path) {
    // The odd-sized piece goes first: a later prepend then has room where it happens.
    for (let from = 0; from < asns.length;) {
      const count = (asns.length - from) % MAX_SEGMENT || MAX_SEGMENT;
      out[at] = CODES[type];
      out[at + 1] = count;
      at += 2;
      for (let index = from; index < from + count; index++) {
        const asn = asns[index] ?? 0;
        at = width === 4 ? put32(out, at, asn) : put16(out, at, asn > 0xffff ? AS_TRANS : asn);
      }
      from += count;
    }
  }
  return at;
}

/** The path's length for route selection: a set counts once, confederation segments nothing (RFC 4271 9.1.2.2, RFC 5065). */
export function asPathLength(path: readonly AsPathSegment[]): number {
  let length = 0;
  for (const { type, asns } of path) {
    if (type === 'sequence') length += asns.length;
    else if (type === 'set') length++;
  }
  return length;
}

/** Puts an AS number in front of a path `count` times, as `sequence` or, inside a confederation, `confed-sequence`. */
export function prependAsPath(
  path: readonly AsPathSegment[],
  asn: number,
  count = 1,
  type: 'sequence' | 'confed-sequence' = 'sequence',
): readonly AsPathSegment[] {
  if (count <= 0) return path;
  const added = new Array<number>(count).fill(asn);
  const [first, ...rest] = path;
  if (first?.type !== type || first.asns.length + count > MAX_SEGMENT) return [{ type, asns: added }, ...path];
  return [{ type, asns: [...added, ...first.asns] }, ...rest];
}

/** Whether an AS number is anywhere in a path. */
export function asPathContains(path: readonly AsPathSegment[], asn: number): boolean {
  return path.some(({ asns }) => asns.includes(asn));
}

/** The path without its confederation segments, as it leaves a confederation (RFC 5065 section 4.1). */
export function withoutConfederation(path: readonly AsPathSegment[]): readonly AsPathSegment[] {
  return path.some(isConfedSegment) ? path.filter((segment) => !isConfedSegment(segment)) : path;
}

/** Rebuilds the four-octet path from what a two-octet speaker sent (RFC 6793 section 4.2.3). */
export function mergeAs4Path(
  path: readonly AsPathSegment[],
  as4Path: readonly AsPathSegment[],
): readonly AsPathSegment[] {
  const real = withoutConfederation(as4Path);
  let missing = asPathLength(path) - asPathLength(real);
  if (missing < 0 || real.length === 0) return path;
  const merged: AsPathSegment[] = [];
  for (const segment of path) {
    if (isConfedSegment(segment)) merged.push(segment);
    else if (missing <= 0) break;
    else if (segment.type === 'set') {
      merged.push(segment);
      missing--;
    } else {
      merged.push({ type: 'sequence', asns: segment.asns.slice(0, missing) });
      missing -= segment.asns.length;
    }
  }
  const last = merged.at(-1);
  const [first, ...rest] = real;
  if (last?.type !== 'sequence' || first?.type !== 'sequence') return [...merged, ...real];
  return [...merged.slice(0, -1), { type: 'sequence', asns: [...last.asns, ...first.asns] }, ...rest];
}

const BRACKETS = {
  sequence: ['', '', ' '],
  set: ['{', '}', ','],
  'confed-sequence': ['(', ')', ' '],
  'confed-set': ['[', ']', ','],
} as const;

/** A path as text: `64512 64513 {1,2} (65001 65002) [3,4]`; empty when the path is. */
export function formatAsPath(path: readonly AsPathSegment[]): string {
  return path
    .map(({ type, asns }) => {
      const [open, close, between] = BRACKETS[type];
      return `${open}${asns.join(between)}${close}`;
    })
    .join(' ');
}

function parseAsns(text: string): number[] | undefined {
  const asns: number[] = [];
  for (const word of text.split(/[\s,]+/).filter((part) => part !== '')) {
    const asn = /^\d{1,10}$/.test(word) ? Number(word) : NaN;
    if (!(asn > 0 && asn <= 0xffffffff)) return undefined;
    asns.push(asn);
  }
  return asns.length === 0 ? undefined : asns;
}

/** Reads the text of {@link formatAsPath}; `undefined` when it is none. */
export function parseAsPath(text: string): AsPathSegment[] | undefined {
  const path: AsPathSegment[] = [];
  const pattern = /\s*(?:\{([\d\s,]*)\}|\(([\d\s]*)\)|\[([\d\s,]*)\]|(\d+(?:\s+\d+)*))\s*/y;
  const trimmed = text.trim();
  while (pattern.lastIndex < trimmed.length) {
    const match = pattern.exec(trimmed);
    if (match === null) return undefined;
    const [, set, confed, confedSet, sequence] = match;
    const asns = parseAsns(set ?? confed ?? confedSet ?? sequence ?? '');
    if (asns === undefined) return undefined;
    const type =
      set !== undefined
        ? 'set'
        : confed !== undefined
          ? 'confed-sequence'
          : confedSet !== undefined
            ? 'confed-set'
            : 'sequence';
    path.push({ type, asns });
  }
  return path;
}
