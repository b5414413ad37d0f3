/**
 * The difference between what pod networking wants and what the kernel holds, as an ordered list of changes.
 * Additions come before removals, things before what refers to them; nothing is deleted that can be replaced.
 * Pure: with `dirty` the cost is that of the keys that changed.
 */
import type { PlanOptions } from '../kernel/types.ts';
import type { RoutingItem, RoutingState } from './model.ts';
import { itemKey, sameItem } from './model.ts';

/** What the kernel holds of ours, and what stands in our way. */
export interface RoutingObserved {
  readonly items: ReadonlyMap<string, RoutingItem>;
  /** Keys of routes whose place in the FIB is taken by a route that is not ours, with its protocol. */
  readonly foreign: ReadonlyMap<string, string>;
  /** `family/table/chain` of built-in chains → how many leading rules jump to other chains of ours: we insert below them. */
  readonly heads: ReadonlyMap<string, number>;
}

/** One step of a {@link RoutingPlan}. */
export interface RoutingChange {
  readonly key: string;
  /** `rebuild`: removed and added again, because the kernel cannot change it. `blocked`: someone else's route is in its place. */
  readonly verb: 'add' | 'change' | 'rebuild' | 'remove' | 'blocked';
  /** What is wanted; for `remove` what is there. */
  readonly item: RoutingItem;
  /** What is there, if anything. */
  readonly before?: RoutingItem;
  /** For `blocked`: protocol of the route in the way. For chains: position of the jump. */
  readonly note?: string;
}

/** Ordered changes, and the observation that they start from. */
export interface RoutingPlan {
  readonly changes: readonly RoutingChange[];
  readonly observed: RoutingObserved;
}

/** An empty observation: what `plan` without privileges compares with. */
export const emptyObservation: RoutingObserved = { items: new Map(), foreign: new Map(), heads: new Map() };

const ORDER: Readonly<Record<RoutingItem['type'], number>> = {
  set: 0,
  entry: 1,
  fou: 2,
  link: 3,
  sysctl: 4,
  'wireguard-peer': 5,
  fdb: 6,
  neighbour: 7,
  chain: 8,
  route: 9,
  rule: 10,
};

/** Whether what is there is what is wanted. */
export function satisfied(wanted: RoutingItem, there: RoutingItem | undefined): boolean {
  if (wanted.type === 'sysctl') {
    if (there?.type !== 'sysctl') return wanted.optional === true && there === undefined;
    return there.value === wanted.value || (wanted.onlyFrom !== undefined && there.value !== wanted.onlyFrom);
  }
  if (wanted.type === 'link' && there?.type === 'link' && wanted.mtu === undefined) {
    // An MTU that is left alone is whatever it is.
    const { mtu: _mtu, ...rest } = there;
    return sameItem(wanted, rest);
  }
  return sameItem(wanted, there);
}

/** Kinds whose ends the kernel changes in place (`ip link change`). */
const CHANGEABLE = new Set(['ipip', 'ip6tnl']);

function verbOf(wanted: RoutingItem, there: RoutingItem | undefined): RoutingChange['verb'] {
  if (there === undefined) return 'add';
  if (wanted.type !== 'link' || there.type !== 'link') return 'change';
  const { mtu: _a, ...left } = wanted;
  const { mtu: _b, ...right } = there;
  if (sameItem(left, right)) return 'change';
  return wanted.kind === there.kind && CHANGEABLE.has(wanted.kind) && wanted.port === there.port ? 'change' : 'rebuild';
}

function usesDevice(item: RoutingItem, devices: ReadonlySet<string>): boolean {
  switch (item.type) {
    case 'route':
      return item.hops.some((hop) => hop.dev !== undefined && devices.has(hop.dev));
    case 'neighbour':
    case 'fdb':
    case 'wireguard-peer':
      return devices.has(item.dev);
    default:
      return false;
  }
}

/** What must never be taken away while running: pods hang on the bridge, and a sysctl's former value is the ownership record's. */
function prunable(item: RoutingItem): boolean {
  return item.type !== 'sysctl' && !(item.type === 'link' && item.kind === 'bridge');
}

/** Compares and orders. */
export function plan(
  desired: RoutingState,
  observed: RoutingObserved,
  options: PlanOptions = { prune: true },
): RoutingPlan {
  const additions: RoutingChange[] = [];
  const removals: RoutingChange[] = [];
  const rebuilt = new Set<string>();
  const visit = (key: string): void => {
    const wanted = desired.get(key);
    const there = observed.items.get(key);
    if (wanted === undefined) {
      if (there !== undefined && options.prune && prunable(there)) removals.push({ key, verb: 'remove', item: there });
      return;
    }
    if (satisfied(wanted, there)) return;
    const inTheWay = observed.foreign.get(key);
    if (inTheWay !== undefined) {
      additions.push({ key, verb: 'blocked', item: wanted, note: inTheWay });
      return;
    }
    const verb = verbOf(wanted, there);
    if (verb === 'rebuild' && wanted.type === 'link') rebuilt.add(wanted.name);
    const head =
      wanted.type === 'chain' ? observed.heads.get(`${wanted.family}/${wanted.table}/${wanted.hook}`) : undefined;
    additions.push({
      key,
      verb,
      item: wanted,
      ...(there === undefined ? {} : { before: there }),
      ...(head === undefined ? {} : { note: `${head}` }),
    });
  };
  if (options.dirty === undefined) {
    for (const key of desired.keys()) visit(key);
    for (const key of observed.items.keys()) if (!desired.has(key)) visit(key);
  } else {
    for (const key of options.dirty) visit(key);
  }
  if (rebuilt.size > 0) {
    // The kernel drops what hangs on a device together with it: put it back even though it was right.
    const planned = new Set(additions.map((change) => change.key));
    for (const [key, item] of desired) {
      if (!planned.has(key) && usesDevice(item, rebuilt)) additions.push({ key, verb: 'add', item });
    }
  }
  additions.sort((a, b) => ORDER[a.item.type] - ORDER[b.item.type]);
  removals.sort((a, b) => ORDER[b.item.type] - ORDER[a.item.type]);
  return { changes: [...additions, ...removals], observed };
}

/** A plan that removes exactly these keys; a set takes its entries along. */
export function planRemoval(observed: RoutingObserved, keys: Iterable<string>): RoutingPlan {
  const changes: RoutingChange[] = [];
  const going = new Set(keys);
  for (const key of going) {
    const item = observed.items.get(key);
    if (item === undefined || (item.type === 'entry' && going.has(`set/${item.set}`))) continue;
    changes.push({ key, verb: 'remove', item });
  }
  changes.sort((a, b) => ORDER[b.item.type] - ORDER[a.item.type]);
  return { changes, observed };
}

/** What the kernel holds after the changes, except the failed ones. */
export function applyTo(
  observed: RoutingObserved,
  changes: readonly RoutingChange[],
  failed: ReadonlySet<string>,
): RoutingObserved {
  const items = observed.items as Map<string, RoutingItem>;
  for (const change of changes) {
    if (failed.has(change.key) || change.verb === 'blocked') continue;
    if (change.verb === 'remove') items.delete(change.key);
    else items.set(itemKey(change.item), change.item);
  }
  return observed;
}
