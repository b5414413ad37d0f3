/**
 * Writes UPDATE messages: prefixes that share an attribute set go out together, as many as a message holds.
 * Stands on the attribute store and the prefix table; groups hand it chains of prefixes.
 */
import { NOTHING } from '../message/bytes.ts';
import { HEADER_LENGTH, MessageType } from '../message/constants.ts';
import { writeHeader } from '../message/header.ts';
import { writePrefix4, writePrefix6 } from '../message/prefixes.ts';
import type { AttributeStore } from './attribute-store.ts';
import { NEXT_HOP_6, copyBlock, viewBlock } from './attribute-store.ts';
import type { PrefixTable } from './prefix-table.ts';

/** Longest prefix with a path identifier on the wire. */
const MAX_PREFIX = 21;

/** One buffer under construction. */
export interface Packer {
  readonly bytes: Uint8Array;
  at: number;
  readonly prefixes: PrefixTable;
  readonly store: AttributeStore;
  /** Longest message, header included. */
  maxLength: number;
  /** Where the message under construction begins, its attributes end and its NLRI may go on; -1 none. */
  start: number;
  limit: number;
  /** Where the length field of the NLRI's attribute stands; -1 when the NLRI closes the message. */
  mpLength: number;
  /** Attributes behind the MP attribute. */
  tail: Uint8Array;
  kind: 'announce' | 'withdraw';
}

/** A packer with a buffer of its own. */
export function createPacker(
  prefixes: PrefixTable,
  store: AttributeStore,
  maxLength: number,
  bytes: Uint8Array,
): Packer {
  return {
    bytes,
    at: 0,
    prefixes,
    store,
    maxLength,
    start: -1,
    limit: 0,
    mpLength: -1,
    tail: NOTHING,
    kind: 'announce',
  };
}

/** Whether one more message surely fits the buffer. */
export function hasRoom(packer: Packer): boolean {
  return packer.at + packer.maxLength <= packer.bytes.length;
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Begins a message that announces with the set `attr`; false when no prefix fits beside the set (the route cannot be told). */
export function beginAnnounce(packer: Packer, attr: number): boolean {
  const { bytes, store } = packer;
  const start = packer.at;
  const length = store.length[attr]!;
  packer.kind = 'announce';
  let at = start + HEADER_LENGTH;
  if ((store.flags[attr]! & NEXT_HOP_6) !== 0) {
    const block = viewBlock(store, attr);
    const stub = 3 + block[2]!;
    if (HEADER_LENGTH + 4 + 1 + length + MAX_PREFIX > packer.maxLength) return false;
    put16(bytes, at, 0);
    at += 4;
    bytes[at] = 0x90;
    bytes[at + 1] = 14;
    packer.mpLength = at + 2;
    at += 4;
    bytes.set(block.subarray(3, stub), at);
    at += stub - 3;
    packer.tail = block.subarray(stub);
    packer.limit = start + packer.maxLength - packer.tail.length;
  } else {
    if (HEADER_LENGTH + 4 + length + MAX_PREFIX > packer.maxLength) return false;
    put16(bytes, at, 0);
    put16(bytes, at + 2, length);
    at = copyBlock(store, attr, bytes, at + 4);
    packer.mpLength = -1;
    packer.tail = NOTHING;
    packer.limit = start + packer.maxLength;
  }
  packer.start = start;
  packer.at = at;
  return true;
}

/** Begins a message that withdraws. */
export function beginWithdraw(packer: Packer): void {
  const { bytes } = packer;
  const start = packer.at;
  packer.kind = 'withdraw';
  packer.tail = NOTHING;
  packer.start = start;
  let at = start + HEADER_LENGTH;
  if (packer.prefixes.family === 4) {
    packer.mpLength = at;
    packer.at = at + 2;
    packer.limit = start + packer.maxLength - 2;
    return;
  }
  put16(bytes, at, 0);
  at += 4;
  bytes[at] = 0x90;
  bytes[at + 1] = 15;
  packer.mpLength = at + 2;
  bytes[at + 4] = 0;
  bytes[at + 5] = 2;
  bytes[at + 6] = 1;
  packer.at = at + 7;
  packer.limit = start + packer.maxLength;
}

/** Adds a prefix to the message under construction; false when it is full. `pathId` below 0: the peer takes none. */
export function addPrefix(packer: Packer, prefix: number, pathId: number): boolean {
  if (packer.at + MAX_PREFIX > packer.limit) return false;
  const table = packer.prefixes;
  const length = table.lengths[prefix]!;
  packer.at =
    table.words === 1
      ? writePrefix4(packer.bytes, packer.at, table.bits[prefix]!, length, pathId)
      : writePrefix6(packer.bytes, packer.at, table.bits, prefix * 4, length, pathId);
  return true;
}

/** Ends the message under construction. */
export function endMessage(packer: Packer): void {
  const { bytes, start, mpLength, tail } = packer;
  if (packer.kind === 'withdraw' && packer.prefixes.family === 4) {
    put16(bytes, mpLength, packer.at - mpLength - 2);
    put16(bytes, packer.at, 0);
    packer.at += 2;
  } else if (mpLength >= 0) {
    put16(bytes, mpLength, packer.at - mpLength - 2);
    bytes.set(tail, packer.at);
    packer.at += tail.length;
    put16(bytes, start + HEADER_LENGTH + 2, packer.at - start - HEADER_LENGTH - 4);
  }
  writeHeader(bytes, start, packer.at - start, MessageType.update);
  packer.start = -1;
}
