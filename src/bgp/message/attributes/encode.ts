/**
 * Writes a block of path attributes in ascending code order, so that equal attributes are equal octets.
 * Nothing malformed leaves here: empty lists are left out, lengths are computed, long paths are split, and a block that does
 * not fit says so instead of being cut. MP_REACH_NLRI goes before the block (RFC 7606 section 5.1) and is written by mp.ts.
 * Stands on as-path.ts; the export side of the RIB calls it once for each set of attributes and group of peers.
 */
import { parseAddress, SdkError } from '../../../net/index.ts';
import { put16, put32 } from '../bytes.ts';
import { AS_TRANS, AttributeCode, AttributeFlag } from '../constants.ts';
import type { Aggregator, PathAttributes, PeerType, RawAttribute } from '../types.ts';
import { asPathSize, withoutConfederation, writeAsPath } from './as-path.ts';

/** What the writer must know of the session. */
export interface EncodeContext {
  /** Both sides sent the four-octet-as capability (RFC 6793). @defaultValue true */
  readonly fourOctetAs?: boolean;
  /**
   * For `ebgp`, what may not leave the AS is left out: LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST, confederation segments.
   * @defaultValue 'ibgp'
   */
  readonly peerType?: PeerType;
}

const OPTIONAL = AttributeFlag.optional;
const TRANSITIVE = AttributeFlag.transitive;
const ORIGIN_CODES = { igp: 0, egp: 1, incomplete: 2 } as const;

/** Writes attribute headers into a bounded buffer; `at` is -1 once something did not fit. */
interface Writer {
  readonly out: Uint8Array;
  readonly limit: number;
  readonly partial: readonly number[];
  readonly unknown: readonly RawAttribute[];
  nextUnknown: number;
  at: number;
}

/** Writes a header for `length` octets; `false` when they do not fit. */
function head(writer: Writer, flags: number, code: number, length: number): boolean {
  if (writer.at < 0) return false;
  const wide = length > 255;
  if (length > 0xffff || writer.at + (wide ? 4 : 3) + length > writer.limit) {
    writer.at = -1;
    return false;
  }
  const { out } = writer;
  const partial = writer.partial.includes(code) ? AttributeFlag.partial : 0;
  out[writer.at] = flags | partial | (wide ? AttributeFlag.extendedLength : 0);
  out[writer.at + 1] = code;
  if (wide) writer.at = put16(out, writer.at + 2, length);
  else {
    out[writer.at + 2] = length;
    writer.at += 3;
  }
  return true;
}

/** Writes the unknown attributes whose codes come before `code`. */
function unknownBefore(writer: Writer, code: number): void {
  for (;;) {
    const raw = writer.unknown[writer.nextUnknown];
    if (raw === undefined || raw.code >= code) return;
    writer.nextUnknown++;
    // Unknown here, so not all on the way knew it (RFC 4271 section 5); non-transitive ones end here.
    if ((raw.flags & TRANSITIVE) === 0) continue;
    if (!head(writer, OPTIONAL | TRANSITIVE | AttributeFlag.partial, raw.code, raw.value.length)) return;
    writer.out.set(raw.value, writer.at);
    writer.at += raw.value.length;
  }
}

function word(writer: Writer, flags: number, code: number, value: number | undefined): void {
  if (value === undefined) return;
  unknownBefore(writer, code);
  if (head(writer, flags, code, 4)) writer.at = put32(writer.out, writer.at, value);
}

function words(writer: Writer, flags: number, code: number, values: readonly number[] | undefined): void {
  if (values === undefined || values.length === 0) return;
  unknownBefore(writer, code);
  if (!head(writer, flags, code, values.length * 4)) return;
  for (const value of values) writer.at = put32(writer.out, writer.at, value);
}

function address4(text: string): number {
  const address = parseAddress(text);
  if (address.family === 4) return address.value;
  throw new SdkError(`not an IPv4 address: ${text}`, { code: 'INVALID_ADDRESS', details: { text } });
}

function aggregator(writer: Writer, code: number, value: Aggregator | undefined, width: 2 | 4): void {
  if (value === undefined) return;
  const { asn, address } = value;
  unknownBefore(writer, code);
  if (!head(writer, OPTIONAL | TRANSITIVE, code, width + 4)) return;
  const { out } = writer;
  const at = width === 4 ? put32(out, writer.at, asn) : put16(out, writer.at, asn > 0xffff ? AS_TRANS : asn);
  writer.at = put32(out, at, address4(address));
}

/** ORIGIN to LOCAL_PREF and the aggregation pair, which come before any unknown attribute can. */
function writeBasics(writer: Writer, attributes: PathAttributes, width: 2 | 4, external: boolean): void {
  const { origin, nextHop } = attributes;
  if (origin !== undefined && head(writer, TRANSITIVE, AttributeCode.origin, 1)) {
    writer.out[writer.at++] = ORIGIN_CODES[origin];
  }
  if (attributes.asPath !== undefined) {
    const path = external ? withoutConfederation(attributes.asPath) : attributes.asPath;
    if (head(writer, TRANSITIVE, AttributeCode.asPath, asPathSize(path, width))) {
      writer.at = writeAsPath(writer.out, writer.at, path, width);
    }
  }
  if (nextHop !== undefined) word(writer, TRANSITIVE, AttributeCode.nextHop, address4(nextHop));
  word(writer, OPTIONAL, AttributeCode.med, attributes.med);
  if (!external) word(writer, TRANSITIVE, AttributeCode.localPref, attributes.localPref);
  if (attributes.atomicAggregate === true) head(writer, TRANSITIVE, AttributeCode.atomicAggregate, 0);
  aggregator(writer, AttributeCode.aggregator, attributes.aggregator, width);
}

/** What four-octet numbers a two-octet speaker must carry past itself (RFC 6793 section 4.2.2). */
function writeAs4(writer: Writer, attributes: PathAttributes): void {
  const path = withoutConfederation(attributes.asPath ?? []);
  if (path.some(({ asns }) => asns.some((asn) => asn > 0xffff))) {
    unknownBefore(writer, AttributeCode.as4Path);
    if (head(writer, OPTIONAL | TRANSITIVE, AttributeCode.as4Path, asPathSize(path, 4))) {
      writer.at = writeAsPath(writer.out, writer.at, path, 4);
    }
  }
  const given = attributes.aggregator;
  if (given !== undefined && given.asn > 0xffff) aggregator(writer, AttributeCode.as4Aggregator, given, 4);
}

function writeRest(writer: Writer, attributes: PathAttributes): void {
  const { ipv6ExtendedCommunities: wide, aigp, largeCommunities: large } = attributes;
  if (wide !== undefined && wide.length > 0) {
    unknownBefore(writer, AttributeCode.ipv6ExtendedCommunities);
    if (head(writer, OPTIONAL | TRANSITIVE, AttributeCode.ipv6ExtendedCommunities, wide.length * 20)) {
      for (const value of wide) {
        writer.out.set(value.subarray(0, 20), writer.at);
        writer.at += 20;
      }
    }
  }
  if (aigp !== undefined) {
    unknownBefore(writer, AttributeCode.aigp);
    if (head(writer, OPTIONAL, AttributeCode.aigp, 11)) {
      writer.out[writer.at] = 1;
      const at = put16(writer.out, writer.at + 1, 11);
      writer.at = put32(
        writer.out,
        put32(writer.out, at, Number((aigp >> 32n) & 0xffffffffn)),
        Number(aigp & 0xffffffffn),
      );
    }
  }
  words(writer, OPTIONAL | TRANSITIVE, AttributeCode.largeCommunities, large?.flat());
  word(writer, OPTIONAL | TRANSITIVE, AttributeCode.otc, attributes.otc);
  unknownBefore(writer, 256);
}

/**
 * Writes the attributes at `offset` and returns where they end, or -1 when they do not fit before `limit`.
 * @throws SdkError `INVALID_ADDRESS` when the next hop or the aggregator has no IPv4 address.
 */
export function encodeAttributes(
  attributes: PathAttributes,
  context: EncodeContext,
  out: Uint8Array,
  offset: number,
  limit: number = out.length,
): number {
  const width = context.fourOctetAs === false ? 2 : 4;
  const external = context.peerType === 'ebgp';
  const writer: Writer = {
    out,
    limit: Math.min(limit, out.length),
    partial: attributes.partial ?? [],
    unknown: attributes.unknown ?? [],
    nextUnknown: 0,
    at: offset,
  };
  writeBasics(writer, attributes, width, external);
  words(writer, OPTIONAL | TRANSITIVE, AttributeCode.communities, attributes.communities);
  if (!external) {
    word(writer, OPTIONAL, AttributeCode.originatorId, attributes.originatorId);
    words(writer, OPTIONAL, AttributeCode.clusterList, attributes.clusterList);
  }
  const { extendedCommunities } = attributes;
  words(writer, OPTIONAL | TRANSITIVE, AttributeCode.extendedCommunities, extendedCommunities?.flat());
  if (width === 2) writeAs4(writer, attributes);
  writeRest(writer, attributes);
  return writer.at;
}
