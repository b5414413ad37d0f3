import { expect, test } from 'vitest';
import { createSiblings } from './siblings.ts';

const node = {
  lo: [{ address: '127.0.0.1' }, { address: '::1' }],
  eth0: [{ address: '192.0.2.1' }, { address: 'FD00::0:1' }, { address: 'fe80::1%eth0' }],
  vips: [{ address: '10.96.0.1' }],
};

test('the other addresses of the same interface, and of no other', () => {
  const siblings = createSiblings(() => node);
  const eth0 = { ipv4: '192.0.2.1', ipv6: 'fd00::1', linkLocal: 'fe80::1' };
  for (const address of ['192.0.2.1', 'fd00::1', 'fe80::1']) expect(siblings(address)).toEqual(eth0);
  expect(siblings('10.96.0.1')).toEqual({ ipv4: '10.96.0.1' });
  expect(siblings('192.0.2.9')).toEqual({});
});

test('a crowd of sessions reads them once, a later one again; what was not found is not remembered', () => {
  let reads = 0;
  let time = 0;
  let links: NodeJS.Dict<{ address: string }[]> = { eth0: [{ address: '192.0.2.1' }] };
  const siblings = createSiblings(
    () => (reads++, links),
    () => time,
  );
  for (let session = 0; session < 50; session++) siblings('192.0.2.1');
  expect(reads).toBe(1);
  time = 1000;
  expect(siblings('192.0.2.1')).toEqual({ ipv4: '192.0.2.1' });
  expect(reads).toBe(2);
  expect(siblings('fd00::1')).toEqual({});
  links = { eth0: [{ address: '192.0.2.1' }, { address: 'fd00::1' }] };
  expect(siblings('fd00::1')).toEqual({ ipv4: '192.0.2.1', ipv6: 'fd00::1' });
});
