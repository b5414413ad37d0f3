/**
 * How the members of sets change, so that no packet is judged by a mixture of old and new. `ipset` changes one member after the other,
 * and a flow has two ends: its egress rules ask for the destination's sets and its ingress rules for the source's. A pass is therefore
 * made in place only where every intermediate state is one that the cluster may have been in (pods that come, pods that go, pods
 * that keep their class); else the sets that change get copies, complete before one commit of the chains turns to them.
 */
import type { Family } from '../../net/values.ts';
import { dirtyKey } from '../model/types.ts';
import type { ChainRule, CompiledSet, FamilyState, SetKind, SetRole } from '../model/types.ts';
import { copyName, inForce } from '../parse/iptables.ts';
import type { ObservedIptables, ObservedSet } from '../parse/iptables.ts';
import { RULES, WAYS, draftFamily, isOwnPort, movesOf } from './draft.ts';
import type { AddressChange, Draft, MemberChange } from './draft.ts';
import { changesOf, holdBack, mustWait } from './waiting.ts';

/** One change of a set, by the name that it has in the kernel. */
export type SetOperation =
  | {
      readonly op: 'create';
      readonly set: string;
      readonly family: Family;
      readonly kind: SetKind;
      readonly maxelem: number;
    }
  | { readonly op: 'add' | 'delete'; readonly set: string; readonly member: string; readonly except: boolean }
  | { readonly op: 'destroy'; readonly set: string };

/** The set operations of one family, around the commit of its chains. */
export interface SetPlan {
  readonly before: SetOperation[];
  readonly after: SetOperation[];
  /** Once nothing names them any more. */
  readonly destroy: SetOperation[];
  /** Sets that are turned over to a copy by the commit. */
  readonly flips: ReadonlySet<string>;
  /** Whether a flow that was let through may have lost its permission. */
  readonly tightens: boolean;
}

/** Sets are made this large at least; larger ones get room for twice their members. */
const MAXELEM = 65536;

function roomFor(count: number): number {
  let room = MAXELEM;
  while (room < count * 2) room *= 2;
  return count > MAXELEM / 2 ? room : MAXELEM;
}

/**
 * Whether the changes must come at one instant: not so when pods come, go or change sets while each keeps its class, one after the
 * other as the cluster may have done it. A pod that moves between classes, ends of many flows changed by one object, and a new
 * root that lets some pods in while others leave have no order that never is looser than both before and after. Where rules deny
 * what they match, to join a set may take and to leave it may give: there a pod changes one set, or all of its sets at once. One
 * object that changes two addresses changes both ends of the flows between them: its old address may do at the one moment what its
 * new one may suffer at the other.
 */
function mustBeAtOnce(draft: Draft, newRoots: boolean, together: boolean, denies: boolean): boolean {
  let [enters, exits, joins, leaves] = [false, false, false, false];
  for (const address of draft.addresses.values()) {
    if (denies && address.changes.filter(({ role }) => RULES.includes(role)).length > 1) return true;
    if (movesOf(address).length > 0) return true;
    enters ||= address.enters.size > 0;
    exits ||= address.exits.size > 0;
    joins ||= address.joinsPeers;
    leaves ||= address.leavesPeers;
  }
  if (draft.outgrown.size > 0 || (newRoots && enters && exits)) return true;
  if (!together || draft.addresses.size === 1) return false;
  return denies ? joins || leaves : (joins && leaves) || (joins && enters) || (leaves && exits);
}

function toOperations(changes: Iterable<MemberChange>, kernel: (name: string) => string): SetOperation[] {
  const operations: SetOperation[] = [];
  for (const { name, member, wanted, held } of changes) {
    const set = kernel(name);
    // The same prefix as match and as exception: only a replacement in one set will do, exception first.
    if (held !== undefined) operations.push({ op: 'delete', set, member, except: held });
    if (wanted !== undefined) operations.push({ op: 'add', set, member, except: wanted });
  }
  return operations;
}

/**
 * Those who enter isolation first, then address by address the sets that rules match (joined, then left), then those whose isolation
 * ends: a new pod is isolated before anybody may reach it as a peer, one that goes is nobody's peer before it is free. Its own named
 * ports come even earlier and go even later: only rules of its own class ask for them, and without them it would refuse what it
 * permits.
 */
function inPlace(
  draft: Draft,
  state: FamilyState,
  kernel: (name: string) => string,
  newRoots: boolean,
  prune: boolean,
): Pick<SetPlan, 'before' | 'after'> {
  const before: SetOperation[] = [];
  const after: SetOperation[] = [];
  // Its own named ports before the class, which a root may ask for by itself; the class before a group that leads to it, an inner group
  // before an outer one. The other way round on leaving.
  const rank = ({ role, name }: MemberChange): number =>
    role === 'named' ? -2 : role === 'class' ? -1 : (state.sets.get(name)?.members.size ?? 0);
  const roleIn = (address: AddressChange, change: MemberChange): SetRole =>
    isOwnPort(address, change) ? 'class' : change.role;
  const move = (
    address: AddressChange,
    joins: boolean,
    roles: readonly SetRole[],
    to: SetOperation[],
    which: (change: MemberChange) => boolean = () => true,
  ): void => {
    if (!joins && !prune) return;
    const picked = address.changes.filter(
      (one) => (one.wanted !== undefined) === joins && roles.includes(roleIn(address, one)) && which(one),
    );
    picked.sort((a, b) => (joins ? rank(a) - rank(b) : rank(b) - rank(a)));
    to.push(...toOperations(picked, kernel));
  };
  const all = [...draft.addresses.values()];
  // What an interrupted pass left of a pod that is isolated neither now nor then: a way to its class may come that asks for nothing else.
  const astray = (address: AddressChange) => {
    return ({ direction }: MemberChange): boolean => address.free.has(direction!);
  };
  for (const address of all) move(address, false, WAYS, before, astray(address));
  for (const address of all) move(address, true, ['class'], before);
  // Under the old root a group may lead to anything but a class that is new.
  for (const address of all) move(address, true, ['group'], newRoots ? after : before);
  // Who stays isolated as it is must be found by a new root; who comes, or comes to another class, comes when the way stands.
  const stays = (address: AddressChange) => {
    return ({ direction }: MemberChange) => !address.enters.has(direction!) && !address.classed.has(direction!);
  };
  for (const address of all) move(address, true, ['isolated'], before, stays(address));
  for (const address of all) move(address, true, ['isolated'], after, (change) => !stays(address)(change));
  for (const address of all) {
    // A new root does not know the classes that went with the old one: who leaves them is free before it comes.
    const at = newRoots && address.exits.size > 0 ? before : after;
    move(address, false, ['local'], at);
    move(address, true, RULES, at);
    move(address, true, ['local'], at);
    move(address, false, RULES, at);
  }
  for (const address of all) {
    const frees = ({ direction }: MemberChange): boolean => newRoots && address.exits.has(direction!);
    move(address, false, ['isolated'], before, frees);
    move(address, false, ['isolated'], after, (change) => !frees(change));
  }
  for (const address of all) move(address, false, WAYS, after, (change) => !astray(address)(change));
  return { before, after };
}

/** Whether a dirty set says that its changes belong to one change of the cluster. */
export function isTogether(dirty: ReadonlySet<string> | undefined, family: Family): boolean {
  return dirty === undefined || dirty.has(dirtyKey(family, 'together'));
}

/** Whether some rule denies or passes on what it matches, so that to match more is not to allow more. */
export function hasDenials({ chains }: FamilyState): boolean {
  for (const chain of chains.values()) if (chain.kind === 'class' && chain.rules.some(isDenial)) return true;
  return false;
}

const isDenial = ({ action }: ChainRule): boolean => action !== undefined;

/** A set with those in it who may not leave yet. */
function withHeld(set: CompiledSet, held: ObservedSet | undefined): CompiledSet {
  if (held?.type !== `hash:${set.kind}`) return set;
  return { ...set, members: new Map([...held.members, ...set.members]) };
}

/** What to do to the sets of a family; `newRoots`: the commit changes how classes are found. */
export function planSets(
  state: FamilyState,
  observed: ObservedIptables,
  how: { readonly prune: boolean; readonly dirty?: ReadonlySet<string> | undefined; readonly newRoots: boolean },
): SetPlan {
  const { family } = state;
  const { prune, dirty, newRoots } = how;
  const differs = draftFamily(state, observed, dirty);
  const denies = hasDenials(state);
  const together = isTogether(dirty, family);
  const waits = !prune && mustWait(changesOf(differs), together, denies);
  const draft = waits ? holdBack(differs, state, observed) : differs;
  const before: SetOperation[] = [];
  const after: SetOperation[] = [];
  const destroy: SetOperation[] = [];
  const flips = new Set<string>();
  const now = (name: string): string => inForce(observed, name);
  const build = (set: CompiledSet, name: string, late: (member: string) => boolean = () => false): void => {
    const { kind, members } = set;
    before.push({ op: 'create', set: name, family, kind, maxelem: roomFor(members.size) });
    for (const [member, except] of members) if (!late(member)) before.push({ op: 'add', set: name, member, except });
  };
  // The copy that is not in force stays as a spare: to turn to it costs what changed since, and no set is destroyed that an old rule
  // may still hold.
  const turnOver = (set: CompiledSet, spare: string): void => {
    const held = observed.sets.get(spare);
    if (held?.type !== `hash:${set.kind}` || held.maxelem < set.members.size) {
      if (held !== undefined) before.push({ op: 'destroy', set: spare });
      build(set, spare);
      return;
    }
    for (const [member, except] of held.members) {
      if (set.members.get(member) !== except) before.push({ op: 'delete', set: spare, member, except });
    }
    for (const [member, except] of set.members) {
      if (held.members.get(member) !== except) before.push({ op: 'add', set: spare, member, except });
    }
  };
  for (const set of draft.fresh) {
    // Nothing matches a new set before the chains do. But who comes to be isolated comes when the way to the class stands.
    const late = (member: string): boolean => {
      const { direction, role, name } = set;
      const address = draft.addresses.get(member);
      if (role === 'local' || (role === 'isolated' && address?.enters.has(direction!) === true)) return true;
      return !RULES.includes(role) && address?.waits.get(direction!)?.has(name) === false;
    };
    build(set, now(set.name), late);
  }
  if (!waits && mustBeAtOnce(draft, newRoots, together, denies)) {
    const touched = new Set(draft.outgrown);
    const local: MemberChange[] = [];
    for (const { changes } of draft.addresses.values()) {
      for (const change of changes) {
        if (change.wanted === undefined && !prune) continue;
        if (change.role === 'local') local.push(change);
        else if (observed.sets.has(now(change.name)) && state.sets.has(change.name)) touched.add(change.name);
        else if (state.sets.has(change.name)) before.push(...toOperations([change], now));
      }
    }
    before.push(
      ...toOperations(
        local.filter(({ wanted }) => wanted === undefined),
        now,
      ),
    );
    after.push(
      ...toOperations(
        local.filter(({ wanted }) => wanted !== undefined),
        now,
      ),
    );
    for (const name of touched) {
      flips.add(name);
      const set = state.sets.get(name)!;
      // Those who may not leave yet are in the copy too.
      turnOver(prune ? set : withHeld(set, observed.sets.get(now(name))), copyName(now(name)));
    }
  } else {
    const moved = inPlace(draft, state, now, newRoots, prune);
    before.push(...moved.before);
    after.push(...moved.after);
  }
  for (const name of draft.dropped) {
    for (const kernel of [name, copyName(name)]) {
      if (observed.sets.has(kernel)) destroy.push({ op: 'destroy', set: kernel });
    }
  }
  const tightens =
    flips.size > 0 ||
    [...draft.addresses.values()].some(
      ({ leavesPeers, joinsPeers, enters }) => leavesPeers || enters.size > 0 || (denies && joinsPeers),
    );
  return { before, after, destroy: prune ? destroy : [], flips, tightens };
}
