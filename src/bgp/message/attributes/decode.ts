/**
 * Reads a block of path attributes and judges it by RFC 7606: what is wrong, and what the strongest of it leads to.
 * It goes on after a wrong attribute, because the routes to withdraw may lie behind it; it stops only where the block can
 * no longer be cut. Nothing throws, whatever the octets.
 * Stands on basics.ts, lists.ts, mp.ts and findings.ts; sessions call it once for each distinct block.
 */
import { u16, u32 } from '../bytes.ts';
import { AS_TRANS, AttributeCode, AttributeFlag, NotificationCode, UpdateError } from '../constants.ts';
import type { AttributeContext, AttributesResult } from '../types.ts';
import { mergeAs4Path } from './as-path.ts';
import { readAggregator, readAs4Aggregator, readAs4Path, readAsPath, readNextHop, readOrigin } from './basics.ts';
import { type AttributeSpan, createFindings, report, reportAttribute } from './findings.ts';
import { readAigp, readExtendedCommunities, readIpv6ExtendedCommunities, readLargeCommunities } from './lists.ts';
import { decodeMpReach, decodeMpUnreach } from './mp.ts';
import { attributeName, isRun, lengthFault, type Reading, readWords, unexpectedFault } from './reading.ts';

export { findMpAttributes, type MpSpans } from './find.ts';

const OPTIONAL = AttributeFlag.optional;
const TRANSITIVE = AttributeFlag.transitive;
const WELL_KNOWN = TRANSITIVE;
const OPTIONAL_TRANSITIVE = OPTIONAL | TRANSITIVE;

/** Optional and Transitive bits of the attributes known here; -1 for unknown ones. */
const EXPECTED_FLAGS = new Int16Array(256).fill(-1);
for (const [code, flags] of [
  [AttributeCode.origin, WELL_KNOWN],
  [AttributeCode.asPath, WELL_KNOWN],
  [AttributeCode.nextHop, WELL_KNOWN],
  [AttributeCode.med, OPTIONAL],
  [AttributeCode.localPref, WELL_KNOWN],
  [AttributeCode.atomicAggregate, WELL_KNOWN],
  [AttributeCode.aggregator, OPTIONAL_TRANSITIVE],
  [AttributeCode.communities, OPTIONAL_TRANSITIVE],
  [AttributeCode.originatorId, OPTIONAL],
  [AttributeCode.clusterList, OPTIONAL],
  [AttributeCode.mpReach, OPTIONAL],
  [AttributeCode.mpUnreach, OPTIONAL],
  [AttributeCode.extendedCommunities, OPTIONAL_TRANSITIVE],
  [AttributeCode.as4Path, OPTIONAL_TRANSITIVE],
  [AttributeCode.as4Aggregator, OPTIONAL_TRANSITIVE],
  [AttributeCode.ipv6ExtendedCommunities, OPTIONAL_TRANSITIVE],
  [AttributeCode.aigp, OPTIONAL],
  [AttributeCode.largeCommunities, OPTIONAL_TRANSITIVE],
  [AttributeCode.otc, OPTIONAL_TRANSITIVE],
] as const) {
  EXPECTED_FLAGS[code] = flags;
}

function readKnown(reading: Reading, span: AttributeSpan): void {
  const { attributes, context } = reading;
  switch (span.code) {
    case AttributeCode.origin:
      return readOrigin(reading, span);
    case AttributeCode.asPath:
      return readAsPath(reading, span);
    case AttributeCode.nextHop:
      return readNextHop(reading, span);
    case AttributeCode.med:
      if (span.length !== 4) return lengthFault(reading, span, 'withdraw', '7606 section 7.4');
      attributes.med = u32(span.bytes, span.at);
      return;
    case AttributeCode.localPref:
      if (context.peerType === 'ebgp') return unexpectedFault(reading, span, '7606 section 7.5');
      if (span.length !== 4) return lengthFault(reading, span, 'withdraw', '7606 section 7.5');
      attributes.localPref = u32(span.bytes, span.at);
      return;
    case AttributeCode.atomicAggregate:
      if (span.length !== 0) return lengthFault(reading, span, 'discard', '7606 section 7.6');
      attributes.atomicAggregate = true;
      return;
    case AttributeCode.aggregator:
      return readAggregator(reading, span);
    case AttributeCode.communities:
      if (isRun(reading, span, 4, '7606 section 7.8')) attributes.communities = readWords(span);
      return;
    case AttributeCode.originatorId:
      if (context.peerType === 'ebgp') return unexpectedFault(reading, span, '7606 section 7.9');
      if (span.length !== 4) return lengthFault(reading, span, 'withdraw', '7606 section 7.9');
      attributes.originatorId = u32(span.bytes, span.at);
      return;
    case AttributeCode.clusterList:
      if (context.peerType === 'ebgp') return unexpectedFault(reading, span, '7606 section 7.10');
      if (isRun(reading, span, 4, '7606 section 7.10')) attributes.clusterList = readWords(span);
      return;
    case AttributeCode.extendedCommunities:
      return readExtendedCommunities(reading, span);
    case AttributeCode.as4Path:
      return readAs4Path(reading, span);
    case AttributeCode.as4Aggregator:
      return readAs4Aggregator(reading, span);
    case AttributeCode.ipv6ExtendedCommunities:
      return readIpv6ExtendedCommunities(reading, span);
    case AttributeCode.aigp:
      return readAigp(reading, span);
    case AttributeCode.largeCommunities:
      return readLargeCommunities(reading, span);
    case AttributeCode.otc:
      if (span.length !== 4) return lengthFault(reading, span, 'withdraw', '9234 section 5');
      attributes.otc = u32(span.bytes, span.at);
      return;
    default:
  }
}

function readUnknown(reading: Reading, span: AttributeSpan): void {
  if ((span.flags & OPTIONAL) === 0) {
    const reason = `well-known attribute ${span.code} is not known (RFC 4271 section 6.3)`;
    const { findings } = reading;
    reportAttribute(findings, span, 'attribute-unrecognized', 'reset', UpdateError.unrecognizedWellKnown, reason);
  } else if ((span.flags & TRANSITIVE) !== 0) {
    // Non-transitive ones end here (RFC 4271 section 5).
    const value = span.bytes.slice(span.at, span.at + span.length);
    reading.unknown.push({ code: span.code, flags: span.flags & 0xe0, value });
  }
}

/** Reads one attribute that is framed well. */
function readAttribute(reading: Reading, span: AttributeSpan): void {
  const expected = EXPECTED_FLAGS[span.code] ?? -1;
  if (expected < 0) return readUnknown(reading, span);
  const misflagged = (span.flags & OPTIONAL_TRANSITIVE) !== expected;
  if (misflagged) {
    // AIGP is ignored when malformed in any way (RFC 7311 section 3.2), the others follow RFC 7606 section 3 c.
    const reaction = span.code === AttributeCode.aigp ? 'discard' : 'withdraw';
    const reason = `${attributeName(span.code)} with flags 0x${span.flags.toString(16)} (RFC 7606 section 3 c)`;
    reportAttribute(reading.findings, span, 'attribute-flags', reaction, UpdateError.attributeFlags, reason);
  }
  if (span.code === AttributeCode.mpReach) {
    // Wrong flags hide no routes: they must be found to be withdrawn.
    if (span.length > 5 + (span.bytes[span.at + 3] ?? 0)) reading.reachable = true;
    const reach = decodeMpReach(span, reading.context, reading.findings);
    if (reach !== undefined) reading.mpReach = reach;
  } else if (span.code === AttributeCode.mpUnreach) {
    const unreach = decodeMpUnreach(span, reading.context, reading.findings);
    if (unreach !== undefined) reading.mpUnreach = unreach;
  } else if (!misflagged) {
    if ((span.flags & AttributeFlag.partial) !== 0 && expected === OPTIONAL_TRANSITIVE) reading.partial.push(span.code);
    readKnown(reading, span);
  }
}

function repeated(reading: Reading, span: AttributeSpan): void {
  const { findings } = reading;
  const { code } = span;
  if (code !== AttributeCode.mpReach && code !== AttributeCode.mpUnreach) {
    const reason = `${attributeName(code)} again: the first one counts (RFC 7606 section 3 g)`;
    reportAttribute(findings, span, 'attribute-duplicate', 'discard', UpdateError.malformedAttributeList, reason);
    return;
  }
  report(findings, {
    code: 'attribute-duplicate',
    reaction: 'reset',
    attribute: code,
    reason: `${attributeName(code)} twice (RFC 7606 section 3 g)`,
    notification: {
      code: NotificationCode.update,
      subcode: UpdateError.malformedAttributeList,
      data: new Uint8Array(0),
    },
  });
}

/** By attribute code, the last block that had it: cheaper than a set for each block. */
const seenIn = new Float64Array(256);
let blocks = 0;

/** Cuts the block into attributes and reads each. */
function readBlock(reading: Reading, bytes: Uint8Array, offset: number, end: number): void {
  blocks++;
  let start = offset;
  while (start < end) {
    const flags = bytes[start] ?? 0;
    const wide = (flags & AttributeFlag.extendedLength) !== 0;
    if (end - start < (wide ? 4 : 3)) {
      const reason = `${end - start} octets left, too few for an attribute header (RFC 7606 section 4)`;
      report(reading.findings, { code: 'attribute-header', reaction: 'withdraw', reason });
      return;
    }
    const code = bytes[start + 1] ?? 0;
    const length = wide ? u16(bytes, start + 2) : (bytes[start + 2] ?? 0);
    const at = start + (wide ? 4 : 3);
    if (at + length > end) {
      const reason = `${attributeName(code)} runs over the attributes by ${at + length - end} octets (RFC 7606 section 4)`;
      report(reading.findings, { code: 'attribute-overrun', reaction: 'withdraw', attribute: code, reason });
      return;
    }
    const span = { bytes, code, flags, start, at, length };
    if (seenIn[code] === blocks) repeated(reading, span);
    else {
      seenIn[code] = blocks;
      readAttribute(reading, span);
    }
    start = at + length;
  }
}

function missing(reading: Reading, code: number): void {
  report(reading.findings, {
    code: 'attribute-missing',
    reaction: 'withdraw',
    attribute: code,
    reason: `${attributeName(code)} is missing (RFC 7606 section 3 d)`,
    notification: {
      code: NotificationCode.update,
      subcode: UpdateError.missingWellKnown,
      data: Uint8Array.of(code),
    },
  });
}

/** What must be there for routes to be announced (RFC 4271 section 5, RFC 7606 section 3 d). */
function checkMandatory(reading: Reading, hasNlri: boolean): void {
  const { attributes, context, findings } = reading;
  if (!hasNlri && (reading.mpReach === undefined || reading.mpReach.nlriLength === 0)) return;
  const lacks = (code: number, value: unknown): void => {
    // A malformed one has been reported; it is not missing too.
    if (value === undefined && !findings.list.some(({ attribute }) => attribute === code)) missing(reading, code);
  };
  lacks(AttributeCode.origin, attributes.origin);
  lacks(AttributeCode.asPath, attributes.asPath);
  if (hasNlri) lacks(AttributeCode.nextHop, attributes.nextHop);
  if (context.peerType === 'ibgp') lacks(AttributeCode.localPref, attributes.localPref);
}

/** Puts together what a two-octet speaker had to say in two pieces (RFC 6793 section 4.2.3). */
function mergeFourOctets(reading: Reading): void {
  const { attributes, as4Path, as4Aggregator } = reading;
  const { aggregator, asPath } = attributes;
  if (aggregator !== undefined && as4Aggregator !== undefined) {
    // Somebody on the way aggregated without knowing four octets: both AS4 attributes are out of date.
    if (aggregator.asn !== AS_TRANS) return;
    attributes.aggregator = as4Aggregator;
  }
  if (asPath !== undefined && as4Path !== undefined) attributes.asPath = mergeAs4Path(asPath, as4Path);
}

/**
 * Reads the attribute block of `length` octets at `offset`.
 * `hasNlri` says whether the message has routes in its NLRI field (RFC 4271 section 4.3): they need NEXT_HOP and give
 * treat-as-withdraw something to withdraw. With reaction `withdraw` all routes of the message are to be withdrawn, with
 * `reset` the first finding of that reaction has the NOTIFICATION; routes themselves are judged by their own readers.
 */
export function decodeAttributes(
  bytes: Uint8Array,
  offset: number,
  length: number,
  context: AttributeContext,
  hasNlri: boolean,
): AttributesResult {
  const findings = createFindings();
  const reading: Reading = { context, findings, attributes: {}, unknown: [], partial: [], hasNlri, reachable: hasNlri };
  readBlock(reading, bytes, offset, offset + length);
  checkMandatory(reading, hasNlri);
  mergeFourOctets(reading);
  if (!reading.reachable && findings.reaction === 'withdraw') {
    // Nothing to withdraw although attributes announce something: the routes may be what was lost.
    report(findings, {
      code: 'no-reachable-nlri',
      reaction: 'reset',
      reason: 'malformed attributes without routes (RFC 7606 section 5.2)',
      notification: {
        code: NotificationCode.update,
        subcode: UpdateError.malformedAttributeList,
        data: new Uint8Array(0),
      },
    });
  }
  if (reading.unknown.length > 0) {
    reading.attributes.unknown = reading.unknown.sort((a, b) => a.code - b.code);
  }
  if (reading.partial.length > 0) reading.attributes.partial = reading.partial;
  return {
    attributes: reading.attributes,
    ...(reading.mpReach === undefined ? {} : { mpReach: reading.mpReach }),
    ...(reading.mpUnreach === undefined ? {} : { mpUnreach: reading.mpUnreach }),
    reaction: findings.reaction,
    findings: findings.list,
  };
}
