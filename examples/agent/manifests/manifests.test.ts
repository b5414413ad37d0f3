/**
 * Every manifest, base and overlays, put together as kustomize would and loaded into the test API server: it is accepted, names
 * what exists, and its flags are flags of the agent. kustomize itself is not needed: the overlays use resources and JSON patches only.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createApiServer, type ApiServer } from 'kube-router-sdk/testing';
import { callApi, createConnection } from 'kube-router-sdk/informers';
import { loadConfig } from '../src/config/load.ts';
import { parseCommandLine } from '../src/flags/command-line.ts';

const folder = fileURLToPath(new URL('.', import.meta.url));

interface Patch {
  readonly target: { readonly kind: string; readonly name: string };
  readonly patch: string;
}
interface Operation {
  readonly op: 'add' | 'replace' | 'remove';
  readonly path: string;
  readonly value?: unknown;
}
type Json = Record<string, unknown>;
interface DaemonSet {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly {
          readonly args: string[];
          readonly securityContext: {
            readonly capabilities: { readonly add: string[] };
            readonly privileged?: boolean;
          };
          readonly volumeMounts: readonly { readonly name: string }[];
          readonly livenessProbe: unknown;
          readonly readinessProbe: unknown;
        }[];
        readonly initContainers: readonly unknown[];
        readonly volumes: readonly { readonly name: string }[];
      };
    };
  };
}

/** RFC 6902, as far as the overlays use it. */
function apply(object: Json, { op, path, value }: Operation): void {
  const steps = path.slice(1).split('/');
  const last = steps.pop() ?? '';
  let at: unknown = object;
  for (const step of steps) at = (at as Json)[step];
  if (at === undefined) throw new Error(`${path} leads nowhere`);
  if (Array.isArray(at)) {
    if (op === 'remove') at.splice(Number(last), 1);
    else if (op === 'replace') at[Number(last)] = value;
    else at.splice(last === '-' ? at.length : Number(last), 0, value);
    return;
  }
  const map = at as Json;
  if (op === 'replace' && !(last in map)) throw new Error(`${path} is not there`);
  if (op === 'remove') delete map[last];
  else map[last] = value;
}

/** What `kustomize build` of a folder prints. */
function build(at: string): Json[] {
  const file = parse(readFileSync(join(at, 'kustomization.yaml'), 'utf8')) as {
    resources: string[];
    patches?: Patch[];
  };
  const objects = file.resources.flatMap((resource): Json[] => {
    const path = resolve(at, resource);
    return resource.endsWith('.yaml')
      ? parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as Json)
      : build(path);
  });
  for (const { target, patch } of file.patches ?? []) {
    const found = objects.filter(
      (one) => one['kind'] === target.kind && (one['metadata'] as Json)['name'] === target.name,
    );
    if (found.length !== 1) throw new Error(`${at}: a patch for ${target.kind} ${target.name} finds ${found.length}`);
    for (const operation of parse(patch) as Operation[]) apply(found[0] ?? {}, operation);
  }
  return objects;
}

const variants = globSync('{base,overlays/*}/kustomization.yaml', { cwd: folder })
  .map((path) => dirname(path))
  .sort();
const RBAC = 'rbac.authorization.k8s.io';
let server: ApiServer;
beforeAll(async () => {
  server = await createApiServer({
    resources: [
      { group: 'apps', version: 'v1', kind: 'DaemonSet', plural: 'daemonsets', namespaced: true },
      { group: '', version: 'v1', kind: 'ServiceAccount', plural: 'serviceaccounts', namespaced: true },
      { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true },
      { group: RBAC, version: 'v1', kind: 'ClusterRole', plural: 'clusterroles', namespaced: false },
      { group: RBAC, version: 'v1', kind: 'ClusterRoleBinding', plural: 'clusterrolebindings', namespaced: false },
    ],
  });
});
afterAll(() => server.close());

test('the variants of kube-router have an overlay each', () => {
  expect(variants).toEqual([
    'base',
    ...[
      'advertise-routes-only',
      'all-features',
      'dsr',
      'fail-closed',
      'firewall-only',
      'hostport',
      'kubeadm',
      'proxy-only',
    ].map((name) => `overlays/${name}`),
  ]);
});

describe.each(variants)('%s', (variant) => {
  const objects = build(join(folder, variant));
  const daemon = objects.find(({ kind }) => kind === 'DaemonSet') as unknown as DaemonSet;
  const pod = daemon.spec.template.spec;

  test('is accepted by the API and comes back as it was', async () => {
    const connection = createConnection({
      server: server.url,
      settings: () => Promise.resolve({ server: server.url }),
    });
    for (const object of objects) {
      const { apiVersion, kind, metadata } = object as unknown as {
        apiVersion: string;
        kind: string;
        metadata: { name: string; namespace?: string };
      };
      const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
      const path = `${group}${metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`}/${kind.toLowerCase()}s`;
      server.remove(kind, metadata.name, metadata.namespace);
      await callApi(connection, { method: 'POST', path, body: object });
      expect(await callApi(connection, { path: `${path}/${metadata.name}` })).toMatchObject({ kind, metadata });
    }
  });

  test('its flags are the agent’s', () => {
    for (const { args } of pod.containers) expect(() => loadConfig(parseCommandLine(args), { env: {} })).not.toThrow();
  });

  test('every mounted volume is there, probes look where the agent answers, nothing is privileged', () => {
    const volumes = new Set(pod.volumes.map(({ name }) => name));
    const [container] = pod.containers;
    for (const { name } of container?.volumeMounts ?? []) expect(volumes).toContain(name);
    expect(container?.livenessProbe).toMatchObject({ httpGet: { path: '/healthz', port: 20244 } });
    expect(container?.readinessProbe).toMatchObject({ httpGet: { path: '/readyz', port: 20244 } });
    expect(container?.securityContext.privileged).toBeUndefined();
    const added = container?.securityContext.capabilities.add ?? [];
    expect(added.includes('SYS_ADMIN')).toBe(variant.endsWith('dsr'));
  });
});
