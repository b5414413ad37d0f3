/**
 * Port numbers, port names and protocols, read alike in every kind.
 */
import { note, show } from './fields.ts';
import type { Json, Report } from './fields.ts';
import type { Protocol } from '../net/values.ts';

/** Whether a value is a port number, 1–65535. */
export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}

/** Whether a value is a port name (IANA_SVC_NAME, RFC 6335 section 5.1, lower case). */
export function isPortName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length <= 15 &&
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(value) &&
    /[a-z]/.test(value) &&
    !value.includes('--')
  );
}

/** The `protocol` of a port; absent, null or empty: TCP. `undefined` and an issue when it is unknown. */
export function protocolOf(report: Report, port: Json, path: string): Protocol | undefined {
  const value = port['protocol'];
  if (value === undefined || value === null || value === '') return 'TCP';
  if (value === 'TCP' || value === 'UDP' || value === 'SCTP') return value;
  note(report, `${path}.protocol`, `${show(value)} is none of TCP, UDP, SCTP; the port is left out`);
  return undefined;
}
