/**
 * The DSR state machine: first the pod's namespace, then the real server. Every local pod that is to answer for a VIP goes
 * wanted → (found, prepared) → ready; only then does the compiler let it into the virtual server, so no early SYN is lost.
 * What is wanted no longer is taken out of the pod again. A pod that cannot be prepared is an issue of its own, tried again.
 */
import type { Clock } from '../../kernel/clock.ts';
import { systemClock } from '../../kernel/clock.ts';
import type { Runner } from '../../kernel/types.ts';
import type { Issue } from '../../net/values.ts';
import type { DsrPod } from '../compile/service.ts';
import { parsePodNet, podCommands } from './render.ts';

/** Options of {@link createDsrPods}. */
export interface DsrPodsOptions {
  readonly runner: Runner;
  /** Path of a pod's network namespace; undefined while it has none. */
  readonly findNetns: (pod: string, address: string) => Promise<string | undefined>;
  /** Called when a pod became ready or is ready no more; the compiler's `touchPod` belongs here. */
  readonly onChange: (pod: string) => void;
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
  wanted: Set<string>;
  ready: Set<string>;
  /** Where it was prepared; a pod that is gone took its namespace along. */
  netns?: string;
  problem?: string;
  tries: number;
  cancel?: () => void;
}

/** Makes {@link DsrPods}. */
export function createDsrPods(options: DsrPodsOptions): DsrPods {
  const { runner, clock = systemClock } = options;
  const states = new Map<string, PodState>();
  let tail: Promise<void> = Promise.resolve();
  let closed = false;

  const work = async (key: string): Promise<void> => {
    const state = states.get(key);
    if (state === undefined || closed) return;
    const before = [...state.ready].sort().join();
    const wanted = new Set(state.wanted);
    try {
      const netns = await options.findNetns(state.pod, state.address);
      if (netns === undefined) {
        if (wanted.size === 0) states.delete(key);
        else throw new Error('its network namespace is not known yet');
      } else {
        const { stdout } = await runner.run({ file: 'ip', args: ['-j', 'addr', 'show'], netns });
        const now = parsePodNet(stdout, state.address);
        if (now === undefined) throw new Error(`no interface of it has ${state.address}`);
        for (const command of podCommands(netns, state.address, now, wanted)) await runner.run(command);
        state.netns = netns;
        if (wanted.size === 0) states.delete(key);
      }
      state.ready = wanted;
      delete state.problem;
      state.tries = 0;
    } catch (error) {
      state.problem = error instanceof Error ? error.message : String(error);
      state.ready = new Set([...state.ready].filter((vip) => wanted.has(vip)));
      // A pod that is leaving takes its namespace along: nothing is left to take away.
      if (wanted.size === 0) states.delete(key);
      else retry(key, state);
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

  return {
    update(wanted) {
      const next = new Map<string, { pod: string; address: string; vips: Set<string> }>();
      for (const { pod, address, vip } of wanted) {
        const key = `${pod} ${address}`;
        const known = next.get(key) ?? { pod, address, vips: new Set<string>() };
        known.vips.add(vip);
        next.set(key, known);
      }
      const changed: string[] = [];
      for (const [key, { pod, address, vips }] of next) {
        const state = states.get(key);
        if (state === undefined) states.set(key, { pod, address, wanted: vips, ready: new Set(), tries: 0 });
        else if ([...vips].sort().join() === [...state.wanted].sort().join()) continue;
        else state.wanted = vips;
        changed.push(key);
      }
      for (const [key, state] of states) {
        if (next.has(key) || state.wanted.size === 0) continue;
        state.wanted = new Set();
        changed.push(key);
      }
      tail = tail.then(async () => {
        await Promise.all(changed.map(work));
      });
      return tail;
    },
    ready: (pod, address, vip) => states.get(`${pod} ${address}`)?.ready.has(vip) ?? false,
    issues: () =>
      [...states.values()].flatMap(({ pod, address, problem }) =>
        problem === undefined
          ? []
          : [
              {
                object: `Pod ${pod}`,
                field: '',
                reason: `DSR does not reach ${address}: ${problem}; it takes no DSR traffic`,
              },
            ],
      ),
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
