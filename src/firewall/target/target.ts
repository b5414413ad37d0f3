/**
 * One target for either backend, so that who wires it up chooses by an option and needs to know nothing else. It also takes away
 * what the backend before it left, once its own rules are in force.
 */
import type { Applied, ApplyFailure, PlanOptions, Target } from '../../kernel/types.ts';
import type { FirewallState } from '../model/types.ts';
import { createIptablesTarget } from './iptables.ts';
import type { IptablesTargetOptions } from './iptables.ts';
import { countLeftovers, describeLeftovers, findLeftovers, ownSets, removeLeftovers } from './leftovers.ts';
import type { LeftoverOptions, Leftovers } from './leftovers.ts';
import { createNftablesTarget } from './nftables.ts';

/** What a firewall target is made from. */
export interface FirewallTargetOptions extends IptablesTargetOptions {
  /** @defaultValue 'iptables' */
  readonly backend?: 'iptables' | 'nftables';
}

/** What the kernel holds of the firewall; opaque. */
export interface FirewallObserved {
  readonly own: unknown;
  readonly leftovers: Leftovers;
}

/** What is to be done; opaque. */
export interface FirewallPlan {
  readonly own: unknown;
  readonly observed: FirewallObserved;
}

/** A target for `reconcile()`. */
export type FirewallTarget = Target<FirewallState, FirewallObserved, FirewallPlan>;

const NO_CHAINS = {
  4: { put: new Map(), remove: [], jumps: new Map() },
  6: { put: new Map(), remove: [], jumps: new Map() },
} as const;
const NONE: Leftovers = { iptables: [], nftables: false };

function wrap<Observed, Plan>(
  inner: Target<FirewallState, Observed, Plan>,
  options: FirewallTargetOptions,
  /** What of a plan must wait until the leftovers are gone, because they may still use it. */
  split: (plan: Plan) => { readonly now: Plan; readonly later?: Plan },
): FirewallTarget {
  const inForce = options.backend === 'nftables' ? 'nftables' : (options.flavour ?? 'system');
  const sets = inForce === 'nftables';
  let looked = false;
  const own = (observed: FirewallObserved): Observed => observed.own as Observed;
  return {
    name: inner.name,
    async observe(signal) {
      const found = looked ? NONE : await findLeftovers(options, inForce, signal);
      looked = countLeftovers(found) === 0;
      return { own: await inner.observe(signal), leftovers: found };
    },
    plan: (desired: FirewallState, observed: FirewallObserved, how: PlanOptions) => {
      // Before everything is known, what the other backend enforces must stay.
      const leftovers = how.prune ? observed.leftovers : NONE;
      return { own: inner.plan(desired, own(observed), how), observed: { own: observed.own, leftovers } };
    },
    size: (plan) => inner.size(plan.own as Plan) + countLeftovers(plan.observed.leftovers),
    async apply(plan, signal): Promise<Applied<FirewallObserved>> {
      const found = countLeftovers(plan.observed.leftovers) > 0;
      const { now, later } = found ? split(plan.own as Plan) : { now: plan.own as Plan };
      let applied = await inner.apply(now, signal);
      if (applied.failures.length > 0 || applied.observed === undefined) return { failures: applied.failures };
      let failures: readonly ApplyFailure[] = [];
      if (found) {
        failures = await removeLeftovers(options, plan.observed.leftovers, sets, signal);
        if (failures.length > 0) return { failures };
      }
      if (later !== undefined) applied = await inner.apply(later, signal);
      if (applied.failures.length > 0 || applied.observed === undefined) return { failures: applied.failures };
      looked = true;
      return { observed: { own: applied.observed, leftovers: NONE }, failures };
    },
  };
}

/** A target for `reconcile()` that keeps the kernel's packet filter equal to the compiled policies. */
export function createFirewallTarget(options: FirewallTargetOptions): FirewallTarget {
  return options.backend === 'nftables'
    ? wrap(createNftablesTarget(options), options, (now) => ({ now }))
    : wrap(createIptablesTarget(options), options, (plan) => ({
        now: { ...plan, destroy: [] },
        later: { ...plan, prepare: [], chains: NO_CHAINS, commit: [], retire: NO_CHAINS },
      }));
}

/** How to clean up. */
export interface CleanupFirewallOptions extends LeftoverOptions {
  /** Only tell what would be removed. @defaultValue false */
  readonly dryRun?: boolean;
}

/** What a cleanup found and did. */
export interface CleanupFirewallResult {
  /** Each thing of ours that was there, e.g. `iptables-nft IPv4 chain KUBE-ROUTER-INPUT`, `ipset krs4-iso-ingress`. */
  readonly found: readonly string[];
  readonly failures: readonly ApplyFailure[];
}

/** Removes everything of ours, whatever backend made it; nothing of anybody else. Needs no running agent. */
export async function cleanupFirewall(
  options: CleanupFirewallOptions,
  signal?: AbortSignal,
): Promise<CleanupFirewallResult> {
  const leftovers = await findLeftovers(options, 'nothing', signal);
  const found = [...describeLeftovers(leftovers), ...(await ownSets(options, signal)).map((name) => `ipset ${name}`)];
  if (options.dryRun === true || found.length === 0) return { found, failures: [] };
  return { found, failures: await removeLeftovers(options, leftovers, true, signal) };
}
