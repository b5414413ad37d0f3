/** Addresses of the cluster under which the agent is measured; it runs on the first node. */

/** How many nodes it has. */
export const NODES = 50;

/** Where node `n` is, from 1. */
export const nodeAddress = (n: number): string => `192.168.1.${n + 10}`;

/** The range of the pods of node `n`. */
export const podRange = (n: number): string => `10.${128 + n}.0.0/16`;
