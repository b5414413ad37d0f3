/**
 * SHA-256 in plain integers, and the short names made of it.
 * Names of sets and chains are hashes of length-delimited keys, so that no two different keys can meet in one name by the
 * choice of their texts. Pure code may not import `node:crypto`, and this is the only digest that the block needs.
 */

const K = new Uint32Array(64);
const INITIAL = new Uint32Array(8);

/** Fractional bits of roots of the first primes (FIPS 180-4 section 4.2.2). */
function initialise(): void {
  const fraction = (value: number): number => Math.floor((value - Math.floor(value)) * 0x1_0000_0000);
  let found = 0;
  for (let candidate = 2; found < 64; candidate++) {
    let prime = true;
    for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) prime = false;
    if (!prime) continue;
    if (found < 8) INITIAL[found] = fraction(Math.sqrt(candidate));
    K[found++] = fraction(Math.cbrt(candidate));
  }
}
initialise();

const rotate = (word: number, by: number): number => (word >>> by) | (word << (32 - by));
const schedule = new Int32Array(64);
const encoder = new TextEncoder();

function block(state: Int32Array, view: DataView, offset: number): void {
  for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(offset + i * 4);
  for (let i = 16; i < 64; i++) {
    const w15 = schedule[i - 15]!;
    const w2 = schedule[i - 2]!;
    const s0 = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >>> 3);
    const s1 = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >>> 10);
    schedule[i] = (schedule[i - 16]! + s0 + schedule[i - 7]! + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const t1 = (h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[i]! + schedule[i]!) | 0;
    const t2 = ((rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}

/** SHA-256 of a text's UTF-8 bytes (FIPS 180-4); eight words. */
export function sha256(text: string): Int32Array {
  const bytes = encoder.encode(text);
  const padded = new Uint8Array((((bytes.length + 8) >> 6) + 1) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 0x2000_0000));
  view.setUint32(padded.length - 4, (bytes.length << 3) >>> 0);
  const state = new Int32Array(INITIAL);
  for (let offset = 0; offset < padded.length; offset += 64) block(state, view, offset);
  return state;
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Joins the parts of a key so that different lists never give the same text: each part is preceded by its length. */
export function delimited(parts: readonly string[]): string {
  let text = '';
  for (const part of parts) text += `${part.length}:${part}`;
  return text;
}

/** Sixteen base32 characters (80 bits) of the SHA-256 of a length-delimited key. */
export function shortHash(...parts: readonly string[]): string {
  const words = sha256(delimited(parts));
  let bits = 0n;
  for (let i = 0; i < 3; i++) bits = (bits << 32n) | BigInt(words[i]! >>> 0);
  bits >>= 16n;
  let out = '';
  for (let shift = 75n; shift >= 0n; shift -= 5n) out += ALPHABET[Number((bits >> shift) & 31n)];
  return out;
}
