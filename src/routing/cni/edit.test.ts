/** CNI files before and after: conf and conflist, ranges merged, duplicates avoided, MTU set, unknown keys kept. */
import { describe, expect, test } from 'vitest';
import { editCni, newCni } from './edit.ts';

const edit = (file: unknown, podCidrs: string[] = ['10.244.1.0/24'], mtu?: number): unknown =>
  JSON.parse(editCni(JSON.stringify(file), mtu === undefined ? { podCidrs } : { podCidrs, mtu }));

describe('editCni', () => {
  test.each<[string, unknown, string[], unknown]>([
    [
      'an empty ipam gets a range',
      { type: 'host-local' },
      ['10.244.1.0/24'],
      { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24' }]] },
    ],
    ['no ipam at all', undefined, ['10.244.1.0/24'], { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24' }]] }],
    [
      'a legacy subnet moves into ranges, with its limits',
      { type: 'host-local', subnet: '10.244.1.0/24', rangeStart: '10.244.1.10' },
      ['10.244.1.0/24'],
      { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24', rangeStart: '10.244.1.10' }]] },
    ],
    [
      'a legacy subnet that ranges have already is not doubled',
      { subnet: '10.244.1.0/24', ranges: [[{ subnet: '10.244.1.0/24' }]] },
      ['10.244.1.0/24'],
      { ranges: [[{ subnet: '10.244.1.0/24' }]] },
    ],
    [
      'dual stack adds the missing family',
      { ranges: [[{ subnet: '10.244.1.0/24' }]] },
      ['10.244.1.0/24', 'fd00:1::/64'],
      { ranges: [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:1::/64' }]] },
    ],
    [
      'doubles are dropped however they are written',
      { ranges: [[{ subnet: 'fd00:1::/64' }], [{ subnet: 'FD00:1:0::/64' }]] },
      ['fd00:1::/64'],
      { ranges: [[{ subnet: 'fd00:1::/64' }]] },
    ],
    [
      'other subnets stay',
      { ranges: [[{ subnet: '10.9.0.0/24', gateway: '10.9.0.254' }]] },
      ['10.244.1.0/24'],
      { ranges: [[{ subnet: '10.9.0.0/24', gateway: '10.9.0.254' }], [{ subnet: '10.244.1.0/24' }]] },
    ],
  ])('%s', (_name, ipam, podCidrs, expected) => {
    const plugin = { type: 'bridge', ...(ipam === undefined ? {} : { ipam }) };
    expect(edit(plugin, podCidrs)).toEqual({ type: 'bridge', ipam: expected });
    const list = { name: 'n', plugins: [{ type: 'portmap' }, plugin] };
    expect(edit(list, podCidrs)).toEqual({
      name: 'n',
      plugins: [{ type: 'portmap' }, { type: 'bridge', ipam: expected }],
    });
  });

  test('MTU is set, unknown keys are kept in their order', () => {
    const text =
      '{"cniVersion":"0.3.0","x-vendor":{"a":[1,2]},"type":"bridge","bridge":"kube-bridge","mtu":1500,"ipam":{"type":"host-local","routes":[{"dst":"0.0.0.0/0"}]}}';
    expect(editCni(text, { podCidrs: ['10.244.1.0/24'], mtu: 1450 })).toBe(`{
  "cniVersion": "0.3.0",
  "x-vendor": {
    "a": [
      1,
      2
    ]
  },
  "type": "bridge",
  "bridge": "kube-bridge",
  "mtu": 1450,
  "ipam": {
    "type": "host-local",
    "routes": [
      {
        "dst": "0.0.0.0/0"
      }
    ],
    "ranges": [
      [
        {
          "subnet": "10.244.1.0/24"
        }
      ]
    ]
  }
}
`);
  });

  test('what is right already comes back byte for byte', () => {
    const text = '{ "type":"bridge",\n\t"mtu": 1450, "ipam": {"ranges":[[{"subnet":"10.244.1.0/24"}]]} }';
    expect(editCni(text, { podCidrs: ['10.244.1.0/24'], mtu: 1450 })).toBe(text);
  });

  test.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['no bridge', '{"plugins":[{"type":"portmap"}]}'],
  ])('%s is refused', (_name, text) => {
    expect(() => editCni(text, { podCidrs: [] })).toThrow(expect.objectContaining({ code: 'INVALID_OBJECT' }));
  });

  test('a new configuration is a bridge with host-local addresses and port mapping', () => {
    const made = JSON.parse(newCni({ podCidrs: ['10.244.1.0/24'], mtu: 1480 })) as { plugins: unknown[] };
    expect(made.plugins).toEqual([
      {
        name: 'kubernetes',
        type: 'bridge',
        bridge: 'kube-bridge',
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: { type: 'host-local', ranges: [[{ subnet: '10.244.1.0/24' }]] },
        mtu: 1480,
      },
      { type: 'portmap', capabilities: { snat: true, portMappings: true } },
    ]);
  });
});
