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
