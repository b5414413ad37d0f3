/**
 * kube-router-sdk: composable building blocks for Kubernetes node networking.
 * The root offers one namespace a block; import a subpath (`kube-router-sdk/bgp`) to load one block alone. The kit for tests is
 * at `kube-router-sdk/testing` only.
 * @module kube-router-sdk
 */
export * as net from './net/index.ts';
export * as kernel from './kernel/index.ts';
export * as informers from './informers/index.ts';
export * as bgp from './bgp/index.ts';
export * as routing from './routing/index.ts';
export * as ipvs from './ipvs/index.ts';
export * as firewall from './firewall/index.ts';
export * as ingress from './ingress/index.ts';
