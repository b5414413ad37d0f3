import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../test/support/hex.ts';
import { decodeOpen, encodeOpen, openAsn } from './open.ts';
import type { Capability } from './types.ts';

const MARKER = 'ff'.repeat(16);

function open(body: string) {
  const octets = hex(body);
  const message = hex(`${MARKER} ${(19 + octets.length).toString(16).padStart(4, '0')} 01 ${body}`);
  return decodeOpen(message, 0, message.length);
}

function capability(text: string): Capability | string {
  const octets = hex(text);
  const size = octets.length.toString(16).padStart(2, '0');
  const result = open(`04 fde8 005a 0a000001 ${(octets.length + 2).toString(16).padStart(2, '0')} 02 ${size} ${text}`);
  return result.ok ? (result.value.capabilities[0] ?? 'none') : result.reason;
}

describe('decodeOpen', () => {
  it('reads the fixed part', () => {
    expect(open('04 fde8 005a 0a000001 00')).toEqual({
      ok: true,
      value: { version: 4, myAs: 65000, holdTime: 90, routerId: 0x0a000001, capabilities: [] },
    });
  });

  // Octets by hand from the RFC of each capability.
  it.each<[string, string, Capability]>([
    ['multiprotocol', '01 04 0002 00 01', { type: 'multiprotocol', family: 'ipv6-unicast' }],
    ['a family without name', '01 04 4004 00 47', { type: 'multiprotocol', family: '16388/71' }],
    ['route refresh', '02 00', { type: 'route-refresh' }],
    ['enhanced route refresh', '46 00', { type: 'enhanced-route-refresh' }],
    ['extended message', '06 00', { type: 'extended-message' }],
    [
      'extended next hop',
      '05 06 0001 0001 0002',
      { type: 'extended-next-hop', entries: [{ family: 'ipv4-unicast', nextHopAfi: 2 }] },
    ],
    ['role customer', '09 01 03', { type: 'role', role: 'customer' }],
    ['a role not assigned', '09 01 07', { type: 'unknown', code: 9, value: Uint8Array.of(7) }],
    [
      'graceful restart',
      '40 0a c078 0001 01 80 0002 01 00',
      {
        type: 'graceful-restart',
        restarting: true,
        notification: true,
        restartTime: 120,
        families: [
          { family: 'ipv4-unicast', forwarding: true },
          { family: 'ipv6-unicast', forwarding: false },
        ],
      },
    ],
    ['four-octet AS', '41 04 fa56ea00', { type: 'four-octet-as', asn: 4200000000 }],
    [
      'add-path, an entry of mode 4 ignored',
      '45 0c 0001 01 03 0002 01 04 0002 01 01',
      {
        type: 'add-path',
        entries: [
          { family: 'ipv4-unicast', mode: 'both' },
          { family: 'ipv6-unicast', mode: 'receive' },
        ],
      },
    ],
    ['add-path of odd length', '45 03 0001 01', { type: 'unknown', code: 69, value: Uint8Array.of(0, 1, 1) }],
    [
      'long-lived graceful restart',
      '47 07 0001 01 80 015180',
      {
        type: 'long-lived-graceful-restart',
        entries: [{ family: 'ipv4-unicast', forwarding: true, staleTime: 86400 }],
      },
    ],
    ['FQDN', '49 05 02 7231 01 61', { type: 'fqdn', hostName: 'r1', domainName: 'a' }],
    ['FQDN cut', '49 03 02 7231', { type: 'unknown', code: 73, value: Uint8Array.of(2, 0x72, 0x31) }],
    ['software version', '4b 03 02 7631', { type: 'software-version', version: 'v1' }],
    ['BGPsec', '07 04 00 00 01 00', { type: 'unknown', code: 7, value: Uint8Array.of(0, 0, 1, 0) }],
  ])('reads %s', (_name, text, expected) => {
    expect(capability(text)).toEqual(expected);
    if (expected.type === 'unknown' || text.includes('01 04 0002 01 01')) return;
    const again = encodeOpen({ asn: 1, holdTime: 90, routerId: 1, capabilities: [expected] });
    if (_name.includes('ignored')) return;
    expect(toHex(again.subarray(31))).toBe(text.replaceAll(' ', ''));
  });

  // RFC 4271 section 6.2, RFC 5492, RFC 7607 and RFC 9072: NOTIFICATION code 2 with this subcode.
  it.each([
    ['version 3', '03 fde8 005a 0a000001 00', 1],
    ['AS 0', '04 0000 005a 0a000001 00', 2],
    ['four-octet AS 0', '04 5ba0 005a 0a000001 08 02 06 41 04 00000000', 2],
    ['identifier 0', '04 fde8 005a 00000000 00', 3],
    ['authentication parameter', '04 fde8 005a 0a000001 03 01 01 00', 4],
    ['hold time 1', '04 fde8 0001 0a000001 00', 6],
    ['hold time 2', '04 fde8 0002 0a000001 00', 6],
    ['parameters longer than the message', '04 fde8 005a 0a000001 02', 0],
    ['parameters shorter than the message', '04 fde8 005a 0a000001 00 02 00', 0],
    ['parameter header cut', '04 fde8 005a 0a000001 01 02', 0],
    ['parameter overrun', '04 fde8 005a 0a000001 03 02 02 02', 0],
    ['capability header cut', '04 fde8 005a 0a000001 03 02 01 02', 0],
    ['capability overrun', '04 fde8 005a 0a000001 04 02 02 02 01', 0],
    ['multiprotocol of 3', '04 fde8 005a 0a000001 07 02 05 01 03 000100', 0],
    ['long form cut after its type', '04 fde8 005a 0a000001 ff ff', 0],
    ['long form cut in its length', '04 fde8 005a 0a000001 ff ff 00', 0],
    ['long form overrun', '04 fde8 005a 0a000001 ff ff 0005 02 0002', 0],
    ['long form parameter header cut', '04 fde8 005a 0a000001 ff ff 0002 02 00', 0],
    ['long form parameter overrun', '04 fde8 005a 0a000001 ff ff 0003 02 0002', 0],
  ])('refuses %s', (_name, body, subcode) => {
    expect(open(body)).toMatchObject({ ok: false, notification: { code: 2, subcode } });
  });

  it('says which version it speaks', () => {
    expect(open('05 fde8 005a 0a000001 00')).toMatchObject({ notification: { data: Uint8Array.of(0, 4) } });
  });

  it('reads the long form, whatever length octet precedes it (RFC 9072 section 2)', () => {
    const parameters = 'ff 0005 02 0002 02 00';
    for (const length of ['ff', '08', '01']) {
      expect(open(`04 fde8 005a 0a000001 ${length} ${parameters}`)).toMatchObject({
        value: { capabilities: [{ type: 'route-refresh' }] },
      });
    }
  });

  it('reads capabilities from several parameters', () => {
    expect(open('04 fde8 005a 0a000001 08 02 02 02 00 02 02 46 00')).toMatchObject({
      value: { capabilities: [{ type: 'route-refresh' }, { type: 'enhanced-route-refresh' }] },
    });
  });
});

describe('encodeOpen', () => {
  it('writes the short form', () => {
    const capabilities: Capability[] = [
      { type: 'multiprotocol', family: 'ipv4-unicast' },
      { type: 'four-octet-as', asn: 4200000000 },
    ];
    expect(toHex(encodeOpen({ asn: 4200000000, holdTime: 90, routerId: 0x0a000001, capabilities }))).toBe(
      `${MARKER}002b01045ba0005a0a0000010e020c0104000100014104fa56ea00`,
    );
  });

  it('writes the long form when it must', () => {
    const capabilities: Capability[] = [
      { type: 'unknown', code: 200, value: new Uint8Array(200) },
      { type: 'unknown', code: 201, value: new Uint8Array(100) },
    ];
    const message = encodeOpen({ asn: 65000, holdTime: 90, routerId: 1, capabilities });
    expect(toHex(message.subarray(28, 37))).toBe('ffff013302' + '0130' + 'c8c8');
    expect(decodeOpen(message, 0, message.length)).toMatchObject({ value: { capabilities } });
  });

  it('refuses what no OPEN can carry', () => {
    const capabilities = Array.from({ length: 20 }, () => ({
      type: 'unknown' as const,
      code: 200,
      value: new Uint8Array(255),
    }));
    expect(() => encodeOpen({ asn: 1, holdTime: 90, routerId: 1, capabilities })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });

  it('reads back what it writes', () => {
    const family = fc.constantFrom('ipv4-unicast', 'ipv6-unicast', 'l2vpn-evpn', '7/9') as fc.Arbitrary<'ipv4-unicast'>;
    const anyCapability: fc.Arbitrary<Capability> = fc.oneof(
      fc.record({ type: fc.constant('multiprotocol' as const), family }),
      fc.record({ type: fc.constant('four-octet-as' as const), asn: fc.integer({ min: 1, max: 0xffffffff }) }),
      fc.record({
        type: fc.constant('graceful-restart' as const),
        restarting: fc.boolean(),
        notification: fc.boolean(),
        restartTime: fc.integer({ min: 0, max: 4095 }),
        families: fc.array(fc.record({ family, forwarding: fc.boolean() }), { maxLength: 5 }),
      }),
      fc.record({
        type: fc.constant('long-lived-graceful-restart' as const),
        entries: fc.array(
          fc.record({ family, forwarding: fc.boolean(), staleTime: fc.integer({ min: 0, max: 0xffffff }) }),
          { maxLength: 5 },
        ),
      }),
      fc.record({
        type: fc.constant('unknown' as const),
        code: fc.integer({ min: 130, max: 255 }),
        value: fc.uint8Array({ maxLength: 255 }),
      }),
    );
    fc.assert(
      fc.property(fc.array(anyCapability, { maxLength: 12 }), fc.integer({ min: 1, max: 0xffffffff }), (list, asn) => {
        const capabilities: Capability[] = [...list, { type: 'four-octet-as', asn }];
        const message = encodeOpen({ asn, holdTime: 90, routerId: 7, capabilities });
        const result = decodeOpen(message, 0, message.length);
        expect(result).toMatchObject({ ok: true, value: { capabilities, holdTime: 90, routerId: 7 } });
        if (result.ok && !list.some(({ type }) => type === 'four-octet-as')) expect(openAsn(result.value)).toBe(asn);
      }),
      { numRuns: 300 },
    );
  });
});
