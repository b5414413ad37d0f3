/**
 * BGP flags as options of the peers controller.
 */
import type { Family } from 'kube-router-sdk/net';
import type { PeersOptions } from 'kube-router-sdk/routing';
import type { Config } from '../config/load.ts';

/** What the flags say of BGP, for every node event. */
export function peersOptions({ flags }: Config, families: readonly Family[]): PeersOptions {
  const asns = flags['peer-router-asns'];
  const ports = flags['peer-router-ports'];
  const passwords = flags['peer-router-passwords'];
  const multihop = flags['peer-router-multihop-ttl'];
  return {
    families,
    clusterAsn: flags['cluster-asn'] === 0 ? 64512 : flags['cluster-asn'],
    nodesFullMesh: flags['nodes-full-mesh'],
    enableIbgp: flags['enable-ibgp'],
    port: flags['bgp-port'],
    holdTimeSeconds: Math.floor(flags['bgp-holdtime'] / 1000),
    ...(flags['bgp-graceful-restart']
      ? {
          gracefulRestart: {
            restartTimeSeconds: Math.ceil(flags['bgp-graceful-restart-time'] / 1000),
            deferralTimeSeconds: Math.ceil(flags['bgp-graceful-restart-deferral-time'] / 1000),
          },
        }
      : {}),
    ...(flags['router-id'] === '' ? {} : { routerId: flags['router-id'] }),
    externalPeers: flags['peer-router-ips'].map((address, index) => {
      const password = passwords[index] ?? '';
      const port = ports[index];
      return {
        address,
        asn: asns[index] ?? 0,
        ...(port === undefined ? {} : { port }),
        ...(password === '' ? {} : { password: Buffer.from(password, 'base64').toString('utf8') }),
      };
    }),
    ...(multihop >= 2 ? { multihopTtl: multihop } : {}),
    ...(flags['enable-bfd']
      ? {
          bfd: {
            port: flags['bfd-port'],
            detectionMultiplier: flags['bfd-detection-multiplier'],
            desiredMinTxMs: flags['bfd-desired-min-tx-interval'],
            requiredMinRxMs: flags['bfd-required-min-rx-interval'],
          },
        }
      : {}),
  };
}
