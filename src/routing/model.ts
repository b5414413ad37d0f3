/**
 * What pod networking wants of a node, as flat keyed items: routes, links, rules, sets, chains, sysctls.
 * One item is one thing that the kernel can hold, so that a plan's cost follows the keys that changed.
 * Items are made by the functions below alone: they fix the order of fields, so that equal items serialise equally.
 */
import { textFamily } from '../net/address.ts';
import type { Family } from '../net/values.ts';

/** Protocol number of our routes (`ip route … proto 17`): kube-router's own, so that its routes are adopted. */
export const ROUTE_PROTOCOL = 17;

/** `main`: where learned routes live. */
export const MAIN_TABLE = 254;

/** kube-router's table of host routes to other nodes through their tunnels, looked up for traffic from pods. */
export const OVERLAY_TABLE = 77;

/** Priority given to `from <pod CIDR> lookup 77`; a rule that an earlier agent left at another priority is kept. */
export const OVERLAY_RULE_PRIORITY = 32765;

/** Marks every sysctl, set and chain name of this block. */
export const names = {
  bridge: 'kube-bridge',
  podSubnets: 'kube-router-pod-subnets',
  nodeIps: 'kube-router-node-ips',
  forward: 'KUBE-ROUTER-PODS',
  egress: 'KUBE-ROUTER-EGRESS',
  mss: 'KUBE-ROUTER-MSS',
  wireguard: 'kr-wg',
} as const;

/** Encapsulations that carry pod traffic to nodes of other subnets. */
export type Encapsulation = 'ipip' | 'fou' | 'vxlan' | 'wireguard';

/** One way of a {@link RouteItem}: a gateway, a device, or (onlink) both. */
export interface RouteHop {
  readonly via?: string;
  readonly dev?: string;
  /** Share of flows, 1–256. @defaultValue 1 */
  readonly weight?: number;
}

/** One route of protocol 17. */
export interface RouteItem {
  readonly type: 'route';
  /** Routing table, 1–4294967295; 254 is main. */
  readonly table: number;
  readonly prefix: string;
  /** Sorted by gateway, then device; hops without a gateway come last. */
  readonly hops: readonly RouteHop[];
  /** Preferred source address. */
  readonly source?: string;
  /** Bytes; set where the way is wider than what the pods behind it take. */
  readonly mtu?: number;
  /** Set only on leftovers found in the kernel at another priority than ours. */
  readonly metric?: number;
}

/** One network device of ours. */
export interface LinkItem {
  readonly type: 'link';
  readonly name: string;
  readonly kind: 'bridge' | 'ipip' | 'ip6tnl' | 'vxlan' | 'wireguard';
  /** Bytes. */
  readonly mtu?: number;
  readonly local?: string;
  readonly remote?: string;
  /** GUE destination port (ipip, ip6tnl), VXLAN or WireGuard port. */
  readonly port?: number;
  /** VXLAN network identifier. */
  readonly vni?: number;
  /** Link-layer address. */
  readonly mac?: string;
}

/** Receive port of FoU with GUE. */
export interface FouItem {
  readonly type: 'fou';
  readonly family: Family;
  /** UDP port. */
  readonly port: number;
}

/** Permanent neighbour entry on a VXLAN device. */
export interface NeighbourItem {
  readonly type: 'neighbour';
  readonly dev: string;
  readonly address: string;
  readonly mac: string;
}

/** Forwarding entry of a VXLAN device: which node has which link-layer address. */
export interface FdbItem {
  readonly type: 'fdb';
  readonly dev: string;
  readonly mac: string;
  readonly remote: string;
}

/** A WireGuard peer: another node. */
export interface WireguardPeerItem {
  readonly type: 'wireguard-peer';
  readonly dev: string;
  readonly publicKey: string;
  /** `address:port` or `[address]:port`. */
  readonly endpoint: string;
  /** Sorted prefixes. */
  readonly allowed: readonly string[];
}

/** A policy-routing rule `from … lookup …`. */
export interface RuleItem {
  readonly type: 'rule';
  readonly family: Family;
  readonly from: string;
  /** Routing table that the rule leads to. */
  readonly table: number;
}

/** An ipset of ours. */
export interface SetItem {
  readonly type: 'set';
  readonly name: string;
  readonly kind: 'hash:ip' | 'hash:net';
  readonly family: Family;
}

/** One entry of an ipset of ours. */
export interface EntryItem {
  readonly type: 'entry';
  readonly set: string;
  readonly entry: string;
}

/** An iptables chain of ours and the built-in chain that jumps to it. */
export interface ChainItem {
  readonly type: 'chain';
  readonly family: Family;
  readonly table: 'filter' | 'nat' | 'mangle';
  readonly chain: string;
  /** Rules as `iptables-save` prints them after `-A CHAIN `. */
  readonly rules: readonly string[];
  /** Built-in chain that jumps to it; absent (only as found): none does. */
  readonly hook?: 'FORWARD' | 'POSTROUTING';
}

/** A sysctl that must hold a value. */
export interface SysctlItem {
  readonly type: 'sysctl';
  /** Slashed path below /proc/sys. */
  readonly path: string;
  readonly value: string;
  /** Change it only when it holds this now: `1` makes strict reverse-path filtering loose and leaves `0` alone. */
  readonly onlyFrom?: string;
  /** Absence of the file is no failure (module not there, family not compiled in). */
  readonly optional?: boolean;
}

/** Anything that this block puts into the kernel. */
export type RoutingItem =
  | RouteItem
  | LinkItem
  | FouItem
  | NeighbourItem
  | FdbItem
  | WireguardPeerItem
  | RuleItem
  | SetItem
  | EntryItem
  | ChainItem
  | SysctlItem;

/** Desired state: items by key (see {@link itemKey}). */
export type RoutingState = ReadonlyMap<string, RoutingItem>;

/** A tunnel device found on the node at start: its name is kept for its remote, so that nothing is torn down to be renamed. */
export interface FoundTunnel {
  readonly name: string;
  readonly local: string;
  readonly remote: string;
}

/** What the node's own network looks like; read by `readUnderlay`, given as a plain value to the compiler. */
export interface Underlay {
  /** Interface that carries the node's primary address. */
  readonly interface: string;
  /** Bytes. */
  readonly mtu: number;
  /** Subnets of the node's own interfaces: next hops inside are reached without a tunnel. Canonical prefixes. */
  readonly subnets: readonly string[];
  readonly tunnels?: readonly FoundTunnel[];
}

/** Options of {@link createRoutingCompiler} and {@link compile}. */
export interface RoutingOptions {
  /** Name of this node. */
  readonly node: string;
  /** @defaultValue [4] */
  readonly families?: readonly Family[];
  /** Where routes to other nodes' pods come from: peers, or Node objects alone (host-gateway mode). @defaultValue 'bgp' */
  readonly source?: 'bgp' | 'nodes';
  /** `subnet`: tunnel to nodes of other subnets; `full`: to every node. @defaultValue 'subnet' */
  readonly overlay?: 'none' | 'subnet' | 'full';
  /** @defaultValue 'ipip' */
  readonly encapsulation?: Encapsulation;
  /** UDP port. @defaultValue 5555 for fou, 4789 for vxlan, 51820 for wireguard */
  readonly encapsulationPort?: number;
  /** VXLAN network identifier, 1–16777215. @defaultValue 77 */
  readonly vni?: number;
  /** Masquerade what pods send out of the cluster. @defaultValue true */
  readonly podEgress?: boolean;
  /** Bytes; absent: the underlay's less the encapsulation's overhead. Ignored while `autoMtu` is off. */
  readonly mtu?: number;
  /** Set the bridge's and the CNI file's MTU. @defaultValue true */
  readonly autoMtu?: boolean;
  /** @defaultValue 'kube-bridge' */
  readonly bridge?: string;
  /** Clamp TCP MSS of forwarded flows on tunnels to the path MTU. @defaultValue true */
  readonly clampMss?: boolean;
  /** Hash ECMP flows by ports too (`fib_multipath_hash_policy=1`); absent: the sysctl is left alone. */
  readonly multipathHashPolicy?: 0 | 1 | 2;
}

/** Host prefix of a canonical address, as text. */
export function hostPrefixText(address: string): string {
  return `${address}/${textFamily(address) === 4 ? 32 : 128}`;
}

function compareHops(a: RouteHop, b: RouteHop): number {
  const left = `${a.via ?? ''}|${a.dev ?? ''}`;
  const right = `${b.via ?? ''}|${b.dev ?? ''}`;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** One way of a route; weight 1 is the absent one. */
export function hop(fields: RouteHop): RouteHop {
  return {
    ...(fields.via === undefined ? {} : { via: fields.via }),
    ...(fields.dev === undefined ? {} : { dev: fields.dev }),
    ...(fields.weight === undefined || fields.weight === 1 ? {} : { weight: fields.weight }),
  };
}

/** A route; its hops are sorted and a lone hop has no weight. */
export function routeItem(fields: Omit<RouteItem, 'type'>): RouteItem {
  const only = fields.hops.length === 1;
  const hops = fields.hops.map((one) => hop(only ? { ...one, weight: 1 } : one)).sort(compareHops);
  return {
    type: 'route',
    table: fields.table,
    prefix: fields.prefix,
    hops,
    ...(fields.source === undefined ? {} : { source: fields.source }),
    ...(fields.mtu === undefined ? {} : { mtu: fields.mtu }),
    ...(fields.metric === undefined ? {} : { metric: fields.metric }),
  };
}

/** A link, its fields in one order. */
export function linkItem(fields: Omit<LinkItem, 'type'>): LinkItem {
  return {
    type: 'link',
    name: fields.name,
    kind: fields.kind,
    ...(fields.mtu === undefined ? {} : { mtu: fields.mtu }),
    ...(fields.local === undefined ? {} : { local: fields.local }),
    ...(fields.remote === undefined ? {} : { remote: fields.remote }),
    ...(fields.port === undefined ? {} : { port: fields.port }),
    ...(fields.vni === undefined ? {} : { vni: fields.vni }),
    ...(fields.mac === undefined ? {} : { mac: fields.mac }),
  };
}

/** A chain, its fields in one order. */
export function chainItem(fields: Omit<ChainItem, 'type'>): ChainItem {
  return {
    type: 'chain',
    family: fields.family,
    table: fields.table,
    chain: fields.chain,
    rules: fields.rules,
    ...(fields.hook === undefined ? {} : { hook: fields.hook }),
  };
}

/** Whether an address is link-local, so that a gateway says nothing without its device. */
export function isLinkLocal(address: string): boolean {
  return /^fe[89ab][0-9a-f]:/.test(address);
}

/** The key under which an item stands in a state: what makes it the same thing when its value changes. */
export function itemKey(item: RoutingItem): string {
  switch (item.type) {
    case 'route':
      return `route/${item.table}/${item.prefix}${item.metric === undefined ? '' : `@${item.metric}`}`;
    case 'link':
      return `link/${item.name}`;
    case 'fou':
      return `fou/${item.family}/${item.port}`;
    case 'neighbour':
      return `neighbour/${item.dev}/${item.address}`;
    case 'fdb':
      return `fdb/${item.dev}/${item.mac}`;
    case 'wireguard-peer':
      return `wireguard-peer/${item.dev}/${item.publicKey}`;
    case 'rule':
      return `rule/${item.from}/${item.table}`;
    case 'set':
      return `set/${item.name}`;
    case 'entry':
      return `entry/${item.set}/${item.entry}`;
    case 'chain':
      return `chain/${item.family}/${item.table}/${item.chain}`;
    case 'sysctl':
      return `sysctl/${item.path}`;
  }
}

/** Whether two items of one key are the same. */
export function sameItem(a: RoutingItem | undefined, b: RoutingItem | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b));
}

/** Name of an ipset of the given family: IPv6 copies carry kube-router's prefix. */
export function setName(base: string, family: Family): string {
  return family === 4 ? base : `inet6:${base}`;
}
