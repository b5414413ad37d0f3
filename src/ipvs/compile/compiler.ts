/**
 * The incremental service compiler: objects in, keyed items and a dirty set out. One Service changes: one Service is compiled.
 * Who shares what with whom is kept in items.ts, what pods say in pods.ts; here changes are taken in and put in their places.
 * Pure bookkeeping.
 */
import { textFamily } from '../../net/address.ts';
import { withItem } from '../../net/lists.ts';
import type { Issue } from '../../net/values.ts';
import type { EndpointSliceObject, PodObject, ServiceObject } from '../../objects/types.ts';
import { ipvsNames, serverKey } from '../model.ts';
import type { IpvsItem, IpvsState } from '../model.ts';
import { baseItems } from './base.ts';
import { entry } from './elements.ts';
import { createClaims, createItemStore } from './items.ts';
import { DSR_BIT, FOU_BIT, createMarkAllocator } from './marks.ts';
import { resolveOptions } from './options.ts';
import type { ResolvedOptions, ServiceOptions } from './options.ts';
import { createPodIndex } from './pods.ts';
import { EMPTY_FRAGMENT, compileService } from './service.ts';
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

const NOTHING: ReadonlySet<string> = new Set();

interface ServiceRecord {
  object: ServiceObject | undefined;
  /** Few, and of one namespace: told apart by name. */
  slices: readonly EndpointSliceObject[];
  fragment: Fragment;
}

/** Whether it is the slice of a key, among those of its namespace. */
function isNamed(slice: EndpointSliceObject, key: string): boolean {
  return key.endsWith(`/${slice.name}`);
}

function keysOf(fragment: Fragment): ReadonlySet<string> {
  return fragment.items.length === 0 ? NOTHING : new Set(fragment.items.map(({ key }) => key));
}

function sameDsr(a: readonly DsrPod[] | undefined, b: readonly DsrPod[] | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** The kernel drops packets that come in with one of its own addresses as their source (fib_validate_source). */
function halfTunnelled(service: string, vip: string): Issue {
  const reason = `${vip} is served by another Service without DSR: this node holds the address, and what its pods answer by DSR is dropped`;
  return { object: `Service ${service}`, field: 'metadata.annotations[kube-router.io/service.dsr]', reason };
}

/** What of the node itself stands in the kernel. */
function nodeItems(options: ResolvedOptions): IpvsItem[] {
  const { primary, addresses, podCIDRs } = options.node;
  const list = baseItems(options);
  const add = (set: string, element: string): void => {
    const family = textFamily(element);
    if (primary[family] !== undefined) list.push(entry(set, family, element));
  };
  for (const address of addresses) add(ipvsNames.localSet, address);
  for (const cidr of podCIDRs) add(ipvsNames.podSet, cidr);
  return list;
}

/** Makes a {@link ServiceCompiler}. @throws SdkError `INVALID_OPTION` */
export function createServiceCompiler(options: ServiceOptions): ServiceCompiler {
  let resolved: ResolvedOptions = resolveOptions(options);
  const records = new Map<string, ServiceRecord>();
  const sliceOwner = new Map<string, string>();
  const store = createItemStore();
  const claims = createClaims();
  const health = new Map<string, HealthPort>();
  const dsr = new Map<string, readonly DsrPod[]>();
  let dsrVersion = 0;
  /** The Service that uses each mark. */
  const markHolders = new Map<string, string>();
  const pending = new Set<string>();
  const pods = createPodIndex((service) => pending.add(service));
  let first = true;
  let base: readonly IpvsItem[] = [];
  const dsrMarks = createMarkAllocator(DSR_BIT, resolved.marks, FOU_BIT - 1);
  const fouMarks = createMarkAllocator(DSR_BIT | FOU_BIT, resolved.marks, FOU_BIT - 1);
  const insideMarks = createMarkAllocator(0, new Map([...resolved.marks].filter(([, mark]) => (mark & DSR_BIT) === 0)));

  const context = {
    get options() {
      return resolved;
    },
    claim(place: string, service: string) {
      const loser = claims.claim(place, service);
      if (loser !== undefined) pending.add(loser);
      return claims.owner(place) ?? service;
    },
    dsrMarks,
    fouMarks,
    insideMarks,
    podUid: pods.uid,
    hostNetwork: pods.hostNetwork,
    weightOf: pods.weight,
  };

  const record = (key: string): ServiceRecord => {
    let found = records.get(key);
    if (found === undefined) {
      found = { object: undefined, slices: [], fragment: EMPTY_FRAGMENT };
      records.set(key, found);
    }
    return found;
  };

  /** Gives back what the fragment before had and this one has not; whoever has it now is pending. */
  const release = (key: string, before: Fragment, fragment: Fragment): void => {
    for (const place of before.places) {
      if (fragment.places.includes(place)) continue;
      const heir = claims.release(place, key);
      if (heir !== undefined) pending.add(heir);
    }
    for (const owner of fragment.marks) markHolders.set(owner, key);
    for (const owner of before.marks) {
      // Whoever took over a place holds its mark as well.
      if (fragment.marks.includes(owner) || markHolders.get(owner) !== key) continue;
      markHolders.delete(owner);
      for (const allocator of [dsrMarks, fouMarks, insideMarks]) allocator.release(owner);
    }
  };

  /** Puts what changed of one Service; the others that share a place are named in `pending` again. */
  const place = (key: string): void => {
    const found = records.get(key);
    if (found === undefined) return;
    const { object, slices, fragment: before } = found;
    const fragment = object === undefined ? EMPTY_FRAGMENT : compileService(object, slices, context);
    const previous = keysOf(before);
    // Those in force, not their equals: a Service is compiled again and again without a difference.
    const items = fragment.items.map((item) => (previous.has(item.key) ? store.replace(item) : store.put(item)));
    found.fragment = { ...fragment, items };
    if (previous.size > 0) {
      const kept = keysOf(fragment);
      for (const old of previous) if (!kept.has(old)) store.drop(old);
    }
    release(key, before, fragment);
    if (!sameDsr(fragment.dsr, dsr.get(key))) {
      dsrVersion++;
      if (fragment.dsr === undefined) dsr.delete(key);
      else dsr.set(key, fragment.dsr);
    }
    if (fragment.health !== undefined) health.set(key, fragment.health);
    else if (before.health !== undefined) health.delete(key);
    if (object === undefined && slices.length === 0) records.delete(key);
  };

  const setBase = (): void => {
    const next = nodeItems(resolved);
    for (const item of next) store.put(item);
    for (const { key } of base) store.drop(key);
    base = next;
  };
  setBase();

  const updateSlice = (key: string, object: EndpointSliceObject | undefined): void => {
    const old = sliceOwner.get(key);
    const owner =
      object === undefined || object.service === '' ? undefined : `${key.slice(0, key.indexOf('/'))}/${object.service}`;
    if (old !== undefined && old !== owner) {
      const left = record(old);
      left.slices = left.slices.filter((slice) => !isNamed(slice, key));
      pending.add(old);
      sliceOwner.delete(key);
      pods.link(key, [], old);
    }
    if (owner === undefined || object === undefined) return;
    if (old !== owner) sliceOwner.set(key, owner);
    const found = record(owner);
    const known = found.slices.some((slice) => isNamed(slice, key));
    found.slices = known
      ? found.slices.map((slice) => (isNamed(slice, key) ? object : slice))
      : withItem(found.slices, object);
    pending.add(owner);
    pods.link(key, object.endpoints, owner);
  };

  const state: IpvsState = {
    items: store.items,
    graceMs: (address) => pods.graceMs(address) ?? resolved.gracefulPeriodMs,
    get drain() {
      return resolved.gracefulTermination;
    },
  };

  return {
    owner(key) {
      const item = store.items.get(key);
      const serves = item?.type === 'vs' ? item.serves : undefined;
      return claims.owner(serves === undefined ? key : serverKey(serves.protocol, serves.address, serves.port));
    },
    health,
    dsr,
    get dsrVersion() {
      return dsrVersion;
    },
    touchPod: pods.touch,
    update(changes) {
      for (const change of changes) {
        if (change.kind === 'Service') {
          record(change.key).object = change.object;
          pending.add(change.key);
        } else if (change.kind === 'EndpointSlice') updateSlice(change.key, change.object);
        else pods.update(change.key, change.object);
      }
    },
    flush() {
      // A Service that gives up a key names its heir, which may name another: each is compiled at most a few times.
      while (pending.size > 0) {
        const batch = [...pending].sort();
        pending.clear();
        for (const key of batch) place(key);
      }
      const dirty = store.takeDirty();
      if (!first) return { state, dirty };
      first = false;
      return { state };
    },
    issues() {
      const all: Issue[] = [];
      for (const [key, { fragment }] of records) {
        all.push(...fragment.issues);
        for (const vip of fragment.tunnelled ?? [])
          if (store.items.has(`addr/${vip}`)) all.push(halfTunnelled(key, vip));
      }
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
