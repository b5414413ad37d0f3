/**
 * Which BGP sessions a node should have: mesh, reflector roles or none between nodes, and the routers outside.
 * A pure function of nodes and flags, cheap enough to be called at every Node event: annotations are live.
 */
import { addressToBytes, formatAddress, parseAddress, textFamily, tryParseAddress } from '../../net/address.ts';
import type { AdvertisementAttributes, Family, Issue } from '../../net/values.ts';
import { annotation, complain, readInteger } from '../../objects/annotations.ts';
import type { AnnotationReader } from '../../objects/annotations.ts';
import type { NodeObject } from '../../objects/types.ts';
import { nodeFacts } from '../compile/node.ts';
import type { NodeFacts } from '../compile/node.ts';
import {
  bgpAnnotations,
  clusterId,
  peerableAsn,
  readCommunities,
  readImportReject,
  readLocalAddresses,
  readPeers,
  readPrepend,
} from './annotations.ts';
import type { BgpNodeConfig, BgpPeerConfig, ExternalPeerOption, PeersOptions } from './model.ts';

/** What {@link peers} takes. */
export interface PeersInput {
  /** Name of this node. */
  readonly node: string;
  readonly nodes: Iterable<NodeObject>;
  readonly options?: PeersOptions;
}

interface Role {
  readonly asn: number | undefined;
  readonly server: string | undefined;
  readonly client: string | undefined;
}

const readerOf = ({ name, annotations }: NodeObject, issues: Issue[]): AnnotationReader => ({
  object: `Node ${name}`,
  annotations,
  issues,
});

/** ASN and reflector role of a node. The server role wins over the client role. */
function roleOf(reader: AnnotationReader, options: PeersOptions): Role {
  let asn: number | undefined = options.clusterAsn ?? 64512;
  if (options.nodesFullMesh === false) {
    const text = annotation(reader, bgpAnnotations.asn);
    asn = text === undefined ? undefined : readInteger(text, 1, 4294967294);
    if (asn === undefined) {
      complain(
        reader,
        bgpAnnotations.asn,
        text === undefined
          ? 'is missing; without a full mesh a node needs its own ASN'
          : `"${text}" is no ASN; the node has no sessions`,
      );
    }
  }
  const id = (key: string): string | undefined => {
    const text = annotation(reader, key);
    if (text === undefined) return undefined;
    const value = clusterId(text);
    if (value === undefined)
      complain(reader, key, `"${text}" is no cluster id (a number or a dotted quad); the role is not taken`);
    return value;
  };
  const server = id(bgpAnnotations.rrServer);
  const client = id(bgpAnnotations.rrClient);
  return { asn, server, client: server === undefined ? client : undefined };
}

/** 32-bit FNV-1a of the primary address as dotted quad. */
function generatedId(address: string): string {
  let hash = 0x811c9dc5;
  for (const byte of addressToBytes(parseAddress(address))) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return formatAddress({ family: 4, value: hash });
}

function routerIdOf(self: NodeFacts, options: PeersOptions, issues: Issue[]): string {
  const wanted = options.routerId ?? '';
  if (wanted === 'generate' && self.primary !== undefined) return generatedId(self.primary);
  if (wanted !== '' && wanted !== 'generate') {
    const address = tryParseAddress(wanted);
    if (address?.family === 4) return formatAddress(address);
    issues.push({
      object: `Node ${self.name}`,
      field: 'routerId',
      reason: `"${wanted}" is no IPv4 address; BGP waits`,
    });
    return '';
  }
  const own = self.best[4];
  if (own !== undefined) return own;
  issues.push({
    object: `Node ${self.name}`,
    field: 'routerId',
    reason: 'the node has no IPv4 address: set a router id or let one be generated; BGP waits',
  });
  return '';
}

/** Families that both ends have and that are switched on. */
function sharedFamilies(a: NodeFacts, b: NodeFacts, enabled: readonly Family[]): readonly Family[] {
  return ([4, 6] as const).filter(
    (family) => enabled.includes(family) && a.best[family] !== undefined && b.best[family] !== undefined,
  );
}

function external(
  option: ExternalPeerOption,
  self: NodeFacts,
  options: PeersOptions,
  enabled: readonly Family[],
  fail: (reason: string) => void,
): BgpPeerConfig | undefined {
  const family = textFamily(option.address);
  if (!peerableAsn(option.asn)) {
    fail(`ASN ${option.asn} of peer ${option.address} is reserved; the peer was left out`);
    return undefined;
  }
  const localAddress = option.localAddress ?? self.best[family];
  if (localAddress === undefined || textFamily(localAddress) !== family) {
    fail(`peer ${option.address} has no local address of its family; the peer was left out`);
    return undefined;
  }
  const bfd = option.bfd ?? options.bfd;
  return {
    name: `external ${option.address}`,
    address: option.address,
    localAddress,
    asn: option.asn,
    port: option.port ?? 179,
    kind: 'external',
    routeReflectorClient: false,
    ...(option.password === undefined ? {} : { password: option.password }),
    ...(options.multihopTtl === undefined ? {} : { multihopTtl: options.multihopTtl }),
    holdTimeSeconds: options.holdTimeSeconds ?? 90,
    ...(options.gracefulRestart === undefined ? {} : { gracefulRestart: options.gracefulRestart }),
    ...(bfd === undefined ? {} : { bfd }),
    families: enabled.filter((one) => self.best[one] !== undefined),
  };
}

/**
 * The BGP configuration of a node, from Node objects and flags.
 * @example
 * ```ts
 * import { project } from 'kube-router-sdk/informers';
 * import { peers } from 'kube-router-sdk/routing';
 * import { buildNode } from 'kube-router-sdk/testing';
 *
 * const nodes = ['192.168.1.11', '192.168.1.12'].flatMap((address, n) => {
 *   const { object } = project('Node', buildNode(`worker-${n + 1}`, { addresses: [address] }));
 *   return object === undefined ? [] : [object];
 * });
 * const config = peers({ node: 'worker-1', nodes, options: { clusterAsn: 64512 } });
 * console.log(config.peers.map(({ name, address, asn }) => `${name}: ${address} AS ${asn}`).join()); // node worker-2: 192.168.1.12 AS 64512
 * ```
 */
export function peers(input: PeersInput): BgpNodeConfig {
  const options = input.options ?? {};
  const enabled = [...(options.families ?? [4])].sort();
  const port = options.port ?? 179;
  const nodes = [...input.nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  const own = nodes.find((node) => node.name === input.node);
  const issues: Issue[] = [];
  const nothing = { asn: 0, routerId: '', listen: [], port, peers: [], exportAttributes: {}, importReject: [] };
  if (own === undefined) {
    return {
      ...nothing,
      issues: [{ object: `Node ${input.node}`, field: '', reason: 'not found among the nodes; BGP waits' }],
    };
  }
  const reader = readerOf(own, issues);
  const self = nodeFacts(own);
  const role = roleOf(reader, options);
  const routerId = routerIdOf(self, options, issues);

  const result: BgpPeerConfig[] = [];
  if ((options.enableIbgp ?? true) && role.asn !== undefined) {
    for (const node of nodes) {
      if (node.name === input.node) continue;
      // What is wrong with another node's annotations is that node's to report.
      const other = roleOf(readerOf(node, []), options);
      if (other.asn !== role.asn) continue;
      if (role.client !== undefined && other.server === undefined) continue;
      if (other.client !== undefined && role.server === undefined) continue;
      const peer = internal(self, nodeFacts(node), role, other);
      if (peer !== undefined) result.push(peer);
    }
  }

  function internal(here: NodeFacts, there: NodeFacts, mine: Role, theirs: Role): BgpPeerConfig | undefined {
    const families = sharedFamilies(here, there, enabled);
    // The session runs between primary addresses; where their families differ, over a family that both have.
    const over = [here.primary === undefined ? undefined : textFamily(here.primary), ...families].find(
      (family) => family !== undefined && families.includes(family),
    );
    const address = over === undefined ? undefined : there.best[over];
    const localAddress = over === undefined ? undefined : here.best[over];
    if (address === undefined || localAddress === undefined || mine.asn === undefined) return undefined;
    return {
      name: `node ${there.name}`,
      address,
      localAddress,
      asn: mine.asn,
      port,
      kind: 'internal',
      routeReflectorClient: mine.server !== undefined && theirs.client !== undefined,
      ...(options.internalPassword === undefined ? {} : { password: options.internalPassword }),
      holdTimeSeconds: options.holdTimeSeconds ?? 90,
      ...(options.gracefulRestart === undefined ? {} : { gracefulRestart: options.gracefulRestart }),
      ...(options.internalBfd === undefined ? {} : { bfd: options.internalBfd }),
      families,
    };
  }

  const global = options.externalPeers ?? [];
  const outside = global.length > 0 ? global : readPeers(reader);
  const where = global.length > 0 ? 'peer-router-ips' : `metadata.annotations["${bgpAnnotations.peers}"]`;
  for (const option of role.asn === undefined ? [] : outside) {
    const peer = external(option, self, options, enabled, (reason) =>
      issues.push({ object: `Node ${input.node}`, field: where, reason }),
    );
    if (peer === undefined) continue;
    if (result.some((one) => one.address === peer.address && one.port === peer.port)) {
      issues.push({
        object: `Node ${input.node}`,
        field: where,
        reason: `peer ${peer.address} is named twice; the first counts`,
      });
    } else result.push(peer);
  }

  const communities = readCommunities(reader);
  const prepend = readPrepend(reader);
  const exportAttributes: AdvertisementAttributes = {
    ...(communities.length === 0 ? {} : { communities }),
    ...(prepend === undefined ? {} : { prepend }),
  };
  const listen =
    readLocalAddresses(reader) ??
    enabled.flatMap((family) => (self.best[family] === undefined ? [] : [self.best[family]]));
  return {
    asn: role.asn ?? 0,
    routerId,
    listen,
    port,
    ...(role.server === undefined ? {} : { clusterId: role.server }),
    peers: routerId === '' ? [] : result,
    exportAttributes,
    importReject: readImportReject(reader),
    issues,
  };
}
