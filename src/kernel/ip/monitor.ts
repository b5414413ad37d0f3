/**
 * `ip monitor` as a stream: what changes in links, addresses, routes, rules and neighbours, whoever changes it.
 * Starts with the first subscriber, ends with the last, and starts itself again when it ends; since events can be lost meanwhile (and
 * when the kernel's queue overflows), it then says so with a `lost` event, on which one reads anew.
 * The kernel tells of no IPv4 route that goes because its link goes down: to a reader of routes, a link event is one as well.
 */
import { Observable } from 'rxjs';
import type { BackoffOptions } from '../backoff.ts';
import { backoffDelay } from '../backoff.ts';
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import type { RunningProcess, StreamingRunner } from '../types.ts';

/** What can be watched. */
export type IpMonitorObject = 'link' | 'address' | 'route' | 'rule' | 'neigh';

/** One event. */
export interface IpMonitorEvent {
  /** `lost`: anything may have changed. */
  readonly kind: IpMonitorObject | 'lost';
  /** Whether the object went; otherwise it came or changed. */
  readonly deleted: boolean;
  /** The object as `ip -o` prints it, names as the host has them. */
  readonly text: string;
}

/** Options of {@link watchIp}. */
export interface IpMonitorOptions {
  readonly runner: StreamingRunner;
  /** @defaultValue links, addresses, routes and rules */
  readonly objects?: readonly IpMonitorObject[];
  /** @defaultValue the runner's own network namespace */
  readonly netns?: string;
  /** Pauses between its restarts. */
  readonly backoff?: BackoffOptions;
  /** @defaultValue the machine's clock */
  readonly clock?: Clock;
}

const KINDS: Readonly<Record<string, IpMonitorObject>> = {
  LINK: 'link',
  ADDR: 'address',
  ROUTE: 'route',
  RULE: 'rule',
  NEIGH: 'neigh',
};

/** Reads one line of `ip -o monitor label`; `undefined` for what is none of the objects. */
export function parseIpMonitorLine(line: string): IpMonitorEvent | undefined {
  const match = /^\[([A-Z]+)\](Deleted )?(.*)$/.exec(line);
  const kind = KINDS[match?.[1] ?? ''];
  if (match === null || kind === undefined) return undefined;
  return { kind, deleted: match[2] !== undefined, text: match[3]!.trim() };
}

/** Watches the kernel; each subscription has a process of its own. Never errors, never completes. */
export function watchIp(options: IpMonitorOptions): Observable<IpMonitorEvent> {
  const { runner, objects = ['link', 'address', 'route', 'rule'], backoff } = options;
  const clock = options.clock ?? systemClock;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  return new Observable((subscriber) => {
    let process: RunningProcess | undefined;
    let cancel: (() => void) | undefined;
    let attempt = 0;
    let rest = '';
    const lost = (text: string): void => subscriber.next({ kind: 'lost', deleted: false, text });

    const begin = async (): Promise<void> => {
      let why = 'it did not start';
      try {
        process = await runner.start(
          { file: 'ip', args: ['-o', 'monitor', 'label', ...objects], ...place },
          {
            onStdout(text) {
              const lines = (rest + text).split('\n');
              rest = lines.pop() ?? '';
              attempt = 0;
              for (const line of lines) {
                const event = parseIpMonitorLine(line);
                if (event !== undefined) subscriber.next(event);
              }
            },
            // "netlink receive error No buffer space available": the kernel dropped events.
            onStderr: (text) => lost(text.trim()),
          },
        );
        if (subscriber.closed) {
          await process.close();
          return;
        }
        // Whatever happened before it listened is not told: the subscriber reads once behind this.
        lost('it begins to listen');
        why = (await process.exited).stderr.trim() || 'it ended';
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
      rest = '';
      if (subscriber.closed) return;
      lost(why);
      cancel = clock.after(backoffDelay(attempt++, backoff), () => void begin());
    };
    void begin();
    return () => {
      cancel?.();
      void process?.close();
    };
  });
}
