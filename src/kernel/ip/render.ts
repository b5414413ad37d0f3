/**
 * Writes lines for `ip -batch`. Pure.
 * A line that ip cannot read ends its process, so everything here is checked before it is written.
 */
import { familyOf, isAddress } from '../../net/address.ts';
import { SdkError } from '../../net/errors.ts';
import { tryParsePrefix } from '../../net/prefix.ts';
import { SIX } from './batch.ts';
import type { IpNextHop, IpRoute, IpRule } from './model.ts';

function refuse(what: string, value: unknown): never {
  throw new SdkError(`not ${what}: ${JSON.stringify(value)}`, { code: 'INVALID_OPTION', details: { value } });
}

/** A device name as the kernel takes it: 1–15 characters, no blank, slash or colon, neither `.` nor `..`. */
export function isDeviceName(name: string): boolean {
  return (
    name.length > 0 &&
    name.length <= 15 &&
    !/[\s/:\0]/.test(name) &&
    name !== '.' &&
    name !== '..' &&
    !name.startsWith('-')
  );
}

const device = (name: string): string => (isDeviceName(name) ? name : refuse('a device', name));
const address = (text: string): string => (isAddress(text) ? text : refuse('an address', text));
const prefix = (text: string): string => (tryParsePrefix(text) === undefined ? refuse('a prefix', text) : text);
const integer = (value: number, max = 0xffffffff): string =>
  Number.isInteger(value) && value >= 0 && value <= max ? String(value) : refuse('a number in range', value);

function hop(one: IpNextHop, family: 4 | 6): string[] {
  const parts: string[] = [];
  if (one.via !== undefined) parts.push('via', ...(familyOf(one.via) === family ? [] : ['inet6']), address(one.via));
  if (one.device !== undefined) parts.push('dev', device(one.device));
  return parts;
}

/**
 * `route replace …`, `route add …` or `route del …`.
 * `replace` is the only verb that changes a route without a moment in which it is missing; for IPv6 it replaces the whole group of
 * next hops of the same prefix and metric.
 * @throws SdkError `INVALID_OPTION` for a value that ip could not read
 */
export function renderIpRoute(verb: 'replace' | 'add' | 'append' | 'del', route: IpRoute): string {
  const family = tryParsePrefix(route.prefix)?.family ?? refuse('a prefix', route.prefix);
  const parts = ['route', verb];
  if (route.type !== undefined && route.type !== 'unicast') parts.push(route.type);
  parts.push(route.prefix, 'table', integer(route.table ?? 254));
  if (route.protocol !== undefined) parts.push('proto', integer(route.protocol, 255));
  if (route.metric !== undefined) parts.push('metric', integer(route.metric));
  if (route.scope !== undefined) parts.push('scope', integer(route.scope, 255));
  if (route.source !== undefined) parts.push('src', address(route.source));
  if (route.mtu !== undefined) parts.push('mtu', integer(route.mtu, 65_535));
  const [only] = route.nextHops;
  if (route.nextHops.length === 1 && only !== undefined) {
    parts.push(...hop(only, family), ...(only.onlink === true ? ['onlink'] : []));
  } else {
    for (const one of route.nextHops) {
      parts.push('nexthop', ...hop(one, family));
      if (one.weight !== undefined) parts.push('weight', integer(one.weight, 256));
      if (one.onlink === true) parts.push('onlink');
    }
  }
  return parts.join(' ');
}

/**
 * `rule add …` or `rule del …`; rules know no replace, and adding one twice is an error of its own.
 * A rule of IPv6 begins with `-6 `: unlike a route it does not take its family from its addresses, and a line of a batch cannot say it,
 * so that the driver and the session run such lines in an `ip -6` of their own.
 */
export function renderIpRule(verb: 'add' | 'del', rule: IpRule): string {
  const parts = ['rule', verb];
  if (rule.not === true) parts.push('not');
  parts.push('from', rule.from === undefined ? 'all' : prefix(rule.from));
  if (rule.to !== undefined) parts.push('to', prefix(rule.to));
  if (rule.iif !== undefined) parts.push('iif', device(rule.iif));
  if (rule.oif !== undefined) parts.push('oif', device(rule.oif));
  if (rule.fwmark !== undefined) {
    const mask = rule.fwmask === undefined ? '' : `/0x${rule.fwmask.toString(16)}`;
    parts.push('fwmark', `0x${rule.fwmark.toString(16)}${mask}`);
  }
  parts.push('priority', integer(rule.priority));
  if (rule.protocol !== undefined) parts.push('protocol', integer(rule.protocol, 255));
  if (rule.action !== undefined) parts.push(rule.action);
  else if (rule.table !== undefined) parts.push('lookup', integer(rule.table));
  return rule.family === 6 ? `${SIX}${parts.join(' ')}` : parts.join(' ');
}

/** `addr replace …` or `addr del …` */
export function renderIpAddress(
  verb: 'replace' | 'del',
  item: { readonly device: string; readonly address: string; readonly length: number; readonly scope?: string },
): string {
  const scope = item.scope === undefined || verb === 'del' ? '' : ` scope ${item.scope}`;
  const noDad = verb === 'replace' && familyOf(item.address) === 6 ? ' nodad' : '';
  return `addr ${verb} ${address(item.address)}/${integer(item.length, 128)} dev ${device(item.device)}${scope}${noDad}`;
}
