/**
 * Services on this node: Services, slices, pods and this node into the compiler, its state into IPVS.
 */
import {
  cleanupIpvs,
  createDsrPods,
  createHealthPorts,
  createIpvsTarget,
  createServiceCompiler,
  hostPort,
  render,
  type IpvsState,
  type LocalAddresses,
  type ServiceChange,
  type ServiceOptions,
  type VirtualServerItem,
} from 'kube-router-sdk/ipvs';
import type { NodeObject } from 'kube-router-sdk/informers';
import { watchIp } from 'kube-router-sdk/kernel';
import { concatMap, debounceTime } from 'rxjs';
import { loadBalancerRanges } from '../config/ranges.ts';
import type { ServiceView } from '../admin/views.ts';
import type { Cleaner } from '../commands/cleanup.ts';
import { createFeed } from '../feed.ts';
import { part, type Part } from '../part.ts';
import { objectInput } from '../sources.ts';
import type { BlockContext } from './context.ts';
import { primaries, readLocal, type Machine } from './ipvs-machine.ts';
import { podNetns } from './pod-netns.ts';
import { countedServices, servedBy, serviceMetrics } from './service-metrics.ts';

const ZONE = 'topology.kubernetes.io/zone';

/** Options of the compiler, from flags, this node's object and what the machine says of itself. */
function serviceOptions(context: BlockContext, own: NodeObject | undefined, local: LocalAddresses): ServiceOptions {
  const { node, families } = context;
  const { flags } = context.config;
  const enabled = (text: string): boolean => families.includes(text.includes(':') ? 6 : 4);
  return {
    node: {
      name: node,
      zone: own?.labels[ZONE] ?? '',
      primary: primaries(context, own),
      podCIDRs: (own?.podCIDRs ?? []).filter(enabled),
      addresses: local.addresses.filter(enabled),
      ...(local.mtu === undefined ? {} : { mtu: local.mtu }),
    },
    nodePortOnAllAddresses: flags['nodeport-bindon-all-ip'],
    strictExternalIps: flags['strict-external-ip-validation'],
    clusterIpRanges: flags['service-cluster-ip-range'],
    externalIpRanges: flags['service-external-ip-range'],
    loadBalancerRanges: loadBalancerRanges(context.config),
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
export function wireIpvs(context: BlockContext, machine: Machine): Part {
  const { config, node, families, objects, runner, providers, ownership, mode } = context;
  const nodes = objects.open('Node');
  const pods = objects.open('Pod');
  const owned = ownership.block('ipvs');
  const own = (): NodeObject | undefined => nodes.snapshot().items.get(node);
  // A plan changes no pod: it shows what a run would make once its pods are ready.
  const dsrReady: ServiceOptions['dsrReady'] = (...of) => mode === 'plan' || prepared.ready(...of);
  let options = serviceOptions(context, own(), machine.local);
  const compiler = createServiceCompiler({ ...options, marks: machine.marks, dsrReady });
  // Wired anew, the block goes on with the marks that it gave.
  context.onClose(() => void (machine.marks = new Map(compiler.marks())));
  const flush = () => {
    const { state, dirty } = compiler.flush();
    return { state, dirty: dirty ?? new Set(state.items.keys()) };
  };
  const changes = (kind: ServiceChange['kind'], changed: readonly { key: string; object: unknown }[]) => {
    compiler.update(changed.map(({ key, object }) => ({ kind, key, object }) as ServiceChange));
    return flush();
  };
  const reconfigure = (object: NodeObject | undefined): void => {
    const next = serviceOptions(context, object, machine.local);
    if (JSON.stringify(next) === JSON.stringify(options)) return;
    options = next;
    compiler.reconfigure({ ...options, dsrReady });
  };
  const feed = createFeed<IpvsState>();
  const prepared = createDsrPods({
    runner,
    owned,
    findNetns: podNetns(context, (key) => pods.snapshot().items.get(key)),
    onChange: (pod) => {
      compiler.touchPod(pod);
      feed.push(flush());
    },
  });
  feed.add(objectInput(nodes), ({ changed }) => {
    const change = changed.find(({ key }) => key === node);
    if (change !== undefined) reconfigure(change.object);
    return flush();
  });
  feed.add(objectInput(pods), ({ changed }) => changes('Pod', changed));
  feed.add(objectInput(objects.open('Service')), ({ changed }) => changes('Service', changed));
  feed.add(objectInput(objects.open('EndpointSlice')), ({ changed }) => changes('EndpointSlice', changed));
  context.onClose(() => feed.close());
  context.onClose(() => prepared.close());

  const target = createIpvsTarget({ runner, families, owned, ...ipvsPrograms(context) });
  context.onClose(() => target.close());
  /** Pods first, where DSR wants others than before. */
  let seen = -1;
  const preparePods = async (): Promise<void> => {
    if (compiler.dsrVersion === seen) return;
    seen = compiler.dsrVersion;
    await prepared.update([...compiler.dsr.values()].flat());
  };
  if (mode === 'run') {
    // Before the first pass an endpoint here is not served yet, whatever the objects say.
    const passed = (): boolean => context.state.blocks().some(({ name, passes }) => name === 'ipvs' && passes > 0);
    const ports = createHealthPorts({ healthy: passed });
    const subscription = feed.desired$.subscribe(() => {
      void ports.update(compiler.health.values()).then(() => context.state.setIssues('health ports', ports.issues()));
      void preparePods();
    });
    if (config.flags['nodeport-bindon-all-ip']) {
      const moved$ = watchIp({ runner, objects: ['address'] }).pipe(
        debounceTime(200),
        concatMap(() => readLocal(context)),
      );
      subscription.add(
        moved$.subscribe((now) => {
          machine.local = now;
          reconfigure(own());
          feed.push(flush());
        }),
      );
    }
    context.onClose(() => {
      subscription.unsubscribe();
      return ports.close();
    });
  }
  let state: IpvsState | undefined;
  const following = feed.desired$.subscribe((desired) => (state = desired.state));
  context.onClose(() => following.unsubscribe());
  providers.services = () => serviceViews(state, compiler.owner);
  providers.counted = (views) => countedServices(runner, views);
  if (context.metrics !== undefined)
    serviceMetrics(context.metrics, { runner, state: () => state, owner: compiler.owner });

  return part({
    name: 'ipvs',
    // One pass has no second chance: its pods are prepared before it is planned.
    desired$: mode === 'once' ? feed.desired$.pipe(concatMap(afterPods(preparePods))) : feed.desired$,
    target,
    describe: (plan) =>
      Promise.resolve(
        render(plan, ipvsPrograms(context))
          .split('\n')
          .filter((line) => line !== ''),
      ),
    issues: () => [...compiler.issues(), ...prepared.issues()],
    resyncMs: config.flags['ipvs-sync-period'],
  });
}

/** Hands a value on after the pods were prepared; the state is the compiler's own and has what that changed. */
function afterPods(prepare: () => Promise<void>): <T>(value: T) => Promise<T> {
  return async (value) => {
    await prepare();
    return value;
  };
}

/** The iptables programs of the host's flavour, as this block takes them. */
function ipvsPrograms({ flavour }: Pick<BlockContext, 'flavour'>) {
  if (flavour === 'system') return {};
  return { iptables: { 4: `iptables-${flavour}`, 6: `ip6tables-${flavour}` } } as const;
}

function serviceViews(state: IpvsState | undefined, owner: (key: string) => string | undefined): ServiceView[] {
  const servers = [...(state?.items.values() ?? [])].filter((item): item is VirtualServerItem => item.type === 'vs');
  return servers.map((item) => {
    const of = owner(item.key);
    return {
      service: item.key,
      ...(of === undefined ? {} : { owner: of }),
      ...servedBy(item),
      kind: item.forward,
      scheduler: item.scheduler,
      backends: item.servers.map((server) => ({
        address: hostPort(server.address, server.port),
        weight: server.weight,
        draining: server.weight === 0,
      })),
    };
  });
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
