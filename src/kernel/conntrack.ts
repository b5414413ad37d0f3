/**
 * Lists and ends connections that the kernel tracks, through `conntrack`.
 * Needed where a decision must also hold for what is already under way: a UDP flow to an endpoint that has gone, a policy that
 * now denies. Deleting nothing is no failure.
 */
import { canonicalAddress, familyOf } from '../net/address.ts';
import { SdkError, isSdkError } from '../net/errors.ts';
import type { CallOptions, DriverOptions } from './ipset/driver.ts';

/** Which connections are meant; all given fields have to match. */
export interface ConntrackFilter {
  /** @defaultValue 4, or that of an address given */
  readonly family?: 4 | 6;
  readonly protocol?: 'tcp' | 'udp' | 'sctp' | 'icmp' | 'icmpv6';
  /** Of the packet that opened it, before any translation. */
  readonly source?: string;
  readonly destination?: string;
  /** 1–65535. */
  readonly sourcePort?: number;
  /** 1–65535. */
  readonly destinationPort?: number;
  /** Source of the answers: the endpoint that a translated connection really goes to. */
  readonly replySource?: string;
  /** Destination of the answers. */
  readonly replyDestination?: string;
  /** Unsigned 32 bits. */
  readonly mark?: number;
  /** Zone, 0–65535. */
  readonly zone?: number;
}

/** One direction of a connection. */
export interface ConntrackTuple {
  readonly source: string;
  readonly destination: string;
  /** Absent for protocols without ports. */
  readonly sourcePort?: number;
  /** Absent for protocols without ports. */
  readonly destinationPort?: number;
}

/** One tracked connection. */
export interface ConntrackEntry {
  readonly family: 4 | 6;
  readonly protocol: string;
  /** Seconds until it is forgotten. */
  readonly timeoutSeconds?: number;
  /** TCP or SCTP state. */
  readonly state?: string;
  readonly original: ConntrackTuple;
  readonly reply: ConntrackTuple;
  /** Unsigned 32 bits. */
  readonly mark?: number;
  /** `ASSURED`, `UNREPLIED`, `OFFLOAD` */
  readonly flags: readonly string[];
}

/** Arguments of `conntrack` for a filter. */
export function renderConntrackFilter(filter: ConntrackFilter): string[] {
  const addresses = [filter.source, filter.destination, filter.replySource, filter.replyDestination];
  const families = new Set(addresses.flatMap((one) => (one === undefined ? [] : [familyOf(one)])));
  if (filter.family !== undefined) families.add(filter.family);
  const [family = 4] = families;
  if (families.size > 1 || families.has(undefined)) {
    throw new SdkError('a connection has addresses of one family', { code: 'INVALID_OPTION', details: { filter } });
  }
  const ports = filter.sourcePort !== undefined || filter.destinationPort !== undefined;
  if (ports && filter.protocol === undefined) {
    throw new SdkError('ports belong to a protocol', { code: 'INVALID_OPTION', details: { filter } });
  }
  const args = ['-f', family === 4 ? 'ipv4' : 'ipv6'];
  const add = (option: string, value: string | number | undefined): void => {
    if (value !== undefined) args.push(option, String(value));
  };
  add('-p', filter.protocol);
  add('--orig-src', filter.source);
  add('--orig-dst', filter.destination);
  add('--reply-src', filter.replySource);
  add('--reply-dst', filter.replyDestination);
  add('--orig-port-src', filter.sourcePort);
  add('--orig-port-dst', filter.destinationPort);
  add('--mark', filter.mark);
  add('--zone', filter.zone);
  return args;
}

/** Reads `conntrack -L -o extended`. */
export function parseConntrack(text: string): ConntrackEntry[] {
  const entries: ConntrackEntry[] = [];
  for (const line of text.split('\n')) {
    const words = line.trim().split(/\s+/);
    if (words[0] !== 'ipv4' && words[0] !== 'ipv6') continue;
    const tuples: Record<string, string>[] = [{}, {}];
    let place = -1;
    let mark: number | undefined;
    let state: string | undefined;
    const flags: string[] = [];
    for (const word of words.slice(4)) {
      const [name = '', value] = word.split('=');
      if (name === 'src') place++;
      if (word.startsWith('[')) flags.push(word.slice(1, -1));
      else if (name === 'mark') mark = Number(value);
      else if (value === undefined) state ??= /^[A-Z_]+[0-9]?$/.test(word) ? word : undefined;
      else if (tuples[place] !== undefined) tuples[place]![name] = value;
    }
    const tuple = (fields: Record<string, string> | undefined): ConntrackTuple | undefined => {
      const { src, dst, sport, dport } = fields ?? {};
      if (src === undefined || dst === undefined) return undefined;
      return {
        source: canonicalAddress(src),
        destination: canonicalAddress(dst),
        ...(sport === undefined ? {} : { sourcePort: Number(sport) }),
        ...(dport === undefined ? {} : { destinationPort: Number(dport) }),
      };
    };
    const [original, reply] = tuples.map(tuple);
    if (original === undefined || reply === undefined) {
      throw new SdkError(`conntrack printed what cannot be read: ${line}`, { code: 'PARSE_FAILED' });
    }
    const timeout = Number(words[4]);
    entries.push({
      family: words[0] === 'ipv4' ? 4 : 6,
      protocol: words[2] ?? '',
      ...(Number.isInteger(timeout) ? { timeoutSeconds: timeout } : {}),
      ...(state === undefined ? {} : { state }),
      original,
      reply,
      ...(mark === undefined ? {} : { mark }),
      flags,
    });
  }
  return entries;
}

/** Lists and ends connections. */
export interface ConntrackDriver {
  /** Entries that fit a filter; all without one. */
  list(filter?: ConntrackFilter, options?: CallOptions): Promise<ConntrackEntry[]>;
  /** Ends the connections that match; returns how many there were. */
  delete(filter: ConntrackFilter, options?: CallOptions): Promise<number>;
}

/** Makes a {@link ConntrackDriver}. */
export function createConntrack(options: DriverOptions): ConntrackDriver {
  const { runner } = options;
  const place = options.netns === undefined ? {} : { netns: options.netns };
  return {
    async list(filter = {}, call = {}) {
      const args = ['-L', '-o', 'extended', ...renderConntrackFilter(filter)];
      return parseConntrack((await runner.run({ file: 'conntrack', args, ...place }, call)).stdout);
    },
    async delete(filter, call = {}) {
      try {
        const args = ['-D', ...renderConntrackFilter(filter)];
        const { stderr } = await runner.run({ file: 'conntrack', args, ...place }, call);
        return Number(/: (\d+) flow entries/.exec(stderr)?.[1] ?? 0);
      } catch (error) {
        // It exits 1 when there was nothing to delete.
        const text = isSdkError(error) ? String(error.details['stderr']) : '';
        if (/: 0 flow entries have been deleted/.test(text)) return 0;
        throw error;
      }
    },
  };
}
