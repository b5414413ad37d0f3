/**
 * What every block of the agent is given: configuration, this node's name, objects, the door to the kernel.
 */
import type { ObjectSource } from 'kube-router-sdk/informers';
import type { Ownership, StreamingRunner } from 'kube-router-sdk/kernel';
import type { Family } from 'kube-router-sdk/net';
import type { Providers } from '../admin/views.ts';
import type { Config } from '../config/load.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Environment } from '../node.ts';
import type { AgentState } from '../state.ts';

/** Context of the blocks. */
export interface BlockContext {
  readonly config: Config;
  readonly env: Environment;
  /** Name of this node. */
  readonly node: string;
  readonly families: readonly Family[];
  readonly objects: ObjectSource;
  readonly runner: StreamingRunner;
  /** Flavour of iptables that this host's rules are in; `system`: whatever the plain names mean. */
  readonly flavour: 'legacy' | 'nft' | 'system';
  /** The record of what was applied. */
  readonly ownership: Ownership;
  /** `run` speaks BGP and follows changes, `once` and `plan` look once. */
  readonly mode: 'run' | 'once' | 'plan';
  readonly state: AgentState;
  /** Blocks put what they know here, for the admin API. */
  readonly providers: Providers;
  readonly log: Log;
  /** Absent in `once` and `plan`. */
  readonly metrics?: Metrics;
  /** Run when the agent ends, last first. */
  readonly onClose: (end: () => void | Promise<void>) => void;
}

/** Address families that are switched on. */
export function enabledFamilies(config: Config): readonly Family[] {
  return ([4, 6] as const).filter((family) => config.flags[family === 4 ? 'enable-ipv4' : 'enable-ipv6']);
}
