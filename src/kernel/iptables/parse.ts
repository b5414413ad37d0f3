/**
 * Reads `iptables-save`, of either flavour and family. Pure.
 */
import { SdkError } from '../../net/errors.ts';

/** One chain of a table. */
export interface IptablesChain {
  /** Policy of a built-in chain; absent for a chain of one's own. */
  readonly policy?: 'ACCEPT' | 'DROP';
  /** The rules in order, each the text behind `-A CHAIN `. */
  readonly rules: readonly string[];
}

/** Tables by name, each its chains by name. */
export type IptablesState = ReadonlyMap<string, ReadonlyMap<string, IptablesChain>>;

/**
 * The tables in the output of `iptables-save`; counters are left out.
 * @throws SdkError `PARSE_FAILED`
 */
export function parseIptablesSave(text: string): IptablesState {
  const tables = new Map<string, Map<string, { policy?: 'ACCEPT' | 'DROP'; rules: string[] }>>();
  let table: Map<string, { policy?: 'ACCEPT' | 'DROP'; rules: string[] }> | undefined;
  for (const raw of text.split('\n')) {
    const line = raw.startsWith('[') ? raw.slice(raw.indexOf(']') + 2) : raw;
    if (line === '' || line.startsWith('#')) continue;
    if (line.startsWith('*')) {
      table = tables.get(line.slice(1)) ?? new Map<string, { rules: string[] }>();
      tables.set(line.slice(1), table);
      continue;
    }
    if (line === 'COMMIT') {
      table = undefined;
      continue;
    }
    const chain = /^:(\S+) (\S+)/.exec(line);
    if (chain !== null && table !== undefined) {
      const [, name = '', policy] = chain;
      table.set(name, policy === 'ACCEPT' || policy === 'DROP' ? { policy, rules: [] } : { rules: [] });
      continue;
    }
    const rule = /^-A (\S+) ?(.*)$/.exec(line);
    const owner = rule === null ? undefined : table?.get(rule[1]!);
    if (rule === null || owner === undefined) {
      throw new SdkError(`not a line of iptables-save: ${line}`, { code: 'PARSE_FAILED', details: { line } });
    }
    owner.rules.push(rule[2]!);
  }
  return tables;
}

/** Cuts a rule into its arguments; quotes and backslashes as iptables-save writes them. */
export function splitRule(rule: string): string[] {
  const args: string[] = [];
  for (const match of rule.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)) {
    args.push(match[1] === undefined ? match[2]! : match[1].replace(/\\(.)/g, '$1'));
  }
  return args;
}

/** The comment of a rule, by which owners are often told apart. */
export function commentOf(rule: string): string | undefined {
  const args = splitRule(rule);
  const at = args.indexOf('--comment');
  return at < 0 ? undefined : args[at + 1];
}

/** The two implementations behind the name iptables; rules of one are invisible to the other's tools. */
export type IptablesFlavour = 'legacy' | 'nft';

/** What {@link chooseFlavour} decides from. */
export interface FlavourEvidence {
  /** Output of `iptables-legacy-save` and `ip6tables-legacy-save`, empty when they cannot be run. */
  readonly legacy: string;
  /** Output of `iptables-nft-save` and `ip6tables-nft-save`, empty when they cannot be run. */
  readonly nft: string;
  /** Output of `iptables --version`, e.g. `iptables v1.8.9 (nf_tables)`. */
  readonly version: string;
  /** Which can be used at all on this kernel. */
  readonly usable: readonly IptablesFlavour[];
}

/**
 * The flavour that the host uses: where the kubelet left its hint, else where more rules are, else what `iptables` is
 * (the method of Kubernetes' iptables-wrappers). Rules in the other flavour would be evaluated besides, in surprising order.
 */
export function chooseFlavour(evidence: FlavourEvidence): IptablesFlavour {
  const [only, other] = evidence.usable;
  if (only !== undefined && other === undefined) return only;
  const hinted = (text: string): boolean => /^:KUBE-(?:IPTABLES-HINT|KUBELET-CANARY) /m.test(text);
  if (hinted(evidence.nft)) return 'nft';
  if (hinted(evidence.legacy)) return 'legacy';
  const rules = (text: string): number => text.split('\n').filter((line) => line.startsWith('-')).length;
  const [legacy, nft] = [rules(evidence.legacy), rules(evidence.nft)];
  if (legacy !== nft) return legacy > nft ? 'legacy' : 'nft';
  return evidence.version.includes('legacy') ? 'legacy' : 'nft';
}
