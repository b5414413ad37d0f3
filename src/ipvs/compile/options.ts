/**
 * Options of the service compiler: what the command line and the node decide, not the objects.
 * Text is validated once here, so that the per-Service code works on prefixes. Pure.
 */
import { SdkError } from '../../net/errors.ts';
import type { Family } from '../../net/values.ts';
import { tryParsePrefix } from '../../net/prefix.ts';
import type { Prefix } from '../../net/prefix.ts';

/** This node as the service proxy sees it. */
export interface ProxyNode {
  readonly name: string;
  /** Value of label `topology.kubernetes.io/zone`. @defaultValue '' */
  readonly zone?: string;
  /** Canonical primary address of each family that the node has. */
  readonly primary: { readonly [F in Family]?: string };
  /** Every address of this machine that NodePorts may answer on; used with `nodePortOnAllAddresses`, and as what the VIP firewall leaves alone. @defaultValue the primary addresses */
  readonly addresses?: readonly string[];
  /** Pod CIDRs of this node; sources inside keep their address. @defaultValue [] */
  readonly podCIDRs?: readonly string[];
  /** MTU of the node's uplink in bytes, for DSR's MSS. @defaultValue 1500 */
  readonly mtu?: number;
}

/** Options of {@link createServiceCompiler}. */
export interface ServiceOptions {
  readonly node: ProxyNode;
  /** NodePorts answer on every address of the node. @defaultValue false */
  readonly nodePortOnAllAddresses?: boolean;
  /** External and load-balancer addresses must lie in the ranges below. @defaultValue true */
  readonly strictExternalIps?: boolean;
  /** @defaultValue ['10.96.0.0/12'] */
  readonly clusterIpRanges?: readonly string[];
  /** Ranges that `spec.externalIPs` may come from. @defaultValue [] */
  readonly externalIpRanges?: readonly string[];
  /** Ranges that load-balancer addresses may come from. @defaultValue [] */
  readonly loadBalancerRanges?: readonly string[];
  /** SNAT every balanced packet. @defaultValue false */
  readonly masqueradeAll?: boolean;
  /** Program the VIP firewall. @defaultValue true */
  readonly permitAll?: boolean;
  /** Hairpin for every Service, not only annotated ones. @defaultValue false */
  readonly hairpin?: boolean;
  /** Drain removed real servers. @defaultValue true */
  readonly gracefulTermination?: boolean;
  /** Milliseconds of drain when the pod is not known. @defaultValue 30000 */
  readonly gracefulPeriodMs?: number;
  /** VIPs inside are left alone. @defaultValue [] */
  readonly excludedCidrs?: readonly string[];
  /** Seconds; 0 keeps the kernel's. @defaultValue 0 */
  readonly tcpTimeout?: number;
  /** Seconds. @defaultValue 0 */
  readonly tcpFinTimeout?: number;
  /** Seconds. @defaultValue 0 */
  readonly udpTimeout?: number;
  /** Scheduler of Services that name none. @defaultValue 'rr' */
  readonly scheduler?: string;
  /** Marks of DSR and in-cluster services kept from an earlier run: VIP:port key to mark. @defaultValue none */
  readonly marks?: ReadonlyMap<string, number>;
  /** Whether a pod's namespace is ready for DSR; an endpoint that is not is left out until it is. @defaultValue everyone is */
  readonly dsrReady?: (podKey: string, address: string, vip: string) => boolean;
}

/** Options with defaults and ranges as prefixes. */
export interface ResolvedOptions {
  readonly node: Required<Omit<ProxyNode, 'primary'>> & Pick<ProxyNode, 'primary'>;
  readonly nodePortOnAllAddresses: boolean;
  readonly strictExternalIps: boolean;
  readonly clusterIpRanges: readonly Prefix[];
  readonly externalIpRanges: readonly Prefix[];
  readonly loadBalancerRanges: readonly Prefix[];
  readonly excludedCidrs: readonly Prefix[];
  readonly masqueradeAll: boolean;
  readonly permitAll: boolean;
  readonly hairpin: boolean;
  readonly gracefulTermination: boolean;
  readonly gracefulPeriodMs: number;
  readonly tcpTimeout: number;
  readonly tcpFinTimeout: number;
  readonly udpTimeout: number;
  readonly scheduler: string;
  readonly marks: ReadonlyMap<string, number>;
  readonly dsrReady: (podKey: string, address: string, vip: string) => boolean;
}

function prefixes(path: string, texts: readonly string[]): Prefix[] {
  return texts.map((text) => {
    const prefix = tryParsePrefix(text, { hostBits: 'mask' });
    if (prefix === undefined) {
      throw new SdkError(`${path}: "${text}" is not a prefix`, { code: 'INVALID_OPTION', details: { path, text } });
    }
    return prefix;
  });
}

/** Fills defaults. @throws SdkError `INVALID_OPTION` for a range that is none */
export function resolveOptions(options: ServiceOptions): ResolvedOptions {
  const { node } = options;
  const primaries = [node.primary[4], node.primary[6]].filter((address) => address !== undefined);
  return {
    node: {
      name: node.name,
      zone: node.zone ?? '',
      primary: node.primary,
      addresses: node.addresses ?? primaries,
      podCIDRs: node.podCIDRs ?? [],
      mtu: node.mtu ?? 1500,
    },
    nodePortOnAllAddresses: options.nodePortOnAllAddresses ?? false,
    strictExternalIps: options.strictExternalIps ?? true,
    clusterIpRanges: prefixes('clusterIpRanges', options.clusterIpRanges ?? ['10.96.0.0/12']),
    externalIpRanges: prefixes('externalIpRanges', options.externalIpRanges ?? []),
    loadBalancerRanges: prefixes('loadBalancerRanges', options.loadBalancerRanges ?? []),
    excludedCidrs: prefixes('excludedCidrs', options.excludedCidrs ?? []),
    masqueradeAll: options.masqueradeAll ?? false,
    permitAll: options.permitAll ?? true,
    hairpin: options.hairpin ?? false,
    gracefulTermination: options.gracefulTermination ?? true,
    gracefulPeriodMs: options.gracefulPeriodMs ?? 30_000,
    tcpTimeout: options.tcpTimeout ?? 0,
    tcpFinTimeout: options.tcpFinTimeout ?? 0,
    udpTimeout: options.udpTimeout ?? 0,
    scheduler: options.scheduler ?? 'rr',
    marks: options.marks ?? new Map(),
    dsrReady: options.dsrReady ?? (() => true),
  };
}
