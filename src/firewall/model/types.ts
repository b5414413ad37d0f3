/**
 * What the compiler says and every backend understands: sets of addresses, chains of allow rules, and how packets find them.
 * Chains are immutable, because their name is a hash of their content: a changed policy is a new chain to which pods move.
 * Sets keep their name while their members change. Pure types; the compiler writes them, plan and render read them.
 */
import type { Family, Protocol } from '../../net/values.ts';

/** Which way a policy looks at a packet: `ingress` at the destination pod, `egress` at the source pod. */
export type Direction = 'ingress' | 'egress';

/** First and last destination port, both included. */
export type PortRange = readonly [first: number, last: number];

/** One alternative and what becomes of a packet that it matches; all fields that are there must match. */
export interface ChainRule {
  /** Absent: let through. `pass`: left to the chain's `next`. */
  readonly action?: 'deny' | 'pass';
  /** Absent: every protocol, ICMP included. */
  readonly protocol?: Protocol;
  /** Destination ports, merged and sorted, at most 15 numbers; only with `protocol`. */
  readonly ports?: readonly PortRange[];
  /** Name of an address set that the peer (source of ingress, destination of egress) must be in. */
  readonly peer?: string;
  /** Canonical prefix that the peer must be in, when no set is needed. */
  readonly block?: string;
  /** Name of an address-and-port set that the destination must be in; how named ports are matched. */
  readonly named?: string;
  /** The policy that wrote it: `namespace/name`, or the name of a ClusterNetworkPolicy. */
  readonly policy: string;
}

/** The flattened policies of one class of pods: the first rule that matches decides, else `next` or `otherwise`. */
export interface ClassChain {
  readonly kind: 'class';
  readonly name: string;
  readonly family: Family;
  readonly direction: Direction;
  /** Those that select its pods: of the Admin tier as they are asked, `namespace/name` sorted, or of the Baseline tier as they are asked. */
  readonly policies: readonly string[];
  readonly rules: readonly ChainRule[];
  /** Name of the chain of the next tier, which judges what no rule here decides or what a rule passes on. */
  readonly next?: string;
  /** What becomes of such packets where there is no next tier. */
  readonly otherwise: 'allow' | 'deny';
}

/** A set that an address may be in, and the chain that judges it then. */
export interface DispatchBranch {
  /** Only of packets of this protocol. */
  readonly protocol?: Protocol;
  readonly set: string;
  readonly chain: string;
}

/** A step on the way to a pod's class: the first set that holds the address names the chain. */
export interface DispatchChain {
  readonly kind: 'dispatch';
  readonly name: string;
  readonly family: Family;
  readonly direction: Direction;
  readonly branches: readonly DispatchBranch[];
  /** Chain of the class of those that no set holds; absent in a root, where they are not isolated. */
  readonly rest?: string;
  /** In a root: the sets of classes that no chain asks for. */
  readonly unasked?: readonly string[];
}

/** A chain of the compiled state. */
export type Chain = ClassChain | DispatchChain;

/** What the members of a set look like: addresses, prefixes, or `address,protocol:port`. */
export type SetKind = 'ip' | 'net' | 'ip,port';

/**
 * What a set is for, which decides when its changes are applied: `peer`, `block` and `named` are matched by rules, `class`
 * and `group` lead to chains, `isolated` does so too and thereby makes a pod subject to policy, `local` holds the pods that are
 * programmed.
 */
export type SetRole = 'peer' | 'block' | 'named' | 'class' | 'group' | 'isolated' | 'local';

/** A set of the compiled state. */
export interface CompiledSet {
  readonly name: string;
  readonly family: Family;
  readonly kind: SetKind;
  readonly role: SetRole;
  /** For `class`, `group` and `isolated`, and for `named` where only rules about its own pods ask for it. */
  readonly direction?: Direction;
  /** For `class`: the chain that judges its members. */
  readonly chain?: string;
  /** Member text to whether it is an exception (`nomatch`, only in `net`). */
  readonly members: ReadonlyMap<string, boolean>;
}

/** Everything of one address family. */
export interface FamilyState {
  readonly family: Family;
  readonly sets: ReadonlyMap<string, CompiledSet>;
  readonly chains: ReadonlyMap<string, Chain>;
  /** Dispatch chain of each direction, whose sets hold the isolated pods; absent when no local pod is isolated in it. */
  readonly roots: { readonly ingress?: string; readonly egress?: string };
  /** Canonical prefix around all isolated pods of each direction; absent when there is none. */
  readonly covers: { readonly ingress?: string | undefined; readonly egress?: string | undefined };
}

/** The compiled policies of one node. */
export interface FirewallState {
  readonly families: { readonly 4: FamilyState; readonly 6: FamilyState };
}

/** Name of a set of isolated pods, by what it holds of them: 27 to 29 characters, which leaves room for the suffix of a copy. */
export const isolatedSet = (family: Family, direction: Direction, hash: string): string =>
  `krs${family}-iso-${direction}-${hash.slice(0, 12)}`;

/** Direction of a set of isolated pods, by its name. */
export function isolatedDirection(name: string): Direction | undefined {
  return /^krs[46]-iso-(ingress|egress)/.exec(name)?.[1] as Direction | undefined;
}

/** Whether an address is that of an isolated pod. */
export function isIsolated({ roots, chains, sets }: FamilyState, direction: Direction, address: string): boolean {
  const root = chains.get(roots[direction] ?? '');
  if (root?.kind !== 'dispatch') return false;
  return root.branches.some(
    ({ protocol, set }) => protocol === undefined && sets.get(set)?.members.has(address) === true,
  );
}

/** Local pods whose rules are in force; the name is kube-router's. */
export const localSet = (family: Family): string => `${family === 6 ? 'inet6:' : ''}kube-router-local-pods`;

/** Separates the parts of a dirty key; part of no name. */
const SEPARATOR = '|';

/**
 * Kinds of dirty keys: a whole set, one member of a set, a chain, the roots and covers of a family; `together` says that one object changed
 * many members at once.
 */
export type DirtyKind = 'set' | 'member' | 'chain' | 'roots' | 'together';

/** Text of a dirty key. */
export function dirtyKey(family: Family, kind: DirtyKind, name = '', member = ''): string {
  return `${family}${SEPARATOR}${kind}${SEPARATOR}${name}${SEPARATOR}${member}`;
}

/** The parts of a dirty key. */
export function parseDirtyKey(key: string): { family: Family; kind: DirtyKind; name: string; member: string } {
  const kindEnd = key.indexOf(SEPARATOR, 2);
  const nameEnd = key.indexOf(SEPARATOR, kindEnd + 1);
  return {
    family: key.startsWith('4') ? 4 : 6,
    kind: key.slice(2, kindEnd) as DirtyKind,
    name: key.slice(kindEnd + 1, nameEnd),
    member: key.slice(nameEnd + 1),
  };
}
