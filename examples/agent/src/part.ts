/**
 * A part is one block as the agent drives it: what should be, a target that makes it so, and words for its plan.
 * The commands know parts only; what a block is made of stays in blocks/<name>.ts.
 */
import type { ApplyFailure, Desired, Target } from 'kube-router-sdk/kernel';
import type { Issue } from 'kube-router-sdk/net';
import type { Observable } from 'rxjs';

/** One block under the agent's care. State, observation and plan are the target's own affair. */
export interface Part {
  readonly name: string;
  /** What should be; emits at once when anything is known. */
  readonly desired$: Observable<Desired<unknown>>;
  readonly target: Target<unknown, unknown, unknown>;
  /** A plan as lines for people: commands and changed rules. */
  readonly describe: (plan: unknown) => Promise<readonly string[]>;
  /** What is wrong with the objects that this block reads, now. */
  readonly issues: () => readonly Issue[];
  /** How often the kernel is read and compared in full, in milliseconds. */
  readonly resyncMs: number;
  /** Each emission says that the kernel may have been changed by others. */
  readonly drift$?: Observable<unknown>;
}

/** What {@link part} takes: the same, with the target's types. */
export interface PartOptions<State, Observed, Plan> extends Omit<Part, 'desired$' | 'target' | 'describe'> {
  readonly desired$: Observable<Desired<State>>;
  readonly target: Target<State, Observed, Plan>;
  readonly describe: (plan: Plan) => Promise<readonly string[]>;
}

/** Forgets a block's own types, in the one place where that is done. */
export function part<State, Observed, Plan>(options: PartOptions<State, Observed, Plan>): Part {
  return options as unknown as Part;
}

/** What one verified pass did. */
export interface PassResult {
  readonly changes: number;
  readonly remaining: number;
  readonly durationMs: number;
  readonly failures: readonly ApplyFailure[];
  readonly lines: readonly string[];
}

/** Reads the kernel, makes it so, reads it again: what `remaining` says is seen, not assumed. */
export async function verifiedPass(
  { target }: Part,
  desired: Desired<unknown>,
  signal: AbortSignal,
): Promise<PassResult> {
  const started = performance.now();
  const options = { prune: desired.synced && desired.staleSince === undefined };
  const plan = target.plan(desired.state, await target.observe(signal), options);
  const changes = target.size(plan);
  const failures = changes === 0 ? [] : (await target.apply(plan, signal)).failures;
  const remaining = changes === 0 ? 0 : target.size(target.plan(desired.state, await target.observe(signal), options));
  return { changes, remaining, durationMs: performance.now() - started, failures, lines: [] };
}

/** Reads the kernel and says what would change; `observed` stands in where the kernel may not be read. */
export async function dryPass(
  { target, describe }: Part,
  desired: Desired<unknown>,
  signal: AbortSignal,
): Promise<PassResult> {
  const started = performance.now();
  const plan = target.plan(desired.state, await target.observe(signal), { prune: true });
  const changes = target.size(plan);
  return {
    changes,
    remaining: changes,
    durationMs: performance.now() - started,
    failures: [],
    lines: changes === 0 ? [] : await describe(plan),
  };
}
