/**
 * Commands in the lab. A kept-open `sh` a place runs them: it forks in a fraction of the time that this large process would need,
 * which in a guest kernel with slow system calls decides how long the demo takes.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

/** A program that has ended. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A shell that stays open. */
export interface Shell {
  readonly process: ChildProcess;
  /** Runs a program to its end; never throws for its exit code. Several may run at once. */
  run(file: string, args?: readonly string[], input?: string): Promise<Finished>;
  /** Runs a shell text; throws when it fails. */
  sh(text: string): Promise<string>;
  /** Runs lines of `ip -batch`; throws at the first that fails. */
  ip(lines: readonly string[]): Promise<void>;
}

const folder = '/run/lab/shell';
let count = 0;

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** Opens a shell: `command` is what starts one that reads its standard input, `setup` its first lines. */
export function openShell(name: string, command: readonly string[] = ['sh'], setup = ''): Shell {
  mkdirSync(folder, { recursive: true });
  const [file = 'sh', ...args] = command;
  const process = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, (code: number) => void>();
  let ended = false;
  let rest = '';
  process.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [id = '', code = ''] = line.split(' ');
      const done = waiting.get(Number(id));
      waiting.delete(Number(id));
      done?.(Number(code));
    }
  });
  process.on('close', () => {
    ended = true;
    for (const done of waiting.values()) done(129);
    waiting.clear();
  });
  process.stdin.on('error', () => undefined);
  process.stdin.write(`${setup}\n`);

  const submit = (line: string, input?: string): Promise<Finished> =>
    new Promise((resolve) => {
      const id = ++count;
      const [stdin, stdout, stderr] = ['in', 'out', 'err'].map((part) => `${folder}/${id}.${part}`) as [
        string,
        string,
        string,
      ];
      if (input !== undefined) writeFileSync(stdin, input);
      if (ended) {
        resolve({ code: 129, stdout: '', stderr: `the shell of ${name} has ended` });
        return;
      }
      waiting.set(id, (code) => {
        const finished = { code, stdout: readFileSync(stdout, 'utf8'), stderr: readFileSync(stderr, 'utf8') };
        for (const path of [stdin, stdout, stderr]) rmSync(path, { force: true });
        resolve(finished);
      });
      const source = input === undefined ? '/dev/null' : stdin;
      process.stdin.write(`{ ${line}\n} <${source} >${stdout} 2>${stderr} && echo ${id} 0 || echo ${id} $? &\n`);
    });

  const run: Shell['run'] = (program, args = [], input) => submit([program, ...args].map(quote).join(' '), input);
  return {
    process,
    run,
    ip: async (lines) => {
      const { code, stderr } = await run('ip', ['-batch', '-'], `${lines.join('\n')}\n`);
      if (code !== 0) throw new Error(`${name}: ip -batch ended with ${code}: ${stderr.trim()}`);
    },
    sh: async (text) => {
      const result = await submit(`sh -ec ${quote(text)}`);
      if (result.code !== 0) throw new Error(`${name}: \`${text}\` ended with ${result.code}: ${result.stderr.trim()}`);
      return result.stdout;
    },
  };
}

let own: Shell | undefined;

/** The shell of the lab's own namespace, the control plane. */
export function ownShell(): Shell {
  own ??= openShell('control plane');
  return own;
}

/** Runs a program of the control plane; a failure throws with what it said. */
export async function must(file: string, args: readonly string[]): Promise<string> {
  const result = await ownShell().run(file, args);
  if (result.code !== 0) {
    throw new Error(`\`${file} ${args.join(' ')}\` ended with ${result.code}: ${result.stderr.trim()}`);
  }
  return result.stdout;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks `probe` every `everyMs` until it says something; undefined after `timeoutMs`. */
export async function until<T>(
  probe: () => Promise<T | undefined | false>,
  timeoutMs: number,
  everyMs = 200,
): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) return undefined;
    await sleep(everyMs);
  }
}
