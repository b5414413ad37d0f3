/**
 * Cuts a byte stream into messages without copying them: whole messages are handed out where they lie in the chunk.
 * Only a message cut by the end of a chunk is copied, into one carry buffer that is used again; its memory is bounded by
 * the longest message allowed. Header faults end the stream: no message after one is handed out.
 * Stands on header.ts; sessions feed it.
 */
import { NOTHING, u16 } from './bytes.ts';
import { HEADER_LENGTH, MAX_MESSAGE_LENGTH } from './constants.ts';
import { checkHeader, type HeaderFault } from './header.ts';

/** Takes one whole message; its bytes are valid during the call only. Returning `false` stops the framer for good. */
export type MessageHandler = (
  bytes: Uint8Array,
  offset: number,
  length: number,
  type: number,
) => boolean | undefined | void;

/** Options of {@link createFramer}. */
export interface FramerOptions {
  /** Longest message accepted, in octets, header included. @defaultValue 4096 */
  readonly maxLength?: number;
}

/** A stream cutter for one connection. */
export interface Framer {
  /** Takes a chunk and hands out every message it completes; returns the fault that ended the stream, if one did. */
  push(chunk: Uint8Array, onMessage: MessageHandler): HeaderFault | undefined;
  /** Allows longer messages from the next header on, once the extended message capability is negotiated (RFC 8654). */
  setMaxLength(maxLength: number): void;
  /** Octets of an unfinished message held back. */
  readonly pending: number;
}

/** Makes a {@link Framer}; `maxLength` as a number is the same as the option. */
export function createFramer(options: FramerOptions | number = {}): Framer {
  let maxLength = (typeof options === 'number' ? options : options.maxLength) ?? MAX_MESSAGE_LENGTH;
  let carry: Uint8Array = NOTHING;
  let held = 0;
  let stopped = false;
  let fault: HeaderFault | undefined;

  const reserve = (length: number): void => {
    if (carry.length >= length) return;
    const grown = new Uint8Array(length);
    grown.set(carry.subarray(0, held));
    carry = grown;
  };
  const hold = (chunk: Uint8Array, from: number, to: number): void => {
    reserve(Math.max(HEADER_LENGTH, held + to - from));
    carry.set(chunk.subarray(from, to), held);
    held += to - from;
  };
  const end = (found: HeaderFault): HeaderFault => {
    stopped = true;
    held = 0;
    fault = found;
    return found;
  };

  const push = (chunk: Uint8Array, onMessage: MessageHandler): HeaderFault | undefined => {
    if (stopped) return fault;
    let at = 0;
    if (held > 0) {
      if (held < HEADER_LENGTH) {
        const take = Math.min(HEADER_LENGTH - held, chunk.length);
        hold(chunk, 0, take);
        at = take;
        if (held < HEADER_LENGTH) return undefined;
      }
      const wrong = checkHeader(carry, 0, maxLength);
      if (wrong !== undefined) return end(wrong);
      const length = u16(carry, 16);
      const take = Math.min(length - held, chunk.length - at);
      // The whole message's room at once, so that one octet at a time does not copy the carry over and over.
      reserve(length);
      hold(chunk, at, at + take);
      at += take;
      if (held < length) return undefined;
      held = 0;
      if (onMessage(carry, 0, length, carry[18] ?? 0) === false) {
        stopped = true;
        return undefined;
      }
    }
    while (chunk.length - at >= HEADER_LENGTH) {
      const wrong = checkHeader(chunk, at, maxLength);
      if (wrong !== undefined) return end(wrong);
      const length = u16(chunk, at + 16);
      if (chunk.length - at < length) break;
      if (onMessage(chunk, at, length, chunk[at + 18] ?? 0) === false) {
        stopped = true;
        return undefined;
      }
      at += length;
    }
    if (at < chunk.length) hold(chunk, at, chunk.length);
    return undefined;
  };

  return {
    push,
    setMaxLength(next) {
      maxLength = next;
    },
    get pending() {
      return held;
    },
  };
}
