/**
 * A whole UPDATE as values, and values as UPDATEs: the convenient form for originated routes, tools and tests.
 * It gives the same verdict as the pieces that the speaker uses on the hot path, message by message: attributes and every
 * field of routes, the strongest reaction winning.
 * Stands on update.ts, attributes/ and nlri/.
 */
import { decodeAttributes } from './attributes/decode.ts';
import { encodeAttributes, type EncodeContext } from './attributes/encode.ts';
import { strongest } from './attributes/findings.ts';
import { encodeNextHop, MP_UNREACH_HEAD, mpReachHeadSize } from './attributes/mp.ts';
import { writeMpReachHead, writeMpUnreachHead } from './attributes/mp.ts';
import { put16 } from './bytes.ts';
import {
  HEADER_LENGTH,
  MAX_EXTENDED_MESSAGE_LENGTH,
  MAX_MESSAGE_LENGTH,
  MessageType,
  NotificationCode,
  UpdateError,
} from './constants.ts';
import { writeHeader } from './header.ts';
import { decodeNlri, nlriSize, writeNlri } from './nlri/nlri.ts';
import type { Nlri } from './nlri/types.ts';
import type { AttributeContext, Family, Finding, PathAttributes, Reaction } from './types.ts';
import { createUpdateParts, isEndOfRib, splitUpdate } from './update.ts';

/** Routes of one family that a message announces. */
export interface Announcement {
  readonly family: Family;
  /** Canonical address; empty for families without next hop. */
  readonly nextHop: string;
  readonly linkLocal?: string;
  readonly routes: readonly Nlri[];
}

/** Routes of one family that a message withdraws. */
export interface Withdrawal {
  readonly family: Family;
  readonly routes: readonly Nlri[];
}

/** An UPDATE and what it deserves. */
export interface Update {
  readonly attributes: PathAttributes;
  readonly announced: readonly Announcement[];
  readonly withdrawn: readonly Withdrawal[];
  /** The family whose initial routes end here (RFC 4724 section 2). */
  readonly endOfRib?: Family;
  readonly reaction: Reaction;
  readonly findings: readonly Finding[];
}

function field(
  family: Family,
  bytes: Uint8Array,
  offset: number,
  length: number,
  context: AttributeContext,
  findings: Finding[],
): readonly Nlri[] {
  const addPath = context.addPath?.includes(family) ?? false;
  const { entries, ignored, errorAt } = decodeNlri(family, bytes, offset, offset + length, addPath);
  if (errorAt !== undefined) {
    findings.push({
      code: 'nlri-syntax',
      reaction: 'reset',
      reason: `routes of ${family} are not well-formed from octet ${errorAt - offset} on (RFC 7606 section 5.3)`,
      notification: {
        code: NotificationCode.update,
        subcode: UpdateError.invalidNetwork,
        data: new Uint8Array(0),
      },
    });
  }
  if (ignored > 0) {
    const reason = `${ignored} routes that no unicast route may be (RFC 4271 section 6.3)`;
    findings.push({ code: 'nlri-ignored', reaction: 'accept', reason });
  }
  return entries;
}

/** Reads a whole UPDATE message whose header is good. Never throws; what is wrong is in `findings`. */
export function decodeUpdate(bytes: Uint8Array, offset: number, length: number, context: AttributeContext): Update {
  const parts = createUpdateParts();
  const conflict = splitUpdate(bytes, offset, length, parts);
  if (conflict !== undefined) {
    return { attributes: {}, announced: [], withdrawn: [], reaction: 'reset', findings: [conflict] };
  }
  if (isEndOfRib(parts)) {
    return { attributes: {}, announced: [], withdrawn: [], endOfRib: 'ipv4-unicast', reaction: 'accept', findings: [] };
  }
  const routes: Finding[] = [];
  const announced: Announcement[] = [];
  const withdrawn: Withdrawal[] = [];
  const { withdrawnOffset, withdrawnLength, attributesOffset, attributesLength, nlriOffset, nlriLength } = parts;
  if (withdrawnLength > 0) {
    const gone = field('ipv4-unicast', bytes, withdrawnOffset, withdrawnLength, context, routes);
    withdrawn.push({ family: 'ipv4-unicast', routes: gone });
  }
  const block = decodeAttributes(bytes, attributesOffset, attributesLength, context, nlriLength > 0);
  const { attributes, mpReach, mpUnreach } = block;
  let endOfRib: Family | undefined;
  if (mpUnreach !== undefined) {
    const { family } = mpUnreach;
    if (mpUnreach.nlriLength === 0) {
      // Nothing else in the message: with anything else it is an empty withdrawal.
      const alone = attributesLength <= MP_UNREACH_HEAD && withdrawnLength + nlriLength === 0;
      if (alone) endOfRib = family;
    } else {
      const gone = field(family, bytes, mpUnreach.nlriOffset, mpUnreach.nlriLength, context, routes);
      withdrawn.push({ family, routes: gone });
    }
  }
  if (mpReach !== undefined) {
    const { family, nextHop, linkLocal } = mpReach;
    const found = field(family, bytes, mpReach.nlriOffset, mpReach.nlriLength, context, routes);
    announced.push({ family, nextHop, ...(linkLocal === undefined ? {} : { linkLocal }), routes: found });
  }
  if (nlriLength > 0) {
    const found = field('ipv4-unicast', bytes, nlriOffset, nlriLength, context, routes);
    announced.push({ family: 'ipv4-unicast', nextHop: attributes.nextHop ?? '', routes: found });
  }
  const findings = [...block.findings, ...routes];
  const reaction = routes.reduce((worst, found) => strongest(worst, found.reaction), block.reaction);
  return {
    attributes,
    announced,
    withdrawn,
    ...(endOfRib === undefined ? {} : { endOfRib }),
    reaction,
    findings,
  };
}

/** How UPDATEs are to be written. */
export interface UpdateEncodeOptions extends EncodeContext {
  /** Families in which we send path identifiers (RFC 7911). @defaultValue none */
  readonly addPath?: readonly Family[];
  /** Longest message, in octets. @defaultValue 4096 */
  readonly maxLength?: number;
}

/** What {@link encodeUpdate} writes: routes of one family to announce, or to withdraw. */
export interface UpdateFields {
  readonly attributes?: PathAttributes;
  readonly announce?: Announcement;
  readonly withdraw?: Withdrawal;
}

/** Messages, and the routes that no message of the allowed length can carry with these attributes. */
export interface EncodedUpdate {
  readonly messages: readonly Uint8Array[];
  readonly unfit: readonly Nlri[];
}

/** How many routes from `from` on fit into `room` octets. */
function fitting(
  routes: readonly Nlri[],
  from: number,
  room: number,
  addPath: boolean,
): { count: number; size: number } {
  let count = 0;
  let size = 0;
  for (let index = from; index < routes.length; index++) {
    const route = routes[index];
    if (route === undefined || size + nlriSize(route, addPath) > room) break;
    size += nlriSize(route, addPath);
    count++;
  }
  return { count, size };
}

interface Pack {
  /** Octets of the message without its routes. */
  readonly overhead: number;
  /** Writes one message around routes of `size` octets; `routes` writes them at an offset and returns their end. */
  readonly build: (size: number, routes: (out: Uint8Array, at: number) => number) => Uint8Array;
}

function pack(routes: readonly Nlri[], addPath: boolean, maxLength: number, plan: Pack): EncodedUpdate {
  const messages: Uint8Array[] = [];
  const unfit: Nlri[] = [];
  for (let from = 0; from < routes.length;) {
    const { count, size } = fitting(routes, from, maxLength - plan.overhead, addPath);
    if (count === 0) {
      unfit.push(...routes.slice(from, from + 1));
      from++;
      continue;
    }
    const part = routes.slice(from, from + count);
    messages.push(plan.build(size, (out, at) => part.reduce((end, route) => writeNlri(out, end, route, addPath), at)));
    from += count;
  }
  return { messages, unfit };
}

function begin(length: number, withdrawnLength: number): { out: Uint8Array; at: number } {
  const out = new Uint8Array(length);
  return { out, at: put16(out, writeHeader(out, 0, length, MessageType.update), withdrawnLength) };
}

function withdrawPack(family: Family): Pack {
  if (family === 'ipv4-unicast') {
    return {
      overhead: HEADER_LENGTH + 4,
      build(size, routes) {
        const { out, at } = begin(HEADER_LENGTH + 4 + size, size);
        put16(out, routes(out, at), 0);
        return out;
      },
    };
  }
  return {
    overhead: HEADER_LENGTH + 4 + MP_UNREACH_HEAD,
    build(size, routes) {
      const { out, at } = begin(HEADER_LENGTH + 4 + MP_UNREACH_HEAD + size, 0);
      routes(out, writeMpUnreachHead(out, put16(out, at, MP_UNREACH_HEAD + size), family, size));
      return out;
    },
  };
}

/** Where an attribute block is written before its length is known. */
const scratch = new Uint8Array(MAX_EXTENDED_MESSAGE_LENGTH);

function announcePack(announcement: Announcement, attributes: PathAttributes, options: UpdateEncodeOptions): Pack {
  const { family, nextHop, linkLocal } = announcement;
  const maxLength = options.maxLength ?? MAX_MESSAGE_LENGTH;
  const legacy = family === 'ipv4-unicast' && !nextHop.includes(':');
  const { nextHop: _replaced, ...rest } = attributes;
  const end = encodeAttributes(legacy ? { ...rest, nextHop } : rest, options, scratch, 0, maxLength);
  // A block that does not fit leaves room for no route at all.
  const length = end < 0 ? maxLength : end;
  const block = scratch.slice(0, Math.max(0, end));
  if (legacy) {
    const overhead = HEADER_LENGTH + 4 + length;
    return {
      overhead,
      build(size, routes) {
        const { out, at } = begin(overhead + size, 0);
        const from = put16(out, at, length);
        out.set(block, from);
        routes(out, from + length);
        return out;
      },
    };
  }
  const hop = encodeNextHop(family, nextHop, linkLocal);
  const reach = mpReachHeadSize(hop.length);
  return {
    overhead: HEADER_LENGTH + 4 + reach + length,
    build(size, routes) {
      const { out, at } = begin(HEADER_LENGTH + 4 + reach + size + length, 0);
      const from = put16(out, at, reach + size + length);
      out.set(block, routes(out, writeMpReachHead(out, from, family, hop, size)));
      return out;
    },
  };
}

/**
 * Writes UPDATEs, as many as the routes need; withdrawals come first.
 * Attributes that leave no room for a route make that route `unfit`: nothing is cut and nothing malformed is sent.
 * @throws SdkError `INVALID_ADDRESS` when a next hop or aggregator is no address.
 */
export function encodeUpdate(fields: UpdateFields, options: UpdateEncodeOptions = {}): EncodedUpdate {
  const maxLength = options.maxLength ?? MAX_MESSAGE_LENGTH;
  const messages: Uint8Array[] = [];
  const unfit: Nlri[] = [];
  const take = (encoded: EncodedUpdate): void => {
    messages.push(...encoded.messages);
    unfit.push(...encoded.unfit);
  };
  const { withdraw, announce } = fields;
  if (withdraw !== undefined) {
    const addPath = options.addPath?.includes(withdraw.family) ?? false;
    take(pack(withdraw.routes, addPath, maxLength, withdrawPack(withdraw.family)));
  }
  if (announce !== undefined) {
    const addPath = options.addPath?.includes(announce.family) ?? false;
    take(pack(announce.routes, addPath, maxLength, announcePack(announce, fields.attributes ?? {}, options)));
  }
  return { messages, unfit };
}
