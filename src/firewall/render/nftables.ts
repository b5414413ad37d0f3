/**
 * The compiled state as nftables objects: a table of ours a family, one verdict map a direction from pod to class, one chain a
 * class. Dispatch chains and group sets have no place here: a map finds the class in one step however many there are.
 * Every rule carries a comment with a hash of its text, because no two versions of `nft` print a rule alike.
 */
import { formatAddress } from '../../net/address.ts';
import { intervalsFromPrefixes, rangesOfIntervals, subtractIntervals } from '../../net/intervals.ts';
import { hostPrefix, parsePrefix } from '../../net/prefix.ts';
import { parseAddress } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Family } from '../../net/values.ts';
import { shortHash } from '../model/hash.ts';
import { generationMark } from '../model/options.ts';
import type { EntryOptions } from '../model/options.ts';
import type { ChainRule, ClassChain, CompiledSet, Direction, SetKind } from '../model/types.ts';
import { ENTRIES, HOOKS, REJECT_CHAIN, logPrefix } from './iptables.ts';

/** Family keyword and table name, both kube-router's. */
export const TABLES = {
  4: { family: 'ip', name: 'kube-router-filter-ipv4' },
  6: { family: 'ip6', name: 'kube-router-filter-ipv6' },
} as const;

/** Verdict map of a direction. */
export const verdictMap = (direction: Direction): string => `pods-${direction}`;
/** Pairs of a pod with itself. */
export const SELF_SET = 'hairpins';
/** Local pods that are programmed. */
export const LOCAL_SET = 'kube-router-local-pods';

/** A comment is at most 128 bytes with its closing zero. */
const LABEL = 100;

/** A rule with the comment by which it is recognised. */
function commented(text: string, label: string): { readonly text: string; readonly comment: string } {
  const comment = `${label.slice(0, LABEL)} ${shortHash(text)}`;
  return { text: `${text} comment "${comment}"`, comment };
}

/** A rule of an nftables chain. */
export type NftRule = ReturnType<typeof commented>;

function matchText(rule: ChainRule, { direction, family }: ClassChain): string {
  const ip = TABLES[family].family;
  const end = direction === 'ingress' ? 'saddr' : 'daddr';
  const words: string[] = [];
  if (rule.block !== undefined) words.push(`${ip} ${end} ${rule.block}`);
  if (rule.peer !== undefined) words.push(`${ip} ${end} @${rule.peer}`);
  if (rule.named !== undefined) words.push(`${ip} daddr . meta l4proto . th dport @${rule.named}`);
  const protocol = rule.protocol?.toLowerCase();
  const ports = rule.ports?.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`));
  if (protocol !== undefined && ports !== undefined) {
    words.push(`${protocol} dport ${ports.length === 1 ? ports[0] : `{ ${ports.join(', ')} }`}`);
  } else if (protocol !== undefined && rule.named === undefined) words.push(`meta l4proto ${protocol}`);
  return words.join(' ');
}

function classRules(chain: ClassChain, group: number): NftRule[] {
  const ip = TABLES[chain.family].family;
  const rules: NftRule[] = [];
  const join = (...words: readonly string[]): string => words.filter((word) => word !== '').join(' ');
  const next = chain.next === undefined ? 'return' : `goto ${chain.next}`;
  let hairpins = false;
  const refuse = (match: string, policy?: string): void => {
    if (!hairpins) rules.push(commented(`${ip} saddr . ${ip} daddr @${SELF_SET} return`, 'hairpin'));
    hairpins = true;
    const log = `limit rate 10/minute burst 10 packets log prefix "${logPrefix(chain, policy)}" group ${group}`;
    rules.push(commented(join(match, log), 'log'));
    rules.push(
      commented(join(match, `counter goto ${REJECT_CHAIN}`), policy ?? `${chain.direction} ${chain.policies[0] ?? ''}`),
    );
  };
  for (const rule of chain.rules) {
    const match = matchText(rule, chain);
    if (rule.action === 'deny') refuse(match, rule.policy);
    else rules.push(commented(join(match, rule.action === 'pass' ? next : 'return'), rule.policy));
    // A rule without any match settles everything: nothing after it can be reached.
    if (match === '') return rules;
  }
  if (chain.next !== undefined) rules.push(commented(next, 'next tier'));
  else if (chain.otherwise === 'deny') refuse('');
  return rules;
}

const rendered = new WeakMap<ClassChain, { group: number; rules: readonly NftRule[] }>();

/** Rules of a class chain. */
export function renderNftChain(chain: ClassChain, options: EntryOptions = {}): readonly NftRule[] {
  const group = options.logGroup ?? 100;
  const known = rendered.get(chain);
  if (known?.group === group) return known.rules;
  const rules = classRules(chain, group);
  rendered.set(chain, { group, rules });
  return rules;
}

/** Definitions of the base chains. */
export const BASE_CHAINS: ReadonlyMap<string, string> = new Map(
  HOOKS.map((hook) => [ENTRIES[hook], `{ type filter hook ${hook.toLowerCase()} priority filter; policy accept; }`]),
);

/** Generation in force, read from the comments of an entry chain; 0: none yet. */
export function heldNftGeneration(comments: readonly string[] | undefined): number {
  return Number(/^generation (\d+) /.exec(comments?.at(-1) ?? '')?.[1] ?? 0);
}

/** Rules of the chains that every table has. */
export function renderNftEntries(
  family: Family,
  options: EntryOptions = {},
  generation = 1,
): Map<string, readonly NftRule[]> {
  const ip = TABLES[family].family;
  const own = (texts: readonly string[] = []): readonly string[] =>
    texts.filter((text) => text.includes(':') === (family === 6));
  const { revocationMask } = options;
  const { value, mask } = generationMark(generation, revocationMask ?? 1);
  const others = `0x${(~(revocationMask ?? 0) >>> 0).toString(16)}`;
  const established =
    revocationMask === undefined
      ? ['ct state established,related accept']
      : [
          'ct state related accept',
          `ct state established ct mark and ${mask} == ${value} accept`,
          'ct state established ct direction reply accept',
        ];
  const head = [...established, ...(family === 6 ? ['icmpv6 type 133-137 accept'] : [])];
  const judge = (direction: Direction): string =>
    `${ip} ${direction === 'ingress' ? 'daddr' : 'saddr'} vmap @${verdictMap(direction)}`;
  const unknown = (end: 'saddr' | 'daddr'): string[] =>
    own(options.defaultDeny).map((cidr) => `${ip} ${end} ${cidr} ${ip} ${end} != @${LOCAL_SET} goto ${REJECT_CHAIN}`);
  const services = own(options.serviceRanges).map((cidr) => `${ip} daddr ${cidr} accept`);
  const { nodePortRange } = options;
  const nodePorts =
    nodePortRange === undefined
      ? []
      : ['tcp', 'udp', 'sctp'].map(
          (protocol) => `fib daddr type local ${protocol} dport ${nodePortRange.join('-')} accept`,
        );
  const chains: [string, string[]][] = [
    [ENTRIES.INPUT, [...head, ...services, ...nodePorts, judge('egress'), ...unknown('saddr')]],
    [ENTRIES.FORWARD, [...head, judge('egress'), judge('ingress'), ...unknown('saddr'), ...unknown('daddr')]],
    [
      ENTRIES.OUTPUT,
      [
        ...head,
        judge('egress'),
        'fib saddr type local accept',
        judge('ingress'),
        ...unknown('saddr'),
        ...unknown('daddr'),
      ],
    ],
    [REJECT_CHAIN, options.dryRun === true ? [] : ['ct state invalid drop', 'reject']],
  ];
  const rules = new Map<string, NftRule[]>(
    chains.map(([name, texts]) => [name, texts.map((text) => commented(text, 'kube-router-sdk'))]),
  );
  if (revocationMask !== undefined) {
    const text = `ct mark set ct mark and ${others} or ${value}`;
    for (const name of Object.values(ENTRIES)) rules.get(name)?.push(commented(text, `generation ${generation}`));
  }
  return rules;
}

/** Type of a set in nft's words. */
export function setType(family: Family, kind: SetKind): string {
  const address = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  if (kind === 'net') return `type ${address}; flags interval;`;
  return kind === 'ip' ? `type ${address};` : `type ${address} . inet_proto . inet_service;`;
}

const blocks = new WeakMap<CompiledSet, readonly string[]>();

function toPrefix(text: string): Prefix {
  return text.includes('/') ? parsePrefix(text) : hostPrefix(parseAddress(text));
}

/** Elements of a set of prefixes: exceptions are taken out here, what is left are ranges that neither touch nor overlap. */
function blockElements(set: CompiledSet): readonly string[] {
  let found = blocks.get(set);
  if (found === undefined) {
    const pick = (except: boolean): Prefix[] =>
      [...set.members].filter(([, own]) => own === except).map(([text]) => toPrefix(text));
    const outer = intervalsFromPrefixes(set.family, pick(false));
    const left = subtractIntervals(outer, intervalsFromPrefixes(set.family, pick(true)));
    found = rangesOfIntervals(left).map(({ first, last }) => rangeText(formatAddress(first), formatAddress(last)));
    blocks.set(set, found);
  }
  return found;
}

/** Text of a range: one address alone, else both ends. */
export function rangeText(first: string, last: string): string {
  return first === last ? first : `${first}-${last}`;
}

/** An element as nft writes it: `10.0.0.1,tcp:80` becomes `10.0.0.1 . tcp . 80`. */
export function elementText(kind: SetKind, member: string): string {
  if (kind !== 'ip,port') return member;
  const comma = member.indexOf(',');
  const colon = member.indexOf(':', comma);
  return `${member.slice(0, comma)} . ${member.slice(comma + 1, colon)} . ${member.slice(colon + 1)}`;
}

/** All elements of a set as nft writes them. */
export function elementsOf(set: CompiledSet): readonly string[] {
  if (set.kind === 'net') return blockElements(set);
  return [...set.members.keys()].map((member) => elementText(set.kind, member));
}
