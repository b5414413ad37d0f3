/**
 * Graceful termination: a real server that was removed keeps weight 0 until it is idle or its pod's grace period is over.
 * Each drain is in the ownership record with its deadline, so a restart goes on where it was; an endpoint that returns ends it.
 * UDP has no connections to finish: its servers go at once, and the conntrack entries of that server alone with them.
 */
import type { BlockOwnership } from '../kernel/ownership.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Command, Runner } from '../kernel/types.ts';
import { hostPort } from './model.ts';
import type { IpvsState, RealServer, VirtualServerItem } from './model.ts';
import { readServers } from './observe.ts';
import { applyStep, drainKey } from './plan.ts';
import type { IpvsObserved, Step } from './plan.ts';
import { ipvsadmLines } from './render.ts';

/** What the drain of a target needs. */
export interface DrainOptions {
  readonly runner: Runner;
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly leftoverMs: number;
  readonly owned?: BlockOwnership;
  /** Called when a real server was removed between two passes. */
  readonly onRemoved: (vs: string) => void;
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  readonly state: () => { readonly desired: IpvsState | undefined; readonly observed: IpvsObserved | undefined };
}

/** The drain of a target. */
export interface Drain {
  /** Records drains that are about to begin. */
  before(steps: readonly Step[]): Promise<void>;
  /** Settles what steps did: drains that ended, conntrack entries that are to go. */
  after(steps: readonly Step[]): Promise<void>;
  /** Takes up drains found in the kernel. */
  adopt(observed: IpvsObserved): Promise<void>;
  look(): Promise<number>;
  close(): void;
}

/** The command that deletes what conntrack remembers of a UDP service: of one of its servers, or of all when it went as a whole. */
export function conntrackDelete(vs: VirtualServerItem, server?: RealServer): Command | undefined {
  const { protocol, address, port } = vs.serves ?? vs;
  if (protocol !== 'UDP' || address === undefined || port === undefined || vs.forward !== 'masq') return undefined;
  const family = vs.family === 6 ? 'ipv6' : 'ipv4';
  const args = ['-D', '-f', family, '-p', 'udp', '--orig-dst', address, '--orig-port-dst', String(port)];
  if (server !== undefined) args.push('--reply-src', server.address, '--reply-port-src', String(server.port));
  return { file: 'conntrack', args, okExitCodes: [1] };
}

const PREFIX = 'drain/';

/** Makes the {@link Drain} of a target. */
export function createDrain(options: DrainOptions): Drain {
  const { runner, clock, owned } = options;
  /** Name of a real server to the end of its drain, epoch milliseconds. */
  const deadlines = new Map<string, number>();
  for (const [key, text] of owned?.applied ?? []) {
    if (key.startsWith(PREFIX)) deadlines.set(key.slice(PREFIX.length), Number(text));
  }
  let cancel: (() => void) | undefined;
  let closed = false;

  const forget = async (names: readonly string[]): Promise<void> => {
    const known = names.filter((name) => deadlines.delete(name));
    if (known.length > 0) await owned?.remove(known.map((name) => PREFIX + name));
  };
  const record = async (list: readonly (readonly [string, number])[]): Promise<void> => {
    const fresh = list.filter(([name]) => !deadlines.has(name));
    if (fresh.length === 0) return;
    for (const [name, deadline] of fresh) deadlines.set(name, deadline);
    await owned?.add(fresh.map(([name, deadline]) => [PREFIX + name, String(Math.round(deadline))] as const));
    arm();
  };
  const arm = (): void => {
    if (closed || cancel !== undefined || deadlines.size === 0) return;
    cancel = clock.after(options.intervalMs, () => {
      cancel = undefined;
      look()
        .catch(() => undefined)
        .finally(arm);
    });
  };

  /** The last real server of a Service without endpoints is gone: so is its virtual server, see plan.ts. */
  const removeEmpty = async (key: string, desired: IpvsState, observed: IpvsObserved): Promise<void> => {
    const wanted = desired.items.get(key);
    const left = observed.items.get(key);
    if (wanted?.type !== 'vs' || wanted.servers.length > 0 || left?.type !== 'vs' || left.servers.length > 0) return;
    const step: Step = { kind: 'remove', item: left };
    await runner.run({ file: 'ipvsadm', args: ipvsadmLines(step)[0] ?? [] });
    applyStep(observed, step);
  };

  const work = async (): Promise<number> => {
    const { desired, observed } = options.state();
    if (desired === undefined || observed === undefined || deadlines.size === 0) return deadlines.size;
    const asked = [...new Set([...deadlines.keys()].map((name) => name.slice(0, name.indexOf(' '))))];
    const only = asked.map((key) => observed.items.get(key)).filter((item) => item?.type === 'vs');
    const read = only.length === 0 ? [] : await readServers(runner, undefined, only);
    const loads = new Map(read.map(({ item, load }) => [item.key, { item, load }]));
    for (const [name, deadline] of [...deadlines]) {
      const [key = '', address = '', port = ''] = name.split(' ');
      const same = (server: RealServer): boolean => server.address === address && server.port === Number(port);
      // What is desired may have changed while the kernel was read.
      const wanted = options.state().desired?.items.get(key);
      const found = loads.get(key);
      const server = found?.item.servers.find(same);
      if ((wanted?.type === 'vs' && wanted.servers.some(same)) || server === undefined || found === undefined) {
        await forget([name]);
        continue;
      }
      const load = found.load.get(hostPort(address, Number(port)));
      const idle = load !== undefined && load.active + load.inactive === 0;
      if (server.weight !== 0 || (!idle && clock.now() < deadline)) continue;
      const step: Step = { kind: 'server', action: 'del', vs: found.item, server };
      await runner.run({ file: 'ipvsadm', args: ipvsadmLines(step)[0] ?? [] });
      applyStep(observed, step);
      options.onRemoved(key);
      await forget([name]);
      await removeEmpty(key, desired, observed);
    }
    return deadlines.size;
  };
  const look = (): Promise<number> => options.alone(work);

  return {
    look,
    async before(steps) {
      const list: (readonly [string, number])[] = [];
      for (const step of steps) {
        if (step.kind !== 'server' || step.action !== 'drain') continue;
        list.push([drainKey(step.vs.key, step.server), clock.now() + (step.graceMs ?? options.leftoverMs)]);
      }
      await record(list);
    },
    async after(steps) {
      const ended: string[] = [];
      // Best effort: a conntrack entry left behind ends by itself, the real server is gone either way.
      const cut = async (command: Command | undefined): Promise<void> => {
        if (command !== undefined) await runner.run(command).catch(() => undefined);
      };
      for (const step of steps) {
        if (step.kind === 'remove' && step.item.type === 'vs') await cut(conntrackDelete(step.item));
        if (step.kind !== 'server' || step.action === 'drain') continue;
        const desired = options.state().desired?.items.get(step.vs.key);
        const name = drainKey(step.vs.key, step.server);
        const returned = desired?.type === 'vs' && desired.servers.some((one) => drainKey(step.vs.key, one) === name);
        if (step.action === 'del' || returned) ended.push(name);
        if (step.action === 'del') await cut(conntrackDelete(step.vs, step.server));
      }
      await forget(ended);
    },
    async adopt(observed) {
      const leftovers: (readonly [string, number])[] = [];
      for (const item of observed.items.values()) {
        if (item.type !== 'vs') continue;
        for (const server of item.servers) {
          if (server.weight !== 0) continue;
          observed.draining.add(drainKey(item.key, server));
          leftovers.push([drainKey(item.key, server), clock.now() + options.leftoverMs]);
        }
      }
      await record(leftovers);
      arm();
    },
    close() {
      closed = true;
      cancel?.();
      cancel = undefined;
    },
  };
}
