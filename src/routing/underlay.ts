/**
 * Reads the node's own network through the runner: what the compiler needs to know before it can decide on a route.
 */
import type { Runner } from '../kernel/types.ts';
import type { NodeObject } from '../objects/types.ts';
import { nodeFacts } from './compile/node.ts';
import type { Underlay } from './model.ts';
import { parseUnderlay } from './parse/underlay.ts';

/** Options of {@link readUnderlay}. */
export interface UnderlayOptions {
  readonly runner: Runner;
  /** This node's object: its primary address tells which interface is meant. */
  readonly node: NodeObject;
  readonly signal?: AbortSignal;
}

/** The node's interface, MTU, subnets and tunnels; undefined while none of its interfaces has the node's address. */
export async function readUnderlay(options: UnderlayOptions): Promise<Underlay | undefined> {
  const { primary } = nodeFacts(options.node);
  if (primary === undefined) return undefined;
  const { stdout } = await options.runner.run(
    { file: 'ip', args: ['-j', '-d', 'addr', 'show'] },
    options.signal === undefined ? {} : { signal: options.signal },
  );
  return parseUnderlay(stdout, primary);
}
