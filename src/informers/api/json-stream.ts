/**
 * Finding the objects in a stream of JSON without holding or parsing the whole: items of a list, events of a watch.
 * A list of 50,000 pods is 150 MB that would block the loop for seconds in one `JSON.parse`; object by object it never does.
 * Bytes in, the bytes of whole objects out, valid until the call returns; pure.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const LINE_FEED = 0x0a;

/** Cuts a stream into pieces. */
export interface Cutter {
  /** Takes the next bytes; calls back for every piece that they complete. */
  push(chunk: Uint8Array): void;
  /** Bytes held for a piece that is not complete. */
  readonly held: number;
}

/** Error text for a piece that outgrows its limit. */
export const TOO_LONG = 'an object is longer than';

/** Collects the bytes of one piece over chunks. */
function createCarry(limit: number) {
  let parts: Buffer[] = [];
  let length = 0;
  return {
    get length() {
      return length;
    },
    keep(part: Buffer) {
      if (part.length === 0) return;
      length += part.length;
      if (length > limit) throw new RangeError(`${TOO_LONG} ${limit} bytes`);
      // A copy: the chunk may be a window of a pool that is used again.
      parts.push(Buffer.from(part));
    },
    take(last: Buffer): Buffer {
      if (parts.length === 0) return last;
      const whole = Buffer.concat([...parts, last]);
      parts = [];
      length = 0;
      return whole;
    },
  };
}

/** Cuts at line feeds; empty lines are passed over. The watch protocol is one JSON object a line. */
export function createLineCutter(onLine: (bytes: Buffer) => void, limit = 64 * 1024 * 1024): Cutter {
  const carry = createCarry(limit);
  return {
    get held() {
      return carry.length;
    },
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let start = 0;
      for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
        const line = carry.take(bytes.subarray(start, end));
        start = end + 1;
        if (line.some((code) => code > 0x20)) onLine(line);
      }
      carry.keep(bytes.subarray(start));
    },
  };
}

/** Cuts a list answer into its items; the rest of it remains. */
export interface ListCutter extends Cutter {
  /** Everything but the items, once the answer is complete; `undefined` before. */
  readonly rest: string | undefined;
}

/** Cuts the elements of the top level's `items` out of a JSON object, whether it comes before or after the other fields. */
export function createListCutter(onItem: (bytes: Buffer) => void, limit = 64 * 1024 * 1024): ListCutter {
  const item = createCarry(limit);
  const rest: Buffer[] = [];
  let restLength = 0;
  let done = false;
  let depth = 0;
  let inString = false;
  let escaped = false;
  let inItems = false;
  /** Reading a string at depth 1: the last one before a colon is the key. */
  let key: number[] = [];
  let lastKey = '';
  let expectValue = false;

  const keepRest = (part: Buffer) => {
    if (part.length === 0) return;
    restLength += part.length;
    if (restLength > limit) throw new RangeError(`${TOO_LONG} ${limit} bytes`);
    rest.push(Buffer.from(part));
  };

  return {
    get held() {
      return item.length;
    },
    get rest() {
      return done ? Buffer.concat(rest).toString('utf8') : undefined;
    },
    push(chunk) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      /** Where what is not yet handed on begins: of an item while in one, of the rest otherwise. */
      let start = 0;
      for (let at = 0; at < bytes.length; at++) {
        const code = bytes[at] as number;
        if (inString) {
          if (escaped) escaped = false;
          else if (code === BACKSLASH) escaped = true;
          else if (code === QUOTE) {
            inString = false;
            continue;
          }
          if (depth === 1 && key.length < 16) key.push(code);
          continue;
        }
        switch (code) {
          case QUOTE:
            inString = true;
            if (depth === 1) key = [];
            break;
          case COLON:
            if (depth === 1) {
              lastKey = String.fromCharCode(...key);
              expectValue = true;
            }
            break;
          case OPEN_BRACE:
          case OPEN_BRACKET:
            if (depth === 1 && expectValue && lastKey === 'items' && code === OPEN_BRACKET) {
              inItems = true;
              keepRest(bytes.subarray(start, at + 1));
            } else if (inItems && depth === 2) start = at;
            if (depth === 1) expectValue = false;
            depth++;
            break;
          case CLOSE_BRACE:
          case CLOSE_BRACKET:
            depth--;
            if (inItems && depth === 2) {
              onItem(item.take(bytes.subarray(start, at + 1)));
              start = at + 1;
            } else if (inItems && depth === 1) {
              inItems = false;
              start = at;
            } else if (depth === 0) {
              keepRest(bytes.subarray(start, at + 1));
              done = true;
              return;
            }
            break;
          default:
            break;
        }
      }
      // In `items` and between two of them there are commas and spaces only.
      if (!inItems) keepRest(bytes.subarray(start));
      else if (depth > 2) item.keep(bytes.subarray(start));
    },
  };
}
