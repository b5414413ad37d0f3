/**
 * What the run of the malformed table hands to its tester, and what comes back.
 */
import type { Seen } from './bgp-malformed.ts';

/** What to run. */
export interface TesterJob {
  /** Address of the speaker under judgement, of AS 65000. */
  readonly target: string;
  /** Address of the third peer, of AS 65002. */
  readonly third: string;
  /** Cases by their number, each with the address of its sender. */
  readonly cases: readonly { readonly index: number; readonly address: string }[];
}

/** What was seen of one case. */
export interface Observation {
  readonly index: number;
  readonly seen: Seen | 'no session' | 'no good route';
  /** A good route sent after it came through. */
  readonly sentinel: boolean;
  /** Attributes of the route as the third peer has it now: header and value as hex, by code. */
  readonly attributes: Readonly<Record<number, string>>;
}

/** Exit code of a tester whose third peer gets no session, or loses it: the speaker answers nobody. */
export const NO_ANSWER = 3;
