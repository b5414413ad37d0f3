/**
 * The flag table against kube-router's: 79 names, each with its default, one accepted and one refused input.
 * The table is contract/flags.ts, written by hand; the code under test never produces it.
 */
import { describe, expect, test } from 'vitest';
import { companions, flagContract as contract, MINUTE } from '../../contract/flags.ts';
import { loadConfig } from '../config/load.ts';
import { helpText, parseCommandLine } from './command-line.ts';
import { flagNames, flagSpec, type FlagValues } from './table.ts';

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
