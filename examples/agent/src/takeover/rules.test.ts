/**
 * Whose is what: the rules, chains, sets and routing rules of kube-router as the tools print them, beside ours and a stranger's.
 */
import { describe, expect, test } from 'vitest';
import {
  describeFinding,
  findKubeRouter,
  findOurs,
  kubeRouterMarks,
  renderRemoval,
  renderSetConversion,
  renderSetReturn,
} from './rules.ts';

const kubeRouter = {
  filter: [
    '-A INPUT -m comment --comment "kube-router netpol - 4IA2OSFRMVNDXBVV" -j KUBE-ROUTER-INPUT',
    '-A INPUT -m comment --comment "handle traffic to IPVS service IPs in custom chain" -m set --match-set kube-router-svip dst -j KUBE-ROUTER-SERVICES',
    '-A FORWARD -s 10.1.1.0/24 -m comment --comment "kube-router netpol" -j KUBE-ROUTER-FORWARD',
    '-A FORWARD -i kube-bridge -m comment --comment "allow outbound traffic from pods" -j ACCEPT',
  ],
  nat: [
    '-A POSTROUTING ! -s 10.1.1.0/24 ! -d 10.1.1.0/24 -m ipvs --vdir ORIGINAL --vmethod MASQ -m comment --comment "" -j SNAT --to-source 192.168.1.11 --random-fully',
    '-A POSTROUTING -m set --match-set kube-router-pod-subnets src -m set ! --match-set kube-router-pod-subnets dst -j MASQUERADE',
    '-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-HAIRPIN',
  ],
  mangle: [
    '-A PREROUTING -d 203.0.113.1/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1f4a/0xffffffff',
    '-A PREROUTING -s 203.0.113.1/32 -i kube-bridge -p tcp -m tcp --sport 80 --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440',
  ],
};
const ours = {
  filter: [
    '-A INPUT -j KUBE-ROUTER-INPUT',
    '-A INPUT -j KUBE-ROUTER-SERVICES',
    '-A FORWARD -j KUBE-ROUTER-PODS',
    '-A INPUT -m set --match-set kube-router-svip-lim dst,dst -m set ! --match-set kube-router-svip-src dst,dst,src -j DROP',
  ],
  nat: ['-A POSTROUTING -j KUBE-ROUTER-EGRESS', '-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-SVC-NAT'],
  mangle: ['-A PREROUTING -j KUBE-ROUTER-SVC-MARK'],
};
const foreign = {
  filter: [
    '-A INPUT -m comment --comment "handle traffic to IPVS" -j ACCEPT',
    '-A FORWARD -i kube-bridge -j ACCEPT',
    '-A FORWARD -m comment --comment "kube-router netpol is great" -j ACCEPT',
  ],
  nat: ['-A POSTROUTING -s 10.1.1.0/24 -j MASQUERADE'],
  mangle: [
    '-A PREROUTING -d 203.0.113.9/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff',
    '-A PREROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu',
  ],
};
const chains = {
  filter: ['KUBE-ROUTER-INPUT', 'KUBE-ROUTER-SERVICES', 'KUBE-ROUTER-PODS', 'DOCKER'],
  nat: ['KUBE-ROUTER-HAIRPIN', 'KUBE-ROUTER-EGRESS', 'KUBE-ROUTER-SVC-NAT'],
  mangle: ['KUBE-ROUTER-SVC-MARK'],
};
const TABLES = ['filter', 'nat', 'mangle'] as const;
const tables = TABLES.map((table) =>
  [
    `*${table}`,
    ':INPUT ACCEPT [0:0]',
    ...chains[table].map((name) => `:${name} - [0:0]`),
    ...kubeRouter[table],
    ...ours[table],
    ...foreign[table],
    'COMMIT',
  ].join('\n'),
).join('\n');
const texts = {
  tables,
  sets: [
    'Name: KUBE-DST-ABCDEFGHIJKLMNOP\nType: hash:ip\nRevision: 5\nHeader: family inet hashsize 1024 maxelem 65536 timeout 0\nReferences: 1',
    'Name: inet6:KUBE-SRC-ABCDEFGHIJKLMNOP\nType: hash:ip\nHeader: family inet6 hashsize 1024 maxelem 65536 timeout 0',
    'Name: kube-router-svip\nType: hash:ip\nHeader: family inet hashsize 1024 maxelem 65536',
    'Name: krs4-iso-ingress\nType: hash:ip\nHeader: family inet hashsize 1024 maxelem 65536',
    'Name: kube-router-svc-mark\nType: hash:ip,port\nHeader: family inet hashsize 1024 maxelem 65536 skbinfo',
    'Name: KUBE-CLUSTER-IP\nType: hash:ip,port\nHeader: family inet hashsize 1024 maxelem 65536',
  ].join('\n\n'),
  rules: [
    '0:\tfrom all lookup 255',
    '32764:\tfrom all fwmark 0x1f4a lookup 78',
    '32764:\tfrom all fwmark 0x11/0x3fff lookup 78',
    '32765:\tfrom all lookup 79',
    '32766:\tfrom all lookup 254',
  ].join('\n'),
  external: '198.51.100.9 dev kube-bridge scope link \n',
};
const rulesOf = (found: ReturnType<typeof findOurs>): string[] =>
  found.table.flatMap(({ chain, rule }) => (rule === undefined ? [] : [`-A ${chain} ${rule}`]));

describe('kube-router’s', () => {
  const found = findKubeRouter(texts, 4);
  test('rules: all of them and nobody else’s', () => {
    expect(rulesOf(found).sort()).toEqual(TABLES.flatMap((table) => kubeRouter[table]).sort());
  });
  test('the hairpin chain, sets of policy, marks and policy routing', () => {
    expect(found.table.filter(({ rule }) => rule === undefined).map(describeFinding)).toEqual([
      'nat chain KUBE-ROUTER-HAIRPIN',
    ]);
    expect(found.other.map(describeFinding)).toEqual([
      'ipset KUBE-DST-ABCDEFGHIJKLMNOP',
      'virtual server of mark 8010',
      'ip rule priority 32764 fwmark 0x1f4a table 78',
      'ip rule priority 32765 table 79',
      'ip route 198.51.100.9 dev kube-bridge scope link table 79',
    ]);
    expect(findKubeRouter(texts, 6).other.map(({ name }) => name)).toContain('inet6:KUBE-SRC-ABCDEFGHIJKLMNOP');
  });
  test('marks are told from ours by their mask', () => expect([...kubeRouterMarks(texts.rules)]).toEqual([0x1f4a]));
  test('each part belongs to a block', () => {
    const owners = new Map(found.table.map((one) => [one.rule ?? one.chain, one.owner]));
    expect(owners.get('-i kube-bridge -m comment --comment "allow outbound traffic from pods" -j ACCEPT')).toBe(
      'routing',
    );
    expect(owners.get('KUBE-ROUTER-HAIRPIN')).toBe('ipvs');
    expect(owners.get('-s 10.1.1.0/24 -m comment --comment "kube-router netpol" -j KUBE-ROUTER-FORWARD')).toBe(
      'firewall',
    );
  });
});

describe('ours, beside a kube-router that runs', () => {
  const found = findOurs(texts, 4);
  test('each part belongs to a block', () => {
    const owners = Object.fromEntries(
      [...found.table, ...found.other].map((one) => ['name' in one ? one.name : (one.rule ?? one.chain), one.owner]),
    );
    expect(owners).toMatchObject({
      'KUBE-ROUTER-PODS': 'routing',
      'KUBE-ROUTER-SVC-NAT': 'ipvs',
      '-j KUBE-ROUTER-SERVICES': 'ipvs',
      '-j KUBE-ROUTER-INPUT': 'firewall',
      'krs4-iso-ingress': 'firewall',
      'kube-router-svc-mark': 'ipvs',
    });
  });
  test('rules', () => {
    expect(rulesOf(found).sort()).toEqual(TABLES.flatMap((table) => ours[table]).sort());
  });
  test('chains and sets that kube-router has no use for', () => {
    const names = found.table.filter(({ rule }) => rule === undefined).map(({ chain }) => chain);
    expect(names).toEqual(['KUBE-ROUTER-PODS', 'KUBE-ROUTER-EGRESS', 'KUBE-ROUTER-SVC-NAT', 'KUBE-ROUTER-SVC-MARK']);
    expect(found.other.map(({ name }) => name)).toEqual(['krs4-iso-ingress', 'kube-router-svc-mark']);
  });
});

test('removal: rules before chains, one commit a table', () => {
  const text = renderRemoval(findKubeRouter(texts, 4).table.filter(({ table }) => table === 'nat'));
  expect(text).toBe(
    [
      '*nat',
      '-D POSTROUTING ! -s 10.1.1.0/24 ! -d 10.1.1.0/24 -m ipvs --vdir ORIGINAL --vmethod MASQ -m comment --comment "" -j SNAT --to-source 192.168.1.11 --random-fully',
      '-D POSTROUTING -m set --match-set kube-router-pod-subnets src -m set ! --match-set kube-router-pod-subnets dst -j MASQUERADE',
      '-D POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-HAIRPIN',
      '-F KUBE-ROUTER-HAIRPIN',
      '-X KUBE-ROUTER-HAIRPIN',
      'COMMIT',
      '',
    ].join('\n'),
  );
});

test('a set with a timeout is made anew, with its members, and swapped in', () => {
  const save = [
    'create kube-router-svip hash:ip family inet hashsize 1024 maxelem 65536 timeout 0',
    'add kube-router-svip 10.96.0.10 timeout 0',
    'create kube-router-local-ips hash:ip family inet hashsize 1024 maxelem 1048576',
  ].join('\n');
  const wanted = [
    'create kube-router-svip hash:ip family inet hashsize 1024 maxelem 1048576',
    'create kube-router-local-ips hash:ip family inet hashsize 1024 maxelem 1048576',
    'create kube-router-svip-ref hash:ip,port family inet hashsize 1024 maxelem 1048576',
  ];
  expect(renderSetConversion(wanted, save)).toBe(
    [
      'create kube-router-svip-kr hash:ip family inet hashsize 1024 maxelem 1048576',
      'add kube-router-svip-kr 10.96.0.10',
      'swap kube-router-svip-kr kube-router-svip',
      'destroy kube-router-svip-kr',
      '',
    ].join('\n'),
  );
});

test('given back, shared sets have kube-router’s header again; others are left alone', () => {
  const save = [
    'create inet6:kube-router-svip hash:ip family inet6 hashsize 1024 maxelem 1048576',
    'add inet6:kube-router-svip fd00::1',
    'create kube-router-node-ips hash:ip family inet hashsize 1024 maxelem 65536 timeout 0',
    'create krs4-iso-ingress hash:ip family inet hashsize 1024 maxelem 65536',
  ].join('\n');
  expect(renderSetReturn(save)).toBe(
    [
      'create inet6:kube-router-svip-kr hash:ip family inet6 hashsize 1024 maxelem 65536 timeout 0',
      'add inet6:kube-router-svip-kr fd00::1 timeout 0',
      'swap inet6:kube-router-svip-kr inet6:kube-router-svip',
      'destroy inet6:kube-router-svip-kr',
      '',
    ].join('\n'),
  );
});
