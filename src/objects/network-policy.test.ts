import { describe, expect, it } from 'vitest';
import { projectNetworkPolicy } from './network-policy.ts';

const policy = (spec: unknown) => projectNetworkPolicy({ metadata: { name: 'p', namespace: 'a' }, spec });
const peerOf = (peer: unknown) => policy({ podSelector: {}, ingress: [{ from: [peer] }] });
const portOf = (port: unknown) => policy({ podSelector: {}, ingress: [{ ports: [port] }] });

describe('what a policy says', () => {
  it('reads selectors, blocks and ports', () => {
    const { object, issues } = policy({
      podSelector: { matchLabels: { app: 'db' } },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [
            { podSelector: { matchExpressions: [{ key: 'tier', operator: 'In', values: ['web', 'api'] }] } },
            { namespaceSelector: {}, podSelector: { matchLabels: { role: 'x' } } },
            { ipBlock: { cidr: '10.1.2.3/08', except: ['10.1.0.0/16'] } },
          ],
          ports: [{ port: 5432 }, { protocol: 'UDP', port: 'dns' }, { port: 8000, endPort: 8010 }, {}],
        },
      ],
      egress: [],
    });
    expect(issues).toEqual([]);
    expect(object).toMatchObject({
      invalid: false,
      podSelector: { matchLabels: { app: 'db' }, matchExpressions: [] },
      ingress: [
        {
          peers: [
            {
              podSelector: {
                matchLabels: {},
                matchExpressions: [{ key: 'tier', operator: 'In', values: ['web', 'api'] }],
              },
            },
            {
              namespaceSelector: { matchLabels: {}, matchExpressions: [] },
              podSelector: { matchLabels: { role: 'x' } },
            },
            { ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } },
          ],
          ports: [
            { protocol: 'TCP', port: 5432 },
            { protocol: 'UDP', port: 'dns' },
            { protocol: 'TCP', port: 8000, endPort: 8010 },
            { protocol: 'TCP' },
          ],
        },
      ],
      egress: [],
    });
  });

  it.each([
    ['no policyTypes, no egress', {}, [true, false]],
    ['no policyTypes, egress rules', { egress: [{}] }, [true, true]],
    ['no policyTypes, empty egress', { egress: [] }, [true, false]],
    ['Egress alone', { policyTypes: ['Egress'] }, [false, true]],
  ])('%s', (_, spec, expected) => {
    const { object } = policy({ podSelector: {}, ...spec });
    expect([object?.ingress !== undefined, object?.egress !== undefined]).toEqual(expected);
  });

  it('leading zeros in a block are decimal', () => {
    const { object } = peerOf({ ipBlock: { cidr: '010.0.0.0/8' } });
    expect(object?.ingress).toEqual([{ peers: [{ ipBlock: { cidr: '10.0.0.0/8', except: [] } }], ports: [] }]);
  });

  it('allow-all stays allow-all', () => {
    expect(policy({ podSelector: {}, ingress: [{}] }).object?.ingress).toEqual([{ peers: [], ports: [] }]);
  });
});

describe('a mistake makes it stricter', () => {
  it.each([
    ['both a block and a selector', { ipBlock: { cidr: '10.0.0.0/8' }, podSelector: {} }],
    ['no peer at all', {}],
    ['a misspelt peer', { podSelecter: {} }],
    ['a block that is none', { ipBlock: { cidr: '10.0.0.0' } }],
    ['an except that is none', { ipBlock: { cidr: '10.0.0.0/8', except: ['x'] } }],
    ['an unknown operator', { podSelector: { matchExpressions: [{ key: 'a', operator: 'Gt', values: ['1'] }] } }],
    ['In without values', { podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }],
    ['a number for a label', { namespaceSelector: { matchLabels: { a: 1 } } }],
    ['null', null],
  ])('peer: %s allows nothing', (_, peer) => {
    const { object, issues } = peerOf(peer);
    expect(object).toMatchObject({ ingress: [], invalid: true });
    expect(issues[0]?.object).toBe('NetworkPolicy a/p');
    expect(issues[0]?.field).toMatch(/^spec\.ingress\[0\]\.from\[0\]/);
  });

  it.each([
    ['port 0', { port: 0 }],
    ['port 65536', { port: 65536 }],
    ['a number as text', { port: '80' }],
    ['a name too long', { port: 'sixteen-letters-' }],
    ['an unknown protocol', { port: 80, protocol: 'ICMP' }],
    ['endPort before port', { port: 80, endPort: 79 }],
    ['endPort of a name', { port: 'http', endPort: 90 }],
    ['endPort alone', { endPort: 90 }],
    ['a misspelt field', { prot: 80 }],
  ])('port: %s allows nothing', (_, port) => {
    const { object, issues } = portOf(port);
    expect(object).toMatchObject({ ingress: [], invalid: true });
    expect(issues[0]?.field).toMatch(/^spec\.ingress\[0\]\.ports\[0\]/);
  });

  it('good alternatives beside a bad one stay', () => {
    const { object } = policy({
      podSelector: {},
      ingress: [{ from: [{ podSelector: {} }, {}], ports: [{ port: 0 }, { port: 1 }] }],
    });
    expect(object?.ingress).toEqual([
      { peers: [{ podSelector: { matchLabels: {}, matchExpressions: [] } }], ports: [{ protocol: 'TCP', port: 1 }] },
    ]);
  });

  it.each([
    ['a misspelt from', [{ form: [] }]],
    ['from that is no list', [{ from: {} }]],
    ['null for a rule', [null]],
    ['rules that are no list', { from: [] }],
  ])('rule: %s allows nothing', (_, ingress) => {
    expect(policy({ podSelector: {}, ingress }).object).toMatchObject({ ingress: [], invalid: true });
  });

  it('a misspelt policy type isolates both ways, with the rules of what was named', () => {
    const { object } = policy({ podSelector: {}, policyTypes: ['Ingress', 'egress'], ingress: [{}], egress: [{}] });
    expect(object).toMatchObject({ ingress: [{ peers: [], ports: [] }], egress: [], invalid: true });
  });

  it('a selector not understood selects by what is left of it and allows nothing', () => {
    const { object } = policy({
      podSelector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'c', operator: 'Like', values: ['d'] }] },
      ingress: [{}],
    });
    expect(object).toMatchObject({
      podSelector: { matchLabels: { a: 'b' }, matchExpressions: [] },
      ingress: [],
      invalid: true,
    });
  });

  it('a spec that is no object isolates everything', () => {
    expect(policy('all').object).toMatchObject({ ingress: [], egress: [], invalid: true });
  });
});
