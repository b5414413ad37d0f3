/**
 * The numbers of BGP: message types, path attributes, NOTIFICATION codes, address families, well-known communities.
 * Names follow the IANA registries; a value stands here once and everything else names it.
 * Stands at the bottom of the message codec: imports nothing.
 */

/** Octets of the fixed message header: marker, length, type (RFC 4271 section 4.1). */
export const HEADER_LENGTH = 19;

/** Longest message without the extended message capability (RFC 4271 section 4). */
export const MAX_MESSAGE_LENGTH = 4096;

/** Longest message between two speakers of the extended message capability (RFC 8654 section 3). */
export const MAX_EXTENDED_MESSAGE_LENGTH = 65535;

/** The AS number that stands for a four-octet one towards two-octet speakers (RFC 6793 section 9). */
export const AS_TRANS = 23456;

/** Message types (RFC 4271 section 4.1, RFC 2918 section 3). */
export const MessageType = {
  open: 1,
  update: 2,
  notification: 3,
  keepalive: 4,
  routeRefresh: 5,
} as const;

/** Path attribute type codes (IANA "BGP Path Attributes"). */
export const AttributeCode = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPref: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  pmsiTunnel: 22,
  tunnelEncapsulation: 23,
  ipv6ExtendedCommunities: 25,
  aigp: 26,
  bgpLs: 29,
  largeCommunities: 32,
  bgpsecPath: 33,
  otc: 35,
  prefixSid: 40,
  attrSet: 128,
} as const;

/** Attribute flag bits (RFC 4271 section 4.3); the low four bits mean nothing. */
export const AttributeFlag = {
  optional: 0x80,
  transitive: 0x40,
  partial: 0x20,
  extendedLength: 0x10,
} as const;

/** AS_PATH segment types (RFC 4271 section 4.3, RFC 5065 section 3). */
export const SegmentType = {
  set: 1,
  sequence: 2,
  confedSequence: 3,
  confedSet: 4,
} as const;

/** NOTIFICATION error codes (RFC 4271 section 4.5, RFC 7313 section 5, RFC 9687 section 6). */
export const NotificationCode = {
  header: 1,
  open: 2,
  update: 3,
  holdTimer: 4,
  fsm: 5,
  cease: 6,
  routeRefresh: 7,
  sendHoldTimer: 8,
} as const;

/** Subcodes of message header errors (RFC 4271 section 6.1). */
export const HeaderError = { notSynchronized: 1, badLength: 2, badType: 3 } as const;

/** Subcodes of OPEN errors (RFC 4271 section 6.2, RFC 5492 section 5, RFC 9234 section 4.2). */
export const OpenError = {
  unspecific: 0,
  unsupportedVersion: 1,
  badPeerAs: 2,
  badIdentifier: 3,
  unsupportedParameter: 4,
  unacceptableHoldTime: 6,
  unsupportedCapability: 7,
  roleMismatch: 11,
} as const;

/** Subcodes of UPDATE errors (RFC 4271 section 6.3). */
export const UpdateError = {
  unspecific: 0,
  malformedAttributeList: 1,
  unrecognizedWellKnown: 2,
  missingWellKnown: 3,
  attributeFlags: 4,
  attributeLength: 5,
  invalidOrigin: 6,
  invalidNextHop: 8,
  optionalAttribute: 9,
  invalidNetwork: 10,
  malformedAsPath: 11,
} as const;

/** Subcodes of finite state machine errors (RFC 6608). */
export const FsmError = { unspecific: 0, inOpenSent: 1, inOpenConfirm: 2, inEstablished: 3 } as const;

/** Subcodes of Cease (RFC 4486, RFC 8538 section 4, RFC 9384). */
export const CeaseError = {
  unspecific: 0,
  maxPrefixes: 1,
  adminShutdown: 2,
  peerDeconfigured: 3,
  adminReset: 4,
  connectionRejected: 5,
  configurationChange: 6,
  collision: 7,
  outOfResources: 8,
  hardReset: 9,
  bfdDown: 10,
} as const;

/** Subcodes of ROUTE-REFRESH errors (RFC 7313 section 5). */
export const RouteRefreshError = { invalidLength: 1 } as const;

/** Subtypes of ROUTE-REFRESH (RFC 7313 section 3.2). */
export const RefreshSubtype = { request: 0, beginOfRefresh: 1, endOfRefresh: 2 } as const;

/** Address family identifiers (IANA). */
export const Afi = { ipv4: 1, ipv6: 2, l2vpn: 25, linkState: 16388 } as const;

/** Subsequent address family identifiers (IANA). */
export const Safi = {
  unicast: 1,
  multicast: 2,
  labelled: 4,
  evpn: 70,
  vpn: 128,
  vpnMulticast: 129,
  routeTarget: 132,
  flowspec: 133,
  flowspecVpn: 134,
} as const;

/** Capability codes (IANA "Capability Codes"). */
export const CapabilityCode = {
  multiprotocol: 1,
  routeRefresh: 2,
  outboundFilter: 3,
  extendedNextHop: 5,
  extendedMessage: 6,
  bgpsec: 7,
  role: 9,
  gracefulRestart: 64,
  fourOctetAs: 65,
  addPath: 69,
  enhancedRouteRefresh: 70,
  longLivedGracefulRestart: 71,
  fqdn: 73,
  softwareVersion: 75,
} as const;

/** Well-known communities (IANA "BGP Well-known Communities"), each its 32-bit value. */
export const WellKnownCommunity = {
  gracefulShutdown: 0xffff0000,
  acceptOwn: 0xffff0001,
  llgrStale: 0xffff0006,
  noLlgr: 0xffff0007,
  blackhole: 0xffff029a,
  noExport: 0xffffff01,
  noAdvertise: 0xffffff02,
  noExportSubconfed: 0xffffff03,
  noPeer: 0xffffff04,
} as const;
