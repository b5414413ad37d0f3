/**
 * The digest against the platform's own, and names that cannot be made to meet.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { delimited, sha256, shortHash } from './hash.ts';

const hex = (words: Int32Array): string =>
  [...words].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');

test('is SHA-256 for any text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 150 }), (text) => {
      const bytes = new TextEncoder().encode(text);
      expect(hex(sha256(text))).toBe(createHash('sha256').update(bytes).digest('hex'));
    }),
    { numRuns: 20 },
  );
});

test('keys that read alike when joined have different names', () => {
  expect(delimited(['a', 'bc'])).not.toBe(delimited(['ab', 'c']));
  expect(shortHash('a', 'bc')).not.toBe(shortHash('ab', 'c'));
  expect(shortHash('1:a')).not.toBe(shortHash('a'));
});

test('a name is the first 80 bits of the digest in base32', () => {
  const first = createHash('sha256').update('1:a').digest().subarray(0, 10);
  const bits = [...first].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const letters = bits.match(/.{5}/g)!.map((five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)]);
  expect(shortHash('a')).toBe(letters.join(''));
});
