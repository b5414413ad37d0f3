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
  world.policies.forEach((policy, index) => {
    const chain = `KUBE-NWPLCY-L${index}`;
    chains.push(chain);
    const own = byNamespace.get(policy.namespace) ?? [];
    addSet(
      `T${index}`,
      'hash:ip',
      own.filter((pod) => matches(policy.podSelector, pod)).flatMap(({ ips }) => ips),
    );
    for (const rule of [...(policy.ingress ?? []), ...(policy.egress ?? [])]) {
      const peers = rule.peers.flatMap((peer) => {
        if ('ipBlock' in peer) return [];
        const from =
          peer.namespaceSelector === undefined
            ? own
            : (byNamespace.get(peer.namespaceSelector.matchLabels['name'] ?? '') ?? []);
        return from
          .filter((pod) => matches(peer.podSelector ?? { matchLabels: {}, matchExpressions: [] }, pod))
          .flatMap(({ ips }) => ips);
      });
      addSet(`P${index}-${setCount}`, 'hash:ip', peers);
      const match = `-m set --match-set T${index} dst -m set --match-set P${index}-${setCount - 1} src`;
      rules.push(
        `-A ${chain} ${match} -j MARK --set-xmark 0x10000/0x10000`,
        `-A ${chain} ${match} -m mark --mark 0x10000/0x10000 -j RETURN`,
      );
    }
  });
  rules.push('-A KUBE-NWPLCY-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT');
  rules.push('-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000');
  world.pods
    .filter((pod) => pod.nodeName === node)
    .forEach((pod, index) => {
      const chain = `KUBE-POD-FW-L${index}`;
      const [address = ''] = pod.ips;
      chains.push(chain);
      for (const hook of ['INPUT', 'FORWARD', 'OUTPUT']) {
        if (hook !== 'INPUT') rules.push(`-A KUBE-ROUTER-${hook} -d ${address}/32 -j ${chain}`);
        rules.push(`-A KUBE-ROUTER-${hook} -s ${address}/32 -j ${chain}`);
      }
      rules.push(`-A ${chain} -j KUBE-NWPLCY-COMMON`);
      world.policies.forEach((policy, at) => {
        if (policy.namespace === pod.namespace && matches(policy.podSelector, pod)) {
          rules.push(`-A ${chain} -d ${address}/32 -j KUBE-NWPLCY-L${at}`);
        }
      });
      rules.push(
        `-A ${chain} -m mark ! --mark 0x10000/0x10000 -j REJECT`,
        `-A ${chain} -j MARK --set-xmark 0x0/0x10000`,
      );
    });
  const ruleText = [
    '*filter',
    ...chains.map((name) => `:${name} - [0:0]`),
    ...rules,
    '-I FORWARD 1 -j KUBE-ROUTER-FORWARD',
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
