/**
 * One policy in one direction and family as allow rules, and the sets that these rules need.
 * Peers and ports are alternatives, so they multiply; ports of one protocol are merged first and peers of many plain blocks share
 * a set. What cannot match in a family gives no rule: a policy without rules refuses everything, which is the safe reading.
 */
import { contains, formatPrefix, isHostPrefix, parsePrefix, tryParsePrefix } from '../../net/prefix.ts';
import { formatAddress } from '../../net/address.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Family, Protocol } from '../../net/values.ts';
import type {
  ClusterNetworkPolicyObject,
  NetworkPolicyObject,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
} from '../../objects/types.ts';
import { delimited, shortHash } from './hash.ts';
import { compileSelector } from './selector.ts';
import type { Matcher } from './selector.ts';
import type { ChainRule, Direction, PortRange } from './types.ts';

/** Every protocol that a rule may name. */
export const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];

/** Where the members of a set come from. */
export type SetSource =
  | { readonly type: 'pods'; readonly scope: string | Matcher; readonly pods: Matcher }
  | { readonly type: 'block'; readonly members: ReadonlyMap<string, boolean> }
  | {
      readonly type: 'named';
      readonly port: string;
      readonly protocol: Protocol;
      /** Only pods of this node: enough where the destination is one. */
      readonly local: boolean;
      /** Only these pods: the peers of a rule whose destination they are. @defaultValue every pod */
      readonly peers?: Pick<PodsSource, 'scope' | 'pods'>;
    };

type PodsSource = Extract<SetSource, { type: 'pods' }>;

/** Rules and the sets that they name. */
export interface PolicyRules {
  readonly rules: readonly ChainRule[];
  readonly sets: ReadonlyMap<string, SetSource>;
}

type PeerMatch = Pick<ChainRule, 'peer' | 'block'>;
type PortMatch = Pick<ChainRule, 'protocol' | 'ports' | 'named'>;

/** More plain blocks than this in one rule share a set. */
const PLAIN_BLOCKS = 3;
/** What the multiport match holds: a range counts twice. */
const MULTIPORT = 15;

/** The two halves of a `/0`, which `hash:net` cannot hold. */
const HALVES = { 4: ['0.0.0.0/1', '128.0.0.0/1'], 6: ['::/1', '8000::/1'] } as const;

/** A prefix as `ipset save` prints it: single addresses without their length. */
function memberText(prefix: Prefix): string {
  return isHostPrefix(prefix) ? formatAddress(prefix) : formatPrefix(prefix);
}

function blockMembers(cidr: string, except: readonly string[], family: Family): Map<string, boolean> | undefined {
  const outer = parsePrefix(cidr, { hostBits: 'mask' });
  const members = new Map<string, boolean>();
  for (const part of outer.length === 0 ? HALVES[family] : [memberText(outer)]) members.set(part, false);
  for (const text of except) {
    const inner = tryParsePrefix(text, { hostBits: 'mask' });
    if (inner === undefined || inner.family !== family) continue;
    if (contains(inner, outer)) return undefined;
    if (contains(outer, inner)) members.set(memberText(inner), true);
  }
  return members;
}

/** Sorted and merged, so that neither order nor overlap shows. */
export function mergePorts(ranges: readonly PortRange[]): PortRange[] {
  const merged: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const tail = merged.at(-1);
    if (tail !== undefined && first <= tail[1] + 1) tail[1] = Math.max(tail[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

function chunkPorts(ranges: readonly PortRange[]): PortRange[][] {
  const chunks: PortRange[][] = [];
  let room = 0;
  for (const range of ranges) {
    const cost = range[0] === range[1] ? 1 : 2;
    if (room < cost) {
      chunks.push([]);
      room = MULTIPORT;
    }
    chunks.at(-1)!.push(range);
    room -= cost;
  }
  return chunks;
}

function compilePorts(
  ports: readonly PolicyPort[],
  direction: Direction,
  family: Family,
  sets: Map<string, SetSource>,
): PortMatch[] {
  if (ports.length === 0) return [{}];
  const matches: PortMatch[] = [];
  for (const protocol of PROTOCOLS) {
    const own = ports.filter((port) => port.protocol === protocol);
    if (own.some(({ port }) => port === undefined)) {
      matches.push({ protocol });
      continue;
    }
    const ranges: PortRange[] = [];
    const names = new Set<string>();
    for (const { port, endPort } of own) {
      if (typeof port === 'string') {
        if (endPort === undefined) names.add(port);
      } else if (port !== undefined && (endPort === undefined || endPort >= port)) ranges.push([port, endPort ?? port]);
    }
    for (const chunk of chunkPorts(mergePorts(ranges))) matches.push({ protocol, ports: chunk });
    for (const port of [...names].sort()) {
      const local = direction === 'ingress';
      const named = `krs${family}-port-${shortHash(port, protocol, local ? 'local' : 'all')}`;
      sets.set(named, { type: 'named', port, protocol, local });
      matches.push({ protocol, named });
    }
  }
  return matches;
}

function blockSet(members: Map<string, boolean>, family: Family, sets: Map<string, SetSource>): PeerMatch {
  const sorted = new Map([...members].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  const name = `krs${family}-net-${shortHash(...[...sorted].map(([text, except]) => `${except ? '!' : ''}${text}`))}`;
  sets.set(name, { type: 'block', members: sorted });
  return { peer: name };
}

function compilePeers(
  peers: readonly PolicyPeer[],
  namespace: string,
  family: Family,
  sets: Map<string, SetSource>,
): PeerMatch[] {
  if (peers.length === 0) return [{}];
  const matches: PeerMatch[] = [];
  const plain = new Map<string, Prefix>();
  const names = new Set<string>();
  for (const peer of peers) {
    if ('ipBlock' in peer) {
      const prefix = tryParsePrefix(peer.ipBlock.cidr, { hostBits: 'mask' });
      if (prefix === undefined || prefix.family !== family) continue;
      const members = blockMembers(peer.ipBlock.cidr, peer.ipBlock.except, family);
      if (members === undefined) continue;
      if ([...members.values()].includes(true)) {
        const match = blockSet(members, family, sets);
        if (!names.has(match.peer!)) matches.push(match);
        names.add(match.peer!);
      } else plain.set(formatPrefix(prefix), prefix);
      continue;
    }
    const pods = compileSelector(peer.podSelector ?? { matchLabels: {}, matchExpressions: [] });
    const scope = peer.namespaceSelector === undefined ? namespace : compileSelector(peer.namespaceSelector);
    const source = { type: 'pods', scope, pods } as const;
    const name = `krs${family}-pods-${shortHash(...scopeKey(source))}`;
    sets.set(name, source);
    if (!names.has(name)) matches.push({ peer: name });
    names.add(name);
  }
  if (plain.has(`${family === 4 ? '0.0.0.0' : '::'}/0`)) return [{}];
  if (plain.size > PLAIN_BLOCKS) {
    const members = new Map<string, boolean>([...plain.values()].map((prefix) => [memberText(prefix), false]));
    matches.push(blockSet(members, family, sets));
  } else for (const block of [...plain.keys()].sort()) matches.push({ block });
  return matches;
}

/** Text that is equal for rules that match the same packets. */
export function ruleKey(rule: Omit<ChainRule, 'policy'>): string {
  const ports = rule.ports?.map(([first, last]) => `${first}-${last}`).join(',') ?? '';
  return delimited([rule.protocol ?? '', ports, rule.peer ?? '', rule.block ?? '', rule.named ?? '']);
}

const ANYTHING = ruleKey({});

function scopeKey({ scope, pods }: PodsSource): string[] {
  return [...(typeof scope === 'string' ? ['in', scope] : ['where', scope.key]), pods.key];
}

/**
 * A peer and a port of it by name are one condition on one address, so they are one set: of two, a pod that leaves one while it
 * joins the other could for an instant be in both.
 */
function joinMatches(
  peer: PeerMatch,
  port: PortMatch,
  direction: Direction,
  family: Family,
  sets: Map<string, SetSource>,
): PeerMatch & PortMatch {
  const pods = peer.peer === undefined ? undefined : sets.get(peer.peer);
  const ports = port.named === undefined ? undefined : sets.get(port.named);
  if (direction === 'ingress' || pods?.type !== 'pods' || ports?.type !== 'named') return { ...peer, ...port };
  const named = `krs${family}-port-${shortHash(ports.port, ports.protocol, 'all', ...scopeKey(pods))}`;
  sets.set(named, { ...ports, peers: { scope: pods.scope, pods: pods.pods } });
  return { ...port, named };
}

/** The alternatives that a rule is made of. */
function* alternatives(
  { peers, ports }: PolicyRule,
  namespace: string,
  direction: Direction,
  family: Family,
  sets: Map<string, SetSource>,
): Iterable<Pick<ChainRule, 'peer' | 'block' | 'protocol' | 'ports' | 'named'>> {
  const portMatches = compilePorts(ports, direction, family, sets);
  for (const peer of compilePeers(peers, namespace, family, sets)) {
    for (const port of portMatches) yield joinMatches(peer, port, direction, family, sets);
  }
}

/** Rules with those of the sets that they name. */
function withSets(rules: readonly ChainRule[], sets: ReadonlyMap<string, SetSource>): PolicyRules {
  const used = new Map<string, SetSource>();
  for (const { peer, named } of rules) {
    for (const name of [peer, named]) if (name !== undefined) used.set(name, sets.get(name)!);
  }
  return { rules, sets: used };
}

/** Whether a rule matches everything, so that what follows it is never asked. */
export function matchesAll(rule: ChainRule): boolean {
  return ruleKey(rule) === ANYTHING;
}

/** The alternatives of one policy in one direction and family; a policy that does not isolate the direction has none. */
export function compilePolicy(policy: NetworkPolicyObject, direction: Direction, family: Family): PolicyRules {
  const sets = new Map<string, SetSource>();
  const rules = new Map<string, ChainRule>();
  const owner = `${policy.namespace}/${policy.name}`;
  for (const source of policy[direction] ?? []) {
    for (const match of alternatives(source, policy.namespace, direction, family, sets)) {
      rules.set(ruleKey(match), { ...match, policy: owner });
    }
  }
  const open = [...rules.values()].find(matchesAll);
  return withSets(open === undefined ? [...rules.values()] : [open], sets);
}

const ACTIONS = { Accept: {}, Deny: { action: 'deny' }, Pass: { action: 'pass' } } as const;

/** The rules of a ClusterNetworkPolicy in one direction and family, in the order in which they are asked. */
export function compileClusterPolicy(
  policy: ClusterNetworkPolicyObject,
  direction: Direction,
  family: Family,
): PolicyRules {
  const sets = new Map<string, SetSource>();
  const rules = new Map<string, ChainRule>();
  for (const source of policy[direction]) {
    for (const match of alternatives(source, '', direction, family, sets)) {
      const rule: ChainRule = { ...ACTIONS[source.action], ...match, policy: policy.name };
      // The first of two that match the same decides.
      if (!rules.has(ruleKey(rule))) rules.set(ruleKey(rule), rule);
    }
  }
  return withSets([...rules.values()], sets);
}
