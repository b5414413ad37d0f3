/** Counters read from `iptables-save -c`: rules that allow, rules that refuse, and the refusal at a chain's end. */
import { expect, test } from 'vitest';
import { parsePolicyCounters } from './policies.ts';

test('each rule by its policy, the end of a chain by none, other chains not at all', () => {
  const chain = 'KUBE-NWPLCY-ABCDEFGHIJKLMNOP';
  const saved = `*filter
:${chain} - [0:0]
[7:420] -A ${chain} -p tcp -m tcp --dport 80 -m comment --comment "shop/web" -j RETURN
[2:120] -A ${chain} -m set --match-set krs4-pods-A src -m comment --comment guard -g KUBE-NWPLCY-REJECT
[1:60] -A ${chain} -m set --match-set krs4-pods-A src -m limit --limit 10/min -j NFLOG --nflog-prefix "ingress x guard"
[3:180] -A ${chain} -g KUBE-NWPLCY-REJECT
[9:540] -A DOCKER -m comment --comment "shop/web" -j RETURN
COMMIT
`;
  expect(parsePolicyCounters(saved)).toEqual([
    { chain, packets: 7, policy: 'shop/web', verdict: 'allowed' },
    { chain, packets: 2, policy: 'guard', verdict: 'refused' },
    { chain, packets: 3, verdict: 'refused' },
  ]);
});
