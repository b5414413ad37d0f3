/** Aggregates by table, and the property that matters: no address ends up at a node that cannot serve it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contains, parsePrefix } from '../net/prefix.ts';
import type { Advertisement } from '../net/values.ts';
import { aggregate } from './aggregate.ts';

const vip = (prefix: string, med?: number): Advertisement => ({
  prefix,
  origin: 'vip',
  owners: [`Service default/${prefix.split('/')[0]}`],
  ...(med === undefined ? {} : { attributes: { med } }),
});
const run = (advertisements: Advertisement[], aggregates: string[], local: string[] = []) =>
  aggregate({
    advertisements,
    aggregates: aggregates.map((prefix) => ({ prefix })),
    everywhere: (one) => !local.includes(one.prefix),
  });
const prefixes = (out: ReturnType<typeof run>): string[] =>
  out.advertisements
    .map((one) => `${one.prefix}${one.attributes?.med === undefined ? '' : ` med ${one.attributes.med}`}`)
    .sort();

describe('aggregate', () => {
  test.each<[string, Advertisement[], string[], string[], string[]]>([
    ['members give way to it', [vip('192.0.2.1/32'), vip('192.0.2.2/32')], ['192.0.2.0/24'], [], ['192.0.2.0/24']],
    ['nothing inside, nothing announced', [vip('198.51.100.1/32')], ['192.0.2.0/24'], [], ['198.51.100.1/32']],
    [
      'a Local one stays beside it',
      [vip('192.0.2.1/32'), vip('192.0.2.2/32')],
      ['192.0.2.0/24'],
      ['192.0.2.2/32'],
      ['192.0.2.0/24', '192.0.2.2/32'],
    ],
    ['Local ones alone make no aggregate', [vip('192.0.2.2/32')], ['192.0.2.0/24'], ['192.0.2.2/32'], ['192.0.2.2/32']],
    [
      'another MED stays beside it',
      [vip('192.0.2.1/32'), vip('192.0.2.2/32'), vip('192.0.2.3/32', 5)],
      ['192.0.2.0/24'],
      [],
      ['192.0.2.0/24', '192.0.2.3/32 med 5'],
    ],
    [
      'common attributes go along',
      [vip('192.0.2.1/32', 5), vip('192.0.2.2/32', 5)],
      ['192.0.2.0/24'],
      [],
      ['192.0.2.0/24 med 5'],
    ],
    ['the widest of nested ones', [vip('192.0.2.1/32')], ['192.0.2.0/25', '192.0.2.0/24'], [], ['192.0.2.0/24']],
    ['IPv6', [vip('2001:db8::1/128'), vip('192.0.2.1/32')], ['2001:db8::/64'], [], ['192.0.2.1/32', '2001:db8::/64']],
    [
      'pod CIDRs are not VIPs',
      [{ prefix: '192.0.2.0/26', origin: 'pod-cidr' }],
      ['192.0.2.0/24'],
      [],
      ['192.0.2.0/26'],
    ],
  ])('%s', (_name, list, aggregates, local, expected) => {
    expect(prefixes(run(list, aggregates, local))).toEqual(expected);
  });

  test('owners of the members are the owners of the aggregate', () => {
    expect(run([vip('192.0.2.2/32'), vip('192.0.2.1/32')], ['192.0.2.0/24']).advertisements[0]?.owners).toEqual([
      'Service default/192.0.2.1',
      'Service default/192.0.2.2',
    ]);
  });

  test('everything as one prefix is refused, a default route is nobody’s aggregate', () => {
    expect(run([vip('192.0.2.1/32')], ['0.0.0.0/0', 'x'])).toMatchObject({
      advertisements: [{ prefix: '192.0.2.1/32' }],
      issues: [{ field: '[0].prefix' }, { field: '[1].prefix' }],
    });
  });

  test('with longest-prefix routing every announced address reaches a node that announced it itself', () => {
    const addresses = Array.from({ length: 8 }, (_, index) => `192.0.2.${index}/32`);
    const policies = fc.array(fc.boolean(), { minLength: 8, maxLength: 8 });
    // Of a Local address some nodes announce it; of a Cluster address all do.
    const nodes = fc.array(fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(
        policies,
        nodes,
        fc.subarray(['192.0.2.0/29', '192.0.2.0/30', '192.0.2.4/31']),
        (local, has, wide) => {
          const announces = (node: number, index: number): boolean =>
            local[index] === true ? has[node]?.[index] === true : true;
          const out = has.map((_, node) =>
            run(
              addresses.filter((_, index) => announces(node, index)).map((prefix) => vip(prefix)),
              wide,
              addresses.filter((_, index) => local[index]),
            ).advertisements.map((one) => parsePrefix(one.prefix)),
          );
          addresses.forEach((text, index) => {
            const address = parsePrefix(text);
            const able = has.map((_, node) => announces(node, index));
            if (!able.includes(true)) return;
            const best = out.map((list) =>
              Math.max(-1, ...list.filter((one) => contains(one, address)).map((one) => one.length)),
            );
            const longest = Math.max(...best);
            best.forEach((length, node) => {
              if (length === longest) expect(able[node], `${text} at node ${node}`).toBe(true);
            });
          });
        },
      ),
    );
  });
});
