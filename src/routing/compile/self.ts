/**
 * The items that a node needs whatever its peers say: bridge, forwarding, egress masquerade, clamping, policy rules, sysctls.
 * Rule text is exactly what `iptables-save` prints, so that reading back compares equal.
 */
import { textFamily } from '../../net/address.ts';
import type { Family } from '../../net/values.ts';
import type { ChainItem, Encapsulation, RoutingItem } from '../model.ts';
import { OVERLAY_TABLE, chainItem, linkItem, names, setName } from '../model.ts';
import { vxlanMac, vxlanName } from './encapsulation.ts';
import type { NodeFacts } from './node.ts';

/** What {@link selfItems} depends on. */
export interface SelfContext {
  readonly self: NodeFacts;
  readonly families: readonly Family[];
  readonly interface: string;
  readonly bridge: string;
  readonly overlay: 'none' | 'subnet' | 'full';
  readonly encapsulation: Encapsulation;
  readonly port: number;
  readonly vni: number;
  /** MTU of pods and tunnels; absent: left alone. */
  readonly mtu: number | undefined;
  readonly tunnelMtu: number;
  readonly podEgress: boolean;
  readonly clampMss: boolean;
  readonly multipathHashPolicy: number | undefined;
}

function chains(context: SelfContext, family: Family): ChainItem[] {
  const filter = chainItem({
    family,
    table: 'filter',
    chain: names.forward,
    hook: 'FORWARD',
    rules: [`-i ${context.bridge} -j ACCEPT`, `-o ${context.bridge} -j ACCEPT`, `-o ${context.interface} -j ACCEPT`],
  });
  const pods = setName(names.podSubnets, family);
  const nodes = setName(names.nodeIps, family);
  const egress = chainItem({
    family,
    table: 'nat',
    chain: names.egress,
    hook: 'POSTROUTING',
    rules: [
      `-m set --match-set ${pods} src -m set ! --match-set ${pods} dst -m set ! --match-set ${nodes} dst -j MASQUERADE --random-fully`,
    ],
  });
  const syn = '-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu';
  const devices = tunnelMatch(context.encapsulation);
  const mss = chainItem({
    family,
    table: 'mangle',
    chain: names.mss,
    hook: 'FORWARD',
    rules: [...devices.map((dev) => `-o ${dev} ${syn}`), ...devices.map((dev) => `-i ${dev} ${syn}`)],
  });
  return [
    filter,
    ...(context.podEgress ? [egress] : []),
    ...(context.overlay !== 'none' && context.clampMss ? [mss] : []),
  ];
}

/** Interface patterns of iptables for the devices of an encapsulation. */
function tunnelMatch(encapsulation: Encapsulation): readonly string[] {
  if (encapsulation === 'vxlan') return ['kr-vxlan+'];
  return encapsulation === 'wireguard' ? [names.wireguard] : ['tun-+'];
}

function sysctls(context: SelfContext): RoutingItem[] {
  const set = (path: string, value: string, more: { onlyFrom?: string; optional?: boolean } = {}): RoutingItem => ({
    type: 'sysctl',
    path,
    value,
    ...more,
  });
  const items: RoutingItem[] = [];
  if (context.families.includes(4)) {
    items.push(set('net/ipv4/ip_forward', '1'), set('net/bridge/bridge-nf-call-iptables', '1'));
    if (context.overlay !== 'none') {
      // A node's own packets to remote pods arrive through a tunnel with an address that is routed elsewhere: strict
      // reverse-path filtering (RFC 3704) would drop them.
      items.push(set('net/ipv4/conf/all/rp_filter', '2', { onlyFrom: '1' }));
    }
    if (context.multipathHashPolicy !== undefined) {
      items.push(set('net/ipv4/fib_multipath_hash_policy', `${context.multipathHashPolicy}`));
    }
  }
  if (context.families.includes(6)) {
    items.push(
      set('net/ipv6/conf/all/disable_ipv6', '0'),
      // Forwarding makes the kernel ignore router advertisements unless accept_ra is 2; a node that lives by them keeps its default route.
      set(`net/ipv6/conf/${context.interface}/accept_ra`, '2', { onlyFrom: '1', optional: true }),
      set('net/ipv6/conf/all/forwarding', '1'),
      set('net/bridge/bridge-nf-call-ip6tables', '1'),
    );
    if (context.multipathHashPolicy !== undefined) {
      items.push(set('net/ipv6/fib_multipath_hash_policy', `${context.multipathHashPolicy}`));
    }
  }
  return items;
}

function overlayItems(context: SelfContext): RoutingItem[] {
  if (context.overlay === 'none') return [];
  const items: RoutingItem[] = [];
  const { self, encapsulation, port, tunnelMtu: mtu } = context;
  // A new device starts with `default`, and the stricter of it and `all` counts.
  const loose = (dev: string): RoutingItem => ({
    type: 'sysctl',
    path: `net/ipv4/conf/${dev}/rp_filter`,
    value: '2',
    onlyFrom: '1',
    optional: true,
  });
  for (const from of self.podCidrs) {
    const family = textFamily(from);
    if (context.families.includes(family)) items.push({ type: 'rule', family, from, table: OVERLAY_TABLE });
  }
  for (const family of context.families) {
    const local = self.best[family];
    if (local === undefined) continue;
    if (encapsulation === 'fou') items.push({ type: 'fou', family, port });
    if (encapsulation === 'vxlan') {
      const mac = vxlanMac(local);
      const name = vxlanName(family);
      items.push(linkItem({ name, kind: 'vxlan', mtu, local, port, vni: context.vni, mac }), loose(name));
    }
  }
  if (encapsulation === 'wireguard') {
    items.push(linkItem({ name: names.wireguard, kind: 'wireguard', mtu, port }), loose(names.wireguard));
  }
  return items;
}

/** Items of the node itself. */
export function selfItems(context: SelfContext): RoutingItem[] {
  const items: RoutingItem[] = [
    linkItem({ name: context.bridge, kind: 'bridge', ...(context.mtu === undefined ? {} : { mtu: context.mtu }) }),
    ...sysctls(context),
    ...overlayItems(context),
  ];
  for (const family of context.families) {
    items.push(
      { type: 'set', name: setName(names.podSubnets, family), kind: 'hash:net', family },
      { type: 'set', name: setName(names.nodeIps, family), kind: 'hash:ip', family },
      ...chains(context, family),
    );
  }
  return items;
}
