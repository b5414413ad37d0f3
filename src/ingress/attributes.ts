/**
 * BGP attributes that a Service asks for by annotation. Whoever may edit a Service writes these: every value is checked,
 * a bad one is an issue on that Service and the others stay in force.
 */
import { formatAddress, tryParseAddress } from '../net/address.ts';
import type { AdvertisementAttributes, Issue } from '../net/values.ts';
import type { ServiceObject } from '../objects/types.ts';
import { serviceAnnotations } from './model.ts';

/** Attributes and next hop that a Service asks for. */
export interface RequestedAttributes {
  readonly attributes: AdvertisementAttributes;
  readonly nextHops: readonly string[];
  readonly issues: readonly Issue[];
}

const U32 = 4294967295;

function integer(text: string, max: number): number | undefined {
  if (!/^(0|[1-9]\d{0,9})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}

const WELL_KNOWN = new Set([
  'no-export',
  'no-advertise',
  'no-export-subconfed',
  'nopeer',
  'graceful-shutdown',
  'accept-own',
  'llgr-stale',
  'no-llgr',
  'blackhole',
]);

/** Standard community (RFC 1997): `ASN:value`, a 32-bit number, or a well-known name. */
function standard(text: string): string | undefined {
  if (WELL_KNOWN.has(text.toLowerCase())) return text.toLowerCase();
  const whole = integer(text, U32);
  if (whole !== undefined) return `${Math.floor(whole / 65536)}:${whole % 65536}`;
  const parts = text.split(':').map((part) => integer(part, 65535));
  return parts.length === 2 && !parts.includes(undefined) ? parts.join(':') : undefined;
}

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

/** Reads the BGP annotations of a Service. */
export function requestedAttributes(service: ServiceObject): RequestedAttributes {
  const issues: Issue[] = [];
  const complain = (key: string, reason: string): void => {
    issues.push({
      object: `Service ${service.namespace}/${service.name}`,
      field: `metadata.annotations["${key}"]`,
      reason,
    });
  };
  const text = (key: string): string | undefined => {
    const value = service.annotations[key]?.trim();
    return value === '' ? undefined : value;
  };
  const list = (key: string, read: (text: string) => string | undefined, what: string): readonly string[] => {
    const found = new Set<string>();
    for (const part of (text(key) ?? '').split(',')) {
      const one = part.trim();
      if (one === '') continue;
      const value = read(one);
      if (value === undefined) complain(key, `"${one}" is no ${what}; it was left out`);
      else found.add(value);
    }
    return [...found].sort();
  };
  const number = (key: string): number | undefined => {
    const value = text(key);
    if (value === undefined) return undefined;
    const read = integer(value, U32);
    if (read === undefined) complain(key, `"${value}" is no number from 0 to 4294967295; it was left out`);
    return read;
  };
  const communities = list(serviceAnnotations.communities, standard, 'community');
  const largeCommunities = list(serviceAnnotations.largeCommunities, large, 'large community');
  const extendedCommunities = list(serviceAnnotations.extendedCommunities, extended, 'extended community');
  const localPreference = number(serviceAnnotations.localPreference);
  const med = number(serviceAnnotations.med);
  const times = text(serviceAnnotations.pathPrepend);
  const path = times === undefined ? undefined : prepend(times);
  if (times !== undefined && path === undefined) {
    complain(serviceAnnotations.pathPrepend, `"${times}" is neither a count up to 32 nor "ASN:count"; it was left out`);
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
