/**
 * The shape that kube-router gives its rules, for comparison: a chain a policy and a chain a pod, two jumps a pod at every hook, four
 * sets a policy, all of it written anew at each change.
 */
import type { LabelSelector, PodObject } from '../../src/objects/index.ts';
import type { BenchWorld } from './world.ts';

/** Text for the tools and its numbers. */
export interface LinearShape {
  readonly setText: string;
  readonly ruleText: string;
  readonly chains: number;
  readonly rules: number;
  readonly sets: number;
  readonly entries: number;
}

const matches = ({ matchLabels }: LabelSelector, { labels }: PodObject): boolean =>
  Object.entries(matchLabels).every(([key, value]) => labels[key] === value);

/** Builds it for one node. */
export function linearShape(world: BenchWorld, node: string): LinearShape {
  const sets: string[] = [];
  const rules: string[] = [];
  const chains: string[] = [
    'KUBE-ROUTER-FORWARD',
    'KUBE-ROUTER-INPUT',
    'KUBE-ROUTER-OUTPUT',
    'KUBE-NWPLCY-COMMON',
    'KUBE-NWPLCY-DEFAULT',
  ];
  let setCount = 0;
  let entries = 0;
  const addSet = (name: string, type: string, members: readonly string[]): void => {
    setCount++;
    entries += members.length;
    sets.push(`create ${name} ${type} family inet`, ...members.map((member) => `add ${name} ${member}`));
  };
  const byNamespace = new Map<string, PodObject[]>();
  for (const pod of world.pods) {
    const group = byNamespace.get(pod.namespace);
    if (group === undefined) byNamespace.set(pod.namespace, [pod]);
    else group.push(pod);
  }
  const none = { matchLabels: {}, matchExpressions: [] };
  world.policies.forEach((policy, index) => {
    const chain = `KUBE-NWPLCY-L${index}`;
    chains.push(chain);
    const own = byNamespace.get(policy.namespace) ?? [];
    addSet(
      `T${index}`,
      'hash:ip',
      own.filter((pod) => matches(policy.podSelector, pod)).flatMap(({ ips }) => ips),
    );
    for (const [end, peerEnd, list] of [
      ['dst', 'src', policy.ingress ?? []],
      ['src', 'dst', policy.egress ?? []],
    ] as const) {
      for (const rule of list) {
        let words = `-m set --match-set T${index} ${end}`;
        if (rule.peers.length > 0) {
          const blocks = rule.peers.flatMap((peer) => ('ipBlock' in peer ? [peer.ipBlock] : []));
          const pods = rule.peers.flatMap((peer) => {
            if ('ipBlock' in peer) return [];
            const from =
              peer.namespaceSelector === undefined
                ? own
                : (byNamespace.get(peer.namespaceSelector.matchLabels['name'] ?? '') ?? []);
            return from.filter((pod) => matches(peer.podSelector ?? none, pod)).flatMap(({ ips }) => ips);
          });
          const name = `P${index}-${setCount}`;
          if (blocks.length === 0) addSet(name, 'hash:ip', pods);
          else {
            const halves = (cidr: string): string[] => (cidr === '0.0.0.0/0' ? ['0.0.0.0/1', '128.0.0.0/1'] : [cidr]);
            const nets = blocks.flatMap(({ cidr, except }) => [
              ...halves(cidr),
              ...except.map((one) => `${one} nomatch`),
            ]);
            addSet(name, 'hash:net', nets);
          }
          words += ` -m set --match-set ${name} ${peerEnd}`;
        }
        const ports =
          rule.ports.length === 0
            ? ['']
            : rule.ports.map(({ protocol, port }) => {
                const word = protocol.toLowerCase();
                return ` -p ${word} -m ${word} --dport ${port === 'http' ? 8080 : port}`;
              });
        for (const port of ports) {
          rules.push(
            `-A ${chain} ${words}${port} -j MARK --set-xmark 0x10000/0x10000`,
            `-A ${chain} ${words}${port} -m mark --mark 0x10000/0x10000 -j RETURN`,
          );
        }
      }
    }
  });
  rules.push(
    '-A KUBE-NWPLCY-COMMON -m conntrack --ctstate INVALID -j DROP',
    '-A KUBE-NWPLCY-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ...['echo-request', 'destination-unreachable', 'time-exceeded'].map(
      (type) => `-A KUBE-NWPLCY-COMMON -p icmp -m icmp --icmp-type ${type} -j ACCEPT`,
    ),
    '-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000',
  );
  world.pods
    .filter((pod) => pod.nodeName === node)
    .forEach((pod, index) => {
      const chain = `KUBE-POD-FW-L${index}`;
      const [address = ''] = pod.ips;
      chains.push(chain);
      rules.push(`-A KUBE-ROUTER-INPUT -s ${address}/32 -j ${chain}`);
      for (const match of [`-d ${address}/32`, `-s ${address}/32`]) {
        rules.push(
          `-A KUBE-ROUTER-FORWARD ${match} -j ${chain}`,
          `-A KUBE-ROUTER-FORWARD -m physdev --physdev-is-bridged ${match} -j ${chain}`,
          `-A KUBE-ROUTER-OUTPUT ${match} -j ${chain}`,
        );
      }
      rules.push(
        `-A ${chain} -j KUBE-NWPLCY-COMMON`,
        `-A ${chain} -m addrtype --src-type LOCAL -d ${address}/32 -j ACCEPT`,
      );
      const own = world.policies.flatMap((policy, at) =>
        policy.namespace === pod.namespace && matches(policy.podSelector, pod) ? [{ policy, at }] : [],
      );
      if (!own.some(({ policy }) => policy.egress !== undefined))
        rules.push(`-A ${chain} -s ${address}/32 -j KUBE-NWPLCY-DEFAULT`);
      if (!own.some(({ policy }) => policy.ingress !== undefined))
        rules.push(`-A ${chain} -d ${address}/32 -j KUBE-NWPLCY-DEFAULT`);
      for (const { policy, at } of own) {
        const end =
          policy.egress === undefined ? `-d ${address}/32 ` : policy.ingress === undefined ? `-s ${address}/32 ` : '';
        rules.push(`-A ${chain} ${end}-j KUBE-NWPLCY-L${at}`);
      }
      const refused = `-A ${chain} -m mark ! --mark 0x10000/0x10000`;
      rules.push(
        `${refused} -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100`,
        `${refused} -j REJECT`,
        `-A ${chain} -j MARK --set-xmark 0x0/0x10000`,
        `-A ${chain} -j MARK --set-xmark 0x20000/0x20000`,
      );
    });
  const ruleText = [
    '*filter',
    ...chains.map((name) => `:${name} - [0:0]`),
    ...rules,
    ...['INPUT', 'FORWARD', 'OUTPUT'].flatMap((hook) => [
      `-A KUBE-ROUTER-${hook} -m mark --mark 0x20000/0x20000 -j ACCEPT`,
      `-I ${hook} 1 -j KUBE-ROUTER-${hook}`,
    ]),
    'COMMIT',
    '',
  ];
  return {
    setText: `${sets.join('\n')}\n`,
    ruleText: ruleText.join('\n'),
    chains: chains.length,
    rules: rules.length,
    sets: setCount,
    entries,
  };
}
