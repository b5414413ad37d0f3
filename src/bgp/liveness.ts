/**
 * BFD beside a session (RFC 5882): begun when the session is up, its fall is told once it had been up.
 * Stands between a peer and the BFD worker.
 */
import type { BfdWatch } from './bfd/monitor.ts';
import type { BfdState } from './bfd/packet.ts';
import type { PeerFacts } from './peer-facts.ts';
import type { PeerRuntimeOptions, PeerSettings } from './peer-types.ts';

/** BFD of one peer. */
export interface Liveness {
  readonly state: BfdState | undefined;
  begin(localAddress: string): void;
  end(): void;
}

/** Makes a {@link Liveness}. */
export function createLiveness(
  { core, address, onChange }: PeerRuntimeOptions,
  facts: PeerFacts,
  options: () => PeerSettings,
  onLost: () => void,
): Liveness {
  let watch: BfdWatch | undefined;
  let state: BfdState | undefined;
  return {
    get state() {
      return state;
    },
    /** RFC 5882 section 4: the session ends when BFD, having been up, goes down; it does not wait for BFD to come up. */
    begin(localAddress) {
      const { bfd } = options();
      if (bfd === undefined) return;
      let wasUp = false;
      watch = core.bfd.watch(
        { peer: address, localAddress, multihop: facts.far, ...bfd },
        (next, diagnostic) => {
          state = next;
          core.emit({ type: 'bfd', peer: address, reason: `BFD is ${next}`, details: { diagnostic } });
          onChange();
          if (next === 'up') wasUp = true;
          else if (wasUp && next === 'down') onLost();
        },
        (reason) => core.emit({ type: 'unsupported', peer: address, reason: `BFD: ${reason}` }),
      );
    },
    end() {
      watch?.close();
      watch = undefined;
      state = undefined;
    },
  };
}
