/**
 * What the kernel holds of ours, read from `iptables-save` and `ipset save`. Chains and sets of others are passed over without
 * being understood, so that nothing they contain can confuse us.
 */
import { SdkError } from '../../net/errors.ts';
import type { Family } from '../../net/values.ts';
import { localSet } from '../model/types.ts';
import type { Direction } from '../model/types.ts';
import { ENTRIES, HOOKS, jumpRule } from '../render/iptables.ts';
import type { Hook } from '../render/iptables.ts';

/** A set as the kernel holds it. */
export interface ObservedSet {
  readonly family: Family;
  /** `hash:ip`, `hash:net` or `hash:ip,port`. */
  readonly type: string;
  readonly maxelem: number;
  readonly members: Map<string, boolean>;
}

/** One family as the kernel holds it. */
export interface ObservedFamily {
  /** Our chains by name, rules without `-A NAME`. */
  readonly chains: Map<string, readonly string[]>;
  /** Positions of our jump in each built-in chain, from 1. */
  readonly jumps: Map<Hook, readonly number[]>;
}

/** Everything of ours in iptables and ipset. */
export interface ObservedIptables {
  /** By the name in the kernel. */
  readonly sets: Map<string, ObservedSet>;
  readonly families: { readonly 4: ObservedFamily; readonly 6: ObservedFamily };
  /** Sets whose copy is the one that rules name. */
  readonly flipped: Set<string>;
}

const COPY = '-b';

/** Name of a set without regard to which of its two copies it is. */
export function originalOf(kernel: string): string {
  return kernel.endsWith(COPY) ? kernel.slice(0, -COPY.length) : kernel;
}

/** The other of the two names that a set may have in the kernel. */
export function copyName(kernel: string): string {
  return kernel.endsWith(COPY) ? originalOf(kernel) : `${kernel}${COPY}`;
}

/** The name by which rules call a set at present. */
export function inForce({ flipped }: { readonly flipped: ReadonlySet<string> }, name: string): string {
  return flipped.has(name) ? `${name}${COPY}` : name;
}

/** Which sets the rules that packets meet call by the name of their copy; chains that an interrupted pass left behind do not count. */
export function findFlipped(families: ObservedIptables['families']): Set<string> {
  const flipped = new Set<string>();
  for (const { chains } of [families[4], families[6]]) {
    const reached = new Set<string>(Object.values(ENTRIES));
    for (const name of reached) {
      for (const rule of chains.get(name) ?? []) {
        const target = /(?:^| )-[jg] (\S+)$/.exec(rule)?.[1];
        if (target !== undefined && chains.has(target)) reached.add(target);
        for (const [, set = ''] of rule.matchAll(/--match-set (\S+)/g)) {
          if (set.endsWith(COPY)) flipped.add(originalOf(set));
        }
      }
    }
  }
  return flipped;
}

/** The rules of an entry chain that lead on to the roots. */
export function leadsOf(rules: readonly string[] | undefined): readonly string[] {
  return (rules ?? []).filter((rule) => / ?-j KUBE-POD-FW-\S+$/.test(rule));
}

/** Sets whose members are isolated by the rules in force, by the name in the kernel. */
export function isolatingSets({ chains }: ObservedFamily): Readonly<Record<Direction, ReadonlySet<string>>> {
  const found = { ingress: new Set<string>(), egress: new Set<string>() };
  for (const lead of leadsOf(chains.get(ENTRIES.FORWARD))) {
    // An earlier layout had one set for all, which led to the root.
    const rules = lead.includes('--match-set ') ? [lead] : (chains.get(lead.slice(lead.lastIndexOf(' ') + 1)) ?? []);
    for (const rule of rules) {
      // Not those of one protocol (`-p` comes first): they isolate nobody whom the others do not.
      const [, set, end] = /^-m set --match-set (\S+) (src|dst) .*-[jg] KUBE-/.exec(rule) ?? [];
      if (set !== undefined) found[end === 'dst' ? 'ingress' : 'egress'].add(set);
    }
  }
  return found;
}

/** Rules as they are while some sets go by the name of their copy. */
export function withCopies(rules: readonly string[], flipped: ReadonlySet<string>): readonly string[] {
  if (flipped.size === 0) return rules;
  const rename = (rule: string): string =>
    rule.replace(/(--match-set )(\S+)/g, (_, word: string, name: string) => word + inForce({ flipped }, name));
  return rules.map((rule) => (rule.includes('--match-set ') ? rename(rule) : rule));
}

/** Whether a chain is ours (or kube-router's, whose place we take). */
export function isOwnChain(name: string): boolean {
  return (
    name.startsWith('KUBE-NWPLCY-') || name.startsWith('KUBE-POD-FW-') || Object.values<string>(ENTRIES).includes(name)
  );
}

/** Whether a set is ours. */
export function isOwnSet(name: string): boolean {
  return /^krs[46]-(iso|class|group|pods|net|port)-/.test(name) || name === localSet(4) || name === localSet(6);
}

/** A family in which nothing is ours. */
export function emptyFamily(): ObservedFamily {
  return { chains: new Map(), jumps: new Map() };
}

/** Reads the filter table from `iptables-save -t filter` or `ip6tables-save -t filter`. */
export function parseChains(text: string): ObservedFamily {
  const chains = new Map<string, string[]>();
  const jumps = new Map<Hook, number[]>();
  const positions = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line.startsWith(':')) {
      const name = line.slice(1, line.indexOf(' '));
      if (isOwnChain(name)) chains.set(name, []);
    } else if (line.startsWith('-A ')) {
      const end = line.indexOf(' ', 3);
      const chain = line.slice(3, end);
      const rule = line.slice(end + 1);
      const own = chains.get(chain);
      if (own !== undefined) {
        own.push(rule);
        continue;
      }
      const hook = HOOKS.find((name) => name === chain);
      if (hook === undefined) continue;
      const position = (positions.get(hook) ?? 0) + 1;
      positions.set(hook, position);
      if (rule === jumpRule(hook)) jumps.set(hook, [...(jumps.get(hook) ?? []), position]);
    }
  }
  return { chains, jumps };
}

/**
 * Reads our sets from `ipset save`.
 * @throws SdkError `PARSE_FAILED` on a line of ours that cannot be read.
 */
export function parseSets(text: string): Map<string, ObservedSet> {
  const sets = new Map<string, ObservedSet>();
  for (const line of text.split('\n')) {
    const words = line.split(' ');
    const [verb, name] = words;
    if (name === undefined || !isOwnSet(name)) continue;
    if (verb === 'create') {
      const option = (key: string): string | undefined => {
        const at = words.indexOf(key, 3);
        return at < 0 ? undefined : words[at + 1];
      };
      sets.set(name, {
        family: option('family') === 'inet6' ? 6 : 4,
        type: words[2] ?? '',
        maxelem: Number(option('maxelem') ?? 65536),
        members: new Map(),
      });
    } else if (verb === 'add') {
      const set = sets.get(name);
      const member = words[2];
      if (set === undefined || member === undefined) {
        throw new SdkError(`ipset save: cannot read "${line}"`, { code: 'PARSE_FAILED', details: { line } });
      }
      set.members.set(member, words.includes('nomatch', 3));
    }
  }
  return sets;
}
