/**
 * What the main thread and the BFD thread say to each other.
 * Types only.
 */
import type { BfdState } from './packet.ts';

/** To the BFD thread. */
export type BfdCommand =
  | {
      readonly type: 'add';
      readonly key: string;
      readonly peer: string;
      readonly localAddress?: string;
      readonly multihop: boolean;
      readonly discriminator: number;
      /** Milliseconds. */
      readonly interval: number;
      readonly multiplier: number;
    }
  | { readonly type: 'remove'; readonly key: string }
  | { readonly type: 'close' };

/** From the BFD thread. */
export type BfdReport =
  | {
      readonly type: 'state';
      readonly key: string;
      readonly state: BfdState;
      readonly diagnostic: number;
      /** Milliseconds. */
      readonly detectionTime: number;
    }
  | { readonly type: 'error'; readonly key: string; readonly reason: string };
