/**
 * What this machine itself tells the service proxy before it compiles anything: its addresses (NodePorts on all of them, and what
 * the VIP firewall leaves alone), the MTU of its uplink (DSR's MSS), and the marks that the kernel's sets remember from an
 * earlier run. Effects go through the runner alone.
 */
import { canonicalAddress } from '../net/address.ts';
import type { Family } from '../net/values.ts';
import type { Runner } from '../kernel/types.ts';
import type { ProxyNode } from './compile/options.ts';
import { ipvsNames, setNameFor } from './model.ts';
import { marksOf, parseSets } from './parse.ts';

/** Interfaces whose addresses are no node's own: VIPs, bridges of pods. kube-router leaves out the same ones. */
const NOT_OURS = /dummy|kube|docker/;

interface LinkJson {
  readonly ifname?: string;
  readonly mtu?: number;
  readonly addr_info?: readonly { readonly local?: string; readonly scope?: string }[];
}

/** What {@link readLocalAddresses} found, for the `node` of the compiler's options. */
export interface LocalAddresses {
  /** Canonical; the primary ones are always among them. */
  readonly addresses: readonly string[];
  /** Bytes; absent when no interface has a primary address. */
  readonly mtu?: number;
}

/** Addresses and MTU of this machine, from `ip -j addr show`; the MTU is that of the interface with a primary address. */
export function parseLocalAddresses(text: string, primary: ProxyNode['primary']): LocalAddresses {
  const addresses: string[] = [];
  let mtu: number | undefined;
  const links = (text.trim() === '' ? [] : JSON.parse(text)) as readonly LinkJson[];
  for (const { ifname = '', mtu: size, addr_info: list = [] } of links) {
    if (NOT_OURS.test(ifname)) continue;
    for (const { local, scope } of list) {
      // A link-local address answers on one link only; no client could name it without its zone.
      if (local === undefined || scope === 'link') continue;
      const address = canonicalAddress(local);
      addresses.push(address);
      if ((address === primary[4] || address === primary[6]) && size !== undefined) mtu = Math.min(size, mtu ?? size);
    }
  }
  const missing = [primary[4], primary[6]].filter((one) => one !== undefined && !addresses.includes(one)) as string[];
  return { addresses: [...addresses, ...missing], ...(mtu === undefined ? {} : { mtu }) };
}

/** Reads addresses and MTU. */
export async function readLocalAddresses(runner: Runner, primary: ProxyNode['primary']): Promise<LocalAddresses> {
  const { stdout } = await runner.run({ file: 'ip', args: ['-j', 'addr', 'show'] });
  return parseLocalAddresses(stdout, primary);
}

/** Marks of an earlier run, for `marks` of the compiler's options: a flow keeps its mark, and its pod, over a restart. */
export async function readMarks(runner: Runner, families: readonly Family[] = [4, 6]): Promise<Map<string, number>> {
  const sets = [ipvsNames.markSet, ipvsNames.insideMarkSet].flatMap((set) =>
    families.map((family) => setNameFor(set, family)),
  );
  // Not all sets at once: those of ten thousand addresses are not asked about. 1: there is none of this name yet.
  const save = async (set: string): Promise<string> =>
    (await runner.run({ file: 'ipset', args: ['save', set], okExitCodes: [1] })).stdout;
  return marksOf(parseSets((await Promise.all(sets.map(save))).join('')));
}
