/**
 * Reads what ipvsadm prints: services and servers (`-Sn`), counters (`-Ln --stats --exact`, `--rate`), connections (`-Lnc`). Pure.
 */
import { formatAddress, tryParseAddress } from '../../net/address.ts';
import { SdkError } from '../../net/errors.ts';
import type { IpvsAddress, IpvsEntry, IpvsServer, IpvsService } from './model.ts';
import { ipvsServerKey, ipvsServiceKey } from './model.ts';

function fail(line: string): never {
  throw new SdkError(`ipvsadm printed what cannot be read: ${line}`, { code: 'PARSE_FAILED', details: { line } });
}

/** Reads `10.0.0.1:80` or `[fd00::1]:80`. */
function parseEndpoint(text: string, line: string): { readonly address: string; readonly port: number } {
  const at = text.lastIndexOf(':');
  const address = tryParseAddress(text.slice(0, at).replace(/^\[(.*)\]$/, '$1'));
  const port = Number(text.slice(at + 1));
  if (at < 0 || address === undefined || !Number.isInteger(port)) return fail(line);
  return { address: formatAddress(address), port };
}

const PROTOCOL: Readonly<Record<string, 'TCP' | 'UDP' | 'SCTP'>> = {
  '-t': 'TCP',
  '-u': 'UDP',
  '--sctp-service': 'SCTP',
};

interface Options {
  readonly listen: IpvsAddress;
  readonly values: ReadonlyMap<string, string>;
}

/** Cuts `-A -t 10.0.0.1:80 -s rr …` into the service and its options; options without a value have an empty one. */
function parseOptions(words: readonly string[], line: string): Options {
  const values = new Map<string, string>();
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    const next = words[index + 1];
    if (next === undefined || next.startsWith('-')) values.set(word, '');
    else values.set(word, words[++index]!);
  }
  const mark = values.get('-f');
  if (mark !== undefined)
    return { listen: { fwmark: Number(mark), ...(values.has('-6') ? { family: 6 } : {}) }, values };
  for (const [option, protocol] of Object.entries(PROTOCOL)) {
    const endpoint = values.get(option);
    if (endpoint !== undefined) return { listen: { protocol, ...parseEndpoint(endpoint, line) }, values };
  }
  return fail(line);
}

function parseService({ listen, values }: Options, line: string): IpvsService {
  const scheduler = values.get('-s');
  if (scheduler === undefined) return fail(line);
  const flags = values.get('-b');
  const persistent = values.get('-p');
  const netmask = values.get('-M');
  return {
    listen,
    scheduler,
    ...(flags === undefined ? {} : { flags: flags.split(',').sort() }),
    ...(persistent === undefined ? {} : { persistentSeconds: Number(persistent === '' ? 300 : persistent) }),
    ...(netmask === undefined ? {} : { netmask }),
    ...(values.has('-o') ? { onePacket: true } : {}),
  };
}

function parseTunnel(values: ReadonlyMap<string, string>, line: string): Pick<IpvsServer, 'tunnel'> {
  const type = values.get('--tun-type');
  if (type === undefined) return {};
  if (type !== 'ipip' && type !== 'gue' && type !== 'gre') return fail(line);
  const port = values.get('--tun-port');
  const checksum = values.has('--tun-csum')
    ? { checksum: 'checksum' as const }
    : values.has('--tun-remcsum')
      ? { checksum: 'remote-offload' as const }
      : values.has('--tun-nocsum')
        ? { checksum: 'none' as const }
        : {};
  return { tunnel: { type, ...(port === undefined ? {} : { port: Number(port) }), ...checksum } };
}

function parseServer({ values }: Options, line: string): IpvsServer {
  const real = values.get('-r');
  if (real === undefined) return fail(line);
  const forward = values.has('-m') ? 'masquerade' : values.has('-i') ? 'tunnel' : 'route';
  return {
    ...parseEndpoint(real, line),
    forward,
    weight: Number(values.get('-w') ?? 1),
    ...parseTunnel(values, line),
  };
}

/**
 * The services in the output of `ipvsadm -Sn`, by {@link ipvsServiceKey}. Thresholds are not in that output.
 * A real server of an IPv6 mark is printed without `-6`, as that of the IPv4 mark of the same number: the service above it decides.
 * @throws SdkError `PARSE_FAILED`
 */
export function parseIpvsSave(text: string): Map<string, IpvsEntry> {
  const entries = new Map<string, { service: IpvsService; servers: Map<string, IpvsServer> }>();
  let above: { service: IpvsService; servers: Map<string, IpvsServer> } | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [verb, ...words] = line.trim().split(/\s+/);
    const options = parseOptions(words, line);
    if (verb === '-A') {
      const service = parseService(options, line);
      above = { service, servers: new Map() };
      entries.set(ipvsServiceKey(service.listen), above);
    } else if (verb === '-a' && above !== undefined) {
      const server = parseServer(options, line);
      above.servers.set(ipvsServerKey(server), server);
    } else fail(line);
  }
  return entries;
}

/** Counters since the service was made, or per second with `--rate`. */
export interface IpvsCounters {
  readonly connections: number;
  readonly inPackets: number;
  readonly outPackets: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

/** Counters of a service and of each of its real servers, by their keys. */
export interface IpvsStatistics extends IpvsCounters {
  readonly servers: ReadonlyMap<string, IpvsCounters>;
}

/**
 * The counters in the output of `ipvsadm -Ln --stats --exact` or `--rate --exact`, by {@link ipvsServiceKey}.
 * @throws SdkError `PARSE_FAILED`
 */
export function parseIpvsCounters(text: string): Map<string, IpvsStatistics> {
  const services = new Map<string, IpvsStatistics & { servers: Map<string, IpvsCounters> }>();
  let above: Map<string, IpvsCounters> | undefined;
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    const [kind, name = ''] = words;
    const listed = kind === '->' ? name !== 'RemoteAddress:Port' : /^(TCP|UDP|SCTP|FWM)$/.test(kind ?? '');
    if (!listed) continue;
    const numbers = words.slice(-5).map(Number);
    if (numbers.some((value) => !Number.isFinite(value))) fail(line);
    const [connections, inPackets, outPackets, inBytes, outBytes] = numbers as [number, number, number, number, number];
    const counters = { connections, inPackets, outPackets, inBytes, outBytes };
    if (kind === '->') {
      const { address, port } = parseEndpoint(name, line);
      above?.set(ipvsServerKey({ address, port }), counters);
      continue;
    }
    const listen: IpvsAddress =
      kind === 'FWM'
        ? { fwmark: Number(name), ...(words[2] === 'IPv6' ? { family: 6 } : {}) }
        : { protocol: kind as 'TCP' | 'UDP' | 'SCTP', ...parseEndpoint(name, line) };
    above = new Map();
    services.set(ipvsServiceKey(listen), { ...counters, servers: above });
  }
  return services;
}

/** One connection that IPVS tracks. */
export interface IpvsConnection {
  readonly protocol: string;
  /** Seconds until it is forgotten, when nothing more comes. */
  readonly expiresSeconds: number;
  readonly state: string;
  /** `address:port` */
  readonly source: string;
  readonly virtual: string;
  readonly destination: string;
}

/** The connections in the output of `ipvsadm -Lnc`. */
export function parseIpvsConnections(text: string): IpvsConnection[] {
  const connections: IpvsConnection[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\S+)\s+(\d+):(\d+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)/.exec(line);
    if (match === null) continue;
    const [, protocol, minutes, seconds, state, source, virtual, destination] = match as unknown as string[];
    connections.push({
      protocol: protocol!,
      expiresSeconds: Number(minutes) * 60 + Number(seconds),
      state: state!,
      source: source!,
      virtual: virtual!,
      destination: destination!,
    });
  }
  return connections;
}
