/**
 * Sessions of this node as the speaker is asked for them, and the policies that they share.
 */
import type { PeerOptions } from 'kube-router-sdk/bgp';
import type { BgpNodeConfig, BgpPeerConfig } from 'kube-router-sdk/routing';
import { loadBalancerRanges } from '../config/ranges.ts';
import type { BgpPast } from './bgp-past.ts';
import type { BlockContext } from './context.ts';
import { externalExport, importPolicy, internalExport } from './policies.ts';

/** Policies of all sessions. The same objects until something that they depend on changes: a speaker compares them by identity. */
export interface Policies {
  readonly imports: ReturnType<typeof importPolicy>;
  readonly externalExport: ReturnType<typeof externalExport>;
}

/** Makes policies anew when what they depend on has changed. */
export function createPolicies(
  context: BlockContext,
  isServiceAddress: (address: string) => boolean,
): (bgp: BgpNodeConfig) => Policies {
  let current: Policies | undefined;
  let currentKey = '';
  return ({ exportAttributes, importReject }) => {
    // Flags are read anew each time: a reload changes them under running sessions.
    const { config } = context;
    const { flags } = config;
    const podCidrs = flags['advertise-pod-cidr'];
    const serviceRanges = [
      ...flags['service-cluster-ip-range'],
      ...flags['service-external-ip-range'],
      ...loadBalancerRanges(config),
    ];
    const key = JSON.stringify([exportAttributes, importReject, podCidrs, serviceRanges]);
    if (current !== undefined && key === currentKey) return current;
    currentKey = key;
    current = {
      imports: importPolicy(serviceRanges, importReject, isServiceAddress),
      externalExport: externalExport(podCidrs, exportAttributes),
    };
    return current;
  };
}

/** A peer as the speaker takes it. */
export function peerOptions(
  peer: BgpPeerConfig,
  context: BlockContext,
  policies: Policies,
  past: BgpPast,
): PeerOptions {
  const { flags } = context.config;
  return {
    name: peer.name,
    address: peer.address,
    asn: peer.asn,
    port: peer.port,
    ...(peer.localAddress === undefined ? {} : { localAddress: peer.localAddress }),
    ...(peer.password === undefined ? {} : { password: peer.password }),
    ...(peer.multihopTtl === undefined ? {} : { multihop: peer.multihopTtl }),
    holdTime: peer.holdTimeSeconds,
    families: peer.families.map((family) => (family === 4 ? 'ipv4-unicast' : 'ipv6-unicast')),
    routeReflectorClient: peer.routeReflectorClient,
    nextHopSelf: peer.kind === 'external' && flags['override-nexthop'],
    ...(peer.gracefulRestart === undefined
      ? {}
      : {
          gracefulRestart: {
            restartTime: peer.gracefulRestart.restartTimeSeconds,
            staleTime: peer.gracefulRestart.deferralTimeSeconds,
            restarting: past.holds(peer.address, peer.gracefulRestart.restartTimeSeconds * 1000),
          },
        }),
    ...(peer.bfd === undefined
      ? {}
      : {
          bfd: {
            interval: Math.max(peer.bfd.desiredMinTxMs, peer.bfd.requiredMinRxMs),
            multiplier: peer.bfd.detectionMultiplier,
          },
        }),
    importPolicy: policies.imports,
    exportPolicy: peer.kind === 'internal' ? internalExport : policies.externalExport,
  };
}
