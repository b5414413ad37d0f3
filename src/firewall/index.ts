/**
 * The policy firewall: NetworkPolicies compiled, incrementally, to kernel sets and chains, and an evaluator that answers for any
 * flow whether and why it may pass. Pure: `evaluate`, `compile`, `createPolicyCompiler`, plan and render. Effects: the targets.
 * @module firewall
 */
export type { Decision, Flow, PolicyModel, Verdict } from './evaluate.ts';
export { evaluate } from './evaluate.ts';
export type {
  FirewallChanges,
  FirewallObjects,
  FirewallUpdate,
  ObjectChange,
  PolicyCompiler,
  PolicyCompilerOptions,
} from './compile/compiler.ts';
export { compile, createPolicyCompiler } from './compile/compiler.ts';
export type {
  ChainRule,
  Chain,
  ClassChain,
  CompiledSet,
  Direction,
  DispatchBranch,
  DispatchChain,
  FamilyState,
  FirewallState,
  PortRange,
  SetKind,
  SetRole,
} from './model/types.ts';
export type { EntryOptions } from './model/options.ts';
export type { IptablesFlavour, IptablesTargetOptions } from './target/iptables.ts';
export type { LeftoverOptions } from './target/leftovers.ts';
export type { CleanupFirewallOptions, CleanupFirewallResult } from './target/target.ts';
export type { FirewallObserved, FirewallPlan, FirewallTarget, FirewallTargetOptions } from './target/target.ts';
export { cleanupFirewall, createFirewallTarget } from './target/target.ts';
export type { RefusedPacket } from './parse/nflog.ts';
export type { Denial, DenialOptions } from './denials.ts';
export { watchDenials } from './denials.ts';
