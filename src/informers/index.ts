/**
 * Sources of Kubernetes objects: the API server by list and watch, or manifests on disk, as streams of projected objects.
 * @module informers
 */
export * from '../objects/index.ts';
export type {
  Change,
  ChangeBatch,
  ObjectSource,
  SelectOptions,
  Snapshot,
  Source,
  SourcePhase,
  SourceState,
} from './source.ts';
export type { InformerKinds, Informers, InformersOptions } from './informers.ts';
export { createInformers } from './informers.ts';
export type { ManifestOptions, ManifestSource } from './manifests.ts';
export { createManifestSource } from './manifests.ts';
export { joinBatches } from './merge.ts';
export type { Store } from './store.ts';
export { createStore } from './store.ts';
export type { ApiRequest, ApiResponse, Connection, ConnectionOptions, ConnectionSettings } from './api/connection.ts';
export { createConnection } from './api/connection.ts';
export type { InClusterOptions } from './api/in-cluster.ts';
export { createInClusterConnection } from './api/in-cluster.ts';
export type { KubeConfigOptions } from './api/kubeconfig.ts';
export { createKubeConfigConnection } from './api/kubeconfig.ts';
export { callApi } from './api/client.ts';
export type { BackoffOptions } from './api/backoff.ts';
export type { KindSpec } from './api/kind-spec.ts';
export type { ListWatchOptions } from './api/list-watch.ts';
export type { ApiSource, ApiSourceOptions } from './api/source.ts';
export { createApiSource } from './api/source.ts';
export type { ApiObject, ApiWriter, KindPath, ObjectRef, PatchType, WriteOptions } from './api/writes.ts';
export { createApiWriter } from './api/writes.ts';
export type { LeaderElection, Leadership, LeaseOptions } from './api/lease.ts';
export { createLeaderElection } from './api/lease.ts';
export type { EventNote, EventRecorder, EventRecorderOptions } from './api/events.ts';
export { createEventRecorder } from './api/events.ts';
export type { Index } from './indexes.ts';
export { createIndex, indexByAddress, indexByLabel, indexByNamespace, indexByNode, indexByService } from './indexes.ts';
