import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { projectEndpointSlice } from '../../objects/index.ts';
import { buildEndpointSlice } from '../../testing/builders.ts';
import { service, slice } from '../../../test/support/ipvs-objects.ts';
import { NODE, OPTIONS, TABLE, here, tableText, there, web } from '../../../test/support/ipvs-table.ts';
import { emptyObserved, plan } from '../plan.ts';
import { render } from '../render.ts';
import { compile } from './compile.ts';
import type { CompileInput } from './compile.ts';
import { createServiceCompiler } from './compiler.ts';
import type { ServiceChange } from './compiler.ts';

function run(input: Partial<CompileInput>): { text: string; issues: string[] } {
  const state = compile({ ...OPTIONS, services: [], endpointSlices: [], ...input });
  return {
    text: tableText(state.items),
    issues: state.issues.map(({ object, field, reason }) => `${object} ${field}: ${reason}`),
  };
}

test.each(TABLE)('$name', ({ input, expected, issues = [] }) => {
  const result = run(input);
  expect(result.text).toBe(expected);
  expect(result.issues).toEqual(issues);
});

describe('which endpoints take traffic', () => {
  const chosen = (
    endpoints: Parameters<typeof slice>[1],
    spec = {},
    raw?: (slice: Record<string, unknown>[]) => void,
  ): string => {
    const one = slice('shop/web', endpoints);
    raw?.(one.endpoints as unknown as Record<string, unknown>[]);
    const result = run({ services: [web({ spec })], endpointSlices: [one] });
    return [...result.text.matchAll(/-r 10\.1\.(\d\.\d)/g)].map((match) => match[1]).join(' ');
  };
  const ending = { ready: false, serving: true, terminating: true };
  const cases: [name: string, expected: string, ...Parameters<typeof chosen>][] = [
    ['ready ones', '1.2', [here('10.1.1.2'), here('10.1.1.3', { ready: false, serving: false })]],
    ['serving but ending ones only while none is ready', '1.2', [here('10.1.1.2'), here('10.1.1.3', ending)]],
    [
      'serving and ending, none ready',
      '1.3',
      [here('10.1.1.2', { ready: false, serving: false, terminating: true }), here('10.1.1.3', ending)],
    ],
    ['serving, not ready, not ending: no', '', [here('10.1.1.2', { ready: false, serving: true })]],
    ['the same endpoint twice is one', '1.2', [here('10.1.1.2'), here('10.1.1.2')]],
    ['order is by number, not by text', '1.2 2.1', [here('10.1.2.1'), here('10.1.1.2')]],
    [
      'PreferClose without hints: the own zone',
      '1.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      { trafficDistribution: 'PreferClose' },
    ],
    [
      'PreferSameZone with nobody in the zone: all',
      '2.2 2.3',
      [there('10.1.2.2'), there('10.1.2.3')],
      { trafficDistribution: 'PreferSameZone' },
    ],
    [
      'PreferSameNode',
      '1.2',
      [here('10.1.1.2'), here('10.1.1.3', { node: 'n3' })],
      { trafficDistribution: 'PreferSameNode' },
    ],
    [
      'PreferSameNode without one here: the zone',
      '1.3',
      [here('10.1.1.3', { node: 'n3' }), there('10.1.2.2')],
      { trafficDistribution: 'PreferSameNode' },
    ],
    [
      'zone hints on every endpoint',
      '2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      {},
      (list) => {
        (list[0] as Record<string, unknown>).hintZones = ['b'];
        (list[1] as Record<string, unknown>).hintZones = ['a', 'b'];
      },
    ],
    [
      'node hints before zone hints',
      '2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      { trafficDistribution: 'PreferSameNode' },
      (list) => {
        Object.assign(list[0] as object, { hintZones: ['a'], hintNodes: ['n9'] });
        Object.assign(list[1] as object, { hintZones: ['b'], hintNodes: ['n1'] });
      },
    ],
    [
      'zone hints, none for this zone: all',
      '1.2 2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      {},
      (list) => {
        for (const one of list) Object.assign(one, { hintZones: ['c'] });
      },
    ],
    [
      'hints on some endpoints only: ignored',
      '1.2 2.2',
      [here('10.1.1.2'), there('10.1.2.2')],
      {},
      (list) => {
        (list[1] as Record<string, unknown>).hintZones = ['a'];
      },
    ],
  ];
  test.each(cases)('%s', (_name, expected, ...args) => {
    expect(chosen(...args)).toBe(expected);
  });
});

describe('what depends on the node and its flags, not on Services', () => {
  /** Rules of a chain, and rules elsewhere that lead to it. */
  const rules = (options: Partial<CompileInput>, table: string, name: string): string => {
    const { items } = compile({ ...OPTIONS, services: [], endpointSlices: [], ...options });
    const lines: string[] = [];
    for (const item of items.values()) {
      if (item.type !== 'chain' && item.type !== 'jump') continue;
      if (item.family !== 4 || item.table !== table) continue;
      if (item.type === 'chain' && item.name === name) lines.push(...item.rules.map((rule) => `-A ${name} ${rule}`));
      if (item.type === 'jump' && item.rule.endsWith(`-j ${name}`)) lines.push(`-A ${item.chain} ${item.rule}`);
    }
    return lines.join('\n');
  };
  const HAIRPIN = '-A KUBE-ROUTER-SVC-NAT -m set --match-set kube-router-hairpin dst,dst,src -j MASQUERADE';
  const NAT_JUMP = '-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-SVC-NAT';
  const nat: [name: string, options: Partial<CompileInput>, expected: string][] = [
    [
      'what came from outside and leaves to a pod elsewhere is masqueraded',
      {},
      `${HAIRPIN}
-A KUBE-ROUTER-SVC-NAT -m ipvs --vdir ORIGINAL --vmethod MASQ -m set ! --match-set kube-router-svc-pods src -m set ! --match-set kube-router-svc-pods dst -j SNAT --to-source 192.168.1.11 --random-fully
${NAT_JUMP}`,
    ],
    [
      'masquerade-all: every balanced packet',
      { masqueradeAll: true },
      `${HAIRPIN}
-A KUBE-ROUTER-SVC-NAT -m ipvs --vdir ORIGINAL --vmethod MASQ -j SNAT --to-source 192.168.1.11 --random-fully
${NAT_JUMP}`,
    ],
    [
      'without a pod CIDR nothing tells outside from inside: hairpin alone',
      { node: { ...NODE, podCIDRs: [] } },
      `${HAIRPIN}
${NAT_JUMP}`,
    ],
  ];
  test.each(nat)('%s', (_name, options, expected) => {
    expect(rules(options, 'nat', 'KUBE-ROUTER-SVC-NAT')).toBe(expected);
  });
  test('the VIP firewall can be off; refusal and source ranges stay', () => {
    expect(rules({ permitAll: false }, 'filter', 'KUBE-ROUTER-SERVICES')).toBe('');
    expect(rules({}, 'filter', 'KUBE-ROUTER-SERVICES')).toContain(
      '-A INPUT -m set --match-set kube-router-svip dst -j KUBE-ROUTER-SERVICES',
    );
    expect(rules({ permitAll: false }, 'filter', 'KUBE-ROUTER-SVC-REFUSE')).toContain(
      '-A INPUT -m set --match-set kube-router-svip-ref dst,dst -j KUBE-ROUTER-SVC-REFUSE',
    );
    expect(rules({ permitAll: false }, 'filter', 'DROP')).toBe(
      '-A INPUT -m set --match-set kube-router-svip-lim dst,dst -m set ! --match-set kube-router-svip-src dst,dst,src -j DROP',
    );
  });
  test("DSR's MSS follows the MTU of the uplink", () => {
    const text = rules({ node: { ...NODE, mtu: 1450 } }, 'mangle', 'KUBE-ROUTER-SVC-MARK');
    expect(text).toContain(
      '--match-set kube-router-svc-mark src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1390',
    );
    expect(text).toContain(
      '--match-set kube-router-svc-fou src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1378',
    );
  });
  test('timeouts of IPVS, where a flag asks for them', () => {
    const { items } = compile({ ...OPTIONS, services: [], endpointSlices: [], tcpTimeout: 900, udpTimeout: 300 });
    expect(render(plan({ items, graceMs: () => 0, drain: true }, emptyObserved()))).toContain(
      'ipvsadm --set 900 0 300\n',
    );
  });
  test('health-check node port: local endpoints that are ready and stay, of both families once', () => {
    const compiler = createServiceCompiler(OPTIONS);
    const spec = { externalTrafficPolicy: 'Local', healthCheckNodePort: 31000 };
    const balanced = web({ type: 'LoadBalancer', clusterIPs: ['172.16.0.10', 'fd00::10'], spec });
    const ends = [
      slice('shop/web', [
        here('10.1.1.2', { pod: 'shop/a' }),
        here('10.1.1.3', { pod: 'shop/b', ready: false, serving: true, terminating: true }),
        there('10.1.2.2', { pod: 'shop/c' }),
      ]),
      slice('shop/web', [here('fd01:1::2', { pod: 'shop/a' })]),
    ];
    compiler.update([
      { kind: 'Service', key: 'shop/web', object: balanced },
      ...ends.map((object, index): ServiceChange => ({ kind: 'EndpointSlice', key: `shop/web-${index}`, object })),
    ]);
    compiler.flush();
    expect([...compiler.health.values()]).toEqual([{ namespace: 'shop', name: 'web', port: 31000, localEndpoints: 1 }]);
  });
});

describe('the incremental compiler', () => {
  const services = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      gone: fc.boolean(),
      external: fc.constantFrom([], ['198.51.100.5'], ['198.51.100.5', '198.51.100.6']),
      local: fc.boolean(),
      dsr: fc.boolean(),
      endpoints: fc.subarray(['10.1.1.2', '10.1.1.3', '10.1.2.2', '10.1.2.3']),
    }),
    { minLength: 1, maxLength: 12 },
  );
  test('any history of changes ends where a fresh compile of the end does, and dirty names every difference', () => {
    fc.assert(
      fc.property(services, (history) => {
        const compiler = createServiceCompiler(OPTIONS);
        compiler.flush();
        const final = new Map<string, (typeof history)[number]>();
        let before = new Map(compiler.flush().state.items);
        for (const step of history) {
          final.set(step.name, step);
          const key = `shop/${step.name}`;
          const changes: ServiceChange[] = [
            { kind: 'Service', key, object: step.gone ? undefined : make(step) },
            { kind: 'EndpointSlice', key: `${key}-4`, object: step.gone ? undefined : ends(step) },
          ];
          compiler.update(changes);
          const { state, dirty } = compiler.flush();
          for (const name of new Set([...before.keys(), ...state.items.keys()])) {
            if (JSON.stringify(before.get(name)) !== JSON.stringify(state.items.get(name)))
              expect(dirty?.has(name), name).toBe(true);
          }
          before = new Map(state.items);
        }
        const alive = [...final.values()].filter(({ gone }) => !gone);
        const fresh = compile({
          ...OPTIONS,
          marks: compiler.marks(),
          services: alive.map(make),
          endpointSlices: alive.map(ends),
        });
        expect([...before.keys()].sort()).toEqual([...fresh.items.keys()].sort());
        expect(tableText(before)).toBe(tableText(fresh.items));
        expect(compiler.issues().length).toBe(fresh.issues.length);
      }),
      { numRuns: 150 },
    );
  });
  interface Step {
    name: string;
    external: readonly string[];
    local: boolean;
    dsr: boolean;
    endpoints: string[];
  }
  const make = (step: Step) =>
    service(`shop/${step.name}`, {
      clusterIPs: [`172.16.0.${step.name.charCodeAt(0)}`],
      ports: [{ port: 80, protocol: 'TCP' }],
      annotations: step.dsr ? { 'kube-router.io/service.dsr': 'tunnel' } : {},
      spec: { externalIPs: step.external, externalTrafficPolicy: step.local ? 'Local' : 'Cluster' },
    });
  const ends = (step: Step) =>
    slice(
      `shop/${step.name}`,
      step.endpoints.map((address) => here(address)),
      [{ port: 80 }],
    );

  test('marks are kept over a restart and never collide, the known colliding pair included', () => {
    const compiler = createServiceCompiler({ ...OPTIONS, strictExternalIps: false });
    const dsr = (name: string, port: number, protocol: string) =>
      service(name, {
        clusterIPs: [`172.16.1.${port % 250}`],
        ports: [{ port, protocol }],
        annotations: { 'kube-router.io/service.dsr': 'tunnel' },
        spec: { externalIPs: ['147.160.180.44'] },
      });
    compiler.update([
      { kind: 'Service', key: 'x/a', object: dsr('x/a', 8080, 'TCP') },
      { kind: 'Service', key: 'x/b', object: dsr('x/b', 80, 'UDP') },
    ]);
    compiler.flush();
    const marks = compiler.marks();
    expect(new Set(marks.values()).size).toBe(2);
    for (const mark of marks.values()) expect(mark & 0x2000).toBe(0x2000);
    const second = createServiceCompiler({ ...OPTIONS, strictExternalIps: false, marks });
    second.update([
      { kind: 'Service', key: 'x/b', object: dsr('x/b', 80, 'UDP') },
      { kind: 'Service', key: 'x/a', object: dsr('x/a', 8080, 'TCP') },
    ]);
    second.flush();
    expect(new Map([...second.marks()].sort())).toEqual(new Map([...marks].sort()));
  });

  test('a mark stays with the place when another Service takes it over, and is not given out twice', () => {
    const compiler = createServiceCompiler(OPTIONS);
    const local = (name: string) =>
      service(name, {
        clusterIPs: [name === 'a/one' ? '172.16.0.1' : '172.16.0.2'],
        ports: [{ port: 80, protocol: 'TCP' }],
        spec: { externalIPs: ['198.51.100.5'], externalTrafficPolicy: 'Local' },
      });
    const put = (name: string, object: ReturnType<typeof local> | undefined): string | undefined => {
      compiler.update([{ kind: 'Service', key: name, object }]);
      const { state } = compiler.flush();
      const marked = [...state.items.values()].find((item) => item.type === 'vs' && item.mark !== undefined);
      return marked === undefined ? undefined : compiler.owner(marked.key);
    };
    expect(put('b/two', local('b/two'))).toBe('b/two');
    const [mark] = compiler.marks().values();
    expect(put('a/one', local('a/one'))).toBe('a/one');
    expect([...compiler.marks().values()]).toEqual([mark]);
    expect(compiler.issues()).toHaveLength(1);
    expect(put('a/one', undefined)).toBe('b/two');
    expect([...compiler.marks().values()]).toEqual([mark]);
    expect(compiler.issues()).toEqual([]);
    expect(put('b/two', undefined)).toBe(undefined);
    expect([...compiler.marks()]).toEqual([]);
  });

  test('DSR: every pod of this node is to be prepared, also one that other zones are meant to use, and one that ends', () => {
    const compiler = createServiceCompiler(OPTIONS);
    const ending = { ready: false, serving: true, terminating: true };
    compiler.update([
      {
        kind: 'Service',
        key: 'shop/web',
        object: web({
          annotations: { 'kube-router.io/service.dsr': 'tunnel' },
          spec: { externalIPs: ['198.51.100.5'] },
        }),
      },
      {
        kind: 'EndpointSlice',
        key: 'shop/web-4',
        object: slice(
          'shop/web',
          [
            here('10.1.1.2', { pod: 'shop/near', hintZones: ['a'] }),
            here('10.1.1.3', { pod: 'shop/far', hintZones: ['b'] }),
            here('10.1.1.4', { pod: 'shop/old', ...ending }),
            there('10.1.2.2', { pod: 'shop/other', hintZones: ['b'] }),
          ],
          [{ port: 80 }],
        ),
      },
    ]);
    const { state } = compiler.flush();
    const vip = '198.51.100.5';
    expect(compiler.dsr.get('shop/web')).toEqual([
      { pod: 'shop/near', address: '10.1.1.2', vip, uid: '' },
      { pod: 'shop/far', address: '10.1.1.3', vip, uid: '' },
      { pod: 'shop/old', address: '10.1.1.4', vip, uid: '' },
    ]);
    const marked = [...state.items.values()].find((item) => item.type === 'vs' && item.forward === 'tunnel');
    expect(marked?.type === 'vs' && marked.servers.map(({ address }) => address)).toEqual(['10.1.1.2']);
  });

  test('malformed slices: an issue each, the rest applied', () => {
    const raw = (more: object) => ({
      ...buildEndpointSlice('shop/web', { endpoints: [{ address: '10.1.1.9' }], ports: [{ port: 8080 }] }),
      ...more,
    });
    const bad = [
      raw({ ports: [{ protocol: 'TCP' }] }),
      raw({ endpoints: [{ addresses: [] }] }),
      raw({ addressType: 'FQDN', endpoints: [{ addresses: ['example.com'] }] }),
      raw({ endpoints: [{ addresses: ['fd01::1'] }, { addresses: ['10.1.1.5'] }] }),
      raw({ endpoints: [{ addresses: ['010.1.1.1'] }] }),
    ].map((one, index) => projectEndpointSlice({ ...one, metadata: { ...one.metadata, name: `bad-${index}` } }));
    expect(bad.map(({ issues }) => issues.map(({ object, field, reason }) => `${object} ${field}: ${reason}`))).toEqual(
      [
        ['EndpointSlice shop/bad-0 ports[0].port: undefined is not a port; left out'],
        ['EndpointSlice shop/bad-1 endpoints[0].addresses: no address; the endpoint is left out'],
        ['EndpointSlice shop/bad-2 addressType: FQDN: no packet is sent to a host name; the slice is ignored'],
        ["EndpointSlice shop/bad-3 endpoints[0].addresses[0]: fd01::1 is not of the slice's family; left out"],
        ['EndpointSlice shop/bad-4 endpoints[0].addresses[0]: "010.1.1.1" is not an IP address; left out'],
      ],
    );
    const slices = bad.flatMap(({ object }) => (object === undefined ? [] : [object]));
    const good = slice('shop/web', ['10.1.1.2'], [{ port: 8080 }], { name: 'good' });
    expect(run({ services: [web()], endpointSlices: [...slices, good] }).text).toBe(`-A -t 172.16.0.10:80 -s rr
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.5:8080 -m -w 1
addr 172.16.0.10 src 192.168.1.11
svip 172.16.0.10
svip-prt 172.16.0.10,tcp:80`);
  });

  test('2,000 endpoints in one slice: an issue, and all are used', () => {
    const endpoints = Array.from({ length: 2000 }, (_, index) => ({ address: `10.1.${index >> 8}.${index & 255}` }));
    const many = projectEndpointSlice(buildEndpointSlice('shop/web', { endpoints, ports: [{ port: 8080 }] }));
    expect(many.issues.map(({ reason }) => reason)).toEqual([
      '2000 endpoints, of which the API allows 1000; all are used',
    ]);
    const result = compile({ ...OPTIONS, services: [web()], endpointSlices: many.object ? [many.object] : [] });
    const vs = result.items.get('vs/tcp/172.16.0.10:80');
    expect(vs?.type === 'vs' && vs.servers.length).toBe(2000);
  });
});
