/**
 * The outer shape of UPDATE: where withdrawn routes, attributes and announced routes lie (RFC 4271 section 4.3).
 * Only offsets, written into an object that is used again, so that a million messages make no garbage.
 * Stands on header.ts; the attribute and prefix walkers take it from here.
 */
import { put16, put32, u16 } from './bytes.ts';
import {
  AttributeCode,
  AttributeFlag,
  HEADER_LENGTH,
  MessageType,
  NotificationCode,
  UpdateError,
} from './constants.ts';
import { familyCodes } from './family.ts';
import { writeHeader } from './header.ts';
import type { Family, Finding } from './types.ts';

/** Offsets and lengths, in octets, into the bytes that were split. */
export interface UpdateParts {
  withdrawnOffset: number;
  withdrawnLength: number;
  attributesOffset: number;
  attributesLength: number;
  nlriOffset: number;
  nlriLength: number;
}

/** An empty {@link UpdateParts} to hand to {@link splitUpdate} again and again. */
export function createUpdateParts(): UpdateParts {
  return {
    withdrawnOffset: 0,
    withdrawnLength: 0,
    attributesOffset: 0,
    attributesLength: 0,
    nlriOffset: 0,
    nlriLength: 0,
  };
}

const LENGTHS: Finding = {
  code: 'message-lengths',
  reaction: 'reset',
  reason: 'lengths of withdrawn routes and attributes exceed the message (RFC 7606 section 3 b)',
  notification: {
    code: NotificationCode.update,
    subcode: UpdateError.malformedAttributeList,
    data: new Uint8Array(0),
  },
};

/** Splits a whole UPDATE message whose header is good into `parts`; returns the finding when its lengths conflict. */
export function splitUpdate(
  bytes: Uint8Array,
  offset: number,
  length: number,
  parts: UpdateParts,
): Finding | undefined {
  const end = offset + length;
  const withdrawnOffset = offset + HEADER_LENGTH + 2;
  const withdrawnLength = u16(bytes, withdrawnOffset - 2);
  const attributesOffset = withdrawnOffset + withdrawnLength + 2;
  if (length < 23 || attributesOffset > end) return LENGTHS;
  const attributesLength = u16(bytes, attributesOffset - 2);
  if (attributesOffset + attributesLength > end) return LENGTHS;
  parts.withdrawnOffset = withdrawnOffset;
  parts.withdrawnLength = withdrawnLength;
  parts.attributesOffset = attributesOffset;
  parts.attributesLength = attributesLength;
  parts.nlriOffset = attributesOffset + attributesLength;
  parts.nlriLength = end - parts.nlriOffset;
  return undefined;
}

/** Whether the split message is End-of-RIB for IPv4 unicast: empty altogether (RFC 4724 section 2). */
export function isEndOfRib(parts: UpdateParts): boolean {
  return parts.withdrawnLength === 0 && parts.attributesLength === 0 && parts.nlriLength === 0;
}

/** The End-of-RIB message of a family (RFC 4724 section 2). */
export function encodeEndOfRib(family: Family): Uint8Array {
  if (family === 'ipv4-unicast') {
    const out = new Uint8Array(23);
    put32(out, writeHeader(out, 0, 23, MessageType.update), 0);
    return out;
  }
  const { afi, safi } = familyCodes(family);
  const out = new Uint8Array(29);
  const at = put16(out, put16(out, writeHeader(out, 0, 29, MessageType.update), 0), 6);
  out[at] = AttributeFlag.optional;
  out[at + 1] = AttributeCode.mpUnreach;
  out[at + 2] = 3;
  put16(out, at + 3, afi);
  out[at + 5] = safi;
  return out;
}
