/**
 * One command as a child of this very process, by execa: for what a lane cannot carry (large or binary input, secrets).
 */
import type { Readable } from 'node:stream';
import type { LaneLimits, LaneResult } from './lane.ts';

/** Runs one program to its end. */
export async function runDirectly(
  argv: readonly string[],
  input: string | undefined,
  env: Readonly<Record<string, string>>,
  limits: LaneLimits,
): Promise<LaneResult> {
  const { execa } = await import('execa');
  const { timeoutMs, forceKillAfterMs, maxBufferBytes, signal } = limits;
  const [program = '', ...args] = argv;
  const child = execa(program, args, {
    env,
    extendEnv: false,
    // execa's own way to end children would end this process too, at a signal that the program handles once
    cleanup: false,
    reject: false,
    stripFinalNewline: false,
    forceKillAfterDelay: forceKillAfterMs,
    timeout: timeoutMs,
    maxBuffer: maxBufferBytes,
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  const release = releasePipes(child, forceKillAfterMs, timeoutMs, signal);
  const result = await child.finally(release);
  const said = { stdout: result.stdout, stderr: result.stderr };
  if (result.isCanceled) return { ended: 'aborted', ...said };
  if (result.timedOut) return { ended: 'timeout', ...said };
  if (result.isMaxBuffer) return { ended: 'overflow', ...said };
  if (result.exitCode !== undefined) return { exitCode: result.exitCode, ...said };
  const why = result.signal ?? (result.cause instanceof Error ? result.cause.message : 'did not start');
  return { why, cause: result.cause, ...said };
}

/**
 * Lets go of a killed child's output after a while: a grandchild that lives on would hold the pipes, and the caller, open.
 * Returns what takes the timers back.
 */
function releasePipes(
  child: { readonly stdout: Readable; readonly stderr: Readable },
  forceKillAfterMs: number,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): () => void {
  const timers: NodeJS.Timeout[] = [];
  const destroy = (): void => void [child.stdout, child.stderr].map((stream) => stream.destroy());
  const later = (ms: number): void => void timers.push(setTimeout(destroy, ms + forceKillAfterMs + 200).unref());
  const abort = (): void => later(0);
  later(timeoutMs);
  signal?.addEventListener('abort', abort, { once: true });
  return () => {
    signal?.removeEventListener('abort', abort);
    timers.forEach((timer) => clearTimeout(timer));
  };
}
