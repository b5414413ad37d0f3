/**
 * The evaluator on small clusters whose answers are read off the NetworkPolicy API's text by hand.
 */
import { describe, expect, test } from 'vitest';
import { evaluate } from './evaluate.ts';
import type { Flow, PolicyModel } from './evaluate.ts';
import type { ClusterNetworkPolicyObject, ClusterPolicyRule } from '../objects/index.ts';
import { clusterPolicy, labels, namespace, pod, policy } from '../../test/support/firewall/objects.ts';

const web = pod('shop/web', ['10.1.0.1', 'fd00::1'], { app: 'web' }, { hostIPs: ['172.16.0.1'] });
const db = pod(
  'shop/db',
  ['10.1.0.2'],
  { app: 'db' },
  {
    hostIPs: ['172.16.0.1'],
    ports: [{ name: 'sql', protocol: 'TCP', port: 5432 }],
  },
);
const spy = pod('other/spy', ['10.1.0.3'], { app: 'web' }, { nodeName: 'n2', hostIPs: ['172.16.0.2'] });
const namespaces = [namespace('shop', { team: 'a' }), namespace('other', { team: 'b' })];
const dbFromWeb = policy('shop/db-from-web', labels({ app: 'db' }), {
  ingress: [{ peers: [{ podSelector: labels({ app: 'web' }) }], ports: [{ protocol: 'TCP', port: 'sql' }] }],
});

const model = (policies: PolicyModel['policies']): PolicyModel => ({ pods: [web, db, spy], namespaces, policies });
const flow = (source: string, destination: string, port = 5432, protocol = 'tcp'): Flow => ({
  source,
  destination,
  port,
  protocol,
});

describe('one policy', () => {
  const cases: [name: string, flow: Flow, verdict: string, reason: string][] = [
    ['the named port from the named peer', flow('shop/web', 'shop/db'), 'allow', 'rule'],
    ['another port', flow('shop/web', 'shop/db', 80), 'deny', 'isolated'],
    ['another protocol', flow('shop/web', 'shop/db', 5432, 'udp'), 'deny', 'isolated'],
    ['the same labels in another namespace', flow('other/spy', 'shop/db'), 'deny', 'isolated'],
    ['from outside', flow('192.0.2.1', 'shop/db'), 'deny', 'isolated'],
    ['from its own node', flow('172.16.0.1', 'shop/db', 80), 'allow', 'own-node'],
    ['from another node', flow('172.16.0.2', 'shop/db', 80), 'deny', 'isolated'],
    ['to itself', flow('shop/db', 'shop/db', 80), 'allow', 'itself'],
    ['to a pod that nothing selects', flow('shop/db', 'shop/web', 80), 'allow', 'unselected'],
    ['to the world', flow('shop/db', '192.0.2.1', 80), 'allow', 'no-pod'],
  ];
  test.each(cases)('%s', (_, asked, verdict, reason) => {
    const answer = evaluate(model([dbFromWeb]), asked);
    expect([answer.verdict, answer.because.reason]).toEqual([verdict, reason]);
  });
});

test('names the rule that allows and the policies that deny', () => {
  const deny = policy('shop/deny', labels(), { ingress: [] });
  expect(evaluate(model([deny, dbFromWeb]), flow('shop/web', 'shop/db')).because).toEqual({
    direction: 'ingress',
    pod: 'shop/db',
    verdict: 'allow',
    reason: 'rule',
    policy: 'shop/db-from-web',
    rule: 0,
  });
  expect(evaluate(model([deny, dbFromWeb]), flow('other/spy', 'shop/db')).because).toEqual({
    direction: 'ingress',
    pod: 'shop/db',
    verdict: 'deny',
    reason: 'isolated',
    policies: ['shop/db-from-web', 'shop/deny'],
  });
});

test('only one node enforces when asked so', () => {
  const deny = policy('shop/deny', labels(), { ingress: [] });
  const asked = flow('other/spy', 'shop/db');
  expect(evaluate({ ...model([deny]), node: 'n2' }, asked).because.reason).toBe('elsewhere');
  expect(evaluate({ ...model([deny]), node: 'n1' }, asked).verdict).toBe('deny');
});

test('an unknown end is an error that names it', () => {
  expect(() => evaluate(model([]), flow('shop/none', 'shop/db'))).toThrow(/source: shop\/none/);
});

describe('tiers', () => {
  const everybody = { namespaceSelector: labels(), podSelector: labels() };
  const rule = (action: 'Accept' | 'Deny' | 'Pass', app?: string): ClusterPolicyRule => ({
    action,
    name: '',
    peers: app === undefined ? [everybody] : [{ ...everybody, podSelector: labels({ app }) }],
    ports: [],
  });
  const shop = { namespaceSelector: labels({ team: 'a' }), podSelector: labels() };
  const ask = (
    policies: PolicyModel['policies'],
    clusterPolicies: readonly ClusterNetworkPolicyObject[],
    one = flow('shop/web', 'shop/db'),
  ): string => {
    const { verdict, because } = evaluate({ ...model(policies), clusterPolicies }, one);
    const by = because.policy ?? because.policies?.join() ?? '-';
    return `${verdict} ${because.reason} ${by}${because.tier === undefined ? '' : ` ${because.tier}`}`;
  };
  const admin = (name: string, priority: number, ...ingress: ClusterPolicyRule[]) =>
    clusterPolicy(name, 'Admin', { priority, subject: shop, ingress });
  const baseline = (name: string, ...ingress: ClusterPolicyRule[]) =>
    clusterPolicy(name, 'Baseline', { subject: shop, ingress });
  const closed = policy('shop/closed', labels(), { ingress: [] });

  const cases: [name: string, seen: string, wanted: string][] = [
    [
      'Admin denies what a NetworkPolicy allows',
      ask([dbFromWeb], [admin('no', 1, rule('Deny'))]),
      'deny rule no Admin',
    ],
    [
      'Admin accepts what a NetworkPolicy refuses',
      ask([closed], [admin('yes', 1, rule('Accept'))]),
      'allow rule yes Admin',
    ],
    [
      'the lower priority number is asked first',
      ask([], [admin('late', 2, rule('Accept')), admin('early', 1, rule('Deny'))]),
      'deny rule early Admin',
    ],
    [
      'the first rule that matches decides',
      ask([], [admin('a', 1, rule('Accept', 'web'), rule('Deny'))]),
      'allow rule a Admin',
    ],
    [
      'Pass skips the rest of the tier',
      ask([closed], [admin('a', 1, rule('Pass', 'web'), rule('Accept')), admin('b', 2, rule('Accept'))]),
      'deny isolated shop/closed',
    ],
    [
      'Baseline denies whom no NetworkPolicy selects',
      ask([], [baseline('base', rule('Deny'))]),
      'deny rule base Baseline',
    ],
    [
      'Baseline is not asked for whom one selects',
      ask([dbFromWeb], [baseline('base', rule('Deny'))]),
      'allow rule shop/db-from-web',
    ],
    ['Pass in Baseline is the default', ask([], [baseline('base', rule('Pass'), rule('Deny'))]), 'allow unselected -'],
    [
      'a policy that selects another namespace says nothing',
      ask([], [admin('no', 1, rule('Deny'))], flow('shop/web', 'other/spy')),
      'allow unselected -',
    ],
    [
      'who is no pod is no peer',
      ask([], [admin('no', 1, rule('Deny'))], flow('192.0.2.1', 'shop/db')),
      'allow unselected -',
    ],
    [
      'its own node reaches a pod',
      ask([], [admin('no', 1, rule('Deny'))], flow('172.16.0.1', 'shop/db')),
      'allow own-node -',
    ],
  ];
  test.each(cases)('%s', (_, seen, wanted) => expect(seen).toBe(wanted));
});
