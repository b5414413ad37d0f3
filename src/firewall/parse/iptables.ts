/**
 * What the kernel holds of ours, read from `iptables-save` and `ipset save`. Chains and sets of others are passed over without
 * being understood, so that nothing they contain can confuse us.
 */
import { SdkError } from '../../net/errors.ts';
import type { Family } from '../../net/values.ts';
import { localSet } from '../model/types.ts';
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
  readonly sets: Map<string, ObservedSet>;
  readonly families: { readonly 4: ObservedFamily; readonly 6: ObservedFamily };
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
