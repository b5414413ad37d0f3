/**
 * The kinds of value that a flag can have: how Go's flag library reads each, how it is printed, what it looks like in YAML.
 * One definition serves the command line, the environment and the configuration file, so that all three refuse the same
 * input with the same words. Pure.
 */
import { canonicalAddress, canonicalPrefix } from 'kube-router-sdk/net';

/** One flag: its kind, default and meaning. */
export interface FlagSpec<T> {
  /** Name of the value in `--help`; absent for booleans. */
  readonly metavar?: string;
  readonly default: T;
  readonly help: string;
  /** One letter, used with one dash. */
  readonly short?: string;
  /** Commas and repetition add up. */
  readonly list: boolean;
  /** Reads all texts given for the flag, in order; throws an `Error` whose message says what was expected. */
  readonly parse: (texts: readonly string[]) => T;
  /** The value as the command line would write it. */
  readonly format: (value: T) => string;
  /** JSON Schema of the value in the configuration file. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** Said once as a warning when the flag is set away from its default. */
  readonly warning?: string;
  /** Never printed with its value. */
  readonly secret?: boolean;
}

/** What a builder below takes beside default and help. */
export interface FlagExtras<T> {
  readonly metavar?: string;
  readonly short?: string;
  readonly warning?: string;
  readonly secret?: boolean;
  /** Says what is wrong with a value that parsed, or nothing. */
  readonly check?: (value: T) => string | undefined;
}

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);
const NANOSECONDS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/**
 * Reads a Go duration such as `1h30m`, `1.5s` or `300ms`.
 * @returns milliseconds
 */
export function parseDuration(text: string): number {
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (text === '0') return 0;
  if (match === null) throw new Error(`'${text}' is not a duration; write it like 90s, 5m or 1h30m`);
  let nanoseconds = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    nanoseconds += Number(amount) * (NANOSECONDS[unit ?? ''] ?? 0);
  }
  return ((match[1] === '-' ? -1 : 1) * nanoseconds) / 1e6;
}

/** Prints milliseconds as Go does: `5m0s`, `1h0m0s`, `300ms`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms === 0) return '0s';
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

/** Reads a boolean as Go's strconv does. */
export function parseBoolean(text: string): boolean {
  if (TRUE.has(text)) return true;
  if (FALSE.has(text)) return false;
  throw new Error(`'${text}' is not a boolean; use true or false`);
}

function parseInteger(text: string, min: number, max: number): number {
  const value = /^(?:\d+|0[xX][0-9a-fA-F]+)$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new Error(`'${text}' is not a whole number from ${min} to ${max}`);
  }
  return value;
}

const last = (texts: readonly string[]): string => texts[texts.length - 1] ?? '';

const split = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => (text === '' ? [] : text.split(',').map((item) => item.trim())));

function spec<T>(
  base: Omit<FlagSpec<T>, 'parse'>,
  read: (texts: readonly string[]) => T,
  extras: FlagExtras<T>,
): FlagSpec<T> {
  const { check, ...rest } = extras;
  return {
    ...base,
    ...rest,
    parse: (texts) => {
      const value = read(texts);
      const wrong = check?.(value);
      if (wrong !== undefined) throw new Error(wrong);
      return value;
    },
  };
}

/** A boolean: `--x`, `--x=true`, `--x=false`. */
export const bool = (value: boolean, help: string, extras: FlagExtras<boolean> = {}): FlagSpec<boolean> =>
  spec(
    { default: value, help, list: false, format: String, schema: { type: 'boolean' } },
    (t) => parseBoolean(last(t)),
    extras,
  );

/** Free text. */
export const text = (value: string, help: string, extras: FlagExtras<string> = {}): FlagSpec<string> =>
  spec(
    { metavar: 'string', default: value, help, list: false, format: String, schema: { type: 'string' } },
    last,
    extras,
  );

/** One of a few words. */
export const choice = <const T extends string>(
  choices: readonly T[],
  value: NoInfer<T>,
  help: string,
  extras: FlagExtras<T> = {},
): FlagSpec<T> =>
  spec(
    { metavar: choices.join('|'), default: value, help, list: false, format: String, schema: { enum: choices } },
    (t) => {
      const found = choices.find((word) => word === last(t));
      if (found === undefined) throw new Error(`'${last(t)}' is not one of ${choices.join(', ')}`);
      return found;
    },
    extras,
  );

/** A whole number within bounds, both included. */
export const integer = (
  value: number,
  [min, max]: readonly [number, number],
  help: string,
  extras: FlagExtras<number> = {},
): FlagSpec<number> =>
  spec(
    {
      metavar: 'int',
      default: value,
      help,
      list: false,
      format: String,
      schema: { type: 'integer', minimum: min, maximum: max },
    },
    (t) => parseInteger(last(t), min, max),
    extras,
  );

/** A Go duration within bounds, both included; milliseconds inside. */
export const duration = (
  value: string,
  [min, max]: readonly [string, string],
  help: string,
  extras: FlagExtras<number> = {},
): FlagSpec<number> =>
  spec(
    {
      metavar: 'duration',
      default: parseDuration(value),
      help,
      list: false,
      format: formatDuration,
      schema: { type: 'string', description: 'Go duration, e.g. 5m' },
    },
    (t) => {
      const ms = parseDuration(last(t));
      if (ms < parseDuration(min) || ms > parseDuration(max)) {
        throw new Error(`'${last(t)}' is outside ${min} to ${max}`);
      }
      return ms;
    },
    extras,
  );

const listSchema = (items: unknown): Readonly<Record<string, unknown>> => ({
  anyOf: [{ type: 'array', items }, { type: 'string' }],
});

const listOf = <T>(
  metavar: string,
  items: unknown,
  value: readonly T[],
  help: string,
  read: (item: string) => T,
  extras: FlagExtras<readonly T[]>,
): FlagSpec<readonly T[]> =>
  spec(
    { metavar, default: value, help, list: true, format: (list) => list.join(','), schema: listSchema(items) },
    (t) => split(t).map(read),
    extras,
  );

/** Words; an empty item between commas stays an empty word. */
export const words = (help: string, extras: FlagExtras<readonly string[]> = {}): FlagSpec<readonly string[]> =>
  listOf('strings', { type: 'string' }, [], help, (item) => item, extras);

/** File names: repeated only, since a comma may be part of a name. */
export const paths = (help: string, extras: FlagExtras<readonly string[]> = {}): FlagSpec<readonly string[]> =>
  spec<readonly string[]>(
    {
      metavar: 'path',
      default: [],
      help,
      list: true,
      format: (list) => list.join(','),
      schema: listSchema({ type: 'string' }),
    },
    (t) => t.filter((item) => item !== ''),
    extras,
  );

/** Whole numbers, each within bounds. */
export const integers = (
  [min, max]: readonly [number, number],
  help: string,
  extras: FlagExtras<readonly number[]> = {},
): FlagSpec<readonly number[]> =>
  listOf('ints', { type: 'integer' }, [], help, (item) => parseInteger(item, min, max), extras);

/** IP addresses, canonical inside. */
export const addresses = (help: string, extras: FlagExtras<readonly string[]> = {}): FlagSpec<readonly string[]> =>
  listOf('ips', { type: 'string' }, [], help, canonicalAddress, extras);

/** CIDRs, canonical inside; host bits are masked as Go's ParseCIDR does. */
export const prefixes = (
  value: readonly string[],
  help: string,
  extras: FlagExtras<readonly string[]> = {},
): FlagSpec<readonly string[]> =>
  listOf('cidrs', { type: 'string' }, value, help, (item) => canonicalPrefix(item, { hostBits: 'mask' }), extras);

/** Whether an optional address is one: empty stays empty. */
export function checkAddress(value: string): string | undefined {
  if (value === '') return undefined;
  try {
    canonicalAddress(value);
    return undefined;
  } catch {
    return `'${value}' is not an IP address`;
  }
}
