/**
 * Addresses, prefixes, longest-prefix match, interval sets, errors and the plain values by which blocks meet.
 * @module net
 */
export * from './errors.ts';
export type * from './values.ts';
