/**
 * A whole cluster compiled at once: what a program does that looks once, and what tests do. The incremental compiler under it is in
 * compiler.ts. Pure.
 */
import type { Issue } from '../../net/values.ts';
import type { EndpointSliceObject, PodObject, ServiceObject } from '../../objects/types.ts';
import type { IpvsState } from '../model.ts';
import { createServiceCompiler } from './compiler.ts';
import type { ServiceChange } from './compiler.ts';
import type { ServiceOptions } from './options.ts';

/** Input of {@link compile}. */
export interface CompileInput extends ServiceOptions {
  readonly services: Iterable<ServiceObject>;
  readonly endpointSlices: Iterable<EndpointSliceObject>;
  readonly pods?: Iterable<PodObject>;
}

/**
 * Compiles a whole cluster at once. Returns the desired state with the issues of its objects.
 * @throws SdkError `INVALID_OPTION`
 * @example
 * ```ts
 * import { project } from 'kube-router-sdk/informers';
 * import { compile } from 'kube-router-sdk/ipvs';
 * import { buildEndpointSlice, buildService } from 'kube-router-sdk/testing';
 *
 * const service = buildService('shop/web', { clusterIPs: ['10.96.0.10'], ports: [{ port: 80 }] });
 * const slice = buildEndpointSlice('shop/web', { endpoints: [{ address: '10.1.1.2' }], ports: [{ port: 8080 }] });
 * const { items, issues } = compile({
 *   node: { name: 'worker-1', primary: { 4: '192.168.1.11' } },
 *   services: [project('Service', service).object].filter((one) => one !== undefined),
 *   endpointSlices: [project('EndpointSlice', slice).object].filter((one) => one !== undefined),
 * });
 * console.log(items.has('vs/tcp/10.96.0.10:80'), issues.length); // true 0
 * ```
 */
export function compile(input: CompileInput): IpvsState & { readonly issues: readonly Issue[] } {
  const compiler = createServiceCompiler(input);
  const changes: ServiceChange[] = [];
  const keyOf = (object: { namespace: string; name: string }): string => `${object.namespace}/${object.name}`;
  for (const object of input.pods ?? []) changes.push({ kind: 'Pod', key: keyOf(object), object });
  for (const object of input.services) changes.push({ kind: 'Service', key: keyOf(object), object });
  for (const object of input.endpointSlices) changes.push({ kind: 'EndpointSlice', key: keyOf(object), object });
  compiler.update(changes);
  const { state } = compiler.flush();
  return { items: state.items, graceMs: state.graceMs, drain: state.drain, issues: compiler.issues() };
}
