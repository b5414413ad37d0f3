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
