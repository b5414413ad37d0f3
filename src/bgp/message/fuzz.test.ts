import { expect, it } from 'vitest';
import { fuzz } from '../../../test/fuzz/bgp.ts';

it('holds its promises for any octets: a bounded share of the fuzzer', () => {
  const { count, behaviours, slowest } = fuzz(40_000, 4271);
  expect(count).toBe(40_000);
  // Far fewer would mean that mutations no longer reach the decoders.
  expect(behaviours).toBeGreaterThan(1000);
  expect(slowest).toBeLessThan(1000);
}, 60_000);
