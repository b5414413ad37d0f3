/**
 * BGP attributes that a Service asks for by annotation. Whoever may edit a Service writes these: every value is checked,
 * a bad one is an issue on that Service and the others stay in force.
 */
import { formatAddress, tryParseAddress } from '../net/address.ts';
import type { AdvertisementAttributes, Issue } from '../net/values.ts';
import { annotation, annotationList, complain, readCommunity, readInteger } from '../objects/annotations.ts';
import type { AnnotationReader } from '../objects/annotations.ts';
import type { ServiceObject } from '../objects/types.ts';
import { serviceAnnotations } from './model.ts';

/** Attributes and next hop that a Service asks for. */
export interface RequestedAttributes {
  readonly attributes: AdvertisementAttributes;
  readonly nextHops: readonly string[];
  readonly issues: readonly Issue[];
}

const U32 = 4294967295;
const integer = (text: string, max: number): number | undefined => readInteger(text, 0, max);

/** Large community (RFC 8092): three 32-bit numbers. */
function large(text: string): string | undefined {
  const parts = text.split(':').map((part) => integer(part, U32));
  return parts.length === 3 && !parts.includes(undefined) ? parts.join(':') : undefined;
}

/** Extended community (RFC 4360, RFC 5668): `rt:` or `soo:` with an ASN or IPv4 address and a number; six bytes in all. */
function extended(text: string): string | undefined {
  const match = /^(rt|soo):([^:]+):([^:]+)$/i.exec(text);
  if (match === null) return undefined;
  const [, kind = '', left = '', right = ''] = match;
  const address = tryParseAddress(left);
  const asn = integer(left, U32);
  const wide = address?.family === 4 || (asn ?? 0) > 65535;
  const value = integer(right, wide ? 65535 : U32);
  if ((asn === undefined && address?.family !== 4) || value === undefined) return undefined;
  return `${kind.toLowerCase()}:${address === undefined ? asn : formatAddress(address)}:${value}`;
}

/** Prepending: `3` (our own ASN) or `64999:3`, at most 32 times. */
function prepend(text: string): AdvertisementAttributes['prepend'] | undefined {
  const parts = text.split(':');
  const count = integer(parts[parts.length - 1] ?? '', 32);
  if (count === undefined || parts.length > 2) return undefined;
  if (parts.length === 1) return { count };
  const asn = integer(parts[0] ?? '', U32 - 1);
  return asn === undefined || asn === 0 ? undefined : { count, asn };
}

/** What most Services ask for; one object for all of them. */
const NOTHING: RequestedAttributes = { attributes: {}, nextHops: [], issues: [] };

/** Reads the BGP annotations of a Service. */
export function requestedAttributes(service: ServiceObject): RequestedAttributes {
  if (Object.keys(service.annotations).length === 0) return NOTHING;
  const issues: Issue[] = [];
  const object = `Service ${service.namespace}/${service.name}`;
  const reader: AnnotationReader = { object, annotations: service.annotations, issues };
  const list = (key: string, read: (text: string) => string | undefined, what: string): readonly string[] =>
    annotationList(reader, key, read, what).toSorted();
  const number = (key: string): number | undefined => {
    const value = annotation(reader, key);
    if (value === undefined) return undefined;
    const read = integer(value, U32);
    if (read === undefined) complain(reader, key, `"${value}" is no number from 0 to 4294967295; it was left out`);
    return read;
  };
  const communities = list(serviceAnnotations.communities, readCommunity, 'community');
  const largeCommunities = list(serviceAnnotations.largeCommunities, large, 'large community');
  const extendedCommunities = list(serviceAnnotations.extendedCommunities, extended, 'extended community');
  const localPreference = number(serviceAnnotations.localPreference);
  const med = number(serviceAnnotations.med);
  const times = annotation(reader, serviceAnnotations.pathPrepend);
  const path = times === undefined ? undefined : prepend(times);
  if (times !== undefined && path === undefined) {
    complain(
      reader,
      serviceAnnotations.pathPrepend,
      `"${times}" is neither a count up to 32 nor "ASN:count"; it was left out`,
    );
  }
  const nextHops = list(
    serviceAnnotations.nextHop,
    (one) => {
      const address = tryParseAddress(one);
      return address === undefined ? undefined : formatAddress(address);
    },
    'address',
  );
  return {
    attributes: {
      ...(communities.length === 0 ? {} : { communities }),
      ...(largeCommunities.length === 0 ? {} : { largeCommunities }),
      ...(extendedCommunities.length === 0 ? {} : { extendedCommunities }),
      ...(localPreference === undefined ? {} : { localPreference }),
      ...(med === undefined ? {} : { med }),
      ...(path === undefined || path.count === 0 ? {} : { prepend: path }),
    },
    nextHops,
    issues,
  };
}

const LISTS = ['communities', 'largeCommunities', 'extendedCommunities'] as const;
const SINGLES = ['localPreference', 'med', 'prepend'] as const;

/** Joins attributes of Services that share an address: lists are united, single values are the first one's; tells what differed. */
export function joinAttributes(
  first: AdvertisementAttributes,
  second: AdvertisementAttributes,
): { readonly attributes: AdvertisementAttributes; readonly conflicts: readonly string[] } {
  const conflicts: string[] = [];
  const joined: Record<string, unknown> = { ...second, ...first };
  for (const name of LISTS) {
    const all = new Set([...(first[name] ?? []), ...(second[name] ?? [])]);
    if (all.size > 0) joined[name] = [...all].sort();
  }
  for (const name of SINGLES) {
    const [a, b] = [first[name], second[name]];
    if (a !== undefined && b !== undefined && JSON.stringify(a) !== JSON.stringify(b)) conflicts.push(name);
  }
  return { attributes: joined, conflicts };
}
