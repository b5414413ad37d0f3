/**
 * What a block of attributes is read into, and how a reader says that an attribute is wrong.
 * Every fault names the section that asks for its reaction, so that a log line explains itself.
 * Stands on findings.ts; the readers of basics.ts and lists.ts share it.
 */
import { u32 } from '../bytes.ts';
import { AttributeCode, UpdateError } from '../constants.ts';
import type {
  Aggregator,
  AsPathSegment,
  AttributeContext,
  MpReach,
  MpUnreach,
  PathAttributes,
  RawAttribute,
  Reaction,
} from '../types.ts';
import { type AttributeSpan, type Findings, reportAttribute } from './findings.ts';

/** The same fields, still to be filled. */
export type Writable<T> = { -readonly [K in keyof T]: T[K] };

const NAMES = new Map<number, string>(
  Object.entries(AttributeCode).map(([name, code]) => [
    code,
    name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase(),
  ]),
);

/** The name of an attribute for people, e.g. `LOCAL_PREF`; `attribute N` when it has none here. */
export function attributeName(code: number): string {
  return NAMES.get(code) ?? `attribute ${code}`;
}
/** What a block is read into before it is handed out. */
export interface Reading {
  readonly context: AttributeContext;
  readonly findings: Findings;
  readonly attributes: Writable<PathAttributes>;
  readonly unknown: RawAttribute[];
  readonly partial: number[];
  as4Path?: AsPathSegment[];
  as4Aggregator?: Aggregator;
  mpReach?: MpReach;
  mpUnreach?: MpUnreach;
  readonly hasNlri: boolean;
  /** An MP_REACH_NLRI with routes was there, whether or not its family was negotiated. */
  reachable: boolean;
}

/** Reports a wrong length. */
export function lengthFault(reading: Reading, span: AttributeSpan, reaction: Reaction, section: string): void {
  const reason = `${attributeName(span.code)} of ${span.length} octets (RFC ${section})`;
  reportAttribute(reading.findings, span, 'attribute-length', reaction, UpdateError.attributeLength, reason);
}

/** Reports a length that is right around a value that is wrong. */
export function valueFault(
  reading: Reading,
  span: AttributeSpan,
  reaction: Reaction,
  subcode: number,
  what: string,
): void {
  reportAttribute(reading.findings, span, 'attribute-value', reaction, subcode, `${attributeName(span.code)}: ${what}`);
}

/** Reports an attribute that this kind of peer has no business sending. */
export function unexpectedFault(reading: Reading, span: AttributeSpan, section: string): void {
  const reason = `${attributeName(span.code)} from this kind of peer is left out (RFC ${section})`;
  reportAttribute(reading.findings, span, 'attribute-unexpected', 'discard', UpdateError.unspecific, reason);
}

/** Whether the value is a run of one or more items of `size` octets. */
export function isRun(reading: Reading, span: AttributeSpan, size: number, section: string): boolean {
  if (span.length > 0 && span.length % size === 0) return true;
  lengthFault(reading, span, 'withdraw', section);
  return false;
}

/** The value as 32-bit integers. */
export function readWords({ bytes, at, length }: AttributeSpan): number[] {
  const words = new Array<number>(length >>> 2);
  for (let index = 0; index < words.length; index++) words[index] = u32(bytes, at + index * 4);
  return words;
}
