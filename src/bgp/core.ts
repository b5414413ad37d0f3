/**
 * What all peers of a speaker share: attribute sets, both RIBs, update groups, the route stream and the one turn in which they work.
 * Work is sliced: a turn takes a few milliseconds and gives way to input before the next.
 */
import { addressFromBytes, addressToBytes, formatAddress, parseAddress } from '../net/index.ts';
import type { BfdMonitor } from './bfd/monitor.ts';
import { createBfdMonitor } from './bfd/monitor.ts';
import type { Monitor } from './bmp/exporter.ts';
import type { SpeakerConfig } from './model.ts';
import type { AttributeStore } from './rib/attribute-store.ts';
import { createAttributeStore } from './rib/attribute-store.ts';
import type { AggregateOptions, Aggregates } from './rib/aggregate.ts';
import { createAggregates } from './rib/aggregate.ts';
import type { Intake } from './rib/intake-types.ts';
import { createIntake } from './rib/intake.ts';
import type { Rib, RibPeer } from './rib/table.ts';
import type { IdStack } from './rib/columns.ts';
import { capacityFor, createIdStack, growUint8, popId, pushId } from './rib/columns.ts';
import { createRib, forgetPrefix, settle, sweepRows } from './rib/table.ts';
import type { Exports } from './exports.ts';
import { createExports } from './exports.ts';
import type { RouteStream } from './routes.ts';
import { createRouteStream } from './routes.ts';
import type { Clock } from './session/clock.ts';
import type { SpeakerEvent } from './speaker-types.ts';

/** Rows of a peer that are visited at a time, and so often at most in one turn. */
const SWEEP_SLICE = 4096;
const SWEEP_ROUNDS = 10;

/** Prefixes without a path that are looked at at a time. */
const COLLECT_SLICE = 1024;
const COLLECT_ROUNDS = 8;

/** So many are freed whatever else there is to do. */
const COLLECT_LIMIT = 1_000_000;

/**
 * Milliseconds of input that are taken in before the turn that works it off, whoever has more to say waits for the next; and of each
 * part of that turn. Together they are how long timers and other connections wait at most.
 */
const INPUT_MS = 4;
const SWEEP_MS = 4;
const EXPORT_MS = 4;
const COLLECT_MS = 3;

/** The shared part of a speaker. */
export interface Core {
  readonly asn: number;
  readonly routerId: number;
  readonly clusterId: number;
  readonly clock: Clock;
  readonly store: AttributeStore;
  readonly peers: (RibPeer | undefined)[];
  readonly ribs: readonly [Rib, Rib];
  readonly intake: Intake;
  readonly exports: Exports;
  readonly routes: RouteStream;
  readonly bfd: BfdMonitor;
  ribOf(family: 4 | 6): Rib;
  /** Replaces the aggregates. */
  setAggregates(list: readonly AggregateOptions[]): void;
  /** Asks for a turn after the input at hand. */
  schedule(): void;
  /**
   * Counts milliseconds spent on input; 0: there is some. When there was enough for one turn the source is stopped until the next: the
   * system would go on handing over what one busy connection has, and timers and the other connections would wait. Who was stopped
   * before it was read at all comes first in the next.
   */
  spend(ms: number, source: { pause(): void; resume(): void }): void;
  /** Visits a peer's rows in slices over several turns, then calls `done`; returns how to finish at once. */
  sweep(
    peer: number,
    families: readonly (4 | 6)[],
    visit: (rib: Rib, row: number) => void,
    done?: () => void,
  ): () => void;
  /** Takes the costs of next hops, undefined for unreachable, and decides everything anew; each next hop is asked for once. */
  setNextHopCosts(cost: ((nextHop: string) => number | undefined) | undefined): void;
  /** A free peer index. */
  newIndex(): number;
  emit(event: Omit<SpeakerEvent, 'time'>): void;
  /** Who is told of sessions and of what they carry. */
  readonly monitors: Set<Monitor>;
  /**
   * Whether what peers say is only taken in, neither announced nor shown. What we originate is announced all the same: nothing learned can
   * change it, and a peer that lost us twice before it heard from us would drop it (RFC 4724 section 4.2). Aggregates stand for what
   * is learned, so with them nothing is announced.
   */
  deferring: boolean;
}

/** A dotted quad as an unsigned integer. */
export function quad(text: string): number {
  const bytes = addressToBytes(parseAddress(text));
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

/** Prefixes without a path that somebody may still have to be told of. */
interface Idle {
  flags: Uint8Array;
  list: IdStack;
  /** Those of `list` that are still needed. */
  kept: IdStack;
}

interface Sweep {
  readonly peer: number;
  readonly families: (4 | 6)[];
  readonly visit: (rib: Rib, row: number) => void;
  readonly done: (() => void) | undefined;
  from: number;
  over: boolean;
}

/** Costs by next hop id, -1 unreachable; each next hop is asked for once. */
function nextHopCosts(
  store: AttributeStore,
  cost: (nextHop: string) => number | undefined,
): (nextHop: number) => number {
  // An id given to another next hop later is told apart by its key.
  const known: (readonly [key: string, cost: number] | undefined)[] = [];
  return (id) => {
    const key = store.nextHops[id]?.key ?? '';
    const before = known[id];
    if (before?.[0] === key) return before[1];
    const bytes = Uint8Array.from(key, (char) => char.charCodeAt(0));
    const value =
      bytes.length < 4 ? 0 : cost(formatAddress(addressFromBytes(bytes.subarray(0, bytes.length === 4 ? 4 : 16))));
    const asked = value === undefined ? -1 : Math.max(0, value);
    known[id] = [key, asked];
    return asked;
  };
}

/** Makes the shared part. */
export function createCore(
  config: SpeakerConfig,
  clock: Clock,
  emit: (event: Omit<SpeakerEvent, 'time'>) => void,
): Core {
  const routerId = quad(config.routerId);
  const clusterId = config.clusterId === undefined ? routerId : quad(config.clusterId);
  const store = createAttributeStore({
    ownAs: config.asn,
    ownClusterId: clusterId,
    routerId,
    allowOwnAs: config.allowOwnAs ?? 0,
  });
  const peers: (RibPeer | undefined)[] = [{ index: 0, kind: 'local', routerId, addressKey: '' }];
  const rib4 = createRib(4, store, peers);
  const rib6 = createRib(6, store, peers);
  const ribs = [rib4, rib6] as const;
  const exports = createExports();
  const routes = createRouteStream(ribs, config.multipath ?? {});
  const idle = new Map<Rib, Idle>([
    [rib4, { flags: new Uint8Array(1024), list: createIdStack(), kept: createIdStack() }],
    [rib6, { flags: new Uint8Array(1024), list: createIdStack(), kept: createIdStack() }],
  ]);
  let recheck: (() => void) | undefined;
  let aggregates: readonly [Aggregates?, Aggregates?] = [];
  const sweeps: Sweep[] = [];
  let scheduled = false;
  let spent = 0;
  const paused = new Set<{ resume(): void }>();
  const unheard = new Set<{ resume(): void }>();

  for (const rib of ribs) {
    rib.alwaysCompareMed = config.alwaysCompareMed ?? false;
    const waiting = idle.get(rib)!;
    rib.onChange = (prefix, bestChanged) => {
      aggregates[rib === rib4 ? 0 : 1]?.note(prefix);
      exports.mark(rib, prefix, bestChanged);
      if (routes.active) routes.mark(rib, prefix);
      if (rib.head[prefix] !== -1) return;
      if (prefix >= waiting.flags.length)
        waiting.flags = growUint8(waiting.flags, capacityFor(waiting.flags.length, rib.prefixes.size));
      if (waiting.flags[prefix] === 1) return;
      waiting.flags[prefix] = 1;
      pushId(waiting.list, prefix);
    };
  }

  /** Frees prefixes that nobody has a path to, once everybody has been told; returns whether there is more to do now. */
  const collect = (): boolean => {
    let more = false;
    let left = 0;
    for (const [rib, waiting] of idle) {
      const needed = exports.needed(rib);
      for (let budget = COLLECT_SLICE; budget > 0 && waiting.list.count > 0; budget--) {
        const prefix = popId(waiting.list);
        if (rib.head[prefix] === -1 && (needed(prefix) || (routes.active && routes.needs(rib, prefix)))) {
          pushId(waiting.kept, prefix);
          continue;
        }
        waiting.flags[prefix] = 0;
        if (rib.head[prefix] === -1) forgetPrefix(rib, prefix);
      }
      if (waiting.list.count > 0) {
        more = true;
        continue;
      }
      [waiting.list, waiting.kept] = [waiting.kept, waiting.list];
      left += waiting.list.count;
    }
    if (!more && left > 0) collectLater(1000);
    return more;
  };

  const collectLater = (ms: number): void => {
    recheck ??= clock.after(ms, () => {
      recheck = undefined;
      schedule();
    });
  };

  /** Whether to leave prefixes to be freed when there is less to do: whoever withdraws much is told on first. */
  const postpone = (): boolean => {
    let count = 0;
    for (const { list } of idle.values()) count += list.count;
    if (spent === 0 || count === 0 || count > COLLECT_LIMIT) return false;
    collectLater(20);
    return true;
  };

  const runSweep = (sweep: Sweep, budget: number): void => {
    const family = sweep.families[0];
    if (family === undefined || sweep.over) return;
    const rib = family === 4 ? rib4 : rib6;
    sweep.from = sweepRows(rib, sweep.peer, sweep.from, budget, (row) => sweep.visit(rib, row));
    if (sweep.from >= 0) return;
    sweep.from = 0;
    sweep.families.shift();
    if (sweep.families.length === 0) {
      sweep.over = true;
      sweep.done?.();
    }
  };

  /** Says whether so many milliseconds have passed since it was made. */
  const within = (ms: number): (() => boolean) => {
    const end = clock.now() + ms;
    return () => clock.now() >= end;
  };

  const turn = (): void => {
    scheduled = false;
    let more = false;
    let late = within(SWEEP_MS);
    for (let round = 0; round < SWEEP_ROUNDS && sweeps.some(({ over }) => !over) && !late(); round++)
      for (const sweep of sweeps) runSweep(sweep, SWEEP_SLICE);
    for (let index = sweeps.length - 1; index >= 0; index--) if (sweeps[index]!.over) sweeps.splice(index, 1);
    if (sweeps.length > 0) more = true;
    for (const one of aggregates) one?.work();
    if ((!core.deferring || aggregates.length === 0) && exports.work(clock.now, EXPORT_MS)) more = true;
    if (!core.deferring) {
      routes.publish();
      if (!more && !postpone()) {
        late = within(COLLECT_MS);
        more = true;
        for (let round = 0; more && round < COLLECT_ROUNDS && !late(); round++) more = collect();
      }
    }
    spent = 0;
    const stopped = new Set([...unheard, ...paused]);
    unheard.clear();
    paused.clear();
    for (const source of stopped) source.resume();
    if (more) schedule();
  };

  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    clock.soon(turn);
  };

  const core: Core = {
    asn: config.asn,
    routerId,
    clusterId,
    clock,
    store,
    peers,
    ribs,
    intake: createIntake(store, rib4, rib6),
    exports,
    routes,
    bfd: createBfdMonitor(),
    ribOf: (family) => (family === 4 ? rib4 : rib6),
    setAggregates(list) {
      const before = aggregates;
      aggregates = [];
      for (const one of before) one?.close();
      const origin = { asn: config.asn, routerId: config.routerId };
      if (list.length > 0) aggregates = [createAggregates(rib4, list, origin), createAggregates(rib6, list, origin)];
      schedule();
    },
    schedule,
    spend(ms, source) {
      spent += ms;
      schedule();
      if (spent < INPUT_MS) return;
      source.pause();
      (ms > 0 ? paused : unheard).add(source);
    },
    sweep(peer, families, visit, done) {
      const sweep: Sweep = { peer, families: [...families], visit, done, from: 0, over: families.length === 0 };
      if (sweep.over) done?.();
      else {
        sweeps.push(sweep);
        schedule();
      }
      return () => {
        while (!sweep.over) runSweep(sweep, SWEEP_SLICE);
      };
    },
    setNextHopCosts(cost) {
      for (const rib of ribs) {
        const before = rib.metrics;
        rib.metrics = cost === undefined ? undefined : nextHopCosts(store, cost);
        if (before === undefined && rib.metrics === undefined) continue;
        for (let prefix = 0; prefix < rib.prefixes.size; prefix++)
          if (rib.head[prefix]! >= 0) settle(rib, prefix, false);
      }
      schedule();
    },
    newIndex() {
      for (let index = 1; index < 65_536; index++) if (peers[index] === undefined) return index;
      return -1;
    },
    emit,
    monitors: new Set(),
    get deferring() {
      return rib4.deferring;
    },
    set deferring(on) {
      if (rib4.deferring && !on) for (const group of exports.groups) group.markAll();
      rib4.deferring = rib6.deferring = on;
    },
  };
  return core;
}
