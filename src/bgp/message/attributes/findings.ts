/**
 * What is wrong with an attribute and what that leads to: one collector for a block.
 * Keeps the strongest reaction (RFC 7606 section 3 i) and, for a reset, the NOTIFICATION that RFC 4271 section 6.3 names.
 * Stands on constants.ts and types.ts; every attribute decoder reports here.
 */
import { NotificationCode } from '../constants.ts';
import type { Finding, FindingCode, Reaction } from '../types.ts';

const STRENGTH: Readonly<Record<Reaction, number>> = { accept: 0, discard: 1, withdraw: 2, reset: 3 };

/** The stronger of two reactions. */
export function strongest(a: Reaction, b: Reaction): Reaction {
  return STRENGTH[a] >= STRENGTH[b] ? a : b;
}

/** One attribute where it lies. */
export interface AttributeSpan {
  readonly bytes: Uint8Array;
  readonly code: number;
  readonly flags: number;
  /** Offset of the flags octet. */
  readonly start: number;
  /** Offset of the value. */
  readonly at: number;
  /** Octets of the value. */
  readonly length: number;
}

/** Collects findings and their strongest reaction. */
export interface Findings {
  readonly list: Finding[];
  reaction: Reaction;
}

/** A collector without findings. */
export function createFindings(): Findings {
  return { list: [], reaction: 'accept' };
}

/** Adds a finding. */
export function report(findings: Findings, finding: Finding): void {
  findings.list.push(finding);
  findings.reaction = strongest(findings.reaction, finding.reaction);
}

/** Adds a finding about one attribute; `subcode` is that of the UPDATE error to send on a reset. */
export function reportAttribute(
  findings: Findings,
  span: AttributeSpan,
  code: FindingCode,
  reaction: Reaction,
  subcode: number,
  reason: string,
): void {
  const data = reaction === 'reset' ? span.bytes.slice(span.start, span.at + span.length) : undefined;
  report(findings, {
    code,
    reaction,
    attribute: span.code,
    reason,
    ...(data === undefined ? {} : { notification: { code: NotificationCode.update, subcode, data } }),
  });
}
