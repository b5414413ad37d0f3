/**
 * The service proxy: Kubernetes Services on IPVS. `compile` and `createServiceCompiler` are pure; `createIpvsTarget` is what
 * `reconcile()` drives; `cleanupIpvs` is its inverse.
 * @module ipvs
 */
export type * from './model.ts';
export { DSR_TABLE, MARK_MASK, hostPort, ipvsNames, markKey, serverKey } from './model.ts';
export type { ProxyNode, ServiceOptions } from './compile/options.ts';
export type { CompileInput } from './compile/compile.ts';
export { compile } from './compile/compile.ts';
export type { Compiled, ServiceChange, ServiceCompiler } from './compile/compiler.ts';
export { createServiceCompiler } from './compile/compiler.ts';
export type { HealthPort } from './compile/service.ts';
export type { IpvsObserved, IpvsPlan, Step } from './plan.ts';
export { emptyObserved, plan } from './plan.ts';
export type { IpvsCommand, RenderOptions } from './render.ts';
export { render, renderCommands } from './render.ts';
export type { ReadServer, ServerLoad } from './parse.ts';
export { marksOf, parseChains, parseServers, parseSets } from './parse.ts';
export type { ObserveOptions } from './observe.ts';
export { observeIpvs } from './observe.ts';
export type { LocalAddresses } from './node.ts';
export { readLocalAddresses, readMarks } from './node.ts';
export type { IpvsTarget, IpvsTargetOptions } from './target.ts';
export { createIpvsTarget } from './target.ts';
export type { CleanupOptions, CleanupResult } from './cleanup.ts';
export { cleanupIpvs } from './cleanup.ts';
export type { HealthPorts, HealthPortsOptions } from './health.ts';
export { createHealthPorts } from './health.ts';
export type { MaglevBackend, MaglevBalance, MaglevDisruption, MaglevOptions, MaglevTable } from './maglev/table.ts';
export { lookupMaglev, maglevBalance, maglevDisruption, maglevTable } from './maglev/table.ts';
export type { MhOptions, MhServer, MhTable } from './maglev/kernel.ts';
export { mhLookup, mhTable } from './maglev/kernel.ts';
export type { DsrPod } from './compile/service.ts';
export type { DsrPods, DsrPodsOptions } from './dsr/pods.ts';
export { createDsrPods } from './dsr/pods.ts';
export type { Cri, CriOptions } from './dsr/cri.ts';
export { createCri } from './dsr/cri.ts';
export { findNetnsByCgroup } from './dsr/netns.ts';
export type { CounterSample, Counts, CountersOptions, ReadCounts, ServiceCounters } from './counters.ts';
export { ipvsCounters, parseCounters } from './counters.ts';
