/**
 * The node's own network as `ip` prints it: the interface of its primary address, its MTU, the subnets on its links, tunnels at start.
 * Pure.
 */
import { formatAddress, tryParseAddress } from '../../net/address.ts';
import { formatPrefix, tryParsePrefix } from '../../net/prefix.ts';
import { TUNNEL_NAME } from '../compile/encapsulation.ts';
import type { FoundTunnel, Underlay } from '../model.ts';
import { jsonList } from './state.ts';

/** Devices whose addresses are not the node's links to others: pods, service addresses, containers, tunnels. */
const NOT_UNDERLAY =
  /^(lo|kube-bridge|kube-dummy-if|docker\d*|cni\d*|br-.*|veth.*|cali.*|lxc.*|tun-.*|kr-.*|nodelocaldns)$/;

type Json = Readonly<Record<string, unknown>>;
const rows = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.filter((one): one is Json => typeof one === 'object' && one !== null) : [];
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const canonical = (value: unknown): string => {
  const address = tryParseAddress(textOf(value));
  return address === undefined ? '' : formatAddress(address);
};

/**
 * Reads `ip -j -d addr show`. Undefined while no interface has `primary`, the node's own address.
 */
export function parseUnderlay(text: string, primary: string): Underlay | undefined {
  let found: { readonly name: string; readonly mtu: number } | undefined;
  const subnets = new Set<string>();
  const tunnels: FoundTunnel[] = [];
  for (const link of jsonList(text, 'ip addr')) {
    const name = textOf(link['ifname']);
    const addresses = rows(link['addr_info']);
    const info = rows([link['linkinfo']])[0];
    const kind = textOf(info?.['info_kind']);
    if ((kind === 'ipip' || kind === 'ip6tnl') && TUNNEL_NAME.test(name)) {
      const data = rows([info?.['info_data']])[0];
      const local = canonical(data?.['local']);
      const remote = canonical(data?.['remote']);
      if (local !== '' && remote !== '') tunnels.push({ name, local, remote });
    }
    for (const one of addresses) {
      if (canonical(one['local']) === primary) found ??= { name, mtu: Number(link['mtu']) };
    }
    if (NOT_UNDERLAY.test(name) && found?.name !== name) continue;
    for (const one of addresses) {
      const length = one['prefixlen'];
      if (one['scope'] === 'link' || one['scope'] === 'host') continue;
      const prefix = tryParsePrefix(`${textOf(one['local'])}/${typeof length === 'number' ? length : ''}`, {
        hostBits: 'mask',
      });
      if (prefix !== undefined) subnets.add(formatPrefix(prefix));
    }
  }
  if (found === undefined) return undefined;
  return { interface: found.name, mtu: found.mtu, subnets: [...subnets].sort(), tunnels };
}
