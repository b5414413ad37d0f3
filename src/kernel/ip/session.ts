/**
 * An `ip -batch -` kept open: a change of one route costs a write and a read instead of a process.
 * A line that was refused is tried once more in a fresh process before it counts as failed, for a long-lived ip remembers the index of
 * a device that has meanwhile been made anew; a process that ended is replaced, and goes on behind the line that ended it.
 */
import { SdkError } from '../../net/errors.ts';
import { classifyFailure } from '../failing-line.ts';
import type { CallOptions } from '../ipset/driver.ts';
import type { ApplyFailure, RunningProcess, StreamingRunner } from '../types.ts';
import type { LineResult } from './batch.ts';
import { createBatchReader, frameBatch, splitFamilies } from './batch.ts';

/** Options of {@link createIpSession}. */
export interface IpSessionOptions {
  readonly runner: StreamingRunner;
  /** @defaultValue the runner's own network namespace */
  readonly netns?: string;
  /** Milliseconds without a sign of life after which the process is replaced. @defaultValue 10000 */
  readonly timeoutMs?: number;
}

/** A kept-open `ip`. */
export interface IpSession extends AsyncDisposable {
  /**
   * Runs lines in order; each that is refused is one failure, named by its text, and the others go on. Calls queue.
   * @throws SdkError `ABORTED` | `COMMAND_NOT_FOUND` | `COMMAND_TIMEOUT`
   */
  run(lines: readonly string[], options?: CallOptions): Promise<readonly ApplyFailure[]>;
  /** Ends the processes that are kept open; a later call fails with `ABORTED`. */
  close(): Promise<void>;
}

/** Lines that are under way at once: enough to keep ip busy, few enough to know soon where it stopped. */
const WINDOW = 512;

interface Live {
  readonly process: RunningProcess;
  /** Lines that it has been given in all. */
  given: number;
}

/** Makes a session of one process, with the family that its lines have. */
function createSingle(options: IpSessionOptions, family: readonly string[]): IpSession {
  const { runner, timeoutMs = 10_000 } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  let live: Live | undefined;
  let listener: ((result: LineResult) => void) | undefined;
  let ended: (() => void) | undefined;
  let tail = (): string => '';
  let closed = false;
  let queue: Promise<unknown> = Promise.resolve();

  async function open(): Promise<Live> {
    const reader = createBatchReader();
    tail = () => reader.tail;
    const process = await runner.start(
      { file: 'ip', args: [...family, '-force', '-batch', '-'], ...place },
      { onStderr: (text) => reader.push(text).forEach((result) => listener?.(result)) },
    );
    const opened: Live = { process, given: 0 };
    void process.exited.then(() => {
      if (live !== opened) return;
      live = undefined;
      ended?.();
    });
    return opened;
  }

  async function drop(): Promise<void> {
    const gone = live;
    live = undefined;
    await gone?.process.close();
  }

  /** Sends lines until all have a result, the process ends, or it falls silent; returns how many have one. */
  async function send(
    lines: readonly string[],
    results: (string | undefined)[],
  ): Promise<{ readonly done: number; readonly reason?: string }> {
    live ??= await open();
    const { process, given } = live;
    live.given += lines.length;
    return new Promise((resolve) => {
      let done = 0;
      let timer: NodeJS.Timeout | undefined;
      const finish = (reason?: string): void => {
        clearTimeout(timer);
        listener = undefined;
        ended = undefined;
        resolve(reason === undefined ? { done } : { done, reason });
      };
      const wait = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => finish('timeout'), timeoutMs);
      };
      listener = ({ index, message }) => {
        results[index - given] = message;
        done = index - given + 1;
        wait();
        if (done === lines.length) finish();
      };
      ended = () => finish(tail() === '' ? 'ended' : tail());
      wait();
      process.write(frameBatch(lines)).catch(() => undefined); // its end says why
    });
  }

  /** One pass over lines; returns the message of each that was refused. */
  async function attempt(lines: readonly string[], signal: AbortSignal | undefined): Promise<Map<number, string>> {
    const refused = new Map<number, string>();
    let at = 0;
    let silent = 0;
    while (at < lines.length) {
      if (signal?.aborted === true || closed) {
        throw new SdkError('ended before all lines were run', { code: 'ABORTED' });
      }
      const part = lines.slice(at, at + WINDOW);
      const results: (string | undefined)[] = [];
      const { done, reason } = await send(part, results);
      results.forEach((message, index) => message !== undefined && refused.set(at + index, message));
      at += done;
      silent = done > 0 ? 0 : silent;
      if (reason === 'timeout') {
        await drop();
        throw new SdkError(`ip gave no answer for ${timeoutMs} ms`, { code: 'COMMAND_TIMEOUT', retryable: true });
      }
      if (reason === undefined) continue;
      // It ended at the line behind the last receipt. Without a word it was ended from outside: the line gets another chance.
      if (reason.startsWith('nsenter: '))
        throw new SdkError(reason, { code: 'COMMAND_FAILED', details: { file: 'ip', reason } });
      if (reason === 'ended' && silent++ < 1) continue;
      if (at < lines.length) refused.set(at, reason);
      at++;
      silent = 0;
    }
    return refused;
  }

  async function run(lines: readonly string[], signal: AbortSignal | undefined): Promise<ApplyFailure[]> {
    const first = await attempt(lines, signal);
    if (first.size === 0) return [];
    await drop();
    const again = [...first.keys()];
    const second = await attempt(
      again.map((index) => lines[index]!),
      signal,
    );
    return [...second].map(([order, message]) => {
      const item = lines[again[order]!]!;
      const details = { file: 'ip', line: item, stderr: message };
      return { item, error: new SdkError(`ip ${item}: ${message}`, { code: classifyFailure(message), details }) };
    });
  }

  return {
    run(lines, { signal } = {}) {
      if (closed) return Promise.reject(new SdkError('the session was closed', { code: 'ABORTED' }));
      if (lines.length === 0) return Promise.resolve([]);
      const turn = queue.then(() => run(lines, signal));
      queue = turn.catch(() => undefined);
      return turn;
    },
    async close() {
      closed = true;
      await drop();
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      await drop();
    },
  };
}

/** Makes an {@link IpSession}; its process starts with the first lines, and that for IPv6 rules with the first of those. */
export function createIpSession(options: IpSessionOptions): IpSession {
  const single = createSingle(options, []);
  const six = createSingle(options, ['-6']);
  const close = async (): Promise<void> => {
    await Promise.all([single.close(), six.close()]);
  };
  return {
    async run(lines, call = {}) {
      const failures: ApplyFailure[] = [];
      for (const [family, part] of splitFamilies(lines)) {
        failures.push(...(await (family.length === 0 ? single : six).run(part, call)));
      }
      return failures;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
