/**
 * Writes ipvsadm arguments: lines for `ipvsadm -R`, or one direct command each. Pure.
 */
import type { IpvsAddress, IpvsServer, IpvsService } from './model.ts';
import { formatEndpoint } from './model.ts';

const PROTOCOL = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as const;
const FORWARD = { masquerade: '-m', route: '-g', tunnel: '-i' } as const;
const CHECKSUM = { none: '--tun-nocsum', checksum: '--tun-csum', 'remote-offload': '--tun-remcsum' } as const;

/** Names the service. The mark is decimal, the only base that ipvsadm reads. */
function which(listen: IpvsAddress): string[] {
  if (!('fwmark' in listen)) return [PROTOCOL[listen.protocol], formatEndpoint(listen.address, listen.port)];
  return ['-f', String(listen.fwmark), ...(listen.family === 6 ? ['-6'] : [])];
}

function settings(service: IpvsService): string[] {
  const args = ['-s', service.scheduler];
  if (service.persistentSeconds !== undefined) {
    args.push('-p', String(service.persistentSeconds));
    if (service.netmask !== undefined) args.push('-M', service.netmask);
  }
  if (service.onePacket === true) args.push('-o');
  if (service.flags !== undefined && service.flags.length > 0) args.push('-b', [...service.flags].sort().join(','));
  return args;
}

/** Arguments that add (`-A`) or change (`-E`) a service. */
export function renderService(verb: 'add' | 'edit', service: IpvsService): string[] {
  return [verb === 'add' ? '-A' : '-E', ...which(service.listen), ...settings(service)];
}

/** Arguments that delete a service, its real servers with it. */
export function renderServiceDelete(listen: IpvsAddress): string[] {
  return ['-D', ...which(listen)];
}

/** Arguments that add (`-a`) or change (`-e`) a real server. */
export function renderServer(verb: 'add' | 'edit', listen: IpvsAddress, server: IpvsServer): string[] {
  const args = [verb === 'add' ? '-a' : '-e', ...which(listen)];
  args.push('-r', formatEndpoint(server.address, server.port), FORWARD[server.forward], '-w', String(server.weight));
  if (server.forward === 'tunnel' && server.tunnel !== undefined) {
    args.push('--tun-type', server.tunnel.type);
    if (server.tunnel.type === 'gue' && server.tunnel.port !== undefined)
      args.push('--tun-port', String(server.tunnel.port));
    if (server.tunnel.type !== 'ipip' && server.tunnel.checksum !== undefined)
      args.push(CHECKSUM[server.tunnel.checksum]);
  }
  return args;
}

/** Arguments that delete a real server. */
export function renderServerDelete(
  listen: IpvsAddress,
  server: { readonly address: string; readonly port: number },
): string[] {
  return ['-d', ...which(listen), '-r', formatEndpoint(server.address, server.port)];
}
