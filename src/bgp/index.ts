/**
 * A BGP speaker, its policies and its codec, usable without Kubernetes.
 * @module bgp
 */
export { createSpeaker } from './speaker.ts';
export type { SpeakerOptions } from './speaker.ts';
export type { PathView, PeerStatus, Speaker, SpeakerEvent } from './speaker-types.ts';
export type {
  BfdOptions,
  DynamicPeerOptions,
  GracefulRestartOptions,
  MaxPrefixOptions,
  PeerOptions,
  SessionOptions,
  SpeakerConfig,
  UnicastFamily,
} from './model.ts';
export type { AttributeChanges, Policy, PolicyContext, PolicyRoute, Verdict } from './policy/types.ts';
export type { AggregateOptions } from './rib/aggregate.ts';
export type { BmpStation } from './bmp/exporter.ts';
export type { MrtEntry, MrtPeer, MrtRecord } from './mrt/records.ts';
export { decodeMrt } from './mrt/records.ts';
export type { Replayed } from './mrt/replay.ts';
export { replayMrt } from './mrt/replay.ts';
export type { Reason } from './rib/decision.ts';
export type { SessionState } from './session/fsm.ts';
export type { Clock } from './session/clock.ts';
export { systemClock } from './session/clock.ts';
export type {
  Connection,
  ConnectionHandlers,
  DialOptions,
  ListenAddress,
  Listener,
  PeerSecurity,
  Transport,
} from './session/transport.ts';
export { createTcpTransport } from './session/tcp.ts';
export type { SocketOptions } from './session/socket-options.ts';
export { createSocketOptions } from './session/socket-options.ts';
export * as message from './message/index.ts';
export type { BfdMonitor, BfdTarget, BfdWatch } from './bfd/monitor.ts';
export { createBfdMonitor } from './bfd/monitor.ts';
export type { BfdPacket, BfdState } from './bfd/packet.ts';
export { decodeBfd, encodeBfd } from './bfd/packet.ts';
export type { Match, PolicyRule } from './policy/match.ts';
export type { PrefixRange, PrefixSet, ReadRange } from './policy/prefix-set.ts';
export { createPrefixSet } from './policy/prefix-set.ts';
export {
  all,
  any,
  asPathMatches,
  createPolicy,
  fromKind,
  hasCommunity,
  hasLargeCommunity,
  hasOrigin,
  nextHopIn,
  not,
  peerIs,
  prefixIn,
  roleIs,
} from './policy/match.ts';
