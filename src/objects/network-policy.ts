/**
 * NetworkPolicy, read so that a mistake never opens anything.
 * An empty list of peers or ports means "any", so a part that cannot be understood may not simply be dropped: an alternative is
 * dropped, a rule whose alternatives were all dropped goes as a whole, and where it is unclear whom the policy selects or which
 * way it isolates, it isolates more and allows nothing. Fields that are not of the API count as not understood: in a rule they
 * would narrow it (`form:` for `from:` would otherwise allow everyone).
 */
import { contains } from '../net/prefix.ts';
import { formatPrefix, parseSloppyPrefix } from '../net/prefix.ts';
import { isJson, note, objectAt, show } from './fields.ts';
import type { Json, Report } from './fields.ts';
import { EMPTY_LIST } from './intern.ts';
import { projectAs } from './metadata.ts';
import type { Projected } from './metadata.ts';
import { isPort, isPortName, protocolOf } from './ports.ts';
import { readSelector } from './selector.ts';
import type { NetworkPolicyObject, PolicyPeer, PolicyPort, PolicyRule } from './types.ts';

/** Projects a NetworkPolicy from the API's JSON. Never throws: what is wrong becomes an issue and makes it stricter. */
export function projectNetworkPolicy(raw: unknown): Projected<NetworkPolicyObject> {
  return projectAs('NetworkPolicy', 'namespace', raw, (base, json, report) => {
    const before = report.issues.length;
    const specOk = json['spec'] === undefined || json['spec'] === null || isJson(json['spec']);
    const spec = objectAt(report, json, 'spec', 'spec');
    const unknown = unknownFields(report, spec, 'spec', ['podSelector', 'policyTypes', 'ingress', 'egress']);
    const { selector, valid } = readSelector(report, spec['podSelector'], 'spec.podSelector');
    if (!valid)
      note(report, 'spec.podSelector', 'is not understood; what is left of it selects, and nothing is allowed');
    const directions = readDirections(report, spec, specOk);
    const trusted = valid && specOk && !unknown;
    const rules = (direction: 'ingress' | 'egress') => {
      const list = readRules(report, spec, direction);
      return trusted && directions[direction] === 'named' ? list : EMPTY_LIST;
    };
    const ingress = directions.ingress === 'no' ? undefined : rules('ingress');
    const egress = directions.egress === 'no' ? undefined : rules('egress');
    return {
      kind: 'NetworkPolicy' as const,
      ...base,
      podSelector: selector,
      ...(ingress === undefined ? {} : { ingress }),
      ...(egress === undefined ? {} : { egress }),
      invalid: report.issues.length > before,
    };
  });
}

function unknownFields(report: Report, value: Json, path: string, known: readonly string[]): boolean {
  const unknown = Object.keys(value).filter((key) => !known.includes(key));
  for (const key of unknown)
    note(report, `${path}.${key}`, 'is not a field of NetworkPolicy; read in the strictest way');
  return unknown.length > 0;
}

/** `no`: not isolated; `named`: isolated, rules apply; `unsure`: isolated because that could be meant, and nothing is allowed. */
type Direction = 'no' | 'named' | 'unsure';

function readDirections(report: Report, spec: Json, specOk: boolean): Record<'ingress' | 'egress', Direction> {
  const types = spec['policyTypes'];
  if (!specOk) return { ingress: 'unsure', egress: 'unsure' };
  if (types === undefined || types === null || (Array.isArray(types) && types.length === 0)) {
    const egress = spec['egress'];
    // The API server's defaulting (SetDefaults_NetworkPolicy); what is no list may have been meant as one.
    const meant = egress !== undefined && egress !== null && !(Array.isArray(egress) && egress.length === 0);
    return { ingress: 'named', egress: meant ? 'named' : 'no' };
  }
  const list: readonly unknown[] = Array.isArray(types) ? types : [types];
  const unknown = !Array.isArray(types) || list.some((type) => type !== 'Ingress' && type !== 'Egress');
  if (unknown)
    note(
      report,
      'spec.policyTypes',
      `${show(types)} is not a list of Ingress and Egress; both directions are isolated`,
    );
  const otherwise = unknown ? 'unsure' : 'no';
  return {
    ingress: list.includes('Ingress') ? 'named' : otherwise,
    egress: list.includes('Egress') ? 'named' : otherwise,
  };
}

function readRules(report: Report, spec: Json, direction: 'ingress' | 'egress'): readonly PolicyRule[] {
  const value = spec[direction];
  if (value === undefined || value === null) return EMPTY_LIST;
  if (!Array.isArray(value)) {
    note(report, `spec.${direction}`, `${show(value)} is not a list; it allows nothing`);
    return EMPTY_LIST;
  }
  const rules: PolicyRule[] = [];
  value.forEach((item: unknown, index) => {
    const rule = readRule(report, item, `spec.${direction}[${index}]`, direction === 'ingress' ? 'from' : 'to');
    if (rule !== undefined) rules.push(rule);
  });
  return Object.freeze(rules);
}

function readRule(report: Report, item: unknown, path: string, side: 'from' | 'to'): PolicyRule | undefined {
  if (!isJson(item)) {
    note(report, path, `${show(item)} is not a rule; it allows nothing`);
    return undefined;
  }
  if (unknownFields(report, item, path, [side, 'ports'])) return undefined;
  const peers = alternatives(report, item[side], `${path}.${side}`, readPeer);
  const ports = alternatives(report, item['ports'], `${path}.ports`, readPort);
  return peers === undefined || ports === undefined ? undefined : Object.freeze({ peers, ports });
}

/** The alternatives that were understood; `undefined` when there were some and none was: then nothing is allowed. */
function alternatives<Item>(
  report: Report,
  value: unknown,
  path: string,
  read: (report: Report, item: Json, path: string) => Item | undefined,
): readonly Item[] | undefined {
  if (value === undefined || value === null) return EMPTY_LIST;
  if (!Array.isArray(value)) {
    note(report, path, `${show(value)} is not a list; the rule allows nothing`);
    return undefined;
  }
  if (value.length === 0) return EMPTY_LIST;
  const items: Item[] = [];
  value.forEach((one: unknown, index) => {
    const at = `${path}[${index}]`;
    if (!isJson(one)) return note(report, at, `${show(one)} is not an object; it allows nothing`);
    const item = read(report, one, at);
    if (item !== undefined) items.push(item);
  });
  return items.length === 0 ? undefined : Object.freeze(items);
}

function readPeer(report: Report, item: Json, path: string): PolicyPeer | undefined {
  if (unknownFields(report, item, path, ['ipBlock', 'podSelector', 'namespaceSelector'])) return undefined;
  const { ipBlock, podSelector, namespaceSelector } = item;
  const selects = (value: unknown) => value !== undefined && value !== null;
  if (selects(ipBlock)) {
    if (!selects(podSelector) && !selects(namespaceSelector)) return readBlock(report, ipBlock, `${path}.ipBlock`);
    note(report, path, 'has both an ipBlock and a selector; it allows nothing');
    return undefined;
  }
  if (!selects(podSelector) && !selects(namespaceSelector)) {
    note(report, path, 'names no peer; it allows nothing');
    return undefined;
  }
  const pods = selects(podSelector) ? readSelector(report, podSelector, `${path}.podSelector`) : undefined;
  const namespaces = selects(namespaceSelector)
    ? readSelector(report, namespaceSelector, `${path}.namespaceSelector`)
    : undefined;
  if (pods?.valid === false || namespaces?.valid === false) return undefined;
  return Object.freeze({
    ...(pods === undefined ? {} : { podSelector: pods.selector }),
    ...(namespaces === undefined ? {} : { namespaceSelector: namespaces.selector }),
  });
}

function readBlock(report: Report, value: unknown, path: string): PolicyPeer | undefined {
  if (!isJson(value)) {
    note(report, path, `${show(value)} is not an object; it allows nothing`);
    return undefined;
  }
  if (unknownFields(report, value, path, ['cidr', 'except'])) return undefined;
  const cidr = typeof value['cidr'] === 'string' ? parseSloppyPrefix(value['cidr']) : undefined;
  if (cidr === undefined) {
    note(report, `${path}.cidr`, `${show(value['cidr'])} is not a CIDR; the block allows nothing`);
    return undefined;
  }
  const list: unknown = value['except'] ?? EMPTY_LIST;
  if (!Array.isArray(list)) {
    note(report, `${path}.except`, `${show(list)} is not a list; the block allows nothing`);
    return undefined;
  }
  const except: string[] = [];
  for (const [index, item] of (list as readonly unknown[]).entries()) {
    const prefix = typeof item === 'string' ? parseSloppyPrefix(item) : undefined;
    if (prefix === undefined) {
      note(report, `${path}.except[${index}]`, `${show(item)} is not a CIDR; the block allows nothing`);
      return undefined;
    }
    if (contains(prefix, cidr) || contains(cidr, prefix)) except.push(formatPrefix(prefix));
    else note(report, `${path}.except[${index}]`, `${show(item)} is outside of the block; it excepts nothing`);
  }
  return Object.freeze({ ipBlock: Object.freeze({ cidr: formatPrefix(cidr), except: Object.freeze(except) }) });
}

function readPort(report: Report, item: Json, path: string): PolicyPort | undefined {
  if (unknownFields(report, item, path, ['protocol', 'port', 'endPort'])) return undefined;
  const protocol = protocolOf(report, item, path);
  if (protocol === undefined) return undefined;
  const { port, endPort } = item;
  const absent = (value: unknown) => value === undefined || value === null;
  if (!absent(port) && !isPort(port) && !isPortName(port)) {
    note(report, `${path}.port`, `${show(port)} is neither a port nor a port name; it allows nothing`);
    return undefined;
  }
  if (absent(endPort)) return Object.freeze(absent(port) ? { protocol } : { protocol, port: port });
  if (isPort(port) && isPort(endPort) && endPort >= port) return Object.freeze({ protocol, port, endPort });
  note(report, `${path}.endPort`, `${show(endPort)} needs a numeric port not above it; it allows nothing`);
  return undefined;
}
