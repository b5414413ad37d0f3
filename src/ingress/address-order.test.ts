import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareAddresses, parseAddress } from '../net/address.ts';
import { createAddressOrder } from './address-order.ts';

test('IPv4 by number, then IPv6; a value may be replaced', () => {
  const order = createAddressOrder<string>();
  for (const address of ['10.0.0.10', '2001:db8::1', '9.255.0.1', '10.0.0.9']) order.set(address, address);
  expect(order.values()).toEqual(['9.255.0.1', '10.0.0.9', '10.0.0.10', '2001:db8::1']);
  order.set('10.0.0.9', 'another');
  expect(order.delete('9.255.0.1')).toBe(true);
  expect(order.delete('9.255.0.1')).toBe(false);
  expect(order.values()).toEqual(['another', '10.0.0.10', '2001:db8::1']);
});

test('whatever comes and goes between lists, few or many: the same as sorting', () => {
  const step = fc.record({
    address: fc.nat(150).map((n) => (n % 3 === 0 ? `2001:db8::${n.toString(16)}` : `10.0.${n & 1}.${n}`)),
    add: fc.boolean(),
    list: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const order = createAddressOrder<string>();
      const naive = new Set<string>();
      for (const { address, add, list } of steps) {
        if (add) {
          order.set(address, address);
          naive.add(address);
        } else expect(order.delete(address)).toBe(naive.delete(address));
        if (list)
          expect(order.values()).toEqual([...naive].sort((a, b) => compareAddresses(parseAddress(a), parseAddress(b))));
      }
    }),
  );
});
