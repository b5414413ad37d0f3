/**
 * From UPDATE bytes to the RIB.
 * The common case is two hashes and no objects: a block of attributes that the strict scan vouches for, prefixes read into columns.
 * Everything else goes through the full decoder, which judges as RFC 7606 says; what it made of a block is remembered by the block's
 * bytes. A whole message is read before any of its routes is touched.
 */
import { findMpAttributes } from '../message/attributes/decode.ts';
import type { MpSpans } from '../message/attributes/decode.ts';
import { createPrefixBatch, readPrefixes4, readPrefixes6 } from '../message/prefixes.ts';
import { createUpdateParts, splitUpdate } from '../message/update.ts';
import { announce, withdraw } from './apply.ts';
import type { AttributeStore } from './attribute-store.ts';
import { hashBlock, internBlock, release } from './attribute-store.ts';
import { importSet } from './import-verdicts.ts';
import { createFullReader, malformedField } from './intake-full.ts';
import type { Intake, IntakeSession, Reset } from './intake-types.ts';
import type { Rib } from './table.ts';

const scratch = new Uint8Array(70_000);

/** Makes an {@link Intake} over the RIBs of both families. */
export function createIntake(store: AttributeStore, rib4: Rib, rib6: Rib): Intake {
  const parts = createUpdateParts();
  const spans: MpSpans = { reachStart: -1, reachEnd: -1, unreachStart: -1, unreachEnd: -1 };
  const withdrawn4 = createPrefixBatch(4);
  const announced4 = createPrefixBatch(4);
  const withdrawn6 = createPrefixBatch(6);
  const announced6 = createPrefixBatch(6);
  const full = createFullReader(store, rib4, rib6, { withdrawn4, announced4, withdrawn6, announced6 });

  const update = (session: IntakeSession, bytes: Uint8Array, offset: number, length: number): Reset | undefined => {
    const finding = splitUpdate(bytes, offset, length, parts);
    if (finding !== undefined) {
      return { notification: finding.notification ?? malformedField('UPDATE').notification, reason: finding.reason };
    }
    const { attributesOffset, attributesLength, nlriOffset, nlriLength, withdrawnOffset, withdrawnLength } = parts;
    if (withdrawnLength === 0 && attributesLength === 0 && nlriLength === 0) {
      if (session.ipv4) session.onEndOfRib(4);
      return undefined;
    }
    withdrawn4.count = announced4.count = 0;
    if (withdrawnLength > 0) {
      const end = withdrawnOffset + withdrawnLength;
      if (readPrefixes4(bytes, withdrawnOffset, end, session.addPath4, withdrawn4) >= 0)
        return malformedField('withdrawn routes');
    }
    if (nlriLength > 0) {
      if (readPrefixes4(bytes, nlriOffset, nlriOffset + nlriLength, session.addPath4, announced4) >= 0)
        return malformedField('NLRI');
    }
    if (!session.ipv4) withdrawn4.count = announced4.count = 0;
    if (attributesLength === 0 && nlriLength === 0) {
      withdraw(session, rib4, withdrawn4);
      return undefined;
    }
    const end = attributesOffset + attributesLength;
    if (!findMpAttributes(bytes, attributesOffset, attributesLength, spans)) return full.read(session, bytes, parts, 0);
    const { reachStart, reachEnd, unreachStart, unreachEnd } = spans;
    if (reachStart < 0 && unreachStart < 0) {
      let attr = internBlock(store, bytes, attributesOffset, end, 0, session.kind);
      let hash = 0;
      if (attr < 0) {
        hash = hashBlock(bytes, attributesOffset, end, 0) ^ session.contextId;
        attr = nlriLength > 0 ? full.remembered(session, bytes, attributesOffset, end, hash) : -1;
      }
      if (attr < 0 || session.context.fourOctetAs === false) {
        if (attr >= 0) release(store, attr);
        return full.read(session, bytes, parts, hash);
      }
      withdraw(session, rib4, withdrawn4);
      announce(session, rib4, announced4, attr);
      release(store, attr);
      return undefined;
    }
    // IPv6 in the common shapes: MP_UNREACH_NLRI alone, or MP_REACH_NLRI alone beside attributes.
    if (nlriLength === 0 && session.ipv6 && session.context.fourOctetAs !== false) {
      if (reachStart < 0 && unreachStart === attributesOffset && unreachEnd === end) {
        const value = unreachStart + ((bytes[unreachStart]! & 0x10) !== 0 ? 4 : 3);
        if (end - value >= 3 && bytes[value] === 0 && bytes[value + 1] === 2 && bytes[value + 2] === 1) {
          const flags = bytes[unreachStart]! & 0xf0;
          if (flags === 0x80 || flags === 0x90) {
            if (readPrefixes6(bytes, value + 3, end, session.addPath6, withdrawn6) >= 0)
              return malformedField('MP_UNREACH_NLRI');
            withdraw(session, rib4, withdrawn4);
            if (value + 3 === end) session.onEndOfRib(6);
            withdraw(session, rib6, withdrawn6);
            return undefined;
          }
        }
      } else if (unreachStart < 0) {
        const value = reachStart + ((bytes[reachStart]! & 0x10) !== 0 ? 4 : 3);
        const flags = bytes[reachStart]! & 0xf0;
        const hopLength = bytes[value + 3]!;
        const nlri = value + 5 + hopLength;
        const plain = flags === 0x80 || flags === 0x90;
        if (
          plain &&
          reachEnd - value >= 5 &&
          nlri < reachEnd &&
          bytes[value] === 0 &&
          bytes[value + 1] === 2 &&
          bytes[value + 2] === 1
        ) {
          const headLength = 5 + hopLength;
          if (hopLength === 16 || hopLength === 32) {
            scratch[0] = 0x80;
            scratch[1] = 14;
            scratch[2] = headLength;
            let at = 3;
            for (let from = value; from < nlri; from++) scratch[at++] = bytes[from]!;
            scratch[at - 1] = 0;
            for (let from = attributesOffset; from < reachStart; from++) scratch[at++] = bytes[from]!;
            for (let from = reachEnd; from < end; from++) scratch[at++] = bytes[from]!;
            const attr = internBlock(store, scratch, 0, at, 0, session.kind);
            if (attr >= 0) {
              if (readPrefixes6(bytes, nlri, reachEnd, session.addPath6, announced6) >= 0) {
                release(store, attr);
                return malformedField('MP_REACH_NLRI');
              }
              withdraw(session, rib4, withdrawn4);
              announce(session, rib6, announced6, attr);
              release(store, attr);
              return undefined;
            }
          }
        }
      }
    }
    return full.read(session, bytes, parts, 0);
  };

  return { update, importSet };
}
