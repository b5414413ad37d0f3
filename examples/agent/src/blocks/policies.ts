/**
 * Who hears what, and what is believed: pod CIDRs go to the nodes and, unless switched off, to routers outside; service
 * addresses go outside only; a default route, service addresses and what the node's annotation refuses are never taken in.
 */
import type { Policy } from 'kube-router-sdk/bgp';
import { contains, parsePrefix, tryParsePrefix, type AdvertisementAttributes } from 'kube-router-sdk/net';

/** Well-known communities by name (IANA registry). */
const WELL_KNOWN: Readonly<Record<string, number>> = {
  'graceful-shutdown': 0xffff0000,
  'accept-own': 0xffff0001,
  'llgr-stale': 0xffff0006,
  'no-llgr': 0xffff0007,
  blackhole: 0xffff029a,
  'no-export': 0xffffff01,
  'no-advertise': 0xffffff02,
  'no-export-subconfed': 0xffffff03,
  nopeer: 0xffffff04,
};

/** A community as the 32-bit number of RFC 1997. */
export function communityNumber(text: string): number {
  const known = WELL_KNOWN[text];
  if (known !== undefined) return known;
  const [high = 0, low = 0] = text.split(':').map(Number);
  return high * 65536 + low;
}

/** To other nodes: this node's pod CIDRs, and what a reflector passes on between nodes. */
export const internalExport: Policy = {
  readsPrefix: false,
  readsPeer: false,
  evaluate: ({ source, origin }) => (source.kind === 'local' ? origin === 'pod-cidr' : source.kind.startsWith('ibgp')),
};

/** To routers outside: service addresses and pod CIDRs of this node, with the node's attributes. */
export function externalExport(podCidrs: boolean, attributes: AdvertisementAttributes): Policy {
  const added = (attributes.communities ?? []).map(communityNumber);
  const { prepend } = attributes;
  const path = prepend?.asn === undefined ? [] : Array.from({ length: prepend.count }, () => prepend.asn ?? 0);
  return {
    readsPrefix: false,
    readsPeer: false,
    evaluate: ({ source, origin, attributes: { communities = [] } }) => {
      if (source.kind !== 'local' || (origin === 'pod-cidr' && !podCidrs)) return false;
      if (added.length === 0 && path.length === 0) return true;
      return {
        ...(added.length === 0 ? {} : { communities: [...new Set([...communities, ...added])] }),
        ...(path.length === 0 ? {} : { prepend: path }),
      };
    },
  };
}

/** From anyone: no default route, no service address (each node serves those itself), nothing inside `rejected`. */
export function importPolicy(
  serviceRanges: readonly string[],
  rejected: readonly string[],
  isServiceAddress: (address: string) => boolean,
): Policy {
  const services = serviceRanges.map((range) => parsePrefix(range));
  const refused = rejected.map((range) => parsePrefix(range));
  return {
    readsPeer: false,
    evaluate: ({ prefix: text }) => {
      const prefix = tryParsePrefix(text);
      if (prefix === undefined || prefix.length === 0) return false;
      if (refused.some((range) => contains(range, prefix))) return false;
      const host = prefix.length === (prefix.family === 4 ? 32 : 128);
      if (!host) return true;
      if (isServiceAddress(text.slice(0, text.indexOf('/')))) return false;
      return !services.some((range) => contains(range, prefix));
    },
  };
}
