import { describe, expect, it } from 'vitest';
import { buildEndpointSlice, buildNode, buildPod, buildService } from '../testing/builders.ts';
import { OBJECT_KINDS, project } from './project.ts';
import { projectEndpointSlice } from './endpoint-slice.ts';
import { projectNamespace } from './namespace.ts';
import { projectNode } from './node.ts';
import { projectPod } from './pod.ts';
import { projectService } from './service.ts';

const place = (issues: readonly { object: string; field: string }[]) =>
  issues.map((one) => `${one.object} ${one.field}`);

describe('Node', () => {
  it('keeps canonical addresses and CIDRs, readiness, taints and our annotations alone', () => {
    const raw = buildNode('worker-1', {
      addresses: ['192.168.1.11', '2001:DB8:0::11'],
      podCIDRs: ['10.1.1.0/24', 'FD00:1::/64'],
      annotations: { 'kube-router.io/node.asn': '64512', 'other.io/x': 'y' },
      spec: { taints: [{ key: 'dedicated', effect: 'NoSchedule' }] },
    });
    expect(projectNode(raw)).toEqual({
      issues: [],
      object: {
        kind: 'Node',
        namespace: '',
        name: 'worker-1',
        uid: 'uid-node-worker-1',
        labels: {},
        annotations: { 'kube-router.io/node.asn': '64512' },
        addresses: [
          { type: 'InternalIP', address: '192.168.1.11' },
          { type: 'InternalIP', address: '2001:db8::11' },
        ],
        podCIDRs: ['10.1.1.0/24', 'fd00:1::/64'],
        unschedulable: false,
        ready: true,
        taints: [{ key: 'dedicated', value: '', effect: 'NoSchedule' }],
      },
    });
  });

  it('leaves out a bad address and says so, keeping the others', () => {
    const result = projectNode(buildNode('n', { addresses: ['010.0.0.1', '10.0.0.2'] }));
    expect(result.object?.addresses).toEqual([{ type: 'InternalIP', address: '10.0.0.2' }]);
    expect(result.issues).toEqual([
      { object: 'Node n', field: 'status.addresses[0].address', reason: '"010.0.0.1" is not an IP address; left out' },
    ]);
  });

  it('is ready only when the condition is True, and when nobody wrote one', () => {
    const ready = (conditions: unknown) => projectNode(buildNode('n', { status: { conditions } })).object?.ready;
    expect(ready([{ type: 'Ready', status: 'Unknown' }])).toBe(false);
    expect(ready([{ type: 'Ready', status: 'True' }])).toBe(true);
    expect(ready(undefined)).toBe(true);
  });
});

describe('names', () => {
  it.each([
    ['no name', { metadata: {} }, 'Pod metadata.name'],
    ['a path for a name', { metadata: { name: '../x' } }, 'Pod ../x metadata.name'],
    ['a namespace with a line feed', { metadata: { name: 'x', namespace: 'a\nb' } }, 'Pod a\\nb/x metadata.namespace'],
    ['no object', [1], 'Pod '],
  ])('%s refuses the object', (_, raw, expected) => {
    const result = projectPod(raw);
    expect(result.object).toBeUndefined();
    expect(place(result.issues)).toEqual([expected]);
  });

  it('an absent namespace is default', () => {
    expect(projectPod({ metadata: { name: 'x' } }).object?.namespace).toBe('default');
  });
});

describe('Namespace', () => {
  it('always carries its name label', () => {
    expect(projectNamespace({ metadata: { name: 'a', labels: { team: 'x' } } }).object?.labels).toEqual({
      team: 'x',
      'kubernetes.io/metadata.name': 'a',
    });
  });

  it('reads a number in a label as text and says so; __proto__ is an ordinary key', () => {
    const raw: unknown = JSON.parse('{"metadata":{"name":"a","labels":{"v":1,"__proto__":"p"}}}');
    const result = projectNamespace(raw);
    expect(result.object?.labels['v']).toBe('1');
    expect(place(result.issues)).toEqual(['Namespace a metadata.labels["v"]']);
    expect(Object.getPrototypeOf(result.object?.labels)).toBe(Object.prototype);
  });
});

describe('Pod', () => {
  it('keeps one address a family, ports of containers and sidecars, and ids of running containers', () => {
    const raw = buildPod('shop/web', {
      node: 'worker-1',
      ips: ['10.1.1.2', 'FD00::2', '10.1.1.3'],
      spec: {
        containers: [{ ports: [{ name: 'http', containerPort: 80 }, { containerPort: 0 }] }],
        initContainers: [
          { restartPolicy: 'Always', ports: [{ name: 'side', containerPort: 81, protocol: 'UDP' }] },
          { ports: [{ name: 'gone', containerPort: 82 }] },
        ],
      },
      status: {
        hostIP: '192.168.1.11',
        containerStatuses: [
          { containerID: 'containerd://abc', state: { running: {} } },
          { containerID: 'containerd://def', state: { terminated: {} } },
        ],
      },
    });
    const { object, issues } = projectPod(raw);
    expect(object).toMatchObject({
      ips: ['10.1.1.2', 'fd00::2'],
      hostIPs: ['192.168.1.11'],
      ports: [
        { name: 'http', protocol: 'TCP', port: 80 },
        { name: 'side', protocol: 'UDP', port: 81 },
      ],
      containerIds: ['containerd://abc'],
      ready: true,
      terminationGracePeriodSeconds: 30,
    });
    expect(place(issues)).toEqual([
      'Pod shop/web status.podIPs[2].ip',
      'Pod shop/web spec.containers[0].ports[1].containerPort',
    ]);
  });

  it.each([
    [undefined, 'Pending', 0],
    ['Running', 'Running', 0],
    [7, 'Unknown', 1],
    ['Sleeping', 'Unknown', 1],
  ])('phase %j is %s', (phase, expected, issues) => {
    const result = projectPod({ metadata: { name: 'p' }, status: { phase } });
    expect(result.object?.phase).toBe(expected);
    expect(result.issues).toHaveLength(issues);
  });

  it('a deletion time is kept', () => {
    const raw = { metadata: { name: 'p', deletionTimestamp: '2026-01-02T03:04:05Z' } };
    expect(projectPod(raw).object?.deletedAt).toBe(Date.UTC(2026, 0, 2, 3, 4, 5));
  });
});

describe('Service', () => {
  it('fills the defaults of YAML that no API server has seen', () => {
    const raw = { metadata: { name: 'web' }, spec: { clusterIP: '172.16.0.10', ports: [{ port: 80 }] } };
    expect(projectService(raw)).toEqual({
      issues: [],
      object: {
        kind: 'Service',
        namespace: 'default',
        name: 'web',
        uid: '',
        labels: {},
        annotations: {},
        type: 'ClusterIP',
        clusterIPs: ['172.16.0.10'],
        headless: false,
        ipFamilies: [4],
        ipFamilyPolicy: 'SingleStack',
        externalIPs: [],
        loadBalancerIP: '',
        loadBalancerClass: '',
        loadBalancerSourceRanges: [],
        ingress: [],
        ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 80, nodePort: 0, appProtocol: '' }],
        selector: {},
        sessionAffinity: 'None',
        sessionAffinityTimeoutSeconds: 10800,
        internalTrafficPolicy: 'Cluster',
        externalTrafficPolicy: 'Cluster',
        healthCheckNodePort: 0,
        trafficDistribution: '',
        publishNotReadyAddresses: false,
        allocateLoadBalancerNodePorts: true,
      },
    });
  });

  it('is headless by None', () => {
    const { object } = projectService(buildService('a', { clusterIPs: ['None'] }));
    expect([object?.headless, object?.clusterIPs]).toEqual([true, []]);
  });

  it.each([
    ['a type that does not exist', { type: 'Magic' }, 'spec.type'],
    ['a type of the wrong type', { type: 5 }, 'spec.type'],
    ['an octal address', { clusterIP: '010.0.0.1' }, 'spec.clusterIP'],
    ['an octal address beside a list', { clusterIP: '010.0.0.1', clusterIPs: ['10.96.0.1'] }, 'spec.clusterIP'],
    ['a second opinion', { clusterIP: '10.96.0.2', clusterIPs: ['10.96.0.1'] }, 'spec.clusterIP'],
    ['a port as text', { ports: [{ port: '80' }] }, 'spec.ports[0].port'],
    ['an unknown protocol', { ports: [{ port: 80, protocol: 'QUIC' }] }, 'spec.ports[0].protocol'],
    ['a repeated port', { ports: [{ port: 80 }, { port: 80 }] }, 'spec.ports[1]'],
    ['ports of the wrong type', { ports: 'none' }, 'spec.ports'],
    ['a bad source range', { loadBalancerSourceRanges: ['10.0.0.0/8', 'all'] }, 'spec.loadBalancerSourceRanges[1]'],
    ['a node port out of range', { ports: [{ port: 80, nodePort: 70000 }] }, 'spec.ports[0].nodePort'],
  ])('%s is one issue that names the field', (_, spec, field) => {
    const result = projectService({ metadata: { name: 'web' }, spec });
    expect(result.object?.name).toBe('web');
    expect(place(result.issues)).toEqual([`Service default/web ${field}`]);
  });

  it('admits nobody when no source range can be read', () => {
    const { object } = projectService({ metadata: { name: 'w' }, spec: { loadBalancerSourceRanges: ['010.0.0.0/8'] } });
    expect(object?.loadBalancerSourceRanges).toEqual(['0.0.0.0/32']);
  });
});

describe('EndpointSlice', () => {
  it('nil conditions: ready, serving as ready, not terminating', () => {
    const raw = {
      metadata: { name: 's', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 80 }, { name: 'any' }],
      endpoints: [{ addresses: ['10.0.0.1'] }, { addresses: ['10.0.0.2'], conditions: { ready: false } }],
    };
    const { object, issues } = projectEndpointSlice(raw);
    expect(object?.service).toBe('web');
    expect(object?.endpoints.map((one) => [one.addresses[0], one.ready, one.serving, one.terminating])).toEqual([
      ['10.0.0.1', true, true, false],
      ['10.0.0.2', false, false, false],
    ]);
    expect(object?.ports).toEqual([{ name: 'http', protocol: 'TCP', port: 80, appProtocol: '' }]);
    expect(place(issues)).toEqual(['EndpointSlice default/s ports[1].port']);
  });

  it('finds its Service by owner when the label is missing, and leaves out the other family', () => {
    const raw = buildEndpointSlice('shop/web', {
      endpoints: [{ address: '10.0.0.1' }, { address: 'fd00::1' }],
      labels: { 'kubernetes.io/service-name': '' },
      metadata: { ownerReferences: [{ kind: 'Service', name: 'owner' }] },
    });
    const { object, issues } = projectEndpointSlice(raw);
    expect(object?.service).toBe('owner');
    expect(object?.endpoints).toHaveLength(1);
    expect(place(issues)).toEqual(['EndpointSlice shop/web-4 endpoints[1].addresses[0]']);
  });

  it('host names, an endpoint without addresses and a slice beyond the limit of the API are issues', () => {
    const { object: names, issues } = projectEndpointSlice({ metadata: { name: 's' }, addressType: 'FQDN' });
    expect(names).toBeUndefined();
    expect(place(issues)).toEqual(['EndpointSlice default/s addressType']);
    const none = projectEndpointSlice({ ...buildEndpointSlice('a/b', {}), endpoints: [{ addresses: [] }, {}] });
    expect(place(none.issues)).toEqual([
      'EndpointSlice a/b-4 endpoints[0].addresses',
      'EndpointSlice a/b-4 endpoints[1].addresses',
    ]);
    const endpoints = Array.from({ length: 1001 }, (_, index) => ({ address: `10.0.${index >> 8}.${index & 255}` }));
    const many = projectEndpointSlice(buildEndpointSlice('a/b', { endpoints }));
    expect(many.object?.endpoints).toHaveLength(1001);
    expect(place(many.issues)).toEqual(['EndpointSlice a/b-4 endpoints']);
  });
});

describe('every kind', () => {
  it('never throws, whatever the JSON', async () => {
    const fc = await import('fast-check');
    const kinds = OBJECT_KINDS;
    const shaped = fc.record({
      metadata: fc.oneof(fc.constant({ name: 'x', namespace: 'y' }), fc.jsonValue()),
      spec: fc.oneof(
        fc.jsonValue(),
        fc.dictionary(
          fc.constantFrom(
            'ports',
            'podSelector',
            'ingress',
            'egress',
            'policyTypes',
            'clusterIPs',
            'containers',
            'taints',
          ),
          fc.oneof(
            fc.jsonValue(),
            fc.array(fc.dictionary(fc.constantFrom('ports', 'from', 'to', 'port'), fc.jsonValue())),
          ),
        ),
      ),
      status: fc.jsonValue(),
      endpoints: fc.jsonValue(),
      addressType: fc.constantFrom('IPv4', 'IPv6', 'x', 3),
    });
    fc.assert(
      fc.property(fc.constantFrom(...kinds), fc.oneof(shaped, fc.jsonValue()), (kind, raw) => {
        const result = project(kind, raw);
        expect(result.object !== undefined || result.issues.length > 0 || kind === 'EndpointSlice').toBe(true);
      }),
      { numRuns: 400 },
    );
  });
});
