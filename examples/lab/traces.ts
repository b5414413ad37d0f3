/** What a node's kernel holds, as comparable text: taken before the agent ran and after its cleanup, the two must be equal. */
import type { Place } from './places.ts';

/** Sections of a node's network state by name. */
export type Trace = ReadonlyMap<string, string>;

/** One section: the command that prints it, and what of a line counts (counters, timers and indexes change by themselves). */
interface Section {
  readonly name: string;
  readonly command: string;
  readonly keep?: (line: string) => string | undefined;
}

const withoutIndex = (line: string): string => line.replace(/^\d+: /, '').replace(/@if\d+/, '');

/** Rules and chains; the built-in chains with their default policy, and a table's frame, are there once anyone has looked. */
const rules = (line: string): string | undefined =>
  /^(#|\*|COMMIT|:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT)/.test(line)
    ? undefined
    : line.replace(/\[\d+:\d+\]/, '');

const sections: readonly Section[] = [
  {
    name: 'links',
    command: 'ip -o link',
    keep: (line) => withoutIndex(line).replace(/ link-netns\S* \S+| qlen \d+/g, ''),
  },
  { name: 'addresses', command: 'ip -o addr', keep: (line) => withoutIndex(line).replace(/valid_lft.*/, '') },
  { name: 'routes', command: 'ip route show table all' },
  {
    name: 'IPv6 routes',
    command: 'ip -6 route show table all',
    keep: (line) => line.replace(/expires \d+sec/, ''),
  },
  { name: 'rules', command: 'ip rule' },
  { name: 'IPv6 rules', command: 'ip -6 rule' },
  { name: 'ipsets', command: 'ipset save 2>/dev/null' },
  { name: 'iptables', command: 'iptables-legacy-save 2>/dev/null', keep: rules },
  { name: 'ip6tables', command: 'ip6tables-legacy-save 2>/dev/null', keep: rules },
  { name: 'ipvs', command: 'ipvsadm -Sn 2>/dev/null' },
  {
    name: 'sysctls',
    command: `cd /proc/sys/net && grep -rs '' ipv4/vs ipv4/conf ipv4/ip_forward ipv4/fib_multipath_hash_policy \
      ipv6/conf ipv6/fib_multipath_hash_policy bridge`,
    // read-only for one boot, or following the cable
    keep: (line) => (/stable_secret|\/mtu:|\/eth0\//.test(line) ? undefined : line),
  },
  { name: 'cni', command: 'cat /etc/cni/net.d/* 2>/dev/null' },
];

/** Reads a node's state, by one shell. */
export async function takeTrace(node: Place): Promise<Trace> {
  const script = sections.map(({ name, command }) => `echo '=== ${name}'\n(${command}) || true`).join('\n');
  const trace = new Map<string, string>();
  for (const part of (await node.sh(script)).split(/^=== /m).slice(1)) {
    const [name = '', ...lines] = part.split('\n');
    const keep = sections.find((section) => section.name === name)?.keep ?? ((line: string) => line);
    const kept = lines.flatMap((line) => (line === '' ? [] : (keep(line) ?? [])));
    trace.set(name, kept.sort().join('\n'));
  }
  return trace;
}

/** Number of lines in a trace. */
export const traceLines = (trace: Trace): number =>
  [...trace.values()].reduce((sum, text) => sum + (text === '' ? 0 : text.split('\n').length), 0);

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
