/**
 * Prefixes in NLRI fields: reading them in batches of numbers and writing them, the hottest path of the codec.
 * A batch is filled before anything is done with it, because RFC 7606 section 3 (j) wants the whole field parsed before any
 * of its routes is touched. Host bits that a sender left set are cleared (RFC 4271 section 4.3: they are irrelevant).
 * Stands on bytes.ts; the RIB takes the columns as they are.
 */
import { put32 } from './bytes.ts';

/** Columns of prefixes; `count` rows are valid. */
export interface PrefixBatch {
  count: number;
  /** Rows left out because no unicast route may have that prefix (RFC 4271 section 6.3). */
  ignored: number;
  /** IPv4: one word a row. IPv6: four words a row, most significant first. */
  words: Uint32Array;
  lengths: Uint8Array;
  /** Path identifiers; all 0 without ADD-PATH. */
  pathIds: Uint32Array;
}

/** An empty batch to be filled again and again; it grows to the largest field it has seen. */
export function createPrefixBatch(family: 4 | 6, capacity = 1024): PrefixBatch {
  return {
    count: 0,
    ignored: 0,
    words: new Uint32Array(capacity * (family === 4 ? 1 : 4)),
    lengths: new Uint8Array(capacity),
    pathIds: new Uint32Array(capacity),
  };
}

/** Makes room for a field of `octets`; each prefix has at least one octet. */
function reserve(batch: PrefixBatch, rows: number, perRow: number): void {
  if (batch.lengths.length >= rows) return;
  batch.words = new Uint32Array(rows * perRow);
  batch.lengths = new Uint8Array(rows);
  batch.pathIds = new Uint32Array(rows);
}

/**
 * Reads IPv4 prefixes from `offset` to `end` into `batch`, replacing what it held.
 * Multicast prefixes are left out and counted. Returns -1, or the offset of the first octet that is not well-formed.
 */
export function readPrefixes4(
  bytes: Uint8Array,
  offset: number,
  end: number,
  addPath: boolean,
  batch: PrefixBatch,
): number {
  reserve(batch, addPath ? ((end - offset) / 5 + 1) | 0 : end - offset, 1);
  const { words, lengths, pathIds } = batch;
  let count = 0;
  let ignored = 0;
  let at = offset;
  batch.count = 0;
  batch.ignored = 0;
  while (at < end) {
    let pathId = 0;
    let cursor = at;
    if (addPath) {
      if (cursor + 5 > end) return at;
      pathId = (bytes[cursor]! << 24) | (bytes[cursor + 1]! << 16) | (bytes[cursor + 2]! << 8) | bytes[cursor + 3]!;
      cursor += 4;
    }
    const length = bytes[cursor]!;
    if (length > 32) return at;
    cursor++;
    const size = (length + 7) >>> 3;
    if (cursor + size > end) return at;
    let value = 0;
    if (size === 3) value = (bytes[cursor]! << 24) | (bytes[cursor + 1]! << 16) | (bytes[cursor + 2]! << 8);
    else if (size === 4) {
      value = (bytes[cursor]! << 24) | (bytes[cursor + 1]! << 16) | (bytes[cursor + 2]! << 8) | bytes[cursor + 3]!;
    } else if (size === 2) value = (bytes[cursor]! << 24) | (bytes[cursor + 1]! << 16);
    else if (size === 1) value = bytes[cursor]! << 24;
    // A shift by 32 is a shift by 0, hence the default route apart.
    if (length !== 0) value &= -1 << (32 - length);
    if (value >>> 28 === 14 && length >= 4) ignored++;
    else {
      words[count] = value;
      lengths[count] = length;
      pathIds[count] = pathId;
      count++;
    }
    at = cursor + size;
  }
  batch.count = count;
  batch.ignored = ignored;
  return -1;
}

/**
 * Reads IPv6 prefixes from `offset` to `end` into `batch`, replacing what it held.
 * Multicast and link-local prefixes are left out and counted. Returns -1, or the offset of the first octet that is not
 * well-formed.
 */
export function readPrefixes6(
  bytes: Uint8Array,
  offset: number,
  end: number,
  addPath: boolean,
  batch: PrefixBatch,
): number {
  reserve(batch, addPath ? ((end - offset) / 5 + 1) | 0 : end - offset, 4);
  const { words, lengths, pathIds } = batch;
  let count = 0;
  let ignored = 0;
  let at = offset;
  batch.count = 0;
  batch.ignored = 0;
  while (at < end) {
    let pathId = 0;
    let cursor = at;
    if (addPath) {
      if (cursor + 5 > end) return at;
      pathId = (bytes[cursor]! << 24) | (bytes[cursor + 1]! << 16) | (bytes[cursor + 2]! << 8) | bytes[cursor + 3]!;
      cursor += 4;
    }
    const length = bytes[cursor]!;
    if (length > 128) return at;
    cursor++;
    const size = (length + 7) >>> 3;
    if (cursor + size > end) return at;
    const row = count * 4;
    for (let word = 0; word < 4; word++) {
      const have = size - word * 4;
      const from = cursor + word * 4;
      let value = 0;
      if (have > 0) value = bytes[from]! << 24;
      if (have > 1) value |= bytes[from + 1]! << 16;
      if (have > 2) value |= bytes[from + 2]! << 8;
      if (have > 3) value |= bytes[from + 3]!;
      const bits = length - word * 32;
      if (bits > 0 && bits < 32) value &= -1 << (32 - bits);
      words[row + word] = value;
    }
    const first = words[row]!;
    if ((first >>> 24 === 0xff && length >= 8) || (first >>> 22 === 0x3fa && length >= 10)) ignored++;
    else {
      lengths[count] = length;
      pathIds[count] = pathId;
      count++;
    }
    at = cursor + size;
  }
  batch.count = count;
  batch.ignored = ignored;
  return -1;
}

/** Octets that a prefix of this length takes, path identifier included when there is one. */
export function prefixSize(length: number, addPath: boolean): number {
  return (addPath ? 5 : 1) + ((length + 7) >>> 3);
}

/** Writes an IPv4 prefix; `pathId` below 0 writes none. Returns where it ends; the caller has made room of 9 octets. */
export function writePrefix4(out: Uint8Array, at: number, value: number, length: number, pathId: number): number {
  if (pathId >= 0) at = put32(out, at, pathId);
  out[at++] = length;
  if (length > 0) out[at++] = value >>> 24;
  if (length > 8) out[at++] = value >>> 16;
  if (length > 16) out[at++] = value >>> 8;
  if (length > 24) out[at++] = value;
  return at;
}

/** Writes the IPv6 prefix whose four words begin at `words[index]`; `pathId` below 0 writes none. Needs room of 21 octets. */
export function writePrefix6(
  out: Uint8Array,
  at: number,
  words: Uint32Array,
  index: number,
  length: number,
  pathId: number,
): number {
  if (pathId >= 0) at = put32(out, at, pathId);
  out[at++] = length;
  const size = (length + 7) >>> 3;
  for (let octet = 0; octet < size; octet++) {
    out[at++] = words[index + (octet >>> 2)]! >>> (24 - (octet & 3) * 8);
  }
  return at;
}
