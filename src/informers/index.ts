/**
 * Sources of Kubernetes objects: the API server by list and watch, or manifests on disk, as streams of projected objects.
 * @module informers
 */
export * from '../objects/index.ts';
