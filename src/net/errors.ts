/**
 * The error taxonomy of every block: one base class, stable codes, facts instead of prose.
 * Code that catches an error decides by `code` and `retryable`, never by message text; `isSdkError` recognises errors of
 * another copy of this package in the same process by their brand.
 * Stands at the bottom: imports nothing.
 */

const BRAND = Symbol.for('kube-router-sdk.error');

/** Every code that an {@link SdkError} can carry; docs/errors.md describes each. */
export type ErrorCode =
  /**
   * Text is not an address in the strict grammar (RFC 4291 section 2.2, dotted quad without leading zeros).
   *
   * Write the address out: no leading zeros, no short forms, no text behind it. `details.text` is what was given. To
   * try without an error, use `tryParseAddress`.
   */
  | 'INVALID_ADDRESS'
  /**
   * Text is not a prefix, its length is out of range, or host bits are set where they may not be.
   *
   * Write `address/length`. Where host bits may be set (an interface's address), pass `hostBits: 'mask'`; to try
   * without an error, use `tryParsePrefix`.
   */
  | 'INVALID_PREFIX'
  /**
   * An option or configuration value is unusable; `details.path` names it.
   *
   * Correct the option at `details.path`; nothing was started. The agent ends with 2 and prints the flag or the line
   * of its file.
   */
  | 'INVALID_OPTION'
  /**
   * A Kubernetes object has a field of the wrong type or value; `details.object` and `details.field` name it.
   *
   * Correct the object; others are not affected. Where a stream of objects is read, this is an issue of that object
   * and never an error.
   */
  | 'INVALID_OBJECT'
  /**
   * A child process ran and failed; `details` has file, args, exitCode, stderr and, where known, the failing line.
   *
   * Read `details.stderr` and `details.lineText`, the refused line of a batch. `reconcile()` reads the kernel again and
   * retries; when it persists, run the command of `details` by hand in the same network namespace.
   */
  | 'COMMAND_FAILED'
  /**
   * The program is not installed.
   *
   * Install the program that `details.file` names (Debian: iptables, ipset, ipvsadm, conntrack, nftables, iproute2),
   * or put its folder into `PATH`.
   */
  | 'COMMAND_NOT_FOUND'
  /**
   * A child process was ended because it took too long.
   *
   * The command and its children were killed. It often waits for a lock that another program holds
   * (`/run/xtables.lock`); the next pass tries again.
   */
  | 'COMMAND_TIMEOUT'
  /**
   * The kernel lacks a feature or module.
   *
   * Load the module that the message names, or use a kernel that has it; the block works without the feature where
   * it can, and says so.
   */
  | 'KERNEL_UNSUPPORTED'
  /**
   * The caller lacks a privilege (capability or uid).
   *
   * Run with the capabilities that the message names (NET_ADMIN, NET_RAW; SYS_ADMIN to enter a pod's network). Pure
   * halves need none.
   */
  | 'PERMISSION_DENIED'
  /**
   * Text printed by a tool or read from the kernel could not be understood.
   *
   * The tool is of a version whose output is not known, or something else answers under its name: `details` has the
   * text. Please report it with the version.
   */
  | 'PARSE_FAILED'
  /**
   * The operation was ended by its `AbortSignal` or by `close()`.
   *
   * Nothing is wrong: somebody asked for the end. Do not retry.
   */
  | 'ABORTED'
  /**
   * The Kubernetes API answered with an error; `details.status` is the HTTP status, `details.reason` the API's reason.
   *
   * 403: the service account lacks a right (`kubectl auth can-i`). 404: the kind is not served. 409: read again and
   * repeat. 429 and 503: `retryable`, the sources wait as the answer asks.
   */
  | 'API_ERROR'
  /**
   * The Kubernetes API could not be reached or the connection broke.
   *
   * Look at the address, the route and the certificate; `cause` is the socket's own error. Sources retry for ever, keep what they know,
   * and say since when they are out of touch.
   */
  | 'API_UNREACHABLE'
  /**
   * The container runtime (CRI) could not be reached or refused to answer; `details.endpoint` is its socket.
   *
   * Check `--runtime-endpoint` and that the socket is mounted into the container. Pods with direct server return
   * stay as they are meanwhile.
   */
  | 'RUNTIME_UNREACHABLE'
  /**
   * A socket option such as TCP MD5 is not to be had on this system.
   *
   * Node 26 has them by `node:ffi`; on an older one install the package koffi. Without either leave `password` and
   * `ttlSecurity` out.
   */
  | 'SOCKET_UNSUPPORTED'
  /**
   * Someone else owns the name or resource that was to be created.
   *
   * The message names what is held and by whom. Nothing of it was touched; free it, or choose another name.
   */
  | 'CONFLICT';

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
