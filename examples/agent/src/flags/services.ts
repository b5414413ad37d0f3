/**
 * Flags of the service proxy, the policy firewall and the address allocator.
 * Names and meanings are kube-router's; one default differs on purpose: graceful termination is on.
 */
import { bool, duration, prefixes, text } from './values.ts';

/** `a-b` or `a:b`, 16 bits, a < b. */
export function parsePortRange(value: string): { readonly from: number; readonly to: number } | undefined {
  const match = /^(\d{1,5})[-:](\d{1,5})$/.exec(value);
  const from = Number(match?.[1]);
  const to = Number(match?.[2]);
  return match !== null && from < to && to <= 65535 ? { from, to } : undefined;
}

export const proxyFlags = {
  'ipvs-sync-period': duration('5m', ['1s', '24h'], 'How often the kernel is read and compared in full.'),
  'ipvs-graceful-termination': bool(true, 'Let connections to a removed endpoint finish (off: cut at once).'),
  'ipvs-graceful-period': duration('30s', ['0s', '24h'], 'Longest drain when the pod is no longer known.'),
  'ipvs-permit-all': bool(true, 'Accept VIP:port and reject every other port of a VIP on INPUT.'),
  'excluded-cidrs': prefixes([], 'Virtual services in these CIDRs belong to others and are never removed.'),
  'hairpin-mode': bool(false, 'A pod reaches itself through every Service.'),
  'masquerade-all': bool(false, 'Masquerade every connection that IPVS forwards.'),
  'nodeport-bindon-all-ip': bool(false, 'NodePorts on every local address instead of the primary one a family.'),
  'service-cluster-ip-range': prefixes(['10.96.0.0/12'], 'ClusterIP ranges: one, or two for dual stack.', {
    check: (list) => (list.length === 1 || list.length === 2 ? undefined : 'one or two CIDRs are needed'),
  }),
  'service-external-ip-range': prefixes([], 'Ranges that spec.externalIPs may use.'),
  'loadbalancer-ip-range': prefixes([], "Ranges of LoadBalancer addresses: the pool 'default', and what is accepted."),
  'strict-external-ip-validation': bool(true, 'Ignore external and LoadBalancer addresses outside the ranges above.'),
  'service-node-port-range': text('30000-32767', 'NodePort range, a-b or a:b.', {
    metavar: 'range',
    check: (value) =>
      parsePortRange(value) === undefined ? `'${value}' is not a port range such as 30000-32767` : undefined,
  }),
  'service-tcp-timeout': duration('0s', ['0s', '8760h'], 'IPVS idle timeout of TCP; 0 leaves the kernel as it is.'),
  'service-tcpfin-timeout': duration('0s', ['0s', '8760h'], 'IPVS timeout after FIN; 0 leaves the kernel as it is.'),
  'service-udp-timeout': duration('0s', ['0s', '8760h'], 'IPVS idle timeout of UDP; 0 leaves the kernel as it is.'),
};

export const policyFlags = {
  'iptables-sync-period': duration('5m', ['1s', '24h'], 'How often policy rules are read and compared in full.'),
  'netpol-default-deny': bool(false, 'Reject traffic of a local pod until its own rules are in force.'),
  'use-nftables-for-netpol': bool(false, 'Program policies with nftables instead of iptables and ipset.'),
};

export const loadBalancerFlags = {
  'loadbalancer-default-class': bool(true, "Also serve Services whose class is unset or 'default'."),
  'loadbalancer-sync-period': duration('1m', ['1s', '24h'], 'How often allocations are checked in full.'),
};
