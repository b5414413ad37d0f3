/**
 * Addresses for Services of type LoadBalancer: the pools of flags and file, a Lease that lets one agent allocate, and the API
 * to read from and write to. Everything that decides is in `kube-router-sdk/ingress`.
 */
import { readFileSync } from 'node:fs';
import {
  callApi,
  createApiWriter,
  createLeaderElection,
  objectKey,
  projectNamespace,
  projectService,
  type ApiObject,
  type Connection,
  type EventRecorder,
} from 'kube-router-sdk/informers';
import {
  createLoadBalancerController,
  type AllocationNotice,
  type AllocationPass,
  type LoadBalancerApi,
  type PoolConfig,
} from 'kube-router-sdk/ingress';
import { isSdkError, type Issue } from 'kube-router-sdk/net';
import type { Config } from '../config/load.ts';
import type { Environment } from '../node.ts';
import type { BlockContext } from './context.ts';

const SERVICES = { apiVersion: 'v1', plural: 'services', namespaced: true };
const LEASE_NAME = 'kube-router-lballoc';
const SETTLE_MS = 100;

/** Pools in order of preference: those of the file, then the ranges of the flag as `default`. */
export function poolsOf(config: Config): readonly PoolConfig[] {
  const cidrs = config.flags['loadbalancer-ip-range'];
  const fromFile = config.pools.map((pool): PoolConfig => {
    const { families, namespaceSelector, serviceSelector, ...rest } = pool;
    return {
      ...rest,
      ...(families === undefined ? {} : { families }),
      ...(namespaceSelector === undefined ? {} : { namespaceSelector }),
      ...(serviceSelector === undefined ? {} : { serviceSelector }),
    };
  });
  return cidrs.length === 0 ? fromFile : [...fromFile, { name: 'default', cidrs }];
}

/** Namespace of the Lease: where the agent's pod lives. */
function leaseNamespace(env: Environment): string {
  const named = env['POD_NAMESPACE'];
  if (named !== undefined && named !== '') return named;
  try {
    return readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/namespace', 'utf8').trim();
  } catch {
    return 'kube-system';
  }
}

/** Type of the condition on a Service that says whether it has its addresses. */
export const ADDRESS_CONDITION = 'kube-router.io/AddressAllocated';

/** The Service with the condition that a notice makes; undefined when it has it already. */
export function withCondition(service: ApiObject, notice: AllocationNotice, now: Date): ApiObject | undefined {
  const status = (service['status'] ?? {}) as Record<string, unknown>;
  const conditions = Array.isArray(status['conditions']) ? (status['conditions'] as Record<string, unknown>[]) : [];
  const before = conditions.find((one) => one['type'] === ADDRESS_CONDITION);
  const value = notice.type === 'Normal' ? 'True' : 'False';
  const { reason, message } = notice;
  if (before?.['status'] === value && before['reason'] === reason && before['message'] === message) return undefined;
  const since = before?.['status'] === value ? before['lastTransitionTime'] : undefined;
  const { generation } = service.metadata;
  const condition = {
    type: ADDRESS_CONDITION,
    status: value,
    reason,
    message,
    lastTransitionTime: since ?? now.toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  const others = conditions.filter((one) => one['type'] !== ADDRESS_CONDITION);
  return { ...service, apiVersion: 'v1', kind: 'Service', status: { ...status, conditions: [...others, condition] } };
}

/** The API as the controller wants it. */
export function loadBalancerApi(connection: Connection, events: EventRecorder): LoadBalancerApi {
  const writer = createApiWriter(connection);
  const raws = new Map<string, ApiObject>();
  const list = async (path: string): Promise<readonly ApiObject[]> =>
    ((await callApi(connection, { path })) as { items?: readonly ApiObject[] }).items ?? [];
  return {
    async read() {
      const [services, namespaces] = await Promise.all([list('/api/v1/services'), list('/api/v1/namespaces')]);
      raws.clear();
      return {
        services: services.flatMap((raw) => {
          const { object } = projectService(raw);
          if (object === undefined) return [];
          const key = objectKey(object);
          raws.set(key, raw);
          return [{ key, service: object, resourceVersion: raw.metadata.resourceVersion ?? '' }];
        }),
        namespaces: new Map(
          namespaces.flatMap((raw) => {
            const { object } = projectNamespace(raw);
            return object === undefined ? [] : [[object.name, object.labels] as const];
          }),
        ),
      };
    },
    async writeIngress(key, ips, resourceVersion) {
      const raw = raws.get(key);
      if (raw === undefined) return 'conflict';
      const status = (raw['status'] ?? {}) as Record<string, unknown>;
      const object = {
        ...raw,
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { ...raw.metadata, resourceVersion },
        status: { ...status, loadBalancer: { ingress: ips.map((ip) => ({ ip, ipMode: 'VIP' })) } },
      };
      try {
        await writer.update(SERVICES, object, { subresource: 'status', attempts: 1 });
        return 'written';
      } catch (error) {
        const code = isSdkError(error, 'API_ERROR') ? error.details['status'] : undefined;
        if (code === 409 || code === 404) return 'conflict';
        throw error;
      }
    },
    async tell(notice) {
      const { key, type, reason, message } = notice;
      const [namespace = '', name = ''] = key.split('/');
      events.record({ about: { apiVersion: 'v1', kind: 'Service', namespace, name }, type, reason, message });
      try {
        const change = (service: ApiObject): ApiObject | undefined => withCondition(service, notice, new Date());
        await writer.modify(SERVICES, { namespace, name }, change, { subresource: 'status' });
      } catch (error) {
        // A Service that is gone needs no condition; the event has told whatever there is to tell.
        if (!isSdkError(error, 'API_ERROR')) throw error;
      }
    },
  };
}

/** Runs the allocator until the agent ends. */
export function wireLoadBalancer(context: BlockContext, connection: Connection, events: EventRecorder): void {
  const { config, env, node, log, objects, state } = context;
  const identity = env['POD_NAME'] ?? node;
  const election = createLeaderElection({ connection, namespace: leaseNamespace(env), name: LEASE_NAME, identity });
  const controller = createLoadBalancerController({
    pools: poolsOf(config),
    defaultClass: config.flags['loadbalancer-default-class'],
    api: loadBalancerApi(connection, events),
    lease: { term: () => election.current.token, confirm: (term) => election.confirm(term) },
  });
  let issues: readonly Issue[] = [];
  let timer: NodeJS.Timeout | undefined;
  let failing = '';
  const done = (pass: AllocationPass): void => {
    if (failing !== '') log.info({ block: 'loadbalancer' }, 'allocation works again');
    failing = '';
    issues = pass.issues;
    state.setIssues('loadbalancer', issues);
    for (const [service, addresses] of pass.assigned)
      log.info({ block: 'loadbalancer', service, addresses }, 'addresses assigned');
    for (const { name, family, size, used } of pass.usage) {
      const labels = { pool: name, family: String(family) };
      context.metrics?.set('kube_router_loadbalancer_pool_used', used, labels);
      context.metrics?.set('kube_router_loadbalancer_pool_size', Number(size), labels);
    }
    if (!pass.settled) soon();
  };
  const soon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      controller.sync().then(done, (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        if (failing !== reason)
          log.error({ block: 'loadbalancer', error: reason }, 'allocation failed; it is tried again');
        failing = reason;
      });
    }, SETTLE_MS);
  };
  const subscriptions = [
    objects.open('Service').changes$.subscribe(soon),
    objects.open('Namespace').changes$.subscribe(soon),
    election.leadership$.subscribe(({ leader, holder }) => {
      log.info({ block: 'loadbalancer', leader, holder }, 'leadership of address allocation');
      if (leader) soon();
    }),
  ];
  const period = setInterval(soon, config.flags['loadbalancer-sync-period']);
  context.onClose(async () => {
    clearInterval(period);
    clearTimeout(timer);
    for (const subscription of subscriptions) subscription.unsubscribe();
    await election.close();
  });
}
