/**
 * Finds the MP attributes of a block without reading anything else.
 * For those who intern the rest of the block by its octets, on the hot path: no objects, no verdict.
 * Stands on constants.ts.
 */
import { AttributeCode, AttributeFlag } from '../constants.ts';

/** Where MP_REACH_NLRI and MP_UNREACH_NLRI lie in a block; offsets are of the flags octet, -1 when absent. */
export interface MpSpans {
  reachStart: number;
  reachEnd: number;
  unreachStart: number;
  unreachEnd: number;
}

/**
 * Finds the MP attributes of a block without reading anything else, for those who intern the rest of the block by its octets.
 * Returns `false` when the block cannot be cut or has one of them twice: then only {@link decodeAttributes} can say more.
 */
export function findMpAttributes(bytes: Uint8Array, offset: number, length: number, spans: MpSpans): boolean {
  spans.reachStart = spans.reachEnd = spans.unreachStart = spans.unreachEnd = -1;
  const end = offset + length;
  let start = offset;
  while (start < end) {
    const wide = (bytes[start]! & AttributeFlag.extendedLength) !== 0;
    if (end - start < (wide ? 4 : 3)) return false;
    const code = bytes[start + 1]!;
    const next = wide ? start + 4 + ((bytes[start + 2]! << 8) | bytes[start + 3]!) : start + 3 + bytes[start + 2]!;
    if (next > end) return false;
    if (code === AttributeCode.mpReach) {
      if (spans.reachStart >= 0) return false;
      spans.reachStart = start;
      spans.reachEnd = next;
    } else if (code === AttributeCode.mpUnreach) {
      if (spans.unreachStart >= 0) return false;
      spans.unreachStart = start;
      spans.unreachEnd = next;
    }
    start = next;
  }
  return true;
}
