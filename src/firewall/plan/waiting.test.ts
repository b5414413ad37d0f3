/**
 * An address that changes hands changes who is judged by which class and who is known as whose peer, in one change of one pod. While
 * nothing may be removed, no end of a flow may be judged by half of it.
 */
import { describe, expect, test } from 'vitest';
import { createPolicyCompiler } from '../compile/compiler.ts';
import type { FirewallState } from '../model/types.ts';
import { createFirewallTarget } from '../target/target.ts';
import { createFakeNetfilter } from '../../../test/support/firewall/fake-netfilter.ts';
import { createFakeNftables } from '../../../test/support/firewall/fake-nftables.ts';
import { clusterPolicy, labels, namespace, pod, policy } from '../../../test/support/firewall/objects.ts';
import { opening } from '../../../test/support/firewall/packet.ts';

type Changes = Parameters<ReturnType<typeof createPolicyCompiler>['update']>[0];

const BACKENDS = { iptables: createFakeNetfilter, nftables: createFakeNftables } as const;
const { signal } = new AbortController();

/** A machine that holds the first state of a cluster. */
async function begun(backend: keyof typeof BACKENDS, start: Changes) {
  const compiler = createPolicyCompiler({ node: 'n1' });
  const machine = BACKENDS[backend]();
  const target = createFirewallTarget({ runner: machine.runner, backend });
  const sync = async ({ state }: { readonly state: FirewallState }, prune: boolean): Promise<void> => {
    await target.apply(target.plan(state, await target.observe(signal), { prune }), signal);
  };
  await sync(compiler.update(start), true);
  const reaches = (source: string, destination: string): boolean => machine.passes(opening(source, destination, 80));
  return { compiler, machine, sync, reaches };
}

/** Who of two pods has an address that both claim: the first by name. */
const FIRST = 'open/a';
const SECOND = 'shut/b';
const podAt = (key: string, ...addresses: string[]) => ({ key, object: pod(key, addresses) });
/** Pods of `open` take from each other, those of `shut` from nobody; of the others each namespace has a class. */
const policies = (kinds: number) => [
  {
    key: 'open/p',
    object: policy('open/p', labels(), { ingress: [{ peers: [{ podSelector: labels() }], ports: [] }] }),
  },
  { key: 'shut/p', object: policy('shut/p', labels(), { ingress: [] }) },
  ...Array.from({ length: kinds }, (_, at) => ({
    key: `more-${at}/p`,
    object: policy(`more-${at}/p`, labels(), { ingress: [{ peers: [], ports: [{ protocol: 'TCP', port: at + 1 }] }] }),
  })),
];
const others = (kinds: number) => Array.from({ length: kinds }, (_, at) => podAt(`more-${at}/p`, `10.1.2.${at + 1}`));

describe.each(['iptables', 'nftables'] as const)('%s', (backend) => {
  test.each([
    // The first one's old address falls to the second, which takes from nobody, and its new one is a peer of the first one's class.
    ['given away', [podAt(FIRST, '10.1.1.3'), podAt(SECOND, '10.1.1.3')], '10.1.1.4', '10.1.1.4', '10.1.1.3'],
    // The first one's new address was the second's, and its old one is a peer of the first one's class no more.
    ['taken', [podAt(FIRST, '10.1.1.3'), podAt(SECOND, '10.1.1.4')], '10.1.1.4', '10.1.1.3', '10.1.1.4'],
  ])('an address %s lets nobody in while nothing may be removed', async (_, pods, next, source, destination) => {
    for (let kinds = 0; kinds < 12; kinds++) {
      const { compiler, machine, sync, reaches } = await begun(backend, {
        pods: [...pods, podAt('open/c', '10.1.1.9'), podAt('shut/c', '10.1.1.8'), ...others(kinds)],
        policies: policies(kinds),
      });
      expect(reaches(source, destination)).toBe(false);
      const moments: boolean[] = [];
      machine.onChange = () => moments.push(reaches(source, destination));
      const update = compiler.update({ pods: [podAt(FIRST, next)] });
      for (const prune of [false, true]) {
        await sync(update, prune);
        expect(reaches(source, destination)).toBe(false);
      }
      expect([kinds, moments.includes(true)]).toEqual([kinds, false]);
      // The new address is open to the first one's peers.
      expect(reaches('10.1.1.9', next)).toBe(true);
    }
  });

  test('a pod that comes as what one rule denies and a later one accepts is let in at no moment, though nothing may be removed', async () => {
    const from = (podLabels: Record<string, string>) => [
      { namespaceSelector: labels(), podSelector: labels(podLabels) },
    ];
    const rule = (action: 'Accept' | 'Deny', name: string, podLabels: Record<string, string>) => ({
      action,
      name,
      peers: from(podLabels),
      ports: [],
    });
    // Where nothing else is known of two sets, a pod joins the smaller one first: that of the rule that accepts.
    const ingress = [rule('Deny', 'all', {}), rule('Accept', 'new', { kind: 'new' })];
    const { compiler, machine, sync, reaches } = await begun(backend, {
      namespaces: [{ key: 'shop', object: namespace('shop') }],
      pods: [podAt('shop/a', '10.1.1.1')],
      policies: [{ key: 'shop/p', object: policy('shop/p', labels(), { ingress: [] }) }],
      clusterPolicies: [{ key: 'c', object: clusterPolicy('c', 'Admin', { ingress }) }],
    });
    expect(reaches('10.1.1.2', '10.1.1.1')).toBe(false);
    const moments: boolean[] = [];
    machine.onChange = () => moments.push(reaches('10.1.1.2', '10.1.1.1'));
    const comes = { key: 'shop/b', object: pod('shop/b', ['10.1.1.2'], { kind: 'new' }) };
    await sync(compiler.update({ pods: [comes] }), false);
    expect(moments).not.toEqual([]);
    expect(moments).not.toContain(true);
  });
});
