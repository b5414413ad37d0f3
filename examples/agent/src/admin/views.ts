/**
 * What the admin API, `status` and the web page show, as plain values; blocks contribute through {@link Providers}.
 */
import type { Advertisement, Issue, KernelRoute, VirtualIp } from 'kube-router-sdk/net';
import type { AgentState, BlockState } from '../state.ts';
import { version } from '../version.ts';
import type { View } from './server.ts';

/** One BGP session. */
export interface PeerView {
  readonly address: string;
  readonly asn: number;
  readonly name: string;
  readonly kind: 'internal' | 'external';
  readonly state: string;
  /** Epoch milliseconds of the last change of state. */
  readonly since?: number;
  readonly received: number;
  readonly announced: number;
  /** Why it is not up. */
  readonly reason?: string;
}

/** One kind of object as its source has it. */
export interface SourceView {
  readonly kind: string;
  readonly objects: number;
  readonly synced: boolean;
  readonly staleSince?: number;
}

/** One virtual server. */
export interface ServiceView {
  /** Key of the virtual server. */
  readonly service: string;
  /** `namespace/name` of its Service. */
  readonly owner?: string;
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
  readonly kind: string;
  readonly scheduler: string;
  readonly backends: readonly BackendView[];
  /** Since its making; absent where the kernel was not asked. */
  readonly connections?: number;
  /** Connections a second, the kernel's estimate. */
  readonly rate?: number;
}

/** One endpoint of a virtual server. */
export interface BackendView {
  readonly address: string;
  readonly weight: number;
  readonly draining: boolean;
  readonly connections?: number;
  readonly rate?: number;
}

/** One path of a looking glass. */
export interface RibView {
  readonly prefix: string;
  /** Empty: of this node. */
  readonly peer: string;
  readonly nextHop: string;
  readonly asPath: string;
  readonly communities: readonly string[];
  readonly best: boolean;
  readonly reason: string;
  readonly stale: boolean;
}

/** One policy. */
export interface PolicyView {
  readonly policy: string;
  readonly directions: readonly ('ingress' | 'egress')[];
  /** `namespace/name` of local pods that it selects. */
  readonly pods: readonly string[];
  /** Packets that its rules let through and that its pods refused, where the backend counts. */
  readonly allowed?: number;
  readonly refused?: number;
}

/** Who reaches whom: rows are sources, columns destinations, `+` may, `-` may not. */
export interface MatrixView {
  readonly pods: readonly string[];
  readonly rows: readonly string[];
}

/** What the blocks tell; a block that does not run tells nothing. */
export interface Providers {
  sources: () => readonly SourceView[];
  peers: () => readonly PeerView[];
  routes: () => Iterable<KernelRoute>;
  advertisements: () => readonly Advertisement[];
  vips: () => readonly VirtualIp[];
  services: () => readonly ServiceView[];
  /** The same with the kernel's counters. */
  counted: (views: readonly ServiceView[]) => Promise<readonly ServiceView[]>;
  policies: () => readonly PolicyView[];
  /** The policies with the packets that their rules counted. */
  hits: () => Promise<readonly PolicyView[]>;
  matrix: (query: URLSearchParams) => MatrixView;
  /** Adj-RIB-In, Adj-RIB-Out (`?peer=`) or Loc-RIB (`?prefix=`). */
  rib: (query: URLSearchParams) => readonly RibView[];
  explain: (query: URLSearchParams) => unknown;
  /** Answers when the rules of the pod that the query names are in force. */
  gate: (query: URLSearchParams) => Promise<unknown>;
}

/** Providers before any block is there. */
export function emptyProviders(): Providers {
  return {
    sources: () => [],
    peers: () => [],
    routes: () => [],
    advertisements: () => [],
    vips: () => [],
    services: () => [],
    counted: (views) => Promise.resolve(views),
    policies: () => [],
    hits: () => Promise.resolve([]),
    matrix: () => ({ pods: [], rows: [] }),
    rib: () => [],
    explain: () => {
      throw new Error('the firewall block does not run');
    },
    // Where this agent judges no policy, no pod waits for it.
    gate: () => Promise.resolve({}),
  };
}

/** The document of `status`. */
export interface StatusView {
  readonly node: string;
  readonly version: string;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  readonly ready: boolean;
  readonly blocks: readonly BlockState[];
  readonly sources: readonly SourceView[];
  readonly peers: readonly PeerView[];
  readonly routes: number;
  readonly advertisements: readonly Advertisement[];
  readonly vips: readonly VirtualIp[];
  readonly services: number;
  readonly policies: number;
  readonly issues: readonly Issue[];
}

/** What {@link createViews} needs. */
export interface ViewInputs {
  readonly node: string;
  readonly startedAt: number;
  readonly state: AgentState;
  readonly providers: Providers;
}

const DEFAULT_LIMIT = 1000;

/** All views by path. Lists take `limit`, 1,000 when absent, and `filter`, a text that an item must contain. */
export function createViews({ node, startedAt, state, providers }: ViewInputs): ReadonlyMap<string, View> {
  const select = <T>(query: URLSearchParams, items: Iterable<T>): { found: T[]; total: number } => {
    const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
    const filter = query.get('filter') ?? '';
    if (!Number.isInteger(limit) || limit < 0) throw new Error('limit is not a whole number');
    const found: T[] = [];
    let total = 0;
    for (const item of items) {
      if (filter !== '' && !JSON.stringify(item).includes(filter)) continue;
      total++;
      if (found.length < limit) found.push(item);
    }
    return { found, total };
  };
  const list =
    (name: string, items: (query: URLSearchParams) => Iterable<unknown>): View =>
    (query) => {
      const { found, total } = select(query, items(query));
      return { [name]: found, total };
    };
  const status = (): StatusView => ({
    node,
    version,
    startedAt,
    ready: state.ready(),
    blocks: state.blocks(),
    sources: providers.sources(),
    peers: providers.peers(),
    routes: [...providers.routes()].length,
    advertisements: providers.advertisements(),
    vips: providers.vips(),
    services: providers.services().length,
    policies: providers.policies().length,
    issues: state.issues(),
  });
  return new Map<string, View>([
    ['/status', status],
    ['/peers', list('peers', () => providers.peers())],
    ['/routes', list('routes', () => providers.routes())],
    ['/advertisements', list('advertisements', () => providers.advertisements())],
    ['/vips', list('vips', () => providers.vips())],
    [
      '/services',
      async (query) => {
        const { found, total } = select(query, providers.services());
        return { services: await providers.counted(found), total };
      },
    ],
    [
      '/policies',
      async (query) => {
        const { found, total } = select(query, await providers.hits());
        return { policies: found, total };
      },
    ],
    ['/matrix', (query) => providers.matrix(query)],
    ['/rib', list('paths', (query) => providers.rib(query))],
    ['/issues', list('issues', () => state.issues())],
    ['/passes', list('passes', () => state.recent())],
    ['/explain', (query) => providers.explain(query)],
  ]);
}
