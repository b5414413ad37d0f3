/**
 * Flags about the process: where the API is, who this node is, which blocks run, health and metrics.
 * Names, defaults and meanings are kube-router's, so that a DaemonSet moves over by changing its image.
 */
import { bool, checkAddress, duration, integer, text } from './values.ts';

function checkUrl(value: string): string | undefined {
  if (value === '' || /^https?:\/\/[^\s/]+/.test(value)) return undefined;
  return `'${value}' is not an http or https URL`;
}

function checkNodeName(value: string): string | undefined {
  if (value === '' || (value.length <= 253 && /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(value))) return undefined;
  return `'${value}' is not a Node name (lower-case DNS name)`;
}

export const processFlags = {
  kubeconfig: text('', 'Kubeconfig file; empty: the in-cluster service account.', { metavar: 'file' }),
  master: text('', "API server URL; overrides the kubeconfig's or the in-cluster address.", {
    metavar: 'url',
    check: checkUrl,
  }),
  'hostname-override': text('', "Name of this node's Node object; empty: $NODE_NAME, then the host name.", {
    metavar: 'name',
    check: checkNodeName,
  }),
  'cache-sync-timeout': duration(
    '1m',
    ['1ms', '24h'],
    'How long the API may take to deliver its first full picture before `--once` and `plan` give up.',
  ),
  'cleanup-config': bool(false, 'Same as the command `cleanup`: undo what was applied, then exit.'),
  'runtime-endpoint': text(
    '',
    'Socket of the container runtime (unix://…), to find the network namespace of DSR pods.',
    {
      metavar: 'url',
      check: (value) =>
        value === '' || /^unix:\/\/\/./.test(value)
          ? undefined
          : `'${value}' is not a unix:// URL with an absolute path`,
    },
  ),
  'enable-pprof': bool(false, 'Not offered; accepted for compatibility.', {
    warning:
      '--enable-pprof has no counterpart here: start Node with --cpu-prof or --inspect instead; nothing listens on 6060',
  }),
  v: integer(0, [0, 10], 'Log verbosity: 0 info, 1 debug, 2 and more every change.', { short: 'v', metavar: 'level' }),
  version: bool(false, 'Print the version and exit.', { short: 'V' }),
  help: bool(false, 'Print this help and exit.', { short: 'h' }),
  'enable-ipv4': bool(true, 'Program IPv4.'),
  'enable-ipv6': bool(false, 'Program IPv6.'),
};

export const featureFlags = {
  'run-router': bool(true, 'Pod networking and BGP.'),
  'run-firewall': bool(true, 'NetworkPolicy.'),
  'run-service-proxy': bool(true, 'Services by IPVS.'),
  'run-loadbalancer': bool(false, 'Allocate addresses for Services of type LoadBalancer.'),
};

export const healthFlags = {
  'health-addr': text('', 'Address of the health server; empty: all.', { metavar: 'ip', check: checkAddress }),
  'health-port': integer(20244, [0, 65535], 'Port of the health server; 0: none.', { metavar: 'port' }),
  'metrics-addr': text('', 'Address of the Prometheus server; empty: all.', { metavar: 'ip', check: checkAddress }),
  'metrics-port': integer(0, [0, 65534], 'Port of the Prometheus server; 0: none.', { metavar: 'port' }),
  'metrics-path': text('/metrics', 'Path of the Prometheus page.', {
    metavar: 'path',
    check: (value) => (/^\/[^\s?#]*$/.test(value) ? undefined : `'${value}' is not a path that begins with /`),
  }),
};
