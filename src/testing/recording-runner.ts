/**
 * A runner that runs nothing: it remembers every command, answers from a script, and fails where a test wants it to.
 * Lets the pure and the effectful half of a block run anywhere, and shows exactly what would have reached the kernel.
 * Its errors are those of the real runner.
 */
import { aborted, failure } from '../kernel/command-error.ts';
import type { Command, CommandResult, RunningProcess, StreamingRunner } from '../kernel/types.ts';

/** Which commands an answer is for: the beginning of `file arg arg…`, a pattern over it, or a function. */
export type CommandMatcher = string | RegExp | ((command: Command) => boolean);

/** What a command prints and how it ends: its stdout, more of its result, an error to reject with, or a function giving one of these. */
export type CommandAnswer =
  | string
  | Partial<CommandResult>
  | Error
  | ((command: Command) => string | Partial<CommandResult> | Error | Promise<string | Partial<CommandResult> | Error>);

/** The far side of a started process. */
export interface ScriptedProcess {
  readonly command: Command;
  /** Called with what is written to it, as it is written. */
  onInput(call: (text: string) => void): void;
  /** Prints to standard output. */
  stdout(text: string): void;
  /** Prints to standard error. */
  stderr(text: string): void;
  /** Ends the process. `exitCode` is 0 where absent. */
  exit(exitCode?: number): void;
}

/** A runner for tests. */
export interface RecordingRunner extends StreamingRunner {
  /** Every command in the order it came, failed ones included. */
  readonly commands: readonly Command[];
  /** The commands as text, `file arg arg…`, each followed by its input, for snapshots. */
  text(): string;
  /** Forgets the commands so far; answers stay. */
  clear(): void;
  /** Answers commands from now on; the latest matching answer counts, and what matches none succeeds without a word. */
  when(matcher: CommandMatcher, answer: CommandAnswer): void;
  /** Plays the far side of processes started from now on; one that matches none reads its input and says nothing. */
  whenStarted(matcher: CommandMatcher, play: (process: ScriptedProcess) => void): void;
  /** Lets the n-th command from now (1 is the next) fail, once; with `after: 'all'` every later one as well. */
  failAt(n: number, options?: { readonly error?: Error; readonly after?: 'one' | 'all' }): void;
}

function lineOf(command: Command): string {
  return [command.file, ...command.args].join(' ');
}

function matches(matcher: CommandMatcher, command: Command): boolean {
  if (typeof matcher === 'function') return matcher(command);
  return typeof matcher === 'string' ? lineOf(command).startsWith(matcher) : matcher.test(lineOf(command));
}

/**
 * Makes a {@link RecordingRunner}.
 * @example
 * ```ts
 * import { createRecordingRunner } from 'kube-router-sdk/testing';
 *
 * const runner = createRecordingRunner([['ipvsadm -Sn', '-A -t 10.96.0.1:443 -s rr\n']]);
 * const { stdout } = await runner.run({ file: 'ipvsadm', args: ['-Sn'] });
 * console.log(stdout.trim()); // -A -t 10.96.0.1:443 -s rr
 * console.log(runner.text()); // ipvsadm -Sn
 * ```
 */
export function createRecordingRunner(
  answers: readonly (readonly [CommandMatcher, CommandAnswer])[] = [],
): RecordingRunner {
  const script = [...answers];
  const plays: (readonly [CommandMatcher, (process: ScriptedProcess) => void])[] = [];
  const commands: Command[] = [];
  let count = 0;
  let faults: { readonly at: number; readonly all: boolean; readonly error: Error | undefined }[] = [];

  function fault(command: Command): Error | undefined {
    count++;
    const hit = faults.find(({ at, all }) => at === count || (all && at < count));
    faults = faults.filter(({ at, all }) => all || at > count);
    return hit && (hit.error ?? failure(command, 1, 'injected failure'));
  }

  return {
    commands,
    text: () =>
      commands
        .map((command) => {
          const where = command.netns === undefined ? '' : `[${command.netns}] `;
          const input = command.input === undefined ? '' : `\n${command.input.replace(/\n$/, '')}`;
          return `${where}${lineOf(command)}${input}`;
        })
        .join('\n'),
    clear: () => void commands.splice(0),
    when: (matcher, answer) => void script.push([matcher, answer]),
    whenStarted: (matcher, play) => void plays.push([matcher, play]),
    failAt: (n, options = {}) =>
      void faults.push({ at: count + n, all: options.after === 'all', error: options.error }),

    async run(command, { signal } = {}) {
      if (signal?.aborted === true) throw aborted(command);
      commands.push(command);
      const injected = fault(command);
      if (injected !== undefined) throw injected;
      const found = script.findLast(([matcher]) => matches(matcher, command))?.[1] ?? '';
      const answer = typeof found === 'function' ? await found(command) : found;
      if (answer instanceof Error) throw answer;
      const said = typeof answer === 'string' ? { stdout: answer } : answer;
      const result = { exitCode: 0, stdout: '', stderr: '', durationMs: 0, ...said };
      if (result.exitCode !== 0 && command.okExitCodes?.includes(result.exitCode) !== true) {
        throw failure(command, result.exitCode, result.stderr);
      }
      return result;
    },

    async start(command, options = {}) {
      if (options.signal?.aborted === true) throw aborted(command);
      commands.push(command);
      const injected = fault(command);
      if (injected !== undefined) throw injected;
      const listeners: ((text: string) => void)[] = [];
      let tail = '';
      let ended = false;
      let finish: (result: CommandResult) => void = () => undefined;
      const exited = new Promise<CommandResult>((resolve) => (finish = resolve));
      const exit = (exitCode = 0): void => {
        ended = true;
        finish({ exitCode, stdout: '', stderr: tail, durationMs: 0 });
      };
      options.signal?.addEventListener('abort', () => exit(-1), { once: true });
      const play = plays.findLast(([matcher]) => matches(matcher, command))?.[1];
      play?.({
        command,
        onInput: (call) => void listeners.push(call),
        stdout: (text) => options.onStdout?.(text),
        stderr: (text) => {
          tail += text;
          options.onStderr?.(text);
        },
        exit,
      });
      const process: RunningProcess = {
        exited,
        async write(text) {
          if (ended) throw failure(command, -1, 'the process has ended');
          for (const call of listeners) call(text);
          await Promise.resolve();
        },
        async close() {
          exit(-1);
          await exited;
        },
      };
      return Promise.resolve(process);
    },
  };
}
