/**
 * Reads the JSON of `ip -j -N -d … show`. Pure; fields that a version of iproute2 leaves out are left out here as well.
 */
import { canonicalAddress, familyOf, formatAddress, tryParseAddress } from '../../net/address.ts';
import { SdkError } from '../../net/errors.ts';
import { formatPrefix, hostPrefix, tryParsePrefix } from '../../net/prefix.ts';
import type { IpAddress, IpLink, IpNeighbour, IpNextHop, IpRoute, IpRouteType, IpRule } from './model.ts';

type Json = Readonly<Record<string, unknown>>;

/** The objects of one answer; iproute2 prints nothing, or `[{}]`, where there is nothing. */
function parseList(text: string): Json[] {
  if (text.trim() === '') return [];
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new SdkError('ip printed what is not JSON', {
      code: 'PARSE_FAILED',
      cause,
      details: { text: text.slice(0, 200) },
    });
  }
  if (!Array.isArray(json)) throw new SdkError('ip printed no list', { code: 'PARSE_FAILED' });
  return (json as unknown[]).filter(
    (item): item is Json => typeof item === 'object' && item !== null && Object.keys(item).length > 0,
  );
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const listOf = (value: unknown): readonly string[] => (Array.isArray(value) ? (value as string[]) : []);
const objectOf = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});
/** A number written as one, or as text in any base that ip uses. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value === '') return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}
/** An object without its absent fields. */
function present<T extends object>(fields: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

/** Reads `ip -j -d link show`. @throws SdkError `PARSE_FAILED`, as all here */
export function parseIpLinks(text: string): IpLink[] {
  return parseList(text).map((item) => {
    const info = objectOf(item['linkinfo']);
    const flags = listOf(item['flags']);
    return present<IpLink>({
      index: numberOf(item['ifindex']) ?? 0,
      name: textOf(item['ifname']) ?? '',
      up: flags.includes('UP'),
      mtu: numberOf(item['mtu']) ?? 0,
      address: textOf(item['address']),
      master: textOf(item['master']),
      kind: textOf(info['info_kind']),
      info: objectOf(info['info_data']),
      flags,
    });
  });
}

/** Reads `ip -j addr show`. */
export function parseIpAddresses(text: string): IpAddress[] {
  return parseList(text).flatMap((item) => {
    const addresses = Array.isArray(item['addr_info']) ? (item['addr_info'] as Json[]) : [];
    return addresses
      .filter((one) => textOf(one['local']) !== undefined)
      .map((one) =>
        present<IpAddress>({
          device: textOf(item['ifname']) ?? '',
          address: canonicalAddress(textOf(one['local'])!),
          length: numberOf(one['prefixlen']) ?? 0,
          scope: textOf(one['scope']) ?? String(numberOf(one['scope']) ?? 'global'),
          label: textOf(one['label']),
          peer: textOf(one['address']),
          flags: Object.keys(one).filter((name) => one[name] === true),
        }),
      );
  });
}

/** `RTN_*` of linux/rtnetlink.h, in order from 1. */
const ROUTE_TYPES: readonly IpRouteType[] = [
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
];

function routeType(value: unknown): IpRouteType | undefined {
  const number = numberOf(value);
  return number === undefined ? ROUTE_TYPES.find((name) => name === value) : ROUTE_TYPES[number - 1];
}

function prefixOf(text: string, family: 4 | 6): string {
  if (text === 'default') return family === 4 ? '0.0.0.0/0' : '::/0';
  const address = tryParseAddress(text);
  if (address !== undefined) return formatPrefix(hostPrefix(address));
  const prefix = tryParsePrefix(text);
  if (prefix === undefined) throw new SdkError(`not a prefix of ip: ${text}`, { code: 'PARSE_FAILED' });
  return formatPrefix(prefix);
}

function parseHop(item: Json): IpNextHop {
  const flags = listOf(item['flags']);
  const other = flags.filter((flag) => flag !== 'onlink');
  const weight = numberOf(item['weight']);
  const via = textOf(item['gateway']) ?? textOf(objectOf(item['via'])['host']);
  return present<IpNextHop>({
    via: via === undefined ? undefined : canonicalAddress(via),
    device: textOf(item['dev']),
    weight: weight === 1 ? undefined : weight,
    onlink: flags.includes('onlink') ? true : undefined,
    flags: other.length > 0 ? other : undefined,
  });
}

/** Reads `ip -4|-6 -j -N route show …`; a field at its default is left out. */
export function parseIpRoutes(text: string, family: 4 | 6): IpRoute[] {
  return parseList(text).map((item) => {
    const several = Array.isArray(item['nexthops']) ? (item['nexthops'] as Json[]) : undefined;
    const type = routeType(item['type']);
    const table = numberOf(item['table']);
    const scope = numberOf(item['scope']);
    const metrics = Array.isArray(item['metrics']) ? objectOf((item['metrics'] as unknown[])[0]) : {};
    const alone = parseHop(item);
    const drops = type !== undefined && ['blackhole', 'unreachable', 'prohibit', 'throw'].includes(type);
    const hops = several?.map(parseHop) ?? (drops || (alone.via ?? alone.device) === undefined ? [] : [alone]);
    return present<IpRoute>({
      type: type === 'unicast' ? undefined : type,
      prefix: prefixOf(textOf(item['dst']) ?? 'default', family),
      table: table === 254 ? undefined : table,
      protocol: numberOf(item['protocol']),
      metric: numberOf(item['metric']),
      scope: scope === 0 ? undefined : scope,
      source: textOf(item['prefsrc']),
      mtu: numberOf(metrics['mtu']),
      nextHops: hops,
    });
  });
}

const RULE_ACTIONS: Readonly<Record<string, IpRule['action']>> = {
  '6': 'blackhole',
  '7': 'unreachable',
  '8': 'prohibit',
  blackhole: 'blackhole',
  unreachable: 'unreachable',
  prohibit: 'prohibit',
};

/** Reads `ip -4|-6 -j -N rule show`. */
export function parseIpRules(text: string, family: 4 | 6): IpRule[] {
  return parseList(text).map((item) => {
    const side = (name: string): string | undefined => {
      const address = textOf(item[name]);
      if (address === undefined || address === 'all') return undefined;
      const length = numberOf(item[`${name}len`]);
      if (length === 0) return undefined;
      return prefixOf(length === undefined ? address : `${address}/${length}`, family);
    };
    const mask = numberOf(item['fwmask']);
    return present<IpRule>({
      family,
      priority: numberOf(item['priority']) ?? 0,
      not: 'not' in item ? true : undefined,
      from: side('src'),
      to: side('dst'),
      iif: textOf(item['iif']),
      oif: textOf(item['oif']),
      fwmark: numberOf(item['fwmark']),
      fwmask: mask === 0xffffffff ? undefined : mask,
      table: numberOf(item['table']),
      action: RULE_ACTIONS[String(item['action'])],
      protocol: numberOf(item['protocol']),
    });
  });
}

/** Reads `ip -j neigh show`. */
export function parseIpNeighbours(text: string): IpNeighbour[] {
  return parseList(text)
    .filter((item) => familyOf(textOf(item['dst']) ?? '') !== undefined)
    .map((item) =>
      present<IpNeighbour>({
        device: textOf(item['dev']) ?? '',
        address: formatAddress(tryParseAddress(textOf(item['dst'])!)!),
        hardware: textOf(item['lladdr']),
        state: listOf(item['state']),
      }),
    );
}
