/**
 * The one door to the kernel: runs system tools as child processes and turns whatever goes wrong into one kind of error.
 * Nothing else in the package spawns. It fixes the language (LC_ALL=C) that the parsers expect, the folders that programs come
 * from, time and output limits, how many run at once, and the network namespace; a failed batch names its line.
 * execa is loaded with the first command, so that importing this package stays cheap.
 */
import { accessSync, constants } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { Options } from 'execa';
import type { Observable } from 'rxjs';
import { Subject } from 'rxjs';
import { SdkError } from '../net/errors.ts';
import { STDERR_LIMIT, aborted, describe, failure } from './command-error.ts';
import { runDirectly } from './direct.ts';
import type { Lane, LaneLimits, LaneResult } from './lane.ts';
import { fits, openLane } from './lane.ts';
import type { Command, CommandResult, RunningProcess, StartOptions, StreamingRunner } from './types.ts';

/** Options of {@link createRunner}. */
export interface RunnerOptions {
  /** Network namespace of every command that names none, a path such as `/run/netns/node-1`. @defaultValue the caller's own */
  readonly netns?: string;
  /** How many children run at once; more wait their turn. @defaultValue 4 */
  readonly concurrency?: number;
  /** Milliseconds until a command is killed that sets no limit of its own. @defaultValue 30000 */
  readonly timeoutMs?: number;
  /** Milliseconds from SIGTERM to SIGKILL. @defaultValue 2000 */
  readonly forceKillAfterMs?: number;
  /** Most bytes that a command may print. @defaultValue 268435456 */
  readonly maxBufferBytes?: number;
  /** Folders that programs are looked up in. @defaultValue the system's `sbin` and `bin` folders */
  readonly searchPath?: readonly string[];
}

/** One finished command, for an audit log. */
export interface CommandRecord {
  readonly command: Command;
  /** Epoch milliseconds. */
  readonly startedAt: number;
  /** Milliseconds from start to end. */
  readonly durationMs: number;
  /** Absent when it never ran or was killed. */
  readonly exitCode?: number;
  readonly error?: SdkError;
}

/** A runner that spawns, with a record of everything that it ran. */
export interface SystemRunner extends StreamingRunner {
  /** One record a command when it ends, in the order of their ends; never errors. */
  readonly commands$: Observable<CommandRecord>;
}

const SEARCH_PATH = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/local/bin'];

/** Lets so many in at once; the others wait in order. */
function createGate(width: number): (signal?: AbortSignal) => Promise<() => void> {
  let inside = 0;
  const waiting: (() => void)[] = [];
  const leave = (): void => {
    const next = waiting.shift();
    if (next === undefined) inside--;
    else next();
  };
  return async (signal) => {
    if (inside < width) inside++;
    else {
      await new Promise<void>((resolve, reject) => {
        const enter = (): void => {
          signal?.removeEventListener('abort', abort);
          resolve();
        };
        const abort = (): void => {
          waiting.splice(waiting.indexOf(enter), 1);
          reject(aborted());
        };
        waiting.push(enter);
        signal?.addEventListener('abort', abort, { once: true });
      });
    }
    return leave;
  };
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** Makes the {@link SystemRunner} of this machine. */
export function createRunner(options: RunnerOptions = {}): SystemRunner {
  const searchPath = options.searchPath ?? SEARCH_PATH;
  const found = new Map<string, string>();
  const enter = createGate(options.concurrency ?? 4);
  const records = new Subject<CommandRecord>();
  /** Lanes that wait for a command. */
  const lanes: Lane[] = [];

  function locate(file: string): string {
    const known = found.get(file);
    if (known !== undefined) return known;
    for (const path of file.startsWith('/') ? [file] : searchPath.map((folder) => `${folder}/${file}`)) {
      try {
        accessSync(path, constants.X_OK);
        found.set(file, path);
        return path;
      } catch {
        // not here: the next folder
      }
    }
    throw new SdkError(`${file} is not installed`, { code: 'COMMAND_NOT_FOUND', details: { file, searchPath } });
  }

  /** An image may be without a shell: then everything is a direct child. */
  function locateShell(): string | undefined {
    try {
      return locate('sh');
    } catch {
      return undefined;
    }
  }

  /** The program and arguments to spawn: through nsenter when the command belongs into another network namespace. */
  function resolve(command: Command): readonly [string, readonly string[]] {
    const program = locate(command.file);
    const netns = command.netns ?? options.netns;
    if (netns === undefined) return [program, command.args];
    return [locate('nsenter'), [`--net=${netns}`, '--', program, ...command.args]];
  }

  const common = {
    env: { LC_ALL: 'C', PATH: searchPath.join(':') },
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    forceKillAfterDelay: options.forceKillAfterMs ?? 2000,
  } as const satisfies Options;

  /** By a lane of this place and moment: an idle one, or one more. At most `concurrency` commands run, and so many lanes exist. */
  async function runInLane(
    shell: string,
    argv: readonly string[],
    input: string,
    limits: LaneLimits,
  ): Promise<LaneResult> {
    const lane = lanes.pop() ?? openLane(shell, common.env);
    const result = await lane.run(argv, input, limits);
    if (lane.open) lanes.push(lane);
    return result;
  }

  async function spawn(command: Command, signal: AbortSignal | undefined): Promise<CommandResult> {
    const [program, args] = resolve(command);
    const limits = {
      timeoutMs: command.timeoutMs ?? options.timeoutMs ?? 30_000,
      forceKillAfterMs: common.forceKillAfterDelay,
      maxBufferBytes: options.maxBufferBytes ?? 256 * 1024 * 1024,
      signal,
    };
    const argv = [program, ...args];
    const input = command.input ?? '';
    const begun = performance.now();
    // some shells write here-documents to temporary files, which a secret must never be in
    const shell = command.secret !== true && fits(argv, input) ? locateShell() : undefined;
    const result = await (shell === undefined
      ? runDirectly(argv, command.input, common.env, limits)
      : runInLane(shell, argv, input, limits));
    const { exitCode, stdout, stderr } = result;
    if (result.ended === 'aborted') throw aborted(command);
    if (result.ended === 'timeout') {
      throw new SdkError(`${command.file} was killed after ${limits.timeoutMs} ms`, {
        code: 'COMMAND_TIMEOUT',
        retryable: true,
        details: { ...describe(command), timeoutMs: limits.timeoutMs, stderr: stderr.slice(0, STDERR_LIMIT) },
      });
    }
    if (result.ended === 'overflow') {
      throw new SdkError(`${command.file} printed more than the limit`, {
        code: 'COMMAND_FAILED',
        details: describe(command),
      });
    }
    if (exitCode === undefined) {
      // It never started, or a signal from elsewhere ended it.
      const why = result.why ?? 'did not start';
      const denied = /EACCES|EPERM/.test(why);
      throw new SdkError(`${command.file} ended without an exit code: ${why}`, {
        code: denied ? 'PERMISSION_DENIED' : 'COMMAND_FAILED',
        retryable: !denied,
        cause: result.cause,
        details: { ...describe(command), stderr: stderr.slice(0, STDERR_LIMIT) },
      });
    }
    // A tool that stops reading early breaks the pipe of its input (EPIPE); its exit code says whether that was a failure.
    if (exitCode !== 0 && command.okExitCodes?.includes(exitCode) !== true) throw failure(command, exitCode, stderr);
    return { exitCode, stdout, stderr, durationMs: performance.now() - begun };
  }

  return {
    commands$: records.asObservable(),

    async run(command, { signal } = {}) {
      if (isAborted(signal)) throw aborted(command);
      const leave = await enter(signal);
      const startedAt = Date.now();
      const begun = performance.now();
      const record = (outcome: { exitCode?: number; error?: SdkError }): void => {
        if (!records.observed) return;
        const { input: _input, ...shown } = command;
        records.next({
          command: command.secret === true ? shown : command,
          startedAt,
          durationMs: performance.now() - begun,
          ...outcome,
        });
      };
      try {
        const result = await spawn(command, signal);
        record({ exitCode: result.exitCode });
        return result;
      } catch (cause) {
        const error =
          cause instanceof SdkError
            ? cause
            : new SdkError(`${command.file} could not be run`, { code: 'COMMAND_FAILED', cause });
        const { exitCode } = error.details;
        record({ error, ...(typeof exitCode === 'number' ? { exitCode } : {}) });
        throw error;
      } finally {
        leave();
      }
    },

    async start(command, startOptions = {}) {
      if (isAborted(startOptions.signal)) throw aborted(command);
      const [program, args] = resolve(command);
      const { execa } = await import('execa');
      if (isAborted(startOptions.signal)) throw aborted(command);
      const child = execa(program, args, { ...common, cleanup: false, stdin: 'pipe', buffer: false, encoding: 'utf8' });
      return attach(child, startOptions);
    },
  };
}

/** What of execa's child the long-lived form uses. */
interface Child extends PromiseLike<{ readonly exitCode?: number | undefined }> {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  kill(signal: 'SIGTERM'): boolean;
}

/**
 * How to end the children that stay. A process that exits takes them along. Signals are left to the program: execa's `cleanup` listens
 * to them, and sends one again when the program's own listener, added by `once`, is gone by then; it would die in its farewell.
 */
const staying = new Set<() => void>();
const endStaying = (): void => {
  for (const end of staying) end();
};
function keep(end: () => void): void {
  if (staying.size === 0) process.on('exit', endStaying);
  staying.add(end);
}
function release(end: () => void): void {
  if (staying.delete(end) && staying.size === 0) process.off('exit', endStaying);
}

/** Wraps a child that stays. */
function attach(child: Child, options: StartOptions): RunningProcess {
  const begun = performance.now();
  let tail = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => options.onStdout?.(text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-STDERR_LIMIT);
    options.onStderr?.(text);
  });
  // Without a listener an EPIPE of a child that has just ended would end this process as well.
  child.stdin.on('error', () => undefined);
  const abort = (): void => void child.kill('SIGTERM');
  options.signal?.addEventListener('abort', abort, { once: true });
  keep(abort);
  const ended = (exitCode = -1): CommandResult => {
    options.signal?.removeEventListener('abort', abort);
    release(abort);
    return { exitCode, stdout: '', stderr: tail, durationMs: performance.now() - begun };
  };
  const exited = Promise.resolve(child).then(
    (result) => ended(result.exitCode),
    () => ended(),
  );
  return {
    exited,
    write: (text) =>
      new Promise((resolve, reject) => {
        child.stdin.write(text, (cause) => {
          if (!cause) resolve();
          else reject(new SdkError('the process has ended', { code: 'COMMAND_FAILED', retryable: true, cause }));
        });
      }),
    async close() {
      child.stdin.end();
      child.kill('SIGTERM');
      await exited;
    },
  };
}
