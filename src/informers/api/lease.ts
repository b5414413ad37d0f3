/**
 * Leader election by a Lease (coordination.k8s.io/v1), as client-go does it, with what it leaves out: a fencing token, and a
 * leader that steps down by its own clock before anyone else may step up.
 * Clocks of different machines are never compared: what counts is for how long *we* have seen the lease unchanged.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { BehaviorSubject } from 'rxjs';
import type { Observable } from 'rxjs';
import { SdkError, isSdkError } from '../../net/errors.ts';
import type { Connection } from './connection.ts';
import { createApiWriter } from './writes.ts';
import type { ApiObject, ApiWriter } from './writes.ts';

/** Which lease, as whom; all times in milliseconds. */
export interface LeaseOptions {
  readonly connection: Connection;
  readonly namespace: string;
  readonly name: string;
  /** Who we are, unique among the candidates: the node's or the pod's name. */
  readonly identity: string;
  /** Others may take over after the lease was not renewed for this long. @defaultValue 15000 */
  readonly durationMs?: number;
  /** A leader that could not renew for this long steps down; shorter than the duration. @defaultValue 10000 */
  readonly renewDeadlineMs?: number;
  /** Time between tries, jittered by a fifth. @defaultValue 2000 */
  readonly retryMs?: number;
}

/** Whether we lead. */
export interface Leadership {
  readonly leader: boolean;
  /** Who holds the lease, as far as we know; empty: nobody. */
  readonly holder: string;
  /**
   * Fencing token while we lead: grows with every change of leader (`spec.leaseTransitions`). Whoever guards what leaders write
   * refuses a token smaller than the largest one seen.
   */
  readonly token?: number;
  /** Ends when leadership does: give it to everything that only a leader may do. */
  readonly signal?: AbortSignal;
}

/** A running election. */
export interface LeaderElection extends AsyncDisposable {
  readonly leadership$: Observable<Leadership>;
  readonly current: Leadership;
  /** Asks the API, right before a write that matters, whether the term of this token still lasts; `false` also when it cannot be asked. */
  confirm(token: number, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
  /** Steps down, gives the lease back so that another can take it at once, and ends. */
  close(): Promise<void>;
}

const LEASE = { apiVersion: 'coordination.k8s.io/v1', plural: 'leases', namespaced: true };

interface LeaseSpec {
  readonly holderIdentity?: string | null;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string | null;
  readonly renewTime?: string | null;
  readonly leaseTransitions?: number;
}

/** Stands for election until closed. */
export function createLeaderElection(options: LeaseOptions): LeaderElection {
  const { identity, durationMs = 15_000, renewDeadlineMs = 10_000, retryMs = 2000 } = options;
  if (!(retryMs * 1.2 < renewDeadlineMs && renewDeadlineMs < durationMs))
    throw new SdkError('A lease needs retryMs × 1.2 < renewDeadlineMs < durationMs', {
      code: 'INVALID_OPTION',
      details: { path: 'renewDeadlineMs' },
    });
  const writer = createApiWriter(options.connection);
  const ref = { namespace: options.namespace, name: options.name };
  const leadership = new BehaviorSubject<Leadership>({ leader: false, holder: '' });
  const closing = new AbortController();
  let term: AbortController | undefined;
  let termEnd: NodeJS.Timeout | undefined;
  /** The lease as last seen and when, by our monotonic clock, it last changed. */
  let seen: { text: string; at: number } | undefined;

  const stepDown = (holder: string) => {
    clearTimeout(termEnd);
    term?.abort();
    term = undefined;
    const now = leadership.value;
    if (now.leader || now.holder !== holder) leadership.next({ leader: false, holder });
  };
  const lead = (token: number, since: number) => {
    clearTimeout(termEnd);
    // Counted from before the request was sent: the lease is at least as fresh as that.
    termEnd = setTimeout(() => stepDown(''), Math.max(0, renewDeadlineMs - (performance.now() - since)));
    if (term !== undefined && leadership.value.token === token) return;
    term?.abort();
    term = new AbortController();
    leadership.next({ leader: true, holder: identity, token, signal: term.signal });
  };

  const tryOnce = async (signal: AbortSignal) => {
    const startedAt = performance.now();
    const found = await readLease(writer, ref, signal);
    const spec = (found?.['spec'] ?? {}) as LeaseSpec;
    const holder = spec.holderIdentity ?? '';
    const text = JSON.stringify([found?.metadata.uid, found?.metadata.resourceVersion]);
    if (seen?.text !== text) seen = { text, at: performance.now() };
    const theirs = Math.max(durationMs, (spec.leaseDurationSeconds ?? 0) * 1000);
    if (holder !== '' && holder !== identity && performance.now() - seen.at < theirs) return stepDown(holder);
    const fresh = holder !== identity || term === undefined;
    const now = new Date().toISOString().replace('Z', '000Z');
    const next: LeaseSpec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: fresh ? now : (spec.acquireTime ?? now),
      renewTime: now,
      leaseTransitions: (spec.leaseTransitions ?? 0) + (fresh && found !== undefined ? 1 : 0),
    };
    const written = await writeLease(writer, ref, found, next, signal);
    seen = { text: JSON.stringify([written.metadata.uid, written.metadata.resourceVersion]), at: performance.now() };
    if (!closing.signal.aborted) lead(next.leaseTransitions ?? 0, startedAt);
  };

  const run = async () => {
    while (!closing.signal.aborted) {
      try {
        await tryOnce(AbortSignal.any([closing.signal, AbortSignal.timeout(renewDeadlineMs)]));
      } catch (error) {
        // Lost a race, or out of touch: the timer of the term decides how long we may still call ourselves leader.
        if (isSdkError(error, 'API_ERROR') && error.details['status'] === 409) seen = undefined;
      }
      await sleep(retryMs * (0.8 + 0.4 * Math.random()), undefined, { signal: closing.signal }).catch(() => {});
    }
  };
  const running = run();

  const close = async () => {
    if (closing.signal.aborted) return running;
    const held = leadership.value.leader;
    closing.abort();
    await running;
    stepDown('');
    if (held) await release(writer, ref, identity).catch(() => {});
    leadership.complete();
  };
  return {
    leadership$: leadership.asObservable(),
    get current() {
      return leadership.value;
    },
    async confirm(token, { signal = AbortSignal.timeout(renewDeadlineMs) } = {}) {
      if (leadership.value.token !== token) return false;
      const found = await readLease(writer, ref, signal).catch(() => undefined);
      const spec = (found?.['spec'] ?? {}) as LeaseSpec;
      const ours = spec.holderIdentity === identity && (spec.leaseTransitions ?? 0) === token;
      return ours && leadership.value.token === token;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

type Ref = { readonly namespace: string; readonly name: string };

async function readLease(writer: ApiWriter, ref: Ref, signal: AbortSignal): Promise<ApiObject | undefined> {
  try {
    return await writer.get(LEASE, ref, { signal, attempts: 1 });
  } catch (error) {
    if (isSdkError(error, 'API_ERROR') && error.details['status'] === 404) return undefined;
    throw error;
  }
}

function writeLease(writer: ApiWriter, ref: Ref, found: ApiObject | undefined, spec: LeaseSpec, signal: AbortSignal) {
  const base = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
  // The version makes two candidates exclude each other: the second write is refused.
  if (found === undefined)
    return writer.create(LEASE, { ...base, metadata: { ...ref }, spec }, { signal, attempts: 1 });
  return writer.update(LEASE, { ...found, spec: { ...(found['spec'] as object), ...spec } }, { signal, attempts: 1 });
}

async function release(writer: ApiWriter, ref: Ref, identity: string): Promise<void> {
  const signal = AbortSignal.timeout(3000);
  const found = await readLease(writer, ref, signal);
  const spec = (found?.['spec'] ?? {}) as LeaseSpec;
  if (found === undefined || spec.holderIdentity !== identity) return;
  await writeLease(writer, ref, found, { ...spec, holderIdentity: '', leaseDurationSeconds: 1 }, signal);
}
