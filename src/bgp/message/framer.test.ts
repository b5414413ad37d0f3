import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex, toHex } from '../../../test/support/hex.ts';
import { createFramer } from './framer.ts';

const MARKER = 'ff'.repeat(16);
const KEEPALIVE = hex(`${MARKER} 0013 04`);
const EOR = hex(`${MARKER} 0017 02 0000 0000`);
const NOTIFICATION = hex(`${MARKER} 0015 03 06 02`);

function collect(chunks: readonly Uint8Array[], maxLength?: number) {
  const framer = createFramer(maxLength === undefined ? {} : { maxLength });
  const messages: string[] = [];
  let fault;
  for (const chunk of chunks) {
    fault = framer.push(chunk, (bytes, offset, length, type) => {
      messages.push(`${type}:${toHex(bytes.subarray(offset + 19, offset + length))}`);
    });
  }
  return { messages, fault, pending: framer.pending };
}

describe('createFramer', () => {
  it('hands out every message, however the stream is cut', () => {
    const stream = new Uint8Array([...KEEPALIVE, ...EOR, ...NOTIFICATION, ...KEEPALIVE]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: stream.length - 1 })), (cuts) => {
        const bounds = [0, ...new Set(cuts.sort((a, b) => a - b)), stream.length];
        const chunks = bounds.slice(1).map((end, index) => stream.slice(bounds[index], end));
        expect(collect(chunks)).toEqual({
          messages: ['4:', '2:00000000', '3:0602', '4:'],
          fault: undefined,
          pending: 0,
        });
      }),
    );
  });

  it('hands out whole messages where they lie, without copying', () => {
    const chunk = new Uint8Array([...KEEPALIVE, ...EOR]);
    const places: [boolean, number][] = [];
    createFramer().push(chunk, (bytes, offset) => {
      places.push([bytes === chunk, offset]);
    });
    expect(places).toEqual([
      [true, 0],
      [true, 19],
    ]);
  });

  it('takes one octet at a time', () => {
    const chunks = Array.from(EOR, (octet) => Uint8Array.of(octet));
    expect(collect(chunks).messages).toEqual(['2:00000000']);
  });

  it('stops when the handler says so', () => {
    const framer = createFramer();
    let count = 0;
    const stop = () => {
      count++;
      return false;
    };
    framer.push(new Uint8Array([...KEEPALIVE, ...KEEPALIVE]), stop);
    framer.push(KEEPALIVE, stop);
    expect(count).toBe(1);
  });

  it('accepts long messages once it may', () => {
    const long = new Uint8Array(5000);
    long.set(hex(`${MARKER} 1388 02`));
    const framer = createFramer(4096);
    expect(framer.push(long.slice(0, 10), () => undefined)).toBeUndefined();
    framer.setMaxLength(65535);
    let length = 0;
    framer.push(long.slice(10), (_bytes, _offset, found) => {
      length = found;
    });
    expect(length).toBe(5000);
  });

  // RFC 4271 section 6.1: code, subcode and data of each header error.
  it.each([
    ['marker not all ones', `${'ff'.repeat(15)}fe 0013 04`, '1/1 '],
    ['length 18', `${MARKER} 0012 04`, '1/2 0012'],
    ['length 0', `${MARKER} 0000 04`, '1/2 0000'],
    ['length 4097', `${MARKER} 1001 02`, '1/2 1001'],
    ['type 0', `${MARKER} 0013 00`, '1/3 00'],
    ['type 6', `${MARKER} 0013 06`, '1/3 06'],
    ['OPEN of 28', `${MARKER} 001c 01`, '1/2 001c'],
    ['UPDATE of 22', `${MARKER} 0016 02`, '1/2 0016'],
    ['NOTIFICATION of 20', `${MARKER} 0014 03`, '1/2 0014'],
    ['KEEPALIVE of 20', `${MARKER} 0014 04`, '1/2 0014'],
    ['ROUTE-REFRESH of 22', `${MARKER} 0016 05`, `7/1 ${MARKER}001605`],
  ])('refuses %s', (_name, bytes, expected) => {
    const { fault, messages } = collect([KEEPALIVE, hex(bytes), KEEPALIVE]);
    const { code = 0, subcode = 0, data = new Uint8Array() } = fault?.notification ?? {};
    expect(`${code}/${subcode} ${toHex(data)}`).toBe(expected);
    expect(messages).toEqual(['4:']);
  });

  it('refuses an OPEN beyond 4096 octets even with extended messages (RFC 8654 section 3)', () => {
    const { fault } = collect([hex(`${MARKER} 1001 01`)], 65535);
    expect(fault?.notification).toMatchObject({ code: 1, subcode: 2 });
  });

  it('holds back no more than one message', () => {
    const framer = createFramer();
    const most = new Uint8Array(4095);
    most.set(hex(`${MARKER} 1000 02`));
    framer.push(most, () => undefined);
    expect(framer.pending).toBe(4095);
    framer.push(Uint8Array.of(0), () => undefined);
    expect(framer.pending).toBe(0);
  });
});
