/**
 * What the tools print, to items. A virtual server is ours when our own sets say so: its VIP:port is in the set of what is
 * served, or its mark in a set of marks; both are written before it and removed after it, so this holds after any crash.
 * Everything else in IPVS is somebody else's and only named. Pure.
 */
import { SdkError } from '../net/errors.ts';
import { canonicalAddress, textFamily } from '../net/address.ts';
import type { Family, Protocol } from '../net/values.ts';
import { hostPort, ipvsNames, markKey, serverKey, setNameFor } from './model.ts';
import type { ChainItem, IpvsItem, JumpItem, RealServer, Scheduler, VirtualServerItem } from './model.ts';

/** Connections of one real server. */
export interface ServerLoad {
  /** Connections that carry traffic. */
  readonly active: number;
  /** Connections that are closing, or not yet open. */
  readonly inactive: number;
}

/** A virtual server as read, with the connections of its real servers by `address:port`. */
export interface ReadServer {
  readonly item: VirtualServerItem;
  readonly load: ReadonlyMap<string, ServerLoad>;
}

function broken(tool: string, line: string): SdkError {
  return new SdkError(`${tool} printed "${line}"`, { code: 'PARSE_FAILED', details: { tool, line } });
}

function splitHostPort(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[|\]$/g, '');
  return { address: canonicalAddress(host), port: Number(text.slice(colon + 1)) };
}

interface Header {
  family: Family;
  protocol?: Protocol;
  address?: string;
  port?: number;
  mark?: number;
  scheduler: Scheduler;
  flags: string[];
  persistence: number;
}

function parseHeader(line: string): Header | undefined {
  const words = line.split(/\s+/).filter((word) => word !== '');
  const kind = words.shift();
  let header: Omit<Header, 'scheduler' | 'flags' | 'persistence'>;
  if (kind === 'FWM') {
    const mark = Number(words.shift());
    const six = words[0] === 'IPv6';
    if (six) words.shift();
    header = { family: six ? 6 : 4, mark };
  } else if (kind === 'TCP' || kind === 'UDP' || kind === 'SCTP') {
    const { address, port } = splitHostPort(words.shift() ?? '');
    header = { family: textFamily(address), protocol: kind, address, port };
  } else return undefined;
  const scheduler = (words.shift() ?? '') as Scheduler;
  let flags: string[] = [];
  let persistence = 0;
  while (words.length > 0) {
    const word = words.shift() ?? '';
    if (word.startsWith('(')) flags = word.slice(1, -1).split(',').sort();
    else if (word === 'persistent') persistence = Number(words.shift());
    else if (word === 'mask' || word === 'pe') words.shift();
    else if (word !== 'ops') throw broken('ipvsadm', line);
  }
  return { ...header, scheduler, flags, persistence };
}

/**
 * Parses `ipvsadm -Ln --nosort`: the only listing that keeps the kernel's order, newest real server first.
 * @throws SdkError `PARSE_FAILED`
 */
export function parseServers(text: string): ReadServer[] {
  const found: ReadServer[] = [];
  let header: Header | undefined;
  let servers: RealServer[] = [];
  let load = new Map<string, ServerLoad>();
  let forward: VirtualServerItem['forward'] = 'masq';
  const finish = (): void => {
    if (header === undefined) return;
    const { protocol, address, port, mark, ...rest } = header;
    const place =
      protocol !== undefined && address !== undefined && port !== undefined
        ? { key: serverKey(protocol, address, port), protocol, address, port }
        : { key: markKey(header.family, mark ?? 0), mark: mark ?? 0 };
    found.push({ item: { type: 'vs', ...place, ...rest, forward, servers: servers.reverse() }, load });
  };
  for (const line of text.split('\n')) {
    const arrow = line.indexOf('-> ');
    if (arrow < 0) {
      const next = /^(TCP|UDP|SCTP|FWM) /.test(line) ? parseHeader(line) : undefined;
      if (next === undefined) continue;
      finish();
      header = next;
      servers = [];
      load = new Map();
      forward = 'masq';
      continue;
    }
    const [name = '', method = '', weight = '', active = '', inactive = ''] = line
      .slice(arrow + 3)
      .trim()
      .split(/\s+/);
    if (name === 'RemoteAddress:Port') continue;
    if (header === undefined || !/^\d+$/.test(weight)) throw broken('ipvsadm', line);
    const { address, port } = splitHostPort(name);
    forward = method === 'Tunnel' ? 'tunnel' : 'masq';
    servers.push({ address, port, weight: Number(weight) });
    load.set(hostPort(address, port), { active: Number(active), inactive: Number(inactive) });
  }
  finish();
  return found;
}

const SETS: ReadonlySet<string> = new Set(
  Object.entries(ipvsNames)
    .filter(([name]) => name.endsWith('Set'))
    .flatMap(([, name]) => [setNameFor(name, 4), setNameFor(name, 6)]),
);

/** Parses `ipset save`; sets that are not ours are passed over. */
export function parseSets(text: string): IpvsItem[] {
  const items: IpvsItem[] = [];
  for (const line of text.split('\n')) {
    const [verb = '', name = '', ...rest] = line.split(' ');
    if (!SETS.has(name)) continue;
    if (verb === 'create') {
      const family = rest.includes('inet6') ? 6 : 4;
      const skbinfo = rest.includes('skbinfo');
      const setType = rest.includes('timeout') ? `${rest[0] ?? ''} timeout` : (rest[0] ?? '');
      items.push({ type: 'set', key: `set/${name}`, name, setType, family, skbinfo });
    } else if (verb === 'add') {
      const element = rest[0] ?? '';
      const skbmark = rest.indexOf('skbmark');
      const options = skbmark < 0 ? '' : `skbmark ${rest[skbmark + 1] ?? ''}`;
      items.push({ type: 'entry', key: `entry/${name}/${element}`, set: name, element, options });
    }
  }
  return items;
}

const CHAINS: ReadonlySet<string> = new Set(
  Object.entries(ipvsNames)
    .filter(([name]) => name.endsWith('Chain'))
    .map(([, name]) => name),
);

/** Parses `iptables-save`: our chains, and rules elsewhere that lead to them or read our sets. */
export function parseChains(text: string, family: Family): (ChainItem | JumpItem)[] {
  const chains = new Map<string, { table: ChainItem['table']; name: string; rules: string[] }>();
  const jumps: JumpItem[] = [];
  let table = '';
  for (const raw of text.split('\n')) {
    const line = raw.replace(/^\[\d+:\d+\] /, '');
    if (line.startsWith('*')) table = line.slice(1).trim();
    else if (line.startsWith(':')) {
      const name = line.slice(1).split(' ')[0] ?? '';
      if (CHAINS.has(name)) chains.set(`${table} ${name}`, { table: table as ChainItem['table'], name, rules: [] });
    } else if (line.startsWith('-A ')) {
      const [, name = ''] = line.split(' ');
      const rule = line.slice(4 + name.length);
      const own = chains.get(`${table} ${name}`);
      if (own !== undefined) own.rules.push(rule);
      else if (leadsToUs(rule)) {
        const key = `jump/${family}/${table}/${name}/${rule}`;
        jumps.push({ type: 'jump', key, family, table: table as JumpItem['table'], chain: name, rule, place: 'first' });
      }
    }
  }
  const made = [...chains.values()].map((one): ChainItem => ({
    type: 'chain',
    key: `chain/${family}/${one.table}/${one.name}`,
    family,
    ...one,
  }));
  return [...made, ...jumps];
}

function leadsToUs(rule: string): boolean {
  const words = rule.split(' ');
  const target = words[words.indexOf('-j') + 1] ?? '';
  if (CHAINS.has(target)) return true;
  const limited = words[words.indexOf('--match-set') + 1] ?? '';
  return limited === ipvsNames.limitedSet || limited === setNameFor(ipvsNames.limitedSet, 6);
}

interface LinkJson {
  readonly ifname?: string;
  readonly addr_info?: readonly { readonly local?: string; readonly family?: string; readonly scope?: string }[];
}
interface RouteJson {
  readonly type?: string;
  readonly dst?: string;
  readonly prefsrc?: string;
  readonly dev?: string;
}
interface RuleJson {
  readonly priority?: number;
  readonly fwmark?: string;
  readonly fwmask?: string;
  readonly table?: string;
}

function json<T>(text: string): readonly T[] {
  if (text.trim() === '') return [];
  return (JSON.parse(text) as (T | Record<string, never>)[]).filter(
    (one): one is T => Object.keys(one as object).length > 0,
  );
}

/** Parses `ip -j addr show dev kube-dummy-if` with the local routes of both families. Addresses of link scope are not VIPs. */
export function parseAddresses(links: string, routes: readonly string[]): IpvsItem[] {
  const items: IpvsItem[] = [];
  const sources = new Map<string, string>();
  const bare = new Set<string>();
  for (const text of routes) {
    for (const { type, dst, prefsrc, dev } of json<RouteJson>(text)) {
      const here = dev === undefined || dev === ipvsNames.device;
      if (type !== 'local' || dst === undefined || !here) continue;
      if (prefsrc === undefined) bare.add(dst);
      else sources.set(dst, prefsrc);
    }
  }
  for (const link of json<LinkJson>(links)) {
    if (link.ifname !== ipvsNames.device) continue;
    items.push({ type: 'link', key: `link/${link.ifname}`, name: link.ifname });
    for (const { local, scope } of link.addr_info ?? []) {
      if (local === undefined || (scope === 'link' && local.startsWith('fe80:'))) continue;
      const family = textFamily(local);
      const source = sources.get(local) ?? '';
      const kernelRoute = source !== '' && bare.has(local) ? { kernelRoute: true } : {};
      items.push({ type: 'addr', key: `addr/${local}`, family, address: local, source, ...kernelRoute });
    }
  }
  return items;
}

/** Parses `ip -j rule show`: the rule of marked packets. */
export function parseRules(text: string, family: Family, table: number, priority: number): IpvsItem[] {
  return json<RuleJson>(text).flatMap((rule): IpvsItem[] => {
    if (rule.priority !== priority || rule.table !== String(table) || rule.fwmark === undefined) return [];
    const mark = Number(rule.fwmark);
    const mask = rule.fwmask === undefined ? 0xffffffff : Number(rule.fwmask);
    return [{ type: 'rule', key: `rule/${family}/${mark}`, family, mark, mask, table, priority }];
  });
}

/** Parses `sysctl` output, `name = value` a line with dots or slashes; names come back as they were asked for. */
export function parseSysctls(text: string, paths: readonly string[]): IpvsItem[] {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [name, value] = line.split(' = ');
    if (name !== undefined && value !== undefined) values.set(name.replaceAll('/', '.'), value.trim());
  }
  return paths.flatMap((path): IpvsItem[] => {
    const value = values.get(path.replaceAll('/', '.'));
    return value === undefined ? [] : [{ type: 'sysctl', key: `sysctl/${path}`, path, value }];
  });
}

/** Parses `ipvsadm -L --timeout`. */
export function parseTimeouts(text: string): IpvsItem[] {
  const match = /Timeout \(tcp tcpfin udp\): (\d+) (\d+) (\d+)/.exec(text);
  if (match === null) return [];
  return [{ type: 'timeout', key: 'timeout', tcp: Number(match[1]), tcpFin: Number(match[2]), udp: Number(match[3]) }];
}

/** Splits virtual servers into ours and the keys of the others, by what our sets say. */
export function separate(
  servers: readonly ReadServer[],
  items: readonly IpvsItem[],
): { readonly ours: VirtualServerItem[]; readonly foreign: Set<string> } {
  const served = new Set<string>();
  const marks = new Set<string>();
  for (const item of items) {
    if (item.type !== 'entry') continue;
    const family = item.set.startsWith('inet6:') ? 6 : 4;
    const name = family === 6 ? item.set.slice(6) : item.set;
    if (name === ipvsNames.servedSet) served.add(item.element);
    else if (name === ipvsNames.markSet || name === ipvsNames.insideMarkSet) {
      marks.add(`${family} ${Number(item.options.replace('skbmark ', '').split('/')[0])}`);
    }
  }
  const ours: VirtualServerItem[] = [];
  const foreign = new Set<string>();
  for (const { item } of servers) {
    const known =
      item.protocol === undefined
        ? marks.has(`${item.family} ${item.mark ?? 0}`)
        : served.has(`${item.address ?? ''},${item.protocol.toLowerCase()}:${item.port ?? 0}`);
    if (known) ours.push(item);
    else foreign.add(item.key);
  }
  return { ours, foreign };
}

/** Marks by owner as the kernel's sets remember them, for `marks` of the compiler's options. */
export function marksOf(items: Iterable<IpvsItem>): Map<string, number> {
  const marks = new Map<string, number>();
  for (const item of items) {
    if (item.type !== 'entry' || item.options === '') continue;
    marks.set(`${item.set}/${item.element}`, Number(item.options.replace('skbmark ', '').split('/')[0]));
  }
  return marks;
}
