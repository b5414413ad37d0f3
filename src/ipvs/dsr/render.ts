/**
 * What a pod needs to answer for a VIP by itself: a tunnel end that unpacks what the directors send, the VIP on it, and no
 * source check on the way (packets come in by the tunnel and leave by the pod's own interface, whatever its name is).
 * Commands for `ip` and `sysctl` inside the pod's network namespace. Pure text.
 */
import type { Command } from '../../kernel/types.ts';
import { textFamily } from '../../net/address.ts';
import type { Family } from '../../net/values.ts';
import { FOU_PORT } from '../model.ts';

/** Names of the tunnel ends in a pod. */
export const tunnelNames: Readonly<Record<Family, string>> = { 4: 'kube-tunnel-if', 6: 'kube-tunnel-v6' };

/** What stands in a pod's namespace. */
export interface PodNetState {
  /** Interface that holds the pod's address. */
  readonly device: string;
  /** Whether the tunnel end is there. */
  readonly tunnel: boolean;
  /** VIPs on it. */
  readonly vips: readonly string[];
  /** Whether a listener of ours unpacks UDP. */
  readonly fou: boolean;
}

interface LinkJson {
  readonly ifname?: string;
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
}

/** Parses `ip -j addr show` of the pod, and the answer to {@link fouShow} where one was asked for; undefined when no interface has the pod's address (yet). */
export function parsePodNet(text: string, address: string, listeners = ''): PodNetState | undefined {
  const family = textFamily(address);
  const links = (text.trim() === '' ? [] : JSON.parse(text)) as readonly LinkJson[];
  const own = links.find((link) => link.addr_info?.some(({ local }) => local === address));
  if (own?.ifname === undefined) return undefined;
  const tunnel = links.find((link) => link.ifname === tunnelNames[family]);
  const vips = tunnel?.addr_info?.flatMap(({ local, scope }) =>
    local === undefined || (scope === 'link' && local.startsWith('fe80:')) ? [] : [local],
  );
  return { device: own.ifname, tunnel: tunnel !== undefined, vips: vips ?? [], fou: parseFou(listeners) };
}

/** What a pod is to have. */
export interface PodTarget {
  readonly vips: ReadonlySet<string>;
  /** Whether a listener unpacks UDP for the tunnel end. */
  readonly fou: boolean;
}

/** Asks for the UDP listeners of a pod. */
export function fouShow(netns: string, address: string): Command {
  return { file: 'ip', args: [address.includes(':') ? '-6' : '-4', 'fou', 'show'], netns };
}

/** Whether ours is among the answers to {@link fouShow}. */
export function parseFou(text: string): boolean {
  return text.split('\n').some((line) => new RegExp(`^port ${FOU_PORT} gue\\b`).test(line.trim()));
}

/**
 * Commands that leave exactly `vips` on the tunnel end of a pod; without any, no tunnel end. Empty when that is so already. The
 * VIPs come last: a pod that was left half prepared lacks one, and is seen to.
 */
export function podCommands(netns: string, address: string, now: PodNetState, target: PodTarget): Command[] {
  const family = textFamily(address);
  const device = tunnelNames[family];
  const ip = (lines: readonly string[]): Command[] =>
    lines.length === 0
      ? []
      : [{ file: 'ip', args: [`-${family}`, '-force', '-batch', '-'], input: `${lines.join('\n')}\n`, netns }];
  const listener = (verb: 'add' | 'del'): string => `fou ${verb} port ${FOU_PORT}${verb === 'add' ? ' gue' : ''}`;
  const { vips, fou } = target;
  if (vips.size === 0)
    return ip([...(now.fou ? [listener('del')] : []), ...(now.tunnel ? [`link del ${device}`] : [])]);
  const type = family === 4 ? `type ipip local ${address}` : `type ip6tnl mode ip6ip6 local ${address}`;
  const made = ip([
    ...(fou && !now.fou ? [listener('add')] : []),
    ...(now.tunnel ? [] : [`link add ${device} ${type}`, `link set ${device} up`]),
  ]);
  const place = family === 4 ? `/32 dev ${device}` : `/128 dev ${device}`;
  const added = [...vips].filter((vip) => !now.vips.includes(vip));
  const removed = now.vips.filter((vip) => !vips.has(vip));
  const off = ['all', device, now.device].map((name) => `net/ipv4/conf/${name}/rp_filter=0`);
  const unchecked: Command[] =
    family === 4 && added.length > 0 ? [{ file: 'sysctl', args: ['-qw', ...off], netns }] : [];
  return [
    ...made,
    ...unchecked,
    ...ip([
      ...added.map((vip) => `address add ${vip}${place}${family === 6 ? ' nodad' : ''}`),
      ...removed.map((vip) => `address del ${vip}${place}`),
      ...(now.fou && !fou ? [listener('del')] : []),
    ]),
  ];
}

/** Asks for the source checks of a pod that {@link podCommands} turns off; undefined for IPv6, which has none. */
export function rpFilterCommand(netns: string, address: string, device: string): Command | undefined {
  if (address.includes(':')) return undefined;
  const paths = ['all', device].map((name) => `net/ipv4/conf/${name}/rp_filter`);
  return { file: 'sysctl', args: ['-e', ...paths], netns, okExitCodes: [1, 255] };
}

/** Interface to value, from the answer to {@link rpFilterCommand}. */
export function parseRpFilter(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [, device = '', value = ''] of text.matchAll(/conf[./](.+)[./]rp_filter = (\d)/g)) found[device] = value;
  return found;
}

/** Gives source checks back that are still off; `now` is the answer to {@link rpFilterCommand}. Undefined when none is. */
export function rpFilterRestore(
  netns: string,
  before: Readonly<Record<string, string>>,
  now: string,
): Command | undefined {
  const off = parseRpFilter(now);
  const lines = Object.entries(before)
    .filter(([device, value]) => value !== '0' && off[device] === '0')
    .map(([device, value]) => `net/ipv4/conf/${device}/rp_filter=${value}`);
  return lines.length === 0 ? undefined : { file: 'sysctl', args: ['-qw', ...lines], netns };
}
