import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../test/support/hex.ts';
import { decodeUpdate, encodeUpdate } from './message.ts';
import { prefixNlri } from './nlri/nlri.ts';
import type { AttributeContext, Family, PathAttributes } from './types.ts';
import { encodeEndOfRib } from './update.ts';

const MARKER = 'ff'.repeat(16);
const FAMILIES: readonly Family[] = ['ipv4-unicast', 'ipv6-unicast'];
const EBGP: AttributeContext = { peerType: 'ebgp', families: FAMILIES };
const attributes: PathAttributes = { origin: 'igp', asPath: [{ type: 'sequence', asns: [64512] }] };

function read(message: Uint8Array, context = EBGP) {
  return decodeUpdate(message, 0, message.length, context);
}

function body(message: Uint8Array | undefined): string {
  return toHex((message ?? new Uint8Array()).subarray(19));
}

describe('encodeUpdate', () => {
  it('announces IPv4 in the NLRI field', () => {
    const announce = { family: 'ipv4-unicast' as const, nextHop: '192.0.2.1', routes: [prefixNlri('10.0.0.0/8')] };
    const { messages } = encodeUpdate({ attributes, announce });
    expect(messages.map(body)).toEqual([
      '0000' + '0014' + '40010100' + '40020602010000fc00' + '400304c0000201' + '080a',
    ]);
  });

  it('announces IPv6 in MP_REACH_NLRI, before everything else (RFC 7606 section 5.1)', () => {
    const announce = { family: 'ipv6-unicast' as const, nextHop: '2001:db8::1', routes: [prefixNlri('2001:db8::/32')] };
    const { messages } = encodeUpdate({ attributes, announce });
    expect(messages.map(body)).toEqual([
      '0000' +
        '002b' +
        '900e001a' +
        '00020110' +
        '20010db8' +
        '00'.repeat(11) +
        '01' +
        '00' +
        '2020010db8' +
        '40010100' +
        '40020602010000fc00',
    ]);
  });

  it('announces IPv4 with an IPv6 next hop in MP_REACH_NLRI (RFC 8950)', () => {
    const announce = { family: 'ipv4-unicast' as const, nextHop: '2001:db8::1', routes: [prefixNlri('10.0.0.0/8')] };
    const { messages } = encodeUpdate({ attributes, announce });
    const [message = new Uint8Array()] = messages;
    expect(read(message, { ...EBGP, extendedNextHop: ['ipv4-unicast'] })).toMatchObject({
      reaction: 'accept',
      announced: [{ family: 'ipv4-unicast', nextHop: '2001:db8::1', routes: [{ text: '10.0.0.0/8' }] }],
    });
  });

  it('withdraws in either place', () => {
    const four = encodeUpdate({ withdraw: { family: 'ipv4-unicast', routes: [prefixNlri('10.0.0.0/8')] } });
    expect(four.messages.map(body)).toEqual(['0002' + '080a' + '0000']);
    const six = encodeUpdate({ withdraw: { family: 'ipv6-unicast', routes: [prefixNlri('::/0')] } });
    expect(six.messages.map(body)).toEqual(['0000' + '0008' + '900f0004' + '000201' + '00']);
  });

  it('takes as many messages as it needs, none longer than allowed', () => {
    const routes = Array.from({ length: 3000 }, (_, index) => prefixNlri(`10.${index >> 8}.${index & 255}.0/24`));
    const announce = { family: 'ipv4-unicast' as const, nextHop: '192.0.2.1', routes };
    const { messages, unfit } = encodeUpdate({ attributes, announce });
    expect(unfit).toEqual([]);
    expect(messages.length).toBe(3);
    expect(Math.max(...messages.map((message) => message.length))).toBeLessThanOrEqual(4096);
    const found = messages.flatMap((message) => read(message).announced.flatMap((part) => part.routes));
    expect(found.map(({ text }) => text)).toEqual(routes.map(({ text }) => text));
    expect(encodeUpdate({ attributes, announce }, { maxLength: 65535 }).messages.length).toBe(1);
  });

  it('reports what fits no message instead of cutting it', () => {
    const communities = Array.from({ length: 1014 }, (_, index) => index);
    const routes = [prefixNlri('0.0.0.0/0'), prefixNlri('192.0.2.1/32')];
    const announce = { family: 'ipv4-unicast' as const, nextHop: '192.0.2.1', routes };
    // 23 + 20 + 4 + 4 × 1012 leave one octet: enough for the default route alone.
    const tight = encodeUpdate({ attributes: { ...attributes, communities: communities.slice(0, 1012) }, announce });
    expect(tight.messages.map(({ length }) => length)).toEqual([4096]);
    expect(tight.unfit.map(({ text }) => text)).toEqual(['192.0.2.1/32']);
    const over = encodeUpdate({ attributes: { ...attributes, communities }, announce });
    expect(over).toMatchObject({ messages: [], unfit: [{ text: '0.0.0.0/0' }, { text: '192.0.2.1/32' }] });
  });

  it('writes path identifiers where the session has them', () => {
    const options = { addPath: ['ipv4-unicast' as const] };
    const withdraw = { family: 'ipv4-unicast' as const, routes: [prefixNlri('10.0.0.0/8', 9)] };
    expect(encodeUpdate({ withdraw }, options).messages.map(body)).toEqual(['0006' + '00000009080a' + '0000']);
  });
});

describe('End-of-RIB', () => {
  it.each<[Family, string]>([
    ['ipv4-unicast', `${MARKER}0017` + '02' + '00000000'],
    ['ipv6-unicast', `${MARKER}001d` + '02' + '00000006' + '800f03000201'],
  ])('of %s', (family, octets) => {
    expect(toHex(encodeEndOfRib(family))).toBe(octets);
    expect(read(hex(octets))).toMatchObject({ endOfRib: family, reaction: 'accept' });
  });

  it('is no empty withdrawal with something beside it', () => {
    const { endOfRib } = read(hex(`${MARKER} 0020 02 0002 080a 0007 900f0003000201`));
    expect(endOfRib).toBeUndefined();
  });
});
