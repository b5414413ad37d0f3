/**
 * What kube-router writes into tables that are not its own, and what we write into them, told apart: rules of built-in chains,
 * whole chains, sets and routing rules. Pure: text of the tools in, names of what is whose out. Sources: kube-router's
 * network_services_controller.go, network_policy_controller.go, network_routes_controller.go, pod_egress.go.
 */
import { joinRule, splitRule } from 'kube-router-sdk/kernel';

/** A block whose leftovers something is. */
export type Owner = 'firewall' | 'ipvs' | 'routing';

/** One rule in a built-in chain, or a chain. */
export interface TableFinding {
  readonly owner: Owner;
  readonly table: string;
  readonly chain: string;
  /** The rule as `iptables-save` prints it, without `-A CHAIN`; absent: the chain itself. */
  readonly rule?: string;
}

/** Something else: an ipset, a virtual server by mark, a rule or a route of policy routing. */
export interface OtherFinding {
  readonly owner: Owner;
  readonly kind: 'set' | 'mark' | 'rule' | 'route';
  /** Set name, mark in decimal, or the words that `ip rule del` and `ip route del` take. */
  readonly name: string;
}

/** Everything found of one family. */
export interface FamilyFindings {
  readonly table: readonly TableFinding[];
  readonly other: readonly OtherFinding[];
}

/** Texts of the tools for one family. */
export interface FamilyTexts {
  /** `iptables-save`. */
  readonly tables: string;
  /** `ipset list -t`, of all families: no entries, which may be many. */
  readonly sets: string;
  /** `ip -N rule show`. */
  readonly rules: string;
  /** `ip route show table 79`. */
  readonly external: string;
}

const BUILT_IN = /^(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)$/;
/** Comments of kube-router's accepting rules in FORWARD. */
const FORWARD_COMMENTS = new Set([
  'allow inbound traffic to pods',
  'allow outbound traffic from pods',
  'allow outbound node port traffic on node interface with which node ip is associated',
]);
/** kube-router's table of external addresses, and the priorities of its two rules. */
const EXTERNAL_TABLE = 79;
const EXTERNAL_PRIORITY = 32765;
const DSR_TABLE = 78;
const DSR_PRIORITY = 32764;

const after = (words: readonly string[], word: string): string | undefined => {
  const at = words.indexOf(word);
  return at === -1 ? undefined : words[at + 1];
};

/** Marks that kube-router's policy routing sends to its DSR table: all 32 bits compared, unlike ours. */
export function kubeRouterMarks(rules: string): ReadonlySet<number> {
  const marks = new Set<number>();
  for (const line of rules.split('\n')) {
    const match = /^(\d+):\s+from all fwmark (0x[0-9a-f]+) lookup (\d+)\s*$/.exec(line);
    if (match?.[1] === String(DSR_PRIORITY) && match[3] === String(DSR_TABLE)) marks.add(Number(match[2]));
  }
  return marks;
}

/** Whose a rule of a built-in chain is, when it is kube-router's and not, by the same words, ours. */
function ownerOf(
  table: string,
  chain: string,
  words: readonly string[],
  marks: ReadonlySet<number>,
): Owner | undefined {
  const target = after(words, '-j') ?? '';
  const comment = after(words, '--comment') ?? '';
  if (table === 'filter') {
    // Ours says nothing; kube-router's names itself, in newer versions with a hash.
    if (/^KUBE-ROUTER-(INPUT|FORWARD|OUTPUT)$/.test(target))
      return comment.startsWith('kube-router netpol') ? 'firewall' : undefined;
    if (target === 'KUBE-ROUTER-SERVICES') {
      return comment === 'handle traffic to IPVS service IPs in custom chain' ? 'ipvs' : undefined;
    }
    if (chain === 'FORWARD' && target === 'ACCEPT') return FORWARD_COMMENTS.has(comment) ? 'routing' : undefined;
    return undefined;
  }
  if (table === 'nat' && chain === 'POSTROUTING') {
    if (target === 'KUBE-ROUTER-HAIRPIN') return 'ipvs';
    if (target === 'SNAT' && after(words, '--vdir') === 'ORIGINAL' && after(words, '--vmethod') === 'MASQ')
      return 'ipvs';
    const source = after(words, '--match-set') ?? '';
    if (target === 'MASQUERADE' && /^(inet6:)?kube-router-pod-subnets$/.test(source)) return 'routing';
    return undefined;
  }
  if (table !== 'mangle') return undefined;
  if (target === 'MARK') {
    const [value = '', mask = '0xffffffff'] = (after(words, '--set-xmark') ?? '').split('/');
    return mask === '0xffffffff' && words.includes('-d') && marks.has(Number(value)) ? 'ipvs' : undefined;
  }
  if (target === 'TCPMSS' && after(words, '-i') === 'kube-bridge' && words.includes('--sport')) return 'ipvs';
  return undefined;
}

/** Sets that only kube-router makes. */
function setOwner(name: string): Owner | undefined {
  if (/^(inet6:)?KUBE-(SRC|DST)-[A-Z2-7]{16}$/.test(name)) return 'firewall';
  // kube-router-local-pods has our own name: the firewall block takes it over.
  return undefined;
}

/** Everything of kube-router's that no block of ours takes over by its name. */
export function findKubeRouter(texts: FamilyTexts, family: 4 | 6): FamilyFindings {
  const marks = kubeRouterMarks(texts.rules);
  const table: TableFinding[] = [];
  for (const found of rulesOf(texts.tables)) {
    const owner = ownerOf(found.table, found.chain, splitRule(found.rule), marks);
    if (owner !== undefined) table.push({ owner, ...found });
  }
  for (const { table: name, chain } of chainsOf(texts.tables)) {
    if (name === 'nat' && chain === 'KUBE-ROUTER-HAIRPIN') table.push({ owner: 'ipvs', table: name, chain });
  }
  const other: OtherFinding[] = [...setsOf(texts.sets, family)].flatMap((name) => {
    const owner = setOwner(name);
    return owner === undefined ? [] : [{ owner, kind: 'set' as const, name }];
  });
  for (const mark of marks) {
    other.push({ owner: 'ipvs', kind: 'mark', name: String(mark) });
    other.push({
      owner: 'ipvs',
      kind: 'rule',
      name: `priority ${DSR_PRIORITY} fwmark 0x${mark.toString(16)} table ${DSR_TABLE}`,
    });
  }
  if (new RegExp(`^${EXTERNAL_PRIORITY}:\\s+from all lookup ${EXTERNAL_TABLE}\\s*$`, 'm').test(texts.rules)) {
    other.push({ owner: 'ipvs', kind: 'rule', name: `priority ${EXTERNAL_PRIORITY} table ${EXTERNAL_TABLE}` });
  }
  for (const line of texts.external.split('\n')) {
    if (line.trim() !== '')
      other.push({ owner: 'ipvs', kind: 'route', name: `${line.trim()} table ${EXTERNAL_TABLE}` });
  }
  return { table, other };
}

/** Chains that only we make. Our policy chains are named like kube-router's, which drops those that it does not know. */
const OUR_CHAINS = /^KUBE-ROUTER-(SVC-[A-Z]+|PODS|EGRESS|MSS)$|^KUBE-NWPLCY-REJECT$/;
const OUR_SETS = /^krs[46]-|^(inet6:)?kube-router-(svip-(lim|src|ref)|svc-[a-z-]+|hairpin)$/;

/** The block whose chain or set it is. */
const blockOf = (name: string): Owner =>
  /^KUBE-ROUTER-(PODS|EGRESS|MSS)$/.test(name)
    ? 'routing'
    : /-(SVC-|SERVICES$)|kube-router-/.test(name)
      ? 'ipvs'
      : 'firewall';

/** Everything of ours that kube-router, started over it, neither uses nor removes. */
export function findOurs(texts: FamilyTexts, family: 4 | 6): FamilyFindings {
  const table: TableFinding[] = [];
  for (const found of rulesOf(texts.tables)) {
    const words = splitRule(found.rule);
    const target = after(words, '-j') ?? '';
    const comment = after(words, '--comment');
    const set = words.find((word) => OUR_SETS.test(word));
    const ours =
      OUR_CHAINS.test(target) ||
      set !== undefined ||
      // Jumps into chains that kube-router fills as well, without its words: its own stand beside them by then.
      (/^KUBE-ROUTER-(INPUT|FORWARD|OUTPUT)$/.test(target) && words.length === 2) ||
      (target === 'KUBE-ROUTER-SERVICES' && comment !== 'handle traffic to IPVS service IPs in custom chain');
    if (ours) table.push({ owner: blockOf(set ?? target), ...found });
  }
  for (const { table: name, chain } of chainsOf(texts.tables)) {
    if (OUR_CHAINS.test(chain)) table.push({ owner: blockOf(chain), table: name, chain });
  }
  const other = [...setsOf(texts.sets, family)]
    .filter((name) => OUR_SETS.test(name))
    .map((name): OtherFinding => ({ owner: blockOf(name), kind: 'set', name }));
  return { table, other };
}

/** Rules in built-in chains, table by table. */
function* rulesOf(save: string): Generator<{ table: string; chain: string; rule: string }> {
  let table = '';
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    if (!line.startsWith('-A ')) continue;
    const end = line.indexOf(' ', 3);
    const chain = line.slice(3, end);
    if (BUILT_IN.test(chain)) yield { table, chain, rule: line.slice(end + 1) };
  }
}

function* chainsOf(save: string): Generator<{ table: string; chain: string }> {
  let table = '';
  for (const line of save.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    if (line.startsWith(':')) yield { table, chain: line.slice(1, line.indexOf(' ')) };
  }
}

/** Names of a family's sets, from blocks of `Name: …`, `Header: family inet6 …`. */
function* setsOf(list: string, family: 4 | 6): Generator<string> {
  let name = '';
  for (const line of list.split('\n')) {
    if (line.startsWith('Name: ')) name = line.slice(6);
    else if (line.startsWith('Header: ') && line.includes('family inet6') === (family === 6)) yield name;
  }
}

/** What `iptables-restore --noflush` is given to remove rules and then chains; every table is one commit. */
export function renderRemoval(findings: readonly TableFinding[]): string {
  const tables = new Map<string, TableFinding[]>();
  for (const one of findings) tables.set(one.table, [...(tables.get(one.table) ?? []), one]);
  let text = '';
  for (const [name, list] of tables) {
    const rules = list.filter(({ rule }) => rule !== undefined);
    const chains = list.filter(({ rule }) => rule === undefined).map(({ chain }) => chain);
    text += `*${name}\n`;
    for (const { chain, rule = '' } of rules) text += `-D ${chain} ${joinRule(splitRule(rule))}\n`;
    for (const chain of chains) text += `-F ${chain}\n`;
    for (const chain of chains) text += `-X ${chain}\n`;
    text += 'COMMIT\n';
  }
  return text;
}

/** A finding for people. */
export function describeFinding(finding: TableFinding | OtherFinding): string {
  if ('table' in finding) {
    const { table, chain, rule } = finding;
    return rule === undefined ? `${table} chain ${chain}` : `${table} ${chain} ${rule}`;
  }
  if (finding.kind === 'mark') return `virtual server of mark ${finding.name}`;
  return `${finding.kind === 'set' ? 'ipset' : `ip ${finding.kind}`} ${finding.name}`;
}

/**
 * Sets under names that both programs use, made anew as `wanted` has them: kube-router gives its sets a timeout, which no set can
 * lose. Members are kept, and the new set is swapped in, so that rules never find less. `ipset restore` text; empty: nothing to do.
 */
export function renderSetConversion(wanted: Iterable<string>, save: string): string {
  const held = new Map<string, { timeout: boolean; members: string[] }>();
  for (const line of save.split('\n')) {
    const [verb, name = '', element = ''] = line.split(' ', 3);
    if (verb === 'create') held.set(name, { timeout: / timeout \d+/.test(line), members: [] });
    else if (verb === 'add') held.get(name)?.members.push(element);
  }
  let text = '';
  for (const line of wanted) {
    const [, name = '', header = ''] = /^create (\S+) (.+)$/.exec(line.trim()) ?? [];
    const found = held.get(name);
    if (found?.timeout !== true || header.includes(' timeout ')) continue;
    const next = `${name}-kr`;
    text += `create ${next} ${header}\n`;
    // Sets with marks have marks on their members, which these cannot have.
    for (const member of found.members) text += `add ${next} ${member}\n`;
    text += `swap ${next} ${name}\ndestroy ${next}\n`;
  }
  return text;
}

/** Sets that both programs have, and the header that kube-router makes them with: with another one its start fails. */
const SHARED_SETS = /^(inet6:)?kube-router-(svip|svip-prt|local-ips|pod-subnets|node-ips)$/;

/** The reverse of {@link renderSetConversion}: shared sets as kube-router makes them, members kept. */
export function renderSetReturn(save: string): string {
  const held = new Map<string, { header: string; members: string[] }>();
  for (const line of save.split('\n')) {
    const [verb, name = '', third = ''] = line.split(' ', 3);
    if (!SHARED_SETS.test(name)) continue;
    const six = line.includes(' family inet6') ? 'inet6' : 'inet';
    if (verb === 'create' && !/ timeout \d+/.test(line)) {
      held.set(name, { header: `${third} family ${six} hashsize 1024 maxelem 65536 timeout 0`, members: [] });
    } else if (verb === 'add') held.get(name)?.members.push(third);
  }
  let text = '';
  for (const [name, { header, members }] of held) {
    text += `create ${name}-kr ${header}\n`;
    for (const member of members) text += `add ${name}-kr ${member} timeout 0\n`;
    text += `swap ${name}-kr ${name}\ndestroy ${name}-kr\n`;
  }
  return text;
}
