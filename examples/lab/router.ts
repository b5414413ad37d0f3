/**
 * The top-of-rack router: real FRR (zebra and bgpd) with plain eBGP to every node, ECMP, and no knowledge of Kubernetes.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import type { Place } from './places.ts';
import { must, until } from './shell.ts';
import { bare, clusterAsn, holdTimeSeconds, nodes, tor } from './topology.ts';

const folder = '/run/lab/frr';

/** The configuration that an operator would write once for a rack. */
export function routerConfiguration(): string {
  const peers = nodes.flatMap((node) => node.addresses.map(bare));
  const v4 = peers.filter((peer) => !peer.includes(':'));
  const v6 = peers.filter((peer) => peer.includes(':'));
  return [
    'frr defaults datacenter',
    'hostname tor',
    `log file ${folder}/log`,
    `router bgp ${tor.asn}`,
    ` bgp router-id ${bare(tor.fabric[0])}`,
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' bgp bestpath as-path multipath-relax',
    ' neighbor nodes peer-group',
    ` neighbor nodes remote-as ${clusterAsn}`,
    ` neighbor nodes timers ${Math.max(1, Math.floor(holdTimeSeconds / 3))} ${holdTimeSeconds}`,
    ' neighbor nodes timers connect 2',
    ...peers.map((peer) => ` neighbor ${peer} peer-group nodes`),
    ' address-family ipv4 unicast',
    '  maximum-paths 8',
    ...v4.map((peer) => `  neighbor ${peer} activate`),
    ' exit-address-family',
    ' address-family ipv6 unicast',
    '  maximum-paths 8',
    ...v6.map((peer) => `  neighbor ${peer} activate`),
    ' exit-address-family',
    '',
  ].join('\n');
}

/** Starts zebra and bgpd in the router's place and waits until vtysh answers. */
export async function startRouter(place: Place): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/zebra.conf`, `log file ${folder}/log\n`);
  writeFileSync(`${folder}/bgpd.conf`, routerConfiguration());
  // vtysh insists on a file of its own
  writeFileSync(`${folder}/vtysh.conf`, '');
  // the daemons drop to their own user, who must be able to write here
  await must('chown', ['-R', 'frr:frr', folder]);
  const common = ['--vty_socket', folder, '-z', `${folder}/zserv.api`];
  for (const daemon of ['zebra', 'bgpd']) {
    place.start(
      `/usr/lib/frr/${daemon}`,
      [...common, '-i', `${folder}/${daemon}.pid`, '-f', `${folder}/${daemon}.conf`, '-A', '127.0.0.1'],
      `/run/lab/${daemon}.log`,
    );
    // its socket is there as soon as it listens, and bgpd wants a zebra that does
    const listens = await until(() => Promise.resolve(existsSync(`${folder}/${daemon}.vty`)), 20_000, 20);
    const up =
      listens && (await until(async () => (await vtysh(place, 'show version', daemon)).includes('FRR'), 20_000));
    if (!up) throw new Error(`${daemon} does not answer; see /run/lab/${daemon}.log`);
  }
}

/** One command of the router's shell. */
export async function vtysh(place: Place, command: string, daemon?: string): Promise<string> {
  const only = daemon === undefined ? [] : ['-d', daemon];
  const args = ['--config_dir', folder, '--vty_socket', folder, ...only, '-c', command];
  return (await place.run('vtysh', args)).stdout;
}
