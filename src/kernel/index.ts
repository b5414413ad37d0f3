/**
 * One door to the kernel: a runner for commands, typed drivers for the tools, and `reconcile()`, the loop of every block.
 * @module kernel
 */
export type * from './types.ts';
export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export type { CommandRecord, RunnerOptions, SystemRunner } from './runner.ts';
export { createRunner } from './runner.ts';
export type { BackoffOptions } from './backoff.ts';
export { backoffDelay } from './backoff.ts';
export type { ReconcileOptions } from './reconcile.ts';
export { reconcile } from './reconcile.ts';
export type { BlockOwnership, OwnedValue, Ownership, OwnershipOptions } from './ownership.ts';
export { OWNERSHIP_PATH, openOwnership } from './ownership.ts';
export type { RestoreResult, Sysctl, SysctlOptions } from './sysctl.ts';
export { createSysctl } from './sysctl.ts';
