/**
 * Flags beyond kube-router's: other sources of objects, the administration socket, files, and what single commands take.
 */
import { bool, checkAddress, choice, integer, paths, prefixes, text } from './values.ts';

export const ownFlags = {
  config: text('', 'YAML configuration file; environment and flags override it.', { metavar: 'file' }),
  manifests: paths('File or folder of Kubernetes YAML or JSON to use instead of an API server; repeatable, watched.'),
  output: choice(['text', 'json'], 'text', 'Form of the answer on standard output.'),
  'admin-address': text('127.0.0.1', 'Address of the web page.', { metavar: 'ip', check: checkAddress }),
  'admin-port': integer(0, [0, 65535], 'Port of the web page; 0: none.', { metavar: 'port' }),
  'run-dir': text(
    '/run/kube-router-sdk',
    'Folder of the administration socket and of the record of what was applied.',
    {
      metavar: 'dir',
      check: checkAbsolute,
    },
  ),
  'state-dir': text('/var/lib/kube-router-sdk', 'Folder of the snapshot of the last good objects.', {
    metavar: 'dir',
    check: checkAbsolute,
  }),
  'iptables-flavour': choice(
    ['auto', 'legacy', 'nft'],
    'auto',
    'Which iptables programs to use; auto: those that hold the rules of others on this host.',
  ),
  'netpol-revocation-mask': text(
    '0x0fff0000',
    'Adjacent bits of the connection mark by which flows that a changed policy no longer allows are cut; 0: they live on.',
    { metavar: 'mask', check: checkMask },
  ),
  'netpol-cluster-policies': bool(
    false,
    'Also follow ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2) of the API server; manifests always may hold them.',
  ),
  'netpol-dry-run': bool(false, 'Refuse nothing by policy; log what would be refused.'),
  'ready-taint': text(
    'kube-router.io/agent-not-ready',
    'Taint taken off this Node after the first verified pass of every block; empty: none.',
    { metavar: 'key' },
  ),
  'network-condition': bool(false, 'Report the Node condition NetworkUnavailable=False when every block is ready.'),
  'advertise-without-endpoints': bool(
    false,
    'Announce service addresses of traffic policy Cluster even while no endpoint is ready anywhere, as kube-router does.',
  ),
  'withdraw-on-maintenance': bool(
    true,
    'Withdraw all service addresses while this node is cordoned, drained or being shut down.',
  ),
  'advertise-aggregates': prefixes(
    [],
    "Prefixes to announce in place of the service addresses and this node's pod CIDRs inside; addresses of traffic policy Local stay beside them.",
  ),
  'trust-netns-annotation': bool(
    false,
    'Enter the network namespace that the pod annotation kube-router.io/netns names.',
  ),
};

export const commandFlags = {
  once: bool(false, 'run: one full pass, verified, then exit.'),
  watch: bool(false, 'status: print again at every change.'),
  'dry-run': bool(false, 'cleanup: list what would be removed.'),
  adopt: choice(['', 'kube-router'], '', 'cleanup: also remove what this other program left.', { metavar: 'program' }),
  leave: choice(['', 'kube-router'], '', 'cleanup: only what this other program, running here again, does not use.', {
    metavar: 'program',
  }),
  from: text('', 'explain: source, namespace/pod or address.', { metavar: 'endpoint' }),
  to: text('', 'explain: destination, namespace/pod or address.', { metavar: 'endpoint' }),
  port: integer(0, [0, 65535], 'explain: destination port.', { metavar: 'port' }),
  protocol: choice(['tcp', 'udp', 'sctp', 'icmp'], 'tcp', 'explain: protocol.'),
};

function checkAbsolute(value: string): string | undefined {
  return /^\/./.test(value) ? undefined : `'${value}' is not an absolute path`;
}

function checkMask(value: string): string | undefined {
  const mask = /^(0|0x[0-9a-f]{1,8})$/i.test(value) ? Number(value) : Number.NaN;
  // Adjacent: without its trailing zeros the mask is one less than a power of two.
  const ones = BigInt(Number.isNaN(mask) ? 5 : mask / (mask & -mask || 1));
  const adjacent = (ones & (ones + 1n)) === 0n;
  return adjacent ? undefined : `'${value}' is neither 0 nor adjacent bits such as 0x0fff0000`;
}
