/**
 * Facts of each encapsulation: its overhead, its default port, and the names and link-layer addresses of its devices.
 * Pure arithmetic; the compiler asks, nothing here remembers except the tunnel names that were given out.
 */
import { addressToBytes, canonicalAddress, parseAddress, textFamily } from '../../net/address.ts';
import type { Family } from '../../net/values.ts';
import type { Encapsulation, FoundTunnel } from '../model.ts';

/** Default UDP ports; ipip has none. */
export const defaultPorts = { ipip: 0, fou: 5555, vxlan: 4789, wireguard: 51820 } as const;

const OUTER = { 4: 20, 6: 40 } as const;

/**
 * Bytes that an encapsulation adds over an underlay of a family: outer IP header, plus UDP (8) and GUE (4, RFC draft-ietf-intarea-gue)
 * for fou, UDP, VXLAN (8, RFC 7348) and inner Ethernet (14) for vxlan, UDP and WireGuard data header and tag (32) for wireguard.
 */
export function overhead(encapsulation: Encapsulation, family: Family): number {
  switch (encapsulation) {
    case 'ipip':
      return OUTER[family];
    case 'fou':
      return OUTER[family] + 8 + 4;
    case 'vxlan':
      return OUTER[family] + 8 + 8 + 14;
    case 'wireguard':
      return OUTER[family] + 8 + 32;
  }
}

/** Largest packet that pods may send unfragmented: the underlay's MTU less the worst overhead in use. */
export function podMtu(
  underlay: number,
  encapsulation: Encapsulation | undefined,
  families: readonly Family[],
): number {
  if (encapsulation === undefined) return underlay;
  return underlay - Math.max(0, ...families.map((family) => overhead(encapsulation, family)));
}

/** Name of the shared VXLAN device of a family. */
export function vxlanName(family: Family): string {
  return `kr-vxlan${family}`;
}

/** 64-bit FNV-1a, for names where 128 bits of address must fit in fewer. */
function fnv64(bytes: Iterable<number>): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

const hex = (bytes: Iterable<number>): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

/**
 * Link-layer address that a node's VXLAN device has, derived from the node's address so that no exchange is needed:
 * locally administered, exact for IPv4, 40 hashed bits for IPv6.
 */
export function vxlanMac(address: string): string {
  const bytes = addressToBytes(parseAddress(address));
  const digits = bytes.length === 4 ? `0e77${hex(bytes)}` : `0a${(fnv64(bytes) >> 24n).toString(16).padStart(10, '0')}`;
  return digits.match(/../g)?.join(':') ?? '';
}

/** Link-local address that goes with a link-layer address (EUI-64, RFC 4291 appendix A). */
export function vxlanLinkLocal(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map((digits) => Number.parseInt(digits, 16));
  const words = [0, 0, 0, (a ^ 2) * 256 + b, c * 256 + 0xff, 0xfe00 + d, e * 256 + f];
  return canonicalAddress(`fe80:${words.map((word) => word.toString(16)).join(':')}`);
}

/** Gives tunnel devices their names, one a remote address, never the same to two. */
export interface TunnelNames {
  nameOf(remote: string): string;
}

/**
 * Names of point-to-point tunnels, at most 15 bytes (IFNAMSIZ): the address itself in hex for IPv4, a hash for IPv6 with the
 * next free number on a collision. A tunnel found on the node keeps its name: two tunnels with the same ends cannot
 * coexist, and renaming would cut what flows through them.
 */
export function createTunnelNames(found: readonly FoundTunnel[] = []): TunnelNames {
  const byRemote = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const tunnel of found) {
    if (byRemote.has(tunnel.remote) || taken.has(tunnel.name)) continue;
    byRemote.set(tunnel.remote, tunnel.name);
    taken.set(tunnel.name, tunnel.remote);
  }
  return {
    nameOf(remote) {
      const known = byRemote.get(remote);
      if (known !== undefined) return known;
      const bytes = addressToBytes(parseAddress(remote));
      const seed = textFamily(remote) === 4 ? hex(bytes) : fnv64(bytes).toString(16).padStart(16, '0').slice(0, 11);
      let name = `tun-${seed}`;
      for (let probe = 1; taken.has(name); probe++) {
        const suffix = probe.toString(36);
        name = `tun-${seed.slice(0, 11 - suffix.length - 1)}-${suffix}`;
      }
      byRemote.set(remote, name);
      taken.set(name, remote);
      return name;
    },
  };
}

/** Names that {@link createTunnelNames} and kube-router give to point-to-point tunnels. */
export const TUNNEL_NAME = /^tun-[0-9a-f]{6,11}(-[0-9a-z]{1,3})?$/;
