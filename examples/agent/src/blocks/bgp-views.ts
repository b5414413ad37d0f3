/**
 * BGP as the admin page, the metrics and the log show it.
 */
import type { PathView, PeerStatus, Speaker, SpeakerEvent } from 'kube-router-sdk/bgp';
import type { Advertisement, KernelRoute } from 'kube-router-sdk/net';
import type { PeerView, RibView } from '../admin/views.ts';
import type { BlockContext } from './context.ts';

/** What is shown: read whenever somebody looks. */
export interface BgpState {
  readonly speaker: () => Speaker | undefined;
  readonly kindOf: (status: PeerStatus) => PeerView['kind'];
  readonly announced: () => readonly Advertisement[];
  /** Routes learned, by prefix. */
  readonly routes: ReadonlyMap<string, KernelRoute>;
}

/** Registers the views and the metrics. */
export function showBgp({ metrics, providers }: BlockContext, state: BgpState): void {
  const { kindOf, routes } = state;
  providers.routes = () => routes.values();
  providers.advertisements = state.announced;
  providers.peers = () =>
    (state.speaker()?.peers() ?? []).map((status) => ({
      address: status.address,
      asn: status.asn,
      name: status.name,
      kind: kindOf(status),
      state: status.state,
      ...(status.since === undefined ? {} : { since: status.since }),
      received: status.received,
      announced: state.speaker()?.adjacent(status.address, 'out').length ?? 0,
      ...(status.state === 'established' || status.lastError === undefined ? {} : { reason: status.lastError }),
    }));
  providers.rib = (query) => {
    const peer = query.get('peer') ?? '';
    const prefix = query.get('prefix') ?? '';
    if (peer === '' && prefix === '') throw new Error('peer and view=in|out, or prefix, is needed');
    const paths =
      peer === ''
        ? (state.speaker()?.lookup(prefix) ?? [])
        : (state.speaker()?.adjacent(peer, query.get('view') === 'out' ? 'out' : 'in') ?? []);
    return paths.map(ribView);
  };
  metrics?.onScrape(() => {
    metrics.replace(
      'kube_router_bgp_peer_info',
      (state.speaker()?.peers() ?? []).map((status) => [
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
      (state.speaker()?.peers() ?? []).flatMap(({ address, received }) => [
        [{ address, direction: 'in' }, received],
        [{ address, direction: 'out' }, state.speaker()?.adjacent(address, 'out').length ?? 0],
      ]),
    );
    metrics.replace(
      'kube_router_bfd_up',
      (state.speaker()?.peers() ?? []).flatMap(({ address, bfd }) =>
        bfd === undefined ? [] : [[{ address }, bfd === 'up' ? 1 : 0]],
      ),
    );
    const count = (family: string): number =>
      [...routes.keys()].filter((prefix) => prefix.includes(':') === (family === '6')).length;
    for (const family of ['4', '6']) metrics.set('kube_router_bgp_routes', count(family), { family });
    for (const origin of ['pod-cidr', 'vip', 'other']) {
      const number = state.announced().filter((one) => one.origin === origin).length;
      metrics.set('kube_router_bgp_advertisements', number, { origin });
    }
  });
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

/** Counts what is announced and withdrawn. */
export function countAdvertisements(
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
export function logEvent({ log, metrics }: BlockContext, event: SpeakerEvent): void {
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
