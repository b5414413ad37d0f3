/**
 * A plan as the text of the tools: `ipset restore`, `iptables-restore --noflush`, `ip -batch`, `bridge -batch`, `wg`, `sysctl`.
 * One child process a tool and pass; each input line knows which key it serves, so that a failing line names its item.
 * Pure: shows without privileges what would be done.
 */
import { textFamily } from '../net/address.ts';
import type { Family } from '../net/values.ts';
import type { ChainItem, LinkItem, RouteHop, RouteItem } from './model.ts';
import { OVERLAY_RULE_PRIORITY, ROUTE_PROTOCOL, hostPrefixText, isLinkLocal } from './model.ts';
import type { RoutingChange, RoutingPlan } from './plan.ts';

/** One child process to be. */
export interface RoutingCommand {
  readonly file: string;
  readonly args: readonly string[];
  /** Lines of standard input, without line ends. */
  readonly lines: readonly string[];
  /** Key of the item that each line serves; empty for framing lines. */
  readonly keys: readonly string[];
  /**
   * What the tool does at a bad line: `continues` and names it, `stops` and keeps the lines before, or is `atomic` for the table.
   * `ignored`: a failure has no consequence of its own.
   */
  readonly onFailure: 'continues' | 'stops' | 'atomic' | 'ignored';
}

/** Programs by family, for hosts where the default flavour of iptables is not the one in use. */
export interface IptablesPrograms {
  readonly 4: { readonly save: string; readonly restore: string };
  readonly 6: { readonly save: string; readonly restore: string };
}

/** Options of {@link render}. */
export interface RenderOptions {
  /** @defaultValue `iptables-save`, `iptables-restore` and their IPv6 twins */
  readonly iptables?: IptablesPrograms;
  /** File with the WireGuard private key; needed for a WireGuard device. */
  readonly wireguardKeyFile?: string;
}

/** The host's default flavour. */
export const defaultIptables: IptablesPrograms = {
  4: { save: 'iptables-save', restore: 'iptables-restore' },
  6: { save: 'ip6tables-save', restore: 'ip6tables-restore' },
};

interface Line {
  readonly text: string;
  readonly key: string;
}

/** `via` of a next hop; a gateway of the other family says so (RFC 8950). */
function gateway(via: string, prefix: string): string {
  if (textFamily(via) === textFamily(prefix)) return `via ${via}`;
  return `via ${textFamily(via) === 6 ? 'inet6' : 'inet'} ${via}`;
}

/** A gateway behind a given device need not be in any subnet of it; a link-local one is there anyway. */
function isOnlink(hop: RouteHop): boolean {
  return hop.via !== undefined && hop.dev !== undefined && !isLinkLocal(hop.via);
}

function way(hop: RouteHop, prefix: string): string {
  const parts: string[] = [];
  if (hop.via !== undefined) parts.push(gateway(hop.via, prefix));
  if (hop.dev !== undefined) parts.push(`dev ${hop.dev}`);
  if (isOnlink(hop)) parts.push('onlink');
  return parts.join(' ');
}

function route(item: RouteItem): string {
  const head = [`route replace ${item.prefix} proto ${ROUTE_PROTOCOL} table ${item.table}`];
  if (item.mtu !== undefined) head.push(`mtu ${item.mtu}`);
  if (item.source !== undefined) head.push(`src ${item.source}`);
  const [only, ...more] = item.hops;
  if (only !== undefined && more.length === 0) return [...head, way(only, item.prefix)].join(' ');
  return [
    ...head,
    // iproute2 wants onlink after the weight's device within each nexthop.
    ...item.hops.map(
      (hop) =>
        `nexthop ${way(hop, item.prefix).replace(/ onlink$/, '')} weight ${hop.weight ?? 1}${isOnlink(hop) ? ' onlink' : ''}`,
    ),
  ].join(' ');
}

function removeRoute(item: RouteItem): string {
  // Table 77 is ours whatever wrote the route; in main only our protocol is.
  const protocol = item.table === 254 ? ` proto ${ROUTE_PROTOCOL}` : '';
  return `route del ${item.prefix}${protocol} table ${item.table}${item.metric === undefined ? '' : ` metric ${item.metric}`}`;
}

function linkType(item: LinkItem): string {
  const ends = `${item.local === undefined ? '' : ` local ${item.local}`}${item.remote === undefined ? '' : ` remote ${item.remote}`}`;
  switch (item.kind) {
    case 'bridge':
      return 'type bridge';
    case 'wireguard':
      return 'type wireguard';
    case 'vxlan':
      // Learning is off: every entry is ours, so a forged frame moves nobody.
      return `type vxlan id ${item.vni}${ends} dstport ${item.port} nolearning`;
    case 'ipip':
    case 'ip6tnl': {
      const encap = item.port === undefined ? '' : ` encap gue encap-sport auto encap-dport ${item.port}`;
      const mode = item.kind === 'ipip' ? `${encap === '' ? '' : ' ttl 225'}` : ' mode any encaplimit none';
      return `type ${item.kind}${ends}${mode}${encap}`;
    }
  }
}

function link(change: RoutingChange, item: LinkItem): string[] {
  const mtu = item.mtu === undefined ? '' : ` mtu ${item.mtu}`;
  const before = change.before?.type === 'link' ? change.before : undefined;
  if (change.verb === 'change') {
    const ends = before?.local !== item.local || before?.remote !== item.remote;
    return [...(ends ? [`link change dev ${item.name} ${linkType(item)}`] : []), `link set dev ${item.name}${mtu} up`];
  }
  const address = item.mac === undefined ? '' : ` address ${item.mac}`;
  return [
    ...(change.verb === 'rebuild' ? [`link del dev ${item.name}`] : []),
    `link add name ${item.name}${address} ${linkType(item)}`,
    `link set dev ${item.name}${mtu} up`,
  ];
}

/** Lines of `ip -batch` for one change. */
function ipLines(change: RoutingChange): readonly string[] {
  const { item, verb } = change;
  const gone = verb === 'remove';
  switch (item.type) {
    case 'route':
      return [gone ? removeRoute(item) : route(item)];
    case 'rule':
      return [
        gone
          ? `rule del from ${item.from} lookup ${item.table}`
          : `rule add from ${item.from} lookup ${item.table} priority ${OVERLAY_RULE_PRIORITY}`,
      ];
    case 'neighbour':
      return [
        gone
          ? `neigh del ${item.address} dev ${item.dev}`
          : `neigh replace ${item.address} lladdr ${item.mac} dev ${item.dev} nud permanent`,
      ];
    case 'link':
      return gone ? [`link del dev ${item.name}`] : link(change, item);
    case 'fou':
      return [`fou ${gone ? 'del' : 'add'} port ${item.port}${gone ? '' : ' gue'}${item.family === 6 ? ' -6' : ''}`];
    default:
      return [];
  }
}

function setLines(change: RoutingChange): readonly string[] {
  const { item, verb } = change;
  if (item.type === 'set') {
    if (verb === 'remove') return [`destroy ${item.name}`];
    return [`create ${item.name} ${item.kind} family ${item.family === 4 ? 'inet' : 'inet6'} maxelem 262144`];
  }
  if (item.type !== 'entry') return [];
  // ipset refuses prefixes of length 0 in hash:net; two halves say the same.
  const halves: Readonly<Record<string, readonly string[]>> = {
    '0.0.0.0/0': ['0.0.0.0/1', '128.0.0.0/1'],
    '::/0': ['::/1', '8000::/1'],
  };
  return (halves[item.entry] ?? [item.entry]).map(
    (entry) => `${verb === 'remove' ? 'del' : 'add'} ${item.set} ${entry}`,
  );
}

function chainLines(change: RoutingChange, item: ChainItem): readonly string[] {
  const jump = `-j ${item.chain}`;
  if (change.verb === 'remove') {
    const hooked = item.hook === undefined ? [] : [`-D ${item.hook} ${jump}`];
    return [`:${item.chain} - [0:0]`, ...hooked, `-X ${item.chain}`];
  }
  const hooked = change.before?.type === 'chain' && change.before.hook === item.hook;
  const insert =
    item.table === 'filter' ? `-I ${item.hook} ${Number(change.note ?? '0') + 1} ${jump}` : `-A ${item.hook} ${jump}`;
  return [
    `:${item.chain} - [0:0]`,
    ...item.rules.map((rule) => `-A ${item.chain} ${rule}`),
    ...(hooked ? [] : [insert]),
  ];
}

function batch(
  file: string,
  args: readonly string[],
  lines: readonly Line[],
  onFailure: RoutingCommand['onFailure'],
): RoutingCommand[] {
  if (lines.length === 0) return [];
  return [{ file, args, lines: lines.map((line) => line.text), keys: lines.map((line) => line.key), onFailure }];
}

function iptables(changes: readonly RoutingChange[], programs: IptablesPrograms): RoutingCommand[] {
  const commands: RoutingCommand[] = [];
  for (const family of [4, 6] as const satisfies readonly Family[]) {
    const lines: Line[] = [];
    for (const table of ['filter', 'nat', 'mangle'] as const) {
      const mine = changes.filter(
        ({ item }) => item.type === 'chain' && item.family === family && item.table === table,
      );
      if (mine.length === 0) continue;
      lines.push({ text: `*${table}`, key: '' });
      for (const change of mine) {
        if (change.item.type !== 'chain') continue;
        for (const text of chainLines(change, change.item)) lines.push({ text, key: change.key });
      }
      lines.push({ text: 'COMMIT', key: mine[0]?.key ?? '' });
    }
    commands.push(...batch(programs[family].restore, ['--noflush', '--wait', '5'], lines, 'atomic'));
  }
  return commands;
}

/** Kernel modules that a plan's additions need where they are not built in. */
function modules(changes: readonly RoutingChange[]): readonly string[] {
  const wanted = new Set<string>();
  for (const { item, verb } of changes) {
    if (verb === 'remove') continue;
    if (item.type === 'sysctl' && item.path.startsWith('net/bridge/')) wanted.add('br_netfilter');
    if (item.type === 'fou') wanted.add(item.family === 4 ? 'fou' : 'fou6');
    if (item.type !== 'link') continue;
    if (item.kind === 'ip6tnl') wanted.add('ip6_tunnel');
    else wanted.add(item.kind);
  }
  return [...wanted].sort();
}

function wireguard(changes: readonly RoutingChange[], options: RenderOptions): RoutingCommand[] {
  const commands: RoutingCommand[] = [];
  for (const { item, verb, key } of changes) {
    if (item.type === 'link' && item.kind === 'wireguard' && verb !== 'remove') {
      const secret = options.wireguardKeyFile === undefined ? [] : ['private-key', options.wireguardKeyFile];
      commands.push({
        file: 'wg',
        args: ['set', item.name, 'listen-port', `${item.port}`, ...secret],
        lines: [],
        keys: [key],
        onFailure: 'stops',
      });
    }
    if (item.type !== 'wireguard-peer') continue;
    const rest = verb === 'remove' ? ['remove'] : ['endpoint', item.endpoint, 'allowed-ips', item.allowed.join(',')];
    commands.push({
      file: 'wg',
      args: ['set', item.dev, 'peer', item.publicKey, ...rest],
      lines: [],
      keys: [key],
      onFailure: 'stops',
    });
  }
  return commands;
}

function phase(changes: readonly RoutingChange[], options: RenderOptions): RoutingCommand[] {
  const lines = (types: readonly string[], of: (change: RoutingChange) => readonly string[]): Line[] =>
    changes.flatMap((change) =>
      types.includes(change.item.type) ? of(change).map((text) => ({ text, key: change.key })) : [],
    );
  const fdb = lines(['fdb'], ({ item, verb }) =>
    item.type !== 'fdb'
      ? []
      : [
          verb === 'remove'
            ? `fdb del ${item.mac} dev ${item.dev} dst ${item.remote}`
            : `fdb replace ${item.mac} dev ${item.dev} dst ${item.remote} self permanent`,
        ],
  );
  const sysctls = changes.flatMap(({ item, key }) =>
    item.type === 'sysctl' ? [{ text: `${item.path}=${item.value}`, key }] : [],
  );
  const ip = (types: readonly string[]): RoutingCommand[] =>
    batch('ip', ['-force', '-batch', '-'], lines(types, ipLines), 'continues');
  // `ip rule` does not tell the family from the address.
  const rules = ([4, 6] as const).flatMap((family) => {
    const ofFamily = (change: RoutingChange): readonly string[] =>
      change.item.type === 'rule' && change.item.family === family ? ipLines(change) : [];
    return batch('ip', [`-${family}`, '-force', '-batch', '-'], lines(['rule'], ofFamily), 'continues');
  });
  const sets = batch('ipset', ['restore', '-exist'], lines(['set', 'entry'], setLines), 'stops');
  const chains = iptables(changes, options.iptables ?? defaultIptables);
  if (changes[0]?.verb === 'remove') {
    return [
      ...rules,
      ...ip(['route', 'neighbour']),
      ...batch('bridge', ['-force', '-batch', '-'], fdb, 'continues'),
      ...wireguard(changes, options),
      ...ip(['link', 'fou']),
      ...chains,
      ...sets,
    ];
  }
  const needed = modules(changes);
  return [
    ...(needed.length === 0
      ? []
      : [{ file: 'modprobe', args: ['-q', '-a', ...needed], lines: [], keys: [], onFailure: 'ignored' as const }]),
    ...sets,
    ...ip(['fou', 'link']),
    ...sysctls.map((one): RoutingCommand => ({
      file: 'sysctl',
      args: ['-q', '-w', one.text],
      lines: [],
      keys: [one.key],
      onFailure: 'stops',
    })),
    ...wireguard(changes, options),
    ...batch('bridge', ['-force', '-batch', '-'], fdb, 'continues'),
    ...chains,
    ...ip(['neighbour', 'route']),
    ...rules,
  ];
}

/** The commands of a plan, in the order in which they are to run: all additions, then all removals. */
export function renderCommands(plan: RoutingPlan, options: RenderOptions = {}): readonly RoutingCommand[] {
  const live = plan.changes.filter((change) => change.verb !== 'blocked');
  return [
    ...phase(
      live.filter((change) => change.verb !== 'remove'),
      options,
    ),
    ...phase(
      live.filter((change) => change.verb === 'remove'),
      options,
    ),
  ];
}

/** A plan as text for people: each command and its input, blocked routes at the end. */
export function render(plan: RoutingPlan, options: RenderOptions = {}): string {
  const out: string[] = [];
  for (const command of renderCommands(plan, options)) {
    out.push(`# ${[command.file, ...command.args].join(' ')}`, ...command.lines);
  }
  for (const change of plan.changes) {
    if (change.verb === 'blocked') out.push(`# blocked: ${change.key} (a route of protocol ${change.note} is there)`);
  }
  return out.length === 0 ? '' : `${out.join('\n')}\n`;
}

/** Canonical entry text of an address or prefix as ipset prints it: host prefixes lose their length. */
export function entryText(text: string): string {
  const host = text.replace(/\/(32|128)$/, '');
  return hostPrefixText(host) === text ? host : text;
}
