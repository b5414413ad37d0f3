/**
 * The pods, addresses, namespaces and policies that the compiler knows, indexed by what it asks for.
 * An address belongs to one pod at a time: when two claim it, the one that is not ending, then the running one, then the first by
 * name owns it, and only its labels count. Pods without an address, finished pods and host-network pods are no pods here.
 */
import { familyOf } from '../../net/address.ts';
import { withItem } from '../../net/lists.ts';
import type { Family } from '../../net/values.ts';
import type {
  ClusterNetworkPolicyObject,
  NamespaceObject,
  NetworkPolicyObject,
  PodObject,
  StringMap,
} from '../../objects/types.ts';
import { compileClusterPolicy, compilePolicy } from '../model/rules.ts';
import type { PolicyRules } from '../model/rules.ts';
import { compileSelector } from '../model/selector.ts';
import type { Matcher } from '../model/selector.ts';
import type { Direction } from '../model/types.ts';
import type { Class } from './classes.ts';
import type { LiveSet } from './store.ts';

/** A policy, whom it is about and its rules, compiled when first asked for. */
export interface PolicyState {
  readonly id: number;
  readonly key: string;
  /** NetworkPolicies of namespaces, and the tiers before and after them. */
  readonly tier: 'admin' | 'network' | 'baseline';
  /** Within its tier the lower is asked first. */
  readonly priority: number;
  readonly namespace: string | Matcher;
  readonly target: Matcher;
  /** Directions that it has something to say of. */
  readonly directions: Readonly<Record<Direction, boolean>>;
  rules(direction: Direction, family: Family): PolicyRules;
}

/** A pod that takes part in policy. */
export interface PodState {
  readonly key: string;
  readonly object: PodObject;
  readonly local: boolean;
  /** Policies that judge it, by direction, in the order in which they are asked; absent: to be found anew. */
  selecting?: { readonly ingress: readonly PolicyState[]; readonly egress: readonly PolicyState[] };
}

type Groups = Readonly<Record<Direction, readonly LiveSet[]>>;

/** Of every address that has no class: most are of other nodes. */
export const NO_GROUPS: Groups = { ingress: [], egress: [] };

/** An address and everything that holds it. */
export interface AddressState {
  readonly address: string;
  readonly family: Family;
  claims: readonly PodState[];
  owner: PodState | undefined;
  /** Sets and the member text of this address in each. */
  memberships: { readonly set: LiveSet; readonly member: string }[];
  /** Sets that lead to its classes, beside those. */
  groups: Groups;
  ingress: Class | undefined;
  egress: Class | undefined;
}

/** Objects by what the compiler asks. */
export interface Cluster {
  readonly pods: ReadonlyMap<string, PodState>;
  readonly addresses: Map<string, AddressState>;
  readonly namespaces: ReadonlyMap<string, StringMap>;
  podsOf(namespace: string): Iterable<PodState>;
  podsWithPort(protocol: string, name: string): Iterable<PodState>;
  /** Addresses that the change may have touched. */
  putPod(key: string, object: PodObject | undefined): Iterable<AddressState>;
  /** Whether the labels changed or the namespace came or went. */
  putNamespace(key: string, object: NamespaceObject | undefined): boolean;
  /** Local addresses of the policy's namespace. */
  putPolicy(key: string, object: NetworkPolicyObject | undefined): Iterable<AddressState>;
  /** Local addresses. */
  putClusterPolicy(key: string, object: ClusterNetworkPolicyObject | undefined): Iterable<AddressState>;
  selecting(pod: PodState): NonNullable<PodState['selecting']>;
  addressesOf(namespace: string): Iterable<AddressState>;
  settleOwner(address: AddressState): void;
}

const portKey = (protocol: string, name: string): string => `${protocol}/${name}`;

function actionable(pod: PodObject | undefined): pod is PodObject {
  return (
    pod !== undefined && pod.phase !== 'Succeeded' && pod.phase !== 'Failed' && !pod.hostNetwork && pod.ips.length > 0
  );
}

function rank({ object }: PodState): number {
  return (object.deletedAt === undefined ? 0 : 2) + (object.phase === 'Running' ? 0 : 1);
}

function sameLabels(a: StringMap, b: StringMap): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key]);
}

function toGroup<T>(groups: Map<string, Set<T>>, key: string, value: T, present: boolean): void {
  const group = groups.get(key);
  if (present) {
    if (group === undefined) groups.set(key, new Set([value]));
    else group.add(value);
  } else if (group?.delete(value) === true && group.size === 0) groups.delete(key);
}

/** Compiles each direction and family when first asked for. */
function lazily(compile: (direction: Direction, family: Family) => PolicyRules): PolicyState['rules'] {
  const compiled = new Map<string, PolicyRules>();
  return (direction, family) => {
    const at = `${direction}${family}`;
    let rules = compiled.get(at);
    if (rules === undefined) compiled.set(at, (rules = compile(direction, family)));
    return rules;
  };
}

function networkState(id: number, key: string, object: NetworkPolicyObject): PolicyState {
  return {
    id,
    key,
    tier: 'network',
    priority: 0,
    namespace: object.namespace,
    target: compileSelector(object.podSelector),
    directions: { ingress: object.ingress !== undefined, egress: object.egress !== undefined },
    rules: lazily((direction, family) => compilePolicy(object, direction, family)),
  };
}

function clusterState(id: number, key: string, object: ClusterNetworkPolicyObject): PolicyState {
  const { tier, priority, subject, ingress, egress } = object;
  return {
    id,
    key,
    tier: tier === 'Admin' ? 'admin' : 'baseline',
    priority,
    namespace: compileSelector(subject.namespaceSelector),
    target: compileSelector(subject.podSelector),
    directions: { ingress: ingress.length > 0, egress: egress.length > 0 },
    rules: lazily((direction, family) => compileClusterPolicy(object, direction, family)),
  };
}

const TIERS = { admin: 0, network: 1, baseline: 2 } as const;

function inOrder(a: PolicyState, b: PolicyState): number {
  return TIERS[a.tier] - TIERS[b.tier] || a.priority - b.priority || (a.key < b.key ? -1 : 1);
}

/** An empty cluster as seen from a node. */
export function createCluster(node: string): Cluster {
  const pods = new Map<string, PodState>();
  const addresses = new Map<string, AddressState>();
  const namespaces = new Map<string, StringMap>();
  const policies = new Map<string, PolicyState>();
  const clusterPolicies = new Map<string, PolicyState>();
  const podsByNamespace = new Map<string, Set<PodState>>();
  const localByNamespace = new Map<string, Set<PodState>>();
  const podsByPort = new Map<string, Set<PodState>>();
  const policiesByNamespace = new Map<string, Set<PolicyState>>();
  let policyId = 0;

  const index = (pod: PodState, present: boolean): void => {
    toGroup(podsByNamespace, pod.object.namespace, pod, present);
    if (pod.local) toGroup(localByNamespace, pod.object.namespace, pod, present);
    for (const { protocol, name } of pod.object.ports) toGroup(podsByPort, portKey(protocol, name), pod, present);
  };
  const claim = (pod: PodState, present: boolean, touched: Set<AddressState>): void => {
    for (const address of pod.object.ips) {
      let state = addresses.get(address);
      if (state === undefined) {
        const family = familyOf(address);
        if (family === undefined) continue;
        state = {
          address,
          family,
          claims: [],
          owner: undefined,
          memberships: [],
          groups: NO_GROUPS,
          ingress: undefined,
          egress: undefined,
        };
        addresses.set(address, state);
      }
      if (present) state.claims = withItem(state.claims, pod);
      else state.claims = state.claims.filter((other) => other !== pod);
      touched.add(state);
    }
  };
  const owned = function* (group: Iterable<PodState>): Iterable<AddressState> {
    for (const pod of group) {
      for (const address of pod.object.ips) {
        const state = addresses.get(address);
        if (state !== undefined) yield state;
      }
    }
  };

  /** Lets the policies of pods be found anew. */
  const forget = (group: Iterable<PodState>): Iterable<PodState> => {
    for (const pod of group) delete pod.selecting;
    return group;
  };

  return {
    pods,
    addresses,
    namespaces,
    podsOf: (namespace) => podsByNamespace.get(namespace) ?? [],
    podsWithPort: (protocol, name) => podsByPort.get(portKey(protocol, name)) ?? [],
    putPod(key, object) {
      const touched = new Set<AddressState>();
      const before = pods.get(key);
      if (before !== undefined) {
        index(before, false);
        claim(before, false, touched);
        pods.delete(key);
      }
      if (actionable(object)) {
        const after: PodState = { key, object, local: object.nodeName === node };
        pods.set(key, after);
        index(after, true);
        claim(after, true, touched);
      }
      return touched;
    },
    putNamespace(key, object) {
      const before = namespaces.get(key);
      if (object === undefined) namespaces.delete(key);
      else namespaces.set(key, object.labels);
      if (
        before === object?.labels ||
        (before !== undefined && object !== undefined && sameLabels(before, object.labels))
      )
        return false;
      if (clusterPolicies.size > 0) forget(localByNamespace.get(key) ?? []);
      return true;
    },
    putPolicy(key, object) {
      const before = policies.get(key);
      const namespace = object?.namespace ?? (before?.namespace as string | undefined) ?? '';
      if (before !== undefined) toGroup(policiesByNamespace, namespace, before, false);
      policies.delete(key);
      if (object !== undefined) {
        const after = networkState(policyId++, key, object);
        policies.set(key, after);
        toGroup(policiesByNamespace, namespace, after, true);
      }
      return owned(forget(localByNamespace.get(namespace) ?? []));
    },
    putClusterPolicy(key, object) {
      if (object === undefined) clusterPolicies.delete(key);
      else clusterPolicies.set(key, clusterState(policyId++, key, object));
      return [...localByNamespace.values()].flatMap((local) => [...owned(forget(local))]);
    },
    selecting(pod) {
      if (pod.selecting !== undefined) return pod.selecting;
      const found: PolicyState[] = [];
      for (const policy of policiesByNamespace.get(pod.object.namespace) ?? []) {
        if (policy.target.matches(pod.object.labels)) found.push(policy);
      }
      const labels = namespaces.get(pod.object.namespace);
      for (const policy of clusterPolicies.values()) {
        if (labels === undefined || !(policy.namespace as Matcher).matches(labels)) continue;
        if (policy.target.matches(pod.object.labels)) found.push(policy);
      }
      found.sort(inOrder);
      const judging = (direction: Direction): PolicyState[] => {
        const own = found.filter(({ directions }) => directions[direction]);
        // Whom a NetworkPolicy selects, it judges for good: the Baseline tier is for the others.
        const settled = own.some(({ tier }) => tier === 'network');
        return settled ? own.filter(({ tier }) => tier !== 'baseline') : own;
      };
      pod.selecting = { ingress: judging('ingress'), egress: judging('egress') };
      return pod.selecting;
    },
    addressesOf: (namespace) => owned(podsByNamespace.get(namespace) ?? []),
    settleOwner(state) {
      const [first, ...rest] = state.claims;
      let best = first;
      for (const other of rest) {
        if (best === undefined) break;
        const difference = rank(other) - rank(best);
        if (difference < 0 || (difference === 0 && other.key < best.key)) best = other;
      }
      state.owner = best;
    },
  };
}
