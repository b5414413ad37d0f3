/**
 * LoadBalancer address pools: what they are configured from, and what is decided for a Service.
 * Types only.
 */
import type { Family, Issue } from '../../net/values.ts';
import type { LabelSelector } from '../../objects/types.ts';

/** One pool of addresses. */
export interface PoolConfig {
  readonly name: string;
  /** CIDRs; network and broadcast addresses (IPv6: the anycast address) are not given out. @defaultValue [] */
  readonly cidrs?: readonly string[];
  /** `first-last`, every address of them. @defaultValue [] */
  readonly ranges?: readonly string[];
  /** Families that it gives out. @defaultValue both */
  readonly families?: readonly Family[];
  /** Give out addresses to Services that ask for no pool and no address. @defaultValue true */
  readonly autoAssign?: boolean;
  /** Namespaces that may use it; absent: all. */
  readonly namespaceSelector?: LabelSelector;
  /** Services that may use it; absent: all. */
  readonly serviceSelector?: LabelSelector;
}

/** Options of {@link createPoolAllocator}. */
export interface PoolOptions {
  /** In order of preference. */
  readonly pools: readonly PoolConfig[];
  /** Serve Services without a class, or of class `default`, too. @defaultValue true */
  readonly defaultClass?: boolean;
}

/** What a Service should get. */
export interface Allocation {
  /** `keep`: its status is right; `assign`: write `ips`, which may be none; `none`: nothing could be given, see the issues; `foreign`: not ours to serve. */
  readonly outcome: 'keep' | 'assign' | 'none' | 'foreign';
  /** Every address that the Service should have, canonical, in the order of its families. */
  readonly ips: readonly string[];
  /** A pool that it may use had no address left. */
  readonly exhausted: boolean;
  readonly issues: readonly Issue[];
}

/** How full a pool is. */
export interface PoolUsage {
  readonly name: string;
  readonly family: Family;
  readonly size: bigint;
  /** Addresses given out. */
  readonly used: number;
}
