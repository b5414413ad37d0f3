/**
 * NetworkPolicy on this node: pods, namespaces and policies into the compiler, its state into the kernel, questions to the
 * evaluator.
 */
import {
  createFirewallTarget,
  createPolicyCompiler,
  evaluate,
  watchDenials,
  type FirewallState,
  type Flow,
} from 'kube-router-sdk/firewall';
import type { Issue } from 'kube-router-sdk/net';
import { loadBalancerRanges } from '../config/ranges.ts';
import { createFeed } from '../feed.ts';
import { parsePortRange } from '../flags/services.ts';
import { part, type Part } from '../part.ts';
import { followsClusterPolicies, objectInput } from '../sources.ts';
import { createCaptureRunner } from '../capture.ts';
import { countPolicies, policyMetrics } from '../metrics/policies.ts';
import { meterTools } from '../metrics/tools.ts';
import type { BlockContext } from './context.ts';
import { createPodGate } from './gate.ts';
import { policyModel, policyViews, reachability } from './policy-views.ts';
import { filter } from 'rxjs';

/** How long the gate of pod start waits, in seconds: when nothing is said, and at most. */
const GATE_SECONDS = 10;
const MAX_GATE_SECONDS = 120;

/** Wires the block. */
export function wireFirewall(context: BlockContext): Part {
  const { config, node, families, objects, providers, metrics } = context;
  const { flags } = config;
  const runner = createCaptureRunner(meterTools(context.runner, metrics));
  const pods = objects.open('Pod');
  const namespaces = objects.open('Namespace');
  const policies = objects.open('NetworkPolicy');
  const clusterPolicies = followsClusterPolicies(flags) ? objects.open('ClusterNetworkPolicy') : undefined;
  const defaultDeny = flags['netpol-default-deny'];
  const compiler = createPolicyCompiler({ node, localPods: defaultDeny });
  let issues: readonly Issue[] = [];
  let compiled: FirewallState | undefined;
  const update: typeof compiler.update = (changes) => {
    const began = performance.now();
    const updated = compiler.update(changes);
    metrics?.observe('kube_router_controller_policy_chains_sync_time', (performance.now() - began) / 1000);
    ({ state: compiled, issues } = updated);
    return updated;
  };
  const feed = createFeed<ReturnType<typeof compiler.update>['state']>();
  feed.add(objectInput(namespaces), ({ changed }) => update({ namespaces: changed }));
  const gate = createPodGate({
    pods,
    push: (changed) => feed.push(update({ pods: changed })),
    passes$: context.state.passes$.pipe(filter(({ block }) => block === 'firewall')),
  });
  feed.add(objectInput(pods), ({ changed }) => update({ pods: gate.overlay(changed) }));
  feed.add(objectInput(policies), ({ changed }) => update({ policies: changed }));
  if (clusterPolicies !== undefined)
    feed.add(objectInput(clusterPolicies), ({ changed }) => update({ clusterPolicies: changed }));
  context.onClose(() => feed.close());

  const range = parsePortRange(flags['service-node-port-range']);
  const own = objects.open('Node').snapshot().items.get(node);
  const revocationMask = Number(flags['netpol-revocation-mask']);
  const target = createFirewallTarget({
    runner,
    ...(revocationMask === 0 ? {} : { revocationMask, firstGeneration: Date.now() / 1000 }),
    dryRun: flags['netpol-dry-run'],
    backend: flags['use-nftables-for-netpol'] ? 'nftables' : 'iptables',
    families,
    flavour: context.flavour,
    serviceRanges: [
      ...flags['service-cluster-ip-range'],
      ...flags['service-external-ip-range'],
      ...loadBalancerRanges(config),
    ].filter((prefix) => families.includes(prefix.includes(':') ? 6 : 4)),
    ...(range === undefined ? {} : { nodePortRange: [range.from, range.to] as const }),
    ...(defaultDeny && own !== undefined
      ? { defaultDeny: own.podCIDRs.filter((prefix) => families.includes(prefix.includes(':') ? 6 : 4)) }
      : {}),
  });

  const counted = {
    runner: context.runner,
    families,
    flavour: flags['use-nftables-for-netpol'] ? undefined : context.flavour,
    state: () => compiled,
  };
  if (metrics !== undefined) policyMetrics({ ...counted, metrics });
  providers.policies = () =>
    policyViews(policies.snapshot().items, clusterPolicies?.snapshot().items ?? new Map(), compiled);
  providers.hits = async () => {
    const packets = await countPolicies(counted);
    const sum = (policy: string, verdict: string): number =>
      packets.reduce((all, one) => all + (one.policy === policy && one.verdict === verdict ? one.packets : 0), 0);
    return providers.policies().map((view) => ({
      ...view,
      ...(counted.flavour === undefined
        ? {}
        : { allowed: sum(view.policy, 'allowed'), refused: sum(view.policy, 'refused') }),
    }));
  };
  if (flags['netpol-dry-run']) reportDryRun(context, compiler.state);
  providers.matrix = (query) => reachability(context, query);
  providers.gate = (query) => {
    const wait = Math.min(Number(query.get('timeout') ?? GATE_SECONDS) || GATE_SECONDS, MAX_GATE_SECONDS);
    return gate.admit(query.get('pod') ?? '', query.getAll('ip'), AbortSignal.timeout(wait * 1000));
  };
  providers.explain = (query) => explainFlow(context, readFlow(query));

  return part({
    name: 'firewall',
    desired$: feed.desired$,
    target,
    describe: (plan) => runner.capture(() => target.apply(plan, AbortSignal.timeout(10_000))),
    issues: () => issues,
    resyncMs: flags['iptables-sync-period'],
  });
}

/** Logs what policy would refuse, were it in force. */
function reportDryRun(context: BlockContext, state: FirewallState): void {
  const { log, runner, mode } = context;
  log.warn('dry run: policies refuse nothing, what they would refuse is logged');
  if (mode !== 'run') return;
  const watching = watchDenials({
    runner,
    state: () => state,
    model: () => policyModel(context),
  }).subscribe({
    next: ({ direction, source, destination, protocol, port, policies }) =>
      log.info({ direction, source, destination, protocol, port, policies }, 'policy would refuse this'),
    error: (error: unknown) => log.warn({ error }, 'what policy would refuse cannot be read; tcpdump is needed'),
  });
  context.onClose(() => watching.unsubscribe());
}

/** The flow that a query asks for. @throws Error that says what is missing */
export function readFlow(query: URLSearchParams): Flow {
  const source = query.get('from') ?? '';
  const destination = query.get('to') ?? '';
  if (source === '' || destination === '') throw new Error('--from and --to are needed: namespace/pod or an address');
  const port = Number(query.get('port') ?? 0);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error('--port is not a port');
  return { source, destination, protocol: query.get('protocol') ?? 'tcp', port };
}

/** Verdict of the objects as they are now. */
export function explainFlow(
  context: Pick<BlockContext, 'objects' | 'config'>,
  flow: Flow,
): ReturnType<typeof evaluate> {
  return evaluate(policyModel(context), flow);
}
