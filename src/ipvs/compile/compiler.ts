/**
 * The incremental service compiler: objects in, keyed items and a dirty set out. One Service changes: one Service is compiled.
 * Items are counted by owner, so that a VIP shared by two Services stays until both are gone; a VIP:port belongs to one
 * Service only, the first by name, and the other gets an issue. Pure bookkeeping.
 */
import type { Issue } from '../../net/values.ts';
import type { Endpoint, EndpointSliceObject, PodObject, ServiceObject } from '../../objects/types.ts';
import { ipvsNames } from '../model.ts';
import type { IpvsItem, IpvsState } from '../model.ts';
import type { Complain } from './annotations.ts';
import { baseItems } from './base.ts';
import { DSR_BIT, FOU_BIT, createMarkAllocator } from './marks.ts';
import { resolveOptions } from './options.ts';
import type { ResolvedOptions, ServiceOptions } from './options.ts';
import { compileService, entry, familyOfText } from './service.ts';
import type { DsrPod, Fragment, HealthPort } from './service.ts';

/** One object that came, changed or (undefined) went. */
export type ServiceChange =
  | { readonly kind: 'Service'; readonly key: string; readonly object: ServiceObject | undefined }
  | { readonly kind: 'EndpointSlice'; readonly key: string; readonly object: EndpointSliceObject | undefined }
  | { readonly kind: 'Pod'; readonly key: string; readonly object: PodObject | undefined };

/** Result of {@link ServiceCompiler.flush}. */
export interface Compiled {
  readonly state: IpvsState;
  /** Keys of items that differ from the flush before; absent on the first. */
  readonly dirty?: ReadonlySet<string>;
}

/** The incremental compiler. */
export interface ServiceCompiler {
  /** Takes changes in; nothing is compiled yet. */
  update(changes: Iterable<ServiceChange>): void;
  /** Compiles what changed since the last flush. */
  flush(): Compiled;
  /** What is wrong at the moment, by Service. */
  issues(): Issue[];
  /** Service (`namespace/name`) that a virtual server's key belongs to. */
  owner(key: string): string | undefined;
  /** Health-check node ports with their answers. */
  readonly health: ReadonlyMap<string, HealthPort>;
  /** Local pods that serve by DSR, by Service: what {@link createDsrPods} is to prepare. */
  readonly dsr: ReadonlyMap<string, readonly DsrPod[]>;
  /** Grows whenever `dsr` changes. */
  readonly dsrVersion: number;
  /** Marks by owner, to be kept over a restart. */
  marks(): ReadonlyMap<string, number>;
  /** Compiles every Service anew, with other options (a changed node). */
  reconfigure(options: ServiceOptions): void;
  /** Compiles the Services of a pod again: its DSR readiness changed. */
  touchPod(key: string): void;
}

const WEIGHT = 'kube-router.io/weight';

function sameItem(a: IpvsItem, b: IpvsItem): boolean {
  if (a === b) return true;
  if (a.type === 'vs' && b.type === 'vs') {
    return (
      a.scheduler === b.scheduler &&
      a.persistence === b.persistence &&
      a.forward === b.forward &&
      a.flags.join() === b.flags.join() &&
      a.servers.length === b.servers.length &&
      a.servers.every((server, index) => {
        const other = b.servers[index];
        return (
          other !== undefined &&
          server.address === other.address &&
          server.port === other.port &&
          server.weight === other.weight
        );
      })
    );
  }
  if (a.type === 'entry' && b.type === 'entry') return a.options === b.options;
  if (a.type === 'addr' && b.type === 'addr') return a.source === b.source;
  return JSON.stringify(a) === JSON.stringify(b);
}

const EMPTY: Fragment = { items: [], issues: [], marks: [] };
const NOTHING: ReadonlySet<string> = new Set();

interface ServiceRecord {
  object: ServiceObject | undefined;
  slices: Map<string, EndpointSliceObject>;
  fragment: Fragment;
  /** Keys of virtual servers that belong to somebody else. */
  lost: ReadonlySet<string>;
  conflicts: readonly Issue[];
}

/** Makes a {@link ServiceCompiler}. @throws SdkError `INVALID_OPTION` */
export function createServiceCompiler(options: ServiceOptions): ServiceCompiler {
  let resolved: ResolvedOptions = resolveOptions(options);
  const records = new Map<string, ServiceRecord>();
  const sliceOwner = new Map<string, string>();
  const pods = new Map<string, PodObject>();
  const podServices = new Map<string, string | string[]>();
  const graceByAddress = new Map<string, number>();
  const items = new Map<string, IpvsItem>();
  /** Owners of an item beyond the first. */
  const owners = new Map<string, number>();
  /** Virtual server key to the Services that ask for it, sorted. */
  const claims = new Map<string, string | string[]>();
  const health = new Map<string, HealthPort>();
  const dsr = new Map<string, readonly DsrPod[]>();
  let dsrVersion = 0;
  const pending = new Set<string>();
  let dirty = new Set<string>();
  let first = true;
  let base: readonly IpvsItem[] = [];
  const dsrMarks = createMarkAllocator(DSR_BIT, resolved.marks, FOU_BIT - 1);
  const fouMarks = createMarkAllocator(DSR_BIT | FOU_BIT, resolved.marks, FOU_BIT - 1);
  const insideMarks = createMarkAllocator(0, new Map([...resolved.marks].filter(([, mark]) => (mark & DSR_BIT) === 0)));

  const context = {
    get options() {
      return resolved;
    },
    dsrMarks,
    fouMarks,
    insideMarks,
    podUid: (endpoint: Endpoint) => pods.get(endpoint.pod)?.uid ?? '',
    hostNetwork: (endpoint: Endpoint) => pods.get(endpoint.pod)?.hostNetwork ?? false,
    weightOf(endpoint: Endpoint, complain: Complain): number {
      const text = endpoint.pod === '' ? undefined : pods.get(endpoint.pod)?.annotations[WEIGHT];
      if (text === undefined) return 1;
      const weight = /^\d{1,5}$/.test(text) ? Number(text) : -1;
      if (weight >= 0 && weight <= 65535) return weight;
      complain('', `annotation ${WEIGHT} "${text}" of Pod ${endpoint.pod} is no weight of 0–65535; 1 is used`);
      return 1;
    },
  };

  const put = (item: IpvsItem): void => {
    const known = items.get(item.key);
    if (known !== undefined) {
      owners.set(item.key, (owners.get(item.key) ?? 0) + 1);
      if (sameItem(known, item)) return;
    }
    items.set(item.key, item);
    dirty.add(item.key);
  };
  const drop = (key: string): void => {
    const others = owners.get(key) ?? 0;
    if (others > 1) owners.set(key, others - 1);
    else if (others === 1) owners.delete(key);
    else {
      items.delete(key);
      dirty.add(key);
    }
  };

  const record = (key: string): ServiceRecord => {
    let found = records.get(key);
    if (found === undefined) {
      found = {
        object: undefined,
        slices: new Map(),
        fragment: EMPTY,
        lost: NOTHING,
        conflicts: [],
      };
      records.set(key, found);
    }
    return found;
  };

  const claimants = (key: string): string[] => {
    const claim = claims.get(key);
    return claim === undefined ? [] : typeof claim === 'string' ? [claim] : claim;
  };
  const setClaimants = (key: string, list: string[]): void => {
    if (list.length === 0) claims.delete(key);
    else claims.set(key, list.length === 1 ? (list[0] as string) : list);
  };

  /** Puts what changed of one Service; the others that share a key are named in `pending` again. */
  const place = (key: string): void => {
    const entryOf = records.get(key);
    if (entryOf === undefined) return;
    const before = entryOf;
    const object = entryOf.object;
    const fragment = object === undefined ? EMPTY : compileService(object, [...entryOf.slices.values()], context);
    const wanted = new Set<string>();
    for (const item of fragment.items) if (item.type === 'vs') wanted.add(item.key);
    for (const item of before.fragment.items) {
      if (item.type !== 'vs' || wanted.has(item.key)) continue;
      const list = claimants(item.key).filter((other) => other !== key);
      setClaimants(item.key, list);
      if (list[0] !== undefined) pending.add(list[0]);
    }
    const conflicts: Issue[] = [];
    const lost = new Set<string>();
    for (const item of fragment.items) {
      if (item.type !== 'vs') continue;
      const list = claimants(item.key);
      if (!list.includes(key)) {
        const winner = list[0];
        list.push(key);
        list.sort();
        setClaimants(item.key, list);
        if (winner !== undefined && list[0] === key) pending.add(winner);
      }
      const owner = list[0];
      if (owner === undefined || owner === key) continue;
      lost.add(item.key);
      const where = item.key.slice('vs/'.length);
      const reason = `${where} belongs to Service ${owner} already; it is not served for this one`;
      conflicts.push({ object: `Service ${key}`, field: 'spec', reason });
    }
    const previous = new Set<string>();
    for (const item of before.fragment.items) if (!before.lost.has(item.key)) previous.add(item.key);
    const done = new Set<string>();
    for (const item of fragment.items) {
      if (lost.has(item.key) || done.has(item.key)) continue;
      done.add(item.key);
      if (!previous.has(item.key)) put(item);
      else if (!sameItem(items.get(item.key) as IpvsItem, item)) {
        items.set(item.key, item);
        dirty.add(item.key);
      }
    }
    for (const old of previous) if (!done.has(old)) drop(old);
    for (const owner of before.fragment.marks) {
      if (fragment.marks.includes(owner)) continue;
      for (const allocator of [dsrMarks, fouMarks, insideMarks]) allocator.release(owner);
    }
    entryOf.fragment = fragment;
    entryOf.lost = lost.size === 0 ? NOTHING : lost;
    entryOf.conflicts = conflicts;
    if (JSON.stringify(fragment.dsr) !== JSON.stringify(dsr.get(key))) {
      dsrVersion++;
      if (fragment.dsr === undefined) dsr.delete(key);
      else dsr.set(key, fragment.dsr);
    }
    if (fragment.health === undefined) health.delete(key);
    else health.set(key, fragment.health);
    if (object === undefined && entryOf.slices.size === 0) records.delete(key);
  };

  const nodeItems = (): IpvsItem[] => {
    const list = baseItems(resolved);
    const families = ([4, 6] as const).filter((family) => resolved.node.primary[family] !== undefined);
    for (const address of resolved.node.addresses) {
      const family = familyOfText(address);
      if (families.includes(family)) list.push(entry(ipvsNames.localSet, family, address));
    }
    for (const cidr of resolved.node.podCIDRs) {
      const family = familyOfText(cidr);
      if (families.includes(family)) list.push(entry(ipvsNames.podSet, family, cidr));
    }
    return list;
  };
  const setBase = (): void => {
    const next = nodeItems();
    const old = base;
    for (const item of next) put(item);
    for (const item of old) drop(item.key);
    base = next;
  };
  setBase();

  const link = (podKey: string, service: string): void => {
    if (podKey === '') return;
    const known = podServices.get(podKey);
    if (known === undefined) podServices.set(podKey, service);
    else if (typeof known === 'string') {
      if (known !== service) podServices.set(podKey, [known, service]);
    } else if (!known.includes(service)) known.push(service);
  };

  const touchPod = (key: string): void => {
    const known = podServices.get(key);
    if (known === undefined) return;
    for (const service of typeof known === 'string' ? [known] : known) pending.add(service);
  };

  const updatePod = (key: string, object: PodObject | undefined): void => {
    const before = pods.get(key);
    if (object === undefined) {
      pods.delete(key);
      if (before !== undefined) touchPod(key);
      podServices.delete(key);
      return;
    }
    const same =
      before !== undefined &&
      before.annotations[WEIGHT] === object.annotations[WEIGHT] &&
      before.uid === object.uid &&
      before.hostNetwork === object.hostNetwork;
    pods.set(key, object);
    for (const ip of object.ips) graceByAddress.set(ip, object.terminationGracePeriodSeconds * 1000);
    const matters = object.annotations[WEIGHT] !== undefined || object.hostNetwork || before !== undefined;
    if (!same && matters) touchPod(key);
  };

  const updateSlice = (key: string, object: EndpointSliceObject | undefined): void => {
    const namespace = key.slice(0, key.indexOf('/'));
    const old = sliceOwner.get(key);
    const owner = object === undefined || object.service === '' ? undefined : `${namespace}/${object.service}`;
    if (old !== undefined && old !== owner) {
      record(old).slices.delete(key);
      pending.add(old);
      sliceOwner.delete(key);
    }
    if (owner === undefined || object === undefined) return;
    sliceOwner.set(key, owner);
    record(owner).slices.set(key, object);
    pending.add(owner);
    for (const endpoint of object.endpoints) link(endpoint.pod, owner);
  };

  const state: IpvsState = {
    items,
    graceMs: (address) => graceByAddress.get(address) ?? resolved.gracefulPeriodMs,
    get drain() {
      return resolved.gracefulTermination;
    },
  };

  return {
    owner: (key) => claimants(key)[0],
    health,
    dsr,
    get dsrVersion() {
      return dsrVersion;
    },
    touchPod,
    update(changes) {
      for (const change of changes) {
        if (change.kind === 'Service') {
          record(change.key).object = change.object;
          pending.add(change.key);
        } else if (change.kind === 'EndpointSlice') updateSlice(change.key, change.object);
        else updatePod(change.key, change.object);
      }
    },
    flush() {
      // A Service that gives up a key names its heir, which may name another: each is compiled at most a few times.
      while (pending.size > 0) {
        const batch = [...pending].sort();
        pending.clear();
        for (const key of batch) place(key);
      }
      const changed = dirty;
      dirty = new Set();
      if (first) {
        first = false;
        return { state };
      }
      return { state, dirty: changed };
    },
    issues() {
      const all: Issue[] = [];
      for (const { fragment, conflicts } of records.values()) all.push(...fragment.issues, ...conflicts);
      return all;
    },
    marks: () => new Map([...dsrMarks.taken, ...fouMarks.taken, ...insideMarks.taken]),
    reconfigure(next) {
      resolved = resolveOptions(next);
      setBase();
      for (const key of records.keys()) pending.add(key);
    },
  };
}

/** Input of {@link compile}. */
export interface CompileInput extends ServiceOptions {
  readonly services: Iterable<ServiceObject>;
  readonly endpointSlices: Iterable<EndpointSliceObject>;
  readonly pods?: Iterable<PodObject>;
}

/**
 * Compiles a whole cluster at once. Returns the desired state with the issues of its objects.
 * @throws SdkError `INVALID_OPTION`
 * @example
 * ```ts
 * import { project } from 'kube-router-sdk/informers';
 * import { compile } from 'kube-router-sdk/ipvs';
 * import { buildEndpointSlice, buildService } from 'kube-router-sdk/testing';
 *
 * const service = buildService('shop/web', { clusterIPs: ['10.96.0.10'], ports: [{ port: 80 }] });
 * const slice = buildEndpointSlice('shop/web', { endpoints: [{ address: '10.1.1.2' }], ports: [{ port: 8080 }] });
 * const { items, issues } = compile({
 *   node: { name: 'worker-1', primary: { 4: '192.168.1.11' } },
 *   services: [project('Service', service).object].filter((one) => one !== undefined),
 *   endpointSlices: [project('EndpointSlice', slice).object].filter((one) => one !== undefined),
 * });
 * console.log(items.has('vs/tcp/10.96.0.10:80'), issues.length); // true 0
 * ```
 */
export function compile(input: CompileInput): IpvsState & { readonly issues: readonly Issue[] } {
  const compiler = createServiceCompiler(input);
  const changes: ServiceChange[] = [];
  const keyOf = (object: { namespace: string; name: string }): string => `${object.namespace}/${object.name}`;
  for (const object of input.pods ?? []) changes.push({ kind: 'Pod', key: keyOf(object), object });
  for (const object of input.services) changes.push({ kind: 'Service', key: keyOf(object), object });
  for (const object of input.endpointSlices) changes.push({ kind: 'EndpointSlice', key: keyOf(object), object });
  compiler.update(changes);
  const { state } = compiler.flush();
  return { items: state.items, graceMs: state.graceMs, drain: state.drain, issues: compiler.issues() };
}
