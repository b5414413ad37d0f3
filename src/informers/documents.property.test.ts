/**
 * One mistake anywhere costs one object at most: a cluster's worth of valid documents in which any one field is replaced by any wrong
 * value, or any stretch of text by noise, as YAML documents and as a JSON List.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { readDocuments } from './documents.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const metadata = (name: string): Json => ({ name, namespace: 'default', labels: { app: name } });
const cluster: readonly { readonly [key: string]: Json }[] = [
  {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node1', annotations: { 'kube-router.io/peer.ips': '192.0.2.1' } },
    spec: { podCIDR: '10.1.1.0/24', podCIDRs: ['10.1.1.0/24'], taints: [{ key: 'a', effect: 'NoSchedule' }] },
    status: {
      addresses: [{ type: 'InternalIP', address: '192.168.1.11' }],
      conditions: [{ type: 'Ready', status: 'True' }],
    },
  },
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default', labels: { a: 'b' } } },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: metadata('web'),
    spec: { nodeName: 'node1', containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }] },
    status: { phase: 'Running', hostIP: '192.168.1.11', podIP: '10.1.1.5', podIPs: [{ ip: '10.1.1.5' }] },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata('web'),
    spec: {
      type: 'NodePort',
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10'],
      ipFamilies: ['IPv4'],
      selector: { app: 'web' },
      externalIPs: ['192.0.2.7'],
      ports: [{ name: 'http', port: 80, targetPort: 8080, nodePort: 30080, protocol: 'TCP' }],
    },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.8' }] } },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.1.1.5'], conditions: { ready: true }, nodeName: 'node1' }],
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: metadata('web'),
    spec: {
      podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['web'] }] },
      policyTypes: ['Ingress'],
      ingress: [
        { from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.9.0.0/16'] } }], ports: [{ port: 80, endPort: 90 }] },
      ],
    },
  },
];

/** Where every field of an object is. */
const paths = (value: Json, at: readonly string[] = []): (readonly string[])[] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, inner]) => [[...at, key], ...paths(inner, [...at, key])])
    : [];
const places = cluster.flatMap((object, index) => paths(object).map((path) => [String(index), ...path]));

function replaced(path: readonly string[], value: Json): Json[] {
  const copy = structuredClone(cluster) as unknown as Json[];
  let parent = copy as unknown as Record<string, Json>;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, Json>;
  parent[path.at(-1) ?? ''] = value;
  return copy;
}

const wrong = fc.constantFrom<Json>(
  ...[null, 5, -1, 1.5, 1e30, true, '', 'x', '010.0.0.1', '\u0000\u001b[31m', 'ä\n---\n'],
  ...[[], {}, ['x'], [[]], { a: 1 }, { __proto__x: [] }],
);
const asYaml = (objects: readonly Json[]): string => objects.map((object) => stringify(object)).join('---\n');
const asList = (objects: readonly Json[]): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }, undefined, 1);

/** Kinds whose object was read, and what must hold of every issue. */
function read(text: string): string[] {
  const { objects, issues } = readDocuments(text, 'a.yaml');
  for (const { object, field, reason, source } of [...issues, ...objects.flatMap((one) => one.issues)]) {
    expect(source).toMatch(/^a\.yaml:\d+:\d+$/);
    expect(object).not.toBe('');
    expect(object + field + reason).not.toMatch(/[\u0000-\u001f]/);
  }
  return objects.filter(({ object }) => object !== undefined).map(({ kind }) => kind);
}

it('a wrong value in any field costs its own object at most, and every issue says where', { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(fc.constantFrom(...places), wrong, fc.boolean(), (path, value, list) => {
      const objects = replaced(path, value);
      const found = read(list ? asList(objects) : asYaml(objects));
      const hit = cluster[Number(path[0])]?.['kind'];
      for (const { kind } of cluster) if (kind !== hit) expect(found).toContain(kind);
    }),
    { numRuns: 100 },
  );
});

it('noise in any line costs its own document at most', { timeout: 60_000 }, () => {
  const documents = cluster.map((object) => stringify(object));
  fc.assert(
    fc.property(
      fc.nat({ max: cluster.length - 1 }),
      fc.nat({ max: 200 }),
      fc.constantFrom(
        '{',
        '[',
        '"',
        "'",
        '\t',
        ': :',
        '&',
        '*x',
        '!!',
        '\u0000',
        '%',
        '|',
        '>-',
        '- -',
        '?',
        '<<: *y',
        '}',
      ),
      (index, at, noise) => {
        const text = documents.map((document, position) => {
          const offset = at % document.length;
          return position === index ? document.slice(0, offset) + noise + document.slice(offset) : document;
        });
        const found = read(text.join('---\n'));
        cluster.forEach(({ kind }, position) => position === index || expect(found).toContain(kind));
      },
    ),
    { numRuns: 100 },
  );
});
