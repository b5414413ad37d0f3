/**
 * Readers of the attributes that are runs of items: communities of every kind, and the TLVs of AIGP.
 * A run of the wrong length is malformed as a whole (RFC 7606 sections 7.8, 7.14 and 7.15, RFC 8092 section 6).
 * Stands on reading.ts; decode.ts picks the reader by code.
 */
import { u16, u32 } from '../bytes.ts';
import { UpdateError } from '../constants.ts';
import type { ExtendedCommunity, LargeCommunity } from '../types.ts';
import type { AttributeSpan } from './findings.ts';
import { isRun, type Reading, unexpectedFault, valueFault } from './reading.ts';

/** Reads LARGE_COMMUNITY (RFC 8092). */
export function readLargeCommunities(reading: Reading, span: AttributeSpan): void {
  if (!isRun(reading, span, 12, '8092 section 6')) return;
  const found: LargeCommunity[] = [];
  const seen = new Set<string>();
  for (let at = span.at; at < span.at + span.length; at += 12) {
    const value = [u32(span.bytes, at), u32(span.bytes, at + 4), u32(span.bytes, at + 8)] as const;
    // Duplicates are silently removed (RFC 8092 section 5).
    const key = value.join(':');
    if (seen.has(key)) continue;
    seen.add(key);
    found.push(value);
  }
  reading.attributes.largeCommunities = found;
}

/** Reads EXTENDED COMMUNITIES (RFC 4360). */
export function readExtendedCommunities(reading: Reading, span: AttributeSpan): void {
  if (!isRun(reading, span, 8, '7606 section 7.14')) return;
  const found: ExtendedCommunity[] = [];
  for (let at = span.at; at < span.at + span.length; at += 8) {
    found.push([u32(span.bytes, at), u32(span.bytes, at + 4)]);
  }
  reading.attributes.extendedCommunities = found;
}

/** Reads AIGP (RFC 7311). */
export function readAigp(reading: Reading, span: AttributeSpan): void {
  const { aigp = reading.context.peerType !== 'ebgp' } = reading.context;
  if (!aigp) return unexpectedFault(reading, span, '7311 section 3.3');
  const end = span.at + span.length;
  const malformed = (): void =>
    valueFault(reading, span, 'discard', UpdateError.optionalAttribute, 'malformed TLV (RFC 7311 section 3.2)');
  let metric: bigint | undefined;
  for (let at = span.at; at < end;) {
    const size = at + 3 <= end ? u16(span.bytes, at + 1) : 0;
    if (size < 3 || at + size > end) return malformed();
    if (span.bytes[at] === 1) {
      if (size !== 11) return malformed();
      metric ??= (BigInt(u32(span.bytes, at + 3)) << 32n) | BigInt(u32(span.bytes, at + 7));
    }
    at += size;
  }
  if (metric !== undefined) reading.attributes.aigp = metric;
  else malformed();
}
/** Reads IPv6 EXTENDED COMMUNITIES (RFC 5701). */
export function readIpv6ExtendedCommunities(reading: Reading, span: AttributeSpan): void {
  if (!isRun(reading, span, 20, '7606 section 7.15')) return;
  const found: Uint8Array[] = [];
  for (let at = span.at; at < span.at + span.length; at += 20) found.push(span.bytes.slice(at, at + 20));
  reading.attributes.ipv6ExtendedCommunities = found;
}
