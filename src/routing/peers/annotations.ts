/**
 * BGP annotations of a Node, each read on its own: a bad one is an issue on that node and the rest stays in force.
 * Formats are kube-router's; secrets never appear in an issue.
 */
import { parseDocument } from 'yaml';
import { formatAddress, tryParseAddress } from '../../net/address.ts';
import { annotation, annotationList, complain, readCommunity, readInteger } from '../../objects/annotations.ts';
import type { AnnotationReader } from '../../objects/annotations.ts';
import { addressText, readCidr } from '../compile/node.ts';
import type { BfdConfig, ExternalPeerOption } from './model.ts';

/** Keys of the BGP annotations of a Node. */
export const bgpAnnotations = {
  asn: 'kube-router.io/node.asn',
  communities: 'kube-router.io/node.bgp.communities',
  importReject: 'kube-router.io/node.bgp.customimportreject',
  prependAs: 'kube-router.io/path-prepend.as',
  prependCount: 'kube-router.io/path-prepend.repeat-n',
  peers: 'kube-router.io/peers',
  peerIps: 'kube-router.io/peer.ips',
  peerAsns: 'kube-router.io/peer.asns',
  peerPorts: 'kube-router.io/peer.ports',
  peerPasswords: 'kube-router.io/peer.passwords',
  peerLocalIps: 'kube-router.io/peer.localips',
  rrServer: 'kube-router.io/rr.server',
  rrClient: 'kube-router.io/rr.client',
  localAddresses: 'kube-router.io/bgp-local-addresses',
} as const;

/** Remote ASNs that may be peered with: none reserved, none for documentation (kube-router's list; RFC 7607, RFC 5398, RFC 7300). */
export function peerableAsn(asn: number): boolean {
  return (
    Number.isInteger(asn) &&
    ((asn >= 1 && asn <= 23455) ||
      (asn >= 23457 && asn <= 63999) ||
      (asn >= 64512 && asn <= 65534) ||
      (asn >= 131072 && asn <= 4294967294))
  );
}

/** Text of a base64 secret; undefined when it is none. */
export function base64Text(text: string): string | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return undefined;
  try {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** A cluster id, `7` or `10.0.0.7`, as dotted quad (RFC 4456 section 7). */
export function clusterId(text: string): string | undefined {
  const address = tryParseAddress(text);
  if (address !== undefined) return address.family === 4 ? formatAddress(address) : undefined;
  const value = readInteger(text, 0, 4294967295);
  return value === undefined ? undefined : formatAddress({ family: 4, value });
}

/** Communities added to every export to external peers. */
export function readCommunities(reader: AnnotationReader): readonly string[] {
  return annotationList(reader, bgpAnnotations.communities, readCommunity, 'community');
}

/** Prefixes refused on import. */
export function readImportReject(reader: AnnotationReader): readonly string[] {
  return annotationList(reader, bgpAnnotations.importReject, readCidr, 'CIDR');
}

/** AS-path prepend towards external peers; needs both annotations. */
export function readPrepend(reader: AnnotationReader): { readonly asn: number; readonly count: number } | undefined {
  const as = annotation(reader, bgpAnnotations.prependAs);
  const times = annotation(reader, bgpAnnotations.prependCount);
  if (as === undefined) return undefined;
  const asn = readInteger(as, 1, 4294967295);
  if (asn === undefined) {
    complain(reader, bgpAnnotations.prependAs, `"${as}" is no ASN; nothing is prepended`);
    return undefined;
  }
  const count = times === undefined ? undefined : readInteger(times, 0, 255);
  if (count === undefined) {
    complain(
      reader,
      bgpAnnotations.prependCount,
      times === undefined
        ? 'is missing beside path-prepend.as; nothing is prepended'
        : `"${times}" is no count from 0 to 255; nothing is prepended`,
    );
    return undefined;
  }
  return { asn, count };
}

const BFD_DEFAULTS: BfdConfig = { port: 3784, detectionMultiplier: 3, desiredMinTxMs: 1000, requiredMinRxMs: 1000 };

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function wholeNumber(value: unknown, min: number, max: number): number | undefined {
  const text = typeof value === 'number' ? String(value) : typeof value === 'string' ? value.trim() : '';
  return readInteger(text, min, max);
}

function readBfd(value: unknown, fail: (reason: string) => void): BfdConfig | undefined {
  if (!isFields(value)) {
    if (value !== undefined && value !== null) fail('bfd is no map; the session runs without BFD');
    return undefined;
  }
  if (value['enabled'] !== true) return undefined;
  const field = (name: string, fallback: number, max: number): number => {
    if (value[name] === undefined || value[name] === null) return fallback;
    const number = wholeNumber(value[name], 1, max);
    if (number === undefined) fail(`bfd.${name} is out of range; ${fallback} is used`);
    return number ?? fallback;
  };
  return {
    port: field('port', BFD_DEFAULTS.port, 65535),
    detectionMultiplier: field('detection_multiplier', BFD_DEFAULTS.detectionMultiplier, 255),
    desiredMinTxMs: field('desired_min_tx_interval', BFD_DEFAULTS.desiredMinTxMs, 4294967),
    requiredMinRxMs: field('required_min_rx_interval', BFD_DEFAULTS.requiredMinRxMs, 4294967),
  };
}

/** One peer from untyped fields; says why not. */
function peerOf(fields: Fields, fail: (reason: string) => void): ExternalPeerOption | undefined {
  const remote = tryParseAddress(typeof fields['remoteip'] === 'string' ? fields['remoteip'].trim() : '');
  if (remote === undefined) {
    fail('remoteip is no address; the peer was left out');
    return undefined;
  }
  const address = formatAddress(remote);
  const asn = wholeNumber(fields['remoteasn'], 0, 4294967295);
  if (asn === undefined || !peerableAsn(asn)) {
    fail(`remoteasn of ${address} is no ASN to peer with; the peer was left out`);
    return undefined;
  }
  const given = (name: string): unknown => (fields[name] === null || fields[name] === '' ? undefined : fields[name]);
  let port: number | undefined;
  if (given('port') !== undefined) {
    port = wholeNumber(fields['port'], 1, 65535);
    if (port === undefined) {
      fail(`port of ${address} is out of range; the peer was left out`);
      return undefined;
    }
  }
  let localAddress: string | undefined;
  if (given('localip') !== undefined) {
    const local = tryParseAddress(typeof fields['localip'] === 'string' ? fields['localip'].trim() : '');
    if (local === undefined) {
      fail(`localip of ${address} is no address; the peer was left out`);
      return undefined;
    }
    localAddress = formatAddress(local);
  }
  let password: string | undefined;
  if (given('password') !== undefined) {
    password = typeof fields['password'] === 'string' ? base64Text(fields['password'].trim()) : undefined;
    if (password === undefined) {
      fail(`password of ${address} is not base64; the peer was left out`);
      return undefined;
    }
  }
  const bfd = readBfd(fields['bfd'], fail);
  return {
    address,
    asn,
    ...(port === undefined ? {} : { port }),
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(password === undefined ? {} : { password }),
    ...(bfd === undefined ? {} : { bfd }),
  };
}

function readPeerYaml(reader: AnnotationReader, text: string): readonly ExternalPeerOption[] {
  const key = bgpAnnotations.peers;
  const document = parseDocument(text, { logLevel: 'silent' });
  const error = document.errors[0];
  if (error !== undefined) {
    const at = error.linePos?.[0];
    complain(
      reader,
      key,
      `is no YAML${at === undefined ? '' : ` (line ${at.line}, column ${at.col})`}; it was left out`,
    );
    return [];
  }
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  if (!Array.isArray(value)) {
    complain(reader, key, 'is no list of peers; it was left out');
    return [];
  }
  return value.flatMap((item: unknown, index): ExternalPeerOption[] => {
    const fail = (reason: string): void => complain(reader, key, `item ${index}: ${reason}`);
    if (!isFields(item)) {
      fail('is no map; it was left out');
      return [];
    }
    const peer = peerOf(item, fail);
    return peer === undefined ? [] : [peer];
  });
}

/** External peers of a node: the `peers` list, else the deprecated comma lists, which must be of one length. */
export function readPeers(reader: AnnotationReader): readonly ExternalPeerOption[] {
  const text = annotation(reader, bgpAnnotations.peers);
  if (text !== undefined) return readPeerYaml(reader, text);
  const ips = annotation(reader, bgpAnnotations.peerIps);
  const asns = annotation(reader, bgpAnnotations.peerAsns);
  if (ips === undefined && asns === undefined) return [];
  const list = (value: string | undefined): readonly string[] | undefined =>
    value?.split(',').map((part) => part.trim());
  const columns = {
    remoteip: list(ips) ?? [],
    remoteasn: list(asns) ?? [],
    port: list(annotation(reader, bgpAnnotations.peerPorts)),
    password: list(annotation(reader, bgpAnnotations.peerPasswords)),
    localip: list(annotation(reader, bgpAnnotations.peerLocalIps)),
  };
  const length = columns.remoteip.length;
  for (const [name, column] of Object.entries(columns)) {
    if (column === undefined || column.length === length) continue;
    complain(
      reader,
      bgpAnnotations.peerIps,
      `${length} addresses, but ${column.length} of ${name}; no peer of this node was made`,
    );
    return [];
  }
  return columns.remoteip.flatMap((remoteip, index): ExternalPeerOption[] => {
    const fields: Record<string, string> = { remoteip };
    for (const [name, column] of Object.entries(columns)) {
      const value = column?.[index];
      if (value !== undefined && value !== '') fields[name] = value;
    }
    const peer = peerOf(fields, (reason) => complain(reader, bgpAnnotations.peerIps, `item ${index}: ${reason}`));
    return peer === undefined ? [] : [peer];
  });
}

/** Addresses that BGP listens on; absent: the node's own. */
export function readLocalAddresses(reader: AnnotationReader): readonly string[] | undefined {
  const found = annotationList(reader, bgpAnnotations.localAddresses, addressText, 'address');
  return found.length === 0 ? undefined : found;
}
