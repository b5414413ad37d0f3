/**
 * What differs between the sets that are wanted and the kernel's, by address: which sets it joins and leaves, and whether it comes to
 * be isolated or ceases to be. In which order that may happen is said in sets.ts.
 */
import { isIsolated, isolatedDirection, localSet, parseDirtyKey } from '../model/types.ts';
import type { CompiledSet, Direction, FamilyState, SetRole } from '../model/types.ts';
import { inForce, isolatingSets, originalOf } from '../parse/iptables.ts';
import type { ObservedIptables, ObservedSet } from '../parse/iptables.ts';

/** Role of a set by its name, for sets that are wanted no more. */
export function roleOf(name: string): SetRole {
  if (name === localSet(4) || name === localSet(6)) return 'local';
  const word = /^krs[46]-([a-z]+)-/.exec(name)?.[1];
  return word === 'iso' ? 'isolated' : word === 'class' || word === 'group' ? word : 'peer';
}

/** One member of one set that is to come or to go; `held` and `wanted` as in the members of a set. */
export interface MemberChange {
  readonly name: string;
  readonly role: SetRole;
  readonly direction: Direction | undefined;
  readonly member: string;
  readonly wanted: boolean | undefined;
  readonly held: boolean | undefined;
}

/** What changes about one address. */
export interface AddressChange {
  readonly changes: MemberChange[];
  joinsPeers: boolean;
  leavesPeers: boolean;
  /** Directions in which it comes to be isolated, and in which it ceases to be. */
  readonly enters: Set<Direction>;
  readonly exits: Set<Direction>;
  /** Directions in which it is isolated neither before nor after. */
  readonly free: Set<Direction>;
  /** Directions in which it joins a class. */
  readonly classed: Set<Direction>;
  /** The sets on the way to the class in which it stays for now, though another one is wanted. */
  readonly waits: ReadonlyMap<Direction, ReadonlySet<string>>;
}

/** What differs in one family. */
export interface Draft {
  readonly fresh: CompiledSet[];
  readonly dropped: Set<string>;
  /** Sets that cannot be changed in place: too small, of another type, or such as would isolate too early. */
  readonly outgrown: Set<string>;
  readonly addresses: Map<string, AddressChange>;
  /** Members that a set would isolate at the very commit, because a pass that was interrupted or another flavour left them there. */
  readonly early: { readonly set: string; readonly member: string }[];
}

/** Who is isolated. */
interface Isolation {
  /** Sets that isolate by the rules in force, by the name in the kernel. */
  readonly sets: Readonly<Record<Direction, ReadonlySet<string>>>;
  before(direction: Direction, address: string): boolean;
  after(direction: Direction, address: string): boolean;
}

/** What leads to a chain. */
export const WAYS: readonly SetRole[] = ['class', 'group'];
/** What rules match. */
export const RULES: readonly SetRole[] = ['peer', 'block', 'named'];

/** Whether a change is of its own named port, with the class of one that comes to be isolated or ceases to be. */
export const isOwnPort = ({ enters, exits }: AddressChange, { role, direction, wanted }: MemberChange): boolean =>
  role === 'named' && direction === 'ingress' && (wanted === undefined ? exits : enters).has('ingress');

/** Directions in which it moves from one class to another. */
export const movesOf = ({ classed, enters }: AddressChange): Direction[] =>
  [...classed].filter((direction) => !enters.has(direction));

function addressOf(member: string): string {
  const comma = member.indexOf(',');
  return comma < 0 ? member : member.slice(0, comma);
}

function about(draft: Draft, address: string): AddressChange {
  let found = draft.addresses.get(address);
  if (found === undefined) {
    found = {
      changes: [],
      joinsPeers: false,
      leavesPeers: false,
      enters: new Set(),
      exits: new Set(),
      free: new Set(),
      classed: new Set(),
      waits: new Map(),
    };
    draft.addresses.set(address, found);
  }
  return found;
}

function draftMember(
  draft: Draft,
  name: string,
  set: CompiledSet | undefined,
  observed: ObservedSet | undefined,
  member: string,
): void {
  const wanted = set?.members.get(member);
  const held = observed?.members.get(member);
  if (wanted === held) return;
  const role = set?.role ?? roleOf(name);
  const direction = set?.direction ?? isolatedDirection(name);
  const address = about(draft, role === 'block' || set?.kind === 'net' ? '' : addressOf(member));
  address.changes.push({ name, role, direction, member, wanted, held });
  if (RULES.includes(role)) {
    if (held !== undefined) address.leavesPeers = true;
    if (wanted !== undefined) address.joinsPeers = true;
  } else if (role === 'class' && wanted !== undefined && direction !== undefined) address.classed.add(direction);
}

function draftSet(
  draft: Draft,
  name: string,
  set: CompiledSet | undefined,
  observed: ObservedSet | undefined,
  isolated: Isolation,
  kernel: string,
): void {
  if (set === undefined) {
    draft.dropped.add(name);
    // Its rule goes with the commit, which frees those who are in no other.
    const direction = isolatedDirection(name);
    if (observed !== undefined && direction !== undefined) {
      for (const member of observed.members.keys()) if (!isolated.after(direction, member)) about(draft, member);
    }
    return;
  }
  if (observed === undefined) {
    draft.fresh.push(set);
    if (set.role === 'class') {
      for (const member of set.members.keys()) {
        if (isolated.before(set.direction!, member)) about(draft, member).classed.add(set.direction!);
      }
    } else if (set.role === 'isolated' || set.role === 'local') {
      for (const member of set.members.keys()) {
        if (set.role === 'local' || !isolated.before(set.direction!, member))
          draftMember(draft, name, set, undefined, member);
      }
    }
    return;
  }
  if (set.members.size > observed.maxelem || observed.type !== `hash:${set.kind}`) draft.outgrown.add(name);
  if (set.role === 'isolated' && !isolated.sets[set.direction!].has(kernel)) {
    for (const member of observed.members.keys()) {
      if (!isolated.before(set.direction!, member)) draft.early.push({ set: name, member });
    }
  }
  for (const member of set.members.keys()) draftMember(draft, name, set, observed, member);
  for (const member of observed.members.keys()) {
    if (!set.members.has(member)) draftMember(draft, name, set, observed, member);
  }
}

/** Compares the sets of a family with the kernel's; with `dirty`, only those keys. */
export function draftFamily(
  state: FamilyState,
  observed: ObservedIptables,
  dirty: ReadonlySet<string> | undefined,
): Draft {
  const { family, sets } = state;
  const draft: Draft = { fresh: [], dropped: new Set(), outgrown: new Set(), addresses: new Map(), early: [] };
  const now = (name: string): string => inForce(observed, name);
  const held = (name: string): ObservedSet | undefined => observed.sets.get(now(name));
  const isolating = isolatingSets(observed.families[family]);
  const isolated: Isolation = {
    sets: isolating,
    before: (direction, address) => {
      for (const name of isolating[direction]) if (observed.sets.get(name)?.members.has(address) === true) return true;
      return false;
    },
    after: (direction, address) => isIsolated(state, direction, address),
  };
  const whole = (name: string): void => draftSet(draft, name, sets.get(name), held(name), isolated, now(name));
  if (dirty === undefined) {
    for (const name of sets.keys()) whole(name);
    for (const [name, { family: of }] of observed.sets) {
      const own = originalOf(name);
      if (of === family && !sets.has(own)) whole(own);
    }
  } else draftDirty(draft, state, dirty, held, whole);
  for (const [address, { enters, exits, free }] of draft.addresses) {
    for (const direction of ['ingress', 'egress'] as const) {
      const [before, after] = [isolated.before(direction, address), isolated.after(direction, address)];
      if (before !== after) (after ? enters : exits).add(direction);
      else if (!after) free.add(direction);
    }
  }
  // Where the way to their class does not stand yet, or they are to be isolated no more, a copy without them takes the set's place.
  for (const { set, member } of draft.early) {
    const changes = draft.addresses.get(member)?.changes ?? [];
    if (changes.some(({ role }) => role === 'isolated' || WAYS.includes(role))) draft.outgrown.add(set);
  }
  return draft;
}

function draftDirty(
  draft: Draft,
  { family, sets }: FamilyState,
  dirty: ReadonlySet<string>,
  held: (name: string) => ObservedSet | undefined,
  draftWhole: (name: string) => void,
): void {
  const whole = new Set<string>();
  for (const key of dirty) {
    const parsed = parseDirtyKey(key);
    const { kind, name } = parsed;
    if (parsed.family !== family || (kind !== 'set' && !(kind === 'member' && held(name) === undefined))) continue;
    if (whole.has(name)) continue;
    whole.add(name);
    draftWhole(name);
  }
  for (const key of dirty) {
    const { family: own, kind, name, member } = parseDirtyKey(key);
    if (own !== family || kind !== 'member' || whole.has(name)) continue;
    const set = sets.get(name);
    const now = held(name)!;
    if (set !== undefined && set.members.size > now.maxelem) draft.outgrown.add(name);
    draftMember(draft, name, set, now, member);
  }
}
