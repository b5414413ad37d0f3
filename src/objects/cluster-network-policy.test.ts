/**
 * ClusterNetworkPolicies read from the API's JSON: what is understood, and that a mistake never opens anything.
 */
import { describe, expect, test } from 'vitest';
import { projectClusterNetworkPolicy } from './cluster-network-policy.ts';

const policy = (spec: unknown) => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'guard' },
  spec,
});
const read = (spec: unknown) => projectClusterNetworkPolicy(policy(spec));
const whole = { tier: 'Admin', priority: 7, subject: { namespaces: { matchLabels: { team: 'a' } } } };
const everything = { matchLabels: {}, matchExpressions: [] };
const team = (name: string) => ({ matchLabels: { team: name }, matchExpressions: [] });

test('a whole policy, tier, order and rules as they are written', () => {
  const { object, issues } = read({
    ...whole,
    ingress: [
      {
        name: 'from-b',
        action: 'Accept',
        from: [{ namespaces: { matchLabels: { team: 'b' } } }],
        protocols: [{ tcp: { destinationPort: { number: 443 } } }, { udp: {} }],
      },
      { action: 'Deny', from: [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: { team: 'c' } } } }] },
    ],
    egress: [
      { action: 'Pass', to: [{ networks: ['10.0.0.0/8', 'fd00::/8'] }] },
      {
        action: 'Deny',
        to: [{ namespaces: {} }],
        protocols: [{ sctp: { destinationPort: { range: { start: 1, end: 9 } } } }, { destinationNamedPort: 'web' }],
      },
    ],
  });
  expect(issues).toEqual([]);
  expect(object).toMatchObject({
    kind: 'ClusterNetworkPolicy',
    name: 'guard',
    namespace: '',
    tier: 'Admin',
    priority: 7,
    subject: { namespaceSelector: team('a'), podSelector: everything },
    invalid: false,
  });
  expect(object?.ingress).toEqual([
    {
      name: 'from-b',
      action: 'Accept',
      peers: [{ namespaceSelector: team('b'), podSelector: everything }],
      ports: [{ protocol: 'TCP', port: 443 }, { protocol: 'UDP' }],
    },
    { name: '', action: 'Deny', peers: [{ namespaceSelector: everything, podSelector: team('c') }], ports: [] },
  ]);
  expect(object?.egress).toEqual([
    {
      name: '',
      action: 'Pass',
      peers: [{ ipBlock: { cidr: '10.0.0.0/8', except: [] } }, { ipBlock: { cidr: 'fd00::/8', except: [] } }],
      ports: [],
    },
    {
      name: '',
      action: 'Deny',
      peers: [{ namespaceSelector: everything, podSelector: everything }],
      ports: [
        { protocol: 'SCTP', port: 1, endPort: 9 },
        { protocol: 'TCP', port: 'web' },
        { protocol: 'UDP', port: 'web' },
        { protocol: 'SCTP', port: 'web' },
      ],
    },
  ]);
});

describe('a rule that is not understood: Accept accepts less, Deny and Pass deny everything', () => {
  const from = [{ namespaces: {} }];
  const denyAll = 'Deny [] []';
  const cases: [name: string, rule: unknown, seen: string[]][] = [
    ['Accept of an unknown peer', { action: 'Accept', from: [{ moons: {} }] }, []],
    ['Accept of no peer', { action: 'Accept', from: [] }, []],
    ['Accept with an unknown field', { action: 'Accept', from, unless: {} }, []],
    ['Accept of an unknown protocol', { action: 'Accept', from, protocols: [{ quic: {} }] }, []],
    ['Deny of an unknown peer', { action: 'Deny', from: [{ moons: {} }] }, [denyAll]],
    ['Pass of an unknown peer', { action: 'Pass', from: [{ namespaces: {}, pods: {} }] }, [denyAll]],
    ['Pass with a bad port', { action: 'Pass', from, protocols: [{ tcp: { destinationPort: {} } }] }, [denyAll]],
    ['an unknown action', { action: 'Allow', from }, [denyAll]],
    ['no rule at all', 'deny', [denyAll]],
    ['a bad selector', { action: 'Deny', from: [{ namespaces: { matchLabels: { a: 7 } } }] }, [denyAll]],
  ];
  test.each(cases)('%s', (_, rule, seen) => {
    const { object, issues } = read({ ...whole, ingress: [rule] });
    expect(object?.ingress.map(({ action, peers, ports }) => [action, show(peers), show(ports)].join(' '))).toEqual(
      seen,
    );
    expect(object?.invalid).toBe(true);
    expect(issues.length).toBeGreaterThan(0);
  });
  const show = (value: unknown): string => JSON.stringify(value);

  test('of several peers the Accept keeps those that are understood', () => {
    const { object } = read({ ...whole, ingress: [{ action: 'Accept', from: [{ moons: {} }, { namespaces: {} }] }] });
    expect(object?.ingress[0]?.peers).toEqual([{ namespaceSelector: everything, podSelector: everything }]);
  });

  test('peers by node and by domain name are not understood', () => {
    const to = (peer: unknown, action: string) => read({ ...whole, egress: [{ action, to: [peer] }] }).object?.egress;
    expect(to({ domainNames: ['example.org'] }, 'Accept')).toEqual([]);
    expect(to({ nodes: {} }, 'Deny')).toEqual([{ action: 'Deny', name: '', peers: [], ports: [] }]);
  });
});

test('where tier, priority or subject are unclear, only Deny rules count, and they come first', () => {
  const rules = [
    { action: 'Accept', from: [{ namespaces: {} }] },
    { action: 'Deny', from: [{ namespaces: {} }] },
  ];
  for (const wrong of [
    { tier: 'Gold' },
    { priority: 1001 },
    { subject: {} },
    { subject: { namespaces: { a: 1 } } },
    { x: 1 },
  ]) {
    const { object, issues } = read({ ...whole, tier: 'Baseline', ...wrong, ingress: rules });
    expect(object).toMatchObject({ tier: 'Admin', priority: 0, invalid: true });
    expect(object?.ingress.map(({ action }) => action)).toEqual(['Deny']);
    expect(issues.length).toBeGreaterThan(0);
  }
  expect(projectClusterNetworkPolicy({ metadata: {} }).object).toBeUndefined();
});
