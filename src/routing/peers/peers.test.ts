/** Sessions of a node from Node objects, flags and annotations: one line a peer; a bad annotation costs itself alone. */
import { describe, expect, test } from 'vitest';
import { readCommunity } from '../../objects/annotations.ts';
import type { NodeObject } from '../../objects/types.ts';
import { base64Text, clusterId, peerableAsn } from './annotations.ts';
import type { BgpNodeConfig, PeersOptions } from './model.ts';
import { peers } from './peers.ts';

function node(name: string, addresses: string[], annotations: Record<string, string> = {}): NodeObject {
  return {
    kind: 'Node',
    namespace: '',
    name,
    uid: name,
    labels: {},
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [`kube-router.io/${key}`, value]),
    ),
    addresses: addresses.map((address) => ({ type: 'InternalIP', address })),
    podCIDRs: [],
    unschedulable: false,
    ready: true,
    taints: [],
  };
}

const lines = (config: BgpNodeConfig): string[] =>
  config.peers.map(
    (peer) =>
      `${peer.name} ${peer.localAddress} > ${peer.address}:${peer.port} as ${peer.asn} v${peer.families.join('+')}${peer.routeReflectorClient ? ' client' : ''}`,
  );
const reasons = (config: BgpNodeConfig): string[] =>
  config.issues.map((issue) => `${issue.object} ${issue.field}: ${issue.reason}`);
const of = (nodes: NodeObject[], options: PeersOptions = {}, name = 'a') => peers({ node: name, nodes, options });

const a = node('a', ['10.0.0.1', 'fd00::1']);
const b = node('b', ['10.0.0.2', 'fd00::2']);
const c = node('c', ['10.0.0.3']);

describe('between nodes', () => {
  test('full mesh under the cluster ASN, each family that both ends have', () => {
    const config = of([a, b, c], { families: [4, 6] });
    expect(lines(config)).toEqual([
      'node b 10.0.0.1 > 10.0.0.2:179 as 64512 v4+6',
      'node c 10.0.0.1 > 10.0.0.3:179 as 64512 v4',
    ]);
    expect(config).toMatchObject({ asn: 64512, routerId: '10.0.0.1', listen: ['10.0.0.1', 'fd00::1'], issues: [] });
  });

  test('primary addresses of different families meet over one that both have', () => {
    const six = node('six', ['fd00::9', '10.0.0.9']);
    expect(lines(of([a, six], { families: [4, 6] }))).toEqual(['node six 10.0.0.1 > 10.0.0.9:179 as 64512 v4+6']);
    expect(lines(of([a, node('only6', ['fd00::9'])], { families: [4] }))).toEqual([]);
  });

  test('IPv6 alone needs a router id', () => {
    const six = [node('a', ['fd00::1']), node('b', ['fd00::2'])];
    expect(reasons(of(six, { families: [6] }))).toEqual([
      'Node a routerId: the node has no IPv4 address: set a router id or let one be generated; BGP waits',
    ]);
    expect(lines(of(six, { families: [6] }))).toEqual([]);
    expect(lines(of(six, { families: [6], routerId: '1.1.1.1' }))).toEqual([
      'node b fd00::1 > fd00::2:179 as 64512 v6',
    ]);
  });

  test('a generated router id is the FNV-1a hash of the address', () => {
    // 0x811c9dc5, then for each byte of 10 0 0 1: xor, times 0x01000193 modulo 2^32; the value is from a Python one-liner.
    expect(of([a], { routerId: 'generate' }).routerId).toBe('108.80.106.44');
  });

  test('switched off', () => {
    expect(lines(of([a, b, c], { enableIbgp: false }))).toEqual([]);
  });

  test('without a full mesh, nodes of one ASN peer; a node without ASN is named and has none', () => {
    const nodes = [
      node('a', ['10.0.0.1'], { 'node.asn': '64600' }),
      node('b', ['10.0.0.2'], { 'node.asn': '64600' }),
      node('c', ['10.0.0.3'], { 'node.asn': '64601' }),
      node('d', ['10.0.0.4']),
    ];
    expect(lines(of(nodes, { nodesFullMesh: false }))).toEqual(['node b 10.0.0.1 > 10.0.0.2:179 as 64600 v4']);
    const lost = of(nodes, { nodesFullMesh: false }, 'd');
    expect(lines(lost)).toEqual([]);
    expect(reasons(lost)).toEqual([
      'Node d metadata.annotations["kube-router.io/node.asn"]: is missing; without a full mesh a node needs its own ASN',
    ]);
  });

  test('route reflectors: clients peer with servers alone, servers with everyone', () => {
    const nodes = [
      node('s1', ['10.0.0.1'], { 'rr.server': '42' }),
      node('s2', ['10.0.0.2'], { 'rr.server': '10.9.9.9', 'rr.client': '42' }),
      node('c1', ['10.0.0.3'], { 'rr.client': '42' }),
      node('c2', ['10.0.0.4'], { 'rr.client': '42' }),
      node('n', ['10.0.0.5']),
    ];
    expect(lines(of(nodes, {}, 'c1'))).toEqual([
      'node s1 10.0.0.3 > 10.0.0.1:179 as 64512 v4',
      'node s2 10.0.0.3 > 10.0.0.2:179 as 64512 v4',
    ]);
    const server = of(nodes, {}, 's1');
    expect(server.clusterId).toBe('0.0.0.42');
    expect(lines(server)).toEqual([
      'node c1 10.0.0.1 > 10.0.0.3:179 as 64512 v4 client',
      'node c2 10.0.0.1 > 10.0.0.4:179 as 64512 v4 client',
      'node n 10.0.0.1 > 10.0.0.5:179 as 64512 v4',
      'node s2 10.0.0.1 > 10.0.0.2:179 as 64512 v4',
    ]);
    expect(of(nodes, {}, 's2').clusterId).toBe('10.9.9.9');
    // Both ends agree about each session.
    for (const one of nodes) {
      for (const peer of of(nodes, {}, one.name).peers) {
        const other = of(nodes, {}, peer.name.slice(5));
        expect(other.peers.map((back) => back.name)).toContain(`node ${one.name}`);
      }
    }
  });
});

describe('external peers', () => {
  test('from flags, the annotations are not read then', () => {
    const own = node('a', ['10.0.0.1'], { peers: '- {remoteip: 10.0.0.99, remoteasn: 64999}' });
    const config = of([own], {
      externalPeers: [{ address: '10.0.0.254', asn: 65000, password: 'secret' }],
      multihopTtl: 5,
      bfd: { port: 3784, detectionMultiplier: 3, desiredMinTxMs: 100, requiredMinRxMs: 100 },
    });
    expect(config.peers).toEqual([
      {
        name: 'external 10.0.0.254',
        address: '10.0.0.254',
        localAddress: '10.0.0.1',
        asn: 65000,
        port: 179,
        kind: 'external',
        routeReflectorClient: false,
        password: 'secret',
        multihopTtl: 5,
        holdTimeSeconds: 90,
        bfd: { port: 3784, detectionMultiplier: 3, desiredMinTxMs: 100, requiredMinRxMs: 100 },
        families: [4],
      },
    ]);
  });

  test('from the YAML annotation, with every field', () => {
    const yaml = `
- remoteip: 10.0.0.254
  remoteasn: 65000
  localip: 10.0.0.1
  port: 1179
  password: c2VjcmV0
  bfd: {enabled: true, detection_multiplier: 5, desired_min_tx_interval: 300, required_min_rx_interval: 200}
- remoteip: fd00::fe
  remoteasn: 65001
`;
    const config = of([node('a', ['10.0.0.1', 'fd00::1'], { peers: yaml })], { families: [4, 6] });
    expect(lines(config)).toEqual([
      'external 10.0.0.254 10.0.0.1 > 10.0.0.254:1179 as 65000 v4+6',
      'external fd00::fe fd00::1 > fd00::fe:179 as 65001 v4+6',
    ]);
    expect(config.peers[0]).toMatchObject({
      password: 'secret',
      bfd: { port: 3784, detectionMultiplier: 5, desiredMinTxMs: 300, requiredMinRxMs: 200 },
    });
    expect(config.peers[1]).not.toHaveProperty('bfd');
  });

  test('one bad item is named without its secret, the others peer', () => {
    const yaml =
      '- {remoteip: 10.0.0.254, remoteasn: 65000, password: "not base64!"}\n- {remoteip: 10.0.0.253, remoteasn: 23456}\n- 7\n- {remoteip: 10.0.0.252, remoteasn: 65002}';
    const config = of([node('a', ['10.0.0.1'], { peers: yaml })]);
    expect(lines(config)).toEqual(['external 10.0.0.252 10.0.0.1 > 10.0.0.252:179 as 65002 v4']);
    const field = 'Node a metadata.annotations["kube-router.io/peers"]';
    expect(reasons(config)).toEqual([
      `${field}: item 0: password of 10.0.0.254 is not base64; the peer was left out`,
      `${field}: item 1: remoteasn of 10.0.0.253 is no ASN to peer with; the peer was left out`,
      `${field}: item 2: is no map; it was left out`,
    ]);
    expect(JSON.stringify(config.issues)).not.toContain('not base64!');
  });

  test('YAML that is none', () => {
    const config = of([a, node('b', ['10.0.0.2']), node('x', ['10.0.0.7'], { peers: '- {remoteip: [' })], {}, 'x');
    expect(config.issues.map((issue) => issue.reason)).toEqual([
      expect.stringMatching(/^is no YAML \(line 1, column \d+\); it was left out$/),
    ]);
    // iBGP stays.
    expect(config.peers.map((peer) => peer.name)).toEqual(['node a', 'node b']);
  });

  test('the deprecated lists, which must be of one length', () => {
    const good = node('a', ['10.0.0.1'], {
      'peer.ips': '10.0.0.254, 10.0.0.253',
      'peer.asns': '65000,65001',
      'peer.ports': '179,1179',
      'peer.passwords': 'c2VjcmV0,',
      'peer.localips': ',10.0.0.1',
    });
    expect(lines(of([good]))).toEqual([
      'external 10.0.0.254 10.0.0.1 > 10.0.0.254:179 as 65000 v4',
      'external 10.0.0.253 10.0.0.1 > 10.0.0.253:1179 as 65001 v4',
    ]);
    expect(of([good]).peers.map((peer) => peer.password)).toEqual(['secret', undefined]);
    const bad = node('a', ['10.0.0.1'], { 'peer.ips': '10.0.0.254,10.0.0.253', 'peer.asns': '65000' });
    expect(lines(of([bad]))).toEqual([]);
    expect(reasons(of([bad]))).toEqual([
      'Node a metadata.annotations["kube-router.io/peer.ips"]: 2 addresses, but 1 of remoteasn; no peer of this node was made',
    ]);
  });

  test('a peer without a local address of its family is named', () => {
    const config = of([node('a', ['10.0.0.1'])], { externalPeers: [{ address: 'fd00::fe', asn: 65000 }] });
    expect(reasons(config)).toEqual([
      'Node a peer-router-ips: peer fd00::fe has no local address of its family; the peer was left out',
    ]);
  });
});

describe('what goes with exports and imports', () => {
  test('communities, import reject, prepend and listen addresses; bad ones cost themselves alone', () => {
    const own = node('a', ['10.0.0.1'], {
      'node.bgp.communities': '65000:1, no-export, 4259840002, 1:2:3',
      'node.bgp.customimportreject': '10.0.0.0/8, 2001:db8::/32, x',
      'path-prepend.as': '64999',
      'path-prepend.repeat-n': '4',
      'bgp-local-addresses': '10.0.0.1, nowhere',
    });
    const config = of([own]);
    expect(config).toMatchObject({
      exportAttributes: { communities: ['65000:1', 'no-export', '65000:2'], prepend: { asn: 64999, count: 4 } },
      importReject: ['10.0.0.0/8', '2001:db8::/32'],
      listen: ['10.0.0.1'],
    });
    expect(config.issues.map((issue) => issue.reason)).toEqual([
      '"1:2:3" is no community; it was left out',
      '"nowhere" is no address; it was left out',
      '"x" is no CIDR; it was left out',
    ]);
  });

  test('prepend needs its count; a count alone says nothing', () => {
    expect(of([node('a', ['10.0.0.1'], { 'path-prepend.as': '64999' })]).issues.map((issue) => issue.reason)).toEqual([
      'is missing beside path-prepend.as; nothing is prepended',
    ]);
    expect(of([node('a', ['10.0.0.1'], { 'path-prepend.repeat-n': '3' })])).toMatchObject({
      exportAttributes: {},
      issues: [],
    });
  });
});

test.each<[number, boolean]>([
  [0, false],
  [1, true],
  [23455, true],
  [23456, false],
  [23457, true],
  [63999, true],
  [64000, false],
  [64511, false],
  [64512, true],
  [65534, true],
  [65535, false],
  [131071, false],
  [131072, true],
  [4294967294, true],
  [4294967295, false],
])('ASN %i may be peered with: %s', (asn, expected) => expect(peerableAsn(asn)).toBe(expected));

test('small readers', () => {
  expect(['7', '4294967295', '10.0.0.7', '4294967296', 'fd00::1', '-1', ''].map(clusterId)).toEqual([
    '0.0.0.7',
    '255.255.255.255',
    '10.0.0.7',
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(['65535:65535', '65536:0', 'No-Export', '0', '1:2:3', '01:2'].map(readCommunity)).toEqual([
    '65535:65535',
    undefined,
    'no-export',
    '0:0',
    undefined,
    undefined,
  ]);
  expect(['c2VjcmV0', '', 'a', 'w7xiZXI=', '_w=='].map(base64Text)).toEqual([
    'secret',
    '',
    undefined,
    'über',
    undefined,
  ]);
});
