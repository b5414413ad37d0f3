/**
 * Allocation against the API: by the Lease leader alone, one Service after the other, from a fresh reading, each write guarded by the
 * leader's confirmation and the object's version, and everything read back afterwards: should a write linger on its way for so long that
 * the next leader has begun, the double that it makes is found and resolved by that leader's reading back.
 * The API and the Lease are ports, so that it runs against the informers block, a test or anything else.
 */
import type { Issue } from '../../net/values.ts';
import type { ServiceObject, StringMap } from '../../objects/types.ts';
import { createPoolAllocator } from './allocator.ts';
import type { PoolOptions, PoolUsage } from './model.ts';

/** A Service with the version that a write must find. */
export interface VersionedService {
  readonly key: string;
  readonly service: ServiceObject;
  readonly resourceVersion: string;
}

/** What the controller reads and writes. */
export interface LoadBalancerApi {
  /** Every Service and the labels of every namespace, from the API itself, not from a cache. */
  read(): Promise<{
    readonly services: readonly VersionedService[];
    readonly namespaces: ReadonlyMap<string, StringMap>;
  }>;
  /** Replaces `status.loadBalancer.ingress`; `conflict` when the version is no longer that one, or the Service is gone. */
  writeIngress(key: string, ips: readonly string[], resourceVersion: string): Promise<'written' | 'conflict'>;
  /** Tells a Service's owner, as condition and event. */
  tell?(notice: AllocationNotice): Promise<void>;
}

/** News about one Service's addresses. */
export interface AllocationNotice {
  readonly key: string;
  readonly type: 'Normal' | 'Warning';
  readonly reason: 'AddressAssigned' | 'AddressPoolExhausted' | 'AddressNotAvailable';
  readonly message: string;
}

/** Leadership. */
export interface AllocatorLease {
  /**
   * The term in which this process leads, as far as it knows; undefined when it does not. A new term begins whenever the Lease changes
   * hands (`leaseTransitions`), so that who lost it and won it back knows that others may have written meanwhile.
   */
  term(): number | undefined;
  /** Makes sure against the API, right before a write, that this term still lasts. */
  confirm(term: number): Promise<boolean>;
}

/** Options of {@link createLoadBalancerController}. */
export interface LoadBalancerOptions extends PoolOptions {
  readonly api: LoadBalancerApi;
  readonly lease: AllocatorLease;
  /** How often a pass starts over after conflicts. @defaultValue 5 */
  readonly attempts?: number;
}

/** What one pass did. */
export interface AllocationPass {
  /** False: this process does not lead; nothing was read or written. */
  readonly led: boolean;
  readonly assigned: ReadonlyMap<string, readonly string[]>;
  readonly issues: readonly Issue[];
  readonly usage: readonly PoolUsage[];
  /** False: conflicts remained after all attempts, or leadership was lost on the way; to be called again. */
  readonly settled: boolean;
}

/** Allocates addresses; see {@link createLoadBalancerController}. */
export interface LoadBalancerController {
  /** One pass; calls while one is under way are served by one more pass after it. */
  sync(): Promise<AllocationPass>;
}

/** Makes the controller of LoadBalancer addresses. */
export function createLoadBalancerController(options: LoadBalancerOptions): LoadBalancerController {
  const { api, lease } = options;
  const told = new Map<string, string>();

  const tell = async (notice: AllocationNotice): Promise<void> => {
    // The same news is told once, not at every pass.
    const text = `${notice.reason} ${notice.message}`;
    if (told.get(notice.key) === text) return;
    told.set(notice.key, text);
    await api.tell?.(notice);
  };

  const pass = async (): Promise<AllocationPass> => {
    const assigned = new Map<string, readonly string[]>();
    let issues: Issue[] = [];
    let usage: readonly PoolUsage[] = [];
    const done = (led: boolean, settled: boolean): AllocationPass => ({ led, assigned, issues, usage, settled });
    const term = lease.term();
    if (term === undefined) return done(false, true);
    for (let attempt = 0; attempt < (options.attempts ?? 5); attempt++) {
      const { services, namespaces } = await api.read();
      const allocator = createPoolAllocator(options);
      issues = [...allocator.issues];
      for (const { key, service } of services) allocator.observe(key, service);
      for (const key of told.keys()) if (!services.some((one) => one.key === key)) told.delete(key);
      let writes = 0;
      const problems: AllocationNotice[] = [];
      for (const { key, service, resourceVersion } of [...services].sort((a, b) => (a.key < b.key ? -1 : 1))) {
        const allocation = allocator.allocate(service, namespaces.get(service.namespace));
        issues.push(...allocation.issues);
        const [problem] = allocation.issues;
        if (problem !== undefined) {
          const reason = allocation.exhausted ? 'AddressPoolExhausted' : 'AddressNotAvailable';
          problems.push({ key, type: 'Warning', reason, message: problem.reason });
        }
        if (allocation.outcome !== 'assign') continue;
        if (!(await lease.confirm(term))) return done(true, false);
        writes++;
        if ((await api.writeIngress(key, allocation.ips, resourceVersion)) === 'conflict') {
          // Someone changed it meanwhile: what it holds now is not known until the next reading.
          continue;
        }
        assigned.set(key, allocation.ips);
        if (problem === undefined) {
          await tell({ key, type: 'Normal', reason: 'AddressAssigned', message: allocation.ips.join(', ') });
        }
      }
      usage = allocator.usage();
      // Nothing written: what was read is right, and so is what is wrong with it. Otherwise it is read back, and put right where
      // someone was faster; an address that was given up meanwhile may serve whoever found none.
      if (writes > 0) continue;
      for (const notice of problems) await tell(notice);
      return done(true, true);
    }
    return done(true, false);
  };

  // One pass after another, never two: each waits for the tail, and calls that wait together share the next pass.
  let tail: Promise<unknown> = Promise.resolve();
  let waiting: Promise<AllocationPass> | undefined;
  return {
    sync() {
      if (waiting !== undefined) return waiting;
      const mine = tail.then(() => {
        waiting = undefined;
        return pass();
      });
      waiting = mine;
      tail = mine.catch(() => undefined);
      return mine;
    },
  };
}
