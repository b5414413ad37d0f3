/**
 * The flag table against kube-router's: 79 names, each with its default, one accepted and one refused input.
 * The table below is the contract, written by hand; the code under test never produces it.
 */
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../config/load.ts';
import { helpText, parseCommandLine } from './command-line.ts';
import { flagNames, flagSpec, type FlagName, type FlagValues } from './table.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** name, default, accepted text, its value, refused text. Deviations from kube-router's default are marked. */
const contract: readonly (readonly [FlagName, unknown, string, unknown, string])[] = [
  ['kubeconfig', '', '/etc/kubeconfig', '/etc/kubeconfig', 'no value'],
  ['master', '', 'https://10.0.0.1:6443', 'https://10.0.0.1:6443', '10.0.0.1:6443'],
  ['hostname-override', '', 'worker-1', 'worker-1', 'Worker_1'],
  ['cache-sync-timeout', MINUTE, '90s', 90_000, '90'],
  ['cleanup-config', false, 'true', true, 'yes'],
  [
    'runtime-endpoint',
    '',
    'unix:///run/containerd/containerd.sock',
    'unix:///run/containerd/containerd.sock',
    'tcp://1',
  ],
  ['enable-pprof', false, 'true', true, 'on'],
  ['v', 0, '3', 3, 'three'],
  ['version', false, 'true', true, '2'],
  ['help', false, 'true', true, '2'],
  ['enable-ipv4', true, 'T', true, 'maybe'],
  ['enable-ipv6', false, '1', true, 'maybe'],
  ['run-router', true, 'false', false, 'maybe'],
  ['run-firewall', true, 'f', false, 'maybe'],
  ['run-service-proxy', true, '0', false, 'maybe'],
  ['run-loadbalancer', false, 'TRUE', true, 'maybe'],
  ['health-addr', '', '127.0.0.1', '127.0.0.1', '127.1'],
  ['health-port', 20244, '0', 0, '65536'],
  ['metrics-addr', '', '::1', '::1', 'localhost'],
  ['metrics-port', 0, '8080', 8080, '65535'],
  ['metrics-path', '/metrics', '/m', '/m', 'metrics'],
  ['ipvs-sync-period', 5 * MINUTE, '1h30m', 90 * MINUTE, '5 minutes'],
  // Deviation: kube-router cuts connections at once by default.
  ['ipvs-graceful-termination', true, 'false', false, 'maybe'],
  ['ipvs-graceful-period', 30_000, '1.5s', 1500, '-1s'],
  ['ipvs-permit-all', true, 'false', false, 'maybe'],
  ['excluded-cidrs', [], '10.1.0.0/16,10.2.0.0/16', ['10.1.0.0/16', '10.2.0.0/16'], '10.1.0.0'],
  ['hairpin-mode', false, 'true', true, 'maybe'],
  ['masquerade-all', false, 'true', true, 'maybe'],
  ['nodeport-bindon-all-ip', false, 'true', true, 'maybe'],
  ['service-cluster-ip-range', ['10.96.0.0/12'], '172.16.0.0/16', ['172.16.0.0/16'], '10.0.0.0/8,11.0.0.0/8,fd00::/8'],
  ['service-external-ip-range', [], '1.2.3.0/24', ['1.2.3.0/24'], '1.2.3.0/33'],
  ['loadbalancer-ip-range', [], '1.2.3.4/24', ['1.2.3.0/24'], '010.0.0.0/8'],
  ['strict-external-ip-validation', true, 'false', false, 'maybe'],
  ['service-node-port-range', '30000-32767', '30000:31000', '30000:31000', '32767-30000'],
  ['service-tcp-timeout', 0, '2h', 2 * HOUR, 'long'],
  ['service-tcpfin-timeout', 0, '2m', 2 * MINUTE, '-2m'],
  ['service-udp-timeout', 0, '300ms', 300, '1d'],
  ['iptables-sync-period', 5 * MINUTE, '1m', MINUTE, '0s'],
  ['netpol-default-deny', false, 'true', true, 'maybe'],
  ['use-nftables-for-netpol', false, 'true', true, 'maybe'],
  ['loadbalancer-default-class', true, 'false', false, 'maybe'],
  ['loadbalancer-sync-period', MINUTE, '30s', 30_000, '0s'],
  ['routes-sync-period', 5 * MINUTE, '1m', MINUTE, '0s'],
  ['injected-routes-sync-period', MINUTE, '15s', 15_000, '1'],
  ['enable-cni', true, 'false', false, 'maybe'],
  ['auto-mtu', true, 'false', false, 'maybe'],
  ['enable-overlay', true, 'false', false, 'maybe'],
  ['overlay-type', 'subnet', 'full', 'full', 'mesh'],
  ['overlay-encap', 'ipip', 'fou', 'fou', 'gre'],
  ['overlay-encap-port', 5555, '6000', 6000, '1023'],
  ['enable-pod-egress', true, 'false', false, 'maybe'],
  ['disable-source-dest-check', true, 'false', false, 'maybe'],
  ['override-nexthop', false, 'true', true, 'maybe'],
  ['advertise-cluster-ip', false, 'true', true, 'maybe'],
  ['advertise-external-ip', false, 'true', true, 'maybe'],
  ['advertise-loadbalancer-ip', false, 'true', true, 'maybe'],
  ['advertise-pod-cidr', true, 'false', false, 'maybe'],
  ['cluster-asn', 0, '64512', 64512, '64511'],
  ['nodes-full-mesh', true, 'false', false, 'maybe'],
  ['enable-ibgp', true, 'false', false, 'maybe'],
  ['bgp-port', 179, '1790', 1790, '0'],
  ['bgp-holdtime', 90_000, '18h12m16s', 65_536_000, '2s'],
  ['bgp-graceful-restart', false, 'true', true, 'maybe'],
  ['bgp-graceful-restart-time', 90_000, '4095s', 4_095_000, '4096s'],
  ['bgp-graceful-restart-deferral-time', 360_000, '18h', 18 * HOUR, '18h1s'],
  ['router-id', '', 'generate', 'generate', 'fd00::1'],
  ['peer-router-ips', [], '10.0.0.1,fd00:0::1', ['10.0.0.1', 'fd00::1'], '10.0.0.256'],
  ['peer-router-asns', [], '65000,4200000000', [65000, 4200000000], '23456'],
  ['peer-router-ports', [], '179,1790', [179, 1790], '0'],
  ['peer-router-passwords', [], 'U2VjcmV0,', ['U2VjcmV0', ''], 'not base64'],
  ['peer-router-passwords-file', '', '/etc/bgp', '/etc/bgp', 'no value'],
  ['peer-router-multihop-ttl', 0, '2', 2, '256'],
  ['gobgp-admin-address', '127.0.0.1', '::1', '::1', 'any'],
  ['gobgp-admin-port', 50051, '0', 0, 'grpc'],
  ['enable-bfd', false, 'true', true, 'maybe'],
  ['bfd-port', 3784, '4784', 4784, '0'],
  ['bfd-detection-multiplier', 3, '255', 255, '256'],
  ['bfd-desired-min-tx-interval', 1000, '50', 50, '0'],
  ['bfd-required-min-rx-interval', 1000, '50', 50, '1s'],
];

/** Values that only make sense beside another flag's. */
const companions: Partial<Record<FlagName, readonly string[]>> = {
  'peer-router-ips': ['--peer-router-asns=65000,65001'],
  'peer-router-asns': ['--peer-router-ips=10.0.0.1,10.0.0.2'],
  'peer-router-passwords-file': ['--peer-router-ips=10.0.0.1', '--peer-router-asns=65000'],
  'peer-router-ports': ['--peer-router-ips=10.0.0.1,10.0.0.2', '--peer-router-asns=65000,65001'],
  'peer-router-passwords': ['--peer-router-ips=10.0.0.1,10.0.0.2', '--peer-router-asns=65000,65001'],
};

const load = (argv: readonly string[], env: Record<string, string> = {}): FlagValues =>
  loadConfig(parseCommandLine(argv), { env, readFile: () => 'U2VjcmV0' }).flags;

test('79 flags, each once', () => {
  expect(contract).toHaveLength(79);
  expect(new Set(contract.map(([name]) => name)).size).toBe(contract.length);
});

/** As Go prints them. */
const goDurations = new Map([
  [0, '0s'],
  [30_000, '30s'],
  [MINUTE, '1m0s'],
  [90_000, '1m30s'],
  [5 * MINUTE, '5m0s'],
  [6 * MINUTE, '6m0s'],
]);

/** The help, one unfolded line a flag. */
const help = helpText()
  .replaceAll(/\n {20,}/g, ' ')
  .split('\n')
  .map((text) => text.trim().replaceAll(/ +/g, ' '));

describe.each(contract)('--%s', (name, byDefault, accepted, value, refused) => {
  test('default', () => expect(load([])[name]).toEqual(byDefault));
  test('is in the help with its default', () => {
    const entry = help.find((text) => new RegExp(`^(-. ?, ?)?--${name}( |$)`).test(text)) ?? '';
    expect(entry).not.toBe('');
    const duration = flagSpec(name).metavar === 'duration';
    const shown = duration ? goDurations.get(byDefault as number) : String(byDefault);
    if (shown !== '') expect(entry).toContain(`(default ${shown})`);
  });
  test('accepts', () => {
    if (name === 'version' || name === 'help') {
      expect(parseCommandLine([`--${name}=${accepted}`]).given.get(name)).toEqual([accepted]);
      return;
    }
    expect(load([`--${name}=${accepted}`, ...(companions[name] ?? [])])[name]).toEqual(value);
  });
  test('refuses', () => {
    const argv = refused === 'no value' ? [`--${name}`] : [`--${name}=${refused}`, ...(companions[name] ?? [])];
    expect(() => load(argv)).toThrow(name);
  });
});

describe('Go forms', () => {
  test('a bare boolean is true and takes no word after it', () => {
    expect(load(['--enable-ipv6', 'plan'])['enable-ipv6']).toBe(true);
    expect(parseCommandLine(['--enable-ipv6', 'plan']).command).toBe('plan');
    expect(() => parseCommandLine(['--enable-ipv6', 'false'])).toThrow("'false' is not a command");
  });
  test('lists take commas and repetition', () => {
    const flags = load(['--excluded-cidrs', '10.1.0.0/16,10.2.0.0/16', '--excluded-cidrs=10.3.0.0/16']);
    expect(flags['excluded-cidrs']).toEqual(['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16']);
  });
  test.each([['-v2'], ['-v=2'], ['-v', '2'], ['--v=2']])('verbosity %s', (...argv) => expect(load(argv).v).toBe(2));
  test('the last of a repeated single value counts', () => expect(load(['--v=1', '--v=3']).v).toBe(3));
  test('a value may look like a flag', () => expect(load(['--kubeconfig', '--x']).kubeconfig).toBe('--x'));
  test('unknown flags and words are refused', () => {
    expect(() => parseCommandLine(['--no-such-flag'])).toThrow(/unknown option '--no-such-flag'/);
    expect(() => parseCommandLine(['run', 'now'])).toThrow(/too many arguments/);
  });
});

describe('combinations', () => {
  test.each([
    [['--enable-ipv4=false'], 'at least one'],
    [['--service-external-ip-range=fd00::/64'], '--enable-ipv6 is off'],
    [['--enable-ipv4=false', '--enable-ipv6', '--loadbalancer-ip-range=10.0.0.0/24'], '--enable-ipv4 is off'],
    [['--service-cluster-ip-range=10.0.0.0/16,10.1.0.0/16'], 'one IPv4 and one IPv6'],
    [['--peer-router-ips=10.0.0.1'], '0 numbers for 1 addresses'],
    [['--peer-router-ips=10.0.0.1', '--peer-router-asns=65000', '--peer-router-ports=1,2'], '2 items for 1 addresses'],
    [['--run-loadbalancer', '--manifests=/x'], '--manifests'],
  ])('%j', (argv, reason) => expect(() => load(argv)).toThrow(reason));
});

describe('precedence', () => {
  const file =
    'cluster-asn: 64513\nrouterId: generate\npeer-router-ips: [10.0.0.1, 10.0.0.2]\npeer-router-asns: 65000,65001\n';
  const withFile = (argv: string[], env: Record<string, string> = {}): FlagValues =>
    loadConfig(parseCommandLine(['--config=/c.yaml', ...argv]), { env, readFile: () => file }).flags;
  test('file', () => {
    const flags = withFile([]);
    expect(flags['cluster-asn']).toBe(64513);
    expect(flags['router-id']).toBe('generate');
    expect(flags['peer-router-ips']).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(flags['peer-router-asns']).toEqual([65000, 65001]);
  });
  test('environment over file', () => {
    expect(withFile([], { KUBE_ROUTER_CLUSTER_ASN: '64514' })['cluster-asn']).toBe(64514);
  });
  test('flag over environment', () => {
    expect(withFile(['--cluster-asn=64515'], { KUBE_ROUTER_CLUSTER_ASN: '64514' })['cluster-asn']).toBe(64515);
  });
  test('a bad value of the environment is named', () => {
    expect(() => load([], { KUBE_ROUTER_BGP_PORT: 'x' })).toThrow(/KUBE_ROUTER_BGP_PORT: 'x' is not a whole number/);
  });
});

test('secrets are never repeated', () => {
  expect(() => load(['--peer-router-passwords=hunter2!'])).toThrow(expect.not.stringContaining('hunter2') as Error);
  expect(flagNames.filter((name) => flagSpec(name).secret === true)).toEqual(['peer-router-passwords']);
});
