/**
 * What tests of a program built on this package need: object builders, a test API server, a recording runner, virtual time.
 * @module testing
 */
export type { EndpointOptions, MetadataOptions, RawObject } from './builders.ts';
export {
  buildEndpointSlice,
  buildNamespace,
  buildNetworkPolicy,
  buildNode,
  buildPod,
  buildService,
} from './builders.ts';
