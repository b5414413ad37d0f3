/**
 * The difference between what should be and what the kernel holds, as steps. With a dirty set only its keys are looked at.
 * Real servers of a virtual server are compared one by one: added, edited in place, drained, removed, and for `mh` brought into
 * canonical order (the kernel's table depends on the order of insertion, ip_vs_mh.c ip_vs_mh_populate). Pure.
 */
import type { PlanOptions } from '../kernel/types.ts';
import { compareServers } from './compile/endpoints.ts';
import { sameItem } from './compile/items.ts';
import { ipvsNames, markKey, serverKey } from './model.ts';
import type { IpvsItem, IpvsState, RealServer, VirtualServerItem } from './model.ts';
import type { Protocol } from '../net/values.ts';

/** What the kernel holds, as far as it is ours. */
export interface IpvsObserved {
  /** Items of ours by key; servers of a virtual server in the order in which they were inserted. */
  readonly items: Map<string, IpvsItem>;
  /** Keys of virtual servers that are not ours. */
  readonly foreign: ReadonlySet<string>;
  /** Real servers that may be removed now although they were to drain: idle, or their time is over. `drainKey` of each. */
  readonly drained: Set<string>;
  /** Real servers whose drain has begun; weight 0 alone does not say so, a pod may ask for it. */
  readonly draining: Set<string>;
}

/** One change. */
export type Step =
  | { readonly kind: 'put'; readonly item: IpvsItem; readonly before?: IpvsItem }
  | { readonly kind: 'remove'; readonly item: IpvsItem }
  | {
      readonly kind: 'server';
      /** `move`: removed and inserted again at once, with its connections. `drain`: weight 0, then removed when idle. */
      readonly action: 'add' | 'edit' | 'drain' | 'del' | 'move';
      readonly vs: VirtualServerItem;
      readonly server: RealServer;
      /** Longest drain, milliseconds. */
      readonly graceMs?: number;
    }
  | { readonly kind: 'blocked'; readonly key: string; readonly reason: string };

/** Steps in the order of their keys; render puts them in the order of their effects. */
export interface IpvsPlan {
  readonly steps: readonly Step[];
}

/** Name of a real server of a virtual server. */
export function drainKey(vs: string, server: { readonly address: string; readonly port: number }): string {
  return `${vs} ${server.address} ${server.port}`;
}

function sameServer(a: RealServer, b: RealServer): boolean {
  return a.address === b.address && a.port === b.port;
}

/** Whether the order of real servers decides who is chosen. */
function ordered(vs: VirtualServerItem): boolean {
  return vs.scheduler === 'mh';
}

/** Steps that lead from the observed real servers to the desired ones. */
export function planServers(
  want: VirtualServerItem,
  have: VirtualServerItem | undefined,
  context: {
    readonly prune: boolean;
    readonly drain: boolean;
    readonly graceMs: (address: string) => number;
    readonly drained: ReadonlySet<string>;
    readonly draining: ReadonlySet<string>;
  },
): Step[] {
  const vs = want;
  const now = have?.servers ?? [];
  if (now.length === 0) {
    return want.servers.map((server) => ({ kind: 'server', action: 'add', vs, server }));
  }
  const byName = new Map(now.map((server) => [`${server.address} ${server.port}`, server]));
  const wanted = new Set(want.servers.map((server) => `${server.address} ${server.port}`));
  const forwardChanged = have !== undefined && have.forward !== want.forward;
  const edits: Step[] = [];
  const removals: Step[] = [];
  const datagrams = (want.protocol ?? want.serves?.protocol) === 'UDP';
  const target: RealServer[] = [...want.servers];
  for (const server of now) {
    if (wanted.has(`${server.address} ${server.port}`)) continue;
    // UDP has no connections that could end.
    const name = drainKey(want.key, server);
    const done = !context.drain || datagrams || context.drained.has(name);
    if (context.prune && done) removals.push({ kind: 'server', action: 'del', vs, server });
    else {
      target.push({ ...server, weight: 0 });
      if (context.prune && (server.weight !== 0 || !context.draining.has(name))) {
        const graceMs = context.graceMs(server.address);
        removals.push({ kind: 'server', action: 'drain', vs, server: { ...server, weight: 0 }, graceMs });
      }
    }
  }
  const adds: RealServer[] = [];
  for (const server of want.servers) {
    const known = byName.get(`${server.address} ${server.port}`);
    if (known === undefined) adds.push(server);
    else if (known.weight !== server.weight || forwardChanged)
      edits.push({ kind: 'server', action: 'edit', vs, server });
  }
  if (!ordered(want)) {
    return [...adds.map((server): Step => ({ kind: 'server', action: 'add', vs, server })), ...edits, ...removals];
  }
  target.sort(compareServers);
  const stay = now.filter((server) => target.some((other) => sameServer(other, server)));
  let prefix = 0;
  while (prefix < stay.length) {
    const left = stay[prefix];
    const right = target[prefix];
    if (left === undefined || right === undefined || !sameServer(left, right)) break;
    prefix++;
  }
  const inserts = target.slice(prefix).map((server): Step => {
    const known = stay.some((other) => sameServer(other, server));
    return { kind: 'server', action: known ? 'move' : 'add', vs, server };
  });
  const moved = new Set(target.slice(prefix).map((server) => `${server.address} ${server.port}`));
  const kept = edits.filter(
    (step) => step.kind === 'server' && !moved.has(`${step.server.address} ${step.server.port}`),
  );
  return [...kept, ...inserts, ...removals];
}

function sameBut(a: IpvsItem, b: IpvsItem): boolean {
  if (a.type === 'vs' && b.type === 'vs') {
    return a.scheduler === b.scheduler && a.persistence === b.persistence && a.flags.join() === b.flags.join();
  }
  if (a.type === 'entry' && b.type === 'entry') return a.options === b.options;
  if (a.type === 'addr' && b.type === 'addr')
    return a.source === '' || (a.source === b.source && b.kernelRoute !== true);
  if (a.type === 'sysctl' && b.type === 'sysctl') {
    return a.value === b.value || (a.onlyFrom !== undefined && b.value !== a.onlyFrom);
  }
  if (a.type === 'chain' && b.type === 'chain') return a.rules.join('\n') === b.rules.join('\n');
  if (a.type === 'timeout' && b.type === 'timeout') {
    const fits = (want: number, have: number): boolean => want === 0 || want === have;
    return fits(a.tcp, b.tcp) && fits(a.tcpFin, b.tcpFin) && fits(a.udp, b.udp);
  }
  if (a.type === 'set' && b.type === 'set') return a.setType === b.setType && a.skbinfo === b.skbinfo;
  return true;
}

/** The virtual server that an entry of the set of what is served, or of marks, claims for us. */
function claimed(item: IpvsItem): string | undefined {
  if (item.type !== 'entry') return undefined;
  const family = item.set.startsWith('inet6:') ? 6 : 4;
  const name = family === 6 ? item.set.slice('inet6:'.length) : item.set;
  if (name === ipvsNames.servedSet) {
    const [, address = '', protocol = '', port = ''] = /^(.*),(\w+):(\d+)$/.exec(item.element) ?? [];
    return serverKey(protocol.toUpperCase() as Protocol, address, Number(port));
  }
  const mark = /^skbmark (0x[0-9a-f]+)/.exec(item.options)?.[1];
  return mark === undefined ? undefined : markKey(family, Number(mark));
}

/**
 * A virtual server without real servers is none: the node's own connections would meet IPVS before any rule that refuses them, and
 * be told with the second SYN only. One whose last real servers drain stays until they are gone.
 */
function isEmpty(want: VirtualServerItem, have: IpvsItem | undefined): boolean {
  return want.servers.length === 0 && (have?.type !== 'vs' || have.servers.length === 0);
}

function planKey(key: string, desired: IpvsState, observed: IpvsObserved, prune: boolean, steps: Step[]): void {
  const want = desired.items.get(key);
  const have = observed.items.get(key);
  if (want === undefined) {
    if (have !== undefined && prune && have.type !== 'sysctl' && have.type !== 'timeout') {
      steps.push({ kind: 'remove', item: have });
    } else if (have?.type === 'sysctl' && prune && have.path.endsWith('/sloppy_tcp') && have.value !== '0') {
      steps.push({ kind: 'put', item: { ...have, value: '0' }, before: have });
    }
    return;
  }
  if (want.type === 'vs' && observed.foreign.has(key)) {
    steps.push({ kind: 'blocked', key, reason: 'a virtual server of somebody else stands there; it is left alone' });
    return;
  }
  // The claim of a foreign virtual server would make it ours at the next look.
  const claim = observed.foreign.size === 0 ? undefined : claimed(want);
  if (claim !== undefined && observed.foreign.has(claim)) return;
  if (want.type === 'vs' && isEmpty(want, have)) {
    if (have !== undefined && prune) steps.push({ kind: 'remove', item: have });
    return;
  }
  if (have === undefined) steps.push({ kind: 'put', item: want });
  else if (!sameBut(want, have)) steps.push({ kind: 'put', item: want, before: have });
  if (want.type !== 'vs') return;
  const { drain, graceMs } = desired;
  const context = { prune, drain, graceMs, drained: observed.drained, draining: observed.draining };
  const servers = planServers(want, have?.type === 'vs' ? have : undefined, context);
  for (const step of servers) steps.push(step);
  if (have?.type !== 'vs' || want.servers.length > 0) return;
  const gone = servers.filter((step) => step.kind === 'server' && step.action === 'del').length;
  if (gone === have.servers.length) steps.push({ kind: 'remove', item: have });
}

/** Makes the plan. `plan(x, x)` is empty. */
export function plan(desired: IpvsState, observed: IpvsObserved, options: PlanOptions = { prune: true }): IpvsPlan {
  const steps: Step[] = [];
  if (options.dirty !== undefined) {
    for (const key of options.dirty) planKey(key, desired, observed, options.prune, steps);
    return { steps };
  }
  for (const key of desired.items.keys()) planKey(key, desired, observed, options.prune, steps);
  for (const key of observed.items.keys()) {
    if (!desired.items.has(key)) planKey(key, desired, observed, options.prune, steps);
  }
  return { steps };
}

/** After a reading: one object for both maps wherever they agree, as {@link applyStep} leaves it. */
export function shareItems(desired: IpvsState, observed: IpvsObserved): void {
  for (const [key, want] of desired.items) {
    const have = observed.items.get(key);
    if (have !== undefined && have !== want && sameBut(want, have) && sameItem(want, have))
      observed.items.set(key, want);
  }
}

/** An empty kernel, for plans without privileges. */
export function emptyObserved(): IpvsObserved {
  return { items: new Map(), foreign: new Set(), drained: new Set(), draining: new Set() };
}

/** Writes into `observed` what a step reached. */
export function applyStep(observed: IpvsObserved, step: Step): void {
  if (step.kind === 'blocked') return;
  if (step.kind === 'put') {
    if (step.item.type !== 'vs') observed.items.set(step.item.key, step.item);
    else {
      const have = observed.items.get(step.item.key);
      const servers = have?.type === 'vs' ? have.servers : [];
      observed.items.set(step.item.key, { ...step.item, servers });
    }
    return;
  }
  if (step.kind === 'remove') {
    observed.items.delete(step.item.key);
    return;
  }
  const have = observed.items.get(step.vs.key);
  if (have?.type !== 'vs') return;
  const rest = have.servers.filter((server) => !sameServer(server, step.server));
  const { action, server } = step;
  let servers: RealServer[];
  if (action === 'del') servers = rest;
  else if (action === 'add' || action === 'move') servers = [...rest, server];
  else servers = have.servers.map((other) => (sameServer(other, server) ? server : other));
  const name = drainKey(step.vs.key, server);
  if (action === 'drain') observed.draining.add(name);
  else if (action !== 'move' || server.weight > 0)
    for (const names of [observed.drained, observed.draining]) names.delete(name);
  const reached = { ...have, forward: step.vs.forward, servers };
  // One object for both maps wherever they agree: a large cluster is not held twice.
  const same = servers.length === step.vs.servers.length && servers.every((one, at) => one === step.vs.servers[at]);
  observed.items.set(step.vs.key, same && sameBut(step.vs, have) ? step.vs : reached);
}
