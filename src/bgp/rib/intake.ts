/**
 * From UPDATE bytes to the RIB.
 * The common case is two hashes and no objects: a block of attributes that the strict scan vouches for, prefixes read into columns.
 * Everything else goes through the full decoder, which judges as RFC 7606 says; what it made of a block is remembered by the block's
 * bytes. A whole message is read before any of its routes is touched.
 */
import { decodeAttributes, findMpAttributes } from '../message/attributes/decode.ts';
import type { MpSpans } from '../message/attributes/decode.ts';
import { encodeAttributes } from '../message/attributes/encode.ts';
import { NotificationCode, UpdateError } from '../message/constants.ts';
import type { PrefixBatch } from '../message/prefixes.ts';
import { createPrefixBatch, readPrefixes4, readPrefixes6 } from '../message/prefixes.ts';
import type { AttributeContext, Finding, Notification, PeerType } from '../message/types.ts';
import { createUpdateParts, splitUpdate } from '../message/update.ts';
import { parseAddress, addressToBytes } from '../../net/index.ts';
import type { AttributeStore } from './attribute-store.ts';
import { hashBlock, internBlock, release } from './attribute-store.ts';
import { capacityFor, growInt32, growUint32 } from './columns.ts';
import type { PolicyHook } from './group.ts';
import { findPrefix, internPrefix } from './prefix-table.ts';
import type { Rib } from './table.ts';
import { dropRow, findRow, fitRib, putPath } from './table.ts';

/** Import verdicts by set, as columns: the set imported, -1 rejected or -2 unknown, valid while neither id changed hands. */
export interface Verdicts {
  result: Int32Array;
  generation: Uint32Array;
  resultGeneration: Uint32Array;
}

/** No verdicts yet. */
export function createVerdicts(): Verdicts {
  return { result: new Int32Array(0), generation: new Uint32Array(0), resultGeneration: new Uint32Array(0) };
}

/** What a session settled that matters to its UPDATEs. */
export interface IntakeSession {
  readonly peer: number;
  readonly kind: PeerType;
  readonly context: AttributeContext;
  /** Distinguishes sessions whose contexts read the same bytes differently. */
  readonly contextId: number;
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly addPath4: boolean;
  readonly addPath6: boolean;
  /** Leftmost AS that eBGP paths must have; 0 does not ask. */
  readonly firstAs: number;
  /** Next hops that are ourselves, as keys of the store. */
  readonly ownNextHops: ReadonlySet<string>;
  /** Import policy and the rewriting that the session asks for. */
  readonly importers: readonly [ipv4: PolicyHook | undefined, ipv6: PolicyHook | undefined];
  /** Remembered verdicts of `importers`, by set: id and generations. */
  readonly imported: readonly [ipv4: Verdicts, ipv6: Verdicts];
  /** Told of everything odd, and of End-of-RIB. */
  onFindings(findings: readonly Finding[]): void;
  onEndOfRib(family: 4 | 6): void;
}

/** What ends the session. */
export interface Reset {
  readonly notification: Notification;
  readonly reason: string;
}

/** Takes UPDATEs of all sessions. */
export interface Intake {
  /** Reads a whole UPDATE; returns what ends the session, if anything. */
  update(session: IntakeSession, bytes: Uint8Array, offset: number, length: number): Reset | undefined;
  /** Import verdict on a set: the set imported with a reference taken, -1 rejected. */
  importSet(session: IntakeSession, attr: number, rib: Rib, prefix: number): number;
}

interface Alias {
  readonly contextId: number;
  readonly bytes: Uint8Array;
  readonly attr: number;
  readonly generation: number;
}

const MAX_ALIASES = 8192;
const scratch = new Uint8Array(70_000);

/** Makes an {@link Intake} over the RIBs of both families. */
export function createIntake(store: AttributeStore, rib4: Rib, rib6: Rib): Intake {
  const parts = createUpdateParts();
  const spans: MpSpans = { reachStart: -1, reachEnd: -1, unreachStart: -1, unreachEnd: -1 };
  const withdrawn4 = createPrefixBatch(4);
  const announced4 = createPrefixBatch(4);
  const withdrawn6 = createPrefixBatch(6);
  const announced6 = createPrefixBatch(6);
  const aliases = new Map<number, Alias>();

  const syntax = (field: string): Reset => ({
    notification: { code: NotificationCode.update, subcode: UpdateError.invalidNetwork, data: new Uint8Array(0) },
    reason: `${field} not well formed (RFC 7606 section 5.3)`,
  });

  const importSet = (session: IntakeSession, attr: number, rib: Rib, prefix: number): number => {
    if (session.ownNextHops.has(store.nextHops[store.nextHop[attr]!]!.key)) return -1;
    if (session.firstAs !== 0 && store.neighbourAs[attr] !== session.firstAs) return -1;
    const slot = rib.family === 4 ? 0 : 1;
    const importer = session.importers[slot];
    const imported = session.imported[slot];
    if (importer === undefined) {
      store.refs[attr]!++;
      return attr;
    }
    if (
      !importer.readsPrefix &&
      attr < imported.result.length &&
      imported.generation[attr] === store.generation[attr]
    ) {
      const known = imported.result[attr]!;
      if (known === -1) return -1;
      if (known >= 0 && store.generation[known] === imported.resultGeneration[attr]) {
        store.refs[known]!++;
        return known;
      }
    }
    const result = importer.evaluate(attr, prefix, session.peer);
    if (!importer.readsPrefix) {
      if (attr >= imported.result.length) {
        const n = capacityFor(imported.result.length, store.size);
        imported.result = growInt32(imported.result, n, -2);
        imported.generation = growUint32(imported.generation, n);
        imported.resultGeneration = growUint32(imported.resultGeneration, n);
      }
      imported.result[attr] = result;
      imported.generation[attr] = store.generation[attr]!;
      if (result >= 0) imported.resultGeneration[attr] = store.generation[result]!;
    }
    return result;
  };

  const announce = (session: IntakeSession, rib: Rib, batch: PrefixBatch, attr: number): void => {
    const table = rib.prefixes;
    const { words, lengths, pathIds } = batch;
    const perPrefix = session.importers[rib.family === 4 ? 0 : 1]?.readsPrefix === true;
    let imported = perPrefix ? -1 : importSet(session, attr, rib, -1);
    for (let row = 0; row < batch.count; row++) {
      const prefix =
        table.words === 1
          ? internPrefix(table, words[row]!, 0, 0, 0, lengths[row]!)
          : internPrefix(
              table,
              words[row * 4]!,
              words[row * 4 + 1]!,
              words[row * 4 + 2]!,
              words[row * 4 + 3]!,
              lengths[row]!,
            );
      if (prefix >= rib.head.length) fitRib(rib);
      if (perPrefix) imported = importSet(session, attr, rib, prefix);
      putPath(rib, session.peer, prefix, pathIds[row]!, attr, imported);
      if (perPrefix && imported >= 0) release(store, imported);
    }
    if (!perPrefix && imported >= 0) release(store, imported);
  };

  const withdraw = (session: IntakeSession, rib: Rib, batch: PrefixBatch): void => {
    const table = rib.prefixes;
    const { words, lengths, pathIds } = batch;
    for (let row = 0; row < batch.count; row++) {
      const prefix =
        table.words === 1
          ? findPrefix(table, words[row]!, 0, 0, 0, lengths[row]!)
          : findPrefix(
              table,
              words[row * 4]!,
              words[row * 4 + 1]!,
              words[row * 4 + 2]!,
              words[row * 4 + 3]!,
              lengths[row]!,
            );
      if (prefix < 0) continue;
      const path = findRow(rib, session.peer, prefix, pathIds[row]!);
      if (path >= 0) dropRow(rib, path);
    }
  };

  /** Remembered result of the full decoder for the same bytes in the same kind of session, with a reference taken. */
  const findAlias = (session: IntakeSession, bytes: Uint8Array, offset: number, end: number, hash: number): number => {
    const known = aliases.get(hash);
    if (known?.contextId !== session.contextId || known.bytes.length !== end - offset) return -1;
    if (store.generation[known.attr] !== known.generation) return -1;
    for (let at = 0; at < known.bytes.length; at++) if (known.bytes[at] !== bytes[offset + at]) return -1;
    store.refs[known.attr]!++;
    return known.attr;
  };

  const remember = (
    session: IntakeSession,
    bytes: Uint8Array,
    offset: number,
    end: number,
    hash: number,
    attr: number,
  ): void => {
    if (aliases.size >= MAX_ALIASES) aliases.clear();
    const generation = store.generation[attr]!;
    aliases.set(hash, { contextId: session.contextId, bytes: bytes.slice(offset, end), attr, generation });
  };

  /** Writes the MP_REACH_NLRI stub of a block: no NLRI. */
  const stub = (nextHop: string, linkLocal: string | undefined, afi: number): number => {
    const hop = addressToBytes(parseAddress(nextHop));
    const local = linkLocal === undefined ? new Uint8Array(0) : addressToBytes(parseAddress(linkLocal));
    const length = hop.length + local.length;
    scratch.set([0x80, 14, 5 + length, 0, afi, 1, length], 0);
    scratch.set(hop, 7);
    scratch.set(local, 7 + hop.length);
    scratch[7 + length] = 0;
    return 8 + length;
  };

  /** The long way: full decoding, RFC 7606. */
  const decodeSlowly = (
    session: IntakeSession,
    bytes: Uint8Array,
    hasNlri: boolean,
    hash: number,
  ): Reset | undefined => {
    const { attributesOffset, attributesLength, nlriLength } = parts;
    const end = attributesOffset + attributesLength;
    const result = decodeAttributes(bytes, attributesOffset, attributesLength, session.context, nlriLength > 0);
    if (result.findings.length > 0) session.onFindings(result.findings);
    if (result.reaction === 'reset') {
      const finding = result.findings.find((one) => one.reaction === 'reset');
      return {
        notification: finding?.notification ?? syntax('attributes').notification,
        reason: finding?.reason ?? 'malformed UPDATE',
      };
    }
    const { mpReach, mpUnreach } = result;
    withdrawn6.count = announced6.count = 0;
    if (mpUnreach?.family === 'ipv6-unicast' && session.ipv6) {
      const { nlriOffset, nlriLength: size } = mpUnreach;
      if (readPrefixes6(bytes, nlriOffset, nlriOffset + size, session.addPath6, withdrawn6) >= 0)
        return syntax('MP_UNREACH_NLRI');
      if (size === 0) session.onEndOfRib(6);
    }
    if (mpReach?.family === 'ipv6-unicast' && session.ipv6) {
      const { nlriOffset, nlriLength: size } = mpReach;
      if (readPrefixes6(bytes, nlriOffset, nlriOffset + size, session.addPath6, announced6) >= 0)
        return syntax('MP_REACH_NLRI');
    }
    // IPv4 routes may come in MP attributes as well (RFC 4760, RFC 8950); they use the batches of the classic fields after those.
    withdraw(session, rib4, withdrawn4);
    if (mpUnreach?.family === 'ipv4-unicast' && session.ipv4) {
      const { nlriOffset, nlriLength: size } = mpUnreach;
      if (readPrefixes4(bytes, nlriOffset, nlriOffset + size, session.addPath4, withdrawn4) >= 0)
        return syntax('MP_UNREACH_NLRI');
      if (size === 0 && mpReach === undefined) session.onEndOfRib(4);
      withdraw(session, rib4, withdrawn4);
    }
    withdraw(session, rib6, withdrawn6);
    const drop = result.reaction === 'withdraw';
    const take = (rib: Rib, batch: PrefixBatch, head: number, cacheable: boolean): void => {
      if (batch.count === 0) return;
      if (drop) {
        withdraw(session, rib, batch);
        return;
      }
      const attributes = head > 0 ? { ...result.attributes, nextHop: undefined } : result.attributes;
      const size = encodeAttributes(attributes as typeof result.attributes, { peerType: 'ibgp' }, scratch, head);
      const attr = size < 0 ? -1 : internBlock(store, scratch, 0, size, 0, undefined);
      if (attr < 0) {
        withdraw(session, rib, batch);
        return;
      }
      if (cacheable) remember(session, bytes, attributesOffset, end, hash, attr);
      announce(session, rib, batch, attr);
      release(store, attr);
    };
    const clean = result.reaction === 'accept' && mpReach === undefined && mpUnreach === undefined;
    if (hasNlri)
      take(
        rib4,
        announced4,
        0,
        clean || (result.reaction === 'discard' && mpReach === undefined && mpUnreach === undefined),
      );
    if (mpReach !== undefined && mpReach.nextHop !== '') {
      const afi = mpReach.afi;
      if (mpReach.family === 'ipv6-unicast')
        take(rib6, announced6, stub(mpReach.nextHop, mpReach.linkLocal, afi), false);
      else if (mpReach.family === 'ipv4-unicast' && session.ipv4) {
        const { nlriOffset, nlriLength: size } = mpReach;
        if (readPrefixes4(bytes, nlriOffset, nlriOffset + size, session.addPath4, announced4) >= 0)
          return syntax('MP_REACH_NLRI');
        const four = !mpReach.nextHop.includes(':');
        if (four) {
          const hop = { ...result.attributes, nextHop: mpReach.nextHop };
          const size4 = encodeAttributes(hop, { peerType: 'ibgp' }, scratch, 0);
          const attr = size4 < 0 || drop ? -1 : internBlock(store, scratch, 0, size4, 0, undefined);
          if (attr < 0) withdraw(session, rib4, announced4);
          else {
            announce(session, rib4, announced4, attr);
            release(store, attr);
          }
        } else take(rib4, announced4, stub(mpReach.nextHop, mpReach.linkLocal, afi), false);
      }
    }
    return undefined;
  };

  const update = (session: IntakeSession, bytes: Uint8Array, offset: number, length: number): Reset | undefined => {
    const finding = splitUpdate(bytes, offset, length, parts);
    if (finding !== undefined) {
      return { notification: finding.notification ?? syntax('UPDATE').notification, reason: finding.reason };
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
        return syntax('withdrawn routes');
    }
    if (nlriLength > 0) {
      if (readPrefixes4(bytes, nlriOffset, nlriOffset + nlriLength, session.addPath4, announced4) >= 0)
        return syntax('NLRI');
    }
    if (!session.ipv4) withdrawn4.count = announced4.count = 0;
    if (attributesLength === 0 && nlriLength === 0) {
      withdraw(session, rib4, withdrawn4);
      return undefined;
    }
    const end = attributesOffset + attributesLength;
    if (!findMpAttributes(bytes, attributesOffset, attributesLength, spans))
      return decodeSlowly(session, bytes, nlriLength > 0, 0);
    const { reachStart, reachEnd, unreachStart, unreachEnd } = spans;
    if (reachStart < 0 && unreachStart < 0) {
      let attr = internBlock(store, bytes, attributesOffset, end, 0, session.kind);
      let hash = 0;
      if (attr < 0) {
        hash = hashBlock(bytes, attributesOffset, end, 0) ^ session.contextId;
        attr = nlriLength > 0 ? findAlias(session, bytes, attributesOffset, end, hash) : -1;
      }
      if (attr < 0 || session.context.fourOctetAs === false) {
        if (attr >= 0) release(store, attr);
        return decodeSlowly(session, bytes, nlriLength > 0, hash);
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
              return syntax('MP_UNREACH_NLRI');
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
                return syntax('MP_REACH_NLRI');
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
    return decodeSlowly(session, bytes, nlriLength > 0, 0);
  };

  return { update, importSet };
}
