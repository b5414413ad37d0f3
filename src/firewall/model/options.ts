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
  /** Refuse nothing: what policy would refuse is logged and let through. @defaultValue false */
  readonly dryRun?: boolean;
  /** NFLOG group that refused packets are sent to, at most ten a minute of each class. @defaultValue 100 */
  readonly logGroup?: number;
  /**
   * Live revocation: bits of the connection mark, adjacent, that hold a generation which every tightening raises. A flow that was
   * let through under an older one is judged again at its next packet from the side that opened it, so that a policy that no
   * longer allows it cuts it, and only it. Bits that nobody else uses, e.g. `0x0ff00000`. @defaultValue off
   */
  readonly revocationMask?: number;
  /**
   * Generation of a kernel that holds none. Flows may carry marks of a life before this one, so let it differ from start to
   * start. @defaultValue 1
   */
  readonly firstGeneration?: number;
}

/** The generation to begin with, within the mask and never 0. */
export function firstGeneration({ revocationMask, firstGeneration: wanted = 1 }: EntryOptions): number {
  if (revocationMask === undefined) return 1;
  return 1 + ((Math.max(1, Math.floor(wanted)) - 1) % (revocationMask >>> shiftOf(revocationMask)));
}

/** Number of the lowest bit of a mask. */
function shiftOf(mask: number): number {
  return Math.log2((mask & -mask) >>> 0);
}

/** The generation that follows: it goes round within the mask and never is 0, which an unmarked flow has. */
export function nextGeneration(generation: number, mask: number): number {
  const last = mask >>> shiftOf(mask);
  return generation >= last ? 1 : generation + 1;
}

/** Value of a generation within the mask, as the tools print it. */
export function generationMark(generation: number, mask: number): { readonly value: string; readonly mask: string } {
  return { value: `0x${((generation << shiftOf(mask)) >>> 0).toString(16)}`, mask: `0x${(mask >>> 0).toString(16)}` };
}

/** Generation of a printed mark, 0 when it is of another mask. */
export function readGeneration(value: number, mask: number): number {
  return (value & mask) >>> shiftOf(mask);
}
