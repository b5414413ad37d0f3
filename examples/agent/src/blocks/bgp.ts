/**
 * BGP on this node: the sessions that nodes, annotations and flags ask for, what is announced, and the routes learned.
 * A change of a peer touches that peer alone; only a change of our own number, identifier or listening address starts anew.
 */
import { createSpeaker, type PeerOptions, type Speaker, type SpeakerEvent } from 'kube-router-sdk/bgp';
import { aggregate } from 'kube-router-sdk/ingress';
import type { Advertisement, Issue, KernelRoute, KernelRouteChanges } from 'kube-router-sdk/net';
import { advertisements as podAdvertisements, peers, type BgpNodeConfig } from 'kube-router-sdk/routing';
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
import { openBgpPast } from './bgp-past.ts';
import { createPolicies, peerOptions } from './bgp-peers.ts';
import { countAdvertisements, logEvent, showBgp } from './bgp-views.ts';
import type { BlockContext } from './context.ts';
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

/** Wires the block. */
export function wireBgp(context: BlockContext, inputs: BgpInputs): BgpBlock {
  const { node, families, objects, log, metrics } = context;
  // Read anew each time: a reload changes the configuration under running sessions.
  const flags = () => context.config.flags;
  const nodes = objects.open('Node');
  const learned = new Subject<KernelRouteChanges>();
  const routes = new Map<string, KernelRoute>();
  const own$ = new BehaviorSubject<readonly Advertisement[]>([]);
  let announced: readonly Advertisement[] = [];
  let wanted: BgpNodeConfig | undefined;
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
  const past = openBgpPast({ owned: context.ownership.block('bgp') });
  const policiesOf = createPolicies(context, inputs.isServiceAddress);
  const peersOf = (bgp: BgpNodeConfig): PeerOptions[] => {
    const policies = policiesOf(bgp);
    return bgp.peers.map((peer) => peerOptions(peer, context, policies, past));
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

  const notePeer = ({ peer, type }: SpeakerEvent): void => {
    if (!flags()['bgp-graceful-restart'] || (type !== 'up' && type !== 'down')) return;
    past.note(peer, type === 'up').catch((error: unknown) => {
      log.warn({ block: 'bgp', error: (error as Error).message }, 'the record of peers cannot be written');
    });
  };
  const open = async (bgp: BgpNodeConfig): Promise<void> => {
    const options = peersOf(bgp);
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
      made.events$.subscribe((event) => {
        logEvent(context, event);
        notePeer(event);
      }),
      made.issues$.subscribe((issues) => {
        advertisementIssues = issues;
        publishIssues();
      }),
    ];
    // Peers come last: what they are told first is everything.
    made.setPeers(options);
    const restarting = options.filter((peer) => peer.gracefulRestart?.restarting === true).length;
    log.info(
      { asn: bgp.asn, routerId: bgp.routerId, listen: bgp.listen, port: bgp.port, peers: options.length, restarting },
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
        speaker.setPeers(peersOf(bgp));
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

  showBgp(context, {
    speaker: () => speaker,
    kindOf: (status) => wanted?.peers.find(({ name }) => name === status.name)?.kind ?? 'external',
    announced: () => announced,
    routes,
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
