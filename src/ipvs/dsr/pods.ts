/**
 * The DSR state machine: first the pod's namespace, then the real server. Every local pod that is to answer for a VIP goes
 * wanted → (found, prepared) → ready; only then does the compiler let it into the virtual server, so no early SYN is lost.
 * What is wanted no longer is taken out of the pod again, after a restart and by cleanup too: what was done to which pod is in
 * the ownership record before it is done. A pod that cannot be prepared is an issue of its own, tried again.
 */
import type { Clock } from '../../kernel/clock.ts';
import { systemClock } from '../../kernel/clock.ts';
import type { BlockOwnership } from '../../kernel/ownership.ts';
import type { Runner } from '../../kernel/types.ts';
import type { Issue } from '../../net/values.ts';
import type { DsrPod } from '../compile/service.ts';
import { forgottenPods, releasePod } from './record.ts';
import type { PodRecord } from './record.ts';
import { fouShow, parsePodNet, parseRpFilter, podCommands, rpFilterCommand } from './render.ts';

/** Options of {@link createDsrPods}. */
export interface DsrPodsOptions {
  readonly runner: Runner;
  /** Path of a pod's network namespace; undefined while it has none. */
  readonly findNetns: (pod: string, address: string) => Promise<string | undefined>;
  /** Called when a pod became ready or is ready no more; the compiler's `touchPod` belongs here. */
  readonly onChange: (pod: string) => void;
  /** The service proxy's part of the ownership record; without it a restart forgets which pods were prepared. @defaultValue none */
  readonly owned?: BlockOwnership;
  /** Milliseconds until a pod that could not be prepared is tried again; doubled each time up to 30 s. @defaultValue 500 */
  readonly retryMs?: number;
  /** @defaultValue the machine's */
  readonly clock?: Clock;
}

/** Pods under DSR. */
export interface DsrPods extends AsyncDisposable {
  /** Takes the full set of what is wanted. Resolves when everything was tried once. */
  update(wanted: Iterable<DsrPod>): Promise<void>;
  /** Whether a pod answers for a VIP: the compiler's `dsrReady`. */
  ready(pod: string, address: string, vip: string): boolean;
  /** Pods that cannot be prepared at the moment. */
  issues(): Issue[];
  /** Ends retries; pods keep what they have. */
  close(): Promise<void>;
}

interface PodState {
  readonly pod: string;
  readonly address: string;
  wanted: string;
  vips: ReadonlySet<string>;
  fou: boolean;
  ready: ReadonlySet<string>;
  problem?: string;
  tries: number;
  cancel?: () => void;
}

const NONE: ReadonlySet<string> = new Set();

/** Makes {@link DsrPods}. */
export function createDsrPods(options: DsrPodsOptions): DsrPods {
  const { runner, owned, clock = systemClock } = options;
  const states = new Map<string, PodState>();
  let tail: Promise<void> = Promise.resolve();
  let closed = false;
  /** What an earlier run prepared and nobody has asked for yet. */
  let leftovers = forgottenPods(owned);
  /** What was done to which pod; the ownership record, where there is one, keeps it over a restart. */
  const records = new Map(leftovers);
  const remember = async (key: string, record: PodRecord): Promise<void> => {
    records.set(key, record);
    await owned?.add([[`dsr/${key}`, JSON.stringify(record)]]);
  };
  const forget = async (key: string): Promise<void> => {
    records.delete(key);
    await owned?.remove([`dsr/${key}`]);
  };

  /** Brings the pod to its VIPs; throws the reason when that cannot be. */
  const prepare = async ({ pod, address, fou }: PodState, vips: ReadonlySet<string>): Promise<void> => {
    const netns = await options.findNetns(pod, address);
    if (netns === undefined) throw new Error('its network namespace is not known yet');
    const { stdout } = await runner.run({ file: 'ip', args: ['-j', 'addr', 'show'], netns });
    const known = records.get(`${pod} ${address}`);
    const asksFou = fou || known?.fou === true;
    const listeners = asksFou ? (await runner.run(fouShow(netns, address))).stdout : '';
    const now = parsePodNet(stdout, address, listeners);
    if (now === undefined) throw new Error(`no interface of it has ${address}`);
    const commands = podCommands(netns, address, now, { vips, fou });
    if (commands.length > 0) {
      const asked = now.tunnel ? undefined : rpFilterCommand(netns, address, now.device);
      const rpFilter = asked === undefined ? {} : parseRpFilter((await runner.run(asked)).stdout);
      const before = known?.netns === netns ? known.rpFilter : rpFilter;
      const record: PodRecord = { netns, vips: [...vips].sort(), rpFilter: before, ...(fou ? { fou } : {}) };
      await remember(`${pod} ${address}`, record);
    }
    for (const command of commands) await runner.run(command);
  };

  const work = async (key: string): Promise<void> => {
    const state = states.get(key);
    if (state === undefined || closed) return;
    const { vips } = state;
    const before = [...state.ready].sort().join();
    try {
      if (vips.size === 0) {
        const record = records.get(key);
        const place = record?.netns ?? (await options.findNetns(state.pod, state.address));
        if (place !== undefined) await releasePod(runner, state.address, record ?? { netns: place, rpFilter: {} });
        await forget(key);
      } else await prepare(state, vips);
      state.ready = vips;
      delete state.problem;
      state.tries = 0;
    } catch (error) {
      state.problem = error instanceof Error ? error.message : String(error);
      state.ready = new Set([...state.ready].filter((vip) => vips.has(vip)));
      if (vips.size > 0) retry(key, state);
    }
    // A pod that is leaving takes its namespace along: nothing is left to take away.
    if (vips.size === 0 && state.vips === vips) {
      states.delete(key);
      await forget(key);
    }
    if ([...state.ready].sort().join() !== before) options.onChange(state.pod);
  };

  const retry = (key: string, state: PodState): void => {
    const delay = Math.min((options.retryMs ?? 500) * 2 ** state.tries++, 30_000);
    state.cancel?.();
    state.cancel = clock.after(delay, () => {
      tail = tail.then(() => work(key));
    });
  };

  /** VIPs that an earlier run prepared: the pod answers for them until something else is seen, so a restart takes no traffic away. */
  const readyBefore = (key: string): ReadonlySet<string> => new Set(leftovers.get(key)?.vips ?? []);

  /** Takes up what an earlier run prepared: what nobody wants any more is released like the rest. */
  const adopt = (): void => {
    for (const key of leftovers.keys()) {
      const [pod = '', address = ''] = key.split(' ');
      states.set(key, { pod, address, wanted: '?', vips: NONE, fou: false, ready: readyBefore(key), tries: 0 });
    }
    leftovers = new Map();
  };

  return {
    update(wanted) {
      adopt();
      const next = new Map<string, { pod: string; address: string; uid: string; vips: Set<string>; fou: boolean }>();
      for (const { pod, address, vip, fou = false, uid = '' } of wanted) {
        const key = `${pod} ${address}`;
        const known = next.get(key) ?? { pod, address, uid, vips: new Set<string>(), fou };
        known.vips.add(vip);
        known.fou ||= fou;
        next.set(key, known);
      }
      const changed: string[] = [];
      for (const [key, { pod, address, uid, vips, fou }] of next) {
        const text = [uid, fou, ...[...vips].sort()].join(' ');
        const state = states.get(key);
        if (state === undefined) states.set(key, { pod, address, wanted: text, vips, fou, ready: NONE, tries: 0 });
        else if (text === state.wanted) continue;
        else Object.assign(state, { wanted: text, vips, fou });
        changed.push(key);
      }
      for (const [key, state] of states) {
        if (next.has(key) || state.wanted === '') continue;
        state.cancel?.();
        Object.assign(state, { wanted: '', vips: NONE });
        changed.push(key);
      }
      tail = tail.then(async () => {
        await Promise.all(changed.map(work));
      });
      return tail;
    },
    ready(pod, address, vip) {
      const key = `${pod} ${address}`;
      return (states.get(key)?.ready ?? readyBefore(key)).has(vip);
    },
    issues: () =>
      [...states.values()].flatMap(({ pod, address, problem }) => {
        if (problem === undefined) return [];
        const reason = `DSR does not reach ${address}: ${problem}; it takes no DSR traffic`;
        return [{ object: `Pod ${pod}`, field: '', reason }];
      }),
    async close() {
      closed = true;
      for (const state of states.values()) state.cancel?.();
      await tail;
    },
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}
