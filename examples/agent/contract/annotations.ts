/**
 * kube-router's 26 annotation keys as a contract: what each does when absent, with one value that is accepted and with one that
 * is not, asked of the blocks as the agent wires them. Written by hand.
 */
import { createIngressCompiler } from 'kube-router-sdk/ingress';
import { compile as compileServices } from 'kube-router-sdk/ipvs';
import type { Issue } from 'kube-router-sdk/net';
import { projectEndpointSlice, projectNode, projectService } from 'kube-router-sdk/informers';
import { createRoutingCompiler, peers, type PeersOptions } from 'kube-router-sdk/routing';
import { buildEndpointSlice, buildNode, buildService } from 'kube-router-sdk/testing';

type Annotations = Readonly<Record<string, string>>;

/** What is seen of a cluster whose one Service or one Node carries annotations. */
type Look = (annotations: Annotations) => { readonly seen: unknown; readonly issues: readonly Issue[] };

/** One key. */
export interface AnnotationCase {
  readonly key: string;
  /** Other annotations without which the key means nothing. */
  readonly beside?: Annotations;
  readonly look: Look;
  readonly absent: unknown;
  readonly accepted: readonly [text: string, seen: unknown];
  /** Refused: an issue that names the key, or the field that it belongs to, and what is in force then. */
  readonly refused: readonly [text: string, seen: unknown, issue: string | undefined];
}

const must = <T>(object: T | undefined): T => {
  if (object === undefined) throw new Error('an object of the contract is invalid');
  return object;
};

const node = (annotations: Annotations) =>
  must(
    projectNode(buildNode('n1', { addresses: ['192.168.1.11', 'fd00:1::11'], podCIDRs: ['10.1.1.0/24'], annotations }))
      .object,
  );

const service = (annotations: Annotations) =>
  must(
    projectService(
      buildService('default/web', {
        type: 'LoadBalancer',
        clusterIPs: ['10.96.0.10'],
        ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
        ingress: ['203.0.113.1'],
        spec: { externalIPs: ['198.51.100.1'] },
        annotations,
      }),
    ).object,
  );

const slices = [
  must(
    projectEndpointSlice(
      buildEndpointSlice('default/web', {
        endpoints: [
          { address: '10.1.1.5', node: 'n1', pod: 'default/web-1' },
          { address: '10.1.2.5', node: 'n2', pod: 'default/web-2' },
        ],
        ports: [{ name: 'http', port: 8080 }],
      }),
    ).object,
  ),
];

const VIPS = ['10.96.0.10', '198.51.100.1', '203.0.113.1'] as const;
const ranges = { externalIpRanges: ['198.51.100.0/24'] };

type Compiled = ReturnType<typeof compileServices>;

/** Services as this node's kernel would hold them. */
const proxy =
  (see: (compiled: Compiled) => unknown): Look =>
  (annotations) => {
    const compiled = compileServices({
      ...ranges,
      node: { name: 'n1', primary: { 4: '192.168.1.11' }, podCIDRs: ['10.1.1.0/24'] },
      loadBalancerRanges: ['203.0.113.0/24'],
      gracefulTermination: false,
      services: [service(annotations)],
      endpointSlices: slices,
    });
    return { seen: see(compiled), issues: compiled.issues };
  };

const server = (compiled: Compiled, address: string) => {
  const item = compiled.items.get(`vs/tcp/${address}:80`);
  return item?.type === 'vs' ? item : undefined;
};
/** How each address is served: forwarding and number of servers of those by address; `mark` for those by firewall mark. */
const served = (compiled: Compiled): string =>
  VIPS.map((vip) => {
    const item = server(compiled, vip);
    return item === undefined ? '-' : `${item.forward}${item.servers.length}`;
  }).join(' ');
const hairpins = (compiled: Compiled): string =>
  [...compiled.items.values()]
    .filter((item) => item.type === 'entry' && item.set === 'kube-router-hairpin')
    .map((item) => (item.type === 'entry' ? item.element : ''))
    .sort()
    .join(' ');

/** Addresses that this node announces. */
const announced: Look = (annotations) => {
  const output = createIngressCompiler('n1', { ...ranges, loadBalancerIpRanges: ['203.0.113.0/24'] }).update({
    services: [{ key: 'default/web', object: service(annotations) }],
    endpointSlices: slices.map((slice) => ({ key: `default/${slice.name}`, object: slice })),
    nodes: [{ key: 'n1', object: node({}) }],
  });
  return { seen: output.advertisements.map(({ prefix }) => prefix).join(' '), issues: output.issues };
};

type Bgp = ReturnType<typeof peers>;

/** BGP of a node with these annotations, beside another node. */
const bgp =
  (see: (bgp: Bgp) => unknown, options: PeersOptions = {}, other: Annotations = {}): Look =>
  (annotations) => {
    const n2 = must(
      projectNode(buildNode('n2', { addresses: ['192.168.1.12'], podCIDRs: ['10.1.2.0/24'], annotations: other }))
        .object,
    );
    const config = peers({ node: 'n1', nodes: [node(annotations), n2], options });
    return { seen: see(config), issues: config.issues };
  };
const external = ({ peers: all }: Bgp) => all.filter(({ kind }) => kind === 'external');

/** This node's pod CIDRs as pod networking uses them. */
const podCidrs: Look = (annotations) => {
  const output = createRoutingCompiler({ node: 'n1', families: [4], source: 'nodes' }).update({
    nodes: [{ key: 'n1', object: node(annotations) }],
  });
  return { seen: output.podCidrs.join(' '), issues: output.issues };
};

const S = 'kube-router.io/service.';
const N = 'kube-router.io/';
const peerIps = { [`${N}peer.ips`]: '10.0.0.1,10.0.0.2', [`${N}peer.asns`]: '65000,65001' };
const b64 = (text: string): string => Buffer.from(text).toString('base64');

/** All of them. */
export const annotationContract: readonly AnnotationCase[] = [
  {
    key: `${S}dsr`,
    look: proxy(served),
    absent: 'masq2 masq2 masq2',
    accepted: ['tunnel', 'masq2 - -'],
    refused: ['gre', 'masq2 masq2 masq2', `${S}dsr`],
  },
  {
    key: `${S}scheduler`,
    look: proxy((compiled) => server(compiled, VIPS[0])?.scheduler),
    absent: 'rr',
    accepted: ['mh', 'mh'],
    refused: ['fastest', 'rr', `${S}scheduler`],
  },
  {
    key: `${S}schedflags`,
    beside: { [`${S}scheduler`]: 'mh' },
    look: proxy((compiled) => server(compiled, VIPS[0])?.flags.join()),
    absent: '',
    accepted: ['flag-1, flag-2', 'mh-fallback,mh-port'],
    refused: ['flag-9', '', `${S}schedflags`],
  },
  {
    key: `${S}hairpin`,
    look: proxy(hairpins),
    absent: '',
    accepted: ['', '10.1.1.5,tcp:8080,10.1.1.5'],
    // Presence is all: there is no value to refuse.
    refused: ['false', '10.1.1.5,tcp:8080,10.1.1.5', undefined],
  },
  {
    key: `${S}hairpin.externalips`,
    // Here hairpin follows the pod, whatever address it came by: the key is accepted and has nothing to add.
    beside: { [`${S}hairpin`]: '' },
    look: proxy(hairpins),
    absent: '10.1.1.5,tcp:8080,10.1.1.5',
    accepted: ['', '10.1.1.5,tcp:8080,10.1.1.5'],
    refused: ['false', '10.1.1.5,tcp:8080,10.1.1.5', undefined],
  },
  {
    key: `${S}local`,
    look: proxy(served),
    absent: 'masq2 masq2 masq2',
    accepted: ['true', 'masq2 masq1 masq1'],
    // Exactly `true`, as kube-router reads it.
    refused: ['True', 'masq2 masq2 masq2', undefined],
  },
  {
    key: `${S}skiplbips`,
    look: proxy(served),
    absent: 'masq2 masq2 masq2',
    accepted: ['', 'masq2 masq2 -'],
    refused: ['false', 'masq2 masq2 -', undefined],
  },
  {
    key: `${S}advertise.clusterip`,
    look: announced,
    absent: '',
    accepted: ['true', '10.96.0.10/32'],
    refused: ['yes', '', `${S}advertise.clusterip`],
  },
  {
    key: `${S}advertise.externalip`,
    look: announced,
    absent: '',
    accepted: ['1', '198.51.100.1/32'],
    refused: ['on', '', `${S}advertise.externalip`],
  },
  {
    key: `${S}advertise.loadbalancerip`,
    look: announced,
    absent: '',
    accepted: ['T', '203.0.113.1/32'],
    refused: ['maybe', '', `${S}advertise.loadbalancerip`],
  },
  {
    key: `${N}node.asn`,
    look: bgp(({ asn }) => asn, { nodesFullMesh: false }),
    absent: 0,
    accepted: ['64600', 64600],
    refused: ['none', 0, `${N}node.asn`],
  },
  {
    key: `${N}node.bgp.communities`,
    look: bgp(({ exportAttributes }) => exportAttributes.communities?.join(' ') ?? ''),
    absent: '',
    accepted: ['65000:1,no-export,4259840100', '65000:1 no-export 65000:100'],
    refused: ['65000:70000', '', `${N}node.bgp.communities`],
  },
  {
    key: `${N}node.bgp.customimportreject`,
    look: bgp(({ importReject }) => importReject.join(' ')),
    absent: '',
    accepted: ['10.9.0.0/16, fd00:9::/32', '10.9.0.0/16 fd00:9::/32'],
    refused: ['10.9', '', `${N}node.bgp.customimportreject`],
  },
  {
    key: `${N}path-prepend.as`,
    beside: { [`${N}path-prepend.repeat-n`]: '3' },
    look: bgp(({ exportAttributes }) => exportAttributes.prepend),
    absent: undefined,
    accepted: ['65010', { asn: 65010, count: 3 }],
    refused: ['x', undefined, `${N}path-prepend.as`],
  },
  {
    key: `${N}path-prepend.repeat-n`,
    beside: { [`${N}path-prepend.as`]: '65010' },
    look: bgp(({ exportAttributes }) => exportAttributes.prepend),
    absent: undefined,
    accepted: ['2', { asn: 65010, count: 2 }],
    refused: ['256', undefined, `${N}path-prepend.repeat-n`],
  },
  {
    key: `${N}peers`,
    look: bgp((config) => external(config).map(({ address, asn, port }) => `${address} ${asn} ${port}`)),
    absent: [],
    accepted: ['- {remoteip: 10.0.0.9, remoteasn: 65009, port: 1790}', ['10.0.0.9 65009 1790']],
    refused: ['- {remoteip: 10.0.0.9, remoteasn: 23456}', [], `${N}peers`],
  },
  {
    key: `${N}peer.ips`,
    beside: { [`${N}peer.asns`]: '65000' },
    look: bgp((config) => external(config).map(({ address }) => address)),
    absent: [],
    accepted: ['10.0.0.1', ['10.0.0.1']],
    refused: ['10.0.0.300', [], `${N}peer.ips`],
  },
  {
    key: `${N}peer.asns`,
    beside: { [`${N}peer.ips`]: '10.0.0.1' },
    look: bgp((config) => external(config).map(({ asn }) => asn)),
    absent: [],
    accepted: ['65000', [65000]],
    refused: ['65000,65001', [], `${N}peer.ips`],
  },
  {
    key: `${N}peer.ports`,
    beside: peerIps,
    look: bgp((config) => external(config).map(({ port }) => port)),
    absent: [179, 179],
    accepted: ['1790,1791', [1790, 1791]],
    refused: ['1790', [], `${N}peer.ips`],
  },
  {
    key: `${N}peer.passwords`,
    beside: peerIps,
    look: bgp((config) => external(config).map(({ password }) => password ?? '')),
    absent: ['', ''],
    accepted: [`${b64('one')},${b64('two')}`, ['one', 'two']],
    refused: ['***,***', [], `${N}peer.ips`],
  },
  {
    key: `${N}peer.localips`,
    beside: peerIps,
    look: bgp((config) => external(config).map(({ localAddress }) => localAddress)),
    absent: ['192.168.1.11', '192.168.1.11'],
    accepted: ['192.168.1.7,192.168.1.8', ['192.168.1.7', '192.168.1.8']],
    refused: ['192.168.1.7,here', ['192.168.1.7'], `${N}peer.ips`],
  },
  {
    key: `${N}rr.server`,
    look: bgp(({ clusterId }) => clusterId),
    absent: undefined,
    accepted: ['7', '0.0.0.7'],
    refused: ['fd00::7', undefined, `${N}rr.server`],
  },
  {
    key: `${N}rr.client`,
    // The other node is no reflector: a client does not peer with it.
    look: bgp(({ peers: all }) => all.length),
    absent: 1,
    accepted: ['10.0.0.7', 0],
    refused: ['seven', 1, `${N}rr.client`],
  },
  {
    key: `${N}bgp-local-addresses`,
    look: bgp(({ listen }) => listen.join(' ')),
    absent: '192.168.1.11',
    accepted: ['192.168.1.7', '192.168.1.7'],
    refused: ['eth0', '192.168.1.11', `${N}bgp-local-addresses`],
  },
  {
    key: `${N}pod-cidrs`,
    look: podCidrs,
    absent: '10.1.1.0/24',
    accepted: ['10.7.1.0/24', '10.7.1.0/24'],
    refused: ['10.7.1', '10.1.1.0/24', `${N}pod-cidrs`],
  },
  {
    key: `${N}pod-cidr`,
    look: podCidrs,
    absent: '10.1.1.0/24',
    accepted: ['10.8.1.0/24', '10.8.1.0/24'],
    refused: ['10.8.1', '10.1.1.0/24', `${N}pod-cidr`],
  },
];
