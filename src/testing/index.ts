/**
 * What a test of code on this SDK needs: a runner that records, time that stands still, objects and an API server.
 * @module testing
 */
export * from './builders.ts';
export * from './paired-peers.ts';
export * from './recording-runner.ts';
export * from './virtual-clock.ts';
export type { ApiServer, ApiServerOptions } from './api-server/server.ts';
export { createApiServer } from './api-server/server.ts';
export type { Fault, FaultOptions, RequestInfo, WireEvent } from './api-server/faults.ts';
export type { ResourceType } from './api-server/resources.ts';
export type { Backup, StoredObject } from './api-server/store.ts';
