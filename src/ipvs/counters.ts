/**
 * Live counters: connections, packets and bytes of every virtual server and real server, with rates, as a stream. DSR and other
 * marked services are named like the rest: their key leads to the Service that owns it. IPVS counts what passes it, so a DSR
 * service shows what came in only; the kernel sums up every two seconds (ip_vs_est.c). Reading stops with the last subscriber.
 */
import { Observable } from 'rxjs';
import { SdkError } from '../net/errors.ts';
import { canonicalAddress } from '../net/address.ts';
import { systemClock } from '../kernel/clock.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Runner } from '../kernel/types.ts';
import { hostPort, markKey, serverKey } from './model.ts';

/** Totals since the server was made. */
export interface Counts {
  /** Since the server was added. */
  readonly connections: number;
  /** From clients. */
  readonly packetsIn: number;
  /** To clients; 0 with direct server return. */
  readonly packetsOut: number;
  /** From clients. */
  readonly bytesIn: number;
  /** To clients; 0 with direct server return. */
  readonly bytesOut: number;
}

/** Totals with what they grew by a second. */
export interface CounterSample {
  readonly total: Counts;
  /** Each a second; zeros in the first sample and after a counter began anew. */
  readonly rate: Counts;
}

/** Counters of one virtual server. */
export interface ServiceCounters extends CounterSample {
  /** Key of the virtual server. */
  readonly key: string;
  /** `namespace/name` of its Service, when the `owner` option knows. */
  readonly service: string | undefined;
  /** Real servers by `address:port`. */
  readonly endpoints: ReadonlyMap<string, CounterSample>;
}

/** Options of {@link ipvsCounters}. */
export interface CountersOptions {
  readonly runner: Runner;
  /** Milliseconds between readings. @defaultValue 5000 */
  readonly intervalMs?: number;
  /** Service of a virtual server's key: the compiler's `owner`. @defaultValue unknown */
  readonly owner?: (key: string) => string | undefined;
  /** @defaultValue the machine's */
  readonly clock?: Clock;
}

/** Totals of one virtual server as `ipvsadm` prints them. */
export interface ReadCounts {
  readonly key: string;
  readonly total: Counts;
  readonly endpoints: ReadonlyMap<string, Counts>;
}

const ZERO: Counts = { connections: 0, packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };

function counts(words: readonly string[], line: string): Counts {
  const [connections, packetsIn, packetsOut, bytesIn, bytesOut] = words.slice(-5).map(Number);
  const values = [connections, packetsIn, packetsOut, bytesIn, bytesOut];
  if (words.length < 6 || values.some((value) => value === undefined || !Number.isFinite(value))) {
    throw new SdkError(`ipvsadm printed "${line}"`, { code: 'PARSE_FAILED', details: { tool: 'ipvsadm', line } });
  }
  return {
    connections: connections ?? 0,
    packetsIn: packetsIn ?? 0,
    packetsOut: packetsOut ?? 0,
    bytesIn: bytesIn ?? 0,
    bytesOut: bytesOut ?? 0,
  };
}

function place(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':');
  return {
    address: canonicalAddress(text.slice(0, colon).replace(/^\[|\]$/g, '')),
    port: Number(text.slice(colon + 1)),
  };
}

/** Parses `ipvsadm -Ln --stats --exact`. @throws SdkError `PARSE_FAILED` */
export function parseCounters(text: string): ReadCounts[] {
  const found: (ReadCounts & { readonly endpoints: Map<string, Counts> })[] = [];
  for (const line of text.split('\n')) {
    const words = line.split(/\s+/).filter((word) => word !== '');
    const [kind = '', name = ''] = words;
    if (kind === 'TCP' || kind === 'UDP' || kind === 'SCTP' || kind === 'FWM') {
      const { address, port } = kind === 'FWM' ? { address: '', port: 0 } : place(name);
      const key = kind === 'FWM' ? markKey(words[2] === 'IPv6' ? 6 : 4, Number(name)) : serverKey(kind, address, port);
      found.push({ key, total: counts(words, line), endpoints: new Map() });
    } else if (kind === '->' && name !== 'RemoteAddress:Port') {
      const { address, port } = place(name);
      found.at(-1)?.endpoints.set(hostPort(address, port), counts(words, line));
    }
  }
  return found;
}

/** Growth of a counter a second; a counter that fell began anew. */
export function ratesOf(before: Counts | undefined, now: Counts, seconds: number): Counts {
  if (
    before === undefined ||
    seconds <= 0 ||
    now.connections < before.connections ||
    now.packetsIn < before.packetsIn
  ) {
    return ZERO;
  }
  return {
    connections: (now.connections - before.connections) / seconds,
    packetsIn: (now.packetsIn - before.packetsIn) / seconds,
    packetsOut: (now.packetsOut - before.packetsOut) / seconds,
    bytesIn: (now.bytesIn - before.bytesIn) / seconds,
    bytesOut: (now.bytesOut - before.bytesOut) / seconds,
  };
}

/** Counters of every virtual server, read at once and then every interval. Errors when IPVS cannot be read. */
export function ipvsCounters(options: CountersOptions): Observable<readonly ServiceCounters[]> {
  const { runner, intervalMs = 5000, clock = systemClock } = options;
  return new Observable((subscriber) => {
    const abort = new AbortController();
    let before = new Map<string, ReadCounts>();
    let at = 0;
    let cancel: (() => void) | undefined;
    const read = async (): Promise<void> => {
      const { stdout } = await runner.run(
        { file: 'ipvsadm', args: ['-Ln', '--stats', '--exact'] },
        { signal: abort.signal },
      );
      const now = clock.now();
      const seconds = (now - at) / 1000;
      const list = parseCounters(stdout);
      const last = before;
      subscriber.next(
        list.map(({ key, total, endpoints }) => ({
          key,
          service: options.owner?.(key),
          total,
          rate: ratesOf(last.get(key)?.total, total, seconds),
          endpoints: new Map(
            [...endpoints].map(([name, one]) => [
              name,
              { total: one, rate: ratesOf(last.get(key)?.endpoints.get(name), one, seconds) },
            ]),
          ),
        })),
      );
      before = new Map(list.map((one) => [one.key, one]));
      at = now;
      if (!subscriber.closed) cancel = clock.after(intervalMs, tick);
    };
    const tick = (): void => {
      read().catch((error: unknown) => {
        if (!abort.signal.aborted) subscriber.error(error);
      });
    };
    tick();
    return () => {
      abort.abort();
      cancel?.();
    };
  });
}
