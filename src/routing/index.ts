/**
 * Pod networking: learned routes into the FIB with ECMP, overlays, pod egress, policy rules, MTU, BGP peers from Node objects, the CNI file.
 * The pure half compiles, plans and renders without privileges; `createRoutingTarget` applies it under `reconcile()`.
 * @module routing
 */
export type {
  ChainItem,
  Encapsulation,
  EntryItem,
  FdbItem,
  FoundTunnel,
  FouItem,
  LinkItem,
  NeighbourItem,
  RouteHop,
  RouteItem,
  RoutingItem,
  RoutingOptions,
  RoutingState,
  RuleItem,
  SetItem,
  SysctlItem,
  Underlay,
  WireguardPeerItem,
} from './model.ts';
export { itemKey } from './model.ts';
export type { CompileInput, RoutingCompiler, RoutingInput, RoutingOutput } from './compile/compiler.ts';
export { compile, createRoutingCompiler } from './compile/compiler.ts';
export { overhead, podMtu } from './compile/encapsulation.ts';
export type { RoutingChange, RoutingObserved, RoutingPlan } from './plan.ts';
export { emptyObservation, plan } from './plan.ts';
export type { IptablesPrograms, RenderOptions, RoutingCommand } from './render.ts';
export { render, renderCommands } from './render.ts';
export type { RoutingPart, RoutingTarget, RoutingTargetOptions } from './target.ts';
export { createRoutingTarget, observeRouting } from './target.ts';
export type { UnderlayOptions } from './underlay.ts';
export { readUnderlay } from './underlay.ts';
export type { RoutingDrift, WatchOptions } from './watch.ts';
export { watchRouting } from './watch.ts';
export { advertisements } from './advertise.ts';
export type {
  BfdConfig,
  BgpNodeConfig,
  BgpPeerConfig,
  ExternalPeerOption,
  GracefulRestartConfig,
  PeersOptions,
} from './peers/model.ts';
export type { PeersInput } from './peers/peers.ts';
export { peers } from './peers/peers.ts';
export type { CniState } from './cni/edit.ts';
export { editCni, newCni } from './cni/edit.ts';
export type { CniObserved, CniPlan, CniRestored, CniTargetOptions } from './cni/file.ts';
export { CNI_PATH, createCniTarget, restoreCni } from './cni/file.ts';
export type { CleanupOptions, CleanupReport } from './cleanup.ts';
export { cleanupRouting } from './cleanup.ts';
