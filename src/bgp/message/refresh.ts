/**
 * ROUTE-REFRESH: asking for routes again, and the marks around a refresh (RFC 2918, RFC 7313).
 * Outbound route filters that follow are kept but not read: this codec's speakers filter by policy.
 * Stands on header.ts and family.ts.
 */
import { put16, u16 } from './bytes.ts';
import { HEADER_LENGTH, MessageType, NotificationCode, RouteRefreshError } from './constants.ts';
import { familyCodes, familyName } from './family.ts';
import { frame } from './header.ts';
import type { Decoded, Family, RouteRefresh } from './types.ts';

/** Writes a ROUTE-REFRESH message; subtype 0 asks, 1 begins, 2 ends. */
export function encodeRouteRefresh(family: Family, subtype = 0, rest: Uint8Array = new Uint8Array(0)): Uint8Array {
  const { afi, safi } = familyCodes(family);
  const body = new Uint8Array(4 + rest.length);
  put16(body, 0, afi);
  body[2] = subtype;
  body[3] = safi;
  body.set(rest, 4);
  return frame(MessageType.routeRefresh, body);
}

/** Reads a whole ROUTE-REFRESH message whose header is good; a mark (subtype 1 or 2) must have no rest (RFC 7313 section 5). */
export function decodeRouteRefresh(bytes: Uint8Array, offset: number, length: number): Decoded<RouteRefresh> {
  const body = offset + HEADER_LENGTH;
  const subtype = bytes[body + 2] ?? 0;
  if (length < 23 || ((subtype === 1 || subtype === 2) && length !== 23)) {
    return {
      ok: false,
      notification: {
        code: NotificationCode.routeRefresh,
        subcode: RouteRefreshError.invalidLength,
        data: bytes.slice(offset, offset + length),
      },
      reason: `ROUTE-REFRESH subtype ${subtype} of ${length} octets`,
    };
  }
  const family = familyName(u16(bytes, body), bytes[body + 3] ?? 0);
  return { ok: true, value: { family, subtype, rest: bytes.slice(body + 4, offset + length) } };
}
