/**
 * The message header: writing it, and judging one that arrived.
 * A header that fails leaves no way to find the next message, so every failure ends the session (RFC 4271 section 6.1).
 * Stands on constants.ts and bytes.ts; the framer and every encoder use it.
 */
import { put16, u16, u32 } from './bytes.ts';
import { HEADER_LENGTH, HeaderError, MAX_MESSAGE_LENGTH, MessageType, NotificationCode } from './constants.ts';
import { RouteRefreshError } from './constants.ts';
import type { Notification } from './types.ts';

/** A header that is wrong, and what to send back. */
export interface HeaderFault {
  readonly notification: Notification;
  readonly reason: string;
}

/** Writes marker, length and type at `at`; returns where the body begins. */
export function writeHeader(out: Uint8Array, at: number, length: number, type: number): number {
  out.fill(0xff, at, at + 16);
  put16(out, at + 16, length);
  out[at + 18] = type;
  return at + HEADER_LENGTH;
}

/** A message of its own: header and body. */
export function frame(type: number, body: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_LENGTH + body.length);
  message.set(body, writeHeader(message, 0, message.length, type));
  return message;
}

/** A KEEPALIVE message (RFC 4271 section 4.4). */
export function encodeKeepalive(): Uint8Array {
  return frame(MessageType.keepalive, new Uint8Array(0));
}

function fault(subcode: number, data: Uint8Array, reason: string): HeaderFault {
  return { notification: { code: NotificationCode.header, subcode, data }, reason };
}

function badLength(bytes: Uint8Array, at: number, what: string): HeaderFault {
  return fault(HeaderError.badLength, bytes.slice(at + 16, at + 18), `${what} of ${u16(bytes, at + 16)} octets`);
}

/** Judges the 19 octets at `at`; `undefined` when they head an acceptable message. */
export function checkHeader(bytes: Uint8Array, at: number, maxLength: number): HeaderFault | undefined {
  for (let word = at; word < at + 16; word += 4) {
    if (u32(bytes, word) !== 0xffffffff) {
      return fault(HeaderError.notSynchronized, new Uint8Array(0), 'marker is not all ones');
    }
  }
  const length = u16(bytes, at + 16);
  if (length < HEADER_LENGTH || length > maxLength) return badLength(bytes, at, 'message');
  const type = bytes[at + 18] ?? 0;
  switch (type) {
    case MessageType.open:
      // Extended messages leave OPEN and KEEPALIVE as they are (RFC 8654 section 3).
      return length < 29 || length > MAX_MESSAGE_LENGTH ? badLength(bytes, at, 'OPEN') : undefined;
    case MessageType.update:
      return length < 23 ? badLength(bytes, at, 'UPDATE') : undefined;
    case MessageType.notification:
      return length < 21 ? badLength(bytes, at, 'NOTIFICATION') : undefined;
    case MessageType.keepalive:
      return length !== HEADER_LENGTH ? badLength(bytes, at, 'KEEPALIVE') : undefined;
    case MessageType.routeRefresh:
      if (length >= 23) return undefined;
      return {
        notification: {
          code: NotificationCode.routeRefresh,
          subcode: RouteRefreshError.invalidLength,
          data: bytes.slice(at, at + HEADER_LENGTH),
        },
        reason: `ROUTE-REFRESH of ${length} octets`,
      };
    default:
      return fault(HeaderError.badType, Uint8Array.of(type), `message type ${type}`);
  }
}
