import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { projectEndpointSlice } from '../../objects/index.ts';
import { buildEndpointSlice } from '../../testing/builders.ts';
import { pod, service, slice } from '../../../test/support/ipvs-objects.ts';
import type { IpvsItem } from '../model.ts';
import { emptyObserved, plan } from '../plan.ts';
import type { Step } from '../plan.ts';
import { ipvsadmLines, render } from '../render.ts';
import { compile } from './compile.ts';
import type { CompileInput } from './compile.ts';
import { createServiceCompiler } from './compiler.ts';
import type { ServiceChange } from './compiler.ts';
import type { ServiceOptions } from './options.ts';

const NODE = {
  name: 'n1',
  zone: 'a',
  primary: { 4: '192.168.1.11', 6: 'fd10::11' },
  podCIDRs: ['10.1.1.0/24', 'fd01:1::/64'],
} as const;
const OPTIONS: ServiceOptions = {
  node: NODE,
  clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
  externalIpRanges: ['198.51.100.0/24', '2001:db8:e::/64'],
  loadBalancerRanges: ['203.0.113.0/24', '2001:db8:1b::/64'],
};

/**
 * Virtual servers as `ipvsadm -Sn` prints them, then the entries of sets that Services fill. One without real servers is shown
 * here; the kernel is not given it (plan.ts).
 */
function text(items: ReadonlyMap<string, IpvsItem>): string {
  const lines = [...items.values()].flatMap((item) => {
    if (item.type !== 'vs') return [];
    const adds = item.servers.map((server): Step => ({ kind: 'server', action: 'add', vs: item, server }));
    return [{ kind: 'put', item } as const, ...adds].flatMap((step) =>
      ipvsadmLines(step).map((args) => args.join(' ')),
    );
  });
  const entries: string[] = [];
  for (const item of items.values()) {
    if (item.type === 'addr') entries.push(`addr ${item.address} src ${item.source}`);
    if (item.type !== 'entry' || /svip$|local-ips|svc-pods|svip-(prt|ref)$/.test(item.set)) continue;
    entries.push(`${item.set.replace('kube-router-', '')} ${item.element} ${item.options}`.trim());
  }
  return [...lines.sort(), ...entries.sort()].join('\n');
}

function run(input: Partial<CompileInput>): { text: string; issues: string[] } {
  const state = compile({ ...OPTIONS, services: [], endpointSlices: [], ...input });
  return {
    text: text(state.items),
    issues: state.issues.map(({ object, field, reason }) => `${object} ${field}: ${reason}`),
  };
}

const web = (options: Parameters<typeof service>[1] = {}) =>
  service('shop/web', { clusterIPs: ['172.16.0.10'], ports: [{ port: 80, protocol: 'TCP' }], ...options });
const here = (address: string, more = {}) => ({ address, node: 'n1', zone: 'a', ...more });
const there = (address: string, more = {}) => ({ address, node: 'n2', zone: 'b', ...more });

describe('services', () => {
  const cases: [name: string, input: Partial<CompileInput>, expected: string, issues?: string[]][] = [
    [
      'ClusterIP, dual-stack, two ports whose named target port differs per slice',
      {
        services: [
          service('shop/web', {
            clusterIPs: ['172.16.0.10', 'fd00::10'],
            ports: [
              { name: 'http', port: 80, protocol: 'TCP', targetPort: 'http' },
              { name: 'dns', port: 53, protocol: 'UDP' },
            ],
          }),
        ],
        endpointSlices: [
          slice(
            'shop/web',
            ['10.1.1.2'],
            [
              { name: 'http', port: 8080 },
              { name: 'dns', port: 53, protocol: 'UDP' },
            ],
            { name: 'web-a' },
          ),
          slice('shop/web', ['10.1.2.2'], [{ name: 'http', port: 8081 }], { name: 'web-b' }),
          slice('shop/web', ['fd01:1::2'], [{ name: 'http', port: 8080 }]),
        ],
      },
      `-A -t 172.16.0.10:80 -s rr
-A -t [fd00::10]:80 -s rr
-A -u 172.16.0.10:53 -s rr
-A -u [fd00::10]:53 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8081 -m -w 1
-a -t [fd00::10]:80 -r [fd01:1::2]:8080 -m -w 1
-a -u 172.16.0.10:53 -r 10.1.1.2:53 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr fd00::10 src fd10::11`,
    ],
    [
      'an IPv4-only node leaves IPv6 alone',
      {
        node: { ...NODE, primary: { 4: '192.168.1.11' } },
        services: [web({ clusterIPs: ['172.16.0.10', 'fd00::10'] })],
        endpointSlices: [slice('shop/web', ['fd01:1::2'])],
      },
      `-A -t 172.16.0.10:80 -s rr
addr 172.16.0.10 src 192.168.1.11`,
    ],
    [
      'an IPv6-only node leaves IPv4 alone',
      { node: { ...NODE, primary: { 6: 'fd10::11' } }, services: [web({ clusterIPs: ['fd00::10', '172.16.0.10'] })] },
      `-A -t [fd00::10]:80 -s rr
addr fd00::10 src fd10::11`,
    ],
    ['headless', { services: [web({ clusterIPs: ['None'] })] }, ''],
    ['headless by label', { services: [web({ labels: { 'service.kubernetes.io/headless': '' } })] }, ''],
    [
      'somebody else serves it',
      { services: [web({ labels: { 'service.kubernetes.io/service-proxy-name': 'other' } })] },
      '',
    ],
    [
      'NodePort on the primary address; SCTP',
      {
        services: [web({ type: 'NodePort', ports: [{ port: 80, protocol: 'SCTP', nodePort: 30080 }] })],
        endpointSlices: [slice('shop/web', ['10.1.1.2'], [{ port: 8080, protocol: 'SCTP' }])],
      },
      `-A --sctp-service 172.16.0.10:80 -s rr
-A --sctp-service 192.168.1.11:30080 -s rr
-a --sctp-service 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a --sctp-service 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11`,
    ],
    [
      'NodePort on every address',
      {
        nodePortOnAllAddresses: true,
        node: { ...NODE, addresses: ['192.168.1.11', '10.9.9.9', 'fd10::11'] },
        services: [web({ type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }] })],
      },
      `-A -t 10.9.9.9:30080 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 192.168.1.11:30080 -s rr
addr 172.16.0.10 src 192.168.1.11`,
    ],
    [
      'external and load-balancer addresses: only inside their ranges, never inside the cluster range, ipMode VIP only',
      {
        services: [
          web({
            type: 'LoadBalancer',
            spec: { externalIPs: ['198.51.100.5', '8.8.8.8', '172.16.0.99'] },
            status: {
              loadBalancer: {
                ingress: [{ ip: '203.0.113.7' }, { ip: '203.0.113.8', ipMode: 'Proxy' }, { ip: '198.51.100.9' }],
              },
            },
          }),
        ],
      },
      `-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-A -t 203.0.113.7:80 -s rr
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
addr 203.0.113.7 src 192.168.1.11`,
      [
        'Service shop/web spec.externalIPs[1]: 8.8.8.8 lies in no range of --service-external-ip-range; it is not served',
        'Service shop/web spec.externalIPs[2]: 172.16.0.99 lies in the cluster IP range; it is not served',
        'Service shop/web status.loadBalancer.ingress[2].ip: 198.51.100.9 lies in no range of --loadbalancer-ip-range; it is not served',
      ],
    ],
    [
      'no strict validation, skiplbips, excluded CIDR',
      {
        strictExternalIps: false,
        excludedCidrs: ['8.8.4.0/24'],
        services: [
          web({
            type: 'LoadBalancer',
            annotations: { 'kube-router.io/service.skiplbips': '' },
            spec: { externalIPs: ['8.8.8.8', '8.8.4.4'] },
            ingress: ['203.0.113.7'],
          }),
        ],
      },
      `-A -t 172.16.0.10:80 -s rr
-A -t 8.8.8.8:80 -s rr
addr 172.16.0.10 src 192.168.1.11
addr 8.8.8.8 src 192.168.1.11`,
    ],
    [
      'source ranges of a load balancer',
      {
        services: [
          web({
            type: 'LoadBalancer',
            ingress: ['203.0.113.7'],
            spec: { loadBalancerSourceRanges: ['10.0.0.0/8', '192.0.2.1/32', '2001:db8::/32'] },
          }),
        ],
      },
      `-A -t 172.16.0.10:80 -s rr
-A -t 203.0.113.7:80 -s rr
addr 172.16.0.10 src 192.168.1.11
addr 203.0.113.7 src 192.168.1.11
svip-lim 203.0.113.7,tcp:80
svip-src 203.0.113.7,tcp:80,10.0.0.0/8
svip-src 203.0.113.7,tcp:80,192.0.2.1`,
    ],
    [
      'external policy Local: local endpoints outside, all of them for clients inside, by mark',
      {
        services: [web({ spec: { externalIPs: ['198.51.100.5'], externalTrafficPolicy: 'Local' } })],
        endpointSlices: [slice('shop/web', [there('10.1.2.2'), here('10.1.1.2')])],
        marks: new Map([['kube-router-svc-mark-in/198.51.100.5,tcp:80', 5]]),
      },
      `-A -f 5 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-a -f 5 -r 10.1.1.2:8080 -m -w 1
-a -f 5 -r 10.1.2.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
svc-mark-in 198.51.100.5,tcp:80 skbmark 0x5/0x3fff`,
    ],
    [
      'internal policy Local without a local endpoint: no real server, and what comes is refused',
      {
        services: [web({ spec: { internalTrafficPolicy: 'Local' } })],
        endpointSlices: [slice('shop/web', [there('10.1.2.2')])],
      },
      `-A -t 172.16.0.10:80 -s rr
addr 172.16.0.10 src 192.168.1.11`,
    ],
    [
      'affinity, scheduler and flags; an unknown flag is named',
      {
        services: [
          web({
            annotations: {
              'kube-router.io/service.scheduler': 'mh',
              'kube-router.io/service.schedflags': 'flag-2, nonsense',
            },
            spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 90 } } },
          }),
        ],
      },
      `-A -t 172.16.0.10:80 -s mh -p 90 -b mh-fallback,mh-port
addr 172.16.0.10 src 192.168.1.11`,
      [
        'Service shop/web metadata.annotations[kube-router.io/service.schedflags]: "nonsense" is no flag of scheduler mh; it is ignored',
      ],
    ],
    [
      'an unknown scheduler is rr',
      { services: [web({ annotations: { 'kube-router.io/service.scheduler': 'best' } })] },
      `-A -t 172.16.0.10:80 -s rr
addr 172.16.0.10 src 192.168.1.11`,
      [
        'Service shop/web metadata.annotations[kube-router.io/service.scheduler]: "best" is no scheduler of the kernel; rr is used',
      ],
    ],
    [
      'weights by pod annotation; one that is none is 1',
      {
        services: [web({ annotations: { 'kube-router.io/service.scheduler': 'wrr' } })],
        endpointSlices: [
          slice('shop/web', [
            { address: '10.1.1.2', pod: 'shop/a' },
            { address: '10.1.1.3', pod: 'shop/b' },
            { address: '10.1.1.4', pod: 'shop/c' },
          ]),
        ],
        pods: [
          pod('shop/a', { annotations: { 'kube-router.io/weight': '65535' } }),
          pod('shop/b', { annotations: { 'kube-router.io/weight': '0' } }),
          pod('shop/c', { annotations: { 'kube-router.io/weight': '65536' } }),
        ],
      },
      `-A -t 172.16.0.10:80 -s wrr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 65535
-a -t 172.16.0.10:80 -r 10.1.1.3:8080 -m -w 0
-a -t 172.16.0.10:80 -r 10.1.1.4:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11`,
      ['Service shop/web : annotation kube-router.io/weight "65536" of Pod shop/c is no weight of 0–65535; 1 is used'],
    ],
    [
      'hairpin: local endpoints only',
      {
        services: [web({ annotations: { 'kube-router.io/service.hairpin': '' } })],
        endpointSlices: [slice('shop/web', [here('10.1.1.2'), there('10.1.2.2')])],
      },
      `-A -t 172.16.0.10:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
hairpin 10.1.1.2,tcp:8080,10.1.1.2`,
    ],
    [
      'DSR: marked, tunnelled, VIP off the device; what DSR cannot do is an issue on that endpoint alone',
      {
        services: [
          web({
            annotations: { 'kube-router.io/service.dsr': 'tunnel', 'kube-router.io/service.scheduler': 'mh' },
            spec: { externalIPs: ['198.51.100.5'] },
          }),
        ],
        endpointSlices: [
          slice(
            'shop/web',
            [here('10.1.1.2'), there('10.1.2.2'), { address: '192.168.1.12', pod: 'shop/host', node: 'n2' }],
            [{ port: 80 }],
            { name: 'w1' },
          ),
          slice('shop/web', [there('10.1.2.9')], [{ port: 8080 }], { name: 'w2' }),
        ],
        pods: [pod('shop/host', { hostNetwork: true })],
        marks: new Map([['kube-router-svc-mark/198.51.100.5,tcp:80', 0x2007]]),
      },
      `-A -f 8199 -s mh -b mh-fallback
-A -t 172.16.0.10:80 -s mh -b mh-fallback
-a -f 8199 -r 10.1.1.2:0 -i -w 1
-a -f 8199 -r 10.1.2.2:0 -i -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:80 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:80 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.9:8080 -m -w 1
-a -t 172.16.0.10:80 -r 192.168.1.12:80 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svc-mark 198.51.100.5,tcp:80 skbmark 0x2007/0x3fff`,
      [
        'Service shop/web spec.ports[0]: DSR needs a pod network: host-network endpoint 192.168.1.12 is left out',
        'Service shop/web spec.ports[0]: DSR keeps the port: endpoint 10.1.2.9:8080 is left out',
      ],
    ],
    [
      'DSR in UDP: a mark of its own kind, a tunnel in GUE, a smaller MSS; what is neither ipip nor fou is ipip',
      {
        services: [
          web({
            annotations: { 'kube-router.io/service.dsr': 'tunnel', 'kube-router.io/service.dsr.encap': 'fou' },
            spec: { externalIPs: ['198.51.100.5'] },
          }),
          service('shop/xyz', {
            clusterIPs: ['172.16.0.11'],
            ports: [{ port: 80, protocol: 'TCP' }],
            annotations: { 'kube-router.io/service.dsr': 'tunnel', 'kube-router.io/service.dsr.encap': 'gre' },
            spec: { externalIPs: ['198.51.100.6'] },
          }),
        ],
        endpointSlices: [
          slice('shop/web', [there('10.1.2.2')], [{ port: 80 }]),
          slice('shop/xyz', [there('10.1.2.3')], [{ port: 80 }]),
        ],
        marks: new Map([
          ['kube-router-svc-mark/198.51.100.5,tcp:80', 0x3007],
          ['kube-router-svc-mark/198.51.100.6,tcp:80', 0x2007],
        ]),
      },
      `-A -f 12295 -s rr
-A -f 8199 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 172.16.0.11:80 -s rr
-a -f 12295 -r 10.1.2.2:0 -i --tun-type gue --tun-port 5555 --tun-csum -w 1
-a -f 8199 -r 10.1.2.3:0 -i -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:80 -m -w 1
-a -t 172.16.0.11:80 -r 10.1.2.3:80 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 172.16.0.11 src 192.168.1.11
svc-fou 198.51.100.5,tcp:80
svc-mark 198.51.100.5,tcp:80 skbmark 0x3007/0x3fff
svc-mark 198.51.100.6,tcp:80 skbmark 0x2007/0x3fff`,
      [
        'Service shop/xyz metadata.annotations[kube-router.io/service.dsr.encap]: "gre" is neither ipip nor fou; ipip is used',
      ],
    ],
    [
      'DSR waits for a local pod that is not prepared',
      {
        dsrReady: () => false,
        services: [
          web({ annotations: { 'kube-router.io/service.dsr': 'tunnel' }, spec: { externalIPs: ['198.51.100.5'] } }),
        ],
        endpointSlices: [slice('shop/web', [here('10.1.1.2'), there('10.1.2.2')], [{ port: 80 }])],
        marks: new Map([['kube-router-svc-mark/198.51.100.5,tcp:80', 0x2007]]),
      },
      `-A -f 8199 -s rr
-A -t 172.16.0.10:80 -s rr
-a -f 8199 -r 10.1.2.2:0 -i -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:80 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:80 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svc-mark 198.51.100.5,tcp:80 skbmark 0x2007/0x3fff`,
    ],
    [
      'two Services want one VIP:port: the first by name has it, the other port of the shared VIP is served',
      {
        services: [
          service('a/one', {
            clusterIPs: ['172.16.0.1'],
            ports: [{ port: 80, protocol: 'TCP' }],
            spec: { externalIPs: ['198.51.100.5'] },
          }),
          service('b/two', {
            clusterIPs: ['172.16.0.2'],
            ports: [
              { name: 'x', port: 80, protocol: 'TCP' },
              { name: 'y', port: 81, protocol: 'TCP' },
            ],
            spec: { externalIPs: ['198.51.100.5'] },
          }),
        ],
      },
      `-A -t 172.16.0.1:80 -s rr
-A -t 172.16.0.2:80 -s rr
-A -t 172.16.0.2:81 -s rr
-A -t 198.51.100.5:80 -s rr
-A -t 198.51.100.5:81 -s rr
addr 172.16.0.1 src 192.168.1.11
addr 172.16.0.2 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11`,
      ['Service b/two spec: tcp/198.51.100.5:80 belongs to Service a/one already; it is not served for this one'],
    ],
    [
      'the loser of a VIP:port leaves nothing there: no source range, no refusal, no mark',
      {
        services: [
          service('a/one', {
            clusterIPs: ['172.16.0.1'],
            ports: [{ port: 80, protocol: 'TCP' }],
            annotations: { 'kube-router.io/service.dsr': 'tunnel' },
            spec: { externalIPs: ['203.0.113.5'] },
          }),
          service('b/two', {
            clusterIPs: ['172.16.0.2'],
            type: 'LoadBalancer',
            ports: [{ port: 80, protocol: 'TCP' }],
            ingress: ['203.0.113.5'],
            spec: { loadBalancerSourceRanges: ['10.0.0.0/8'], externalTrafficPolicy: 'Local' },
          }),
        ],
        externalIpRanges: ['203.0.113.0/24'],
        endpointSlices: [slice('a/one', ['10.1.2.2'], [{ port: 80 }])],
        marks: new Map([['kube-router-svc-mark/203.0.113.5,tcp:80', 0x2007]]),
      },
      `-A -f 8199 -s rr
-A -t 172.16.0.1:80 -s rr
-A -t 172.16.0.2:80 -s rr
-a -f 8199 -r 10.1.2.2:0 -i -w 1
-a -t 172.16.0.1:80 -r 10.1.2.2:80 -m -w 1
addr 172.16.0.1 src 192.168.1.11
addr 172.16.0.2 src 192.168.1.11
svc-mark 203.0.113.5,tcp:80 skbmark 0x2007/0x3fff`,
      ['Service b/two spec: tcp/203.0.113.5:80 belongs to Service a/one already; it is not served for this one'],
    ],
  ];
  test.each(cases)('%s', (_name, input, expected, issues = []) => {
    const result = run(input);
    expect(result.text).toBe(expected);
    expect(result.issues).toEqual(issues);
  });
});

describe('which endpoints take traffic', () => {
  const chosen = (
    endpoints: Parameters<typeof slice>[1],
    spec = {},
    raw?: (slice: Record<string, unknown>[]) => void,
  ): string => {
    const one = slice('shop/web', endpoints);
    raw?.(one.endpoints as unknown as Record<string, unknown>[]);
    const result = run({ services: [web({ spec })], endpointSlices: [one] });
    return [...result.text.matchAll(/-r 10\.1\.(\d\.\d)/g)].map((match) => match[1]).join(' ');
  };
  const ending = { ready: false, serving: true, terminating: true };
  const cases: [name: string, expected: string, ...Parameters<typeof chosen>][] = [
    ['ready ones', '1.2', [here('10.1.1.2'), here('10.1.1.3', { ready: false, serving: false })]],
    ['serving but ending ones only while none is ready', '1.2', [here('10.1.1.2'), here('10.1.1.3', ending)]],
    [
      'serving and ending, none ready',
      '1.3',
      [here('10.1.1.2', { ready: false, serving: false, terminating: true }), here('10.1.1.3', ending)],
    ],
    ['serving, not ready, not ending: no', '', [here('10.1.1.2', { ready: false, serving: true })]],
    ['the same endpoint twice is one', '1.2', [here('10.1.1.2'), here('10.1.1.2')]],
    ['order is by number, not by text', '1.2 2.1', [here('10.1.2.1'), here('10.1.1.2')]],
    [
      'PreferClose without hints: the own zone',
      '1.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      { trafficDistribution: 'PreferClose' },
    ],
    [
      'PreferSameZone with nobody in the zone: all',
      '2.2 2.3',
      [there('10.1.2.2'), there('10.1.2.3')],
      { trafficDistribution: 'PreferSameZone' },
    ],
    [
      'PreferSameNode',
      '1.2',
      [here('10.1.1.2'), here('10.1.1.3', { node: 'n3' })],
      { trafficDistribution: 'PreferSameNode' },
    ],
    [
      'PreferSameNode without one here: the zone',
      '1.3',
      [here('10.1.1.3', { node: 'n3' }), there('10.1.2.2')],
      { trafficDistribution: 'PreferSameNode' },
    ],
    [
      'zone hints on every endpoint',
      '2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      {},
      (list) => {
        (list[0] as Record<string, unknown>).hintZones = ['b'];
        (list[1] as Record<string, unknown>).hintZones = ['a', 'b'];
      },
    ],
    [
      'node hints before zone hints',
      '2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      { trafficDistribution: 'PreferSameNode' },
      (list) => {
        Object.assign(list[0] as object, { hintZones: ['a'], hintNodes: ['n9'] });
        Object.assign(list[1] as object, { hintZones: ['b'], hintNodes: ['n1'] });
      },
    ],
    [
      'zone hints, none for this zone: all',
      '1.2 2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      {},
      (list) => {
        for (const one of list) Object.assign(one, { hintZones: ['c'] });
      },
    ],
    [
      'hints on some endpoints only: ignored',
      '1.2 2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      {},
      (list) => {
        (list[1] as Record<string, unknown>).hintZones = ['a'];
      },
    ],
  ];
  test.each(cases)('%s', (_name, expected, ...args) => {
    expect(chosen(...args)).toBe(expected);
  });
});

describe('what depends on the node and its flags, not on Services', () => {
  /** Rules of a chain, and rules elsewhere that lead to it. */
  const rules = (options: Partial<CompileInput>, table: string, name: string): string => {
    const { items } = compile({ ...OPTIONS, services: [], endpointSlices: [], ...options });
    const lines: string[] = [];
    for (const item of items.values()) {
      if (item.type !== 'chain' && item.type !== 'jump') continue;
      if (item.family !== 4 || item.table !== table) continue;
      if (item.type === 'chain' && item.name === name) lines.push(...item.rules.map((rule) => `-A ${name} ${rule}`));
      if (item.type === 'jump' && item.rule.endsWith(`-j ${name}`)) lines.push(`-A ${item.chain} ${item.rule}`);
    }
    return lines.join('\n');
  };
  const HAIRPIN = '-A KUBE-ROUTER-SVC-NAT -m set --match-set kube-router-hairpin dst,dst,src -j MASQUERADE';
  const NAT_JUMP = '-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-SVC-NAT';
  const nat: [name: string, options: Partial<CompileInput>, expected: string][] = [
    [
      'what came from outside and leaves to a pod elsewhere is masqueraded',
      {},
      `${HAIRPIN}
-A KUBE-ROUTER-SVC-NAT -m ipvs --vdir ORIGINAL --vmethod MASQ -m set ! --match-set kube-router-svc-pods src -m set ! --match-set kube-router-svc-pods dst -j SNAT --to-source 192.168.1.11 --random-fully
${NAT_JUMP}`,
    ],
    [
      'masquerade-all: every balanced packet',
      { masqueradeAll: true },
      `${HAIRPIN}
-A KUBE-ROUTER-SVC-NAT -m ipvs --vdir ORIGINAL --vmethod MASQ -j SNAT --to-source 192.168.1.11 --random-fully
${NAT_JUMP}`,
    ],
    [
      'without a pod CIDR nothing tells outside from inside: hairpin alone',
      { node: { ...NODE, podCIDRs: [] } },
      `${HAIRPIN}
${NAT_JUMP}`,
    ],
  ];
  test.each(nat)('%s', (_name, options, expected) => {
    expect(rules(options, 'nat', 'KUBE-ROUTER-SVC-NAT')).toBe(expected);
  });
  test('the VIP firewall can be off; refusal and source ranges stay', () => {
    expect(rules({ permitAll: false }, 'filter', 'KUBE-ROUTER-SERVICES')).toBe('');
    expect(rules({}, 'filter', 'KUBE-ROUTER-SERVICES')).toContain(
      '-A INPUT -m set --match-set kube-router-svip dst -j KUBE-ROUTER-SERVICES',
    );
    expect(rules({ permitAll: false }, 'filter', 'KUBE-ROUTER-SVC-REFUSE')).toContain(
      '-A INPUT -m set --match-set kube-router-svip-ref dst,dst -j KUBE-ROUTER-SVC-REFUSE',
    );
    expect(rules({ permitAll: false }, 'filter', 'DROP')).toBe(
      '-A INPUT -m set --match-set kube-router-svip-lim dst,dst -m set ! --match-set kube-router-svip-src dst,dst,src -j DROP',
    );
  });
  test("DSR's MSS follows the MTU of the uplink", () => {
    const text = rules({ node: { ...NODE, mtu: 1450 } }, 'mangle', 'KUBE-ROUTER-SVC-MARK');
    expect(text).toContain(
      '--match-set kube-router-svc-mark src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1390',
    );
    expect(text).toContain(
      '--match-set kube-router-svc-fou src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1378',
    );
  });
  test('timeouts of IPVS, where a flag asks for them', () => {
    const { items } = compile({ ...OPTIONS, services: [], endpointSlices: [], tcpTimeout: 900, udpTimeout: 300 });
    expect(render(plan({ items, graceMs: () => 0, drain: true }, emptyObserved()))).toContain(
      'ipvsadm --set 900 0 300\n',
    );
  });
  test('health-check node port: local endpoints that are ready and stay, of both families once', () => {
    const compiler = createServiceCompiler(OPTIONS);
    const spec = { externalTrafficPolicy: 'Local', healthCheckNodePort: 31000 };
    const balanced = web({ type: 'LoadBalancer', clusterIPs: ['172.16.0.10', 'fd00::10'], spec });
    const ends = [
      slice('shop/web', [
        here('10.1.1.2', { pod: 'shop/a' }),
        here('10.1.1.3', { pod: 'shop/b', ready: false, serving: true, terminating: true }),
        there('10.1.2.2', { pod: 'shop/c' }),
      ]),
      slice('shop/web', [here('fd01:1::2', { pod: 'shop/a' })]),
    ];
    compiler.update([
      { kind: 'Service', key: 'shop/web', object: balanced },
      ...ends.map((object, index): ServiceChange => ({ kind: 'EndpointSlice', key: `shop/web-${index}`, object })),
    ]);
    compiler.flush();
    expect([...compiler.health.values()]).toEqual([{ namespace: 'shop', name: 'web', port: 31000, localEndpoints: 1 }]);
  });
  test('annotation `local`: outside Local, inside Cluster whatever the Service says', () => {
    const { text: seen } = run({
      services: [
        web({
          annotations: { 'kube-router.io/service.local': 'true' },
          spec: { externalIPs: ['198.51.100.5'], internalTrafficPolicy: 'Local' },
        }),
      ],
      endpointSlices: [slice('shop/web', [there('10.1.2.2'), here('10.1.1.2')])],
      marks: new Map([['kube-router-svc-mark-in/198.51.100.5,tcp:80', 5]]),
    });
    expect(seen.split('\n').filter((line) => line.startsWith('-a -t'))).toEqual([
      '-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1',
      '-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1',
      '-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1',
    ]);
  });
});

describe('the incremental compiler', () => {
  const services = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      gone: fc.boolean(),
      external: fc.constantFrom([], ['198.51.100.5'], ['198.51.100.5', '198.51.100.6']),
      local: fc.boolean(),
      dsr: fc.boolean(),
      endpoints: fc.subarray(['10.1.1.2', '10.1.1.3', '10.1.2.2', '10.1.2.3']),
    }),
    { minLength: 1, maxLength: 12 },
  );
  test('any history of changes ends where a fresh compile of the end does, and dirty names every difference', () => {
    fc.assert(
      fc.property(services, (history) => {
        const compiler = createServiceCompiler(OPTIONS);
        compiler.flush();
        const final = new Map<string, (typeof history)[number]>();
        let before = new Map(compiler.flush().state.items);
        for (const step of history) {
          final.set(step.name, step);
          const key = `shop/${step.name}`;
          const changes: ServiceChange[] = [
            { kind: 'Service', key, object: step.gone ? undefined : make(step) },
            { kind: 'EndpointSlice', key: `${key}-4`, object: step.gone ? undefined : ends(step) },
          ];
          compiler.update(changes);
          const { state, dirty } = compiler.flush();
          for (const name of new Set([...before.keys(), ...state.items.keys()])) {
            if (JSON.stringify(before.get(name)) !== JSON.stringify(state.items.get(name)))
              expect(dirty?.has(name), name).toBe(true);
          }
          before = new Map(state.items);
        }
        const alive = [...final.values()].filter(({ gone }) => !gone);
        const fresh = compile({
          ...OPTIONS,
          marks: compiler.marks(),
          services: alive.map(make),
          endpointSlices: alive.map(ends),
        });
        expect([...before.keys()].sort()).toEqual([...fresh.items.keys()].sort());
        expect(text(before)).toBe(text(fresh.items));
        expect(compiler.issues().length).toBe(fresh.issues.length);
      }),
      { numRuns: 150 },
    );
  });
  interface Step {
    name: string;
    external: readonly string[];
    local: boolean;
    dsr: boolean;
    endpoints: string[];
  }
  const make = (step: Step) =>
    service(`shop/${step.name}`, {
      clusterIPs: [`172.16.0.${step.name.charCodeAt(0)}`],
      ports: [{ port: 80, protocol: 'TCP' }],
      annotations: step.dsr ? { 'kube-router.io/service.dsr': 'tunnel' } : {},
      spec: { externalIPs: step.external, externalTrafficPolicy: step.local ? 'Local' : 'Cluster' },
    });
  const ends = (step: Step) =>
    slice(
      `shop/${step.name}`,
      step.endpoints.map((address) => here(address)),
      [{ port: 80 }],
    );

  test('marks are kept over a restart and never collide, the known colliding pair included', () => {
    const compiler = createServiceCompiler({ ...OPTIONS, strictExternalIps: false });
    const dsr = (name: string, port: number, protocol: string) =>
      service(name, {
        clusterIPs: [`172.16.1.${port % 250}`],
        ports: [{ port, protocol }],
        annotations: { 'kube-router.io/service.dsr': 'tunnel' },
        spec: { externalIPs: ['147.160.180.44'] },
      });
    compiler.update([
      { kind: 'Service', key: 'x/a', object: dsr('x/a', 8080, 'TCP') },
      { kind: 'Service', key: 'x/b', object: dsr('x/b', 80, 'UDP') },
    ]);
    compiler.flush();
    const marks = compiler.marks();
    expect(new Set(marks.values()).size).toBe(2);
    for (const mark of marks.values()) expect(mark & 0x2000).toBe(0x2000);
    const second = createServiceCompiler({ ...OPTIONS, strictExternalIps: false, marks });
    second.update([
      { kind: 'Service', key: 'x/b', object: dsr('x/b', 80, 'UDP') },
      { kind: 'Service', key: 'x/a', object: dsr('x/a', 8080, 'TCP') },
    ]);
    second.flush();
    expect(new Map([...second.marks()].sort())).toEqual(new Map([...marks].sort()));
  });

  test('a mark stays with the place when another Service takes it over, and is not given out twice', () => {
    const compiler = createServiceCompiler(OPTIONS);
    const local = (name: string) =>
      service(name, {
        clusterIPs: [name === 'a/one' ? '172.16.0.1' : '172.16.0.2'],
        ports: [{ port: 80, protocol: 'TCP' }],
        spec: { externalIPs: ['198.51.100.5'], externalTrafficPolicy: 'Local' },
      });
    const put = (name: string, object: ReturnType<typeof local> | undefined): string | undefined => {
      compiler.update([{ kind: 'Service', key: name, object }]);
      const { state } = compiler.flush();
      const marked = [...state.items.values()].find((item) => item.type === 'vs' && item.mark !== undefined);
      return marked === undefined ? undefined : compiler.owner(marked.key);
    };
    expect(put('b/two', local('b/two'))).toBe('b/two');
    const [mark] = compiler.marks().values();
    expect(put('a/one', local('a/one'))).toBe('a/one');
    expect([...compiler.marks().values()]).toEqual([mark]);
    expect(compiler.issues()).toHaveLength(1);
    expect(put('a/one', undefined)).toBe('b/two');
    expect([...compiler.marks().values()]).toEqual([mark]);
    expect(compiler.issues()).toEqual([]);
    expect(put('b/two', undefined)).toBe(undefined);
    expect([...compiler.marks()]).toEqual([]);
  });

  test('malformed slices: an issue each, the rest applied', () => {
    const raw = (more: object) => ({
      ...buildEndpointSlice('shop/web', { endpoints: [{ address: '10.1.1.9' }], ports: [{ port: 8080 }] }),
      ...more,
    });
    const bad = [
      raw({ ports: [{ protocol: 'TCP' }] }),
      raw({ endpoints: [{ addresses: [] }] }),
      raw({ addressType: 'FQDN', endpoints: [{ addresses: ['example.com'] }] }),
      raw({ endpoints: [{ addresses: ['fd01::1'] }, { addresses: ['10.1.1.5'] }] }),
      raw({ endpoints: [{ addresses: ['010.1.1.1'] }] }),
    ].map((one, index) => projectEndpointSlice({ ...one, metadata: { ...one.metadata, name: `bad-${index}` } }));
    expect(bad.map(({ issues }) => issues.map(({ object, field, reason }) => `${object} ${field}: ${reason}`))).toEqual(
      [
        ['EndpointSlice shop/bad-0 ports[0].port: undefined is not a port; left out'],
        ['EndpointSlice shop/bad-1 endpoints[0].addresses: no address; the endpoint is left out'],
        ['EndpointSlice shop/bad-2 addressType: FQDN: no packet is sent to a host name; the slice is ignored'],
        ["EndpointSlice shop/bad-3 endpoints[0].addresses[0]: fd01::1 is not of the slice's family; left out"],
        ['EndpointSlice shop/bad-4 endpoints[0].addresses[0]: "010.1.1.1" is not an IP address; left out'],
      ],
    );
    const slices = bad.flatMap(({ object }) => (object === undefined ? [] : [object]));
    const good = slice('shop/web', ['10.1.1.2'], [{ port: 8080 }], { name: 'good' });
    expect(run({ services: [web()], endpointSlices: [...slices, good] }).text).toBe(`-A -t 172.16.0.10:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.5:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11`);
  });

  test('2,000 endpoints in one slice: an issue, and all are used', () => {
    const endpoints = Array.from({ length: 2000 }, (_, index) => ({ address: `10.1.${index >> 8}.${index & 255}` }));
    const many = projectEndpointSlice(buildEndpointSlice('shop/web', { endpoints, ports: [{ port: 8080 }] }));
    expect(many.issues.map(({ reason }) => reason)).toEqual([
      '2000 endpoints, of which the API allows 1000; all are used',
    ]);
    const result = compile({ ...OPTIONS, services: [web()], endpointSlices: many.object ? [many.object] : [] });
    const vs = result.items.get('vs/tcp/172.16.0.10:80');
    expect(vs?.type === 'vs' && vs.servers.length).toBe(2000);
  });
});
