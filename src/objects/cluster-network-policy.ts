/**
 * ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2), read so that a mistake never opens anything: the API asks readers to fail
 * closed, which for an Accept rule is to match nothing and for Deny and Pass to deny everything. Where it is unclear whom the policy
 * is about or when it is asked, it is asked first, and only its Deny rules count.
 * Peers by node and by domain name (experimental channel) are not understood, with that consequence.
 */
import { formatPrefix, parseSloppyPrefix } from '../net/prefix.ts';
import { isJson, note, objectAt, show, textAt } from './fields.ts';
import type { Json, Report } from './fields.ts';
import { EMPTY_LIST } from './intern.ts';
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import { isPort, isPortName } from './ports.ts';
import { EVERYTHING, readSelector } from './selector.ts';
import type {
  ClusterNetworkPolicyObject,
  ClusterPolicyAction,
  ClusterPolicyRule,
  LabelSelector,
  PolicyPeer,
  PolicyPort,
} from './types.ts';

const ACTIONS: readonly ClusterPolicyAction[] = ['Accept', 'Deny', 'Pass'];
const PROTOCOLS = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' } as const;
const MAX_PRIORITY = 1000;

/** Projects a ClusterNetworkPolicy from the API's JSON. Never throws: what is wrong becomes an issue and makes it stricter. */
export function projectClusterNetworkPolicy(raw: unknown): Projected<ClusterNetworkPolicyObject> {
  return projectAs('ClusterNetworkPolicy', 'cluster', raw, (base, json, report) => {
    const before = report.issues.length;
    const spec = objectAt(report, json, 'spec', 'spec');
    onlyFields(report, spec, 'spec', ['tier', 'priority', 'subject', 'ingress', 'egress']);
    const { tier, priority } = readOrder(report, spec);
    const subject = readSubject(report, spec['subject']);
    const trusted = report.issues.length === before;
    if (!trusted) note(report, 'spec', 'is not understood; only its Deny rules count');
    const rules = (direction: 'ingress' | 'egress') => {
      const list = readRules(report, spec, direction);
      return Object.freeze(trusted ? list : list.filter(({ action }) => action === 'Deny'));
    };
    const [ingress, egress] = [rules('ingress'), rules('egress')];
    const invalid = report.issues.length > before;
    const place = trusted ? { tier, priority } : ({ tier: 'Admin', priority: 0 } as const);
    return { kind: 'ClusterNetworkPolicy' as const, ...base, ...place, subject, ingress, egress, invalid };
  });
}

/** Whether a part has no other fields than these; the others would narrow or change it in a way that is not known. */
function onlyFields(report: Report, value: Json, path: string, known: readonly string[]): boolean {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  for (const key of unknown)
    note(report, `${path}.${key}`, 'is no field that is understood; read in the strictest way');
  return unknown.length === 0;
}

function readOrder(report: Report, spec: Json): Pick<ClusterNetworkPolicyObject, 'tier' | 'priority'> {
  const { tier, priority } = spec;
  const known = tier === 'Admin' || tier === 'Baseline';
  if (!known) note(report, 'spec.tier', `${show(tier)} is neither Admin nor Baseline`);
  const fits = typeof priority === 'number' && Number.isInteger(priority) && priority >= 0 && priority <= MAX_PRIORITY;
  if (!fits) note(report, 'spec.priority', `${show(priority)} is not a number from 0 to ${MAX_PRIORITY}`);
  return { tier: known ? tier : 'Admin', priority: fits ? priority : 0 };
}

type Subject = ClusterNetworkPolicyObject['subject'];

function readSubject(report: Report, value: unknown): Subject {
  const everybody: Subject = { namespaceSelector: EVERYTHING, podSelector: EVERYTHING };
  if (!isJson(value)) {
    note(report, 'spec.subject', `${show(value)} is not a subject; it is about every pod`);
    return everybody;
  }
  const subject = readPods(report, value, 'spec.subject', ['namespaces', 'pods']);
  return subject.selectors ?? everybody;
}

/** `namespaces` or `pods` of a subject or peer: the selectors as far as they are understood, and whether they are wholly. */
function readPods(
  report: Report,
  value: Json,
  path: string,
  known: readonly string[],
): { readonly selectors: Subject | undefined; readonly valid: boolean } {
  let valid = onlyFields(report, value, path, known);
  const { namespaces, pods } = value;
  const read = (selector: unknown, at: string): LabelSelector => {
    const found = readSelector(report, selector, at);
    valid &&= found.valid;
    return found.selector;
  };
  if (isJson(namespaces) === isJson(pods)) {
    note(report, path, 'must have exactly one of namespaces and pods');
    return { selectors: undefined, valid: false };
  }
  if (isJson(namespaces)) {
    const namespaceSelector = read(namespaces, `${path}.namespaces`);
    return { selectors: Object.freeze({ namespaceSelector, podSelector: EVERYTHING }), valid };
  }
  const both = pods as Json;
  if (!onlyFields(report, both, `${path}.pods`, ['namespaceSelector', 'podSelector'])) valid = false;
  const namespaceSelector = read(both['namespaceSelector'], `${path}.pods.namespaceSelector`);
  const podSelector = read(both['podSelector'], `${path}.pods.podSelector`);
  return { selectors: Object.freeze({ namespaceSelector, podSelector }), valid };
}

const DENY_ALL = { action: 'Deny', peers: EMPTY_LIST, ports: EMPTY_LIST } as const;

function readRules(report: Report, spec: Json, direction: 'ingress' | 'egress'): ClusterPolicyRule[] {
  const value = spec[direction];
  if (value === undefined || value === null) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (!Array.isArray(value)) note(report, `spec.${direction}`, `${show(value)} is not a list`);
  return list.flatMap((item, index) => readRule(report, item, `spec.${direction}[${index}]`, direction) ?? []);
}

function readRule(
  report: Report,
  item: unknown,
  path: string,
  direction: 'ingress' | 'egress',
): ClusterPolicyRule | undefined {
  const side = direction === 'ingress' ? 'from' : 'to';
  if (!isJson(item)) {
    note(report, path, `${show(item)} is not a rule; it denies everything`);
    return Object.freeze({ ...DENY_ALL, name: '' });
  }
  const name = textAt(report, item, 'name', `${path}.name`);
  const action = ACTIONS.find((one) => one === item['action']);
  if (action === undefined) note(report, `${path}.action`, `${show(item['action'])} is none of ${ACTIONS.join(', ')}`);
  let whole = onlyFields(report, item, path, ['name', 'action', side, 'protocols']) && action !== undefined;
  const alternatives = <Part>(key: string, read: (value: Json, at: string) => readonly Part[] | undefined): Part[] => {
    const value = item[key];
    if (!Array.isArray(value) || value.length === 0) {
      note(report, `${path}.${key}`, `${show(value)} is not a list of at least one`);
      whole = false;
      return [];
    }
    return value.flatMap((one: unknown, index): readonly Part[] => {
      const at = `${path}.${key}[${index}]`;
      const found = isJson(one) ? read(one, at) : undefined;
      if (!isJson(one)) note(report, at, `${show(one)} is not an object`);
      if (found === undefined) whole = false;
      return found ?? [];
    });
  };
  const peers = alternatives(side, (value, at) => readPeer(report, value, at, direction));
  const anyProtocol = item['protocols'] === undefined || item['protocols'] === null;
  const ports = anyProtocol ? EMPTY_LIST : alternatives('protocols', (value, at) => readProtocol(report, value, at));
  if (whole && action !== undefined) {
    return Object.freeze({ action, name, peers: Object.freeze(peers), ports: Object.freeze(ports) });
  }
  if (action !== 'Accept') {
    note(report, path, 'denies everything, because it is not understood');
    return Object.freeze({ ...DENY_ALL, name });
  }
  const known = onlyKnown(item, [side, 'name', 'action', 'protocols']);
  const rest = known && peers.length > 0 && (anyProtocol || ports.length > 0);
  note(report, path, rest ? 'accepts only what of it is understood' : 'accepts nothing, because it is not understood');
  return rest ? Object.freeze({ action, name, peers: Object.freeze(peers), ports: Object.freeze(ports) }) : undefined;
}

const onlyKnown = (value: Json, known: readonly string[]): boolean =>
  Object.keys(value).every((key) => known.includes(key));

function readPeer(
  report: Report,
  value: Json,
  path: string,
  direction: 'ingress' | 'egress',
): readonly PolicyPeer[] | undefined {
  if (direction === 'egress' && value['networks'] !== undefined && Object.keys(value).length === 1) {
    return readNetworks(report, value['networks'], `${path}.networks`);
  }
  const { selectors, valid } = readPods(report, value, path, ['namespaces', 'pods']);
  return valid && selectors !== undefined ? [selectors] : undefined;
}

function readNetworks(report: Report, value: unknown, path: string): readonly PolicyPeer[] | undefined {
  if (!Array.isArray(value) || value.length === 0) {
    note(report, path, `${show(value)} is not a list of CIDRs`);
    return undefined;
  }
  const peers: PolicyPeer[] = [];
  for (const [index, item] of (value as readonly unknown[]).entries()) {
    const prefix = typeof item === 'string' ? parseSloppyPrefix(item) : undefined;
    if (prefix === undefined) {
      note(report, `${path}[${index}]`, `${show(item)} is not a CIDR`);
      return undefined;
    }
    peers.push(Object.freeze({ ipBlock: Object.freeze({ cidr: formatPrefix(prefix), except: EMPTY_LIST }) }));
  }
  return peers;
}

function readProtocol(report: Report, value: Json, path: string): readonly PolicyPort[] | undefined {
  const [key = '', ...more] = Object.keys(value);
  const part = value[key];
  if (more.length > 0) {
    note(report, path, 'must have exactly one of tcp, udp, sctp and destinationNamedPort');
    return undefined;
  }
  if (key === 'destinationNamedPort' && isPortName(part)) {
    // A name says nothing of the protocol: the container port that it names does.
    return Object.values(PROTOCOLS).map((protocol) => Object.freeze({ protocol, port: part }));
  }
  const protocol = Object.hasOwn(PROTOCOLS, key) ? PROTOCOLS[key as keyof typeof PROTOCOLS] : undefined;
  if (protocol === undefined || !isJson(part)) {
    note(report, path, `${show(value)} is not a protocol that is understood`);
    return undefined;
  }
  if (!onlyFields(report, part, `${path}.${key}`, ['destinationPort'])) return undefined;
  const port = part['destinationPort'];
  if (port === undefined || port === null) return [Object.freeze({ protocol })];
  const range = readRange(port);
  if (range === undefined) {
    note(report, `${path}.${key}.destinationPort`, `${show(port)} is neither a number nor a range of ports`);
    return undefined;
  }
  return [Object.freeze({ protocol, ...range })];
}

function readRange(port: unknown): { readonly port: number; readonly endPort?: number } | undefined {
  if (!isJson(port) || Object.keys(port).length !== 1) return undefined;
  const { number, range } = port;
  if (isPort(number)) return { port: number };
  if (!isJson(range) || !onlyKnown(range, ['start', 'end'])) return undefined;
  const { start, end } = range;
  return isPort(start) && isPort(end) && start <= end ? { port: start, endPort: end } : undefined;
}
