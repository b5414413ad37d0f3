/**
 * A packet as the interpreters of rendered rules see it, and sets as the kernel matches them.
 */
import { contains, parseAddress, parsePrefix } from '../../../src/net/index.ts';
import type { Address, Prefix } from '../../../src/net/index.ts';

/** The first packet of a flow at one hook. */
export interface Packet {
  readonly hook: 'INPUT' | 'FORWARD' | 'OUTPUT';
  readonly source: string;
  readonly destination: string;
  /** `tcp`, `udp`, `sctp`, `icmp` or `ipv6-icmp`. */
  readonly protocol: string;
  readonly port: number;
  /** ICMP type. */
  readonly type?: number;
  /** Addresses of the machine that judges. */
  readonly local: ReadonlySet<string>;
  /** Conntrack state. */
  readonly state: 'NEW' | 'ESTABLISHED' | 'RELATED' | 'INVALID';
}

/** The packet that begins a flow of TCP through the node, from and to addresses that are not its own. */
export const opening = (source: string, destination: string, port: number): Packet => ({
  hook: 'FORWARD',
  source,
  destination,
  protocol: 'tcp',
  port,
  state: 'NEW',
  local: new Set(),
});

const addresses = new Map<string, Address>();
const prefixes = new Map<string, Prefix>();

/** Parsed once. */
export function address(text: string): Address {
  let found = addresses.get(text);
  if (found === undefined) addresses.set(text, (found = parseAddress(text)));
  return found;
}

/** Parsed once; a bare address is a host prefix. */
export function prefix(text: string): Prefix {
  let found = prefixes.get(text);
  if (found === undefined) {
    const full = text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
    prefixes.set(text, (found = parsePrefix(full)));
  }
  return found;
}

/** Whether a prefix holds an address. */
export const inside = (block: string, text: string): boolean => contains(prefix(block), address(text));

/** `hash:net`: the longest prefix that holds the address decides, an exception says no. */
export function matchesNet(members: ReadonlyMap<string, boolean>, text: string): boolean {
  let best = -1;
  let result = false;
  for (const [block, except] of members) {
    const { length } = prefix(block);
    if (length > best && inside(block, text)) {
      best = length;
      result = !except;
    }
  }
  return result;
}
