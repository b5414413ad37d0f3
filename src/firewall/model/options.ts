/**
 * What the entry chains are built from besides the compiled state: ranges that are not policed where they enter, and the node's pod
 * ranges when every pod must be known before it may talk. Both backends read it.
 */

/** Settings of the entry chains. */
export interface EntryOptions {
  /**
   * Canonical prefixes of Service addresses (cluster, external, load balancer): a pod's packet to one is judged after translation,
   * when its destination is the backend, and not on its way in. @defaultValue none
   */
  readonly serviceRanges?: readonly string[];
  /** First and last node port, likewise judged after translation. @defaultValue none */
  readonly nodePortRange?: readonly [first: number, last: number];
  /**
   * Canonical pod prefixes of this node: traffic of an address in them that is no programmed pod is refused. Needs a compiler
   * with `localPods`. @defaultValue off
   */
  readonly defaultDeny?: readonly string[];
  /** NFLOG group that refused packets are sent to, at most ten a minute of each class. @defaultValue 100 */
  readonly logGroup?: number;
}
