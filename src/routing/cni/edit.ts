/**
 * The node's pod CIDRs and MTU in a CNI configuration: the bridge plugin of a `.conf` or `.conflist` (CNI specification, section 1).
 * Adds what is missing and keeps everything that it does not know, in its order.
 * Pure text in, text out; file.ts writes it.
 */
import { formatPrefix, tryParsePrefix } from '../../net/prefix.ts';
import { SdkError } from '../../net/errors.ts';

/** What the file should say. */
export interface CniState {
  /** This node's pod CIDRs, canonical. */
  readonly podCidrs: readonly string[];
  /** Bytes; absent: left alone. */
  readonly mtu?: number;
  /** Name of the bridge in a file that is created. @defaultValue 'kube-bridge' */
  readonly bridge?: string;
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const canonical = (value: unknown): string | undefined => {
  const prefix = typeof value === 'string' ? tryParsePrefix(value, { hostBits: 'mask' }) : undefined;
  return prefix === undefined ? undefined : formatPrefix(prefix);
};

function unusable(why: string): SdkError {
  return new SdkError(`CNI configuration: ${why}`, { code: 'INVALID_OBJECT', details: { reason: why } });
}

/** The plugin of type `bridge`, of a list or alone. */
function bridgePlugin(root: unknown): Json {
  if (!isObject(root)) throw unusable('it is no JSON object');
  const plugins = Array.isArray(root['plugins']) ? (root['plugins'] as unknown[]) : [root];
  const found = plugins.filter(isObject).find((plugin) => plugin['type'] === 'bridge');
  if (found === undefined) throw unusable('it has no plugin of type bridge');
  return found;
}

/** Subnets of all range sets, with the legacy single `subnet` moved among them. */
function editRanges(ipam: Json, podCidrs: readonly string[]): void {
  const before = Array.isArray(ipam['ranges']) ? (ipam['ranges'] as unknown[]) : [];
  const ranges: unknown[] = [];
  const seen = new Set<string>();
  for (const set of before) {
    if (!Array.isArray(set)) {
      ranges.push(set);
      continue;
    }
    const kept = (set as unknown[]).filter((range) => {
      const subnet = isObject(range) ? canonical(range['subnet']) : undefined;
      if (subnet === undefined) return true;
      if (seen.has(subnet)) return false;
      seen.add(subnet);
      return true;
    });
    if (kept.length > 0) ranges.push(kept);
  }
  // The legacy form is one range written into ipam itself, with its limits beside it.
  const legacy = canonical(ipam['subnet']);
  if (legacy !== undefined) {
    const range: Json = {};
    for (const name of ['subnet', 'rangeStart', 'rangeEnd', 'gateway']) {
      if (name in ipam) range[name] = ipam[name];
      delete ipam[name];
    }
    if (!seen.has(legacy)) ranges.push([range]);
    seen.add(legacy);
  }
  for (const cidr of podCidrs) {
    if (seen.has(cidr)) continue;
    seen.add(cidr);
    ranges.push([{ subnet: cidr }]);
  }
  ipam['ranges'] = ranges;
}

/**
 * Edits the text of a CNI configuration. Text that already says it all comes back as it is, byte for byte.
 * @throws SdkError `INVALID_OBJECT` when it is no CNI configuration with a bridge plugin
 */
export function editCni(text: string, state: CniState): string {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (cause) {
    throw new SdkError('CNI configuration: it is no JSON', { code: 'INVALID_OBJECT', cause });
  }
  const before = JSON.stringify(root);
  const plugin = bridgePlugin(root);
  if (state.mtu !== undefined) plugin['mtu'] = state.mtu;
  if (!isObject(plugin['ipam'])) plugin['ipam'] = { type: 'host-local' };
  editRanges(plugin['ipam'] as Json, state.podCidrs);
  return JSON.stringify(root) === before ? text : `${JSON.stringify(root, undefined, 2)}\n`;
}

/** A configuration for a node that has none: bridge with host-local addresses and port mapping. */
export function newCni(state: CniState): string {
  const text = JSON.stringify({
    cniVersion: '0.3.1',
    name: 'mynet',
    plugins: [
      {
        name: 'kubernetes',
        type: 'bridge',
        bridge: state.bridge ?? 'kube-bridge',
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: { type: 'host-local' },
      },
      { type: 'portmap', capabilities: { snat: true, portMappings: true } },
    ],
  });
  return editCni(text, state);
}
