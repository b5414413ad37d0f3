/**
 * The rules of the service proxy as a table: objects in, and by hand what the kernel is to hold. One text a case: virtual servers
 * as `ipvsadm -Sn` prints them, VIPs with the source that the node's own packets take, entries of sets as `ipset save` prints
 * them (without `kube-router-`). Checked against the compiler, and against a kernel that was given it.
 */
import type { CompileInput, IpvsItem, ServiceOptions, Step } from '../../src/ipvs/index.ts';
import { ipvsadmLines } from '../../src/ipvs/render.ts';
import { pod, service, slice } from './ipvs-objects.ts';

/** The node of every case, unless it has its own. */
export const NODE = {
  name: 'n1',
  zone: 'a',
  primary: { 4: '192.168.1.11', 6: 'fd10::11' },
  podCIDRs: ['10.1.1.0/24', 'fd01:1::/64'],
} as const;

/** The flags of every case, unless it has its own. */
export const OPTIONS: ServiceOptions = {
  node: NODE,
  clusterIpRanges: ['172.16.0.0/16', 'fd00::/108'],
  externalIpRanges: ['198.51.100.0/24', '2001:db8:e::/64'],
  loadBalancerRanges: ['203.0.113.0/24', '2001:db8:1b::/64'],
};

/** A line of ours as `ipvsadm -Sn` prints it: what a tunnel is made of comes last, and IPIP is named too. */
function asListed(line: string): string {
  return line.replace(
    / -i(.*) -w (\d+)$/,
    (_, made: string, weight: string) => ` -i -w ${weight}${made || ' --tun-type ipip'}`,
  );
}

/** What a compiler wants, in the form of the table. */
export function tableText(items: ReadonlyMap<string, IpvsItem>): string {
  const servers: string[] = [];
  const rest: string[] = [];
  for (const item of items.values()) {
    if (item.type === 'vs' && item.servers.length > 0) {
      const adds = item.servers.map((server): Step => ({ kind: 'server', action: 'add', vs: item, server }));
      for (const step of [{ kind: 'put', item } as const, ...adds])
        servers.push(...ipvsadmLines(step).map((args) => asListed(args.join(' '))));
    }
    if (item.type === 'addr') rest.push(`addr ${item.address} src ${item.source}`);
    if (item.type === 'entry' && !/local-ips|svc-pods/.test(item.set))
      rest.push(`${item.set.replace(/.*kube-router-/, '')} ${item.element} ${item.options}`.trim());
    if (item.type === 'rule')
      rest.push(`rule 0x${item.mark.toString(16)}/0x${item.mask.toString(16)} lookup ${item.table}`);
    if (item.type === 'sysctl' && item.path.endsWith('/sloppy_tcp')) rest.push(`sysctl sloppy_tcp ${item.value}`);
  }
  return [...servers.sort(), ...rest.sort()].join('\n');
}

/** One rule. */
export interface RuleCase {
  readonly name: string;
  readonly input: Partial<CompileInput>;
  readonly expected: string;
  /** `object field: reason`, in order. */
  readonly issues?: readonly string[];
}

/** The Service of most cases. */
export const web = (options: Parameters<typeof service>[1] = {}) =>
  service('shop/web', { clusterIPs: ['172.16.0.10'], ports: [{ port: 80, protocol: 'TCP' }], ...options });
export const here = (address: string, more = {}) => ({ address, node: 'n1', zone: 'a', ...more });
export const there = (address: string, more = {}) => ({ address, node: 'n2', zone: 'b', ...more });
const annotated = (name: string, value = '') => ({ [`kube-router.io/service.${name}`]: value });
const ONE = [slice('shop/web', [here('10.1.1.2')])];
/** A Service whose ClusterIP has the endpoint of {@link ONE}. */
const CLUSTER = `-A -t 172.16.0.10:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1`;

/** A scheduler of the kernel that Debian builds. */
const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sed', 'nq', 'fo', 'ovf'];

export const TABLE: readonly RuleCase[] = [
  {
    name: 'ClusterIP, dual-stack, two ports whose named target port differs per slice; a port without endpoints is refused',
    input: {
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
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t [fd00::10]:80 -s rr
-A -u 172.16.0.10:53 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8081 -m -w 1
-a -t [fd00::10]:80 -r [fd01:1::2]:8080 -m -w 1
-a -u 172.16.0.10:53 -r 10.1.1.2:53 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr fd00::10 src fd10::11
svip 172.16.0.10
svip fd00::10
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.10,udp:53
svip-prt fd00::10,tcp:80
svip-prt fd00::10,udp:53
svip-ref fd00::10,udp:53`,
  },
  {
    name: 'an IPv4-only node leaves IPv6 alone',
    input: {
      node: { name: 'n1', primary: { 4: '192.168.1.11' } },
      services: [web({ clusterIPs: ['172.16.0.10', 'fd00::10'] })],
      endpointSlices: [...ONE, slice('shop/web', ['fd01:1::2'])],
    },
    expected: `${CLUSTER}
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
  },
  {
    name: 'an IPv6-only node leaves IPv4 alone',
    input: {
      node: { name: 'n1', primary: { 6: 'fd10::11' } },
      services: [web({ clusterIPs: ['fd00::10', '172.16.0.10'] })],
      endpointSlices: [...ONE, slice('shop/web', ['fd01:1::2'])],
    },
    expected: `-A -t [fd00::10]:80 -s rr
-a -t [fd00::10]:80 -r [fd01:1::2]:8080 -m -w 1
addr fd00::10 src fd10::11
svip fd00::10
svip-prt fd00::10,tcp:80`,
  },
  {
    name: 'a single-stack Service on a dual-stack node has a node port of its own family only',
    input: {
      services: [
        web({ clusterIPs: ['fd00::10'], type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }] }),
      ],
      endpointSlices: [slice('shop/web', ['fd01:1::2'])],
    },
    expected: `-A -t [fd00::10]:80 -s rr
-A -t [fd10::11]:30080 -s rr
-a -t [fd00::10]:80 -r [fd01:1::2]:8080 -m -w 1
-a -t [fd10::11]:30080 -r [fd01:1::2]:8080 -m -w 1
addr fd00::10 src fd10::11
svip fd00::10
svip-prt fd00::10,tcp:80
svip-prt fd10::11,tcp:30080`,
  },
  { name: 'headless', input: { services: [web({ clusterIPs: ['None'] })], endpointSlices: ONE }, expected: '' },
  {
    name: 'headless by label',
    input: { services: [web({ labels: { 'service.kubernetes.io/headless': '' } })], endpointSlices: ONE },
    expected: '',
  },
  {
    name: 'somebody else serves it',
    input: {
      services: [web({ labels: { 'service.kubernetes.io/service-proxy-name': 'other' } })],
      endpointSlices: ONE,
    },
    expected: '',
  },
  {
    name: 'it is served by name',
    input: {
      services: [web({ labels: { 'service.kubernetes.io/service-proxy-name': 'kube-router' } })],
      endpointSlices: ONE,
    },
    expected: `${CLUSTER}
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
  },
  {
    name: 'ExternalName',
    input: { services: [web({ type: 'ExternalName', spec: { externalName: 'example.com' } })], endpointSlices: ONE },
    expected: '',
  },
  {
    name: 'NodePort on the primary address; TCP, UDP and SCTP on one number',
    input: {
      services: [
        web({
          type: 'NodePort',
          ports: ['TCP', 'UDP', 'SCTP'].map((protocol) => ({
            name: protocol.toLowerCase(),
            port: 80,
            protocol,
            nodePort: 30080,
          })),
        }),
      ],
      endpointSlices: [
        slice(
          'shop/web',
          ['10.1.1.2'],
          ['TCP', 'UDP', 'SCTP'].map((protocol) => ({ name: protocol.toLowerCase(), port: 8080, protocol })),
        ),
      ],
    },
    expected: `-A --sctp-service 172.16.0.10:80 -s rr
-A --sctp-service 192.168.1.11:30080 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 192.168.1.11:30080 -s rr
-A -u 172.16.0.10:80 -s rr
-A -u 192.168.1.11:30080 -s rr
-a --sctp-service 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a --sctp-service 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
-a -u 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -u 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,sctp:80
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.10,udp:80
svip-prt 192.168.1.11,sctp:30080
svip-prt 192.168.1.11,tcp:30080
svip-prt 192.168.1.11,udp:30080`,
  },
  {
    name: 'NodePort on every address of the family',
    input: {
      nodePortOnAllAddresses: true,
      node: { ...NODE, addresses: ['192.168.1.11', '10.9.9.9', 'fd10::11'] },
      services: [web({ type: 'NodePort', ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }] })],
      endpointSlices: ONE,
    },
    expected: `-A -t 10.9.9.9:30080 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 192.168.1.11:30080 -s rr
-a -t 10.9.9.9:30080 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 10.9.9.9,tcp:30080
svip-prt 172.16.0.10,tcp:80
svip-prt 192.168.1.11,tcp:30080`,
  },
  {
    name: 'external and load-balancer addresses: only inside their ranges, never inside the cluster range, ipMode VIP only',
    input: {
      services: [
        web({
          type: 'LoadBalancer',
          spec: { externalIPs: ['198.51.100.5', '8.8.8.8', '172.16.0.99'] },
          status: {
            loadBalancer: {
              ingress: [
                { ip: '203.0.113.7' },
                { ip: '203.0.113.8', ipMode: 'Proxy' },
                { ip: '198.51.100.9' },
                { hostname: 'lb.example.com' },
              ],
            },
          },
        }),
      ],
      endpointSlices: ONE,
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-A -t 203.0.113.7:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
-a -t 203.0.113.7:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
addr 203.0.113.7 src 192.168.1.11
svip 172.16.0.10
svip 198.51.100.5
svip 203.0.113.7
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80
svip-prt 203.0.113.7,tcp:80`,
    issues: [
      'Service shop/web spec.externalIPs[1]: 8.8.8.8 lies in no range of --service-external-ip-range; it is not served',
      'Service shop/web spec.externalIPs[2]: 172.16.0.99 lies in the cluster IP range; it is not served',
      'Service shop/web status.loadBalancer.ingress[2].ip: 198.51.100.9 lies in no range of --loadbalancer-ip-range; it is not served',
    ],
  },
  {
    name: 'load-balancer status of a Service of another type is a leftover',
    input: { services: [web({ type: 'ClusterIP', ingress: ['203.0.113.7'] })], endpointSlices: ONE },
    expected: `${CLUSTER}
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
  },
  {
    name: 'no strict validation, skiplbips, excluded CIDR',
    input: {
      strictExternalIps: false,
      excludedCidrs: ['8.8.4.0/24'],
      services: [
        web({
          type: 'LoadBalancer',
          annotations: annotated('skiplbips'),
          spec: { externalIPs: ['8.8.8.8', '8.8.4.4'] },
          ingress: ['203.0.113.7'],
        }),
      ],
      endpointSlices: ONE,
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 8.8.8.8:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 8.8.8.8:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 8.8.8.8 src 192.168.1.11
svip 172.16.0.10
svip 8.8.8.8
svip-prt 172.16.0.10,tcp:80
svip-prt 8.8.8.8,tcp:80`,
  },
  {
    name: 'source ranges hold for load-balancer addresses alone, each family its own; a family without a range admits nobody',
    input: {
      services: [
        web({
          type: 'LoadBalancer',
          clusterIPs: ['172.16.0.10', 'fd00::10'],
          ingress: ['203.0.113.7', '2001:db8:1b::7'],
          spec: { externalIPs: ['198.51.100.5'], loadBalancerSourceRanges: ['10.0.0.0/8', '192.0.2.1/32'] },
        }),
      ],
      endpointSlices: [...ONE, slice('shop/web', [here('fd01:1::2')])],
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-A -t 203.0.113.7:80 -s rr
-A -t [2001:db8:1b::7]:80 -s rr
-A -t [fd00::10]:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
-a -t 203.0.113.7:80 -r 10.1.1.2:8080 -m -w 1
-a -t [2001:db8:1b::7]:80 -r [fd01:1::2]:8080 -m -w 1
-a -t [fd00::10]:80 -r [fd01:1::2]:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
addr 2001:db8:1b::7 src fd10::11
addr 203.0.113.7 src 192.168.1.11
addr fd00::10 src fd10::11
svip 172.16.0.10
svip 198.51.100.5
svip 2001:db8:1b::7
svip 203.0.113.7
svip fd00::10
svip-lim 2001:db8:1b::7,tcp:80
svip-lim 203.0.113.7,tcp:80
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80
svip-prt 2001:db8:1b::7,tcp:80
svip-prt 203.0.113.7,tcp:80
svip-prt fd00::10,tcp:80
svip-src 203.0.113.7,tcp:80,10.0.0.0/8
svip-src 203.0.113.7,tcp:80,192.0.2.1`,
  },
  {
    name: 'a source range of everybody is none',
    input: {
      services: [
        web({ type: 'LoadBalancer', ingress: ['203.0.113.7'], spec: { loadBalancerSourceRanges: ['0.0.0.0/0'] } }),
      ],
      endpointSlices: ONE,
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 203.0.113.7:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 203.0.113.7:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 203.0.113.7 src 192.168.1.11
svip 172.16.0.10
svip 203.0.113.7
svip-prt 172.16.0.10,tcp:80
svip-prt 203.0.113.7,tcp:80`,
  },
  {
    name: 'external policy Local: local endpoints for those outside, all of them, by mark, for clients inside; node ports too',
    input: {
      services: [
        web({
          type: 'NodePort',
          ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
          spec: { externalIPs: ['198.51.100.5'], externalTrafficPolicy: 'Local' },
        }),
      ],
      endpointSlices: [slice('shop/web', [there('10.1.2.2'), here('10.1.1.2')])],
      marks: new Map([
        ['kube-router-svc-mark-in/198.51.100.5,tcp:80', 5],
        ['kube-router-svc-mark-in/192.168.1.11,tcp:30080', 6],
      ]),
    },
    expected: `-A -f 5 -s rr
-A -f 6 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 192.168.1.11:30080 -s rr
-A -t 198.51.100.5:80 -s rr
-a -f 5 -r 10.1.1.2:8080 -m -w 1
-a -f 5 -r 10.1.2.2:8080 -m -w 1
-a -f 6 -r 10.1.1.2:8080 -m -w 1
-a -f 6 -r 10.1.2.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
-a -t 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
svc-mark-in 192.168.1.11,tcp:30080 skbmark 0x6/0x3fff
svc-mark-in 198.51.100.5,tcp:80 skbmark 0x5/0x3fff
svip 172.16.0.10
svip 198.51.100.5
svip-prt 172.16.0.10,tcp:80
svip-prt 192.168.1.11,tcp:30080
svip-prt 198.51.100.5,tcp:80`,
  },
  {
    name: 'external policy Local without a local endpoint: refused outside, served by mark inside',
    input: {
      services: [web({ spec: { externalIPs: ['198.51.100.5'], externalTrafficPolicy: 'Local' } })],
      endpointSlices: [slice('shop/web', [there('10.1.2.2')])],
      marks: new Map([['kube-router-svc-mark-in/198.51.100.5,tcp:80', 5]]),
    },
    expected: `-A -f 5 -s rr
-A -t 172.16.0.10:80 -s rr
-a -f 5 -r 10.1.2.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
svc-mark-in 198.51.100.5,tcp:80 skbmark 0x5/0x3fff
svip 172.16.0.10
svip 198.51.100.5
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80
svip-ref 198.51.100.5,tcp:80`,
  },
  {
    name: 'internal policy Local: the local endpoint only',
    input: {
      services: [web({ spec: { internalTrafficPolicy: 'Local' } })],
      endpointSlices: [slice('shop/web', [there('10.1.2.2'), here('10.1.1.2')])],
    },
    expected: `${CLUSTER}
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
  },
  {
    name: 'internal policy Local without a local endpoint: no virtual server, and what comes is refused',
    input: {
      services: [web({ spec: { internalTrafficPolicy: 'Local' } })],
      endpointSlices: [slice('shop/web', [there('10.1.2.2')])],
    },
    expected: `addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80
svip-ref 172.16.0.10,tcp:80`,
  },
  {
    name: 'annotation local: outside Local, inside Cluster whatever the Service says',
    input: {
      services: [
        web({
          annotations: annotated('local', 'true'),
          spec: { externalIPs: ['198.51.100.5'], internalTrafficPolicy: 'Local' },
        }),
      ],
      endpointSlices: [slice('shop/web', [there('10.1.2.2'), here('10.1.1.2')])],
      marks: new Map([['kube-router-svc-mark-in/198.51.100.5,tcp:80', 5]]),
    },
    expected: `-A -f 5 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-a -f 5 -r 10.1.1.2:8080 -m -w 1
-a -f 5 -r 10.1.2.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
svc-mark-in 198.51.100.5,tcp:80 skbmark 0x5/0x3fff
svip 172.16.0.10
svip 198.51.100.5
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80`,
  },
  {
    name: 'an ending endpoint serves while none is ready, and does not while one is',
    input: {
      services: [
        web(),
        service('shop/old', { clusterIPs: ['172.16.0.11'], ports: [{ port: 80, protocol: 'TCP' }] }),
        service('shop/out', { clusterIPs: ['172.16.0.12'], ports: [{ port: 80, protocol: 'TCP' }] }),
      ],
      endpointSlices: [
        slice('shop/web', [
          here('10.1.1.2'),
          here('10.1.1.3', { ready: false, serving: true, terminating: true }),
          here('10.1.1.4', { ready: false, serving: true, terminating: false }),
        ]),
        slice('shop/old', [
          here('10.1.1.5', { ready: false, serving: true, terminating: true }),
          here('10.1.1.6', { ready: false, serving: false, terminating: true }),
        ]),
        slice('shop/out', [here('10.1.1.7', { ready: false, serving: false, terminating: true })]),
      ],
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 172.16.0.11:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.11:80 -r 10.1.1.5:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 172.16.0.11 src 192.168.1.11
addr 172.16.0.12 src 192.168.1.11
svip 172.16.0.10
svip 172.16.0.11
svip 172.16.0.12
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.11,tcp:80
svip-prt 172.16.0.12,tcp:80
svip-ref 172.16.0.12,tcp:80`,
  },
  {
    name: 'zone hints on every endpoint; without hints trafficDistribution: the node, then the zone',
    input: {
      services: [
        web(),
        service('shop/node', {
          clusterIPs: ['172.16.0.11'],
          ports: [{ port: 80, protocol: 'TCP' }],
          spec: { trafficDistribution: 'PreferSameNode' },
        }),
        service('shop/zone', {
          clusterIPs: ['172.16.0.12'],
          ports: [{ port: 80, protocol: 'TCP' }],
          spec: { trafficDistribution: 'PreferClose' },
        }),
      ],
      endpointSlices: [
        slice('shop/web', [here('10.1.1.2', { hintZones: ['b'] }), there('10.1.2.2', { hintZones: ['a'] })]),
        slice('shop/node', [here('10.1.1.3'), here('10.1.1.4', { node: 'n3' }), there('10.1.2.3')]),
        slice('shop/zone', [here('10.1.1.5'), here('10.1.1.6', { node: 'n3' }), there('10.1.2.4')]),
      ],
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 172.16.0.11:80 -s rr
-A -t 172.16.0.12:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
-a -t 172.16.0.11:80 -r 10.1.1.3:8080 -m -w 1
-a -t 172.16.0.12:80 -r 10.1.1.5:8080 -m -w 1
-a -t 172.16.0.12:80 -r 10.1.1.6:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 172.16.0.11 src 192.168.1.11
addr 172.16.0.12 src 192.168.1.11
svip 172.16.0.10
svip 172.16.0.11
svip 172.16.0.12
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.11,tcp:80
svip-prt 172.16.0.12,tcp:80`,
  },
  {
    name: 'affinity with its timeout, mh and its flags by number and by name; an unknown flag is named',
    input: {
      services: [
        web({
          annotations: { ...annotated('scheduler', 'mh'), ...annotated('schedflags', 'flag-2, nonsense') },
          spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 90 } } },
        }),
        service('shop/sh', {
          clusterIPs: ['172.16.0.11'],
          ports: [{ port: 80, protocol: 'TCP' }],
          annotations: { ...annotated('scheduler', 'sh'), ...annotated('schedflags', 'sh-port') },
          spec: { sessionAffinity: 'ClientIP' },
        }),
      ],
      endpointSlices: [...ONE, slice('shop/sh', ['10.1.1.3'])],
    },
    expected: `-A -t 172.16.0.10:80 -s mh -p 90 -b mh-fallback,mh-port
-A -t 172.16.0.11:80 -s sh -p 10800 -b sh-fallback,sh-port
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.11:80 -r 10.1.1.3:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 172.16.0.11 src 192.168.1.11
svip 172.16.0.10
svip 172.16.0.11
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.11,tcp:80`,
    issues: [
      'Service shop/web metadata.annotations[kube-router.io/service.schedflags]: "nonsense" is no flag of scheduler mh; it is ignored',
    ],
  },
  {
    name: 'mh without graceful termination has the flags that were asked for and no other; the third means nothing to it',
    input: {
      gracefulTermination: false,
      services: [
        web({ annotations: { ...annotated('scheduler', 'mh'), ...annotated('schedflags', 'flag-1,flag-2,flag-3') } }),
      ],
      endpointSlices: [slice('shop/web', ['10.1.2.10', '10.1.1.9', '10.1.2.9'])],
    },
    expected: `-A -t 172.16.0.10:80 -s mh -b mh-fallback,mh-port
-a -t 172.16.0.10:80 -r 10.1.1.9:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.10:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.9:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
  },
  {
    name: 'every scheduler of the kernel',
    input: {
      services: SCHEDULERS.map((scheduler, index) =>
        service(`shop/s${index}`, {
          clusterIPs: [`172.16.0.${100 + index}`],
          ports: [{ port: 80, protocol: 'TCP' }],
          annotations: annotated('scheduler', scheduler),
        }),
      ),
      endpointSlices: SCHEDULERS.map((_, index) => slice(`shop/s${index}`, ['10.1.1.2'])),
    },
    expected: [
      ...SCHEDULERS.map((scheduler, index) => `-A -t 172.16.0.${100 + index}:80 -s ${scheduler}`),
      ...SCHEDULERS.map((_, index) => `-a -t 172.16.0.${100 + index}:80 -r 10.1.1.2:8080 -m -w 1`),
      ...SCHEDULERS.map((_, index) => `addr 172.16.0.${100 + index} src 192.168.1.11`),
      ...SCHEDULERS.map((_, index) => `svip 172.16.0.${100 + index}`),
      ...SCHEDULERS.map((_, index) => `svip-prt 172.16.0.${100 + index},tcp:80`),
    ].join('\n'),
  },
  {
    name: 'an unknown scheduler is rr',
    input: { services: [web({ annotations: annotated('scheduler', 'best') })], endpointSlices: ONE },
    expected: `${CLUSTER}
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
    issues: [
      'Service shop/web metadata.annotations[kube-router.io/service.scheduler]: "best" is no scheduler of the kernel; rr is used',
    ],
  },
  {
    name: 'weights by pod annotation; one that is none is 1',
    input: {
      services: [web({ annotations: annotated('scheduler', 'wrr') })],
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
    expected: `-A -t 172.16.0.10:80 -s wrr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 65535
-a -t 172.16.0.10:80 -r 10.1.1.3:8080 -m -w 0
-a -t 172.16.0.10:80 -r 10.1.1.4:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
    issues: [
      'Service shop/web : annotation kube-router.io/weight "65536" of Pod shop/c is no weight of 0–65535; 1 is used',
    ],
  },
  {
    name: 'hairpin: local endpoints only',
    input: {
      services: [web({ annotations: annotated('hairpin') })],
      endpointSlices: [slice('shop/web', [here('10.1.1.2'), there('10.1.2.2')])],
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
hairpin 10.1.1.2,tcp:8080,10.1.1.2
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
  },
  {
    name: 'hairpin by external addresses alone, where the ClusterIP has no local endpoint',
    input: {
      hairpin: true,
      services: [
        web({
          annotations: annotated('hairpin.externalips'),
          spec: { externalIPs: ['198.51.100.5'], externalTrafficPolicy: 'Local' },
        }),
      ],
      endpointSlices: [
        slice('shop/web', [here('10.1.1.2', { ready: false, serving: true, terminating: true }), there('10.1.2.2')]),
      ],
      marks: new Map([['kube-router-svc-mark-in/198.51.100.5,tcp:80', 5]]),
    },
    expected: `-A -f 5 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-a -f 5 -r 10.1.2.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
hairpin 10.1.1.2,tcp:8080,10.1.1.2
svc-mark-in 198.51.100.5,tcp:80 skbmark 0x5/0x3fff
svip 172.16.0.10
svip 198.51.100.5
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80`,
  },
  {
    name: 'DSR: marked, tunnelled, VIP off the device; what DSR cannot do is an issue on that endpoint alone',
    input: {
      services: [
        web({
          annotations: { ...annotated('dsr', 'tunnel'), ...annotated('scheduler', 'mh') },
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
    expected: `-A -f 8199 -s mh -b mh-fallback
-A -t 172.16.0.10:80 -s mh -b mh-fallback
-a -f 8199 -r 10.1.1.2:0 -i -w 1 --tun-type ipip
-a -f 8199 -r 10.1.2.2:0 -i -w 1 --tun-type ipip
-a -t 172.16.0.10:80 -r 10.1.1.2:80 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.2:80 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.9:8080 -m -w 1
-a -t 172.16.0.10:80 -r 192.168.1.12:80 -m -w 1
addr 172.16.0.10 src 192.168.1.11
rule 0x2000/0x2000 lookup 78
svc-mark 198.51.100.5,tcp:80 skbmark 0x2007/0x3fff
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80
sysctl sloppy_tcp 1`,
    issues: [
      'Service shop/web spec.ports[0]: DSR needs a pod network: host-network endpoint 192.168.1.12 is left out',
      'Service shop/web spec.ports[0]: DSR keeps the port: endpoint 10.1.2.9:8080 is left out',
    ],
  },
  {
    name: 'DSR in UDP: a mark of its own kind, a tunnel in GUE; what is neither ipip nor fou is ipip; no mh, no sloppy_tcp',
    input: {
      services: [
        web({
          annotations: { ...annotated('dsr', 'tunnel'), ...annotated('dsr.encap', 'fou') },
          spec: { externalIPs: ['198.51.100.5'] },
        }),
        service('shop/xyz', {
          clusterIPs: ['172.16.0.11'],
          ports: [{ port: 80, protocol: 'TCP' }],
          annotations: { ...annotated('dsr', 'tunnel'), ...annotated('dsr.encap', 'gre') },
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
    expected: `-A -f 12295 -s rr
-A -f 8199 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 172.16.0.11:80 -s rr
-a -f 12295 -r 10.1.2.2:0 -i -w 1 --tun-type gue --tun-port 5555 --tun-nocsum
-a -f 8199 -r 10.1.2.3:0 -i -w 1 --tun-type ipip
-a -t 172.16.0.10:80 -r 10.1.2.2:80 -m -w 1
-a -t 172.16.0.11:80 -r 10.1.2.3:80 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 172.16.0.11 src 192.168.1.11
rule 0x2000/0x2000 lookup 78
svc-fou 198.51.100.5,tcp:80
svc-mark 198.51.100.5,tcp:80 skbmark 0x3007/0x3fff
svc-mark 198.51.100.6,tcp:80 skbmark 0x2007/0x3fff
svip 172.16.0.10
svip 172.16.0.11
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.11,tcp:80
svip-prt 198.51.100.5,tcp:80
svip-prt 198.51.100.6,tcp:80`,
    issues: [
      'Service shop/xyz metadata.annotations[kube-router.io/service.dsr.encap]: "gre" is neither ipip nor fou; ipip is used',
    ],
  },
  {
    name: 'DSR waits for a local pod that is not prepared; IPv6 has its mark and rule',
    input: {
      dsrReady: () => false,
      services: [
        web({
          clusterIPs: ['fd00::10'],
          annotations: annotated('dsr', 'tunnel'),
          spec: { externalIPs: ['2001:db8:e::5'] },
        }),
      ],
      endpointSlices: [slice('shop/web', [here('fd01:1::2'), there('fd01:2::2')], [{ port: 80 }])],
      marks: new Map([['inet6:kube-router-svc-mark/2001:db8:e::5,tcp:80', 0x2007]]),
    },
    expected: `-A -f 8199 -6 -s rr
-A -t [fd00::10]:80 -s rr
-a -f 8199 -6 -r [fd01:2::2]:0 -i -w 1 --tun-type ipip
-a -t [fd00::10]:80 -r [fd01:1::2]:80 -m -w 1
-a -t [fd00::10]:80 -r [fd01:2::2]:80 -m -w 1
addr fd00::10 src fd10::11
rule 0x2000/0x2000 lookup 78
svc-mark 2001:db8:e::5,tcp:80 skbmark 0x2007/0x3fff
svip fd00::10
svip-prt 2001:db8:e::5,tcp:80
svip-prt fd00::10,tcp:80`,
  },
  {
    name: 'a DSR method that is none: served without DSR',
    input: {
      services: [web({ annotations: annotated('dsr', 'gre'), spec: { externalIPs: ['198.51.100.5'] } })],
      endpointSlices: ONE,
    },
    expected: `-A -t 172.16.0.10:80 -s rr
-A -t 198.51.100.5:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
svip 172.16.0.10
svip 198.51.100.5
svip-prt 172.16.0.10,tcp:80
svip-prt 198.51.100.5,tcp:80`,
    issues: [
      'Service shop/web metadata.annotations[kube-router.io/service.dsr]: "gre" is no DSR method, only tunnel is; the Service is served without DSR',
    ],
  },
  {
    name: 'two Services want one VIP:port: the first by name has it, the other port of the shared VIP is served',
    input: {
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
      endpointSlices: [slice('a/one', ['10.1.1.2'])],
    },
    expected: `-A -t 172.16.0.1:80 -s rr
-A -t 198.51.100.5:80 -s rr
-a -t 172.16.0.1:80 -r 10.1.1.2:8080 -m -w 1
-a -t 198.51.100.5:80 -r 10.1.1.2:8080 -m -w 1
addr 172.16.0.1 src 192.168.1.11
addr 172.16.0.2 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
svip 172.16.0.1
svip 172.16.0.2
svip 198.51.100.5
svip-prt 172.16.0.1,tcp:80
svip-prt 172.16.0.2,tcp:80
svip-prt 172.16.0.2,tcp:81
svip-prt 198.51.100.5,tcp:80
svip-prt 198.51.100.5,tcp:81
svip-ref 172.16.0.2,tcp:80
svip-ref 172.16.0.2,tcp:81
svip-ref 198.51.100.5,tcp:81`,
    issues: ['Service b/two spec: tcp/198.51.100.5:80 belongs to Service a/one already; it is not served for this one'],
  },
  {
    name: 'the loser of a VIP:port leaves nothing there: no source range, no refusal, no mark, no address where DSR wants none',
    input: {
      externalIpRanges: ['203.0.113.0/24'],
      services: [
        service('a/one', {
          clusterIPs: ['172.16.0.1'],
          ports: [{ port: 80, protocol: 'TCP' }],
          annotations: annotated('dsr', 'tunnel'),
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
      endpointSlices: [slice('a/one', ['10.1.2.2'], [{ port: 80 }])],
      marks: new Map([['kube-router-svc-mark/203.0.113.5,tcp:80', 0x2007]]),
    },
    expected: `-A -f 8199 -s rr
-A -t 172.16.0.1:80 -s rr
-a -f 8199 -r 10.1.2.2:0 -i -w 1 --tun-type ipip
-a -t 172.16.0.1:80 -r 10.1.2.2:80 -m -w 1
addr 172.16.0.1 src 192.168.1.11
addr 172.16.0.2 src 192.168.1.11
rule 0x2000/0x2000 lookup 78
svc-mark 203.0.113.5,tcp:80 skbmark 0x2007/0x3fff
svip 172.16.0.1
svip 172.16.0.2
svip-prt 172.16.0.1,tcp:80
svip-prt 172.16.0.2,tcp:80
svip-prt 203.0.113.5,tcp:80
svip-ref 172.16.0.2,tcp:80`,
    issues: ['Service b/two spec: tcp/203.0.113.5:80 belongs to Service a/one already; it is not served for this one'],
  },
  {
    name: 'one VIP by DSR and by another Service without: served as asked, and the DSR Service is told that its pods here are not heard',
    input: {
      services: [
        web({ annotations: annotated('dsr', 'tunnel'), spec: { externalIPs: ['198.51.100.5'] } }),
        service('shop/xyz', {
          clusterIPs: ['172.16.0.11'],
          ports: [{ port: 443, protocol: 'TCP' }],
          spec: { externalIPs: ['198.51.100.5'] },
        }),
      ],
      endpointSlices: [
        slice('shop/web', [there('10.1.2.2')], [{ port: 80 }]),
        slice('shop/xyz', [there('10.1.2.3')], [{ port: 8443 }]),
      ],
      marks: new Map([['kube-router-svc-mark/198.51.100.5,tcp:80', 0x2007]]),
    },
    expected: `-A -f 8199 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 172.16.0.11:443 -s rr
-A -t 198.51.100.5:443 -s rr
-a -f 8199 -r 10.1.2.2:0 -i -w 1 --tun-type ipip
-a -t 172.16.0.10:80 -r 10.1.2.2:80 -m -w 1
-a -t 172.16.0.11:443 -r 10.1.2.3:8443 -m -w 1
-a -t 198.51.100.5:443 -r 10.1.2.3:8443 -m -w 1
addr 172.16.0.10 src 192.168.1.11
addr 172.16.0.11 src 192.168.1.11
addr 198.51.100.5 src 192.168.1.11
rule 0x2000/0x2000 lookup 78
svc-mark 198.51.100.5,tcp:80 skbmark 0x2007/0x3fff
svip 172.16.0.10
svip 172.16.0.11
svip 198.51.100.5
svip-prt 172.16.0.10,tcp:80
svip-prt 172.16.0.11,tcp:443
svip-prt 198.51.100.5,tcp:443
svip-prt 198.51.100.5,tcp:80`,
    issues: [
      'Service shop/web metadata.annotations[kube-router.io/service.dsr]: 198.51.100.5 is served by another Service without DSR: this node holds the address, and what its pods answer by DSR is dropped',
    ],
  },
  {
    name: 'a slice without a port says so; one for nobody is nobody’s',
    input: {
      services: [web()],
      endpointSlices: [
        ...ONE,
        slice('shop/web', ['10.1.1.9'], [], { name: 'web-none' }),
        slice('shop/none', ['10.1.1.8']),
      ],
    },
    expected: `${CLUSTER}
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`,
    issues: ['Service shop/web spec.ports: EndpointSlice shop/web-none has no port; its endpoints are left out'],
  },
];
