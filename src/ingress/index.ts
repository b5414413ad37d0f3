/**
 * Highly available ingress: which service addresses this node announces and why, with per-Service BGP attributes.
 * Pure; the outcome is a plain list of advertisements for any speaker, or for none.
 * @module ingress
 */
export type { Change, IngressInput, IngressOptions, IngressOutput, PrefixAttributes } from './model.ts';
export { serviceAnnotations } from './model.ts';
export type { IngressCompileInput, IngressCompiler } from './compile.ts';
export { compile, createIngressCompiler } from './compile.ts';
export type { AddressCheck, AddressRules } from './validate.ts';
export { createAddressCheck } from './validate.ts';
export type { AggregateConfig, AggregateInput, AggregateOutput } from './aggregate.ts';
export { aggregate } from './aggregate.ts';
export type { Allocation, PoolConfig, PoolOptions, PoolUsage } from './pools/model.ts';
export type { PoolAllocator } from './pools/allocator.ts';
export { LOAD_BALANCER_CLASS, createPoolAllocator } from './pools/allocator.ts';
export type {
  AllocationNotice,
  AllocationPass,
  AllocatorLease,
  LoadBalancerApi,
  LoadBalancerController,
  LoadBalancerOptions,
  VersionedService,
} from './pools/controller.ts';
export { createLoadBalancerController } from './pools/controller.ts';
