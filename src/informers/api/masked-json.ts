/**
 * JSON to the few fields that a planner reads: everything else is stepped over as bytes and never becomes an object.
 * Of a pod's 3 KB some 400 bytes are read; making the rest only to drop it is what makes informers large.
 * A mask is the shape of what is wanted; lists are transparent to it. Pure.
 */
import { HASH_START, createByteCache, hashBytes, hashStep } from './byte-cache.ts';

/** `true`: the whole value. An object: these keys of an object, or of every object in a list; `prefix*` stands for all keys that begin so. */
export type Mask = true | { readonly [key: string]: Mask };

interface Entry {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly node: Node;
}

/** A mask made ready; `undefined`: the whole value. */
type Node = { readonly entries: readonly Entry[]; readonly prefixes: readonly Entry[] } | undefined;

/** A parser for one mask. */
export type MaskedParser = (bytes: Buffer) => unknown;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Prepares a parser that reads what a mask wants. The parser throws SyntaxError for what is no JSON where it reads it. */
export function createMaskedParser(mask: Mask): MaskedParser {
  const root = compileMask(mask);
  return (bytes) => readWhole(bytes, root);
}

function compileMask(mask: Mask): Node {
  if (mask === true) return undefined;
  const entries: Entry[] = [];
  const prefixes: Entry[] = [];
  for (const [name, child] of Object.entries(mask)) {
    const prefix = name.endsWith('*');
    const key = prefix ? name.slice(0, -1) : name;
    (prefix ? prefixes : entries).push({ key, bytes: Buffer.from(key), node: compileMask(child) });
  }
  return { entries, prefixes };
}

/** Where reading is: shared by the functions below, which call each other only within one `readWhole`. */
let input: Buffer = Buffer.alloc(0);
let at = 0;

function readWhole(bytes: Buffer, root: Node): unknown {
  input = bytes;
  at = 0;
  const value = readValue(root);
  skipSpace();
  if (at < input.length) throw unexpected();
  input = EMPTY;
  return value;
}

const EMPTY: Buffer = Buffer.alloc(0);

function unexpected(): SyntaxError {
  return new SyntaxError(at < input.length ? `unexpected byte ${input[at]} at ${at}` : 'unexpected end');
}

function skipSpace(): void {
  // The API's JSON has no spaces: one look is mostly enough.
  if ((input[at] ?? 0x21) > 0x20) return;
  for (let code = input[at]; code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; code = input[at]) at++;
}

function readValue(node: Node): unknown {
  skipSpace();
  const code = input[at];
  // A part that is wanted whole is the engine's: it is faster than anything written here.
  if (code === 0x7b) return node === undefined ? readSlice() : readObject(node);
  if (code === 0x5b) return node === undefined ? readSlice() : readArray(node);
  if (code === QUOTE) return readString();
  return readScalar();
}

/** Texts and small whole values that repeat; the latter are frozen, for several objects share them. */
const texts = createByteCache<string>(4096, 64);
const parts = createByteCache<unknown>(1024, 384);

function readSlice(): unknown {
  const start = at;
  skipValue();
  const end = at;
  const parse = () => JSON.parse(input.toString('utf8', start, end)) as unknown;
  // The whole object of a kind without a mask is its reader's own.
  if (start === 0 || end - start > parts.longest) return parse();
  return parts.find(input, start, end, hashBytes(input, start, end), () => freeze(parse()));
}

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');

function isWord(start: number, end: number, word: Uint8Array): boolean {
  return end - start === word.length && matches(word, start);
}

function freeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}

/** `true`, `false`, `null` and plain whole numbers at once; everything else as the engine reads it. */
function readScalar(): unknown {
  const start = at;
  let code = input[at] ?? 0;
  let number = 0;
  while (code >= 0x30 && code <= 0x39 && at - start < 15) {
    number = number * 10 + code - 0x30;
    code = input[++at] ?? 0;
  }
  const digits = at - start;
  // A leading zero, a fraction or an exponent is not plain.
  const plain = digits > 0 && (digits === 1 || input[start] !== 0x30);
  if (plain && (code === COMMA || code === 0x7d || code === 0x5d || code <= 0x20)) return number;
  at = start;
  skipValue();
  const end = at;
  switch (end - start === 4 || end - start === 5 ? input[start] : 0) {
    case 0x74:
      if (isWord(start, end, TRUE)) return true;
      break;
    case 0x66:
      if (isWord(start, end, FALSE)) return false;
      break;
    case 0x6e:
      if (isWord(start, end, NULL)) return null;
      break;
    default:
      break;
  }
  return JSON.parse(input.toString('utf8', start, end)) as unknown;
}

function readArray(node: Node): unknown[] {
  const list: unknown[] = [];
  at++;
  skipSpace();
  if (input[at] === 0x5d) {
    at++;
    return list;
  }
  for (;;) {
    list.push(readValue(node));
    skipSpace();
    const code = input[at++];
    if (code === 0x5d) return list;
    if (code !== COMMA) {
      at--;
      throw unexpected();
    }
  }
}

function readObject(node: NonNullable<Node>): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  at++;
  skipSpace();
  if (input[at] === 0x7d) {
    at++;
    return object;
  }
  for (;;) {
    skipSpace();
    if (input[at] !== QUOTE) throw unexpected();
    const start = at;
    const plain = skipString();
    const end = at;
    skipSpace();
    if (input[at++] !== COLON) {
      at--;
      throw unexpected();
    }
    const entry = plain ? findEntry(node, start + 1, end - 1) : undefined;
    if (entry === undefined) {
      skipSpace();
      skipValue();
    } else {
      const exact = entry.bytes.length === end - start - 2;
      const key = exact ? entry.key : input.toString('utf8', start + 1, end - 1);
      if (key === '__proto__') skipValue();
      else object[key] = readValue(entry.node);
    }
    skipSpace();
    const code = input[at++];
    if (code === 0x7d) return object;
    if (code !== COMMA) {
      at--;
      throw unexpected();
    }
  }
}

function findEntry(node: NonNullable<Node>, start: number, end: number): Entry | undefined {
  const length = end - start;
  for (const entry of node.entries) if (entry.bytes.length === length && matches(entry.bytes, start)) return entry;
  for (const entry of node.prefixes) if (entry.bytes.length <= length && matches(entry.bytes, start)) return entry;
  return undefined;
}

function matches(bytes: Uint8Array, start: number): boolean {
  for (let index = 0; index < bytes.length; index++) if (input[start + index] !== bytes[index]) return false;
  return true;
}

/** Steps over a string; whether it had no escapes. */
function skipString(): boolean {
  let plain = true;
  at++;
  for (;;) {
    const code = input[at];
    if (code === QUOTE) {
      at++;
      return plain;
    }
    if (code === undefined) throw unexpected();
    if (code === BACKSLASH) {
      plain = false;
      at++;
    }
    at++;
  }
}

function readString(): string {
  const start = ++at;
  let hash = HASH_START;
  let ascii = true;
  for (;;) {
    const code = input[at];
    if (code === QUOTE) break;
    if (code === undefined) throw unexpected();
    if (code === BACKSLASH) {
      at = start - 1;
      skipString();
      return JSON.parse(input.toString('utf8', start - 1, at)) as string;
    }
    if (code >= 0x80) ascii = false;
    hash = hashStep(hash, code);
    at++;
  }
  const end = at++;
  if (!ascii) return input.toString('utf8', start, end);
  return texts.find(input, start, end, hash, () => input.toString('latin1', start, end));
}

/** Steps over any value: strings and the balance of brackets are what counts. */
function skipValue(): void {
  const code = input[at];
  if (code === QUOTE) {
    skipString();
    return;
  }
  if (code === 0x7b || code === 0x5b) {
    let depth = 0;
    do {
      const now = input[at];
      if (now === QUOTE) {
        skipString();
        continue;
      }
      if (now === 0x7b || now === 0x5b) depth++;
      else if (now === 0x7d || now === 0x5d) depth--;
      else if (now === undefined) throw unexpected();
      at++;
    } while (depth > 0);
    return;
  }
  const start = at;
  for (
    let now = code;
    now !== undefined && now !== COMMA && now !== 0x7d && now !== 0x5d && now > 0x20;
    now = input[at]
  )
    at++;
  if (at === start) throw unexpected();
}
