/**
 * The compiled state as iptables rules, word for word as `iptables-save` prints them, so that what is wanted and what is there
 * compare as text. An accepted packet RETURNs: our chains say no or nothing, and whatever stands below them still has its say.
 */
import type { Family } from '../../net/values.ts';
import { generationMark, readGeneration } from '../model/options.ts';
import type { EntryOptions } from '../model/options.ts';
import { localSet } from '../model/types.ts';
import type { Chain, ChainRule, ClassChain, Direction, DispatchChain, FamilyState } from '../model/types.ts';

/** Built-in chains that jump to ours, and ours. */
export const ENTRIES = {
  INPUT: 'KUBE-ROUTER-INPUT',
  FORWARD: 'KUBE-ROUTER-FORWARD',
  OUTPUT: 'KUBE-ROUTER-OUTPUT',
} as const;

/** Name of a built-in chain. */
export type Hook = keyof typeof ENTRIES;

/** Every built-in chain. */
export const HOOKS = ['INPUT', 'FORWARD', 'OUTPUT'] as const;

/** Where every class chain ends. */
export const REJECT_CHAIN = 'KUBE-NWPLCY-REJECT';

/** The rule that leads from a built-in chain to ours: bare, for every packet meets it, and a comment is a match like any other. */
export function jumpRule(hook: Hook): string {
  return `-j ${ENTRIES[hook]}`;
}

const ESTABLISHED = '-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN';
/** Router and neighbour discovery and redirects: without them a bridged pod is cut off from its link (RFC 4890 section 4.4.1). */
const DISCOVERY = [133, 134, 135, 136, 137].map((type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j RETURN`);
/** Limits of xt_comment and xt_NFLOG without their closing zero. */
const COMMENT = 250;
const PREFIX = 63;

/**
 * Classic BPF that compares source and destination address: load a word of one, keep it, load the other's, leave at the first
 * difference. Tells a hairpin (a pod that reached itself through a Service) without state.
 */
function sameAddress(family: Family, same: 0 | 1): string {
  const words = family === 4 ? 1 : 4;
  const [source, destination] = family === 4 ? [12, 16] : [8, 24];
  const code: string[] = [];
  for (let word = 0; word < words; word++) {
    const left = (words - word - 1) * 4;
    code.push(`32 0 0 ${source + word * 4}`, '7 0 0 0', `32 0 0 ${destination + word * 4}`);
    code.push(`29 0 ${left + 1} 0`);
  }
  code.push(`6 0 0 ${same}`, `6 0 0 ${1 - same}`);
  return `-m bpf --bytecode "${code.length},${code.join(',')}"`;
}

function matchWords(rule: ChainRule, { direction }: ClassChain): string[] {
  const end = direction === 'ingress' ? 'src' : 'dst';
  const words: string[] = [];
  if (rule.block !== undefined) words.push(`${direction === 'ingress' ? '-s' : '-d'} ${rule.block}`);
  const protocol = rule.protocol?.toLowerCase();
  if (protocol !== undefined) words.push(`-p ${protocol}`);
  // Sets last: each costs as much as a dozen ports.
  const [only, ...more] = (rule.ports ?? []).map(([first, last]) => (first === last ? `${first}` : `${first}:${last}`));
  if (more.length > 0) words.push(`-m multiport --dports ${[only, ...more].join(',')}`);
  else if (only !== undefined) words.push(`-m ${protocol} --dport ${only}`);
  if (rule.peer !== undefined) words.push(`-m set --match-set ${rule.peer} ${end}`);
  if (rule.named !== undefined) words.push(`-m set --match-set ${rule.named} dst,dst`);
  return words;
}

/** Text by which a refused packet is recognised in the log: direction, class and the policy, the first where several refuse. */
export function logPrefix({ direction, name, policies }: ClassChain, policy = policies[0]): string {
  return `${direction} ${name.slice(-16)} ${policy ?? ''}`.slice(0, PREFIX);
}

function classRules(chain: ClassChain, group: number): string[] {
  const rules: string[] = [];
  const next = chain.next === undefined ? '-j RETURN' : `-g ${chain.next}`;
  const refuse = (match: readonly string[], policy?: string): void => {
    const differ = sameAddress(chain.family, 0);
    const log = `-j NFLOG --nflog-prefix "${logPrefix(chain, policy)}" --nflog-group ${group}`;
    rules.push([...match, differ, '-m limit --limit 10/min --limit-burst 10', log].join(' '));
    const comment = policy === undefined ? [] : [commentOf(policy)];
    rules.push([...match, ...comment, `-g ${REJECT_CHAIN}`].join(' '));
  };
  for (const rule of chain.rules) {
    const match = matchWords(rule, chain);
    if (rule.action === 'deny') refuse(match, rule.policy);
    else rules.push([...match, commentOf(rule.policy), rule.action === 'pass' ? next : '-j RETURN'].join(' '));
    // A rule without any match settles everything: nothing after it can be reached.
    if (match.length === 0) return rules;
  }
  if (chain.next !== undefined) rules.push(next);
  else if (chain.otherwise === 'deny') refuse([]);
  return rules;
}

/** Quoted where iptables-save quotes (xtables_save_string): a word of letters, digits, `_` and `-` stands alone. */
function commentOf(policy: string): string {
  const text = policy.slice(0, COMMENT);
  return `-m comment --comment ${/^[\w-]+$/.test(text) ? text : `"${text}"`}`;
}

/** Sets that one rule names at most; the nft flavour takes 128 expressions a rule (NFT_RULE_MAXEXPRS). */
const NAMED = 50;

function dispatchRules({ direction, branches, rest, unasked = [] }: DispatchChain): string[] {
  const end = direction === 'ingress' ? 'dst' : 'src';
  const rules = branches.map(({ protocol, set, chain }) => {
    const only = protocol === undefined ? '' : `-p ${protocol.toLowerCase()} `;
    return `${only}-m set --match-set ${set} ${end} -g ${chain}`;
  });
  if (rest !== undefined) rules.push(`-g ${rest}`);
  // No packet comes beyond this: the rules say which of its two copies a set is, to whoever reads them.
  if (unasked.length > 0) rules.push('-j RETURN');
  for (let from = 0; from < unasked.length; from += NAMED) {
    const names = unasked.slice(from, from + NAMED).map((set) => `-m set --match-set ${set} ${end}`);
    rules.push([...names, '-j RETURN'].join(' '));
  }
  return rules;
}

const rendered = new WeakMap<Chain, { group: number; rules: readonly string[] }>();

/** Rules of a compiled chain, without `-A NAME`. */
export function renderChain(chain: Chain, options: EntryOptions = {}): readonly string[] {
  const group = options.logGroup ?? 100;
  const known = rendered.get(chain);
  if (known?.group === group) return known.rules;
  const rules = chain.kind === 'class' ? classRules(chain, group) : dispatchRules(chain);
  rendered.set(chain, { group, rules });
  return rules;
}

/** Generation in force, read from the entry chain that the kernel holds; 0: none yet. */
export function heldGeneration(rules: readonly string[] | undefined, mask: number): number {
  const found = /^-j CONNMARK --set-xmark 0x([0-9a-f]+)\/0x([0-9a-f]+)$/.exec(rules?.at(-1) ?? '');
  return found === null || Number.parseInt(found[2]!, 16) !== mask >>> 0
    ? 0
    : readGeneration(Number.parseInt(found[1]!, 16), mask);
}

/** What lets established flows through, and what stands at the end of an entry chain. */
function established(
  family: Family,
  { revocationMask }: EntryOptions,
  generation: number,
): { first: string[]; last: string[] } {
  if (revocationMask === undefined) return { first: [ESTABLISHED], last: [] };
  const { value, mask } = generationMark(generation, revocationMask);
  return {
    first: [
      `-m conntrack --ctstate RELATED,ESTABLISHED -m connmark --mark ${value}/${mask} -j RETURN`,
      // Errors about a flow of an older generation; what else is related to one is judged, for its mark is its master's.
      `-p ${family === 4 ? 'icmp' : 'ipv6-icmp'} -m conntrack --ctstate RELATED -j RETURN`,
      '-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN',
    ],
    last: [`-j CONNMARK --set-xmark ${value}/${mask}`],
  };
}

/** The rule that leads from an entry chain to the root of a direction, if there is one. */
export function renderLead({ roots, covers }: FamilyState, direction: Direction, extra = ''): string[] {
  const [root, cover] = [roots[direction], covers[direction]];
  const near = cover === undefined ? '' : `${direction === 'ingress' ? '-d' : '-s'} ${cover} `;
  return root === undefined ? [] : [`${near}${extra}-j ${root}`];
}

/** The chains that every state has: one for each hook, and the end of all refusals. */
export function renderEntries(
  state: FamilyState,
  options: EntryOptions = {},
  generation = 1,
): Map<string, readonly string[]> {
  const { family } = state;
  const own = (texts: readonly string[] = []): readonly string[] =>
    texts.filter((text) => text.includes(':') === (family === 6));
  const isolated = (direction: Direction, extra = ''): string[] => renderLead(state, direction, extra);
  const unknown = (end: 'src' | 'dst', extra = ''): string[] =>
    own(options.defaultDeny).map(
      (cidr) =>
        `${end === 'src' ? '-s' : '-d'} ${cidr} -m set ! --match-set ${localSet(family)} ${end} ${extra}-g ${REJECT_CHAIN}`,
    );
  const { first, last } = established(family, options, generation);
  const head = [...first, ...(family === 6 ? DISCOVERY : [])];
  const services = own(options.serviceRanges).map((cidr) => `-d ${cidr} -j RETURN`);
  const { nodePortRange } = options;
  const nodePorts =
    nodePortRange === undefined
      ? []
      : ['tcp', 'udp', 'sctp'].map(
          (protocol) =>
            `-p ${protocol} -m addrtype --dst-type LOCAL -m ${protocol} --dport ${nodePortRange.join(':')} -j RETURN`,
        );
  // What the node itself sends has a local source; what IPVS sends on keeps the client's.
  const foreign = '-m addrtype ! --src-type LOCAL ';
  return new Map<string, readonly string[]>([
    [ENTRIES.INPUT, [...head, ...services, ...nodePorts, ...isolated('egress'), ...unknown('src'), ...last]],
    [
      ENTRIES.FORWARD,
      [...head, ...isolated('egress'), ...isolated('ingress'), ...unknown('src'), ...unknown('dst'), ...last],
    ],
    [
      ENTRIES.OUTPUT,
      [
        ...head,
        ...isolated('egress'),
        ...isolated('ingress', foreign),
        ...unknown('src', foreign),
        ...unknown('dst', foreign),
        ...last,
      ],
    ],
    [
      REJECT_CHAIN,
      options.dryRun === true
        ? []
        : [
            `${sameAddress(family, 1)} -j RETURN`,
            // Out-of-window segments of a flow that lives on: an ICMP error would end it.
            '-m conntrack --ctstate INVALID -j DROP',
            `-j REJECT --reject-with ${family === 4 ? 'icmp' : 'icmp6'}-port-unreachable`,
          ],
    ],
  ]);
}
