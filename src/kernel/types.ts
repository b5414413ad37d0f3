/**
 * The seam between plans and the kernel: what a command is, what runs it, and what `reconcile()` asks of a target.
 * Everything above is pure and everything below is a child process, so that a recording runner can stand in for the kernel.
 * Types only; runner.ts and reconcile.ts implement them.
 */
import type { Observable } from 'rxjs';

/** One child process. */
export interface Command {
  /** Program name (`ipset`) or absolute path; names are looked up in a fixed list of system folders, not in `$PATH` of whoever started us. */
  readonly file: string;
  readonly args: readonly string[];
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  /** Network namespace to run in: a path such as `/run/netns/pod-1`. @defaultValue the runner's own */
  readonly netns?: string;
  /** Milliseconds until it is killed. @defaultValue 30000 */
  readonly timeoutMs?: number;
  /** Exit codes that are an answer rather than a failure, besides 0. */
  readonly okExitCodes?: readonly number[];
  /** The input holds a secret: it appears in no record and no error. @defaultValue false */
  readonly secret?: boolean;
}

/** What a child process said. */
export interface CommandResult {
  /** 0, or one of the command’s `okExitCodes`. */
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Milliseconds from start to end. */
  readonly durationMs: number;
}

/** Runs commands. The one door to the kernel: the real one spawns, `createRecordingRunner` of `testing` remembers. */
export interface Runner {
  /**
   * @throws SdkError `COMMAND_FAILED` | `COMMAND_NOT_FOUND` | `COMMAND_TIMEOUT` | `ABORTED` | `PERMISSION_DENIED`
   */
  run(command: Command, options?: { readonly signal?: AbortSignal }): Promise<CommandResult>;
}

/** A child process that stays: `ip monitor`, `ip -batch -` kept open. */
export interface RunningProcess {
  /** Writes to standard input; rejects once the process has ended. */
  write(text: string): Promise<void>;
  /** Ends it: SIGTERM, then SIGKILL. Resolves when it is gone. */
  close(): Promise<void>;
  /** Settles when it ends, by itself or by `close()`; `stdout` is empty, `stderr` its last lines. Never rejects. */
  readonly exited: Promise<CommandResult>;
}

/** What to do with the output of a {@link RunningProcess}. */
export interface StartOptions {
  /** Called with text as it comes; not cut at line ends. */
  readonly onStdout?: (text: string) => void;
  /** Called with text of standard error as it comes. */
  readonly onStderr?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** A runner that can also keep a process open. */
export interface StreamingRunner extends Runner {
  /**
   * Starts a process and returns when it runs; `input`, `timeoutMs` and `okExitCodes` of the command are not used.
   * @throws SdkError `COMMAND_NOT_FOUND` | `ABORTED`
   */
  start(command: Command, options?: StartOptions): Promise<RunningProcess>;
}

/** What should be, at one moment. */
export interface Desired<State> {
  /** The full desired state; a target never keeps a part of it that later changes under it unless `dirty` says so. */
  readonly state: State;
  /**
   * Keys of `state` that differ from the emission before, in the target's own terms (it is merged by union while a pass runs);
   * absent: anything may differ. This is what lets the cost follow the change.
   */
  readonly dirty?: ReadonlySet<string>;
  /** Every source has delivered its first full picture. Until then nothing is pruned. */
  readonly synced: boolean;
  /** Since when (epoch milliseconds) a source has been out of touch: the last plan stays, nothing is pruned. */
  readonly staleSince?: number;
}

/** How one part of a plan went wrong. */
export interface ApplyFailure {
  /** Kernel object or item key that failed. */
  readonly item: string;
  readonly error: Error;
}

/** What an apply reached. */
export interface Applied<Observed> {
  /** The state the kernel is known to hold now; absent: unknown, observe again before the next plan. */
  readonly observed?: Observed;
  readonly failures: readonly ApplyFailure[];
}

/** How a plan is to be made. */
export interface PlanOptions {
  /** Whether what is ours and no longer wanted may be removed. */
  readonly prune: boolean;
  /** Only these keys need comparing; absent: all. */
  readonly dirty?: ReadonlySet<string>;
}

/**
 * One piece of kernel state under reconciliation. `observe` and `apply` do I/O, `plan` and `size` are pure.
 * @typeParam State - desired state; @typeParam Observed - what the kernel holds; @typeParam Plan - the difference
 */
export interface Target<State, Observed, Plan> {
  /** For events, logs and metrics: `ipvs`, `firewall`, `routing`. */
  readonly name: string;
  /** Reads what the kernel holds. */
  observe(signal: AbortSignal): Promise<Observed>;
  /** The difference between the two. Pure. */
  plan(desired: State, observed: Observed, options: PlanOptions): Plan;
  /** Number of changes in a plan; 0 means nothing to do. */
  size(plan: Plan): number;
  /** Adds before it deletes, goes on after a failure, and reports the state actually reached. Rejects only when nothing is known of the outcome. */
  apply(plan: Plan, signal: AbortSignal): Promise<Applied<Observed>>;
}

/** One finished pass of {@link Reconciler}. */
export interface PassEvent {
  readonly target: string;
  readonly reason: 'start' | 'change' | 'retry' | 'resync' | 'drift' | 'request';
  /** Changes that the plan held. */
  readonly changes: number;
  /** Changes still wanted after the pass: 0 when the kernel holds what is desired. */
  readonly remaining: number;
  /** Milliseconds from its first to its last step. */
  readonly durationMs: number;
  /** Milliseconds from the oldest change that the pass served to its end. */
  readonly latencyMs?: number;
  readonly failures: readonly ApplyFailure[];
  /** Set when the pass itself broke (observe failed, apply rejected). */
  readonly error?: Error;
  /** Whether pruning was held back, and why. */
  readonly pruneHeld?: 'unsynced' | 'stale';
}

/** A running loop. */
export interface Reconciler extends AsyncDisposable {
  /** One event a pass; never errors, completes after `close()`. */
  readonly events$: Observable<PassEvent>;
  /** Asks for a pass now; resolves with its event. `observe` reads the kernel first. */
  sync(options?: { readonly observe?: boolean }): Promise<PassEvent>;
  /** Ends the loop after the pass under way; the kernel keeps what it has. */
  close(): Promise<void>;
}
