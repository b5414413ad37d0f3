/**
 * The error taxonomy of every block: one base class, stable codes, facts instead of prose.
 * Code that catches an error decides by `code` and `retryable`, never by message text; `isSdkError` recognises errors of
 * another copy of this package in the same process by their brand.
 * Stands at the bottom: imports nothing.
 */

const BRAND = Symbol.for('kube-router-sdk.error');

/** Every code that an {@link SdkError} can carry; docs/errors.md describes each. */
export type ErrorCode =
  /** Text is not an address in the strict grammar (RFC 4291 section 2.2, dotted quad without leading zeros). */
  | 'INVALID_ADDRESS'
  /** Text is not a prefix, its length is out of range, or host bits are set where they may not be. */
  | 'INVALID_PREFIX'
  /** An option or configuration value is unusable; `details.path` names it. */
  | 'INVALID_OPTION'
  /** A Kubernetes object has a field of the wrong type or value; `details.object` and `details.field` name it. */
  | 'INVALID_OBJECT'
  /** A child process ran and failed; `details` has file, args, exitCode, stderr and, where known, the failing line. */
  | 'COMMAND_FAILED'
  /** The program is not installed. */
  | 'COMMAND_NOT_FOUND'
  /** A child process was ended because it took too long. */
  | 'COMMAND_TIMEOUT'
  /** The kernel lacks a feature or module. */
  | 'KERNEL_UNSUPPORTED'
  /** The caller lacks a privilege (capability or uid). */
  | 'PERMISSION_DENIED'
  /** Text printed by a tool or read from the kernel could not be understood. */
  | 'PARSE_FAILED'
  /** The operation was ended by its `AbortSignal` or by `close()`. */
  | 'ABORTED'
  /** The Kubernetes API answered with an error; `details.status` is the HTTP status, `details.reason` the API's reason. */
  | 'API_ERROR'
  /** The Kubernetes API could not be reached or the connection broke. */
  | 'API_UNREACHABLE'
  /** The container runtime (CRI) could not be reached or refused to answer; `details.endpoint` is its socket. */
  | 'RUNTIME_UNREACHABLE'
  /** A malformed or unacceptable BGP message; `details` has the NOTIFICATION code and subcode (RFC 4271 section 6). */
  | 'BGP_PROTOCOL'
  /** A socket option such as TCP MD5 is not to be had on this system. */
  | 'SOCKET_UNSUPPORTED'
  /** Someone else owns the name or resource that was to be created. */
  | 'CONFLICT'
  /** A pool, range or table is full. */
  | 'EXHAUSTED';

/** What an {@link SdkError} is made from. */
export interface SdkErrorOptions {
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without anyone changing its input. @defaultValue false */
  readonly retryable?: boolean;
  readonly cause?: unknown;
  /** Facts for programs: plain JSON values. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class that public functions throw or streams carry. */
export class SdkError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(message: string, options: SdkErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SdkError';
    this.code = options.code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Whether a value is an {@link SdkError}, of this or of another copy of the package; with `code`, of that code. */
export function isSdkError(value: unknown, code?: ErrorCode): value is SdkError {
  if (typeof value !== 'object' || value === null || !(BRAND in value)) return false;
  return code === undefined || (value as { code?: unknown }).code === code;
}
