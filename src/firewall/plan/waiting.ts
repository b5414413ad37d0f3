/**
 * What waits while nothing may be removed. Whoever is to leave a set is in it still, and whoever moves to another class is judged by the
 * old one or by the new: the rules in force are those of both moments at once. An end of a flow is judged by a class on one side and
 * by what the other side is known as; where one change of the cluster changes both, half of it could let in whom neither moment does.
 */
import type { Direction, FamilyState } from '../model/types.ts';
import { inForce } from '../parse/iptables.ts';
import type { ObservedIptables } from '../parse/iptables.ts';
import { RULES, isOwnPort, movesOf } from './draft.ts';
import type { AddressChange, Draft } from './draft.ts';

/** Sets that lead packets of every protocol to each class, its own among them where it is asked for; by chain. */
export function waysOf({ roots, chains }: FamilyState): ReadonlyMap<string, readonly string[]> {
  const ways = new Map<string, readonly string[]>();
  const follow = (name: string | undefined, way: readonly string[]): void => {
    const chain = chains.get(name ?? '');
    if (chain?.kind === 'class') ways.set(chain.name, way);
    if (chain?.kind !== 'dispatch') return;
    for (const { protocol, set, chain: next } of chain.branches) {
      if (protocol === undefined) follow(next, [...way, set]);
    }
    follow(chain.rest, way);
  };
  follow(roots.ingress, []);
  follow(roots.egress, []);
  return ways;
}

/** Whose changes a plan holds, by address. */
export interface Changes {
  /** Isolated before and after, by another class. */
  readonly moves: ReadonlySet<string>;
  /** To join a set that rules match, and to leave one. */
  readonly joins: ReadonlySet<string>;
  readonly leaves: ReadonlySet<string>;
}

/**
 * Whether those who move must stay in their class, and those who join stay out, until others may leave. `together`: the changes are not
 * known to be changes of one pod after the other. Where rules deny or pass on what they match, one address that joins and leaves may
 * meet a rule of before that leads to one of after.
 */
export function mustWait({ moves, joins, leaves }: Changes, together: boolean, denies: boolean): boolean {
  if (denies) for (const address of joins) if (leaves.has(address)) return true;
  if (!together) return false;
  const others = new Set([...joins, ...leaves]);
  for (const end of moves) if (others.size > (others.has(end) ? 1 : 0)) return true;
  return false;
}

/** Who moves, joins and leaves by the sets of a family. */
export function changesOf({ addresses }: Draft): Changes {
  const [moves, joins, leaves] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const [address, change] of addresses) {
    if (movesOf(change).length > 0) moves.add(address);
    if (change.joinsPeers) joins.add(address);
    if (change.leavesPeers) leaves.add(address);
  }
  return { moves, joins, leaves };
}

/** A draft without what must wait until others may leave: nobody moves, and nobody is known to the rules as more than before. */
export function holdBack(draft: Draft, state: FamilyState, observed: ObservedIptables): Draft {
  const ways = waysOf(state);
  const wayNow = (direction: Direction, address: string): ReadonlySet<string> => {
    const held = [...state.sets.values()].filter(
      ({ role, direction: own, name }) =>
        role === 'class' && own === direction && observed.sets.get(inForce(observed, name))?.members.has(address),
    );
    return new Set(held.flatMap(({ chain = '' }) => ways.get(chain) ?? []));
  };
  const hold = (address: AddressChange, name: string): AddressChange => {
    const waits = new Map(movesOf(address).map((direction) => [direction, wayNow(direction, name)]));
    const changes = address.changes.filter((change) => {
      if (RULES.includes(change.role)) return isOwnPort(address, change);
      return change.role === 'local' || !waits.has(change.direction!);
    });
    const classed = new Set([...address.classed].filter((direction) => !waits.has(direction)));
    return { ...address, changes, classed, waits };
  };
  return { ...draft, addresses: new Map([...draft.addresses].map(([name, address]) => [name, hold(address, name)])) };
}
