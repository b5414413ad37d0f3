/**
 * Attribute sets as values: reading a kept set, keeping a changed one, originating one from an advertisement.
 * This is the slow side of the attribute store, for policies, queries and routes of our own.
 */
import type { Advertisement } from '../../net/values.ts';
import { SdkError, addressFromBytes, addressToBytes, formatAddress, parseAddress } from '../../net/index.ts';
import { decodeAttributes } from '../message/attributes/decode.ts';
import { encodeAttributes } from '../message/attributes/encode.ts';
import { parseCommunity, parseExtendedCommunity, parseLargeCommunity } from '../message/attributes/communities.ts';
import type { PathAttributes, PeerType } from '../message/types.ts';
import type { AttributeStore, Tag } from './attribute-store.ts';
import { NEXT_HOP_6, internBlock, keepForWire, nextHopBytes, release, viewBlock } from './attribute-store.ts';
import { PREPEND_CODE } from './export-attributes.ts';

/** Origins by tag. */
export const ORIGINS: readonly (Advertisement['origin'] | undefined)[] = [undefined, 'pod-cidr', 'vip', 'other'];

const scratch = new Uint8Array(70_000);

/** The attributes of a set, next hop apart. */
export function readAttributes(store: AttributeStore, attr: number): PathAttributes {
  const block = viewBlock(store, attr);
  const skip = (store.flags[attr]! & NEXT_HOP_6) !== 0 ? 3 + block[2]! : 0;
  const context = { peerType: 'ibgp' as const, families: [] };
  return decodeAttributes(block, skip, block.length - skip, context, false).attributes;
}

/** Canonical address of the next hop of a set; empty when it names none. */
export function nextHopText(store: AttributeStore, attr: number): string {
  const bytes = nextHopBytes(store, attr);
  if (bytes.every((octet) => octet === 0)) return '';
  return formatAddress(addressFromBytes(bytes.subarray(0, bytes.length === 4 ? 4 : 16)));
}

/** The link-local next hop of a set beside its global one, if it has one. */
export function linkLocalText(store: AttributeStore, attr: number): string | undefined {
  const bytes = nextHopBytes(store, attr);
  return bytes.length === 32 ? formatAddress(addressFromBytes(bytes.subarray(16))) : undefined;
}

/**
 * Keeps attributes as a set and takes a reference.
 * @param nextHop - 4, 16 or 32 bytes
 * @returns -1 when they do not fit a message
 */
export function keepAttributes(
  store: AttributeStore,
  attributes: PathAttributes,
  nextHop: Uint8Array,
  family: 4 | 6,
  tag: Tag,
  prepend?: { readonly count: number; readonly asn: number },
): number {
  let at = 0;
  const { nextHop: _, ...rest } = attributes;
  if (nextHop.length > 4) {
    scratch.set([0x80, 14, 5 + nextHop.length, 0, family === 4 ? 1 : 2, 1, nextHop.length], 0);
    scratch.set(nextHop, 7);
    at = 8 + nextHop.length;
    scratch[at - 1] = 0;
  }
  const named: PathAttributes =
    nextHop.length === 4 ? { ...rest, nextHop: formatAddress(addressFromBytes(nextHop)) } : rest;
  at = encodeAttributes(named, { peerType: 'ibgp' }, scratch, at, 65_000);
  if (at < 0) return -1;
  if (prepend !== undefined) {
    const { count, asn } = prepend;
    scratch.set([0xc0, PREPEND_CODE, 5, count, asn >>> 24, (asn >>> 16) & 255, (asn >>> 8) & 255, asn & 255], at);
    at += 8;
  }
  return internBlock(store, scratch, 0, at, tag, undefined);
}

const bounded = (value: number | undefined, limit: number, path: string): void => {
  if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= limit)) return;
  throw new SdkError(`${path} must be an integer of 0–${limit}`, { code: 'INVALID_OPTION', details: { path, value } });
};

function read<T>(texts: readonly string[], parse: (text: string) => T | undefined, field: string): T[] {
  return texts.map((text) => {
    const value = parse(text);
    if (value !== undefined) return value;
    const path = `attributes.${field}`;
    throw new SdkError(`${JSON.stringify(text)} is no community`, { code: 'INVALID_OPTION', details: { path, text } });
  });
}

/**
 * Keeps what an advertisement says as a set and takes a reference.
 * @throws SdkError `INVALID_OPTION` | `INVALID_ADDRESS` when a community, number or next hop is none
 */
export function originate(store: AttributeStore, advertisement: Advertisement, family: 4 | 6): number {
  const wanted = advertisement.attributes ?? {};
  const hop =
    advertisement.nextHop === undefined
      ? new Uint8Array(family === 4 ? 4 : 16)
      : addressToBytes(parseAddress(advertisement.nextHop));
  bounded(wanted.med, 0xffffffff, 'attributes.med');
  bounded(wanted.localPreference, 0xffffffff, 'attributes.localPreference');
  bounded(wanted.prepend?.count, 32, 'attributes.prepend.count');
  bounded(wanted.prepend?.asn, 0xffffffff, 'attributes.prepend.asn');
  const sorted = (values: readonly number[]): number[] => [...new Set(values)].sort((a, b) => a - b);
  const attributes: PathAttributes = {
    origin: 'igp',
    asPath: [],
    ...(wanted.med === undefined ? {} : { med: wanted.med }),
    ...(wanted.localPreference === undefined ? {} : { localPref: wanted.localPreference }),
    ...(wanted.communities?.length
      ? { communities: sorted(read(wanted.communities, parseCommunity, 'communities')) }
      : {}),
    ...(wanted.extendedCommunities?.length
      ? { extendedCommunities: read(wanted.extendedCommunities, parseExtendedCommunity, 'extendedCommunities') }
      : {}),
    ...(wanted.largeCommunities?.length
      ? { largeCommunities: read(wanted.largeCommunities, parseLargeCommunity, 'largeCommunities') }
      : {}),
  };
  const tag = Math.max(1, ORIGINS.indexOf(advertisement.origin)) as Tag;
  const prepend =
    (wanted.prepend?.count ?? 0) > 0 ? { count: wanted.prepend!.count, asn: wanted.prepend!.asn ?? 0 } : undefined;
  const attr = keepAttributes(store, attributes, hop, family, tag, prepend);
  if (attr >= 0) return attr;
  throw new SdkError(`attributes of ${advertisement.prefix} do not fit a message`, {
    code: 'INVALID_OPTION',
    details: { path: 'attributes', prefix: advertisement.prefix },
  });
}

/**
 * The set as a two-octet speaker takes it (RFC 6793 section 4.2.2): takes over the reference, returns another with one; -1 when it
 * does not fit.
 */
export function narrowAsNumbers(store: AttributeStore, attr: number, family: 4 | 6, peerType: PeerType): number {
  const hop = nextHopBytes(store, attr);
  const attributes = readAttributes(store, attr);
  let at = 0;
  if (hop.length > 4) {
    scratch.set([0x80, 14, 5 + hop.length, 0, family === 4 ? 1 : 2, 1, hop.length], 0);
    scratch.set(hop, 7);
    at = 8 + hop.length;
    scratch[at - 1] = 0;
  }
  const { nextHop: _, ...rest } = attributes;
  const named = hop.length === 4 ? { ...rest, nextHop: formatAddress(addressFromBytes(hop)) } : rest;
  at = encodeAttributes(named, { peerType, fourOctetAs: false }, scratch, at, 65_000);
  release(store, attr);
  return at < 0 ? -1 : keepForWire(store, scratch, at);
}
