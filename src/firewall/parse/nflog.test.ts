/**
 * The NFLOG reader on what tcpdump printed for real packets.
 */
import { expect, test } from 'vitest';
import { createNflogReader } from './nflog.ts';

const SYN = `05:30:49.355100 IP 10.1.0.2.59806 > 10.1.0.1.80: Flags [S], seq 1651224632, win 64240, length 0
	0x0000:  0200 0064 0800 0100 0800 0200 2300 0a00
	0x0010:  696e 6772 6573 7320 4142 4344 4546 4748
	0x0020:  494a 4b4c 4d4e 4f50 2078 2f70 6f6c 0000
	0x0030:  0800 0400 0000 0003 0800 0500 0000 0002
	0x0040:  1000 0800 0006 0000 6ebc ba16 531b 0000
	0x0050:  0600 0f00 0001 0000 0600 1100 000e 0000
	0x0060:  1200 1000 dec5 2e8c f1e5 6ebc ba16 531b
	0x0070:  0800 0000 1400 0300 0000 0000 6b03 cf88
	0x0080:  0000 0000 0004 bc23 4000 0900 4500 003c
	0x0090:  8285 4000 3f06 a532 0a01 0002 0a01 0001
	0x00a0:  e99e 0050 626b b038 0000 0000 a002 faf0
	0x00b0:  1433 0000 0204 05b4 0402 080a a6d3 1d85
	0x00c0:  0000 0000 0103 030a`;

const EMPTY = `05:30:49.385528  [|nflog]
	0x0000:  0200 0064 0800 0100 0800 0200 2300 0a00
	0x0010:  696e 6772 6573 7320 4142 4344 4546 4748
	0x0020:  494a 4b4c 4d4e 4f50 2078 2f70 6f6c 0000
	0x0030:  0800 0400 0000 0002 0000 0000 0000 0000`;

test('reads prefix, addresses, protocol and port, once a packet, and passes over what is no packet', () => {
  const read = createNflogReader();
  const found = `${SYN}\n${EMPTY}\n${SYN}`.split('\n').flatMap((line) => read(line) ?? []);
  const packet = {
    prefix: 'ingress ABCDEFGHIJKLMNOP x/pol',
    source: '10.1.0.2',
    destination: '10.1.0.1',
    protocol: 'tcp',
    port: 80,
  };
  expect(found).toEqual([packet, packet]);
});

test('a long packet comes out before it has all been printed, and once', () => {
  const read = createNflogReader();
  const lines = SYN.split('\n');
  // 4 + 1,500 bytes of payload instead of 4 + 60.
  lines[9] = lines[9]!.replace('4000 0900', 'e005 0900');
  const found = lines.map(read);
  for (let line = 0; line < 100; line++) found.push(read('\t0x00d0:  6162 6162 6162 6162 6162 6162 6162 6162'));
  expect(found.filter((one) => one !== undefined)).toMatchObject([{ source: '10.1.0.2', protocol: 'tcp', port: 80 }]);
  expect(found.findIndex((one) => one !== undefined)).toBeLessThan(30);
});
