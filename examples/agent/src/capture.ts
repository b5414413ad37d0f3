/**
 * A runner that can be told to write down commands instead of running them, so that any target's plan can be shown as the
 * very commands that applying it would run.
 */
import type { Command, CommandResult, StreamingRunner } from 'kube-router-sdk/kernel';

/** A runner in front of another one. */
export interface CaptureRunner extends StreamingRunner {
  /** Runs `work` with commands written down, and returns them as lines. */
  capture(work: () => Promise<unknown>): Promise<readonly string[]>;
}

const nothing: CommandResult = { exitCode: 0, stdout: '', stderr: '', durationMs: 0 };

/** A command and its input as lines for people; a secret input is not shown. */
export function commandLines(command: Command): readonly string[] {
  const where = command.netns === undefined ? '' : `[${command.netns}] `;
  const head = `${where}${[command.file, ...command.args].join(' ')}`;
  if (command.input === undefined) return [head];
  if (command.secret === true) return [head, '  (input not shown)'];
  return [head, ...command.input.split('\n').flatMap((line) => (line === '' ? [] : [`  ${line}`]))];
}

/** Puts a capture in front of a runner. */
export function createCaptureRunner(runner: StreamingRunner): CaptureRunner {
  let lines: string[] | undefined;
  return {
    run(command, options) {
      if (lines === undefined) return runner.run(command, options);
      lines.push(...commandLines(command));
      return Promise.resolve(nothing);
    },
    start: (command, options) => runner.start(command, options),
    async capture(work) {
      const captured: string[] = [];
      lines = captured;
      try {
        await work();
      } finally {
        lines = undefined;
      }
      return captured;
    },
  };
}

/**
 * A runner for a process that may not look at the kernel: every question is answered as an empty kernel would, so that a plan
 * shows everything that would be made. The machine's own interfaces are for everyone to see, and the plan depends on them.
 */
export function createEmptyKernelRunner(real: StreamingRunner): StreamingRunner {
  return {
    run(command, options) {
      const { file, args } = command;
      if (file === 'ip' && args.join(' ') === '-j -d addr show') return real.run(command, options);
      const json = args.some((word) => word === '-j' || word === '-json');
      const stdout = !json ? '' : file === 'nft' ? '{"nftables":[]}' : '[]';
      return Promise.resolve({ ...nothing, stdout });
    },
    start: () => Promise.reject(new Error('an empty kernel has nothing to watch')),
  };
}

/** Words after which a tool only reads. */
const READS: Readonly<Record<string, RegExp>> = {
  ip: /^(show|list|get|monitor|-V)$/,
  bridge: /^(show|list)$/,
  ipset: /^(save|list|test|version)$/,
  ipvsadm: /^(-S|-Sn|-L|-Ln|--save|--list)$/,
  iptables: /^(-S|-L|-C|--version|-V)$/,
  ip6tables: /^(-S|-L|-C|--version|-V)$/,
  nft: /^(list|--version|-v)$/,
  conntrack: /^(-L|-C|-S)$/,
  wg: /^(show|showconf)$/,
  lsmod: /.*/,
};

/** Whether a command leaves the kernel as it is; what is not known to is taken for a change. */
export function isRead(command: Command): boolean {
  const file = command.file.slice(command.file.lastIndexOf('/') + 1);
  if (/^(grep|cat|ls|readlink|stat)$/.test(file) || /^ip6?tables(-\w+)?-save$/.test(file)) return true;
  const words = READS[file.replace(/-(legacy|nft)$/, '')];
  return words !== undefined && command.input === undefined && command.args.some((word) => words.test(word));
}

/** A runner that reads the kernel and writes down every change instead of making it. */
export function createDryRunner(runner: StreamingRunner): StreamingRunner & { readonly lines: readonly string[] } {
  const lines: string[] = [];
  return {
    lines,
    run(command, options) {
      if (isRead(command)) return runner.run(command, options);
      lines.push(...commandLines(command));
      return Promise.resolve(nothing);
    },
    start: (command, options) => runner.start(command, options),
  };
}
