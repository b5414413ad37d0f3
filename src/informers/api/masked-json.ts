/**
 * JSON to the few fields that a planner reads: everything else is stepped over as bytes and never becomes an object.
 * Of a pod's 3 KB some 400 bytes are read; making the rest only to drop it is what makes informers large.
 * A mask is the shape of what is wanted; lists are transparent to it. Pure.
 */

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
  for (let code = input[at]; code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09; code = input[at]) at++;
}

function readValue(node: Node): unknown {
  skipSpace();
  const code = input[at];
  // A part that is wanted whole is the engine's: it is faster than anything written here.
  if (code === 0x7b) return node === undefined ? readSlice() : readObject(node);
  if (code === 0x5b) return node === undefined ? readSlice() : readArray(node);
  if (code === QUOTE) return readString();
  return readSlice();
}

function readSlice(): unknown {
  const start = at;
  skipValue();
  return JSON.parse(input.toString('utf8', start, at)) as unknown;
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
  const start = at;
  if (skipString()) return input.toString('utf8', start + 1, at - 1);
  return JSON.parse(input.toString('utf8', start, at)) as string;
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
