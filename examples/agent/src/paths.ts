/**
 * Files below `--run-dir` and `--state-dir`.
 */

/** Socket of the running agent. */
export const socketPath = (runDir: string): string => `${runDir}/admin.sock`;

/** Record of what was applied. */
export const ownershipPath = (runDir: string): string => `${runDir}/owned.json`;

/** Last good objects. */
export const snapshotPath = (stateDir: string): string => `${stateDir}/snapshot.json`;
