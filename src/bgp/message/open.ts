/**
 * OPEN: version, AS, hold time, identifier and optional parameters, in the short and the long form (RFC 4271 4.2, RFC 9072).
 * Reading judges what the bytes alone can tell (RFC 4271 section 6.2); whether AS and identifier are the expected ones is
 * for the session.
 * Stands on capability.ts and header.ts.
 */
import { put16, put32, u16, u32 } from './bytes.ts';
import { capabilityCode, decodeCapability, encodeCapabilityValue } from './capability.ts';
import { AS_TRANS, HEADER_LENGTH, MessageType, NotificationCode, OpenError } from './constants.ts';
import { SdkError } from '../../net/index.ts';
import { frame } from './header.ts';
import type { Capability, Decoded, Open } from './types.ts';

const CAPABILITIES = 2;
const EXTENDED = 255;
const MAX_OPEN_PARAMETERS = 4096 - HEADER_LENGTH - 13;

/** What an OPEN is written from. */
export interface OpenFields {
  /** Real AS number; AS_TRANS stands in the two-octet field when it needs four octets. */
  readonly asn: number;
  /** Seconds, 0 or 3–65535. */
  readonly holdTime: number;
  /** BGP Identifier as a 32-bit integer. */
  readonly routerId: number;
  readonly capabilities: readonly Capability[];
}

/** The capabilities as code, length and value, one after the other. */
export function encodeCapabilities(capabilities: readonly Capability[]): Uint8Array {
  const parts = capabilities.map((capability) => ({
    code: capabilityCode(capability),
    value: encodeCapabilityValue(capability).subarray(0, 255),
  }));
  const out = new Uint8Array(parts.reduce((sum, { value }) => sum + 2 + value.length, 0));
  let at = 0;
  for (const { code, value } of parts) {
    out[at] = code;
    out[at + 1] = value.length;
    out.set(value, at + 2);
    at += 2 + value.length;
  }
  return out;
}

/**
 * Writes an OPEN message, in the long form when the capabilities need it.
 * @throws SdkError `INVALID_OPTION` when the capabilities do not fit a message.
 */
export function encodeOpen({ asn, holdTime, routerId, capabilities }: OpenFields): Uint8Array {
  const encoded = encodeCapabilities(capabilities);
  const long = encoded.length > 253;
  if (encoded.length > MAX_OPEN_PARAMETERS - 3) {
    throw new SdkError(`capabilities of ${encoded.length} octets do not fit an OPEN message`, {
      code: 'INVALID_OPTION',
      details: { path: 'capabilities' },
    });
  }
  const size = encoded.length === 0 ? 0 : encoded.length + (long ? 6 : 2);
  const body = new Uint8Array(10 + size);
  body[0] = 4;
  put16(body, 1, asn > 0xffff ? AS_TRANS : asn);
  put16(body, 3, holdTime);
  put32(body, 5, routerId);
  if (!long) {
    body[9] = size;
    if (size > 0) {
      body[10] = CAPABILITIES;
      body[11] = encoded.length;
      body.set(encoded, 12);
    }
  } else {
    body[9] = EXTENDED;
    body[10] = EXTENDED;
    put16(body, 11, encoded.length + 3);
    body[13] = CAPABILITIES;
    put16(body, 14, encoded.length);
    body.set(encoded, 16);
  }
  return frame(MessageType.open, body);
}

type Parameters = { readonly capabilities: Capability[] } | { readonly subcode: number; readonly reason: string };

/** Reads capabilities from code, length and value triples; a text says why they are malformed. */
export function decodeCapabilities(bytes: Uint8Array, offset: number, length: number): Capability[] | string {
  const found: Capability[] = [];
  const end = offset + length;
  let at = offset;
  while (at < end) {
    const size = bytes[at + 1] ?? 0;
    if (at + 2 > end || at + 2 + size > end) return 'capability runs over its parameter';
    const capability = decodeCapability(bytes[at] ?? 0, bytes.subarray(at + 2, at + 2 + size));
    if (typeof capability === 'string') return capability;
    found.push(capability);
    at += 2 + size;
  }
  return found;
}

/** Reads optional parameters, from the length octet at `at` to `end`. */
function readParameters(bytes: Uint8Array, at: number, end: number): Parameters {
  const malformed = (reason: string): Parameters => ({ subcode: OpenError.unspecific, reason });
  let size = bytes[at] ?? 0;
  at++;
  let width = 1;
  // Any length but zero may precede the long form; only the type octet tells it (RFC 9072 section 2).
  if (size !== 0 && at < end && bytes[at] === EXTENDED) {
    if (at + 3 > end) return malformed('extended optional parameters length is cut');
    size = u16(bytes, at + 1);
    at += 3;
    width = 2;
  }
  if (at + size !== end) return malformed(`optional parameters of ${size} octets in ${end - at}`);
  const capabilities: Capability[] = [];
  while (at < end) {
    if (at + 1 + width > end) return malformed('optional parameter header is cut');
    const type = bytes[at] ?? 0;
    const length = width === 1 ? (bytes[at + 1] ?? 0) : u16(bytes, at + 1);
    at += 1 + width;
    if (at + length > end) return malformed('optional parameter runs over the message');
    if (type !== CAPABILITIES) {
      return { subcode: OpenError.unsupportedParameter, reason: `optional parameter of type ${type}` };
    }
    const found = decodeCapabilities(bytes, at, length);
    if (typeof found === 'string') return malformed(found);
    capabilities.push(...found);
    at += length;
  }
  return { capabilities };
}

/** Reads a whole OPEN message whose header is good. */
export function decodeOpen(bytes: Uint8Array, offset: number, length: number): Decoded<Open> {
  const body = offset + HEADER_LENGTH;
  const fail = (subcode: number, reason: string, data = new Uint8Array(0)): Decoded<Open> => ({
    ok: false,
    notification: { code: NotificationCode.open, subcode, data },
    reason,
  });
  if (length < 29) return fail(OpenError.unspecific, `OPEN of ${length} octets`);
  const version = bytes[body] ?? 0;
  if (version !== 4) return fail(OpenError.unsupportedVersion, `BGP version ${version}`, Uint8Array.of(0, 4));
  const parameters = readParameters(bytes, body + 9, offset + length);
  if ('reason' in parameters) return fail(parameters.subcode, parameters.reason);
  const { capabilities } = parameters;
  const myAs = u16(bytes, body + 1);
  const four = capabilities.find((capability) => capability.type === 'four-octet-as');
  // RFC 7607 section 2; a four-octet AS capability of 0 is RFC 6793's own error.
  if (myAs === 0 || four?.asn === 0) return fail(OpenError.badPeerAs, 'AS number 0');
  const holdTime = u16(bytes, body + 3);
  if (holdTime === 1 || holdTime === 2) return fail(OpenError.unacceptableHoldTime, `hold time ${holdTime} s`);
  const routerId = u32(bytes, body + 5);
  if (routerId === 0) return fail(OpenError.badIdentifier, 'BGP identifier 0.0.0.0');
  return { ok: true, value: { version: 4, myAs, holdTime, routerId, capabilities } };
}

/** The AS number that an OPEN claims: of its capability where it has one (RFC 6793 section 3). */
export function openAsn(open: Open): number {
  return open.capabilities.find((capability) => capability.type === 'four-octet-as')?.asn ?? open.myAs;
}
