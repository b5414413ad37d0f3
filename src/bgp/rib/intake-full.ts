/**
 * The long way of reading an UPDATE: every attribute decoded and judged as RFC 7606 says, then written anew and kept.
 * What it made of a block is remembered by the block's bytes, so that odd blocks that come often cost a hash as well.
 * intake.ts comes here with whatever its strict scan does not vouch for.
 */
import { addressToBytes, parseAddress } from '../../net/index.ts';
import { decodeAttributes } from '../message/attributes/decode.ts';
import { encodeAttributes } from '../message/attributes/encode.ts';
import { NotificationCode, UpdateError } from '../message/constants.ts';
import type { PrefixBatch } from '../message/prefixes.ts';
import { readPrefixes4, readPrefixes6 } from '../message/prefixes.ts';
import type { UpdateParts } from '../message/update.ts';
import { announce, withdraw } from './apply.ts';
import type { AttributeStore } from './attribute-store.ts';
import { internBlock, release } from './attribute-store.ts';
import type { IntakeSession, Reset } from './intake-types.ts';
import type { Rib } from './table.ts';

/** Batches of one UPDATE: the classic fields are read before the long way begins. */
export interface Batches {
  readonly withdrawn4: PrefixBatch;
  readonly announced4: PrefixBatch;
  readonly withdrawn6: PrefixBatch;
  readonly announced6: PrefixBatch;
}

/** Reads UPDATEs the long way. */
export interface FullReader {
  /** Remembered result for the same bytes in the same kind of session, with a reference taken; -1 unknown. */
  remembered(session: IntakeSession, bytes: Uint8Array, offset: number, end: number, hash: number): number;
  /** Reads and applies an UPDATE whose parts are known. */
  read(session: IntakeSession, bytes: Uint8Array, parts: UpdateParts, hash: number): Reset | undefined;
}

interface Alias {
  readonly contextId: number;
  readonly bytes: Uint8Array;
  readonly attr: number;
  readonly generation: number;
}

const MAX_ALIASES = 8192;
const scratch = new Uint8Array(70_000);

/** An NLRI field that cannot be read: the session ends. */
export function malformedField(field: string): Reset {
  return {
    notification: { code: NotificationCode.update, subcode: UpdateError.invalidNetwork, data: new Uint8Array(0) },
    reason: `${field} not well formed (RFC 7606 section 5.3)`,
  };
}

/** Writes the MP_REACH_NLRI stub of a block to `scratch`: the next hop, no NLRI. Returns its length. */
function writeStub(nextHop: string, linkLocal: string | undefined, afi: number): number {
  const hop = addressToBytes(parseAddress(nextHop));
  const local = linkLocal === undefined ? new Uint8Array(0) : addressToBytes(parseAddress(linkLocal));
  const length = hop.length + local.length;
  scratch.set([0x80, 14, 5 + length, 0, afi, 1, length], 0);
  scratch.set(hop, 7);
  scratch.set(local, 7 + hop.length);
  scratch[7 + length] = 0;
  return 8 + length;
}

/** Makes a {@link FullReader} over the RIBs of both families. */
export function createFullReader(store: AttributeStore, rib4: Rib, rib6: Rib, batches: Batches): FullReader {
  const { withdrawn4, announced4, withdrawn6, announced6 } = batches;
  const aliases = new Map<number, Alias>();

  const remember = (
    session: IntakeSession,
    bytes: Uint8Array,
    parts: UpdateParts,
    hash: number,
    attr: number,
  ): void => {
    if (aliases.size >= MAX_ALIASES) aliases.clear();
    const { attributesOffset: offset, attributesLength: length } = parts;
    const generation = store.generation[attr]!;
    aliases.set(hash, {
      contextId: session.contextId,
      bytes: bytes.slice(offset, offset + length),
      attr,
      generation,
    });
  };

  return {
    remembered(session, bytes, offset, end, hash) {
      const known = aliases.get(hash);
      if (known?.contextId !== session.contextId || known.bytes.length !== end - offset) return -1;
      if (store.generation[known.attr] !== known.generation) return -1;
      for (let at = 0; at < known.bytes.length; at++) if (known.bytes[at] !== bytes[offset + at]) return -1;
      store.refs[known.attr]!++;
      return known.attr;
    },
    read(session, bytes, parts, hash) {
      const { attributesOffset, attributesLength, nlriLength } = parts;
      const result = decodeAttributes(bytes, attributesOffset, attributesLength, session.context, nlriLength > 0);
      if (result.findings.length > 0) session.onFindings(result.findings);
      if (result.reaction === 'reset') {
        const finding = result.findings.find((one) => one.reaction === 'reset');
        return {
          notification: finding?.notification ?? malformedField('attributes').notification,
          reason: finding?.reason ?? 'malformed UPDATE',
        };
      }
      const { mpReach, mpUnreach } = result;
      withdrawn6.count = announced6.count = 0;
      if (mpUnreach?.family === 'ipv6-unicast' && session.ipv6) {
        const { nlriOffset, nlriLength: size } = mpUnreach;
        if (readPrefixes6(bytes, nlriOffset, nlriOffset + size, session.addPath6, withdrawn6) >= 0)
          return malformedField('MP_UNREACH_NLRI');
        if (size === 0) session.onEndOfRib(6);
      }
      if (mpReach?.family === 'ipv6-unicast' && session.ipv6) {
        const { nlriOffset, nlriLength: size } = mpReach;
        if (readPrefixes6(bytes, nlriOffset, nlriOffset + size, session.addPath6, announced6) >= 0)
          return malformedField('MP_REACH_NLRI');
      }
      // IPv4 routes may come in MP attributes as well (RFC 4760, RFC 8950); they use the batches of the classic fields after those.
      withdraw(session, rib4, withdrawn4);
      if (mpUnreach?.family === 'ipv4-unicast' && session.ipv4) {
        const { nlriOffset, nlriLength: size } = mpUnreach;
        if (readPrefixes4(bytes, nlriOffset, nlriOffset + size, session.addPath4, withdrawn4) >= 0)
          return malformedField('MP_UNREACH_NLRI');
        if (size === 0 && mpReach === undefined) session.onEndOfRib(4);
        withdraw(session, rib4, withdrawn4);
      }
      withdraw(session, rib6, withdrawn6);
      const plain = mpReach === undefined && mpUnreach === undefined;
      /** Takes a batch in with the attributes decoded; `head` octets of `scratch` hold an MP_REACH_NLRI stub in place of a next hop. */
      const take = (rib: Rib, batch: PrefixBatch, nextHop: string | undefined, head: number): void => {
        if (batch.count === 0) return;
        const attributes = { ...result.attributes, nextHop } as typeof result.attributes;
        const size =
          result.reaction === 'withdraw' ? -1 : encodeAttributes(attributes, { peerType: 'ibgp' }, scratch, head);
        const attr = size < 0 ? -1 : internBlock(store, scratch, 0, size, 0, undefined);
        if (attr < 0) {
          withdraw(session, rib, batch);
          return;
        }
        if (plain) remember(session, bytes, parts, hash, attr);
        announce(session, rib, batch, attr);
        release(store, attr);
      };
      if (nlriLength > 0) take(rib4, announced4, result.attributes.nextHop, 0);
      if (mpReach === undefined || mpReach.nextHop === '') return undefined;
      const { nextHop, linkLocal, afi } = mpReach;
      if (mpReach.family === 'ipv6-unicast') take(rib6, announced6, undefined, writeStub(nextHop, linkLocal, afi));
      else if (mpReach.family === 'ipv4-unicast' && session.ipv4) {
        const { nlriOffset, nlriLength: size } = mpReach;
        if (readPrefixes4(bytes, nlriOffset, nlriOffset + size, session.addPath4, announced4) >= 0)
          return malformedField('MP_REACH_NLRI');
        if (nextHop.includes(':')) take(rib4, announced4, undefined, writeStub(nextHop, linkLocal, afi));
        else take(rib4, announced4, nextHop, 0);
      }
      return undefined;
    },
  };
}
