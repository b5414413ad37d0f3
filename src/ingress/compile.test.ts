/** Which node announces what: one line a case, expected values by hand from the behaviour tables of the documentation. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Endpoint, EndpointSliceObject, NodeObject, ServiceObject } from '../objects/types.ts';
import { compile, createIngressCompiler } from './compile.ts';
import type { IngressOptions } from './model.ts';

function service(name: string, more: Partial<ServiceObject> = {}): ServiceObject {
  return {
    kind: 'Service',
    namespace: 'default',
    name,
    uid: name,
    labels: {},
    annotations: {},
    type: 'LoadBalancer',
    clusterIPs: ['10.96.0.10'],
    headless: false,
    ipFamilies: [4],
    ipFamilyPolicy: 'SingleStack',
    externalIPs: ['192.0.2.10'],
    loadBalancerIP: '',
    loadBalancerClass: '',
    loadBalancerSourceRanges: [],
    ingress: [{ ip: '198.51.100.10', ipMode: 'VIP' }],
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
    ...more,
  };
}

type State = 'ready' | 'unready' | 'serving' | 'terminating';

/** Endpoints as `node:state`. */
function slice(owner: string, endpoints: readonly string[], name = `${owner}-1`): EndpointSliceObject {
  return {
    kind: 'EndpointSlice',
    namespace: 'default',
    name,
    uid: name,
    labels: {},
    annotations: {},
    service: owner,
    family: 4,
    ports: [{ name: '', protocol: 'TCP', port: 80, appProtocol: '' }],
    endpoints: endpoints.map((text, index): Endpoint => {
      const [nodeName = '', state] = text.split(':') as [string, State];
      return {
        addresses: [`10.244.0.${index + 1}`],
        ready: state === 'ready',
        serving: state === 'ready' || state === 'serving',
        terminating: state === 'serving' || state === 'terminating',
        nodeName,
        zone: '',
        hintZones: [],
        hintNodes: [],
        pod: '',
      };
    }),
  };
}

function node(more: Partial<NodeObject> = {}): NodeObject {
  return {
    kind: 'Node',
    namespace: '',
    name: 'here',
    uid: 'here',
    labels: {},
    annotations: {},
    addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
    podCIDRs: [],
    unschedulable: false,
    ready: true,
    taints: [],
    ...more,
  };
}

const all: IngressOptions = {
  advertiseClusterIp: true,
  advertiseExternalIp: true,
  advertiseLoadBalancerIp: true,
  externalIpRanges: ['192.0.2.0/24'],
  loadBalancerIpRanges: ['198.51.100.0/24'],
};
const CLUSTER = '10.96.0.10/32';
const EXTERNAL = '192.0.2.10/32';
const BALANCED = '198.51.100.10/32';
const key = (name: string): string => `kube-router.io/${name}`;

const announced = (
  more: Partial<ServiceObject>,
  endpoints: readonly string[] | undefined = ['here:ready', 'there:ready'],
  options: IngressOptions = all,
  self: NodeObject = node(),
) =>
  compile({
    node: 'here',
    nodes: [self],
    services: [service('web', more)],
    endpointSlices: endpoints === undefined ? [] : [slice('web', endpoints)],
    options,
  });

describe('which addresses are announced', () => {
  test.each<[string, Partial<ServiceObject>, readonly string[], IngressOptions, string[]]>([
    ['everything on by default flags', {}, ['there:ready'], all, [CLUSTER, EXTERNAL, BALANCED]],
    [
      'nothing without flags',
      {},
      ['here:ready'],
      { ...all, advertiseClusterIp: false, advertiseExternalIp: false, advertiseLoadBalancerIp: false },
      [],
    ],
    [
      'cluster IPs alone',
      {},
      ['here:ready'],
      { ...all, advertiseExternalIp: false, advertiseLoadBalancerIp: false },
      [CLUSTER],
    ],
    [
      'annotation switches on',
      { annotations: { [key('service.advertise.externalip')]: 'true' } },
      ['here:ready'],
      { externalIpRanges: ['192.0.2.0/24'] },
      [EXTERNAL],
    ],
    [
      'annotation switches off',
      {
        annotations: { [key('service.advertise.clusterip')]: 'false', [key('service.advertise.loadbalancerip')]: '0' },
      },
      ['here:ready'],
      all,
      [EXTERNAL],
    ],
    [
      'an unreadable annotation is false',
      { annotations: { [key('service.advertise.clusterip')]: 'yes' } },
      ['here:ready'],
      all,
      [EXTERNAL, BALANCED],
    ],
    [
      'external Local with a ready endpoint here',
      { externalTrafficPolicy: 'Local' },
      ['here:ready'],
      all,
      [CLUSTER, EXTERNAL, BALANCED],
    ],
    ['external Local with endpoints elsewhere', { externalTrafficPolicy: 'Local' }, ['there:ready'], all, [CLUSTER]],
    [
      'external Local with an unready endpoint here',
      { externalTrafficPolicy: 'Local' },
      ['here:unready', 'there:ready'],
      all,
      [CLUSTER],
    ],
    [
      'external Local with a terminating endpoint here',
      { externalTrafficPolicy: 'Local' },
      ['here:serving', 'there:ready'],
      all,
      [CLUSTER],
    ],
    [
      'internal Local with endpoints elsewhere',
      { internalTrafficPolicy: 'Local' },
      ['there:ready'],
      all,
      [EXTERNAL, BALANCED],
    ],
    [
      'internal Local with an endpoint here',
      { internalTrafficPolicy: 'Local' },
      ['here:ready'],
      all,
      [CLUSTER, EXTERNAL, BALANCED],
    ],
    [
      'service.local makes external Local and internal Cluster',
      { internalTrafficPolicy: 'Local', annotations: { [key('service.local')]: 'true' } },
      ['there:ready'],
      all,
      [CLUSTER],
    ],
    [
      'an endpoint without a node, at no address of ours',
      { externalTrafficPolicy: 'Local' },
      [':ready'],
      all,
      [CLUSTER],
    ],
    ['Cluster: no endpoint ready anywhere', {}, ['here:unready', 'there:unready'], all, []],
    ['Cluster: only terminating ones that still serve', {}, ['there:serving'], all, [CLUSTER, EXTERNAL, BALANCED]],
    ['Cluster: terminating and done', {}, ['there:terminating'], all, []],
    ['no endpoint at all', {}, [], all, []],
    [
      'no endpoint at all, as kube-router does',
      {},
      [],
      { ...all, withoutEndpoints: 'announce' },
      [CLUSTER, EXTERNAL, BALANCED],
    ],
    ['skiplbips', { annotations: { [key('service.skiplbips')]: '' } }, ['here:ready'], all, [CLUSTER, EXTERNAL]],
    ['ipMode Proxy', { ingress: [{ ip: '198.51.100.10', ipMode: 'Proxy' }] }, ['here:ready'], all, [CLUSTER, EXTERNAL]],
    ['type ClusterIP has no load-balancer IP', { type: 'ClusterIP' }, ['here:ready'], all, [CLUSTER, EXTERNAL]],
    ['headless', { headless: true, clusterIPs: [] }, ['here:ready'], all, []],
    ['ExternalName', { type: 'ExternalName' }, ['here:ready'], all, []],
    [
      'strict: no range refuses all',
      {},
      ['here:ready'],
      { ...all, externalIpRanges: [], loadBalancerIpRanges: [] },
      [CLUSTER],
    ],
    ['strict: outside the range', { externalIPs: ['203.0.113.9'] }, ['here:ready'], all, [CLUSTER, BALANCED]],
    [
      'strict: inside the cluster range',
      { externalIPs: ['10.96.0.200'] },
      ['here:ready'],
      { ...all, externalIpRanges: ['0.0.0.0/0'] },
      [CLUSTER, BALANCED],
    ],
    [
      'not strict: everything passes',
      { externalIPs: ['203.0.113.9'] },
      ['here:ready'],
      { ...all, strictExternalIpValidation: false },
      [CLUSTER, BALANCED, '203.0.113.9/32'],
    ],
    [
      'a family that is off',
      { clusterIPs: ['10.96.0.10', 'fd96::10'] },
      ['here:ready'],
      all,
      [CLUSTER, EXTERNAL, BALANCED],
    ],
  ])('%s', (_name, more, endpoints, options, expected) => {
    const out = announced(more, endpoints, options);
    expect(out.advertisements.map((one) => one.prefix)).toEqual(expected);
    expect(out.virtualIps.filter((vip) => vip.announced).map((vip) => `${vip.address}/32`)).toEqual(expected);
  });

  test.each<[string, Partial<NodeObject>, string]>([
    ['cordoned', { unschedulable: true }, 'this node is cordoned'],
    [
      'cordoned by taint',
      { taints: [{ key: 'node.kubernetes.io/unschedulable', value: '', effect: 'NoSchedule' }] },
      'this node is cordoned',
    ],
    [
      'shut down',
      { taints: [{ key: 'node.kubernetes.io/out-of-service', value: '', effect: 'NoExecute' }] },
      'this node is going away (taint node.kubernetes.io/out-of-service)',
    ],
    ['deleted', { deletedAt: 1 }, 'this node is being deleted'],
  ])('a node that is %s announces nothing and says why', (_name, more, reason) => {
    const out = announced({}, undefined, all, node(more));
    expect(out.advertisements).toEqual([]);
    const ready = announced({}, ['here:ready'], all, node(more));
    expect(ready.advertisements).toEqual([]);
    expect(ready.virtualIps.map((vip) => vip.reason)).toEqual([reason, reason, reason]);
    expect(
      announced({}, ['here:ready'], { ...all, withdrawOnMaintenance: false }, node(more)).advertisements,
    ).toHaveLength(3);
  });

  test('an endpoint without a node counts as local at an address of ours', () => {
    const own = node({ addresses: [{ type: 'InternalIP', address: '10.244.0.1' }] });
    const out = announced({ externalTrafficPolicy: 'Local' }, [':ready'], all, own);
    expect(out.advertisements.map((one) => one.prefix)).toEqual([CLUSTER, EXTERNAL, BALANCED]);
  });

  test('shutting down withdraws everything at once, whatever the switch says', () => {
    const compiler = createIngressCompiler('here', { ...all, withdrawOnMaintenance: false });
    compiler.update({
      services: [{ key: 'default/web', object: service('web') }],
      endpointSlices: [{ key: 'default/web-1', object: slice('web', ['here:ready']) }],
    });
    const out = compiler.update({ shuttingDown: true });
    expect(out).toMatchObject({ advertisements: [], changed: true });
  });

  test('every refusal is an issue that names object and field, and costs nobody else', () => {
    const out = announced({
      externalIPs: ['192.0.2.10', '203.0.113.9'],
      annotations: {
        [key('service.advertise.clusterip')]: 'maybe',
        [key('bgp.med')]: '-1',
        [key('bgp.communities')]: '65000:1, x',
      },
    });
    expect(out.issues.map((issue) => `${issue.object} ${issue.field}: ${issue.reason}`)).toEqual([
      'Service default/web metadata.annotations["kube-router.io/bgp.communities"]: "x" is no community; it was left out',
      'Service default/web metadata.annotations["kube-router.io/bgp.med"]: "-1" is no number from 0 to 4294967295; it was left out',
      'Service default/web metadata.annotations["kube-router.io/service.advertise.clusterip"]: "maybe" is no boolean; taken as false',
      'Service default/web spec.externalIPs[1]: 203.0.113.9 is not announced: it lies in no configured range',
    ]);
    expect(out.advertisements.map((one) => one.attributes?.communities)).toEqual([['65000:1'], ['65000:1']]);
  });
});

describe('attributes', () => {
  test('every annotation reaches the advertisement', () => {
    const out = announced(
      {
        annotations: {
          [key('bgp.communities')]: '65000:200, no-export, 4259840001',
          [key('bgp.large-communities')]: '4200000000:1:2',
          [key('bgp.extended-communities')]: 'rt:65000:7,soo:10.0.0.1:3',
          [key('bgp.local-preference')]: '250',
          [key('bgp.med')]: '10',
          [key('bgp.path-prepend')]: '64999:3',
          [key('bgp.next-hop')]: '10.0.0.77',
        },
      },
      ['here:ready'],
      { ...all, advertiseClusterIp: false, advertiseLoadBalancerIp: false },
    );
    expect(out.advertisements).toEqual([
      {
        prefix: EXTERNAL,
        nextHop: '10.0.0.77',
        attributes: {
          communities: ['65000:1', '65000:200', 'no-export'],
          largeCommunities: ['4200000000:1:2'],
          extendedCommunities: ['rt:65000:7', 'soo:10.0.0.1:3'],
          localPreference: 250,
          med: 10,
          prepend: { count: 3, asn: 64999 },
        },
        origin: 'vip',
        owners: ['Service default/web'],
      },
    ]);
  });

  test('attributes of a prefix apply where the Service is silent, the longest prefix first', () => {
    const options: IngressOptions = {
      ...all,
      advertiseClusterIp: false,
      attributes: [
        { prefix: '192.0.2.0/24', attributes: { med: 5, localPreference: 90 } },
        { prefix: '0.0.0.0/0', attributes: { med: 1 } },
      ],
    };
    const out = announced({ annotations: { [key('bgp.med')]: '7' } }, ['here:ready'], options);
    expect(out.advertisements.map((one) => one.attributes)).toEqual([{ med: 7, localPreference: 90 }, { med: 7 }]);
  });
});

describe('shared addresses', () => {
  const two = (first: Partial<ServiceObject>, second: Partial<ServiceObject>) => {
    const compiler = createIngressCompiler('here', {
      ...all,
      advertiseClusterIp: false,
      advertiseLoadBalancerIp: false,
    });
    return {
      compiler,
      out: compiler.update({
        services: [
          { key: 'default/a', object: service('a', first) },
          { key: 'default/b', object: service('b', second) },
        ],
        endpointSlices: [
          { key: 'default/a-1', object: slice('a', ['here:ready']) },
          { key: 'default/b-1', object: slice('b', ['here:ready']) },
        ],
      }),
    };
  };

  test('an address of two Services goes when the last lets go, by endpoint events too', () => {
    const { compiler } = two({}, {});
    const gone = compiler.update({ endpointSlices: [{ key: 'default/a-1', object: undefined }] });
    expect(gone.advertisements).toMatchObject([{ prefix: EXTERNAL, owners: ['Service default/b'] }]);
    expect(gone.virtualIps.find((vip) => vip.address === '192.0.2.10')).toMatchObject({
      announced: true,
      services: ['Service default/a', 'Service default/b'],
    });
    const last = compiler.update({ services: [{ key: 'default/b', object: undefined }] });
    expect(last.advertisements).toEqual([]);
    // The other one has it still, though it has no endpoint any more.
    expect(last.isServiceAddress('192.0.2.10')).toBe(true);
    const nobody = compiler.update({ services: [{ key: 'default/a', object: undefined }] });
    expect(nobody.isServiceAddress('192.0.2.10')).toBe(false);
  });

  test('their communities are united; a different MED is reported and the first one counts', () => {
    const { out } = two(
      { annotations: { [key('bgp.communities')]: '65000:1', [key('bgp.med')]: '5' } },
      { annotations: { [key('bgp.communities')]: '65000:2', [key('bgp.med')]: '6' } },
    );
    expect(out.advertisements[0]?.attributes).toEqual({ communities: ['65000:1', '65000:2'], med: 5 });
    expect(out.issues).toEqual([
      {
        object: 'Service default/b',
        field: 'metadata.annotations',
        reason: 'med of 192.0.2.10 is set differently by a Service that shares it, whose value counts',
      },
    ]);
  });

  test('a Service without slices takes nothing from the others', () => {
    const out = compile({
      node: 'here',
      services: [
        service('none', { clusterIPs: ['10.96.0.1'] }),
        service('web', { clusterIPs: ['10.96.0.2'], externalIPs: [] }),
      ],
      endpointSlices: [slice('web', ['there:ready'])],
      options: { ...all, advertiseLoadBalancerIp: false },
    });
    expect(out.advertisements.map((one) => one.prefix)).toEqual(['10.96.0.2/32']);
  });
});

test('change by change ends where all at once does, and unchanged advertisements are the same objects', () => {
  const names = ['a', 'b', 'c'];
  const step = fc.oneof(
    fc.record({
      name: fc.constantFrom(...names),
      service: fc.option(
        fc.record({
          externalIPs: fc.subarray(['192.0.2.1', '192.0.2.2', '203.0.113.1']),
          externalTrafficPolicy: fc.constantFrom('Local' as const, 'Cluster' as const),
          annotations: fc.constantFrom({}, { [key('bgp.med')]: '3' }, { [key('service.local')]: 'true' }),
        }),
      ),
    }),
    fc.record({
      name: fc.constantFrom(...names),
      slice: fc.constantFrom('1', '2'),
      endpoints: fc.option(fc.subarray(['here:ready', 'here:unready', 'there:ready', ':serving'])),
    }),
    fc.record({ unschedulable: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const compiler = createIngressCompiler('here', all);
      const services = new Map<string, ServiceObject>();
      const slices = new Map<string, EndpointSliceObject>();
      let self = node();
      let out = compiler.update({ nodes: [{ key: 'here', object: self }] });
      for (const one of steps) {
        const before = new Map(out.advertisements.map((advert) => [advert.prefix, advert]));
        if ('unschedulable' in one) {
          self = node({ unschedulable: one.unschedulable });
          out = compiler.update({ nodes: [{ key: 'here', object: self }] });
        } else if ('service' in one) {
          const id = `default/${one.name}`;
          if (one.service === null) services.delete(id);
          else services.set(id, service(one.name, { ...one.service, clusterIPs: [], ingress: [] }));
          out = compiler.update({ services: [{ key: id, object: services.get(id) }] });
        } else {
          const id = `default/${one.name}-${one.slice}`;
          if (one.endpoints === null) slices.delete(id);
          else slices.set(id, slice(one.name, one.endpoints, `${one.name}-${one.slice}`));
          out = compiler.update({ endpointSlices: [{ key: id, object: slices.get(id) }] });
        }
        const differs =
          out.advertisements.length !== before.size ||
          out.advertisements.some((advert) => before.get(advert.prefix) !== advert);
        expect(out.changed).toBe(differs);
      }
      const fresh = compile({
        node: 'here',
        nodes: [self],
        services: services.values(),
        endpointSlices: slices.values(),
        options: all,
      });
      expect(out.advertisements).toEqual(fresh.advertisements);
      expect(out.virtualIps).toEqual(fresh.virtualIps);
      expect(out.issues.map((issue) => JSON.stringify(issue)).sort()).toEqual(
        fresh.issues.map((issue) => JSON.stringify(issue)).sort(),
      );
    }),
    { numRuns: 200 },
  );
});
