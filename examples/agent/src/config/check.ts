/**
 * What single flags cannot say about themselves: lists that must match in length, families that must be on, ranges.
 */
import { SdkError, tryParsePrefix } from 'kube-router-sdk/net';
import type { FlagName, FlagValues } from '../flags/table.ts';

const CIDR_FLAGS = ['service-cluster-ip-range', 'service-external-ip-range', 'loadbalancer-ip-range'] as const;

/** @throws SdkError `INVALID_OPTION` for the first combination that makes no sense */
export function checkTogether(flags: FlagValues, origins: ReadonlyMap<FlagName, string>): void {
  const fail = (name: FlagName, reason: string): never => {
    throw new SdkError(`${origins.get(name) ?? `--${name}`}: ${reason}`, {
      code: 'INVALID_OPTION',
      details: { path: `--${name}` },
    });
  };
  if (!flags['enable-ipv4'] && !flags['enable-ipv6']) fail('enable-ipv4', 'at least one of IPv4 and IPv6 must be on');
  for (const name of CIDR_FLAGS) {
    if (!origins.has(name)) continue;
    for (const text of flags[name]) {
      const family = tryParsePrefix(text)?.family;
      if (family === 4 && !flags['enable-ipv4']) fail(name, `${text} is IPv4, but --enable-ipv4 is off`);
      if (family === 6 && !flags['enable-ipv6']) fail(name, `${text} is IPv6, but --enable-ipv6 is off`);
    }
  }
  const clusterRanges = flags['service-cluster-ip-range'];
  if (clusterRanges.length === 2 && clusterRanges[0]?.includes(':') === clusterRanges[1]?.includes(':')) {
    fail('service-cluster-ip-range', 'two ranges must be one IPv4 and one IPv6');
  }
  const peers = flags['peer-router-ips'].length;
  if (flags['peer-router-asns'].length !== peers) {
    fail('peer-router-asns', `${flags['peer-router-asns'].length} numbers for ${peers} addresses of --peer-router-ips`);
  }
  for (const name of ['peer-router-ports', 'peer-router-passwords'] as const) {
    const count = flags[name].length;
    if (count > 0 && count !== peers) fail(name, `${count} items for ${peers} addresses of --peer-router-ips`);
  }
  if (flags['run-loadbalancer'] && flags['manifests'].length > 0) {
    fail('run-loadbalancer', 'allocation writes to the API; it cannot be used with --manifests');
  }
  if (flags['manifests'].length > 0 && flags['kubeconfig'] !== '') {
    fail('manifests', '--manifests and --kubeconfig exclude each other');
  }
}
