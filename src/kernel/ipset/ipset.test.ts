import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Ipset, IpsetEntry } from './model.ts';
import { IPSET_NAME_MAX, canonicalElement, sameHeader, splitElement } from './model.ts';
import { parseIpsetSave } from './parse.ts';
import { buildName, renderAdd, renderIpset, renderIpsetChange } from './render.ts';

// Printed by ipset 7.17.
const saved = `create a hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x338b198f
add a 10.0.0.1
create b hash:net family inet6 hashsize 128 maxelem 1000 timeout 60 comment bucketsize 12 initval 0x79cbe6cf
add b 2001:db9::/48 timeout 0
add b 2001:db8::/48 timeout 59 nomatch comment "hello world"
create c hash:ip,port family inet hashsize 1024 maxelem 65536 counters skbinfo bucketsize 12 initval 0xa434324f
add c 10.0.0.1,tcp:80 packets 7 bytes 420
add c 10.0.0.2,icmp:echo-request packets 0 bytes 0
create g bitmap:port range 1-100
create e list:set size 8
add e a
`;

it('reads what ipset prints', () => {
  const sets = parseIpsetSave(saved);
  expect([...sets.keys()]).toEqual(['a', 'b', 'c', 'g', 'e']);
  expect(sets.get('b')).toEqual({
    name: 'b',
    header: { type: 'hash:net', family: 6, hashsize: 128, maxelem: 1000, timeout: 60, comment: true },
    entries: new Map<string, IpsetEntry>([
      ['2001:db9::/48', { element: '2001:db9::/48', timeout: 0 }],
      ['2001:db8::/48', { element: '2001:db8::/48', timeout: 59, nomatch: true, comment: 'hello world' }],
    ]),
  });
  expect(sets.get('c')!.entries.get('10.0.0.1,tcp:80')).toEqual({ element: '10.0.0.1,tcp:80', packets: 7, bytes: 420 });
  expect(sets.get('c')!.header).toMatchObject({ counters: true, skbinfo: true });
});

it.each(['add nowhere 10.0.0.1', 'create', 'Error'])('refuses %j', (text) => {
  expect(() => parseIpsetSave(text)).toThrowError(expect.objectContaining({ code: 'PARSE_FAILED' }));
});

it.each([
  ['10.0.0.1/32', '10.0.0.1'],
  ['10.0.0.1/8', '10.0.0.0/8'],
  ['2001:DB8::1/128', '2001:db8::1'],
  ['10.0.0.1,80', '10.0.0.1,tcp:80'],
  ['10.0.0.0/8,UDP:53', '10.0.0.0/8,udp:53'],
  ['10.0.0.1,tcp:80,10.0.0.2/32', '10.0.0.1,tcp:80,10.0.0.2'],
  ['some-set', 'some-set'],
])('%s is printed as %s', (element, canonical) => expect(canonicalElement(element)).toBe(canonical));

it('a whole family becomes its two halves', () => {
  expect(splitElement('0.0.0.0/0')).toEqual(['0.0.0.0/1', '128.0.0.0/1']);
  expect(splitElement('::/0,tcp:80')).toEqual(['::/1,tcp:80', '8000::/1,tcp:80']);
  expect(splitElement('10.0.0.0/8')).toEqual(['10.0.0.0/8']);
});

describe('render', () => {
  const entry = fc.record(
    {
      element: fc.ipV4().map(canonicalElement),
      nomatch: fc.constant(true),
      comment: fc.string({ maxLength: 300 }),
      timeout: fc.constant(0),
    },
    { requiredKeys: ['element'] },
  );
  const set = fc.array(entry, { maxLength: 8 }).map((entries): Ipset => ({
    name: 'krk',
    header: { type: 'hash:net', family: 4, maxelem: 100, timeout: 0, comment: true },
    entries: new Map(entries.map((one) => [one.element, one])),
  }));
  const read = (lines: readonly string[]): Ipset => parseIpsetSave(lines.join('\n')).get('krk')!;

  it('reads back, needs no change then, and nothing breaks out of a comment', () => {
    fc.assert(
      fc.property(set, (one) => {
        const again = read(renderIpset(one));
        expect([...again.entries.keys()]).toEqual([...one.entries.keys()]);
        expect(sameHeader(again.header, one.header)).toBe(true);
        expect(renderIpsetChange(again, again)).toEqual([]);
        for (const line of renderIpset(one)) expect(line).not.toMatch(/[\n\r\0]/);
      }),
    );
  });

  it('a change applied to what was gives what is wanted, additions first', () => {
    fc.assert(
      fc.property(set, set, (from, to) => {
        const [before, wanted] = [read(renderIpset(from)), read(renderIpset(to))];
        const lines = renderIpsetChange(wanted, before);
        const firstDel = lines.findIndex((line) => line.startsWith('del '));
        if (firstDel >= 0) expect(lines.slice(firstDel).every((line) => line.startsWith('del '))).toBe(true);
        const held = new Map(before.entries);
        for (const line of lines) {
          const [verb, , element] = line.split(' ');
          if (verb === 'del') held.delete(element!);
          else held.set(element!, read([renderIpset(wanted)[0]!, line]).entries.get(element!)!);
        }
        expect(new Map([...held].sort())).toEqual(new Map([...wanted.entries].sort()));
      }),
    );
  });

  it('refuses what is not one word, and names that are too long', () => {
    expect(() => renderAdd('a', { element: '10.0.0.1 nomatch' })).toThrowError();
    expect(() => renderAdd('a b', { element: '10.0.0.1' })).toThrowError();
    expect(() => renderAdd('x'.repeat(32), { element: '10.0.0.1' })).toThrowError();
    expect(buildName('x'.repeat(31)).length).toBeLessThanOrEqual(IPSET_NAME_MAX);
    expect(buildName(`${'x'.repeat(30)}a`)).not.toBe(buildName(`${'x'.repeat(30)}b`));
  });
});
