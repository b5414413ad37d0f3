/**
 * From nodes, learned routes and the node's own network to the desired state of pod networking, change by change.
 * A changed route or node recompiles its own fragment; only a change of this node or of its underlay recompiles all.
 * Pure: the agent feeds it and hands `state` with `dirty` to `reconcile()`.
 */
import { textFamily } from '../../net/address.ts';
import { parsePrefix, tryParsePrefix } from '../../net/prefix.ts';
import type { Prefix } from '../../net/prefix.ts';
import type { Family, Issue, KernelRoute, KernelRouteChanges } from '../../net/values.ts';
import type { NodeObject } from '../../objects/types.ts';
import type { RouteHop, RoutingItem, RoutingOptions, RoutingState, Underlay } from '../model.ts';
import { MAIN_TABLE, names, routeItem, setName } from '../model.ts';
import { createTunnelNames, defaultPorts, podMtu } from './encapsulation.ts';
import type { TunnelNames } from './encapsulation.ts';
import { resolveHop } from './hops.ts';
import type { HopContext } from './hops.ts';
import { nodeFacts } from './node.ts';
import type { NodeFacts } from './node.ts';
import { selfItems } from './self.ts';
import { createItemStore } from './store.ts';

/** What changed; everything is optional. */
export interface RoutingInput {
  readonly nodes?: readonly { readonly key: string; readonly object: NodeObject | undefined }[];
  readonly learned?: Pick<KernelRouteChanges, 'changed' | 'removed'>;
  readonly underlay?: Underlay;
}

/** Desired state after a change. */
export interface RoutingOutput {
  /** The same map every time, changed in place; `dirty` says where. */
  readonly state: RoutingState;
  /** Keys that differ from the output before. */
  readonly dirty: ReadonlySet<string>;
  /** Everything wrong at present. */
  readonly issues: readonly Issue[];
  /** Bytes that pods may send; absent while unknown or when MTUs are left alone. */
  readonly mtu?: number;
  /** This node's pod CIDRs of the enabled families. */
  readonly podCidrs: readonly string[];
}

/** Compiler with memory; see {@link createRoutingCompiler}. */
export interface RoutingCompiler {
  /** Takes what changed and gives the whole desired state, with the keys that differ from before. */
  update(input: RoutingInput): RoutingOutput;
}

interface Context extends HopContext {
  readonly families: readonly Family[];
}

/**
 * Makes the incremental compiler of pod networking.
 * @example
 * ```ts
 * import { project } from 'kube-router-sdk/informers';
 * import { createRoutingCompiler } from 'kube-router-sdk/routing';
 * import { buildNode } from 'kube-router-sdk/testing';
 *
 * const node = buildNode('worker-1', { addresses: ['192.168.1.11'], podCIDRs: ['10.1.1.0/24'] });
 * const compiler = createRoutingCompiler({ node: 'worker-1' });
 * const { podCidrs, mtu } = compiler.update({
 *   nodes: [{ key: 'worker-1', object: project('Node', node).object }],
 *   underlay: { interface: 'eth0', mtu: 1500, subnets: ['192.168.1.0/24'] },
 * });
 * console.log(podCidrs.join(), mtu); // 10.1.1.0/24 1480
 * ```
 */
export function createRoutingCompiler(options: RoutingOptions): RoutingCompiler {
  const families = options.families ?? [4];
  const overlay = options.overlay ?? 'subnet';
  const encapsulation = options.encapsulation ?? 'ipip';
  const port = options.encapsulationPort ?? defaultPorts[encapsulation];
  const bridge = options.bridge ?? names.bridge;
  const source = options.source ?? 'bgp';

  const store = createItemStore();
  const nodes = new Map<string, NodeFacts>();
  const addressOwners = new Map<string, Set<string>>();
  const cidrOwners = new Map<string, Set<string>>();
  const learned = new Map<string, KernelRoute>();
  const byNextHop = new Map<string, Set<string>>();
  const issues = new Map<string, readonly Issue[]>();
  let underlay: Underlay | undefined;
  let tunnelNames: TunnelNames | undefined;
  let context: Context | undefined;
  let mtu: number | undefined;

  const enabled = (text: string): boolean => families.includes(textFamily(text));
  const report = (owner: string, found: readonly Issue[]): void => {
    if (found.length === 0) issues.delete(owner);
    else issues.set(owner, found);
  };
  const nodeOf = (address: string): NodeFacts | undefined => {
    let first: string | undefined;
    for (const name of addressOwners.get(address) ?? []) if (first === undefined || name < first) first = name;
    return first === undefined ? undefined : nodes.get(first);
  };

  const refreshContext = (): void => {
    const self = nodes.get(options.node);
    if (self === undefined || underlay === undefined) {
      context = undefined;
      report('self', [
        {
          object: `Node ${options.node}`,
          field: '',
          reason:
            self === undefined ? 'not found among the nodes; pod networking waits' : 'its interface is not known yet',
        },
      ]);
      return;
    }
    const found: Issue[] = [];
    const outer = families.filter((family) => self.best[family] !== undefined);
    const tunnelMtu = podMtu(underlay.mtu, overlay === 'none' ? undefined : encapsulation, outer);
    mtu = options.autoMtu === false ? undefined : (options.mtu ?? tunnelMtu);
    if (mtu !== undefined && families.includes(6) && mtu < 1280) {
      found.push({
        object: `Node ${options.node}`,
        field: 'mtu',
        reason: `MTU ${mtu} is below the 1280 that IPv6 needs (RFC 8200 section 5)`,
      });
    }
    if (self.podCidrs.length === 0) {
      found.push({
        object: `Node ${options.node}`,
        field: 'spec.podCIDRs',
        reason: 'has no pod CIDR; nothing is announced for it',
      });
    }
    for (const family of families) {
      if (self.best[family] === undefined) {
        found.push({
          object: `Node ${options.node}`,
          field: 'status.addresses',
          reason: `IPv${family} is enabled and the node has no such address`,
        });
      }
    }
    report('self', found);
    tunnelNames ??= createTunnelNames(underlay.tunnels);
    const subnets: Prefix[] = [];
    for (const text of underlay.subnets) {
      const subnet = tryParsePrefix(text, { hostBits: 'mask' });
      if (subnet !== undefined) subnets.push(subnet);
    }
    context = { self, families, subnets, overlay, encapsulation, port, mtu: tunnelMtu, names: tunnelNames, nodeOf };
    store.set(
      'self',
      selfItems({
        self,
        families,
        interface: underlay.interface,
        bridge,
        overlay,
        encapsulation,
        port,
        vni: options.vni ?? 77,
        mtu,
        tunnelMtu,
        podEgress: options.podEgress ?? true,
        clampMss: options.clampMss ?? true,
        multipathHashPolicy: options.multipathHashPolicy,
      }),
    );
  };

  /** Items of one route by any number of next hops, with why some of them are not used. */
  const routeItems = (
    now: Context,
    object: string,
    prefix: string,
    nextHops: readonly { readonly via: string; readonly weight?: number }[],
    found: Issue[],
  ): RoutingItem[] => {
    const hops: RouteHop[] = [];
    const items: RoutingItem[] = [];
    let tunnel = false;
    let narrow = false;
    for (const next of nextHops) {
      const way = resolveHop(now, next.via);
      if ('unreachable' in way) {
        found.push({ object, field: 'nextHop', reason: `${prefix} is not routed to ${next.via}: ${way.unreachable}` });
        continue;
      }
      hops.push(next.weight === undefined ? way.hop : { ...way.hop, weight: next.weight });
      items.push(...way.items);
      tunnel ||= way.tunnel;
      narrow ||= !way.tunnel && nodeOf(next.via) !== undefined;
    }
    if (hops.length === 0) return [];
    const own = tunnel ? now.self.best[textFamily(prefix)] : undefined;
    // A node in our own subnet is reached by the full MTU of the underlay, yet its pods take the overlay's. Without a word about it
    // here, what a bridge hook has put together from IPv6 fragments would go out whole and be refused on the other side for good.
    const limit = narrow && mtu !== undefined && mtu < (underlay?.mtu ?? 0) ? mtu : undefined;
    const route = routeItem({
      table: MAIN_TABLE,
      prefix,
      hops,
      ...(own === undefined ? {} : { source: own }),
      ...(limit === undefined ? {} : { mtu: limit }),
    });
    return [route, ...items];
  };

  const compileLearned = (prefix: string): void => {
    const owner = `route ${prefix}`;
    const route = learned.get(prefix);
    const now = context;
    if (route === undefined || now === undefined) {
      store.set(owner, []);
      report(owner, []);
      return;
    }
    const found: Issue[] = [];
    let items: RoutingItem[] = [];
    if (!enabled(prefix)) {
      // A family that is switched off is no fault of the route's.
    } else if (parsePrefix(prefix, { hostBits: 'mask' }).length === 0) {
      found.push({
        object: `Route ${prefix}`,
        field: 'prefix',
        reason: 'a default route is never taken from peers; it was left out',
      });
    } else if (now.self.podCidrs.includes(prefix)) {
      const others = route.nextHops.filter((next) => !now.self.addresses.includes(next.via));
      if (others.length > 0) {
        found.push({
          object: `Route ${prefix}`,
          field: 'prefix',
          reason: `this node's own pod CIDR is announced by ${others.map((next) => next.via).join(', ')}; it was left out`,
        });
      }
    } else {
      items = routeItems(now, `Route ${prefix}`, prefix, route.nextHops, found);
    }
    store.set(owner, items);
    report(owner, found);
  };

  const compileNode = (name: string): void => {
    const owner = `node ${name}`;
    const facts = nodes.get(name);
    if (facts === undefined) {
      store.set(owner, []);
      report(owner, []);
      return;
    }
    const found: Issue[] = [...facts.issues];
    const items: RoutingItem[] = [];
    for (const cidr of facts.podCidrs) {
      const family = textFamily(cidr);
      if (!families.includes(family)) continue;
      items.push({ type: 'entry', set: setName(names.podSubnets, family), entry: cidr });
      const first = [...(cidrOwners.get(cidr) ?? [])].sort()[0];
      if (first !== undefined && first !== name) {
        found.push({
          object: `Node ${name}`,
          field: 'spec.podCIDRs',
          reason: `${cidr} is the pod CIDR of Node ${first} too; ${source === 'nodes' ? 'it is routed to that one' : 'peers decide'}`,
        });
        continue;
      }
      if (source !== 'nodes' || name === options.node || context === undefined) continue;
      if (context.self.podCidrs.includes(cidr)) {
        found.push({
          object: `Node ${name}`,
          field: 'spec.podCIDRs',
          reason: `${cidr} is this node's own pod CIDR; no route was made`,
        });
        continue;
      }
      const via = facts.best[family];
      if (via === undefined) {
        found.push({
          object: `Node ${name}`,
          field: 'status.addresses',
          reason: `has pod CIDR ${cidr} and no IPv${family} address to reach it by`,
        });
      } else items.push(...routeItems(context, `Node ${name}`, cidr, [{ via }], found));
    }
    for (const address of facts.addresses) {
      const family = textFamily(address);
      if (families.includes(family)) items.push({ type: 'entry', set: setName(names.nodeIps, family), entry: address });
    }
    store.set(owner, items);
    report(owner, found);
  };

  const claim = (index: Map<string, Set<string>>, key: string, name: string, add: boolean): void => {
    const owners = index.get(key) ?? new Set<string>();
    if (add) owners.add(name);
    else owners.delete(name);
    if (owners.size === 0) index.delete(key);
    else index.set(key, owners);
  };
  const indexNode = (facts: NodeFacts | undefined, name: string, add: boolean): void => {
    for (const address of facts?.addresses ?? []) claim(addressOwners, address, name, add);
    for (const cidr of facts?.podCidrs ?? []) claim(cidrOwners, cidr, name, add);
  };
  const indexHops = (route: KernelRoute | undefined, add: boolean): void => {
    if (route !== undefined) for (const next of route.nextHops) claim(byNextHop, next.via, route.prefix, add);
  };

  return {
    update(input) {
      let all = false;
      const dirtyNodes = new Set<string>();
      const dirtyRoutes = new Set<string>();
      if (input.underlay !== undefined && JSON.stringify(input.underlay) !== JSON.stringify(underlay)) {
        underlay = input.underlay;
        all = true;
      }
      for (const { key, object } of input.nodes ?? []) {
        const before = nodes.get(key);
        const after = object === undefined ? undefined : nodeFacts(object);
        if (JSON.stringify(before) === JSON.stringify(after)) continue;
        indexNode(before, key, false);
        if (after === undefined) nodes.delete(key);
        else nodes.set(key, after);
        indexNode(after, key, true);
        dirtyNodes.add(key);
        if (key === options.node) all = true;
        for (const address of [...(before?.addresses ?? []), ...(after?.addresses ?? [])]) {
          for (const prefix of byNextHop.get(address) ?? []) dirtyRoutes.add(prefix);
          // Another node with this address may decide its way now.
          for (const owner of addressOwners.get(address) ?? []) dirtyNodes.add(owner);
        }
        for (const cidr of [...(before?.podCidrs ?? []), ...(after?.podCidrs ?? [])]) {
          for (const owner of cidrOwners.get(cidr) ?? []) dirtyNodes.add(owner);
        }
      }
      for (const route of input.learned?.changed ?? []) {
        indexHops(learned.get(route.prefix), false);
        learned.set(route.prefix, route);
        indexHops(route, true);
        dirtyRoutes.add(route.prefix);
      }
      for (const prefix of input.learned?.removed ?? []) {
        indexHops(learned.get(prefix), false);
        learned.delete(prefix);
        dirtyRoutes.add(prefix);
      }
      if (all || context === undefined) refreshContext();
      for (const name of all ? nodes.keys() : dirtyNodes) compileNode(name);
      if (all) for (const name of dirtyNodes) if (!nodes.has(name)) compileNode(name);
      for (const prefix of dirtyRoutes) compileLearned(prefix);
      if (all) for (const prefix of learned.keys()) if (!dirtyRoutes.has(prefix)) compileLearned(prefix);
      return {
        state: store.items,
        dirty: store.takeDirty(),
        issues: [...issues.values()].flat(),
        ...(mtu === undefined ? {} : { mtu }),
        podCidrs: (nodes.get(options.node)?.podCidrs ?? []).filter(enabled),
      };
    },
  };
}

/** What {@link compile} takes: options and everything at once. */
export interface CompileInput extends RoutingOptions {
  readonly nodes: Iterable<NodeObject>;
  readonly learned?: Iterable<KernelRoute>;
  readonly underlay: Underlay;
}

/** Compiles pod networking from scratch: {@link createRoutingCompiler} fed once. */
export function compile(input: CompileInput): RoutingOutput {
  return createRoutingCompiler(input).update({
    underlay: input.underlay,
    nodes: [...input.nodes].map((object) => ({ key: object.name, object })),
    learned: { changed: [...(input.learned ?? [])], removed: [] },
  });
}
