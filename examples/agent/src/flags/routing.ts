/**
 * Flags of pod networking and of BGP. Names, defaults and bounds are kube-router's.
 */
import { addresses, bool, checkAddress, choice, duration, integer, integers, text, words } from './values.ts';

/** Private 2-octet and 4-octet ranges of RFC 6996, as kube-router asks of the cluster's own number. */
function checkClusterAsn(asn: number): string | undefined {
  if (asn === 0 || (asn >= 64512 && asn <= 65535) || (asn >= 4200000000 && asn <= 4294967294)) return undefined;
  return `${asn} is not a private AS number; use 64512-65535 or 4200000000-4294967294`;
}

/** Whether an external peer may have this number; reserved and documentation ranges are refused. */
export function isPeerAsn(asn: number): boolean {
  return (
    (asn >= 1 && asn <= 23455) ||
    (asn >= 23457 && asn <= 63999) ||
    (asn >= 64512 && asn <= 65534) ||
    (asn >= 131072 && asn <= 4294967295 - 1)
  );
}

function checkRouterId(value: string): string | undefined {
  if (value === '' || value === 'generate') return undefined;
  const wrong = checkAddress(value);
  if (wrong === undefined && !value.includes(':') && value !== '0.0.0.0') return undefined;
  return `'${value}' is neither 'generate' nor an IPv4 address`;
}

function checkPasswords(list: readonly string[]): string | undefined {
  const bad = list.findIndex((item) => item !== '' && Buffer.from(item, 'base64').toString('base64') !== item);
  return bad === -1 ? undefined : `item ${bad + 1} is not base64`;
}

export const routingFlags = {
  'routes-sync-period': duration('5m', ['1s', '24h'], 'How often peers, sets and rules are compared in full.'),
  'injected-routes-sync-period': duration('60s', ['1s', '24h'], 'How often learned routes are compared in full.'),
  'enable-cni': bool(true, 'Keep the pod CIDR and MTU in the CNI file ($KUBE_ROUTER_CNI_CONF_FILE).'),
  'auto-mtu': bool(true, "Use the node interface's MTU, less the overlay's overhead, for pods."),
  'enable-overlay': bool(true, 'Tunnel to nodes of other subnets.'),
  'overlay-type': choice(['subnet', 'full'], 'subnet', 'Tunnel between subnets only, or to every node.'),
  'overlay-encap': choice(['ipip', 'fou', 'vxlan', 'wireguard'], 'ipip', 'Encapsulation of tunnels.'),
  'overlay-encap-port': integer(5555, [1024, 65535], 'UDP port of fou.', { metavar: 'port' }),
  'enable-pod-egress': bool(true, 'Masquerade what pods send out of the cluster.'),
  'disable-source-dest-check': bool(true, 'AWS only; accepted, does nothing here.'),
  'override-nexthop': bool(false, 'Announce the session address as next hop to external peers.'),
  'advertise-cluster-ip': bool(false, 'Announce ClusterIPs.'),
  'advertise-external-ip': bool(false, 'Announce external IPs.'),
  'advertise-loadbalancer-ip': bool(false, 'Announce LoadBalancer addresses.'),
  'advertise-pod-cidr': bool(true, 'Announce pod CIDRs to external peers.'),
};

export const bgpFlags = {
  'cluster-asn': integer(0, [0, 4294967295], 'AS number of the cluster; 0: 64512.', {
    metavar: 'asn',
    check: checkClusterAsn,
  }),
  'nodes-full-mesh': bool(true, 'All nodes peer with each other; off: only those with the same node.asn annotation.'),
  'enable-ibgp': bool(true, 'Sessions between nodes.'),
  'bgp-port': integer(179, [1, 65535], 'Port to listen on and of the sessions between nodes.', { metavar: 'port' }),
  'bgp-holdtime': duration('90s', ['3s', '18h12m16s'], 'Hold time offered to external peers.'),
  'bgp-graceful-restart': bool(false, 'Graceful restart (RFC 4724) on all sessions.'),
  'bgp-graceful-restart-time': duration('90s', ['1ms', '4095s'], 'How long peers keep our routes while we restart.'),
  'bgp-graceful-restart-deferral-time': duration(
    '360s',
    ['1ms', '18h'],
    'How long we wait for End-of-RIB after a restart.',
  ),
  'router-id': text('', "BGP identifier; empty: the node's IPv4 address; 'generate': a hash of its address.", {
    metavar: 'id',
    check: checkRouterId,
  }),
  'peer-router-ips': addresses('Addresses of external peers of every node.'),
  'peer-router-asns': integers([0, 4294967295], 'Their AS numbers, in the same order.', {
    metavar: 'asns',
    check: (list) => {
      const bad = list.find((asn) => !isPeerAsn(asn));
      return bad === undefined ? undefined : `${bad} is a reserved AS number`;
    },
  }),
  'peer-router-ports': integers([1, 65535], 'Their ports; empty: 179.', { metavar: 'ports' }),
  'peer-router-passwords': words('Their TCP MD5 passwords, each base64; an empty item: none.', {
    secret: true,
    check: checkPasswords,
  }),
  'peer-router-passwords-file': text('', 'File with the list of passwords on one line.', { metavar: 'file' }),
  'peer-router-multihop-ttl': integer(0, [0, 255], 'TTL towards external peers that are not neighbours; 2 and more.', {
    metavar: 'ttl',
  }),
  'gobgp-admin-address': text('127.0.0.1', 'Not offered; see `status` and --admin-address.', {
    metavar: 'ip',
    check: checkAddress,
    warning: '--gobgp-admin-address has no counterpart here: use `status` or the page of --admin-port',
  }),
  'gobgp-admin-port': integer(50051, [0, 65535], 'Not offered; see `status` and --admin-port.', {
    metavar: 'port',
    warning:
      '--gobgp-admin-port has no counterpart here: no gRPC server is opened; use `status` or the page of --admin-port',
  }),
  'enable-bfd': bool(false, 'BFD with the external peers of the flags above.'),
  'bfd-port': integer(3784, [1, 65535], 'UDP port of BFD.', { metavar: 'port' }),
  'bfd-detection-multiplier': integer(3, [1, 255], 'Lost packets until a peer is down.', { metavar: 'count' }),
  'bfd-desired-min-tx-interval': integer(1000, [1, 4294967], 'Milliseconds between packets that we send.', {
    metavar: 'ms',
  }),
  'bfd-required-min-rx-interval': integer(1000, [1, 4294967], 'Milliseconds between packets that we can take.', {
    metavar: 'ms',
  }),
};
