import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../test/support/hex.ts';
import {
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
  isHardReset,
  notification,
  shutdownData,
  shutdownText,
  unwrapHardReset,
} from './notification.ts';
import { decodeRouteRefresh, encodeRouteRefresh } from './refresh.ts';

const MARKER = 'ff'.repeat(16);

describe('NOTIFICATION', () => {
  it('is written and read', () => {
    const message = encodeNotification(notification(6, 2, shutdownData('moving racks')));
    expect(toHex(message)).toBe(`${MARKER}0022` + '030602' + '0c' + '6d6f76696e67207261636b73');
    const value = decodeNotification(message, 0, message.length);
    expect(shutdownText(value)).toBe('moving racks');
    expect(describeNotification(value)).toBe('Cease/Administrative Shutdown "moving racks" (6/2)');
  });

  it.each([
    [notification(1, 2), 'Message Header Error/Bad Message Length (1/2)'],
    [notification(4), 'Hold Timer Expired (4/0)'],
    [notification(8), 'Send Hold Timer Expired (8/0)'],
    [notification(3, 11), 'UPDATE Message Error/Malformed AS_PATH (3/11)'],
    [notification(2, 99), 'OPEN Message Error/Unknown Subcode (2/99)'],
    [notification(77, 1), 'Unknown Error/Unknown Subcode (77/1)'],
    [hardReset(notification(6, 4)), 'Cease/Hard Reset (6/9): Cease/Administrative Reset (6/4)'],
  ])('has words for %j', (value, expected) => {
    expect(describeNotification(value)).toBe(expected);
  });

  // RFC 9003 section 2: at most 255 octets of UTF-8; what is no UTF-8 is not shown.
  it('cuts shutdown text at a character', () => {
    const data = shutdownData('ü'.repeat(200));
    expect(data[0]).toBe(254);
    expect(shutdownText(notification(6, 4, data))).toBe('ü'.repeat(127));
  });

  it.each([
    ['no text', '', 2],
    ['length 0', '00', 2],
    ['length over the data', '05 6162', 2],
    ['no UTF-8', '02 c328', 2],
    ['another subcode', '02 6162', 3],
  ])('shows nothing for %s', (_name, data, subcode) => {
    expect(shutdownText(notification(6, subcode, hex(data)))).toBeUndefined();
  });

  it('wraps and unwraps a hard reset (RFC 8538 section 3)', () => {
    const wrapped = hardReset(notification(6, 2, hex('0161')));
    expect(toHex(wrapped.data)).toBe('06020161');
    expect(isHardReset(wrapped)).toBe(true);
    expect(unwrapHardReset(wrapped)).toEqual(notification(6, 2, hex('0161')));
    expect(unwrapHardReset(notification(6, 9))).toBeUndefined();
    expect(unwrapHardReset(notification(6, 2, hex('0161')))).toBeUndefined();
  });

  it('describes a hard reset inside hard resets without end', () => {
    let value = notification(6, 2);
    for (let depth = 0; depth < 2000; depth++) value = hardReset(value);
    expect(describeNotification(value).length).toBeLessThan(100_000);
  });
});

describe('ROUTE-REFRESH', () => {
  it('is written and read', () => {
    const message = encodeRouteRefresh('ipv6-unicast', 1);
    expect(toHex(message)).toBe(`${MARKER}0017` + '05' + '00020101');
    expect(decodeRouteRefresh(message, 0, message.length)).toMatchObject({
      ok: true,
      value: { family: 'ipv6-unicast', subtype: 1 },
    });
  });

  it('keeps outbound filters unread', () => {
    const message = hex(`${MARKER} 0019 05 00010001 0203`);
    expect(decodeRouteRefresh(message, 0, message.length)).toMatchObject({ value: { rest: hex('0203') } });
  });

  it('refuses marks that are too long (RFC 7313 section 5)', () => {
    const message = hex(`${MARKER} 0018 05 00010101 00`);
    expect(decodeRouteRefresh(message, 0, message.length)).toMatchObject({
      ok: false,
      notification: { code: 7, subcode: 1, data: message },
    });
  });
});
