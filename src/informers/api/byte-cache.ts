/**
 * Values by the bytes that they were read from: what repeats from object to object is made once and found again by its text.
 * A list of pods says the same namespaces, node names, label maps and port lists thousands of times; decoding them each time was
 * half of what a first list cost. Direct-mapped and of fixed size. A text is kept from its second time on: those that come once
 * (names, addresses) push nothing out and are not held for longer than their object needs them. Pure.
 */

/** A cache of values made from bytes. */
export interface ByteCache<Value> {
  /** The value of these bytes, made by `make` when it is not known. `hash` is that of {@link hashBytes}. */
  find(bytes: Uint8Array, start: number, end: number, hash: number, make: () => Value): Value;
  /** The longest text that is kept. */
  readonly longest: number;
}

/** Start value of {@link hashStep}: FNV-1a's. */
export const HASH_START = 0x811c9dc5;

/** One step of the hash, for readers that pass over the bytes anyway. */
export const hashStep = (hash: number, byte: number): number => Math.imul(hash ^ byte, 0x01000193);

/** The hash of some bytes. */
export function hashBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = HASH_START;
  for (let at = start; at < end; at++) hash = hashStep(hash, bytes[at] as number);
  return hash;
}

/** Creates a cache of `slots` (a power of two) texts of up to `longest` bytes. */
export function createByteCache<Value>(slots: number, longest: number): ByteCache<Value> {
  const texts = new Uint8Array(slots * longest);
  /** Length and one: zero is an empty slot. */
  const lengths = new Uint16Array(slots);
  const values: Value[] = [];
  /** The hash seen last at a slot: who comes a second time in a row gets the place. */
  const last = new Int32Array(slots);

  const holds = (slot: number, bytes: Uint8Array, start: number, end: number): boolean => {
    const length = end - start;
    if (lengths[slot] !== length + 1) return false;
    const base = slot * longest;
    for (let index = 0; index < length; index++) if (texts[base + index] !== bytes[start + index]) return false;
    return true;
  };

  return {
    longest,
    find(bytes, start, end, hash, make) {
      if (end - start > longest) return make();
      const slot = (hash ^ (hash >>> 15)) & (slots - 1);
      if (holds(slot, bytes, start, end)) return values[slot] as Value;
      const value = make();
      if (last[slot] !== hash) {
        last[slot] = hash;
        return value;
      }
      texts.set(bytes.subarray(start, end), slot * longest);
      lengths[slot] = end - start + 1;
      values[slot] = value;
      return value;
    },
  };
}
