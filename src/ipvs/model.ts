/**
 * What the service proxy wants the kernel to hold: a flat map of keyed items, so that planning costs what changed.
 * Real servers stand inside their virtual server: they come and go together and their order matters to `mh`.
 * Every name that this block gives to kernel objects is here. Pure values; compile makes them, plan compares them.
 */
import type { Family, Protocol } from '../net/values.ts';

/** Names of kernel objects that are ours by name. */
export const ipvsNames = {
  /** Device that holds every VIP. */
  device: 'kube-dummy-if',
  /** VIPs, this node's addresses, VIP:port pairs served here. */
  vipSet: 'kube-router-svip',
  localSet: 'kube-router-local-ips',
  servedSet: 'kube-router-svip-prt',
  /** VIP:port pairs that only some sources may use, and which. */
  limitedSet: 'kube-router-svip-lim',
  sourceSet: 'kube-router-svip-src',
  /** VIP:port pairs without an endpoint. */
  refusedSet: 'kube-router-svip-ref',
  /** VIP:port pairs that carry a firewall mark, with the mark: for everyone, and for clients inside the cluster only. */
  markSet: 'kube-router-svc-mark',
  insideMarkSet: 'kube-router-svc-mark-in',
  /** Those of the first that are tunnelled in UDP. */
  fouSet: 'kube-router-svc-fou',
  /** Pod CIDRs of this node. */
  podSet: 'kube-router-svc-pods',
  /** pod,port,pod triples that may reach themselves through a Service. */
  hairpinSet: 'kube-router-hairpin',
  /** Chains: filter (VIP firewall), nat, mangle. */
  filterChain: 'KUBE-ROUTER-SERVICES',
  refuseChain: 'KUBE-ROUTER-SVC-REFUSE',
  natChain: 'KUBE-ROUTER-SVC-NAT',
  markChain: 'KUBE-ROUTER-SVC-MARK',
  localMarkChain: 'KUBE-ROUTER-SVC-LMARK',
  mssChain: 'KUBE-ROUTER-SVC-MSS',
  cleanChain: 'KUBE-ROUTER-SVC-CLEAN',
} as const;

/** Bits of the firewall mark that this block uses; the others are left as they are until IPVS looks. */
export const MARK_MASK = 0x3fff;
/** Marks with both of these bits are of DSR services whose packets travel in UDP (FoU); the kernel's listing does not tell. */
export const FOU_MARK = 0x3000;
/** UDP port of those packets in a pod; that of kube-router's own FoU tunnels between nodes. */
export const FOU_PORT = 5555;
/** Routing table of marked packets, and the priority of the rule that leads there. */
export const DSR_TABLE = 78;
/** Priority of the `ip rule` that sends marked packets of DSR services to {@link DSR_TABLE}. */
export const DSR_RULE_PRIORITY = 32764;

/** Name of a set for a family: ipset wants one set a family. */
export function setNameFor(name: string, family: Family): string {
  return family === 6 ? `inet6:${name}` : name;
}

/** Schedulers of the kernel. */
export type Scheduler =
  'rr' | 'wrr' | 'lc' | 'wlc' | 'lblc' | 'lblcr' | 'sh' | 'dh' | 'sed' | 'nq' | 'fo' | 'ovf' | 'mh' | 'twos';

/** One real server. */
export interface RealServer {
  /** Canonical address. */
  readonly address: string;
  /** 0 in marked services: the port stays what the packet says. */
  readonly port: number;
  /** 0–65535; 0 takes no new connection. */
  readonly weight: number;
}

/** A virtual server with its real servers. */
export interface VirtualServerItem {
  readonly type: 'vs';
  /** `vs/tcp/10.96.0.1:80`, `vs/tcp/[fd00::1]:80` or `vs/fwm/4/17`. */
  readonly key: string;
  readonly family: Family;
  /** Absent when it is keyed by firewall mark. */
  readonly protocol?: Protocol;
  readonly address?: string;
  /** 1–65535; absent with a firewall mark. */
  readonly port?: number;
  readonly mark?: number;
  /** What a marked one serves; not known of one that was read from the kernel. */
  readonly serves?: { readonly protocol: Protocol; readonly address: string; readonly port: number };
  readonly scheduler: Scheduler;
  /** Sorted; `flag-1`…`flag-3` or, for sh and mh, their names as `ipvsadm` prints them. */
  readonly flags: readonly string[];
  /** Seconds of client affinity; 0 none. */
  readonly persistence: number;
  /** How packets reach the real servers: rewritten, or tunnelled as they are. */
  readonly forward: 'masq' | 'tunnel';
  /** In canonical order: by family and address as number, then port. */
  readonly servers: readonly RealServer[];
}

/** A VIP on our device, with the source that this node's own packets to it carry. */
export interface AddressItem {
  readonly type: 'addr';
  readonly key: string;
  readonly family: Family;
  readonly address: string;
  /** Canonical primary address of the node in that family; empty: the kernel's choice. */
  readonly source: string;
  /** In what was observed: the kernel's own route stands before ours, so that packets to the VIP carry the VIP as source. @defaultValue false */
  readonly kernelRoute?: boolean;
}

/** An ipset. */
export interface SetItem {
  readonly type: 'set';
  readonly key: string;
  readonly name: string;
  readonly setType: string;
  readonly family: Family;
  readonly skbinfo: boolean;
}

/** An element of one of our sets, in the form that `ipset save` prints. */
export interface EntryItem {
  readonly type: 'entry';
  readonly key: string;
  readonly set: string;
  readonly element: string;
  /** What follows the element, e.g. `skbmark 0x11/0x3fff`; empty mostly. */
  readonly options: string;
}

/** A whole iptables chain of ours, rules in the form that `iptables-save` prints. */
export interface ChainItem {
  readonly type: 'chain';
  readonly key: string;
  readonly family: Family;
  readonly table: 'filter' | 'nat' | 'mangle';
  readonly name: string;
  readonly rules: readonly string[];
}

/** A rule of ours in a chain that is not: it leads to one of our chains. */
export interface JumpItem {
  readonly type: 'jump';
  readonly key: string;
  readonly family: Family;
  readonly table: 'filter' | 'nat' | 'mangle';
  readonly chain: string;
  /** Rule in the form of `iptables-save`, without `-A CHAIN`. */
  readonly rule: string;
  readonly place: 'first' | 'last';
}

/** A kernel setting. */
export interface SysctlItem {
  readonly type: 'sysctl';
  readonly key: string;
  /** Path under /proc/sys, e.g. `net/ipv4/vs/conntrack`. */
  readonly path: string;
  readonly value: string;
  /** Only raised from this value: rp_filter strict becomes loose, off stays off. */
  readonly onlyFrom?: string;
}

/** The device of the VIPs. */
export interface LinkItem {
  readonly type: 'link';
  readonly key: string;
  readonly name: string;
}

/** A routing policy rule that leads marked packets to their table. */
export interface RuleItem {
  readonly type: 'rule';
  readonly key: string;
  readonly family: Family;
  readonly mark: number;
  readonly mask: number;
  readonly table: number;
  readonly priority: number;
}

/** The local default route of the table of marked packets. */
export interface RouteItem {
  readonly type: 'route';
  readonly key: string;
  readonly family: Family;
  readonly table: number;
}

/** Global IPVS timeouts in seconds; 0 keeps the kernel's. */
export interface TimeoutItem {
  readonly type: 'timeout';
  readonly key: 'timeout';
  /** Seconds. */
  readonly tcp: number;
  /** Seconds. */
  readonly tcpFin: number;
  /** Seconds. */
  readonly udp: number;
}

/** Anything that the kernel should hold. */
export type IpvsItem =
  | VirtualServerItem
  | AddressItem
  | SetItem
  | EntryItem
  | ChainItem
  | JumpItem
  | SysctlItem
  | LinkItem
  | RuleItem
  | RouteItem
  | TimeoutItem;

/** How long connections to a removed real server may live. */
export interface Grace {
  /** Milliseconds. */
  readonly ms: number;
}

/** Desired state of the service proxy. */
export interface IpvsState {
  /** Every item by key; one Map that lives as long as its compiler. */
  readonly items: ReadonlyMap<string, IpvsItem>;
  /** Longest drain of a real server by address, where a pod says it; milliseconds. */
  readonly graceMs: (address: string) => number;
  /** Whether real servers are drained; otherwise they are removed at once. */
  readonly drain: boolean;
}

/** `10.0.0.1:80` or `[fd00::1]:80`. */
export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Key of a virtual server by address. */
export function serverKey(protocol: Protocol, address: string, port: number): string {
  return `vs/${protocol.toLowerCase()}/${hostPort(address, port)}`;
}

/** Key of a virtual server by firewall mark. */
export function markKey(family: Family, mark: number): string {
  return `vs/fwm/${family}/${mark}`;
}
