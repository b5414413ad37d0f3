/**
 * Services on this node: Services, slices, pods and this node into the compiler, its state into IPVS.
 */
import {
  cleanupIpvs,
  createHealthPorts,
  createIpvsTarget,
  createServiceCompiler,
  render,
  type IpvsState,
  type ServiceChange,
  type ServiceOptions,
  type VirtualServerItem,
} from 'kube-router-sdk/ipvs';
import type { NodeObject } from 'kube-router-sdk/informers';
import type { ServiceView } from '../admin/views.ts';
import type { Cleaner } from '../commands/cleanup.ts';
import { createFeed } from '../feed.ts';
import { part, type Part } from '../part.ts';
import { objectInput } from '../sources.ts';
import type { BlockContext } from './context.ts';
import { countedServices, serviceMetrics } from './service-metrics.ts';

const ZONE = 'topology.kubernetes.io/zone';

/** First address of a family, internal ones first. */
function primary(own: NodeObject | undefined, six: boolean): string | undefined {
  const ofFamily = (own?.addresses ?? []).filter(({ address }) => address.includes(':') === six);
  return (ofFamily.find(({ type }) => type === 'InternalIP') ?? ofFamily[0])?.address;
}

/** Options of the compiler, from flags and this node's object. */
function serviceOptions({ config, node, families }: BlockContext, own: NodeObject | undefined): ServiceOptions {
  const { flags } = config;
  const four = families.includes(4) ? primary(own, false) : undefined;
  const six = families.includes(6) ? primary(own, true) : undefined;
  return {
    node: {
      name: node,
      zone: own?.labels[ZONE] ?? '',
      primary: { ...(four === undefined ? {} : { 4: four }), ...(six === undefined ? {} : { 6: six }) },
      podCIDRs: (own?.podCIDRs ?? []).filter((prefix) => families.includes(prefix.includes(':') ? 6 : 4)),
    },
    nodePortOnAllAddresses: flags['nodeport-bindon-all-ip'],
    strictExternalIps: flags['strict-external-ip-validation'],
    clusterIpRanges: flags['service-cluster-ip-range'],
    externalIpRanges: flags['service-external-ip-range'],
    loadBalancerRanges: flags['loadbalancer-ip-range'],
    masqueradeAll: flags['masquerade-all'],
    permitAll: flags['ipvs-permit-all'],
    hairpin: flags['hairpin-mode'],
    gracefulTermination: flags['ipvs-graceful-termination'],
    gracefulPeriodMs: flags['ipvs-graceful-period'],
    excludedCidrs: flags['excluded-cidrs'],
    tcpTimeout: Math.round(flags['service-tcp-timeout'] / 1000),
    tcpFinTimeout: Math.round(flags['service-tcpfin-timeout'] / 1000),
    udpTimeout: Math.round(flags['service-udp-timeout'] / 1000),
  };
}

/** Wires the block. */
export function wireIpvs(context: BlockContext): Part {
  const { config, node, families, objects, runner, providers, ownership } = context;
  const nodes = objects.open('Node');
  let options = serviceOptions(context, nodes.snapshot().items.get(node));
  const compiler = createServiceCompiler(options);
  const flush = () => {
    const { state, dirty } = compiler.flush();
    return { state, dirty: dirty ?? new Set(state.items.keys()) };
  };
  const changes = (kind: ServiceChange['kind'], changed: readonly { key: string; object: unknown }[]) => {
    compiler.update(changed.map(({ key, object }) => ({ kind, key, object }) as ServiceChange));
    return flush();
  };
  const feed = createFeed<IpvsState>();
  feed.add(objectInput(nodes), ({ changed }) => {
    const own = changed.find(({ key }) => key === node);
    if (own !== undefined) {
      const next = serviceOptions(context, own.object);
      if (JSON.stringify(next) !== JSON.stringify(options)) compiler.reconfigure((options = next));
    }
    return flush();
  });
  feed.add(objectInput(objects.open('Pod')), ({ changed }) => changes('Pod', changed));
  feed.add(objectInput(objects.open('Service')), ({ changed }) => changes('Service', changed));
  feed.add(objectInput(objects.open('EndpointSlice')), ({ changed }) => changes('EndpointSlice', changed));
  context.onClose(() => feed.close());

  const target = createIpvsTarget({ runner, families, owned: ownership.block('ipvs'), ...ipvsPrograms(context) });
  context.onClose(() => target.close());
  if (context.mode === 'run') {
    const ports = createHealthPorts();
    const subscription = feed.desired$.subscribe(() => {
      void ports.update(compiler.health.values()).then(() => context.state.setIssues('health ports', ports.issues()));
    });
    context.onClose(() => {
      subscription.unsubscribe();
      return ports.close();
    });
  }
  let state: IpvsState | undefined;
  const following = feed.desired$.subscribe((desired) => (state = desired.state));
  context.onClose(() => following.unsubscribe());
  providers.services = () => serviceViews(state);
  providers.counted = (views) => countedServices(runner, views);
  if (context.metrics !== undefined) serviceMetrics(context.metrics, runner, objects, () => state);

  return part({
    name: 'ipvs',
    desired$: feed.desired$,
    target,
    describe: (plan) =>
      Promise.resolve(
        render(plan, ipvsPrograms(context))
          .split('\n')
          .filter((line) => line !== ''),
      ),
    issues: () => compiler.issues(),
    resyncMs: config.flags['ipvs-sync-period'],
  });
}

/** The iptables programs of the host's flavour, as this block takes them. */
function ipvsPrograms({ flavour }: Pick<BlockContext, 'flavour'>) {
  if (flavour === 'system') return {};
  return { iptables: { 4: `iptables-${flavour}`, 6: `ip6tables-${flavour}` } } as const;
}

function serviceViews(state: IpvsState | undefined): ServiceView[] {
  const servers = [...(state?.items.values() ?? [])].filter((item): item is VirtualServerItem => item.type === 'vs');
  return servers.map((item) => ({
    service: item.key,
    address: item.address ?? `mark ${item.mark}`,
    protocol: item.protocol ?? '',
    port: item.port ?? 0,
    kind: item.forward,
    scheduler: item.scheduler,
    backends: item.servers.map(({ address, port, weight }) => ({
      address: `${address}:${port}`,
      weight,
      draining: weight === 0,
    })),
  }));
}

/** The inverse. */
export const cleanIpvs: Cleaner = async ({ runner, families, ownership, dryRun, flavour, signal }) => {
  const options = { runner, families, owned: ownership.block('ipvs'), dryRun, ...ipvsPrograms({ flavour }) };
  const { text, changes, failures, kept } = await cleanupIpvs(options, signal);
  return {
    changes,
    failures,
    notes: kept.map((path) => `ipvs: ${path} cannot be given back: its value is not ours or none is known from before`),
    lines: dryRun ? text.split('\n').filter((line) => line !== '') : [],
  };
};
