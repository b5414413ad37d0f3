/**
 * The sets that allow rules match: pods of a selector, prefixes, named ports. A set lives while a chain names it; its members are
 * found once when it appears, and afterwards each changed address tells which sets it now belongs to.
 */
import type { Protocol } from '../../net/values.ts';
import type { SetSource } from '../model/rules.ts';
import type { AddressState, Cluster, PodState } from './cluster.ts';
import type { LiveSet, Store } from './store.ts';

type PodsSource = Extract<SetSource, { type: 'pods' }>;
type NamedSource = Extract<SetSource, { type: 'named' }>;

interface ActiveSet {
  readonly set: LiveSet;
  readonly source: SetSource;
  references: number;
}

/** Which sets an address belongs to, for one family. */
export interface Peers {
  retain(name: string, source: SetSource): void;
  /** Ends one use; `sweep` drops what nobody uses. */
  release(name: string): void;
  sweep(): void;
  /** The namespace's labels changed, or it came or went. */
  refreshNamespace(namespace: string): void;
  /** Sets that the owner of an address belongs to, with the text it has there. */
  memberships(state: AddressState): { set: LiveSet; member: string }[];
}

const protocols: Readonly<Record<Protocol, string>> = { TCP: 'tcp', UDP: 'udp', SCTP: 'sctp' };

/** Member texts of an address in a set of a named port. */
function* namedMembers(source: NamedSource, cluster: Cluster, pod: PodState, address: string): Iterable<string> {
  if (source.local && !pod.local) return;
  if (source.peers !== undefined) {
    const { scope, pods } = source.peers;
    const { namespace, labels } = pod.object;
    const own = cluster.namespaces.get(namespace);
    const inScope = typeof scope === 'string' ? scope === namespace : own !== undefined && scope.matches(own);
    if (!inScope || !pods.matches(labels)) return;
  }
  const seen = new Set<number>();
  for (const { name, protocol, port } of pod.object.ports) {
    if (name !== source.port || protocol !== source.protocol || seen.has(port)) continue;
    seen.add(port);
    yield `${address},${protocols[protocol]}:${port}`;
  }
}

/** The peer sets of a family. */
export function createPeers(cluster: Cluster, store: Store): Peers {
  const active = new Map<string, ActiveSet>();
  const idle = new Set<string>();
  const byNamespace = new Map<string, Set<ActiveSet>>();
  const selecting = new Set<ActiveSet>();
  const named = new Map<string, Set<ActiveSet>>();

  const group = <T>(groups: Map<string, Set<T>>, key: string): Set<T> => {
    let found = groups.get(key);
    if (found === undefined) groups.set(key, (found = new Set()));
    return found;
  };
  const namespacesOf = function* (source: PodsSource): Iterable<string> {
    if (typeof source.scope === 'string') yield source.scope;
    else for (const [namespace, labels] of cluster.namespaces) if (source.scope.matches(labels)) yield namespace;
  };
  const join = (pod: PodState, set: LiveSet, members: (address: string) => Iterable<string>): void => {
    for (const address of pod.object.ips) {
      const state = cluster.addresses.get(address);
      if (state?.owner !== pod || state.family !== store.family) continue;
      for (const member of members(address)) {
        set.members.set(member, false);
        state.memberships.push({ set, member });
      }
    }
  };
  const activate = (name: string, source: SetSource): void => {
    const role = source.type === 'pods' ? 'peer' : source.type;
    const kind = source.type === 'pods' ? 'ip' : source.type === 'block' ? 'net' : 'ip,port';
    const members = source.type === 'block' ? new Map(source.members) : new Map<string, boolean>();
    const own = source.type === 'named' && source.local;
    const set = store.createSet({ name, role, kind, ...(own ? { direction: 'ingress' } : {}) }, members);
    const entry: ActiveSet = { set, source, references: 1 };
    active.set(name, entry);
    if (source.type === 'pods') {
      if (typeof source.scope !== 'string') selecting.add(entry);
      for (const namespace of namespacesOf(source)) {
        group(byNamespace, namespace).add(entry);
        for (const pod of cluster.podsOf(namespace)) {
          if (source.pods.matches(pod.object.labels)) join(pod, set, (address) => [address]);
        }
      }
    } else if (source.type === 'named') {
      group(named, `${source.protocol}/${source.port}`).add(entry);
      for (const pod of cluster.podsWithPort(source.protocol, source.port)) {
        join(pod, set, (address) => namedMembers(source, cluster, pod, address));
      }
    }
  };
  const deactivate = (name: string, { set, source }: ActiveSet): void => {
    const entry = active.get(name)!;
    active.delete(name);
    selecting.delete(entry);
    if (source.type === 'pods') for (const entries of byNamespace.values()) entries.delete(entry);
    if (source.type === 'named') named.get(`${source.protocol}/${source.port}`)?.delete(entry);
    if (source.type !== 'block') {
      for (const member of set.members.keys()) {
        const comma = member.indexOf(',');
        const state = cluster.addresses.get(comma < 0 ? member : member.slice(0, comma));
        if (state !== undefined) state.memberships = state.memberships.filter((other) => other.set !== set);
      }
    }
    store.dropSet(name);
  };

  return {
    retain(name, source) {
      const entry = active.get(name);
      if (entry === undefined) activate(name, source);
      else entry.references++;
    },
    release(name) {
      const entry = active.get(name);
      if (entry !== undefined && --entry.references === 0) idle.add(name);
    },
    sweep() {
      for (const name of idle) {
        const entry = active.get(name);
        if (entry?.references === 0) deactivate(name, entry);
      }
      idle.clear();
    },
    refreshNamespace(namespace) {
      const labels = cluster.namespaces.get(namespace);
      for (const entry of selecting) {
        const { scope } = entry.source as PodsSource;
        if (typeof scope === 'string') continue;
        if (labels !== undefined && scope.matches(labels)) group(byNamespace, namespace).add(entry);
        else byNamespace.get(namespace)?.delete(entry);
      }
    },
    memberships({ owner, address }) {
      const found: { set: LiveSet; member: string }[] = [];
      if (owner === undefined) return found;
      for (const { set, source } of byNamespace.get(owner.object.namespace) ?? []) {
        if ((source as PodsSource).pods.matches(owner.object.labels)) found.push({ set, member: address });
      }
      if (named.size > 0) {
        const seen = new Set<string>();
        for (const { name, protocol } of owner.object.ports) {
          const key = `${protocol}/${name}`;
          if (seen.has(key)) continue;
          seen.add(key);
          for (const { set, source } of named.get(key) ?? []) {
            for (const member of namedMembers(source as NamedSource, cluster, owner, address))
              found.push({ set, member });
          }
        }
      }
      return found;
    },
  };
}
