/**
 * NOTIFICATION: reading, writing, naming, and what administrators say in one.
 * A NOTIFICATION is never answered with another (RFC 4271 section 6.4), so reading one cannot fail.
 * Stands on header.ts; sessions send and explain them.
 */
import { NOTHING } from './bytes.ts';
import { CeaseError, HEADER_LENGTH, MessageType, NotificationCode } from './constants.ts';
import { frame } from './header.ts';
import type { Notification } from './types.ts';

/** Longest shutdown communication in octets (RFC 9003 section 2). */
export const MAX_SHUTDOWN_TEXT = 255;

const NAMES: Readonly<Record<number, { readonly name: string; readonly sub: Readonly<Record<number, string>> }>> = {
  [NotificationCode.header]: {
    name: 'Message Header Error',
    sub: { 1: 'Connection Not Synchronized', 2: 'Bad Message Length', 3: 'Bad Message Type' },
  },
  [NotificationCode.open]: {
    name: 'OPEN Message Error',
    sub: {
      1: 'Unsupported Version Number',
      2: 'Bad Peer AS',
      3: 'Bad BGP Identifier',
      4: 'Unsupported Optional Parameter',
      6: 'Unacceptable Hold Time',
      7: 'Unsupported Capability',
      11: 'Role Mismatch',
    },
  },
  [NotificationCode.update]: {
    name: 'UPDATE Message Error',
    sub: {
      1: 'Malformed Attribute List',
      2: 'Unrecognized Well-known Attribute',
      3: 'Missing Well-known Attribute',
      4: 'Attribute Flags Error',
      5: 'Attribute Length Error',
      6: 'Invalid ORIGIN Attribute',
      8: 'Invalid NEXT_HOP Attribute',
      9: 'Optional Attribute Error',
      10: 'Invalid Network Field',
      11: 'Malformed AS_PATH',
    },
  },
  [NotificationCode.holdTimer]: { name: 'Hold Timer Expired', sub: {} },
  [NotificationCode.fsm]: {
    name: 'Finite State Machine Error',
    sub: {
      1: 'Unexpected Message in OpenSent',
      2: 'Unexpected Message in OpenConfirm',
      3: 'Unexpected Message in Established',
    },
  },
  [NotificationCode.cease]: {
    name: 'Cease',
    sub: {
      1: 'Maximum Number of Prefixes Reached',
      2: 'Administrative Shutdown',
      3: 'Peer De-configured',
      4: 'Administrative Reset',
      5: 'Connection Rejected',
      6: 'Other Configuration Change',
      7: 'Connection Collision Resolution',
      8: 'Out of Resources',
      9: 'Hard Reset',
      10: 'BFD Down',
    },
  },
  [NotificationCode.routeRefresh]: { name: 'ROUTE-REFRESH Message Error', sub: { 1: 'Invalid Message Length' } },
  [NotificationCode.sendHoldTimer]: { name: 'Send Hold Timer Expired', sub: {} },
};

/** A NOTIFICATION without data unless given. */
export function notification(code: number, subcode = 0, data: Uint8Array = NOTHING): Notification {
  return { code, subcode, data };
}

/** Writes a NOTIFICATION message; data beyond the longest ordinary message is cut off. */
export function encodeNotification({ code, subcode, data }: Notification): Uint8Array {
  const kept = data.subarray(0, 4096 - HEADER_LENGTH - 2);
  const body = new Uint8Array(2 + kept.length);
  body[0] = code;
  body[1] = subcode;
  body.set(kept, 2);
  return frame(MessageType.notification, body);
}

/** Reads a whole NOTIFICATION message whose header is good; the data is copied. */
export function decodeNotification(bytes: Uint8Array, offset: number, length: number): Notification {
  const body = offset + HEADER_LENGTH;
  return { code: bytes[body] ?? 0, subcode: bytes[body + 1] ?? 0, data: bytes.slice(body + 2, offset + length) };
}

/** Data of an administrative shutdown or reset that says why; text beyond 255 octets is cut at a character (RFC 9003). */
export function shutdownData(text: string): Uint8Array {
  const encoded = new TextEncoder().encode(text);
  let length = Math.min(encoded.length, MAX_SHUTDOWN_TEXT);
  while (length > 0 && length < encoded.length && ((encoded[length] ?? 0) & 0xc0) === 0x80) length--;
  const data = new Uint8Array(1 + length);
  data[0] = length;
  data.set(encoded.subarray(0, length), 1);
  return data;
}

/** NOTIFICATION for an administrative shutdown, or another reason of Cease, with a reason in words (RFC 9003). */
export function shutdownNotification(
  message: string | undefined,
  subcode: number = CeaseError.adminShutdown,
): Notification {
  return notification(NotificationCode.cease, subcode, message === undefined ? undefined : shutdownData(message));
}

/** What an administrative shutdown or reset says; `undefined` when it says nothing or nothing that is UTF-8. */
export function shutdownText({ code, subcode, data }: Notification): string | undefined {
  if (code !== NotificationCode.cease) return undefined;
  if (subcode !== CeaseError.adminShutdown && subcode !== CeaseError.adminReset) return undefined;
  const length = data[0] ?? 0;
  if (length === 0 || length > data.length - 1) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(1, 1 + length));
  } catch {
    return undefined;
  }
}

/** Wraps a NOTIFICATION so that a graceful-restart peer drops its routes nevertheless (RFC 8538 section 3). */
export function hardReset(inner: Notification): Notification {
  const data = new Uint8Array(2 + inner.data.length);
  data[0] = inner.code;
  data[1] = inner.subcode;
  data.set(inner.data, 2);
  return { code: NotificationCode.cease, subcode: CeaseError.hardReset, data };
}

/** The NOTIFICATION inside a hard reset; `undefined` when this is none or carries none (RFC 8538 section 3.1). */
export function unwrapHardReset({ code, subcode, data }: Notification): Notification | undefined {
  if (code !== NotificationCode.cease || subcode !== CeaseError.hardReset || data.length < 2) return undefined;
  return { code: data[0] ?? 0, subcode: data[1] ?? 0, data: data.subarray(2) };
}

/** Whether it is a hard reset, with or without an inner NOTIFICATION. */
export function isHardReset({ code, subcode }: Notification): boolean {
  return code === NotificationCode.cease && subcode === CeaseError.hardReset;
}

/** A NOTIFICATION in words, e.g. `Cease/Administrative Shutdown "moving racks" (6/2)`. */
export function describeNotification(value: Notification): string {
  const { code, subcode } = value;
  const known = NAMES[code];
  const name = known?.name ?? 'Unknown Error';
  const sub = subcode === 0 ? '' : `/${known?.sub[subcode] ?? 'Unknown Subcode'}`;
  const inner = unwrapHardReset(value);
  const text = inner === undefined ? shutdownText(value) : undefined;
  const said = text === undefined ? '' : ` ${JSON.stringify(text)}`;
  const wrapped = inner === undefined ? '' : `: ${describeNotification(inner)}`;
  return `${name}${sub}${said} (${code}/${subcode})${wrapped}`;
}
