/**
 * kube-router-sdk: composable building blocks for Kubernetes node networking.
 * The root offers one namespace a block; import a subpath (`kube-router-sdk/bgp`) to load one block alone.
 */
export * as net from './net/index.ts';
