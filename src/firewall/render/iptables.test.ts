/**
 * Rules as text, word for word: what a person would write for the same policies.
 */
import { expect, test } from 'vitest';
import { compile } from '../compile/compiler.ts';
import type { ClassChain } from '../model/types.ts';
import { renderChain, renderEntries } from './iptables.ts';
import { labels, pod, policy } from '../../../test/support/firewall/objects.ts';

test('a class chain: a block, merged ports, a protocol, then refusal', () => {
  const { state } = compile({
    node: 'n1',
    namespaces: [],
    pods: [pod('x/a', ['10.1.0.1'])],
    policies: [
      policy('x/p', labels(), {
        ingress: [
          {
            peers: [{ ipBlock: { cidr: '192.0.2.0/24', except: [] } }],
            ports: [
              { protocol: 'TCP', port: 81 },
              { protocol: 'TCP', port: 80 },
              { protocol: 'TCP', port: 443 },
              { protocol: 'UDP' },
            ],
          },
          { peers: [], ports: [{ protocol: 'SCTP', port: 9000, endPort: 9010 }] },
        ],
      }),
    ],
  });
  const chain = [...state.families[4].chains.values()].find((one): one is ClassChain => one.kind === 'class')!;
  const id = chain.name.slice('KUBE-NWPLCY-'.length);
  expect(renderChain(chain)).toEqual([
    '-s 192.0.2.0/24 -p tcp -m multiport --dports 80:81,443 -m comment --comment "x/p" -j RETURN',
    '-s 192.0.2.0/24 -p udp -m comment --comment "x/p" -j RETURN',
    '-p sctp -m sctp --dport 9000:9010 -m comment --comment "x/p" -j RETURN',
    `-m bpf --bytecode "6,32 0 0 12,7 0 0 0,32 0 0 16,29 0 1 0,6 0 0 0,6 0 0 1" -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-prefix "ingress ${id} x/p" --nflog-group 100`,
    '-g KUBE-NWPLCY-REJECT',
  ]);
  expect([...state.families[6].chains]).toEqual([]);
});

test('entry chains of a node without policies refuse nobody, and under default deny whoever is unknown', () => {
  const { state } = compile({ node: 'n1', namespaces: [], pods: [], policies: [] });
  const established = '-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN';
  const plain = renderEntries(state.families[4], { serviceRanges: ['10.96.0.0/12', 'fd00:96::/112'] });
  expect(plain.get('KUBE-ROUTER-FORWARD')).toEqual([established]);
  expect(plain.get('KUBE-ROUTER-INPUT')).toEqual([established, '-d 10.96.0.0/12 -j RETURN']);
  const denied = renderEntries(state.families[4], { defaultDeny: ['10.1.0.0/24'] });
  expect(denied.get('KUBE-ROUTER-FORWARD')).toEqual([
    established,
    '-s 10.1.0.0/24 -m set ! --match-set kube-router-local-pods src -g KUBE-NWPLCY-REJECT',
    '-d 10.1.0.0/24 -m set ! --match-set kube-router-local-pods dst -g KUBE-NWPLCY-REJECT',
  ]);
});

test('pods of many classes: a prefix around them, parts that lead on, and last the sets that nobody asks for', () => {
  const KINDS = 9;
  const { state } = compile({
    node: 'n1',
    namespaces: [],
    pods: Array.from({ length: KINDS }, (_, kind) => pod(`x/${kind}`, [`10.1.${kind}.1`], { app: `k${kind}` })),
    policies: Array.from({ length: KINDS }, (_, kind) =>
      policy(`x/p${kind}`, labels({ app: `k${kind}` }), { egress: [] }),
    ),
  });
  const { chains, roots, sets } = state.families[4];
  expect(renderEntries(state.families[4]).get('KUBE-ROUTER-INPUT')?.at(-1)).toBe(`-s 10.1.0.0/20 -j ${roots.egress}`);
  const root = renderChain(chains.get(roots.egress!)!);
  const part = /^-m set --match-set krs4-iso-egress-[A-Z2-7]{12} src -g KUBE-(POD-FW|NWPLCY)-[A-Z2-7]{16}$/;
  for (const rule of root.slice(0, 3)) expect(rule).toMatch(part);
  expect(root[3]).toBe('-j RETURN');
  expect(root[4]).toMatch(/^(-m set --match-set krs4-class-[A-Z2-7]{16} src )+-j RETURN$/);
  expect(root.length).toBe(5);
  // Every class is asked for once, or named once.
  const named = [...chains.values()].flatMap(
    (chain) =>
      renderChain(chain)
        .join(' ')
        .match(/krs4-class-[A-Z2-7]{16}/g) ?? [],
  );
  expect(named.sort()).toEqual([...sets.keys()].filter((name) => name.startsWith('krs4-class-')).sort());
});
