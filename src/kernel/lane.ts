/**
 * A lane: one kept-open `sh` that starts commands in place of this process, one after the other.
 * Forking copies the page tables of the parent and makes it fault on every page it writes afterwards: from an agent of 100 MB that is
 * ten to thirty times the cost of a fork from a small shell (docs/adr/0006). The shell is the leader of a process group, so that
 * ending a lane ends whatever it runs, grandchildren included. What a shell cannot carry unchanged does not fit (see `fits`).
 */
import type { Socket } from 'node:net';

/** Limits of one command in a lane. */
export interface LaneLimits {
  readonly timeoutMs: number;
  readonly forceKillAfterMs: number;
  readonly maxBufferBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/** How a command ended; without `exitCode` and `ended` it did not start, or someone else's signal ended it: `why`. */
export interface LaneResult {
  readonly exitCode?: number;
  readonly ended?: 'aborted' | 'timeout' | 'overflow';
  readonly why?: string;
  readonly cause?: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

/** A kept-open shell. */
export interface Lane {
  /** False once its shell is gone: then it takes no further command. */
  readonly open: boolean;
  /** Runs one program with exactly these arguments and this input; one at a time. */
  run(argv: readonly string[], input: string, limits: LaneLimits): Promise<LaneResult>;
}

/** Above this many characters of input, parsing it in the shell costs more than the fork that it saves. */
const INPUT_LIMIT = 128 * 1024;
/** Text that every shell passes on byte by byte: plain ASCII. (dash keeps markers of its own among the bytes from 0x81.) */
const PLAIN = /^[\t\n\x20-\x7e]*$/;

/** Whether a lane carries this command unchanged: a here-document ends with a newline and cannot hold every byte. */
export function fits(argv: readonly string[], input: string): boolean {
  return (
    input.length <= INPUT_LIMIT &&
    (input === '' || input.endsWith('\n')) &&
    PLAIN.test(input) &&
    argv.every((argument) => PLAIN.test(argument))
  );
}

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** What the command under way is waiting for. */
interface Job {
  /** `marked`: how many bytes of stdout are the closing mark. */
  readonly finish: (result: Omit<LaneResult, 'stdout' | 'stderr'> & { readonly marked?: number }) => void;
  readonly check: () => void;
  /** Why it is being ended, if it is. */
  readonly ending: () => LaneResult['ended'];
  /** Room left for output, in bytes. */
  room: number;
}

/** Opens a lane; `shell` is an absolute path. It ends with this process, which it does not keep running. */
export function openLane(shell: string, env: Readonly<Record<string, string>>): Lane {
  // loaded by the first shell, so that importing this package stays cheap
  const { randomBytes } = process.getBuiltinModule('node:crypto');
  const { spawn } = process.getBuiltinModule('node:child_process');
  const marker = randomBytes(12).toString('hex');
  const child = spawn(shell, [], { env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const pipes = [child.stdin, child.stdout, child.stderr] as unknown as readonly Socket[];
  let open = true;
  let job: Job | undefined;
  const out = collect(child.stdout as Socket);
  const err = collect(child.stderr as Socket);

  /** Gathers what a pipe says, and keeps its last characters for the marker. */
  function collect(pipe: Socket): { chunks: Buffer[]; tail: string } {
    const gathered = { chunks: [] as Buffer[], tail: '' };
    pipe.on('data', (chunk: Buffer) => {
      if (job === undefined) return;
      gathered.chunks.push(chunk);
      gathered.tail = (gathered.tail + chunk.subarray(-64).toString('latin1')).slice(-64);
      job.room -= chunk.length;
      job.check();
    });
    return gathered;
  }

  const hold = (busy: boolean): void => {
    for (const one of [child, ...pipes])
      if (busy) one.ref();
      else one.unref();
  };
  const broke = (): void => {
    open = false;
    job?.finish({ why: 'its shell has ended' });
  };
  child.on('error', broke);
  child.on('close', broke);
  // somebody ended the shell: what it ran has lost its reader
  child.on('exit', () => {
    if (job?.ending() !== undefined) return;
    signalGroup('SIGKILL');
    broke();
  });
  // a shell that is gone breaks the pipe of what is written to it
  child.stdin.on('error', broke);
  hold(false);

  /** Signals the whole group. */
  function signalGroup(signal: NodeJS.Signals): void {
    open = false;
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // it is gone already
    }
  }

  return {
    get open() {
      return open;
    },
    run: (argv, input, { timeoutMs, forceKillAfterMs, maxBufferBytes, signal }) =>
      new Promise((resolve) => {
        out.tail = err.tail = '';
        const timers: NodeJS.Timeout[] = [];
        /** Why it is being ended, once it is. */
        let ending: LaneResult['ended'];
        const finish: Job['finish'] = ({ marked = 0, ...result }) => {
          job = undefined;
          timers.forEach((timer) => clearTimeout(timer));
          signal?.removeEventListener('abort', onAbort);
          hold(false);
          resolve({
            ...(ending === undefined ? result : { ended: ending }),
            stdout: take(out, marked),
            stderr: take(err, marked === 0 ? 0 : marker.length),
          });
        };
        const end = (why: LaneResult['ended']): void => {
          if (ending !== undefined) return;
          ending = why;
          signalGroup('SIGTERM');
          timers.push(
            setTimeout(() => {
              signalGroup('SIGKILL');
              finish({});
            }, forceKillAfterMs),
          );
        };
        const onAbort = (): void => end('aborted');
        const check = (): void => {
          if (job !== undefined && job.room < 0) end('overflow');
          if (!err.tail.endsWith(marker)) return;
          const said = /([0-9a-f]{24})(\d+);$/.exec(out.tail);
          if (said?.[1] !== marker) return;
          const code = Number(said[2]);
          // what a shell says of a child that a signal ended; 126: it may not be executed
          if (code > 128 && code < 160) finish({ why: `signal ${code - 128}`, marked: said[0].length });
          else if (code === 126) finish({ why: `EACCES ${argv[0]}`, marked: said[0].length });
          else finish({ exitCode: code, marked: said[0].length });
        };
        job = { finish, check, ending: () => ending, room: maxBufferBytes + 2 * marker.length + 4 };
        timers.push(setTimeout(() => end('timeout'), timeoutMs));
        signal?.addEventListener('abort', onAbort, { once: true });
        if (signal?.aborted === true) onAbort();
        hold(true);
        const from = input === '' ? '</dev/null' : `<<'${marker}'\n${input}${marker}`;
        child.stdin.write(`${argv.map(quote).join(' ')} ${from}\nprintf '${marker}%d;' $?\nprintf ${marker} >&2\n`);
      }),
  };
}

/** Text of what was gathered, without its last `cut` bytes; a lane that waits holds nothing of it. */
function take(gathered: { chunks: Buffer[] }, cut: number): string {
  const all = Buffer.concat(gathered.chunks);
  gathered.chunks = [];
  return all.toString('utf8', 0, all.length - cut);
}
