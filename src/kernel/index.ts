/**
 * One door to the kernel: a runner for commands, typed drivers for the tools, and `reconcile()`, the loop of every block.
 * @module kernel
 */
export type * from './types.ts';
