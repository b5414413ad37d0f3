/**
 * IPVS services and real servers as values: what `ipvsadm -Sn` prints and `ipvsadm -R` takes. Pure.
 */

/** What a virtual service listens to. */
export type IpvsAddress =
  | { readonly protocol: 'TCP' | 'UDP' | 'SCTP'; /** Canonical. */ readonly address: string; readonly port: number }
  | { readonly fwmark: number; /** @defaultValue 4 */ readonly family?: 4 | 6 };

/** A virtual service without its real servers. */
export interface IpvsService {
  readonly listen: IpvsAddress;
  readonly scheduler: string;
  /** Scheduler flags, sorted: `sh-fallback`, `sh-port`, `mh-fallback`, `mh-port`, else `flag-1` … `flag-3`. */
  readonly flags?: readonly string[];
  /** Seconds that a client stays with its server; absent: not at all. */
  readonly persistentSeconds?: number;
  /** Dotted netmask or IPv6 prefix length by which clients count as one. @defaultValue one client is one address */
  readonly netmask?: string;
  /** One-packet scheduling, UDP only. */
  readonly onePacket?: boolean;
}

/** How packets reach a real server. */
export type IpvsForward = 'masquerade' | 'route' | 'tunnel';

/** A real server. */
export interface IpvsServer {
  /** Canonical. */
  readonly address: string;
  /** For `route` and `tunnel` behind an address service the kernel uses the service's own port. */
  readonly port: number;
  readonly forward: IpvsForward;
  /** 0–65535; 0 takes no new connections. */
  readonly weight: number;
  /** Only with `tunnel`. @defaultValue ipip */
  readonly tunnel?: {
    readonly type: 'ipip' | 'gue' | 'gre';
    /** UDP port of GUE. */
    readonly port?: number;
    readonly checksum?: 'none' | 'checksum' | 'remote-offload';
  };
}

/** A virtual service with its real servers by {@link ipvsServerKey}. */
export interface IpvsEntry {
  readonly service: IpvsService;
  readonly servers: ReadonlyMap<string, IpvsServer>;
}

/** `10.0.0.1:80`, `[fd00::1]:80` */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `TCP/10.0.0.1:80`, `FWM/5`, `FWM6/5` */
export function ipvsServiceKey(listen: IpvsAddress): string {
  if ('fwmark' in listen) return `FWM${listen.family === 6 ? '6' : ''}/${listen.fwmark}`;
  return `${listen.protocol}/${formatEndpoint(listen.address, listen.port)}`;
}

/** `10.1.0.2:8080` */
export function ipvsServerKey(server: { readonly address: string; readonly port: number }): string {
  return formatEndpoint(server.address, server.port);
}
