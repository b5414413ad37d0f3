/**
 * What the agent knows about itself: each block's passes, readiness and issues. Health, metrics, status and the admin API
 * read it; the wiring writes it. Plain memory, bounded.
 */
import type { Issue } from 'kube-router-sdk/net';
import type { PassEvent } from 'kube-router-sdk/kernel';
import { Subject, type Observable } from 'rxjs';

/** One finished pass, as kept and shown. */
export interface PassRecord {
  /** Epoch milliseconds of its end. */
  readonly at: number;
  readonly block: string;
  readonly reason: PassEvent['reason'];
  readonly changes: number;
  readonly remaining: number;
  readonly durationMs: number;
  readonly latencyMs?: number;
  readonly failures: readonly { readonly item: string; readonly error: string }[];
  readonly error?: string;
  readonly pruneHeld?: 'unsynced' | 'stale';
}

/** One block as people see it. */
export interface BlockState {
  readonly name: string;
  /** Its first complete, verified pass has happened. */
  readonly ready: boolean;
  readonly passes: number;
  readonly failures: number;
  readonly last?: PassRecord;
  /** Why it is not ready or not right, in one sentence. */
  readonly trouble?: string;
}

/** The agent's memory of itself. */
export interface AgentState {
  /** Says which blocks there are, each to be ready after a clean pass; before that the agent is not ready. */
  expect(names: readonly string[]): void;
  /** Takes a pass of a block. */
  record(event: PassEvent): PassRecord;
  /** Replaces what one source of issues says. */
  setIssues(source: string, issues: readonly Issue[]): void;
  blocks(): readonly BlockState[];
  issues(): readonly Issue[];
  /** The last passes, newest first. */
  recent(): readonly PassRecord[];
  ready(): boolean;
  /** One event a pass. */
  readonly passes$: Observable<PassRecord>;
  /** The current issues, after each change. */
  readonly issues$: Observable<readonly Issue[]>;
}

const KEPT_PASSES = 500;

/** Plain, comparable form of a pass. */
export function passRecord(event: PassEvent, at: number): PassRecord {
  return {
    at,
    block: event.target,
    reason: event.reason,
    changes: event.changes,
    remaining: event.remaining,
    durationMs: event.durationMs,
    ...(event.latencyMs === undefined ? {} : { latencyMs: event.latencyMs }),
    failures: event.failures.map(({ item, error }) => ({ item, error: error.message })),
    ...(event.error === undefined ? {} : { error: event.error.message }),
    ...(event.pruneHeld === undefined ? {} : { pruneHeld: event.pruneHeld }),
  };
}

function trouble(last: PassRecord | undefined): string | undefined {
  if (last === undefined) return 'no pass yet';
  if (last.error !== undefined) return last.error;
  const [failure] = last.failures;
  if (failure !== undefined) return `${last.failures.length} changes failed, first ${failure.item}: ${failure.error}`;
  if (last.remaining > 0) return `${last.remaining} changes remain`;
  return undefined;
}

/** Makes an empty memory. */
export function createAgentState(now: () => number = Date.now): AgentState {
  const blocks = new Map<string, { ready: boolean; passes: number; failures: number; last?: PassRecord }>();
  let assembled = false;
  const bySource = new Map<string, readonly Issue[]>();
  const ring: PassRecord[] = [];
  const passes = new Subject<PassRecord>();
  const changedIssues = new Subject<readonly Issue[]>();
  const issues = (): readonly Issue[] => {
    const seen = new Map<string, Issue>();
    for (const list of bySource.values()) {
      for (const issue of list) seen.set(`${issue.object}\n${issue.field}\n${issue.reason}`, issue);
    }
    return [...seen.values()];
  };
  const slot = (name: string) => {
    let block = blocks.get(name);
    if (block === undefined) blocks.set(name, (block = { ready: false, passes: 0, failures: 0 }));
    return block;
  };
  return {
    passes$: passes.asObservable(),
    issues$: changedIssues.asObservable(),
    expect(names) {
      assembled = true;
      names.forEach(slot);
    },
    record(event) {
      const record = passRecord(event, now());
      const block = slot(event.target);
      const clean = record.error === undefined && record.failures.length === 0 && record.remaining === 0;
      block.passes++;
      block.failures += clean ? 0 : 1;
      block.ready ||= clean;
      block.last = record;
      ring.unshift(record);
      ring.length = Math.min(ring.length, KEPT_PASSES);
      passes.next(record);
      return record;
    },
    setIssues(source, list) {
      if (list.length === 0 && !bySource.has(source)) return;
      if (list.length === 0) bySource.delete(source);
      else bySource.set(source, list);
      changedIssues.next(issues());
    },
    issues,
    blocks: () =>
      [...blocks].map(([name, { ready, passes: count, failures, last }]) => {
        const why = trouble(last);
        return {
          name,
          ready,
          passes: count,
          failures,
          ...(last === undefined ? {} : { last }),
          ...(why === undefined ? {} : { trouble: why }),
        };
      }),
    recent: () => ring,
    ready: () => assembled && [...blocks.values()].every((block) => block.ready),
  };
}
