/**
 * Pod networking on this node: nodes, learned routes and the node's own network into the compiler, its state into the kernel.
 */
import type { Connection } from 'kube-router-sdk/informers';
import type { KernelRouteChanges, Issue } from 'kube-router-sdk/net';
import {
  createRoutingCompiler,
  createRoutingTarget,
  readUnderlay,
  render,
  watchRouting,
  type RoutingOutput,
  type RoutingState,
  type Underlay,
} from 'kube-router-sdk/routing';
import { BehaviorSubject, filter, interval, merge, Subject, tap, type Observable } from 'rxjs';
import { createFeed } from '../feed.ts';
import { part, type Part } from '../part.ts';
import { objectInput } from '../sources.ts';
import { countRoutes } from '../metrics/routes.ts';
import type { BlockContext } from './context.ts';
import { wireWireguard } from './wireguard.ts';

/** What pod networking tells the others. */
export interface RoutingBlock {
  readonly part: Part;
  /** MTU of pods and this node's pod CIDRs, for the CNI file; emits when either changes. */
  readonly podNetwork$: Observable<{ readonly mtu?: number; readonly podCidrs: readonly string[] }>;
  /** Looks at the node's own interfaces again. */
  readonly refreshUnderlay: () => Promise<void>;
}

/** A plan for a node that this machine is not: one interface, and every other node on its link. */
const ELSEWHERE: Underlay = { interface: 'eth0', mtu: 1500, subnets: ['0.0.0.0/0', '::/0'] };

/** Wires the block; `learned$` are the routes of BGP, absent where none is spoken; `connection` is for telling a WireGuard key. */
export function wireRouting(
  context: BlockContext,
  learned$?: Observable<KernelRouteChanges>,
  connection?: Connection,
): RoutingBlock {
  const { config, node, families, objects, runner } = context;
  const { flags } = config;
  const nodes = objects.open('Node');
  const compiler = createRoutingCompiler({
    node,
    families,
    source: learned$ === undefined ? 'nodes' : 'bgp',
    overlay: flags['enable-overlay'] ? flags['overlay-type'] : 'none',
    encapsulation: flags['overlay-encap'],
    ...(flags['overlay-encap'] === 'fou' ? { encapsulationPort: flags['overlay-encap-port'] } : {}),
    podEgress: flags['enable-pod-egress'],
    autoMtu: flags['auto-mtu'],
  });
  let issues: readonly Issue[] = [];
  const podNetwork = new BehaviorSubject<{ mtu?: number; podCidrs: readonly string[] } | undefined>(undefined);
  const update = (input: Parameters<typeof compiler.update>[0]): RoutingOutput => {
    const output = compiler.update(input);
    issues = output.issues;
    const { mtu, podCidrs } = output;
    const before = podNetwork.value;
    const complete = podCidrs.length > 0 && (mtu !== undefined || !flags['auto-mtu']);
    if (complete && (before?.mtu !== mtu || before?.podCidrs.join() !== podCidrs.join())) {
      podNetwork.next({ podCidrs, ...(mtu === undefined ? {} : { mtu }) });
    }
    return output;
  };
  const underlay = new Subject<Underlay | undefined>();
  const refreshUnderlay = async (): Promise<void> => {
    const own = nodes.snapshot().items.get(node);
    try {
      const found = own === undefined ? undefined : await readUnderlay({ runner, node: own });
      underlay.next(found ?? (own !== undefined && context.mode === 'plan' ? ELSEWHERE : undefined));
    } catch (error) {
      context.log.warn({ block: 'routing', error: (error as Error).message }, "this node's interfaces cannot be read");
      underlay.next(undefined);
    }
  };
  const feed = createFeed<RoutingState>();
  let addressesBefore = '';
  feed.add(objectInput(nodes), ({ changed }) => {
    const output = update({ nodes: changed });
    const own = changed.find(({ key }) => key === node)?.object;
    const addresses = JSON.stringify(own?.addresses ?? []);
    if (own !== undefined && addresses !== addressesBefore) {
      addressesBefore = addresses;
      void refreshUnderlay();
    }
    return output;
  });
  feed.add({ changes$: underlay, synced: () => true }, (found) =>
    update(found === undefined ? {} : { underlay: found }),
  );
  if (learned$ !== undefined) {
    feed.add({ changes$: learned$, synced: ({ synced }) => synced, holds: false }, (learned) => update({ learned }));
  }
  if (addressesBefore === '') void refreshUnderlay();
  context.onClose(() => feed.close());

  const target = createRoutingTarget({
    runner,
    families,
    ownership: context.ownership.block('routing'),
    ...(flags['enable-overlay'] && flags['overlay-encap'] === 'wireguard'
      ? { wireguardKeyFile: wireWireguard(context, connection) }
      : {}),
    ...routingPrograms(context.flavour),
  });
  const noticed$ = watchRouting({ runner, target }).pipe(
    tap((drift) => {
      if (drift.underlay) void refreshUnderlay();
    }),
  );
  // Between two readings of everything, the routes alone.
  const due$ = interval(flags['injected-routes-sync-period']).pipe(tap(() => target.suspect(['routes'])));
  return {
    refreshUnderlay,
    podNetwork$: podNetwork.pipe(filter((value) => value !== undefined)),
    part: part({
      name: 'routing',
      desired$: feed.desired$,
      target: countRoutes(target, context.metrics),
      describe: (plan) =>
        Promise.resolve(
          render(plan, routingPrograms(context.flavour))
            .split('\n')
            .filter((line) => line !== ''),
        ),
      issues: () => issues,
      ...(context.mode === 'run' ? { drift$: merge(noticed$, due$) } : {}),
      resyncMs: flags['routes-sync-period'],
    }),
  };
}

/** The iptables programs of the host's flavour, as this block takes them. */
export function routingPrograms(flavour: BlockContext['flavour']) {
  if (flavour === 'system') return {};
  const of = (name: string) => ({ save: `${name}-${flavour}-save`, restore: `${name}-${flavour}-restore` });
  return { iptables: { 4: of('iptables'), 6: of('ip6tables') } };
}
