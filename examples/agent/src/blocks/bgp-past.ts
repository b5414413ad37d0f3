/**
 * Which peers may still hold what an earlier process of this node told them. To those alone a new process says that it restarted
 * (RFC 4724 section 4.1) and waits for what they know: without the record a dead node would hold up the announcements of every
 * restart, and a machine that was switched off would claim to have kept forwarding. The record of what is ours goes with a boot and
 * with a cleanup; where it names no peer, the network that an earlier agent left in the kernel (kube-router's too) speaks for all.
 */
import { readFileSync } from 'node:fs';
import type { BlockOwnership } from 'kube-router-sdk/kernel';

/** Longest restart time, milliseconds (12 bits of seconds). */
const LONGEST_MS = 4_095_000;
/** What the record says of a peer that is up; of one that was lost it has the epoch milliseconds. */
const UP = 'up';

/** See the file's comment. */
export interface BgpPast {
  /** Whether a peer may hold routes of an earlier process; `restartMs`: how long it keeps them. */
  holds(address: string, restartMs: number): boolean;
  /** A session came up or was lost. Resolves when that is on disk. */
  note(address: string, up: boolean): Promise<void>;
}

/** What {@link openBgpPast} is made from. */
export interface BgpPastOptions {
  /** Peers by address in the record of what is ours. */
  readonly owned: BlockOwnership;
  /** Whether an earlier agent's network is in the kernel. @defaultValue whether there is a link `kube-dummy-if` */
  readonly programmed?: boolean;
  /** Epoch milliseconds. @defaultValue the system's */
  readonly now?: () => number;
}

/** Reads the record; every answer is of that moment, so that options made from it stay the same. */
export function openBgpPast(options: BgpPastOptions): BgpPast {
  const { owned, now = Date.now } = options;
  const programmed = options.programmed ?? readFileSync('/proc/net/dev', 'utf8').includes('kube-dummy-if:');
  const before = new Map(owned.applied);
  const openedAt = now();
  let noted = false;

  return {
    holds(address, restartMs) {
      if (before.size === 0) return programmed;
      const text = before.get(address);
      return text !== undefined && (text === UP || openedAt - Number(text) < restartMs);
    },
    async note(address, up) {
      const at = now();
      const changed: [string, string][] = [[address, up ? UP : String(at)]];
      const gone: string[] = [];
      // At the first session, not before: a plan reads the record of a running agent.
      for (const [other, text] of noted ? [] : before) {
        if (other === address) continue;
        if (text === UP) changed.push([other, String(openedAt)]);
        else if (at - Number(text) >= LONGEST_MS) gone.push(other);
      }
      noted = true;
      await Promise.all([owned.add(changed), owned.remove(gone)]);
    },
  };
}
