import { describe, expect, it } from 'vitest';
import { hex } from '../../../test/support/hex.ts';
import { decodeUpdate } from './message.ts';
import { decodeOpen } from './open.ts';
import type { AttributeContext } from './types.ts';

// What brought other daemons down, one case each: the octets have the shape that the advisory describes, built by hand.

const MARKER = 'ff'.repeat(16);
const GOOD = '400101 00 400206 0201 0000fde9 400304 c0000201';
const CONTEXT: AttributeContext = { peerType: 'ebgp', families: ['ipv4-unicast', 'ipv6-unicast'] };

function message(type: string, body: string): Uint8Array {
  const octets = hex(body);
  return hex(`${MARKER} ${(19 + octets.length).toString(16).padStart(4, '0')} ${type} ${body}`);
}

function update(withdrawn: string, attributes: string, nlri: string, context = CONTEXT) {
  const size = (text: string) => hex(text).length.toString(16).padStart(4, '0');
  const bytes = message('02', `${size(withdrawn)} ${withdrawn} ${size(attributes)} ${attributes} ${nlri}`);
  return decodeUpdate(bytes, 0, bytes.length, context);
}

function open(parameters: string) {
  const bytes = message('01', `04 fde9 005a c0000201 ${parameters}`);
  return decodeOpen(bytes, 0, bytes.length);
}

describe('OPEN', () => {
  it.each([
    ['CVE-2022-40302: the long form ends before its length', 'ff ff 00'],
    ['CVE-2022-40318: a parameter of the long form without its length', 'ff ff 0001 02'],
    ['CVE-2022-43681: an option length that ends the message', '02 02'],
    ['a parameter length one octet over the message', '04 02 03 02 00'],
  ])('%s', (_name, parameters) => {
    expect(open(parameters)).toMatchObject({ ok: false, notification: { code: 2, subcode: 0 } });
  });

  it('CVE-2025-43970 and its kin: a software version longer than its capability', () => {
    expect(open('06 02 04 4b 02 ff 61')).toMatchObject({
      ok: true,
      value: { capabilities: [{ type: 'unknown', code: 75 }] },
    });
  });

  it('a host name longer than its capability', () => {
    expect(open('06 02 04 49 02 ff 61')).toMatchObject({
      ok: true,
      value: { capabilities: [{ type: 'unknown', code: 73 }] },
    });
  });
});

describe('UPDATE', () => {
  it('CVE-2023-38802, CVE-2023-38283: a corrupted attribute that all others pass on does not reset the session', () => {
    const { reaction, attributes } = update('', `${GOOD} c01705 ffffffffff`, '18c63364');
    expect(reaction).toBe('accept');
    expect(attributes.unknown).toEqual([{ code: 23, flags: 0xc0, value: hex('ffffffffff') }]);
  });

  it('CVE-2023-41358: routes with attributes of length 0', () => {
    expect(update('', '', '18c63364')).toMatchObject({
      reaction: 'withdraw',
      announced: [{ routes: [{ text: '198.51.100.0/24' }] }],
    });
  });

  it('CVE-2023-46752: MP_REACH_NLRI that ends inside its next hop', () => {
    expect(update('', `${GOOD} 800e06 00020110 2001`, '').reaction).toBe('reset');
  });

  it('CVE-2023-46753: routes with an unknown transitive attribute only', () => {
    expect(update('', 'c0c801 00', '18c63364').reaction).toBe('withdraw');
  });

  it('CVE-2023-47234: MP_UNREACH_NLRI beside a malformed attribute', () => {
    expect(update('', '800f07 000201 18200102 c00803 000000', '').reaction).toBe('reset');
  });

  it('CVE-2023-47235: End-of-RIB with attributes that are malformed', () => {
    const { reaction, endOfRib } = update('', '800f03 000201 400101 09', '');
    expect({ reaction, endOfRib }).toEqual({ reaction: 'reset', endOfRib: undefined });
  });

  it('MP_REACH_NLRI of 3 octets', () => {
    expect(update('', `${GOOD} 800e03 000201`, '18c63364').reaction).toBe('reset');
  });

  it('CVE-2026-37461: an IPv6 extended community cut short', () => {
    expect(update('', `${GOOD} c01913 ${'00'.repeat(19)}`, '18c63364').reaction).toBe('withdraw');
  });

  it.each([
    ['withdrawn', message('02', '0004 0000')],
    ['attributes', message('02', '0000 0001')],
    ['withdrawn that leaves one octet', message('02', '0001 00 00')],
  ])('CVE-2026-37462: a length of %s that underflows what is left', (_name, bytes) => {
    expect(decodeUpdate(bytes, 0, bytes.length, CONTEXT).reaction).toBe('reset');
  });

  it('CVE-2026-41643: AS4_PATH before AS_PATH', () => {
    const old = { ...CONTEXT, fourOctetAs: false };
    const { reaction, attributes } = update(
      '',
      'c01106 0201 fa56ea00 400101 00 400204 0201 5ba0 400304 c0000201',
      '18c63364',
      old,
    );
    expect(reaction).toBe('accept');
    expect(attributes.asPath).toEqual([{ type: 'sequence', asns: [4_200_000_000] }]);
  });

  it('the OTC of length 1024 of October 2025', () => {
    expect(update('', `${GOOD} d0230400 ${'00'.repeat(1024)}`, '18c63364').reaction).toBe('withdraw');
  });

  it('an AS_PATH of the longest message', () => {
    const hops = `02ff ${'0000fde9'.repeat(255)}`.repeat(3);
    const { reaction, attributes } = update(
      '',
      `400101 00 5002${hex(hops).length.toString(16).padStart(4, '0')} ${hops} 400304 c0000201`,
      '18c63364',
    );
    expect(reaction).toBe('accept');
    expect(attributes.asPath?.map(({ asns }) => asns.length)).toEqual([255, 255, 255]);
  });
});
