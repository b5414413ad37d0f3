/**
 * What the tools print, back into items: the other half of render.
 * Only what is ours by its mark becomes an item (protocol 17, table 77, our names); of the rest only what stands in our way is kept.
 * Pure.
 */
import { SdkError } from '../../net/errors.ts';
import { formatAddress, tryParseAddress } from '../../net/address.ts';
import { formatPrefix, tryParsePrefix } from '../../net/prefix.ts';
import type { Family } from '../../net/values.ts';
import { TUNNEL_NAME } from '../compile/encapsulation.ts';
import type { ChainItem, RouteHop, RouteItem, RoutingItem, RuleItem } from '../model.ts';
import {
  OVERLAY_TABLE,
  ROUTE_PROTOCOL,
  chainItem,
  isLinkLocal,
  itemKey,
  linkItem,
  names,
  routeItem,
  setName,
} from '../model.ts';

type Json = Readonly<Record<string, unknown>>;

/** JSON lists that iproute2 prints; nothing at all means none. */
export function jsonList(text: string, what: string): readonly Json[] {
  if (text.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return value.filter((one): one is Json => typeof one === 'object' && one !== null);
  } catch (cause) {
    throw new SdkError(`${what} printed no JSON`, {
      code: 'PARSE_FAILED',
      cause,
      details: { text: text.slice(0, 200) },
    });
  }
  throw new SdkError(`${what} printed JSON that is no list`, {
    code: 'PARSE_FAILED',
    details: { text: text.slice(0, 200) },
  });
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const objectOf = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});

/** `dst` of a route as a canonical prefix: iproute2 leaves out the length of host routes and writes `default`. */
function prefixText(dst: string, family: Family): string | undefined {
  if (dst === 'default') return family === 4 ? '0.0.0.0/0' : '::/0';
  const prefix = tryParsePrefix(dst.includes('/') ? dst : `${dst}/${family === 4 ? 32 : 128}`, { hostBits: 'mask' });
  return prefix === undefined ? undefined : formatPrefix(prefix);
}

function canonical(text: string | undefined): string | undefined {
  const address = text === undefined ? undefined : tryParseAddress(text);
  return address === undefined ? undefined : formatAddress(address);
}

function hopOf(json: Json, flags: readonly unknown[]): RouteHop {
  const via = canonical(textOf(json['gateway']) ?? textOf(objectOf(json['via'])['host']));
  const dev = textOf(json['dev']);
  const onlink = flags.includes('onlink') || (via !== undefined && isLinkLocal(via));
  const weight = numberOf(json['weight']);
  return {
    ...(via === undefined ? {} : { via }),
    // With a gateway the device follows from it, unless the gateway is declared to be on the link or is link-local.
    ...(dev === undefined || (via !== undefined && !onlink) ? {} : { dev }),
    ...(weight === undefined ? {} : { weight }),
  };
}

/** Routes of one table, ours and those in the place of ours. */
export interface ParsedRoutes {
  readonly items: readonly RouteItem[];
  /** Key of the route of ours that could not be there → protocol. */
  readonly foreign: ReadonlyMap<string, string>;
}

/** Default metric of a family: IPv6 routes without one get 1024 (IP6_RT_PRIO_USER). */
const DEFAULT_METRIC = { 4: 0, 6: 1024 } as const;

/** Reads `ip -j -4|-6 route show table TABLE` of the main table or ours. */
export function parseRoutes(text: string, family: Family, table: number): ParsedRoutes {
  const items: RouteItem[] = [];
  const foreign = new Map<string, string>();
  for (const json of jsonList(text, 'ip route')) {
    const prefix = prefixText(textOf(json['dst']) ?? '', family);
    if (prefix === undefined) continue;
    const metric = numberOf(json['metric']) ?? 0;
    const protocol = textOf(json['protocol']) ?? '';
    const regular = metric === DEFAULT_METRIC[family] || metric === 0;
    if (protocol !== `${ROUTE_PROTOCOL}` && table !== OVERLAY_TABLE) {
      if (regular && protocol !== '') foreign.set(`route/${table}/${prefix}`, protocol);
      continue;
    }
    const flags = listOf(json['flags']);
    const several = listOf(json['nexthops']).map(objectOf);
    const hops = several.length > 0 ? several.map((one) => hopOf(one, listOf(one['flags']))) : [hopOf(json, flags)];
    const source = canonical(textOf(json['prefsrc']));
    const mtu = listOf(json['metrics'])
      .map((one) => numberOf(objectOf(one)['mtu']))
      .find((one) => one !== undefined);
    items.push(
      routeItem({
        table,
        prefix,
        hops,
        ...(source === undefined ? {} : { source }),
        ...(mtu === undefined ? {} : { mtu }),
        ...(regular ? {} : { metric }),
      }),
    );
  }
  return { items, foreign };
}

/** Reads `ip -j -d link show`: our devices alone. */
export function parseLinks(text: string, bridge: string = names.bridge): readonly RoutingItem[] {
  const items: RoutingItem[] = [];
  for (const json of jsonList(text, 'ip link')) {
    const name = textOf(json['ifname']) ?? '';
    const info = objectOf(json['linkinfo']);
    const kind = textOf(info['info_kind']);
    const data = objectOf(info['info_data']);
    const mtu = numberOf(json['mtu']);
    const common = { name, ...(mtu === undefined ? {} : { mtu }) };
    const local = canonical(textOf(data['local']) ?? textOf(data['local6']));
    const remote = canonical(textOf(data['remote']) ?? textOf(data['remote6']));
    const ends = { ...(local === undefined ? {} : { local }), ...(remote === undefined ? {} : { remote }) };
    // A device that is down carries nothing: it is not what is wanted.
    const up = listOf(json['flags']).includes('UP');
    if (!up) continue;
    if (name === bridge && kind === 'bridge') items.push(linkItem({ ...common, kind }));
    else if ((kind === 'ipip' || kind === 'ip6tnl') && TUNNEL_NAME.test(name)) {
      const encap = objectOf(data['encap']);
      const port = textOf(encap['type']) === 'gue' ? numberOf(encap['dport']) : undefined;
      items.push(linkItem({ ...common, kind, ...ends, ...(port === undefined ? {} : { port }) }));
    } else if (kind === 'vxlan' && /^kr-vxlan[46]$/.test(name)) {
      const vni = numberOf(data['id']);
      const port = numberOf(data['port']);
      const mac = textOf(json['address']);
      items.push(
        linkItem({
          ...common,
          kind,
          ...ends,
          ...(port === undefined ? {} : { port }),
          ...(vni === undefined ? {} : { vni }),
          ...(mac === undefined ? {} : { mac }),
        }),
      );
    } else if (kind === 'wireguard' && name === names.wireguard) items.push(linkItem({ ...common, kind }));
  }
  return items;
}

/** Reads `ip -j -4|-6 rule show`: rules that look up table 77. */
export function parseRules(text: string, family: Family): readonly RuleItem[] {
  const items: RuleItem[] = [];
  for (const json of jsonList(text, 'ip rule')) {
    if (String(json['table']) !== `${OVERLAY_TABLE}` && json['table'] !== 'kube-router') continue;
    const length = numberOf(json['srclen']);
    const from = prefixText(`${textOf(json['src']) ?? ''}${length === undefined ? '' : `/${length}`}`, family);
    if (from !== undefined) items.push({ type: 'rule', family, from, table: OVERLAY_TABLE });
  }
  return items;
}

/** Reads `ip -j fou show`. */
export function parseFou(text: string): readonly RoutingItem[] {
  const items: RoutingItem[] = [];
  for (const json of jsonList(text, 'ip fou')) {
    const port = numberOf(json['port']);
    if (port === undefined || json['gue'] === undefined) continue;
    items.push({ type: 'fou', family: 'inet6' in json || json['family'] === 'inet6' || '-6' in json ? 6 : 4, port });
  }
  return items;
}

/** Reads `ip -j neigh show dev D nud permanent`. */
export function parseNeighbours(text: string, dev: string): readonly RoutingItem[] {
  const items: RoutingItem[] = [];
  for (const json of jsonList(text, 'ip neigh')) {
    const address = canonical(textOf(json['dst']));
    const mac = textOf(json['lladdr']);
    if (address !== undefined && mac !== undefined && listOf(json['state']).includes('PERMANENT')) {
      items.push({ type: 'neighbour', dev, address, mac });
    }
  }
  return items;
}

/** Reads `bridge -j fdb show dev D`. */
export function parseFdb(text: string, dev: string): readonly RoutingItem[] {
  const items: RoutingItem[] = [];
  for (const json of jsonList(text, 'bridge fdb')) {
    const remote = canonical(textOf(json['dst']));
    const mac = textOf(json['mac']);
    if (remote !== undefined && mac !== undefined) items.push({ type: 'fdb', dev, mac, remote });
  }
  return items;
}

/** Reads `wg show D dump`: the first line is the device, each other one a peer. */
export function parseWireguard(
  text: string,
  dev: string,
): { readonly port?: number; readonly peers: readonly RoutingItem[] } {
  const [device, ...lines] = text.split('\n').filter((line) => line !== '');
  const port = Number(device?.split('\t')[2]);
  const peers = lines.flatMap((line): RoutingItem[] => {
    const [publicKey, , endpoint, allowed] = line.split('\t');
    if (publicKey === undefined) return [];
    return [
      {
        type: 'wireguard-peer',
        dev,
        publicKey,
        endpoint: endpoint ?? '',
        allowed: (allowed ?? '')
          .split(',')
          .filter((one) => one !== '(none)' && one !== '')
          .sort(),
      },
    ];
  });
  return { ...(Number.isInteger(port) ? { port } : {}), peers };
}

/** Reads `ipset save`: our sets and their entries; two halves of everything are one again. */
export function parseSets(text: string, families: readonly Family[]): readonly RoutingItem[] {
  const ours = new Map<string, { family: Family; net: boolean }>();
  for (const family of families) {
    ours.set(setName(names.podSubnets, family), { family, net: true });
    ours.set(setName(names.nodeIps, family), { family, net: false });
  }
  const items: RoutingItem[] = [];
  for (const line of text.split('\n')) {
    const [verb, name = '', third = ''] = line.split(' ');
    const known = ours.get(name);
    if (known === undefined) continue;
    if (verb === 'create' && (third === 'hash:ip' || third === 'hash:net')) {
      items.push({ type: 'set', name, kind: third, family: known.family });
    } else if (verb === 'add') {
      if (third === '128.0.0.0/1' || third === '8000::/1') continue;
      const entry = third === '0.0.0.0/1' ? '0.0.0.0/0' : third === '::/1' ? '::/0' : third;
      items.push({
        type: 'entry',
        set: name,
        entry: known.net && !entry.includes('/') ? `${entry}/${known.family === 4 ? 32 : 128}` : entry,
      });
    }
  }
  return items;
}

/** Chains as read, and where jumps of ours may be inserted. */
export interface ParsedChains {
  readonly items: readonly ChainItem[];
  readonly heads: ReadonlyMap<string, number>;
}

const OUR_CHAINS = new Set<string>([names.forward, names.egress, names.mss]);

/** Reads `iptables-save` of any tables. */
export function parseChains(text: string, family: Family): ParsedChains {
  const chains = new Map<
    string,
    { table: ChainItem['table']; chain: string; rules: string[]; hook?: NonNullable<ChainItem['hook']> }
  >();
  const heads = new Map<string, number>();
  const done = new Set<string>();
  let table: ChainItem['table'] = 'filter';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim() as ChainItem['table'];
    else if (line.startsWith(':')) {
      const chain = line.slice(1).split(' ')[0] ?? '';
      if (OUR_CHAINS.has(chain)) chains.set(`${table}/${chain}`, { table, chain, rules: [] });
    } else if (line.startsWith('-A ')) {
      const space = line.indexOf(' ', 3);
      const chain = space < 0 ? line.slice(3) : line.slice(3, space);
      const rule = space < 0 ? '' : line.slice(space + 1).trimEnd();
      const mine = chains.get(`${table}/${chain}`);
      if (mine !== undefined) mine.rules.push(rule);
      if (chain !== 'FORWARD' && chain !== 'POSTROUTING') continue;
      const target = /^-j (\S+)$/.exec(rule)?.[1];
      const ours = target === undefined ? undefined : chains.get(`${table}/${target}`);
      if (ours !== undefined) ours.hook = chain;
      const place = `${family}/${table}/${chain}`;
      if (/-j KUBE-ROUTER-[A-Z]+$/.test(rule) && ours === undefined && !done.has(place)) {
        heads.set(place, (heads.get(place) ?? 0) + 1);
      } else done.add(place);
    }
  }
  const items = [...chains.values()].map((one) => chainItem({ family, ...one }));
  return { items, heads };
}

/** Reads lines `path:value` below /proc/sys, as `grep -H '' FILE…` prints them. */
export function parseSysctls(text: string): readonly RoutingItem[] {
  const items: RoutingItem[] = [];
  for (const line of text.split('\n')) {
    const match = /^\/proc\/sys\/([^:]+):(.*)$/.exec(line);
    if (match?.[1] !== undefined) items.push({ type: 'sysctl', path: match[1], value: match[2] ?? '' });
  }
  return items;
}

/** Items by key. */
export function byKey(items: Iterable<RoutingItem>): Map<string, RoutingItem> {
  const map = new Map<string, RoutingItem>();
  for (const item of items) map.set(itemKey(item), item);
  return map;
}
