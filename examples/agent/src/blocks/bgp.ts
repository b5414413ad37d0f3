/**
 * BGP on this node: the sessions that nodes, annotations and flags ask for, what is announced, and the routes learned.
 * A change of a peer touches that peer alone; only a change of our own number, identifier or listening address starts anew.
 */
import {
  createSpeaker,
  type PathView,
  type PeerOptions,
  type PeerStatus,
  type Speaker,
  type SpeakerEvent,
} from 'kube-router-sdk/bgp';
import { aggregate } from 'kube-router-sdk/ingress';
import type { Advertisement, Issue, KernelRoute, KernelRouteChanges } from 'kube-router-sdk/net';
import {
  advertisements as podAdvertisements,
  peers,
  type BgpNodeConfig,
  type BgpPeerConfig,
} from 'kube-router-sdk/routing';
import {
  BehaviorSubject,
  combineLatest,
  concat,
  defer,
  filter,
  map,
  of,
  Subject,
  type Observable,
  type Subscription,
} from 'rxjs';
import type { PeerView, RibView } from '../admin/views.ts';
import type { BlockContext } from './context.ts';
import { externalExport, importPolicy, internalExport } from './policies.ts';
import { peersOptions } from './peers-options.ts';

/** Next hops used together. */
const MULTIPATH = 16;
const RETRY_MS = 5_000;

/** What BGP tells the others. */
export interface BgpBlock {
  readonly learned$: Observable<KernelRouteChanges>;
  readonly issues: () => readonly Issue[];
  /** Takes the context's new configuration: peers that differ are changed, the others keep their sessions. */
  readonly reload: () => void;
  /** Opens sessions; call it when this node can carry what it announces. */
  readonly start: () => void;
}

/** What BGP is told besides its context. */
export interface BgpInputs {
  /** Service addresses to announce. */
  readonly vips$: Observable<readonly Advertisement[]>;
  readonly isServiceAddress: (address: string) => boolean;
  /** Whether every node may draw a service address's traffic. */
  readonly everywhere: (advertisement: Advertisement) => boolean;
}

const peerOptions = (peer: BgpPeerConfig, context: BlockContext, policies: Policies): PeerOptions => {
  const { flags } = context.config;
  return {
    name: peer.name,
    address: peer.address,
    asn: peer.asn,
    port: peer.port,
    ...(peer.localAddress === undefined ? {} : { localAddress: peer.localAddress }),
    ...(peer.password === undefined ? {} : { password: peer.password }),
    ...(peer.multihopTtl === undefined ? {} : { multihop: peer.multihopTtl }),
    holdTime: peer.holdTimeSeconds,
    families: peer.families.map((family) => (family === 4 ? 'ipv4-unicast' : 'ipv6-unicast')),
    routeReflectorClient: peer.routeReflectorClient,
    nextHopSelf: peer.kind === 'external' && flags['override-nexthop'],
    ...(peer.gracefulRestart === undefined
      ? {}
      : {
          gracefulRestart: {
            restartTime: peer.gracefulRestart.restartTimeSeconds,
            staleTime: peer.gracefulRestart.deferralTimeSeconds,
            restarting: true,
          },
        }),
    ...(peer.bfd === undefined
      ? {}
      : {
          bfd: {
            interval: Math.max(peer.bfd.desiredMinTxMs, peer.bfd.requiredMinRxMs),
            multiplier: peer.bfd.detectionMultiplier,
          },
        }),
    importPolicy: policies.imports,
    exportPolicy: peer.kind === 'internal' ? internalExport : policies.externalExport,
  };
};

interface Policies {
  readonly imports: ReturnType<typeof importPolicy>;
  readonly externalExport: ReturnType<typeof externalExport>;
}

/** Wires the block. */
export function wireBgp(context: BlockContext, inputs: BgpInputs): BgpBlock {
  const { node, families, objects, log, metrics, providers } = context;
  // Read anew each time: a reload changes the configuration under running sessions.
  const flags = () => context.config.flags;
  const nodes = objects.open('Node');
  const learned = new Subject<KernelRouteChanges>();
  const routes = new Map<string, KernelRoute>();
  const own$ = new BehaviorSubject<readonly Advertisement[]>([]);
  let announced: readonly Advertisement[] = [];
  let wanted: BgpNodeConfig | undefined;
  let current: Policies | undefined;
  let policyKey = '';
  let speaker: Speaker | undefined;
  let speakerKey = '';
  let subscriptions: Subscription[] = [];
  let startIssue: readonly Issue[] = [];
  let advertisementIssues: readonly Issue[] = [];
  let started = false;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let work: Promise<void> = Promise.resolve();

  const aggregates$ = new BehaviorSubject<readonly string[]>([]);
  const aggregated = (advertisements: readonly Advertisement[], prefixes: readonly string[]) => {
    if (prefixes.length === 0) return advertisements;
    // Of pods only this node's own are here, and it can serve all of them.
    const everywhere = (one: Advertisement): boolean => one.origin === 'pod-cidr' || inputs.everywhere(one);
    const aggregates = prefixes.flatMap((prefix) =>
      (['vip', 'pod-cidr'] as const).map((origin) => ({ prefix, origin })),
    );
    return aggregate({ advertisements, aggregates, everywhere }).advertisements;
  };
  /** Brings the policies up to date; true when they changed. */
  const renewPolicies = (bgp: BgpNodeConfig): boolean => {
    const podCidrs = flags()['advertise-pod-cidr'];
    const serviceRanges = [
      ...flags()['service-cluster-ip-range'],
      ...flags()['service-external-ip-range'],
      ...flags()['loadbalancer-ip-range'],
    ];
    const key = JSON.stringify([bgp.exportAttributes, bgp.importReject, podCidrs, serviceRanges]);
    if (current !== undefined && key === policyKey) return false;
    policyKey = key;
    current = {
      imports: importPolicy(serviceRanges, bgp.importReject, inputs.isServiceAddress),
      externalExport: externalExport(podCidrs, bgp.exportAttributes),
    };
    return true;
  };
  // The same two objects for ever: a session whose policies are others is another session, and an annotation must not end one.
  const policies: Policies = {
    imports: { readsPeer: false, evaluate: (route, path) => current?.imports.evaluate(route, path) ?? false },
    externalExport: {
      readsPrefix: false,
      readsPeer: false,
      evaluate: (route, path) => current?.externalExport.evaluate(route, path) ?? false,
    },
  };

  const take = (changes: KernelRouteChanges, before: ReadonlySet<string>): void => {
    for (const route of changes.changed) routes.set(route.prefix, route);
    for (const prefix of changes.removed) routes.delete(prefix);
    // What an earlier speaker learned and this one did not goes when this one's picture is complete.
    const gone = changes.synced ? [...before].filter((prefix) => !fresh.has(prefix) && routes.delete(prefix)) : [];
    complete ||= changes.synced;
    learned.next(gone.length === 0 ? changes : { ...changes, removed: [...changes.removed, ...gone] });
    metrics?.add('kube_router_controller_bgp_advertisements_received', changes.changed.length + changes.removed.length);
  };
  let fresh = new Set<string>();
  let complete = false;

  const open = async (bgp: BgpNodeConfig): Promise<void> => {
    renewPolicies(bgp);
    const options = bgp.peers.map((peer) => peerOptions(peer, context, policies));
    const made = await createSpeaker({
      asn: bgp.asn,
      routerId: bgp.routerId,
      listen: bgp.listen.map((address) => ({ address, port: bgp.port })),
      peers: [],
      multipath: { ebgp: MULTIPATH, ibgp: MULTIPATH },
      hostName: node,
      ...(bgp.clusterId === undefined ? {} : { clusterId: bgp.clusterId }),
      ...(flags()['bgp-graceful-restart'] ? { syncTimeout: flags()['bgp-graceful-restart-deferral-time'] / 1000 } : {}),
    });
    speaker = made;
    made.setAdvertisements(announced);
    let leftover = new Set(routes.keys());
    fresh = new Set();
    subscriptions = [
      made.routes$.subscribe((changes) => {
        for (const { prefix } of changes.changed) fresh.add(prefix);
        for (const prefix of changes.removed) fresh.delete(prefix);
        take(changes, leftover);
        if (changes.synced) leftover = new Set();
      }),
      made.events$.subscribe((event) => logEvent(context, event)),
      made.issues$.subscribe((issues) => {
        advertisementIssues = issues;
        publishIssues();
      }),
    ];
    // Peers come last: what they are told first is everything.
    made.setPeers(options);
    log.info(
      { asn: bgp.asn, routerId: bgp.routerId, listen: bgp.listen, port: bgp.port, peers: options.length },
      'BGP started',
    );
  };

  const shut = async (): Promise<void> => {
    const old = speaker;
    speaker = undefined;
    for (const subscription of subscriptions) subscription.unsubscribe();
    subscriptions = [];
    await old?.close({ graceful: flags()['bgp-graceful-restart'] });
  };

  const issues = (): readonly Issue[] => [...(wanted?.issues ?? []), ...startIssue, ...advertisementIssues];
  const publishIssues = (): void => context.state.setIssues('bgp', issues());

  const settle = async (): Promise<void> => {
    const bgp = wanted;
    if (bgp === undefined || closed || !started) return;
    const { asn, routerId, listen, port, clusterId } = bgp;
    const key = JSON.stringify([asn, routerId, listen, port, clusterId]);
    try {
      if (speaker !== undefined && key === speakerKey) {
        const from = performance.now();
        // Without defaults of its own, this has every session's routes judged anew.
        if (renewPolicies(bgp)) speaker.setPolicies({});
        speaker.setPeers(bgp.peers.map((peer) => peerOptions(peer, context, policies)));
        metrics?.observe('kube_router_controller_bgp_internal_peers_sync_time', (performance.now() - from) / 1000);
      } else {
        await shut();
        speakerKey = key;
        if (asn !== 0 && routerId !== '') await open(bgp);
      }
      startIssue = [];
    } catch (error) {
      const reason = (error as Error).message;
      if (startIssue.length === 0) log.error({ block: 'bgp', error: reason }, 'BGP cannot start; it is tried again');
      startIssue = [{ object: `Node ${node}`, field: '', reason: `BGP: ${reason}; it is tried again` }];
      await shut();
      timer ??= setTimeout(() => {
        timer = undefined;
        schedule();
      }, RETRY_MS);
    }
    publishIssues();
  };
  const schedule = (): void => {
    work = work.then(settle);
  };

  const follow = (): void => {
    const { items } = nodes.snapshot();
    wanted = peers({ node, nodes: items.values(), options: peersOptions(context.config, families) });
    const self = items.get(node);
    const next = self === undefined ? [] : podAdvertisements(self, families);
    if (JSON.stringify(next) !== JSON.stringify(own$.value)) own$.next(next);
    const prefixes = flags()['advertise-aggregates'];
    if (prefixes.join() !== aggregates$.value.join()) aggregates$.next(prefixes);
    publishIssues();
    schedule();
  };
  const following = nodes.changes$.pipe(filter(({ synced }) => synced)).subscribe(follow);
  const announcing = combineLatest([own$, inputs.vips$, aggregates$])
    .pipe(map(([own, vips, prefixes]) => aggregated([...own, ...vips], prefixes)))
    .subscribe((all) => {
      countAdvertisements(context, announced, all);
      announced = all;
      speaker?.setAdvertisements(all);
    });
  context.onClose(async () => {
    closed = true;
    clearTimeout(timer);
    following.unsubscribe();
    announcing.unsubscribe();
    await work;
    await shut();
  });

  const kindOf = (status: PeerStatus): PeerView['kind'] =>
    wanted?.peers.find(({ name }) => name === status.name)?.kind ?? 'external';
  providers.routes = () => routes.values();
  providers.advertisements = () => announced;
  providers.peers = () =>
    (speaker?.peers() ?? []).map((status) => ({
      address: status.address,
      asn: status.asn,
      name: status.name,
      kind: kindOf(status),
      state: status.state,
      ...(status.since === undefined ? {} : { since: status.since }),
      received: status.received,
      announced: speaker?.adjacent(status.address, 'out').length ?? 0,
      ...(status.state === 'established' || status.lastError === undefined ? {} : { reason: status.lastError }),
    }));
  providers.rib = (query) => {
    const peer = query.get('peer') ?? '';
    const prefix = query.get('prefix') ?? '';
    if (peer === '' && prefix === '') throw new Error('peer and view=in|out, or prefix, is needed');
    const paths =
      peer === ''
        ? (speaker?.lookup(prefix) ?? [])
        : (speaker?.adjacent(peer, query.get('view') === 'out' ? 'out' : 'in') ?? []);
    return paths.map(ribView);
  };
  metrics?.onScrape(() => {
    metrics.replace(
      'kube_router_bgp_peer_info',
      (speaker?.peers() ?? []).map((status) => [
        {
          address: status.address,
          type: kindOf(status),
          asn: String(status.asn),
          state: status.state.toUpperCase(),
        },
        1,
      ]),
    );
    metrics.replace(
      'kube_router_bgp_peer_prefixes',
      (speaker?.peers() ?? []).flatMap(({ address, received }) => [
        [{ address, direction: 'in' }, received],
        [{ address, direction: 'out' }, speaker?.adjacent(address, 'out').length ?? 0],
      ]),
    );
    metrics.replace(
      'kube_router_bfd_up',
      (speaker?.peers() ?? []).flatMap(({ address, bfd }) =>
        bfd === undefined ? [] : [[{ address }, bfd === 'up' ? 1 : 0]],
      ),
    );
    const count = (family: string): number =>
      [...routes.keys()].filter((prefix) => prefix.includes(':') === (family === '6')).length;
    for (const family of ['4', '6']) metrics.set('kube_router_bgp_routes', count(family), { family });
    for (const origin of ['pod-cidr', 'vip', 'other']) {
      const number = announced.filter((one) => one.origin === origin).length;
      metrics.set('kube_router_bgp_advertisements', number, { origin });
    }
  });

  return {
    // Whoever comes late begins with what has been learned so far.
    learned$: defer(() => concat(of({ changed: [...routes.values()], removed: [], synced: complete }), learned)),
    issues,
    reload: follow,
    start: () => {
      started = true;
      schedule();
    },
  };
}

function ribView({ prefix, peer, nextHop, attributes, best, reason, stale }: PathView): RibView {
  return {
    prefix,
    peer,
    nextHop,
    asPath: (attributes.asPath ?? []).flatMap(({ asns }) => asns).join(' '),
    communities: (attributes.communities ?? []).map((one) => `${Math.floor(one / 65536)}:${one % 65536}`),
    best,
    reason,
    stale,
  };
}

function countAdvertisements(
  context: BlockContext,
  before: readonly Advertisement[],
  after: readonly Advertisement[],
): void {
  const { metrics } = context;
  if (metrics === undefined) return;
  const old = new Set(before);
  const kept = new Set(after);
  for (const one of after) {
    if (old.has(one)) continue;
    const type = one.origin === 'vip' ? 'advertise-vip' : 'pod-route';
    metrics.add('kube_router_controller_bgp_advertisements_sent', 1, { type });
  }
  const gone = before.filter((one) => one.origin === 'vip' && !kept.has(one)).length;
  if (gone > 0) metrics.add('kube_router_controller_bgp_advertisements_sent', gone, { type: 'withdraw-vip' });
}

/** One line when a session comes up, goes down, or refuses something. */
function logEvent({ log, metrics }: BlockContext, event: SpeakerEvent): void {
  const fields = { block: 'bgp', peer: event.peer, reason: event.reason };
  switch (event.type) {
    case 'up':
      metrics?.add('kube_router_bgp_session_changes_total', 1, { address: event.peer, to: 'ESTABLISHED' });
      log.info(fields, 'BGP session is up');
      break;
    case 'down':
      metrics?.add('kube_router_bgp_session_changes_total', 1, { address: event.peer, to: 'IDLE' });
      log.warn(fields, 'BGP session went down');
      break;
    case 'bfd': {
      const to = event.reason === 'BFD is up' ? 'UP' : 'DOWN';
      metrics?.add('kube_router_bfd_session_changes_total', 1, { address: event.peer, to });
      log.info(fields, 'BFD');
      break;
    }
    case 'rejected':
    case 'malformed':
    case 'max-prefixes':
    case 'unsupported':
      log.warn({ ...fields, event: event.type }, 'BGP');
      break;
    default:
      log.debug({ ...fields, event: event.type }, 'BGP');
  }
}
