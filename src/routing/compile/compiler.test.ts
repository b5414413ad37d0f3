/** Tables: cluster in, items out as sorted text; and the property that change by change equals all at once. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KernelRoute } from '../../net/values.ts';
import type { NodeObject } from '../../objects/types.ts';
import type { RoutingOptions, RoutingState, Underlay } from '../model.ts';
import { emptyObservation, plan } from '../plan.ts';
import { compile, createRoutingCompiler } from './compiler.ts';

const underlay: Underlay = { interface: 'eth0', mtu: 1500, subnets: ['10.0.0.0/24', 'fd00::/64'] };

function node(
  name: string,
  addresses: string[],
  podCIDRs: string[],
  annotations: Record<string, string> = {},
): NodeObject {
  return {
    kind: 'Node',
    namespace: '',
    name,
    uid: name,
    labels: {},
    annotations,
    addresses: addresses.map((address) => ({ type: 'InternalIP', address })),
    podCIDRs,
    unschedulable: false,
    ready: true,
    taints: [],
  };
}

const n1 = node('n1', ['10.0.0.1'], ['10.244.1.0/24']);
const n2 = node('n2', ['10.0.0.2'], ['10.244.2.0/24']);
const n3 = node('n3', ['10.9.0.3'], ['10.244.3.0/24']);

/** Routes, rules, tunnels and entries as one line each. */
function lines(
  state: RoutingState,
  types: readonly string[] = ['route', 'rule', 'link', 'fdb', 'neighbour', 'fou'],
): string[] {
  const out: string[] = [];
  for (const item of state.values()) {
    if (!types.includes(item.type)) continue;
    if (item.type === 'route') {
      const hops = item.hops.map((hop) =>
        [hop.via, hop.dev && `dev ${hop.dev}`, hop.weight && `x${hop.weight}`].filter(Boolean).join(' '),
      );
      out.push(
        `${item.table} ${item.prefix} -> ${hops.join(' | ')}${item.source === undefined ? '' : ` src ${item.source}`}${item.mtu === undefined ? '' : ` mtu ${item.mtu}`}`,
      );
    } else if (item.type === 'link')
      out.push(
        `${item.kind} ${item.name} mtu ${item.mtu} ${item.local ?? '-'} > ${item.remote ?? '-'} ${item.port ?? ''}`.trim(),
      );
    else out.push(Object.values(item).join(' '));
  }
  return out.sort();
}

const build = (options: Partial<RoutingOptions>, learned: KernelRoute[] = [], nodes = [n1, n2, n3]) =>
  compile({ node: 'n1', underlay, nodes, learned, ...options });

const learned: KernelRoute[] = [
  { prefix: '10.244.2.0/24', nextHops: [{ via: '10.0.0.2' }] },
  { prefix: '10.244.3.0/24', nextHops: [{ via: '10.9.0.3' }] },
];

describe('compile', () => {
  test.each<[string, Partial<RoutingOptions>, string[]]>([
    [
      'host-gateway from Node objects alone, the far node named as unreachable',
      { source: 'nodes', overlay: 'none' },
      ['254 10.244.2.0/24 -> 10.0.0.2', 'bridge kube-bridge mtu 1500 - > -'],
    ],
    [
      'subnet overlay: tunnel to the node of another subnet only',
      {},
      [
        '254 10.244.2.0/24 -> 10.0.0.2 mtu 1480',
        '254 10.244.3.0/24 -> dev tun-0a090003 src 10.0.0.1',
        '77 10.9.0.3/32 -> dev tun-0a090003 src 10.0.0.1',
        'bridge kube-bridge mtu 1480 - > -',
        'ipip tun-0a090003 mtu 1480 10.0.0.1 > 10.9.0.3',
        'rule 4 10.244.1.0/24 77',
      ],
    ],
    [
      'full overlay over GUE',
      { overlay: 'full', encapsulation: 'fou' },
      [
        '254 10.244.2.0/24 -> dev tun-0a000002 src 10.0.0.1',
        '254 10.244.3.0/24 -> dev tun-0a090003 src 10.0.0.1',
        '77 10.0.0.2/32 -> dev tun-0a000002 src 10.0.0.1',
        '77 10.9.0.3/32 -> dev tun-0a090003 src 10.0.0.1',
        'bridge kube-bridge mtu 1468 - > -',
        'fou 4 5555',
        'ipip tun-0a000002 mtu 1468 10.0.0.1 > 10.0.0.2 5555',
        'ipip tun-0a090003 mtu 1468 10.0.0.1 > 10.9.0.3 5555',
        'rule 4 10.244.1.0/24 77',
      ],
    ],
    [
      'VXLAN: one device, an entry a node',
      { encapsulation: 'vxlan' },
      [
        '254 10.244.2.0/24 -> 10.0.0.2 mtu 1450',
        '254 10.244.3.0/24 -> 10.9.0.3 dev kr-vxlan4 src 10.0.0.1',
        '77 10.9.0.3/32 -> 10.9.0.3 dev kr-vxlan4 src 10.0.0.1',
        'bridge kube-bridge mtu 1450 - > -',
        'fdb kr-vxlan4 0e:77:0a:09:00:03 10.9.0.3',
        'neighbour kr-vxlan4 10.9.0.3 0e:77:0a:09:00:03',
        'rule 4 10.244.1.0/24 77',
        'vxlan kr-vxlan4 mtu 1450 10.0.0.1 > - 4789',
      ],
    ],
  ])('%s', (_name, options, expected) => {
    expect(lines(build(options, learned).state)).toEqual(expected);
  });

  test('several next hops are one multipath route, sorted, with weights', () => {
    const route = { prefix: '192.0.2.1/32', nextHops: [{ via: '10.9.0.3', weight: 3 }, { via: '10.0.0.2' }] };
    expect(lines(build({}, [route]).state, ['route'])).toEqual([
      '254 192.0.2.1/32 -> 10.0.0.2 | dev tun-0a090003 x3 src 10.0.0.1 mtu 1480',
      '77 10.9.0.3/32 -> dev tun-0a090003 src 10.0.0.1',
    ]);
  });

  test('a tunnel stays until the last route through it is gone, whatever the order', () => {
    const compiler = createRoutingCompiler({ node: 'n1' });
    const nodes = [n1, n2, n3].map((object) => ({ key: object.name, object }));
    const two = ['192.0.2.1/32', '192.0.2.2/32'].map((prefix) => ({ prefix, nextHops: [{ via: '10.9.0.3' }] }));
    compiler.update({ underlay, nodes, learned: { changed: two, removed: [] } });
    const first = compiler.update({ learned: { changed: [], removed: ['192.0.2.1/32'] } });
    expect(first.dirty).toEqual(new Set(['route/254/192.0.2.1/32']));
    expect(first.state.has('link/tun-0a090003')).toBe(true);
    const second = compiler.update({ learned: { changed: [], removed: ['192.0.2.2/32'] } });
    expect(second.state.has('link/tun-0a090003')).toBe(false);
    expect([...second.dirty].sort()).toEqual([
      'link/tun-0a090003',
      'route/254/192.0.2.2/32',
      'route/77/10.9.0.3/32',
      'sysctl/net/ipv4/conf/tun-0a090003/rp_filter',
    ]);
  });

  test('a node that appears after its route decides that it is tunnelled; its going takes the tunnel along', () => {
    const compiler = createRoutingCompiler({ node: 'n1' });
    const early = compiler.update({
      underlay,
      nodes: [{ key: 'n1', object: n1 }],
      learned: { changed: [learned[1]!], removed: [] },
    });
    expect(early.issues).toEqual([
      {
        object: 'Route 10.244.3.0/24',
        field: 'nextHop',
        reason:
          '10.244.3.0/24 is not routed to 10.9.0.3: next hop 10.9.0.3 is in another subnet and belongs to no node',
      },
    ]);
    const later = compiler.update({ nodes: [{ key: 'n3', object: n3 }] });
    expect(later.issues).toEqual([]);
    expect(later.state.has('link/tun-0a090003')).toBe(true);
    expect(compiler.update({ nodes: [{ key: 'n3', object: undefined }] }).state.has('link/tun-0a090003')).toBe(false);
  });

  test('sets follow node events: pod CIDRs and addresses, annotations before the spec', () => {
    const annotated = node('n2', ['10.0.0.2'], ['10.244.2.0/24'], {
      'kube-router.io/pod-cidrs': '10.50.0.0/24, nonsense',
    });
    const out = build({}, [], [n1, annotated]);
    expect(lines(out.state, ['entry'])).toEqual([
      'entry kube-router-node-ips 10.0.0.1',
      'entry kube-router-node-ips 10.0.0.2',
      'entry kube-router-pod-subnets 10.244.1.0/24',
      'entry kube-router-pod-subnets 10.50.0.0/24',
    ]);
    expect(out.issues.map((issue) => issue.reason)).toEqual(['"nonsense" is no CIDR; it was left out']);
  });

  test('neither a default route nor our own pod CIDR is taken from a peer', () => {
    const out = build({}, [
      { prefix: '0.0.0.0/0', nextHops: [{ via: '10.0.0.2' }] },
      { prefix: '10.244.1.0/24', nextHops: [{ via: '10.0.0.2' }] },
    ]);
    expect(lines(out.state, ['route'])).toEqual([]);
    expect(out.issues.map((issue) => issue.object)).toEqual(['Route 0.0.0.0/0', 'Route 10.244.1.0/24']);
  });

  test('a tunnel found at start keeps its name for its remote', () => {
    const found = { ...underlay, tunnels: [{ name: 'tun-e443169117a', local: '10.0.0.1', remote: '10.9.0.3' }] };
    const out = compile({ node: 'n1', underlay: found, nodes: [n1, n3], learned: [learned[1]!] });
    expect(out.state.has('link/tun-e443169117a')).toBe(true);
  });

  test('two nodes with one pod CIDR: both orders of arrival give the same, and both are named', () => {
    const twin = node('n4', ['10.0.0.4'], ['10.244.2.0/24']);
    const options = { source: 'nodes', overlay: 'none' } as const;
    const one = build(options, [], [n1, n2, twin]);
    const other = build(options, [], [twin, n2, n1]);
    expect(lines(one.state)).toEqual(lines(other.state));
    expect(lines(one.state)).toContain('254 10.244.2.0/24 -> 10.0.0.2');
    expect(one.issues.map((issue) => issue.object)).toEqual(['Node n4']);
    expect(other.issues).toEqual(one.issues);
  });

  test('change by change ends where all at once does', () => {
    const pool = [
      n1,
      n2,
      n3,
      node('n2', ['10.9.0.2'], ['10.244.2.0/24']),
      node('n3', ['10.0.0.3'], ['10.244.3.0/24', '10.244.33.0/24']),
      node('n4', ['10.0.0.2', '10.9.0.9'], ['10.244.4.0/24']),
      node('n1', ['10.0.0.1', '10.9.0.1'], ['10.244.9.0/24']),
    ];
    const step = fc.oneof(
      fc.record({ node: fc.constantFrom(...pool) }),
      fc.record({ gone: fc.constantFrom('n2', 'n3', 'n4') }),
      fc.record({
        prefix: fc.constantFrom('10.244.2.0/24', '10.244.3.0/24', '192.0.2.1/32', '10.244.1.0/24'),
        via: fc.uniqueArray(fc.constantFrom('10.0.0.2', '10.9.0.3', '10.9.0.2', '172.16.0.1'), { maxLength: 3 }),
      }),
    );
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 25 }),
        fc.constantFrom('none' as const, 'subnet' as const, 'full' as const),
        fc.constantFrom('bgp' as const, 'nodes' as const),
        fc.constantFrom('ipip' as const, 'vxlan' as const),
        (steps, overlay, source, encapsulation) => {
          const options = { node: 'n1', overlay, source, encapsulation };
          const compiler = createRoutingCompiler(options);
          const nodes = new Map([['n1', n1]]);
          const routes = new Map<string, KernelRoute>();
          let out = compiler.update({ underlay, nodes: [{ key: 'n1', object: n1 }] });
          const shadow = new Map(out.state);
          for (const one of steps) {
            if ('node' in one) {
              nodes.set(one.node.name, one.node);
              out = compiler.update({ nodes: [{ key: one.node.name, object: one.node }] });
            } else if ('gone' in one) {
              nodes.delete(one.gone);
              out = compiler.update({ nodes: [{ key: one.gone, object: undefined }] });
            } else if (one.via.length === 0) {
              routes.delete(one.prefix);
              out = compiler.update({ learned: { changed: [], removed: [one.prefix] } });
            } else {
              const route = { prefix: one.prefix, nextHops: one.via.map((via) => ({ via })) };
              routes.set(one.prefix, route);
              out = compiler.update({ learned: { changed: [route], removed: [] } });
            }
            for (const key of out.dirty) {
              const item = out.state.get(key);
              if (item === undefined) shadow.delete(key);
              else shadow.set(key, item);
            }
          }
          const fresh = compile({ ...options, underlay, nodes: nodes.values(), learned: routes.values() });
          const sorted = (state: RoutingState) => [...state].sort(([a], [b]) => (a < b ? -1 : 1));
          expect(sorted(out.state)).toEqual(sorted(fresh.state));
          // The dirty keys alone carry a mirror along.
          expect(sorted(shadow)).toEqual(sorted(fresh.state));
          expect(out.issues.map((issue) => issue.object).sort()).toEqual(
            fresh.issues.map((issue) => issue.object).sort(),
          );
        },
      ),
      { numRuns: 200 },
    );
  });

  test('planning a changed route in a cluster of 2,000 looks at its keys alone', () => {
    const nodes = Array.from({ length: 2000 }, (_, index) => {
      const [a, b] = [index >> 8, index & 255];
      return node(`w${index}`, [`10.0.${a}.${b}`], [`10.${100 + a}.${b}.0/24`]);
    });
    const compiler = createRoutingCompiler({ node: 'w1' });
    const wide = { ...underlay, subnets: ['10.0.0.0/16'] };
    const { state } = compiler.update({ underlay: wide, nodes: nodes.map((object) => ({ key: object.name, object })) });
    const before = new Map(state);
    const { dirty } = compiler.update({
      learned: { changed: [{ prefix: '192.0.2.9/32', nextHops: [{ via: '10.0.0.9' }] }], removed: [] },
    });
    expect(dirty).toEqual(new Set(['route/254/192.0.2.9/32']));
    const watched = new Proxy(before, {
      get: (target, property) => {
        if (property === 'keys' || property === Symbol.iterator) throw new Error('walked everything');
        const value: unknown = Reflect.get(target, property);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
    expect(plan(state, { ...emptyObservation, items: watched }, { prune: true, dirty }).changes).toHaveLength(1);
  });
});
