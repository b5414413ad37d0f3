/**
 * BFD for whoever wants to know whether an address is alive: BGP sessions, next hops.
 * Sessions run in a worker thread; this side starts it with the first session and ends it with the last.
 */
import { existsSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import type { BfdOptions } from '../model.ts';
import type { BfdCommand, BfdReport } from './messages.ts';
import type { BfdState } from './packet.ts';

/** One watched address. */
export interface BfdWatch {
  readonly state: BfdState;
  /** Ends the session, telling the peer that this is meant. */
  close(): void;
}

/** What to watch. */
export interface BfdTarget extends BfdOptions {
  /** Canonical address of the peer; link-local ones with their zone. */
  readonly peer: string;
  readonly localAddress?: string;
  /** More than one hop away (RFC 5883). @defaultValue false */
  readonly multihop?: boolean;
}

/** Watches addresses. */
export interface BfdMonitor extends AsyncDisposable {
  /** Watches one peer until the answer is closed. */
  watch(
    target: BfdTarget,
    onState: (state: BfdState, diagnostic: number) => void,
    onError?: (reason: string) => void,
  ): BfdWatch;
  /** Ends every watch and the thread. */
  close(): Promise<void>;
}

interface Entry {
  state: BfdState;
  readonly onState: (state: BfdState, diagnostic: number) => void;
  readonly onError: ((reason: string) => void) | undefined;
}

/** Makes a {@link BfdMonitor}; no thread runs before the first `watch`. */
export function createBfdMonitor(): BfdMonitor {
  const entries = new Map<string, Entry>();
  let worker: Worker | undefined;
  let count = 0;

  const start = (): Worker => {
    if (worker !== undefined) return worker;
    // As source beside this module; built, beside the bundle, which may be a shared chunk one folder up.
    const places = ['./worker.ts', './bfd-worker.js', './bgp/bfd-worker.js'].map(
      (path) => new URL(path, import.meta.url),
    );
    const { Worker: Thread } = process.getBuiltinModule('node:worker_threads');
    const made = new Thread(places.find((place) => existsSync(place)) ?? places[1]!);
    worker = made;
    made.on('message', (report: BfdReport) => {
      if (report.type === 'error') {
        for (const [key, entry] of entries) if (report.key === '' || report.key === key) entry.onError?.(report.reason);
        return;
      }
      const entry = entries.get(report.key);
      if (entry === undefined) return;
      entry.state = report.state;
      entry.onState(report.state, report.diagnostic);
    });
    made.on('error', (error) => {
      worker = undefined;
      for (const entry of entries.values()) entry.onError?.(error instanceof Error ? error.message : String(error));
    });
    return made;
  };
  const say = (command: BfdCommand): void => start().postMessage(command);

  const close = async (): Promise<void> => {
    entries.clear();
    const last = worker;
    worker = undefined;
    if (last === undefined) return;
    const gone = new Promise<void>((resolve) => last.once('exit', () => resolve()));
    last.postMessage({ type: 'close' } satisfies BfdCommand);
    const timer = setTimeout(() => void last.terminate(), 1000);
    await gone;
    clearTimeout(timer);
  };

  return {
    watch({ peer, localAddress, multihop, interval, multiplier }, onState, onError) {
      const key = `${++count}`;
      const entry: Entry = { state: 'down', onState, onError };
      entries.set(key, entry);
      const discriminator = 1 + Math.floor(Math.random() * 0xfffffffe);
      say({
        type: 'add',
        key,
        peer,
        ...(localAddress === undefined ? {} : { localAddress }),
        multihop: multihop ?? false,
        discriminator,
        interval,
        multiplier,
      });
      return {
        get state() {
          return entry.state;
        },
        close() {
          if (!entries.delete(key) || worker === undefined) return;
          say({ type: 'remove', key });
        },
      };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
