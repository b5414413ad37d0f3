/**
 * One node of a cluster as a program of its own, in its network namespace: routes to the other nodes' pods, services in IPVS, the pods of
 * this node prepared for DSR, and, when all of that is in the kernel, service addresses announced to the router with BFD beside BGP.
 * The blocks are wired by hand, as an agent does it; projected objects come in as JSON lines on standard input.
 */
import { createInterface } from 'node:readline';
import { BehaviorSubject, firstValueFrom, filter } from 'rxjs';
import { createSpeaker } from '../../../src/bgp/index.ts';
import { createIngressCompiler } from '../../../src/ingress/index.ts';
import { createDsrPods, createIpvsTarget, createServiceCompiler } from '../../../src/ipvs/index.ts';
import type { IpvsState, ServiceChange } from '../../../src/ipvs/index.ts';
import { reconcile } from '../../../src/kernel/index.ts';
import type { Desired, PassEvent } from '../../../src/kernel/index.ts';
import type { Advertisement } from '../../../src/net/index.ts';
import type { EndpointSliceObject, NodeObject, PodObject, ServiceObject } from '../../../src/objects/index.ts';
import { createRoutingCompiler, createRoutingTarget, readUnderlay } from '../../../src/routing/index.ts';
import type { RoutingState } from '../../../src/routing/index.ts';
import { shellRunner } from '../../support/ipvs-shell.ts';

/** How a node is started. */
export interface DirectorOptions {
  readonly node: string;
  readonly externalIpRanges: readonly string[];
  /** Absent: the node announces nothing. */
  readonly router?: { readonly address: string; readonly asn: number };
  readonly bfdMs?: number;
}

type Change<T> = { readonly key: string; readonly object: T | undefined };

/** One line of input. */
export interface DirectorInput {
  readonly nodes?: readonly Change<NodeObject>[];
  readonly services?: readonly Change<ServiceObject>[];
  readonly endpointSlices?: readonly Change<EndpointSliceObject>[];
  readonly pods?: readonly Change<PodObject>[];
}

const options = JSON.parse(process.argv[2] ?? '{}') as DirectorOptions;
const say = (row: Record<string, unknown>): void =>
  void process.stdout.write(`${JSON.stringify({ at: Date.now(), ...row })}\n`);
// A shell that is kept open runs the commands: a fork of Node is what costs most in this kernel.
const runner = shellRunner();

const ingress = createIngressCompiler(options.node, {
  advertiseClusterIp: true,
  clusterIpRanges: ['172.16.0.0/16'],
  advertiseExternalIp: true,
  externalIpRanges: options.externalIpRanges,
});
const vips$ = new BehaviorSubject<readonly Advertisement[]>([]);
const following: ((input: DirectorInput) => void)[] = [];

/** Resolves when a pass left nothing to do. */
const settled = (events$: ReturnType<typeof reconcile>['events$']): Promise<PassEvent> =>
  firstValueFrom(events$.pipe(filter((pass) => pass.remaining === 0 && pass.error === undefined)));

async function start(first: DirectorInput): Promise<void> {
  const own = first.nodes?.find(({ key }) => key === options.node)?.object;
  if (own === undefined) throw new Error('the first input has to hold this node');

  const routing = createRoutingCompiler({ node: options.node, source: 'nodes', overlay: 'none', podEgress: false });
  const underlay = await readUnderlay({ runner, node: own });
  const routed = routing.update({ ...(underlay === undefined ? {} : { underlay }), nodes: first.nodes ?? [] });
  const routes$ = new BehaviorSubject<Desired<RoutingState>>({ state: routed.state, synced: true });
  const routesDone = settled(reconcile(routes$, createRoutingTarget({ runner })).events$);

  const pods = createDsrPods({
    runner,
    findNetns: (key) => Promise.resolve(`/run/netns/${key.slice(key.indexOf('/') + 1)}`),
    onChange: (key) => {
      services.touchPod(key);
      flush();
    },
  });
  const address = own.addresses[0]?.address ?? '';
  const services = createServiceCompiler({
    node: { name: options.node, primary: { 4: address }, podCIDRs: own.podCIDRs },
    clusterIpRanges: ['172.16.0.0/16'],
    externalIpRanges: options.externalIpRanges,
    dsrReady: (key, pod, vip) => pods.ready(key, pod, vip),
  });
  const take = (input: DirectorInput): void => {
    const changes: ServiceChange[] = [
      ...(input.pods ?? []).map(({ key, object }): ServiceChange => ({ kind: 'Pod', key, object })),
      ...(input.services ?? []).map(({ key, object }): ServiceChange => ({ kind: 'Service', key, object })),
      ...(input.endpointSlices ?? []).map(({ key, object }): ServiceChange => ({ kind: 'EndpointSlice', key, object })),
    ];
    services.update(changes);
  };
  take(first);
  const ipvs$ = new BehaviorSubject<Desired<IpvsState>>({ state: services.flush().state, synced: true });
  const flush = (): void => {
    const { state, dirty } = services.flush();
    ipvs$.next({ state, synced: true, ...(dirty === undefined ? {} : { dirty }) });
    void pods.update([...services.dsr.values()].flat());
  };
  const proxy = reconcile(ipvs$, createIpvsTarget({ runner, families: [4] }));
  proxy.events$.subscribe((pass) => {
    if (pass.changes > 0) say({ programmed: pass.changes, remaining: pass.remaining, error: pass.error?.message });
  });
  const proxyDone = settled(proxy.events$);
  await pods.update([...services.dsr.values()].flat());
  await Promise.all([routesDone, proxyDone]);
  say({ ready: options.node, issues: [...routed.issues, ...services.issues(), ...pods.issues()] });
  following.push((input) => {
    const { state, dirty } = routing.update({ nodes: input.nodes ?? [] });
    if (dirty.size > 0) routes$.next({ state, dirty, synced: true });
    take(input);
    flush();
  });

  if (options.router === undefined) return;
  const speaker = await createSpeaker({
    asn: 64512,
    routerId: address,
    listen: [{ address, port: 179 }],
    peers: [
      {
        address: options.router.address,
        asn: options.router.asn,
        localAddress: address,
        holdTime: 9,
        idleHoldTime: 1,
        connectRetryTime: 1,
        ...(options.bfdMs === undefined ? {} : { bfd: { interval: options.bfdMs, multiplier: 3 } }),
      },
    ],
  });
  speaker.announce(vips$);
  speaker.events$.subscribe(({ type, peer, reason }) => say({ event: type, peer, reason }));
}

let started: Promise<void> | undefined;
createInterface({ input: process.stdin }).on('line', (line) => {
  const input = JSON.parse(line) as DirectorInput;
  vips$.next(ingress.update(input).advertisements);
  if (started === undefined) started = start(input);
  else void started.then(() => following.forEach((take) => take(input)));
});
process.once('unhandledRejection', (error) => {
  say({ failed: String(error) });
  process.exit(1);
});
