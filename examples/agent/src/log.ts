/**
 * The log: one JSON line an event on standard error, so that standard output stays the answer of the call.
 * Nothing secret reaches it: values of secret flags are never logged, and what looks like one is censored by name.
 */
import { destination, pino, stdTimeFunctions, type Logger } from 'pino';

/** The agent's logger. */
export type Log = Logger;

/** What decides how much is said. */
export interface LogOptions {
  /** klog's verbosity: 0 info, 1 debug, 2 and more trace. */
  readonly verbosity: number;
  /** Only warnings and errors, for commands whose answer is a report. */
  readonly quiet: boolean;
}

/** The level that a verbosity stands for. */
export function logLevel({ verbosity, quiet }: LogOptions): string {
  return verbosity >= 2 ? 'trace' : verbosity === 1 ? 'debug' : quiet ? 'warn' : 'info';
}

/** Makes the logger; the node's name is on every line. */
export function createLog(options: LogOptions, node: string): Log {
  return pino(
    {
      level: logLevel(options),
      base: { node },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ['password', '*.password', 'token', '*.token'], censor: '[secret]' },
    },
    destination({ dest: 2, sync: true }),
  );
}
