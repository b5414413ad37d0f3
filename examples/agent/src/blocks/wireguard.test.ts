/** The node's WireGuard key: made once, kept, and the public half right. */
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { wireguardPublicKey } from './wireguard.ts';

const folder = mkdtempSync(join(tmpdir(), 'kr-wg-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('made once, for nobody else to read, and the same for ever', () => {
  const path = join(folder, 'state', 'wireguard.key');
  const key = wireguardPublicKey(path);
  expect(key).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(wireguardPublicKey(path)).toBe(key);
  expect(readFileSync(path, 'utf8')).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
});

test('a key that is there already is used, and its public half is the one of its pair', () => {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const base64 = (text = ''): string => Buffer.from(text, 'base64url').toString('base64');
  const path = join(folder, 'given.key');
  writeFileSync(path, `${base64(privateKey.export({ format: 'jwk' }).d)}\n`);
  expect(wireguardPublicKey(path)).toBe(base64(publicKey.export({ format: 'jwk' }).x));
});
