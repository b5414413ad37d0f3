/**
 * The BGP message codec: octets to values and back, without I/O.
 * @module
 */
export * from './constants.ts';
export type * from './types.ts';
export { familyCodes, familyName, type FamilyCodes } from './family.ts';
export { checkHeader, encodeKeepalive, frame, type HeaderFault, writeHeader } from './header.ts';
export { createFramer, type Framer, type FramerOptions, type MessageHandler } from './framer.ts';
export { capabilityCode } from './capability.ts';
export { decodeOpen, encodeOpen, openAsn, type OpenFields } from './open.ts';
export {
  decodeNotification,
  describeNotification,
  encodeNotification,
  hardReset,
  isHardReset,
  notification,
  shutdownData,
  shutdownText,
  unwrapHardReset,
} from './notification.ts';
export { decodeRouteRefresh, encodeRouteRefresh } from './refresh.ts';
export { createUpdateParts, encodeEndOfRib, isEndOfRib, splitUpdate, type UpdateParts } from './update.ts';
export {
  createPrefixBatch,
  type PrefixBatch,
  prefixSize,
  readPrefixes4,
  readPrefixes6,
  writePrefix4,
  writePrefix6,
} from './prefixes.ts';
export { decodeAttributes } from './attributes/decode.ts';
export { findMpAttributes, type MpSpans } from './attributes/find.ts';
export { attributeName } from './attributes/reading.ts';
export { encodeAttributes, type EncodeContext } from './attributes/encode.ts';
export { strongest } from './attributes/findings.ts';
export {
  encodeNextHop,
  isHostAddress4,
  MP_UNREACH_HEAD,
  mpReachHeadSize,
  writeMpReachHead,
  writeMpUnreachHead,
} from './attributes/mp.ts';
export {
  asPathContains,
  asPathLength,
  formatAsPath,
  isConfedSegment,
  mergeAs4Path,
  parseAsPath,
  prependAsPath,
  withoutConfederation,
} from './attributes/as-path.ts';
export {
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  isTransitiveCommunity,
  parseCommunity,
  parseExtendedCommunity,
  parseLargeCommunity,
} from './attributes/communities.ts';
export {
  type Announcement,
  decodeUpdate,
  encodeUpdate,
  type EncodedUpdate,
  type Update,
  type UpdateEncodeOptions,
  type UpdateFields,
  type Withdrawal,
} from './message.ts';
export { decodeNlri, nlriSize, prefixNlri, writeNlri } from './nlri/nlri.ts';
export type { EvpnDetail, FlowComponent, Nlri, NlriDetail, NlriList } from './nlri/types.ts';
