/**
 * Notices within milliseconds when someone or something takes our routes away: `ip monitor`, kept running, its lines judged
 * against what the target knows the kernel to hold. What comes out goes into `reconcile()` as `drift$`.
 */
import { Observable } from 'rxjs';
import type { RunningProcess, StreamingRunner } from '../kernel/types.ts';
import { createMonitorJudge } from './parse/monitor.ts';
import type { RoutingPart, RoutingTarget } from './target.ts';

/** What was noticed. */
export interface RoutingDrift {
  /** Parts that the target was told to read again. */
  readonly parts: readonly RoutingPart[];
  /** Addresses or links of the node changed: `readUnderlay` again. */
  readonly underlay: boolean;
  /** The line that told. */
  readonly line: string;
}

/** Options of {@link watchRouting}. */
export interface WatchOptions {
  readonly runner: StreamingRunner;
  /** Knows what the kernel should hold, and is told which parts to read again. */
  readonly target: Pick<RoutingTarget, 'known' | 'busy' | 'suspect'>;
  /** Milliseconds until a monitor that ended is started again. @defaultValue 1000 */
  readonly restartMs?: number;
}

/** Milliseconds between looks at whether the target is still writing. */
const BUSY_POLL_MS = 5;

/** Watches for drift while subscribed. Never errors: a monitor that ends is started again, and its gap counts as drift. */
export function watchRouting(options: WatchOptions): Observable<RoutingDrift> {
  const { target } = options;
  return new Observable<RoutingDrift>((subscriber) => {
    const abort = new AbortController();
    let process: RunningProcess | undefined;
    let timer: NodeJS.Timeout | undefined;
    let waiting: NodeJS.Timeout | undefined;
    let pending: string[] = [];
    let rest = '';
    let judge = createMonitorJudge();

    const drain = (): void => {
      waiting = undefined;
      if (target.busy()) {
        waiting = setTimeout(drain, BUSY_POLL_MS);
        return;
      }
      const lines = pending;
      pending = [];
      const parts = new Set<RoutingPart>();
      let underlay = false;
      let told: string | undefined;
      for (const line of lines) {
        const verdict = judge.judge(line, target.known());
        if (verdict.parts.length === 0 && !verdict.underlay) continue;
        verdict.parts.forEach((part) => parts.add(part));
        underlay ||= verdict.underlay;
        told ??= line;
      }
      if (told === undefined) return;
      target.suspect(parts);
      subscriber.next({ parts: [...parts], underlay, line: told });
    };
    const take = (text: string): void => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      pending.push(...lines.filter((line) => line !== ''));
      waiting ??= setTimeout(drain, 1);
    };
    const start = async (restarted: boolean): Promise<void> => {
      rest = '';
      judge = createMonitorJudge();
      try {
        process = await options.runner.start(
          { file: 'ip', args: ['-o', 'monitor', 'label', 'route', 'link', 'address', 'rule'] },
          { onStdout: take, signal: abort.signal },
        );
        // What happened while nobody watched is not known.
        if (restarted) subscriber.next({ parts: [], underlay: true, line: '' });
        await process.exited;
      } catch {
        // Not to be had now (no such program, too many processes): tried again below.
      }
      if (!abort.signal.aborted) timer = setTimeout(() => void start(true), options.restartMs ?? 1000);
    };
    void start(false);
    return () => {
      abort.abort();
      clearTimeout(timer);
      clearTimeout(waiting);
      void process?.close();
    };
  });
}
