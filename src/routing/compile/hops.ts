/**
 * How a next hop is reached: directly, through an encapsulation, or not at all; and the items that this way needs.
 * One function for learned routes and for routes from Node objects, so that both modes behave alike.
 */
import { textFamily, tryParseAddress } from '../../net/address.ts';
import { contains } from '../../net/prefix.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Encapsulation, RouteHop, RoutingItem } from '../model.ts';
import { OVERLAY_TABLE, hostPrefixText, linkItem, names, routeItem } from '../model.ts';
import type { NodeFacts } from './node.ts';
import type { TunnelNames } from './encapsulation.ts';
import { vxlanLinkLocal, vxlanMac, vxlanName } from './encapsulation.ts';

/** What a decision depends on. */
export interface HopContext {
  readonly self: NodeFacts;
  readonly subnets: readonly Prefix[];
  readonly overlay: 'none' | 'subnet' | 'full';
  readonly encapsulation: Encapsulation;
  readonly port: number;
  /** MTU of tunnel devices. */
  readonly mtu: number;
  readonly names: TunnelNames;
  /** The node that has this address. */
  nodeOf(address: string): NodeFacts | undefined;
}

/** A way to a next hop, or why there is none. */
export type Way =
  | { readonly hop: RouteHop; readonly items: readonly RoutingItem[]; readonly tunnel: boolean }
  | { readonly unreachable: string };

/** Decides how `address` is reached (reference: same subnet directly, other nodes through the overlay, else not at all). */
export function resolveHop(context: HopContext, address: string): Way {
  const parsed = tryParseAddress(address);
  if (parsed === undefined) return { unreachable: `"${address}" is not an address` };
  if (context.self.addresses.includes(address)) return { unreachable: 'the next hop is this node' };
  const node = context.nodeOf(address);
  // A link-local next hop (RFC 2545 section 3) says nothing about the interface: it is not reachable by itself.
  const near = context.subnets.some((subnet) => contains(subnet, parsed));
  const tunnel = node !== undefined && context.overlay !== 'none' && (context.overlay === 'full' || !near);
  if (tunnel) return encapsulated(context, address, node);
  if (near) return { hop: { via: address }, items: [], tunnel: false };
  if (context.overlay === 'none')
    return { unreachable: `next hop ${address} is in another subnet and the overlay is off` };
  return { unreachable: `next hop ${address} is in another subnet and belongs to no node` };
}

function encapsulated(context: HopContext, address: string, node: NodeFacts): Way {
  const family = textFamily(address);
  const local = context.self.best[family];
  if (local === undefined) return { unreachable: `this node has no IPv${family} address to reach ${address} from` };
  const host = (hop: RouteHop): RoutingItem =>
    routeItem({ table: OVERLAY_TABLE, prefix: hostPrefixText(address), hops: [hop], source: local });
  const loose = (dev: string): RoutingItem => ({
    type: 'sysctl',
    path: `net/ipv4/conf/${dev}/rp_filter`,
    value: '2',
    onlyFrom: '1',
    optional: true,
  });
  switch (context.encapsulation) {
    case 'ipip':
    case 'fou': {
      const dev = context.names.nameOf(address);
      const link = linkItem({
        name: dev,
        kind: family === 4 ? 'ipip' : 'ip6tnl',
        mtu: context.mtu,
        local,
        remote: address,
        ...(context.encapsulation === 'fou' ? { port: context.port } : {}),
      });
      return { hop: { dev }, items: [link, loose(dev), host({ dev })], tunnel: true };
    }
    case 'vxlan': {
      const dev = vxlanName(family);
      const mac = vxlanMac(address);
      // IPv6 refuses an on-link gateway that another device's subnet contains, so there the gateway is a link-local name.
      const via = family === 4 ? address : vxlanLinkLocal(mac);
      const hop = { via, dev };
      return {
        hop,
        items: [{ type: 'neighbour', dev, address: via, mac }, { type: 'fdb', dev, mac, remote: address }, host(hop)],
        tunnel: true,
      };
    }
    case 'wireguard': {
      if (node.wireguardKey === undefined) return { unreachable: `Node ${node.name} has published no WireGuard key` };
      const dev = names.wireguard;
      const allowed = [...node.podCidrs, ...node.addresses.map(hostPrefixText)].sort();
      return {
        hop: { dev },
        items: [
          {
            type: 'wireguard-peer',
            dev,
            publicKey: node.wireguardKey,
            endpoint: family === 4 ? `${address}:${context.port}` : `[${address}]:${context.port}`,
            allowed,
          },
          host({ dev }),
        ],
        tunnel: true,
      };
    }
  }
}
