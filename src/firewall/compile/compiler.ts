/**
 * The incremental compiler: changed objects in, changed sets and chains out. The cost of a change follows the addresses, classes
 * and sets that it touches; the rest of the cluster is not walked. What it holds after any sequence of changes is what a
 * compiler that saw only the last state would hold, which the property tests check.
 */
import type { Issue } from '../../net/values.ts';
import type {
  ClusterNetworkPolicyObject,
  NamespaceObject,
  NetworkPolicyObject,
  PodObject,
} from '../../objects/types.ts';
import { dirtyKey, localSet } from '../model/types.ts';
import type { Direction, FirewallState } from '../model/types.ts';
import { NO_GROUPS, createCluster } from './cluster.ts';
import type { AddressState, Cluster } from './cluster.ts';
import { createClasses } from './classes.ts';
import type { Classes } from './classes.ts';
import { createCover } from './cover.ts';
import type { Cover } from './cover.ts';
import { createDispatch } from './dispatch.ts';
import type { Dispatch } from './dispatch.ts';
import { createPeers } from './peers.ts';
import type { Peers } from './peers.ts';
import { createStore } from './store.ts';
import type { LiveSet, Store } from './store.ts';

/** A changed object by key; `undefined` when it is gone. */
export interface ObjectChange<T> {
  /** `namespace/name`, or `name` of a Namespace. */
  readonly key: string;
  readonly object: T | undefined;
}

/** Changes of the objects that policy depends on. */
export interface FirewallChanges {
  readonly pods?: Iterable<ObjectChange<PodObject>>;
  readonly namespaces?: Iterable<ObjectChange<NamespaceObject>>;
  readonly policies?: Iterable<ObjectChange<NetworkPolicyObject>>;
  readonly clusterPolicies?: Iterable<ObjectChange<ClusterNetworkPolicyObject>>;
}

/** What an update did. */
export interface FirewallUpdate {
  /** The same object every time; `dirty` tells what in it changed. */
  readonly state: FirewallState;
  /** Keys of what changed, as `reconcile` and the target take them. */
  readonly dirty: ReadonlySet<string>;
  /** Everything wrong at present, not only what is new. */
  readonly issues: readonly Issue[];
}

/** What a compiler is made from. */
export interface PolicyCompilerOptions {
  /** Name of the node whose pods are protected. */
  readonly node: string;
  /** Keep a set of the local pods that are programmed, which `defaultDeny` of the target needs. @defaultValue false */
  readonly localPods?: boolean;
}

/** Turns changes of objects into changes of kernel objects. */
export interface PolicyCompiler {
  readonly state: FirewallState;
  /** Takes what changed and gives the whole desired state, with the keys that differ from before. */
  update(changes: FirewallChanges): FirewallUpdate;
}

interface FamilyCompiler {
  readonly store: Store;
  readonly peers: Peers;
  readonly classes: Classes;
  readonly dispatch: Readonly<Record<Direction, Dispatch>>;
  readonly covers: Readonly<Record<Direction, Cover>>;
  readonly local: LiveSet | undefined;
}

const DIRECTIONS = ['ingress', 'egress'] as const;

function createFamily(cluster: Cluster, family: 4 | 6, localPods: boolean): FamilyCompiler {
  const store = createStore(family);
  const peers = createPeers(cluster, store);
  return {
    store,
    peers,
    classes: createClasses(store, peers),
    dispatch: { ingress: createDispatch(store, 'ingress'), egress: createDispatch(store, 'egress') },
    covers: { ingress: createCover(), egress: createCover() },
    local: localPods ? store.createSet({ name: localSet(family), kind: 'ip', role: 'local' }) : undefined,
  };
}

/** Moves an address from its classes to those of its owner. */
function classify(state: AddressState, cluster: Cluster, { classes, covers }: FamilyCompiler): void {
  const selecting = state.owner?.local === true ? cluster.selecting(state.owner) : undefined;
  for (const direction of DIRECTIONS) {
    const policies = selecting?.[direction] ?? [];
    const after = policies.length === 0 ? undefined : classes.of(direction, policies);
    const before = state[direction];
    if (after === before) continue;
    if (after !== undefined) classes.resize(after, 1);
    if (before !== undefined) classes.resize(before, -1);
    if (before === undefined) covers[direction].add(state.address);
    else if (after === undefined) covers[direction].remove(state.address);
    state[direction] = after;
  }
}

/** Puts an address into exactly the sets that lead to its classes. */
function regroup(state: AddressState, { store, dispatch }: FamilyCompiler): void {
  const { ingress, egress, groups: held } = state;
  const path = (direction: Direction): readonly LiveSet[] => {
    const found = state[direction];
    return found === undefined ? NO_GROUPS[direction] : dispatch[direction].path(found);
  };
  const wanted =
    ingress === undefined && egress === undefined ? NO_GROUPS : { ingress: path('ingress'), egress: path('egress') };
  for (const direction of DIRECTIONS) {
    for (const set of wanted[direction]) store.addMember(set, state.address);
    for (const set of held[direction]) if (!wanted[direction].includes(set)) store.removeMember(set, state.address);
  }
  state.groups = wanted;
}

/** Puts an address into exactly the sets that it belongs to. */
function place(state: AddressState, family: FamilyCompiler): void {
  const { store, peers, local } = family;
  regroup(state, family);
  const wanted = peers.memberships(state);
  const add = (set: LiveSet | undefined): void => {
    if (set !== undefined) wanted.push({ set, member: state.address });
  };
  for (const direction of DIRECTIONS) {
    add(state[direction]?.set);
  }
  if (state.owner?.local === true) add(local);
  const held = state.memberships;
  if (wanted.length === 0 && held.length === 0) return;
  const has = (list: typeof wanted, set: LiveSet, member: string): boolean => {
    for (const one of list) if (one.set === set && one.member === member) return true;
    return false;
  };
  for (const { set, member } of wanted) store.addMember(set, member);
  for (const { set, member } of held) if (!has(wanted, set, member)) store.removeMember(set, member);
  state.memberships = wanted;
}

function conflictIssue({ address, owner, claims }: AddressState): Issue {
  const others = claims.filter((pod) => pod !== owner).map(({ key }) => key);
  return {
    object: `Pod ${owner?.key ?? ''}`,
    field: 'status.podIPs',
    reason: `${address} is also claimed by ${others.sort().join(', ')}; policy follows this pod.`,
  };
}

/** A compiler that has seen nothing yet. */
export function createPolicyCompiler(options: PolicyCompilerOptions): PolicyCompiler {
  const cluster = createCluster(options.node);
  const localPods = options.localPods ?? false;
  const families = { 4: createFamily(cluster, 4, localPods), 6: createFamily(cluster, 6, localPods) };
  const state: FirewallState = { families: { 4: families[4].store, 6: families[6].store } };
  const conflicts = new Set<AddressState>();

  /** Drops what nothing needs any more; the addresses of classes to which other groups lead now join those. */
  const sweep = (family: FamilyCompiler): void => {
    const { classes, dispatch, peers, covers, store } = family;
    store.setCovers({ ingress: covers.ingress.prefix, egress: covers.egress.prefix });
    const changed = classes.sweep();
    peers.sweep();
    const moved = [...changed].flatMap((direction) =>
      dispatch[direction].rebuild([...classes.all.values()].filter(({ chain }) => chain.direction === direction)),
    );
    for (const { set } of moved) {
      for (const address of set.members.keys()) {
        const state = cluster.addresses.get(address);
        if (state !== undefined) regroup(state, family);
      }
    }
  };

  return {
    state,
    update(changes) {
      const touched = new Set<AddressState>();
      const dirty = new Set<string>();
      for (const { key, object } of changes.namespaces ?? []) {
        if (!cluster.putNamespace(key, object)) continue;
        for (const family of [4, 6] as const) dirty.add(dirtyKey(family, 'together'));
        for (const family of [families[4], families[6]]) family.peers.refreshNamespace(key);
        for (const address of cluster.addressesOf(key)) touched.add(address);
      }
      for (const { key, object } of changes.policies ?? []) {
        for (const address of cluster.putPolicy(key, object)) touched.add(address);
      }
      for (const { key, object } of changes.clusterPolicies ?? []) {
        for (const address of cluster.putClusterPolicy(key, object)) touched.add(address);
      }
      for (const { key, object } of changes.pods ?? []) {
        const moved = { 4: 0, 6: 0 };
        for (const address of cluster.putPod(key, object)) {
          touched.add(address);
          // The address that a pod leaves and the one that it takes are the two ends of flows that neither moment denies.
          if (++moved[address.family] === 2) dirty.add(dirtyKey(address.family, 'together'));
        }
      }
      for (const address of touched) {
        cluster.settleOwner(address);
        if (address.claims.length > 1) conflicts.add(address);
        else conflicts.delete(address);
      }
      // Classes first: they decide which sets there are, and a set that appears finds its members itself.
      for (const address of touched) classify(address, cluster, families[address.family]);
      for (const family of [families[4], families[6]]) sweep(family);
      for (const address of touched) {
        place(address, families[address.family]);
        if (address.claims.length === 0) cluster.addresses.delete(address.address);
      }
      families[4].store.takeDirty(dirty);
      families[6].store.takeDirty(dirty);
      return { state, dirty, issues: [...conflicts].map(conflictIssue) };
    },
  };
}

/** The cluster at one moment. */
export interface FirewallObjects extends PolicyCompilerOptions {
  readonly pods: Iterable<PodObject>;
  readonly namespaces: Iterable<NamespaceObject>;
  readonly policies: Iterable<NetworkPolicyObject>;
  /** @defaultValue none */
  readonly clusterPolicies?: Iterable<ClusterNetworkPolicyObject>;
}

function* keyed<T extends { readonly namespace: string; readonly name: string }>(
  objects: Iterable<T>,
): Iterable<ObjectChange<T>> {
  for (const object of objects) {
    yield { key: object.namespace === '' ? object.name : `${object.namespace}/${object.name}`, object };
  }
}

/** Compiles a cluster from nothing. */
export function compile(objects: FirewallObjects): FirewallUpdate {
  return createPolicyCompiler(objects).update({
    pods: keyed(objects.pods),
    namespaces: keyed(objects.namespaces),
    policies: keyed(objects.policies),
    clusterPolicies: keyed(objects.clusterPolicies ?? []),
  });
}
