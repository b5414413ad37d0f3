/**
 * What a test of code on this SDK needs: a runner that records, time that stands still, objects and an API server.
 * @module testing
 */
export * from './builders.ts';
export * from './recording-runner.ts';
export * from './virtual-clock.ts';
