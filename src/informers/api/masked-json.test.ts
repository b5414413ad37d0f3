import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MASKS, OBJECT_KINDS, project } from '../../objects/index.ts';
import {
  buildClusterNetworkPolicy,
  buildEndpointSlice,
  buildNetworkPolicy,
  buildNode,
  buildPod,
  buildService,
} from '../../testing/builders.ts';
import { benchPod } from '../../../bench/informers/pods.ts';
import { createLineCutter, createListCutter } from './json-stream.ts';
import { createMaskedParser } from './masked-json.ts';
import type { Mask } from './masked-json.ts';

/** What a mask means, said in the plainest way. */
function masked(value: unknown, mask: Mask): unknown {
  if (mask === true || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => masked(one, mask));
  const result: Record<string, unknown> = {};
  for (const [key, one] of Object.entries(value)) {
    const found =
      Object.keys(mask).find((name) => name === key) ??
      Object.keys(mask).find((name) => name.endsWith('*') && key.startsWith(name.slice(0, -1)));
    if (found !== undefined) result[key] = masked(one, mask[found]!);
  }
  return result;
}

const key = fc.constantFrom('a', 'b', 'ab', 'a/1', 'ä', 'x"y');
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.jsonValue({ maxDepth: 0 }),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 4 }),
  ),
})).value;
const mask = fc.letrec<{ mask: Mask }>((tie) => ({
  mask: fc.oneof(
    { maxDepth: 3 },
    fc.constant(true as const),
    fc.dictionary(fc.constantFrom('a', 'b', 'ab', 'a/*', 'ä'), tie('mask'), { maxKeys: 3 }) as fc.Arbitrary<Mask>,
  ),
})).mask;

describe('masked JSON', () => {
  it('gives what parsing the whole and dropping the rest gives (property)', () => {
    fc.assert(
      fc.property(json, mask, fc.constantFrom(undefined, 1), (value, shape, indent) => {
        const bytes = Buffer.from(JSON.stringify(value, undefined, indent));
        const wanted = masked(JSON.parse(bytes.toString()), shape);
        const parse = createMaskedParser(shape);
        // What repeats is remembered from its second time on, and then comes from memory.
        for (let time = 0; time < 3; time++) expect(parse(bytes)).toEqual(wanted);
      }),
    );
  });

  it.each(['', '{', '{"a"}', '{"a":}', '{"a":1', '[1,]x', '{"a":1}}', '{a:1}', '{"a":tru}', '"x'])(
    '%j is refused',
    (text) => {
      expect(() => createMaskedParser({ a: true })(Buffer.from(text))).toThrow();
    },
  );
});

it('what several objects share through a mask is frozen, and what has no mask is its reader’s own', () => {
  const bytes = Buffer.from('{"a":{"b":["x"]}}');
  const parse = createMaskedParser({ a: true });
  for (let time = 0; time < 3; time++) {
    const { a } = parse(bytes) as { a: { b: string[] } };
    if (time > 0) expect(() => a.b.push('y')).toThrow(TypeError);
  }
  const whole = createMaskedParser(true);
  for (let time = 0; time < 3; time++) {
    const { a } = whole(bytes) as { a: { b: string[] } };
    expect(a.b).toEqual(['x']);
    a.b.push('y');
  }
});

it('every kind projects from its mask as from the whole', () => {
  const objects = [
    benchPod(7, 5),
    buildNode('n', {
      addresses: ['10.0.0.1'],
      podCIDRs: ['10.1.0.0/24'],
      annotations: { 'kube-router.io/x': '1', y: '2' },
    }),
    { kind: 'Namespace', metadata: { name: 'n', labels: { a: 'b' } } },
    buildPod('a/p', {
      ips: ['10.0.0.1'],
      ports: [{ containerPort: 1 }],
      metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' },
    }),
    buildService('a/s', { clusterIPs: ['10.0.0.1'], ports: [{ port: 1 }], ingress: ['10.9.0.1'] }),
    buildEndpointSlice('a/s', {
      endpoints: [{ address: '10.0.0.1', node: 'n', zone: 'z', pod: 'a/p' }],
      ports: [{ port: 1 }],
    }),
    { ...buildEndpointSlice('a/t'), metadata: { name: 't', ownerReferences: [{ kind: 'Service', name: 's' }] } },
    buildNetworkPolicy('a/np', { spec: { ingress: [{ from: [{ podSelector: {} }] }] } }),
    buildClusterNetworkPolicy('cnp', { spec: { ingress: [{ action: 'Deny', from: [{ namespaces: {} }] }] } }),
  ];
  for (const kind of OBJECT_KINDS) {
    const own = objects.filter((one) => one['kind'] === kind);
    expect(own.length).toBeGreaterThan(0);
    for (const raw of own)
      expect(project(kind, createMaskedParser(MASKS[kind])(Buffer.from(JSON.stringify(raw))))).toEqual(
        project(kind, raw),
      );
  }
});

describe('cutters', () => {
  const feed = (cutter: { push(chunk: Uint8Array): void }, text: string, size: number) => {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) cutter.push(bytes.subarray(at, at + size));
  };

  it('finds the items of a list wherever it is cut and whatever stands around them (property)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(key, json)),
        fc.dictionary(fc.string(), json),
        fc.boolean(),
        fc.integer({ min: 1, max: 40 }),
        (items, around, first, size) => {
          const { items: _, ...rest } = around;
          const whole = first ? { items, ...rest } : { ...rest, items };
          const seen: unknown[] = [];
          const cutter = createListCutter((bytes) => seen.push(JSON.parse(bytes.toString())));
          const text = JSON.stringify(whole, undefined, size % 3);
          feed(cutter, text, size);
          const parsed = JSON.parse(text) as { items: unknown[] };
          expect(seen).toEqual(parsed.items);
          expect(JSON.parse(cutter.rest!)).toEqual({ ...parsed, items: [] });
        },
      ),
    );
  });

  it('has no rest while the answer is not complete, and a limit', () => {
    const cutter = createListCutter(() => {}, 100);
    feed(cutter, '{"items":[{"a":1}', 3);
    expect(cutter.rest).toBeUndefined();
    expect(() => feed(cutter, `,{"a":"${'x'.repeat(200)}`, 50)).toThrow(/longer than 100 bytes/);
  });

  it('cuts lines', () => {
    const seen: string[] = [];
    const cutter = createLineCutter((line) => seen.push(line.toString()));
    feed(cutter, '{"a":1}\n\n  \n{"ä":2}\n{"b"', 2);
    expect(seen).toEqual(['{"a":1}', '{"ä":2}']);
    expect(cutter.held).toBe(4);
  });
});
