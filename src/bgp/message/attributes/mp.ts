/**
 * MP_REACH_NLRI and MP_UNREACH_NLRI: the frame around routes of any family (RFC 4760), with the next hops that each family
 * allows (RFC 2545, 4364, 4659, 7432, 8950, 8955).
 * A next hop of a wrong length hides where the routes begin, so it ends the session (RFC 7606 section 7.11); a family that was
 * not negotiated is left out with everything in it.
 * Stands on family.ts; decode.ts calls it, NLRI decoders take the offsets from it.
 */
import { put16, putAddress, textOf4, textOf6, u16, u32 } from '../bytes.ts';
import { AttributeCode, AttributeFlag, UpdateError } from '../constants.ts';
import { familyCodes, familyName } from '../family.ts';
import type { AttributeContext, Family, MpReach, MpUnreach } from '../types.ts';
import { type AttributeSpan, type Findings, reportAttribute } from './findings.ts';

/** Whether a 32-bit address can be a host's: neither `0.0.0.0/8` nor multicast, reserved or broadcast. */
export function isHostAddress4(value: number): boolean {
  const first = value >>> 24;
  return first !== 0 && first < 224;
}

function isHostAddress6(bytes: Uint8Array, at: number): boolean {
  if (bytes[at] === 0xff) return false;
  return u32(bytes, at) !== 0 || u32(bytes, at + 4) !== 0 || u32(bytes, at + 8) !== 0 || u32(bytes, at + 12) !== 0;
}

function isLinkLocal(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0xfe && ((bytes[at + 1] ?? 0) & 0xc0) === 0x80;
}

/** Lengths of next hop that a family may have; `undefined` when any will do. */
function nextHopLengths(family: Family, extended: boolean): readonly number[] | undefined {
  switch (family) {
    case 'ipv4-unicast':
    case 'ipv4-multicast':
    case 'ipv4-labelled':
      return extended ? [4, 16, 32] : [4];
    case 'ipv6-unicast':
    case 'ipv6-multicast':
    case 'ipv6-labelled':
      return [16, 32];
    case 'ipv4-vpn':
      return extended ? [12, 24, 48] : [12];
    case 'ipv6-vpn':
      return [24, 48];
    case 'l2vpn-evpn':
      return [4, 16];
    default:
      return undefined;
  }
}

interface HopText {
  readonly nextHop: string;
  readonly linkLocal?: string;
  readonly valid: boolean;
}

function readNextHop(bytes: Uint8Array, at: number, length: number): HopText {
  // VPN next hops carry a route distinguisher of zero before each address (RFC 4364 section 4.3.2).
  const skip = length === 12 || length === 24 || length === 48 ? 8 : 0;
  if (length - skip === 4) {
    return { nextHop: textOf4(bytes, at + skip), valid: isHostAddress4(u32(bytes, at + skip)) };
  }
  const first = at + skip;
  const second = length >= 32 && length !== 24 ? first + 16 + skip : -1;
  const local = second >= 0 && isLinkLocal(bytes, second) ? textOf6(bytes, second) : undefined;
  if (isHostAddress6(bytes, first)) {
    const nextHop = textOf6(bytes, first);
    const linkLocal = local ?? (isLinkLocal(bytes, first) ? nextHop : undefined);
    return linkLocal === undefined ? { nextHop, valid: true } : { nextHop, linkLocal, valid: true };
  }
  // An unnumbered peer may have nothing but its link-local address to give beside `::`.
  if (local !== undefined && u32(bytes, first) === 0) return { nextHop: local, linkLocal: local, valid: true };
  return { nextHop: textOf6(bytes, first), valid: false };
}

function unexpected(context: AttributeContext, family: Family, span: AttributeSpan, findings: Findings): boolean {
  if (context.families.includes(family)) return false;
  const reason = `family ${family} was not negotiated; its routes are left out (RFC 4760 section 7)`;
  reportAttribute(findings, span, 'family-unexpected', 'discard', UpdateError.optionalAttribute, reason);
  return true;
}

/** Reads MP_REACH_NLRI; `undefined` when a finding says that its routes cannot be had. */
export function decodeMpReach(span: AttributeSpan, context: AttributeContext, findings: Findings): MpReach | undefined {
  const { bytes, at, length } = span;
  const reset = (reason: string): undefined => {
    reportAttribute(findings, span, 'attribute-length', 'reset', UpdateError.optionalAttribute, reason);
    return undefined;
  };
  if (length < 3) return reset(`MP_REACH_NLRI of ${length} octets (RFC 7606 section 7.11)`);
  const afi = u16(bytes, at);
  const safi = bytes[at + 2] ?? 0;
  const family = familyName(afi, safi);
  if (unexpected(context, family, span, findings)) return undefined;
  if (length < 5) return reset(`MP_REACH_NLRI of ${length} octets (RFC 7606 section 7.11)`);
  const hopLength = bytes[at + 3] ?? 0;
  if (5 + hopLength > length) return reset(`next hop of ${hopLength} octets runs over MP_REACH_NLRI (RFC 7606 7.11)`);
  const allowed = nextHopLengths(family, context.extendedNextHop?.includes(family) ?? false);
  if (allowed?.includes(hopLength) === false) {
    return reset(`next hop of ${hopLength} octets for ${family} (RFC 7606 section 7.11)`);
  }
  const nlriOffset = at + 5 + hopLength;
  const shape = { family, afi, safi, nlriOffset, nlriLength: length - 5 - hopLength };
  if (allowed === undefined) return { ...shape, nextHop: '' };
  const { nextHop, linkLocal, valid } = readNextHop(bytes, at + 4, hopLength);
  if (!valid) {
    const reason = `next hop ${nextHop} is no host address (RFC 4271 section 6.3, RFC 7606 section 7.3)`;
    reportAttribute(findings, span, 'next-hop', 'withdraw', UpdateError.optionalAttribute, reason);
  }
  return linkLocal === undefined ? { ...shape, nextHop } : { ...shape, nextHop, linkLocal };
}

/** Reads MP_UNREACH_NLRI; `undefined` when a finding says that its routes cannot be had. */
export function decodeMpUnreach(
  span: AttributeSpan,
  context: AttributeContext,
  findings: Findings,
): MpUnreach | undefined {
  const { bytes, at, length } = span;
  if (length < 3) {
    const reason = `MP_UNREACH_NLRI of ${length} octets (RFC 7606 section 5.3)`;
    reportAttribute(findings, span, 'attribute-length', 'reset', UpdateError.optionalAttribute, reason);
    return undefined;
  }
  const afi = u16(bytes, at);
  const safi = bytes[at + 2] ?? 0;
  const family = familyName(afi, safi);
  if (unexpected(context, family, span, findings)) return undefined;
  return { family, afi, safi, nlriOffset: at + 3, nlriLength: length - 3 };
}

/** Octets of an MP_REACH_NLRI before its routes, attribute header of four octets included. */
export function mpReachHeadSize(nextHopLength: number): number {
  return 4 + 5 + nextHopLength;
}

/** Octets of an MP_UNREACH_NLRI before its routes, attribute header of four octets included. */
export const MP_UNREACH_HEAD = 7;

/** The next hop field of a family: address, with route distinguisher for VPNs, and a link-local one when given. */
export function encodeNextHop(family: Family, nextHop: string, linkLocal?: string): Uint8Array {
  const out = new Uint8Array(48);
  const skip = family === 'ipv4-vpn' || family === 'ipv6-vpn' ? 8 : 0;
  let at = nextHop === '' ? 0 : putAddress(out, skip, nextHop);
  if (linkLocal !== undefined && at === skip + 16) at = putAddress(out, at + skip, linkLocal);
  return out.slice(0, Math.max(0, at));
}

/** Writes MP_REACH_NLRI up to its routes, of which `nlriLength` octets will follow; always with an extended length. */
export function writeMpReachHead(
  out: Uint8Array,
  at: number,
  family: Family,
  nextHop: Uint8Array,
  nlriLength: number,
): number {
  const { afi, safi } = familyCodes(family);
  out[at] = AttributeFlag.optional | AttributeFlag.extendedLength;
  out[at + 1] = AttributeCode.mpReach;
  at = put16(out, put16(out, at + 2, 5 + nextHop.length + nlriLength), afi);
  out[at] = safi;
  out[at + 1] = nextHop.length;
  out.set(nextHop, at + 2);
  out[at + 2 + nextHop.length] = 0;
  return at + 3 + nextHop.length;
}

/** Writes MP_UNREACH_NLRI up to its routes, of which `nlriLength` octets will follow; always with an extended length. */
export function writeMpUnreachHead(out: Uint8Array, at: number, family: Family, nlriLength: number): number {
  const { afi, safi } = familyCodes(family);
  out[at] = AttributeFlag.optional | AttributeFlag.extendedLength;
  out[at + 1] = AttributeCode.mpUnreach;
  at = put16(out, put16(out, at + 2, 3 + nlriLength), afi);
  out[at] = safi;
  return at + 1;
}
