/**
 * Links, addresses, routes, rules and neighbours as values: what `ip -j -N` prints and `ip -batch` takes.
 * Numbers instead of names throughout (tables, protocols, scopes), for names are the host's own choice (/etc/iproute2). Pure.
 */

/** A network device. */
export interface IpLink {
  /** Number of the interface in its namespace. */
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** Bytes. */
  readonly mtu: number;
  /** Hardware address, where it has one. */
  readonly address?: string;
  /** Bridge or bond that it belongs to. */
  readonly master?: string;
  /** `veth`, `bridge`, `vxlan`, `ipip`, `dummy`, `wireguard` …; absent for hardware and `lo`. */
  readonly kind?: string;
  /** The kind's own settings, as `ip -d -j` names them. */
  readonly info: Readonly<Record<string, unknown>>;
  readonly flags: readonly string[];
}

/** An address of a device. */
export interface IpAddress {
  readonly device: string;
  /** Canonical address. */
  readonly address: string;
  /** Prefix length. */
  readonly length: number;
  readonly scope: string;
  readonly label?: string;
  /** Other end of a point-to-point address. */
  readonly peer?: string;
  readonly flags: readonly string[];
}

/** One way out of a route. */
export interface IpNextHop {
  /** Canonical gateway; absent for what is directly on the link. */
  readonly via?: string;
  readonly device?: string;
  /** 1–256. @defaultValue 1 */
  readonly weight?: number;
  readonly onlink?: boolean;
  /** Set by the kernel: `dead`, `linkdown`, `offload` … */
  readonly flags?: readonly string[];
}

/** What a route does with a packet. */
export type IpRouteType =
  'unicast' | 'local' | 'broadcast' | 'anycast' | 'multicast' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw';

/** Table of routes that no table was named for. */
export const MAIN_TABLE = 254;
/** Table of the machine's own addresses. */
export const LOCAL_TABLE = 255;

/** A route. */
export interface IpRoute {
  /** @defaultValue 'unicast' */
  readonly type?: IpRouteType;
  /** Canonical prefix. */
  readonly prefix: string;
  /** @defaultValue 254, main */
  readonly table?: number;
  /** Who made it: 2 kernel, 3 boot, 4 static, 17 ours. */
  readonly protocol?: number;
  /** IPv6 always has one: 1024 where none was given. @defaultValue 0 for IPv4 */
  readonly metric?: number;
  /** 0 global, 253 link, 254 host. */
  readonly scope?: number;
  /** Preferred source address. */
  readonly source?: string;
  /** Bytes; absent: that of the device. */
  readonly mtu?: number;
  readonly nextHops: readonly IpNextHop[];
}

/** A routing rule. */
export interface IpRule {
  readonly family: 4 | 6;
  /** Lower is asked first, 0–4294967295. */
  readonly priority: number;
  readonly not?: boolean;
  /** Canonical prefixes. */
  readonly from?: string;
  readonly to?: string;
  readonly iif?: string;
  readonly oif?: string;
  /** Unsigned 32 bits. */
  readonly fwmark?: number;
  /** @defaultValue 0xffffffff */
  readonly fwmask?: number;
  /** Routing table that the rule leads to. */
  readonly table?: number;
  /** Instead of a table. */
  readonly action?: 'blackhole' | 'unreachable' | 'prohibit';
  /** Who made it, as `ip rule` numbers it. */
  readonly protocol?: number;
}

/** A neighbour: an address on the link and its hardware address. */
export interface IpNeighbour {
  readonly device: string;
  /** Canonical address. */
  readonly address: string;
  readonly hardware?: string;
  /** `PERMANENT`, `REACHABLE`, `STALE`, `FAILED` … */
  readonly state: readonly string[];
}
