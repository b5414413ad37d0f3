/**
 * Services and slices for the tests of the service proxy, already projected, with the least text a case needs.
 */
import { projectEndpointSlice, projectPod, projectService } from '../../src/objects/index.ts';
import type { EndpointSliceObject, PodObject, ServiceObject } from '../../src/objects/index.ts';
import { buildEndpointSlice, buildPod, buildService } from '../../src/testing/builders.ts';
import type { EndpointOptions } from '../../src/testing/builders.ts';

/** A Service; problems in the case itself are errors. */
export function service(key: string, options: Parameters<typeof buildService>[1]): ServiceObject {
  const { object, issues } = projectService(buildService(key, options));
  if (object === undefined || issues.length > 0) throw new Error(JSON.stringify(issues));
  return object;
}

/** A slice of a Service; `endpoints` are addresses or whole endpoints. */
export function slice(
  key: string,
  endpoints: readonly (string | EndpointOptions)[],
  ports: readonly Readonly<Record<string, unknown>>[] = [{ port: 8080 }],
  options: Parameters<typeof buildEndpointSlice>[1] = {},
): EndpointSliceObject {
  const list = endpoints.map((one) => (typeof one === 'string' ? { address: one } : one));
  const { object, issues } = projectEndpointSlice(buildEndpointSlice(key, { ...options, endpoints: list, ports }));
  if (object === undefined || issues.length > 0) throw new Error(JSON.stringify(issues));
  return object;
}

/** A Pod. */
export function pod(key: string, options: Parameters<typeof buildPod>[1]): PodObject {
  const { object, issues } = projectPod(buildPod(key, options));
  if (object === undefined || issues.length > 0) throw new Error(JSON.stringify(issues));
  return object;
}
