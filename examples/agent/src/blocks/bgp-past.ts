/**
 * Which peers may still hold what an earlier process of this node told them. To those alone a new process says that it restarted
 * (RFC 4724 section 4.1) and waits for what they know: without the record a dead node would hold up the announcements of every
 * restart, and a machine that was switched off would claim to have kept forwarding. A record of another boot counts for nothing;
 * without any, the network that an earlier agent left in the kernel (kube-router's too) speaks for every peer.
 */
import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Longest restart time, milliseconds (12 bits of seconds). */
const LONGEST_MS = 4_095_000;
const VERSION = 1;

interface PastFile {
  readonly version: number;
  /** Identifier of the machine's boot. */
  readonly boot: string;
  /** Peers by address: null while up, else epoch milliseconds of when the session was lost. */
  readonly peers: Readonly<Record<string, number | null>>;
}

/** See the file's comment. */
export interface BgpPast {
  /** Whether a peer may hold routes of an earlier process; `restartMs`: how long it keeps them. */
  holds(address: string, restartMs: number): boolean;
  /** Takes the peers that are up now. */
  note(up: readonly string[]): void;
  /** The last write is on disk. */
  settled(): Promise<void>;
}

/** What {@link openBgpPast} is made from. */
export interface BgpPastOptions {
  /** The record. */
  readonly path: string;
  /** @defaultValue the kernel's /proc/sys/kernel/random/boot_id */
  readonly boot?: string;
  /** Whether an earlier agent's network is in the kernel. @defaultValue whether there is a link `kube-dummy-if` */
  readonly programmed?: boolean;
  /** Epoch milliseconds. @defaultValue the system's */
  readonly now?: () => number;
  /** Told when the record cannot be written. */
  readonly onError: (error: Error) => void;
}

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

function readPast(path: string, boot: string): PastFile['peers'] | undefined {
  try {
    const file = JSON.parse(textOf(path)) as PastFile;
    return file.version === VERSION && file.boot === boot ? file.peers : undefined;
  } catch {
    // None yet, or cut off by a power failure, after which it would not count.
    return undefined;
  }
}

/** Reads the record; every answer is of that moment, so that options made from it stay the same. */
export function openBgpPast(options: BgpPastOptions): BgpPast {
  const { path, onError, now = Date.now } = options;
  const boot = options.boot ?? textOf('/proc/sys/kernel/random/boot_id').trim();
  const programmed = options.programmed ?? textOf('/proc/net/dev').includes('kube-dummy-if:');
  const before = readPast(path, boot);
  const openedAt = now();
  // Whoever was up when the earlier process ended was lost then or soon after.
  let peers: Record<string, number | null> = Object.fromEntries(
    Object.entries(before ?? {}).map(([address, lost]) => [address, lost ?? openedAt]),
  );
  let written = '';
  let writing: Promise<void> | undefined;

  const write = async (): Promise<void> => {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      for (let text = render(); text !== written; text = render()) {
        await writeFile(`${path}.next`, text, { mode: 0o600 });
        await rename(`${path}.next`, path);
        written = text;
      }
    } catch (error) {
      onError(error as Error);
    } finally {
      writing = undefined;
    }
  };
  const render = (): string => `${JSON.stringify({ version: VERSION, boot, peers } satisfies PastFile)}\n`;

  return {
    holds(address, restartMs) {
      if (before === undefined) return programmed;
      const lost = before[address];
      return lost !== undefined && (lost === null || openedAt - lost < restartMs);
    },
    note(up) {
      const at = now();
      const next: Record<string, number | null> = {};
      for (const [address, lost] of Object.entries(peers))
        if (at - (lost ?? at) < LONGEST_MS) next[address] = lost ?? at;
      for (const address of up) next[address] = null;
      peers = next;
      writing ??= write();
    },
    settled: () => writing ?? Promise.resolve(),
  };
}
