/**
 * Refused flows as they happen, each with its explanation: packets that class chains send to an NFLOG group (at most ten a minute
 * of each class), read by tcpdump, because no socket of Node's reads netlink. It restarts itself when it ends.
 */
import { Observable } from 'rxjs';
import type { RunningProcess, StreamingRunner } from '../kernel/types.ts';
import { textFamily } from '../net/address.ts';
import { evaluate } from './evaluate.ts';
import type { PolicyModel, Verdict } from './evaluate.ts';
import type { Direction, FirewallState } from './model/types.ts';
import { createNflogReader } from './parse/nflog.ts';
import type { RefusedPacket } from './parse/nflog.ts';

/** A refused packet and why. */
export interface Denial extends RefusedPacket {
  readonly direction: Direction;
  /** `namespace/name` of the policies that select the pod; the first alone when the class is gone meanwhile. */
  readonly policies: readonly string[];
  /** What the evaluator says of the same flow now; absent without a model. */
  readonly verdict?: Verdict;
}

/** Options of {@link watchDenials}. */
export interface DenialOptions {
  readonly runner: StreamingRunner;
  /** Network namespace path. @defaultValue the runner's own */
  readonly netns?: string;
  /** NFLOG group of the target. @defaultValue 100 */
  readonly logGroup?: number;
  /** The compiled state, to name all policies of a class. @defaultValue the first policy only, from the log prefix */
  readonly state?: () => FirewallState;
  /** Objects for the explanation. @defaultValue none */
  readonly model?: () => PolicyModel;
  /** Milliseconds before a reader that ended is started again. @defaultValue 5000 */
  readonly restartMs?: number;
}

function explain(packet: RefusedPacket, options: DenialOptions): Denial | undefined {
  const [direction, id = '', first] = packet.prefix.split(' ');
  if (direction !== 'ingress' && direction !== 'egress') return undefined;
  const family = textFamily(packet.source);
  const chain = options.state?.().families[family].chains.get(`KUBE-NWPLCY-${id}`);
  // Where a rule refuses, it is that of one policy; else all that select the pod do.
  const known = chain?.kind === 'class' && chain.otherwise === 'deny' ? chain.policies : undefined;
  const policies = known ?? (first === undefined ? [] : [first]);
  const model = options.model?.();
  const { source, destination, protocol, port = 0 } = packet;
  const verdict = model === undefined ? undefined : evaluate(model, { source, destination, protocol, port });
  return { ...packet, direction, policies, ...(verdict === undefined ? {} : { verdict }) };
}

/**
 * Watches refused flows; each subscription has a process of its own. Errors when tcpdump is not installed, never completes.
 *
 * @example
 * ```ts
 * import { watchDenials } from 'kube-router-sdk/firewall';
 * import { createRecordingRunner } from 'kube-router-sdk/testing';
 *
 * const runner = createRecordingRunner(); // in an agent: createRunner()
 * const watching = watchDenials({ runner }).subscribe(({ source, destination, port, policies }) => {
 *   console.log(`${source} may not reach ${destination}:${port}, says ${policies.join(', ')}`);
 * });
 * watching.unsubscribe();
 * ```
 */
export function watchDenials(options: DenialOptions): Observable<Denial> {
  const { runner, netns, logGroup = 100, restartMs = 5000 } = options;
  return new Observable((subscriber) => {
    const abort = new AbortController();
    let running: RunningProcess | undefined;
    let timer: NodeJS.Timeout | undefined;
    const begin = async (): Promise<void> => {
      const read = createNflogReader();
      let rest = '';
      const onStdout = (text: string): void => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const packet = read(line);
          const denial = packet === undefined ? undefined : explain(packet, options);
          if (denial !== undefined) subscriber.next(denial);
        }
      };
      // No smaller snapshot: libpcap reads what the kernel gathered of a second into a buffer of that size, and what did not fit comes
      // out as zeros.
      const args = ['-nlxx', '-i', `nflog:${logGroup}`];
      const command = { file: 'tcpdump', args, ...(netns === undefined ? {} : { netns }) };
      running = await runner.start(command, { onStdout, signal: abort.signal });
      await running.exited;
      if (!abort.signal.aborted) timer = setTimeout(run, restartMs).unref();
    };
    const run = (): void => {
      begin().catch((error: unknown) => {
        if (!abort.signal.aborted) subscriber.error(error);
      });
    };
    run();
    return () => {
      abort.abort();
      clearTimeout(timer);
      void running?.close();
    };
  });
}
