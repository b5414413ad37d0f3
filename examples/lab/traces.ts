/** What a node's kernel holds, as comparable text: taken before the agent ran and after its cleanup, the two must be equal. */
import type { Place } from './places.ts';

/** Sections of a node's network state by name. */
export type Trace = ReadonlyMap<string, string>;

/** Each section and the command that prints it, stripped of what changes by itself (counters, timers, indexes). */
const sections: readonly (readonly [name: string, line: string])[] = [
  ['links', `ip -o link | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/ link-netns.*//; s/ qlen [0-9]+//'`],
  ['addresses', `ip -o addr | sed -E 's/^[0-9]+: //; s/valid_lft.*//'`],
  ['routes', `ip route show table all; ip -6 route show table all | sed -E 's/expires [0-9]+sec//'`],
  ['rules', `ip rule; ip -6 rule`],
  ['ipsets', `ipset save 2>/dev/null | sort`],
  ...['iptables', 'ip6tables'].map(
    (tool) =>
      [
        tool,
        `${tool}-legacy-save 2>/dev/null | grep -v '^#' | sed -E 's/\\[[0-9]+:[0-9]+\\]//' | grep -vE '^(\\*|COMMIT|:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT)' || true`,
      ] as const,
  ),
  ['ipvs', `ipvsadm -Sn 2>/dev/null || true`],
  [
    'sysctls',
    `sysctl -a -r '^net\\.(ipv4\\.(vs|conf|ip_forward)|ipv6\\.conf|bridge)' 2>/dev/null | grep -vE 'stable_secret|\\.(mtu|eth0)' | sort`,
  ],
  ['cni', `cat /etc/cni/net.d/* 2>/dev/null || true`],
];

/** Reads a node's state. */
export async function takeTrace(node: Place): Promise<Trace> {
  const trace = new Map<string, string>();
  for (const [name, line] of sections) trace.set(name, await node.sh(line));
  return trace;
}

/** Lines that only one of two traces has, `-` first and `+` second, each with its section. */
export function compareTraces(before: Trace, after: Trace): string[] {
  const differences: string[] = [];
  for (const [name, text] of before) {
    const old = new Set(text.split('\n'));
    const now = new Set((after.get(name) ?? '').split('\n'));
    for (const line of old) if (!now.has(line)) differences.push(`${name}: - ${line}`);
    for (const line of now) if (!old.has(line)) differences.push(`${name}: + ${line}`);
  }
  return differences;
}
