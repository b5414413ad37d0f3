/**
 * Readers of the attributes that every route has or that say how it was aggregated: ORIGIN, AS_PATH, NEXT_HOP, AGGREGATOR and
 * the two that carry four-octet numbers past two-octet speakers (RFC 4271 section 5, RFC 6793).
 * Stands on reading.ts and as-path.ts; decode.ts picks the reader by code.
 */
import { textOf4, u16, u32 } from '../bytes.ts';
import { UpdateError } from '../constants.ts';
import type { AsPathSegment } from '../types.ts';
import { decodeAsPath, isConfedSegment } from './as-path.ts';
import { type AttributeSpan, reportAttribute } from './findings.ts';
import { isHostAddress4 } from './mp.ts';
import { lengthFault, type Reading, unexpectedFault, valueFault } from './reading.ts';

const ORIGINS = ['igp', 'egp', 'incomplete'] as const;

/** Reads ORIGIN (RFC 7606 section 7.1). */
export function readOrigin(reading: Reading, span: AttributeSpan): void {
  if (span.length !== 1) return lengthFault(reading, span, 'withdraw', '7606 section 7.1');
  const value = span.bytes[span.at] ?? 255;
  const origin = ORIGINS[value];
  if (origin !== undefined) reading.attributes.origin = origin;
  else valueFault(reading, span, 'withdraw', UpdateError.invalidOrigin, `value ${value} (RFC 7606 section 7.1)`);
}

/** Reports sets where they are to be treated as withdrawn (RFC 9774 section 3). */
function refusesSets(reading: Reading, span: AttributeSpan, path: readonly AsPathSegment[]): boolean {
  if (reading.context.asSets !== 'withdraw') return false;
  if (!path.some(({ type }) => type === 'set' || type === 'confed-set')) return false;
  valueFault(reading, span, 'withdraw', UpdateError.malformedAsPath, 'AS_SET (RFC 9774 section 3)');
  return true;
}

/** Reads AS_PATH (RFC 7606 section 7.2). */
export function readAsPath(reading: Reading, span: AttributeSpan): void {
  const { context } = reading;
  const path = decodeAsPath(span.bytes, span.at, span.length, context.fourOctetAs === false ? 2 : 4);
  const malformed = (what: string): void =>
    valueFault(reading, span, 'withdraw', UpdateError.malformedAsPath, `${what} (RFC 7606 section 7.2)`);
  if (typeof path === 'string') return malformed(path);
  if (context.peerType === 'ebgp' && path.some(isConfedSegment)) {
    return malformed('confederation segment from outside the confederation');
  }
  if (refusesSets(reading, span, path)) return;
  reading.attributes.asPath = path;
}

/** Reads NEXT_HOP (RFC 7606 section 7.3). */
export function readNextHop(reading: Reading, span: AttributeSpan): void {
  // Without routes in the NLRI field it is to be ignored (RFC 4760 section 3), right or wrong.
  const reaction = reading.hasNlri ? 'withdraw' : 'discard';
  if (span.length !== 4) return lengthFault(reading, span, reaction, '7606 section 7.3');
  const text = textOf4(span.bytes, span.at);
  if (isHostAddress4(u32(span.bytes, span.at))) {
    reading.attributes.nextHop = text;
    return;
  }
  const reason = `NEXT_HOP ${text} is no host address (RFC 4271 section 6.3, RFC 7606 section 3 e)`;
  reportAttribute(reading.findings, span, 'next-hop', reaction, UpdateError.invalidNextHop, reason);
}

/** Reads AGGREGATOR (RFC 7606 section 7.7). */
export function readAggregator(reading: Reading, span: AttributeSpan): void {
  const wide = reading.context.fourOctetAs !== false;
  if (span.length !== (wide ? 8 : 6)) return lengthFault(reading, span, 'discard', '7606 section 7.7');
  const asn = wide ? u32(span.bytes, span.at) : u16(span.bytes, span.at);
  if (asn === 0)
    return valueFault(reading, span, 'discard', UpdateError.optionalAttribute, 'AS 0 (RFC 7607 section 2)');
  reading.attributes.aggregator = { asn, address: textOf4(span.bytes, span.at + (wide ? 4 : 2)) };
}

/** Reads AS4_PATH (RFC 6793 section 6). */
export function readAs4Path(reading: Reading, span: AttributeSpan): void {
  if (reading.context.fourOctetAs !== false) return unexpectedFault(reading, span, '6793 section 4.1');
  const path = decodeAsPath(span.bytes, span.at, span.length, 4);
  if (typeof path !== 'string' && path.length > 0) {
    if (!refusesSets(reading, span, path)) reading.as4Path = path;
  } else {
    const what = `${typeof path === 'string' ? path : 'empty'} (RFC 6793 section 6)`;
    valueFault(reading, span, 'discard', UpdateError.optionalAttribute, what);
  }
}

/** Reads AS4_AGGREGATOR (RFC 6793 section 6). */
export function readAs4Aggregator(reading: Reading, span: AttributeSpan): void {
  if (reading.context.fourOctetAs !== false) return unexpectedFault(reading, span, '6793 section 4.1');
  if (span.length !== 8) return lengthFault(reading, span, 'discard', '6793 section 6');
  const asn = u32(span.bytes, span.at);
  if (asn === 0)
    return valueFault(reading, span, 'discard', UpdateError.optionalAttribute, 'AS 0 (RFC 7607 section 2)');
  reading.as4Aggregator = { asn, address: textOf4(span.bytes, span.at + 4) };
}
