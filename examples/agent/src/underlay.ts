/**
 * The node's own network as pod networking needs it: which interface carries the node's address, its MTU, the subnets that
 * are reached without a tunnel, and tunnels that an earlier agent left.
 */
import type { Runner } from 'kube-router-sdk/kernel';
import { canonicalPrefix } from 'kube-router-sdk/net';
import type { Underlay } from 'kube-router-sdk/routing';

interface Link {
  readonly ifname: string;
  readonly mtu: number;
  readonly flags?: readonly string[];
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: { readonly local?: string; readonly remote?: string };
  };
  readonly addr_info?: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
    readonly scope: string;
  }[];
}

/** Devices that are never the way to other nodes. */
const OURS = /^(lo|kube-bridge|kube-dummy-if|kr-.*|tunl0|ip6tnl0|tun-.*)$/;

/** From `ip -j -d addr show` to the underlay; undefined when no interface has one of the node's addresses. */
export function parseUnderlay(json: string, nodeAddresses: readonly string[]): Underlay | undefined {
  const links = JSON.parse(json === '' ? '[]' : json) as readonly Link[];
  const carrier = nodeAddresses
    .map((address) => links.find((link) => link.addr_info?.some(({ local }) => local === address)))
    .find((link) => link !== undefined);
  if (carrier === undefined) return undefined;
  const subnets = new Set<string>();
  const tunnels: { name: string; local: string; remote: string }[] = [];
  for (const link of links) {
    const { info_kind: kind = '', info_data: data = {} } = link.linkinfo ?? {};
    if ((kind === 'ipip' || kind === 'ip6tnl') && data.local !== undefined && data.remote !== undefined) {
      if (data.remote !== 'any') tunnels.push({ name: link.ifname, local: data.local, remote: data.remote });
      continue;
    }
    if (OURS.test(link.ifname) || link.ifname.startsWith('veth')) continue;
    for (const { local, prefixlen, scope } of link.addr_info ?? []) {
      if (scope === 'global') subnets.add(canonicalPrefix(`${local}/${prefixlen}`, { hostBits: 'mask' }));
    }
  }
  return { interface: carrier.ifname, mtu: carrier.mtu, subnets: [...subnets].sort(), tunnels };
}

/** Reads the underlay from the kernel. */
export async function readUnderlay(runner: Runner, nodeAddresses: readonly string[]): Promise<Underlay | undefined> {
  const { stdout } = await runner.run({ file: 'ip', args: ['-j', '-d', 'addr', 'show'] });
  return parseUnderlay(stdout, nodeAddresses);
}
