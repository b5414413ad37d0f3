/**
 * Policy, read straight from the API's text: may this flow pass, and which policy and rule say so. In each direction the Admin tier
 * is asked, then the NetworkPolicies of the pod's namespace, then, where none of those selects the pod, the Baseline tier.
 * It walks every object for every question, on purpose: it is the oracle that the compiler is tested against and the answer of
 * `explain`, so it shares nothing with the compiler and prefers being obvious to being fast.
 */
import { tryParseAddress, formatAddress } from '../net/address.ts';
import { contains, tryParsePrefix } from '../net/prefix.ts';
import { SdkError } from '../net/errors.ts';
import type {
  ClusterNetworkPolicyObject,
  LabelSelector,
  NamespaceObject,
  NetworkPolicyObject,
  NodeObject,
  PodObject,
  PolicyPeer,
  PolicyPort,
  PolicyRule,
  StringMap,
} from '../objects/types.ts';

/** The cluster that a question is asked of. */
export interface PolicyModel {
  readonly pods: readonly PodObject[];
  readonly namespaces: readonly NamespaceObject[];
  readonly policies: readonly NetworkPolicyObject[];
  /** @defaultValue none */
  readonly clusterPolicies?: readonly ClusterNetworkPolicyObject[];
  /** Their addresses tell a pod's own node from others; the pods' `hostIPs` are used besides. @defaultValue none */
  readonly nodes?: readonly NodeObject[];
  /** Only what this node enforces: egress of its pods and ingress to its pods. @defaultValue every node */
  readonly node?: string;
}

/** A flow as its first packet would be, after any Service address was translated. */
export interface Flow {
  /** Address, or `namespace/pod`. */
  readonly source: string;
  /** Address, or `namespace/pod`. */
  readonly destination: string;
  /** Other protocols than these three are matched by rules without ports only. */
  readonly protocol: 'tcp' | 'udp' | 'sctp' | (string & {});
  /** Destination port, 0–65535. @defaultValue 0 */
  readonly port?: number;
}

/** What one direction says. */
export interface Decision {
  readonly direction: 'ingress' | 'egress';
  readonly verdict: 'allow' | 'deny';
  /**
   * `rule`: a rule decides it; `isolated`: policies select the pod and none allows it; `unselected`: no NetworkPolicy
   * selects the pod and no rule of a ClusterNetworkPolicy decides;
   * `no-pod`: that end is no pod under policy; `elsewhere`: another node enforces it; `itself`: a pod reaches itself;
   * `own-node`: a pod's node reaches it.
   */
  readonly reason: 'rule' | 'isolated' | 'unselected' | 'no-pod' | 'elsewhere' | 'itself' | 'own-node';
  /** `namespace/name` of the pod that the direction is about. */
  readonly pod?: string;
  /** The policy whose rule decides: `namespace/name`, or the name of a ClusterNetworkPolicy. */
  readonly policy?: string;
  /** With `rule`, where a ClusterNetworkPolicy decides. */
  readonly tier?: ClusterNetworkPolicyObject['tier'];
  /** Index of that rule in the policy's list of the direction. */
  readonly rule?: number;
  /** With `isolated`: `namespace/name` of the policies that select the pod, sorted. */
  readonly policies?: readonly string[];
}

/** Whether a flow may pass, and why. */
export interface Verdict {
  readonly verdict: 'allow' | 'deny';
  /** The decision that settled it: the one that denies, else the ingress one. */
  readonly because: Decision;
  readonly egress: Decision;
  readonly ingress: Decision;
}

function selects(selector: LabelSelector, labels: StringMap): boolean {
  const has = (key: string): boolean => Object.hasOwn(labels, key);
  return (
    Object.entries(selector.matchLabels).every(([key, value]) => has(key) && labels[key] === value) &&
    selector.matchExpressions.every(({ key, operator, values }) => {
      if (operator === 'Exists') return has(key);
      if (operator === 'DoesNotExist') return !has(key);
      const listed = has(key) && values.some((value) => value === labels[key]);
      return operator === 'In' ? listed : !listed;
    })
  );
}

/** Finished pods and host-network pods are none: the former's address may be reused, the latter's is the node's. */
function takesPart(pod: PodObject): boolean {
  return !pod.hostNetwork && pod.phase !== 'Succeeded' && pod.phase !== 'Failed' && pod.ips.length > 0;
}

const nameOf = (object: { readonly namespace: string; readonly name: string }): string =>
  `${object.namespace}/${object.name}`;

/** The pod behind an address: of several claimants one that is not ending, then a running one, then the first by name. */
function podAt(model: PolicyModel, address: string): PodObject | undefined {
  const order = (pod: PodObject): string =>
    `${pod.deletedAt === undefined ? 0 : 1}${pod.phase === 'Running' ? 0 : 1} ${nameOf(pod)}`;
  return model.pods
    .filter((pod) => takesPart(pod) && pod.ips.includes(address))
    .sort((a, b) => (order(a) < order(b) ? -1 : 1))[0];
}

function matchesPeer(
  model: PolicyModel,
  namespace: string,
  peer: PolicyPeer,
  address: string,
  pod: PodObject | undefined,
): boolean {
  if ('ipBlock' in peer) {
    const parsed = tryParseAddress(address);
    const inside = (cidr: string): boolean => {
      const prefix = tryParsePrefix(cidr, { hostBits: 'mask' });
      return prefix !== undefined && parsed !== undefined && contains(prefix, parsed);
    };
    return inside(peer.ipBlock.cidr) && !peer.ipBlock.except.some(inside);
  }
  if (pod === undefined) return false;
  if (peer.namespaceSelector === undefined) {
    if (pod.namespace !== namespace) return false;
  } else {
    const own = model.namespaces.find(({ name }) => name === pod.namespace);
    if (own === undefined || !selects(peer.namespaceSelector, own.labels)) return false;
  }
  return peer.podSelector === undefined || selects(peer.podSelector, pod.labels);
}

function matchesPort(port: PolicyPort, flow: Flow, destination: PodObject | undefined): boolean {
  if (port.protocol.toLowerCase() !== flow.protocol.toLowerCase()) return false;
  const number = flow.port ?? 0;
  if (port.port === undefined) return true;
  if (typeof port.port === 'number') {
    return port.endPort === undefined ? number === port.port : number >= port.port && number <= port.endPort;
  }
  if (port.endPort !== undefined || destination === undefined) return false;
  return destination.ports.some(
    (declared) => declared.name === port.port && declared.protocol === port.protocol && declared.port === number,
  );
}

function matchesRule(
  model: PolicyModel,
  namespace: string,
  rule: PolicyRule,
  flow: Flow,
  peer: { address: string; pod: PodObject | undefined },
  destination: PodObject | undefined,
): boolean {
  return (
    (rule.peers.length === 0 || rule.peers.some((one) => matchesPeer(model, namespace, one, peer.address, peer.pod))) &&
    (rule.ports.length === 0 || rule.ports.some((one) => matchesPort(one, flow, destination)))
  );
}

/** What the first matching rule of a tier says; nothing when none matches or it passes the flow on. */
function askTier(
  model: PolicyModel,
  tier: ClusterNetworkPolicyObject['tier'],
  direction: 'ingress' | 'egress',
  flow: Flow,
  ends: { pod: PodObject; peer: { address: string; pod: PodObject | undefined }; destination: PodObject | undefined },
): Pick<Decision, 'verdict' | 'reason' | 'policy' | 'rule' | 'tier'> | undefined {
  const { pod, peer, destination } = ends;
  const namespace = model.namespaces.find(({ name }) => name === pod.namespace);
  const asked = (model.clusterPolicies ?? [])
    .filter(
      (policy) =>
        policy.tier === tier &&
        namespace !== undefined &&
        selects(policy.subject.namespaceSelector, namespace.labels) &&
        selects(policy.subject.podSelector, pod.labels),
    )
    .sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
  for (const policy of asked) {
    for (const [rule, one] of policy[direction].entries()) {
      if (!matchesRule(model, '', one, flow, peer, destination)) continue;
      if (one.action === 'Pass') return undefined;
      const verdict = one.action === 'Accept' ? 'allow' : 'deny';
      return { verdict, reason: 'rule', policy: policy.name, rule, tier };
    }
  }
  return undefined;
}

function isOwnNode(model: PolicyModel, pod: PodObject, address: string): boolean {
  const node = model.nodes?.find(({ name }) => name === pod.nodeName);
  return pod.hostIPs.includes(address) || (node?.addresses.some((own) => own.address === address) ?? false);
}

function decide(
  model: PolicyModel,
  direction: 'ingress' | 'egress',
  flow: Flow,
  ends: Readonly<Record<'source' | 'destination', { address: string; pod: PodObject | undefined }>>,
): Decision {
  const [subject, peer] = direction === 'ingress' ? [ends.destination, ends.source] : [ends.source, ends.destination];
  const { pod } = subject;
  if (pod === undefined) return { direction, verdict: 'allow', reason: 'no-pod' };
  const about = { direction, pod: nameOf(pod) };
  if (model.node !== undefined && pod.nodeName !== model.node)
    return { ...about, verdict: 'allow', reason: 'elsewhere' };
  if (subject.address === peer.address || pod === peer.pod) return { ...about, verdict: 'allow', reason: 'itself' };
  if (direction === 'ingress' && isOwnNode(model, pod, peer.address)) {
    return { ...about, verdict: 'allow', reason: 'own-node' };
  }
  const byTier = (tier: ClusterNetworkPolicyObject['tier']): Decision | undefined => {
    const found = askTier(model, tier, direction, flow, { pod, peer, destination: ends.destination.pod });
    return found === undefined ? undefined : { ...about, ...found };
  };
  const admin = byTier('Admin');
  if (admin !== undefined) return admin;
  const isolating = model.policies
    .filter(
      (policy) =>
        policy.namespace === pod.namespace &&
        policy[direction] !== undefined &&
        selects(policy.podSelector, pod.labels),
    )
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  if (isolating.length === 0) return byTier('Baseline') ?? { ...about, verdict: 'allow', reason: 'unselected' };
  for (const policy of isolating) {
    const rule = (policy[direction] ?? []).findIndex((one) =>
      matchesRule(model, policy.namespace, one, flow, peer, ends.destination.pod),
    );
    if (rule >= 0) return { ...about, verdict: 'allow', reason: 'rule', policy: nameOf(policy), rule };
  }
  return { ...about, verdict: 'deny', reason: 'isolated', policies: isolating.map(nameOf) };
}

function resolve(
  model: PolicyModel,
  text: string,
  field: string,
  beside: string,
): { address: string; pod: PodObject | undefined } {
  const parsed = tryParseAddress(text);
  if (parsed !== undefined) {
    const address = formatAddress(parsed);
    return { address, pod: podAt(model, address) };
  }
  const pod = model.pods.find((one) => nameOf(one) === text);
  const other = tryParseAddress(beside)?.family;
  const address = pod?.ips.find((ip) => other === undefined || tryParseAddress(ip)?.family === other);
  if (pod === undefined || address === undefined) {
    throw new SdkError(`${field}: ${text} is neither an address nor a pod with a fitting address`, {
      code: 'INVALID_OPTION',
      details: { path: field, value: text },
    });
  }
  return { address, pod: takesPart(pod) ? pod : undefined };
}

/**
 * Tells whether a flow may pass and which policy and rule decide, by the NetworkPolicy API's own words.
 *
 * @example
 * ```ts
 * import { evaluate } from 'kube-router-sdk/firewall';
 * import { project } from 'kube-router-sdk/informers';
 * import { buildNetworkPolicy, buildPod } from 'kube-router-sdk/testing';
 *
 * const pods = [buildPod('shop/web', { ips: ['10.1.1.2'] }), buildPod('shop/db', { ips: ['10.1.1.3'] })];
 * const policies = [buildNetworkPolicy('shop/closed', { spec: { policyTypes: ['Ingress'], ingress: [] } })];
 * const { verdict, because } = evaluate(
 *   {
 *     pods: pods.flatMap((pod) => project('Pod', pod).object ?? []),
 *     policies: policies.flatMap((policy) => project('NetworkPolicy', policy).object ?? []),
 *     namespaces: [],
 *   },
 *   { source: 'shop/web', destination: 'shop/db', protocol: 'tcp', port: 5432 },
 * );
 * console.log(verdict, because.reason, because.policies?.join()); // deny isolated shop/closed
 * ```
 * @throws SdkError `INVALID_OPTION` when an end is neither an address nor a known pod.
 */
export function evaluate(model: PolicyModel, flow: Flow): Verdict {
  const source = resolve(model, flow.source, 'source', flow.destination);
  const destination = resolve(model, flow.destination, 'destination', source.address);
  const ends = { source, destination };
  const egress = decide(model, 'egress', flow, ends);
  const ingress = decide(model, 'ingress', flow, ends);
  const because = egress.verdict === 'deny' ? egress : ingress;
  return { verdict: because.verdict, because, egress, ingress };
}
