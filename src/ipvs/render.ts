/**
 * Steps to commands, in the order of their effects: settings, device and addresses, sets, chains, virtual servers; then what goes,
 * the other way round. One real server is one direct `ipvsadm` call, whose exit code tells; many are one `ipvsadm -R`, which is
 * read back. Pure text.
 */
import type { Command } from '../kernel/types.ts';
import type { Protocol } from '../net/values.ts';
import { FOU_MARK, FOU_PORT, hostPort, ipvsNames } from './model.ts';
import type { ChainItem, IpvsItem, JumpItem, RealServer, VirtualServerItem } from './model.ts';
import type { IpvsPlan, Step } from './plan.ts';

/** Which iptables to call. */
export interface RenderOptions {
  /** @defaultValue 'iptables' and 'ip6tables' */
  readonly iptables?: { readonly 4: string; readonly 6: string };
  /** Real-server and virtual-server changes up to this number are direct calls. @defaultValue 4 */
  readonly directLimit?: number;
}

/** A command and the steps that it carries out. */
export interface IpvsCommand extends Command {
  readonly steps: readonly Step[];
  /** Its exit code does not tell: read back. */
  readonly verify?: 'ipvs';
}

const PROTOCOL_FLAG: Readonly<Record<Protocol, string>> = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' };
const defaultIptables = { 4: 'iptables', 6: 'ip6tables' } as const;

/** Arguments that name a virtual server. */
export function serviceArgs(vs: VirtualServerItem, creating = false): string[] {
  if (vs.protocol !== undefined && vs.address !== undefined && vs.port !== undefined) {
    return [PROTOCOL_FLAG[vs.protocol], hostPort(vs.address, vs.port)];
  }
  const six = vs.family === 6 ? ['-6'] : [];
  return ['-f', String(vs.mark), ...(creating || vs.family === 6 ? six : [])];
}

function serviceOptions(vs: VirtualServerItem): string[] {
  const args = ['-s', vs.scheduler];
  if (vs.persistence > 0) args.push('-p', String(vs.persistence));
  if (vs.flags.length > 0) args.push('-b', vs.flags.join(','));
  return args;
}

/** `-m` or `-i` with what the tunnel is made of, and the weight. */
function serverOptions(vs: VirtualServerItem, server: RealServer): string[] {
  const fou = vs.forward === 'tunnel' && ((vs.mark ?? 0) & FOU_MARK) === FOU_MARK;
  // The kernel works the outer sum out from an inner one that the device is to fill in, and takes SCTP's CRC for such a sum
  // (lco_csum). IPv4 does without (RFC 768); over IPv6 a sum there must be (RFC 8200, 8.1).
  const sum = vs.family === 6 ? '--tun-csum' : '--tun-nocsum';
  const tunnel = fou ? ['--tun-type', 'gue', '--tun-port', String(FOU_PORT), sum] : [];
  return [vs.forward === 'tunnel' ? '-i' : '-m', ...tunnel, '-w', String(server.weight)];
}

function serverName(server: RealServer): string {
  return hostPort(server.address, server.port);
}

/** Argument lists of `ipvsadm` for a step; two for a move. */
export function ipvsadmLines(step: Step): string[][] {
  if (step.kind === 'put' && step.item.type === 'vs') {
    const { item } = step;
    return [[step.before === undefined ? '-A' : '-E', ...serviceArgs(item, true), ...serviceOptions(item)]];
  }
  if (step.kind === 'remove' && step.item.type === 'vs') return [['-D', ...serviceArgs(step.item)]];
  if (step.kind !== 'server') return [];
  const { vs, server, action } = step;
  const name = [...serviceArgs(vs), '-r', serverName(server)];
  const add = ['-a', ...name, ...serverOptions(vs, server)];
  if (action === 'add') return [add];
  if (action === 'del') return [['-d', ...name]];
  if (action === 'move') return [['-d', ...name], add];
  return [['-e', ...name, ...serverOptions(vs, server)]];
}

function ipvsadmCommands(steps: readonly Step[], limit: number): IpvsCommand[] {
  const lines = steps.map((step) => ({ step, lines: ipvsadmLines(step) })).filter(({ lines }) => lines.length > 0);
  const total = lines.reduce((sum, one) => sum + one.lines.length, 0);
  if (total === 0) return [];
  const all = lines.map(({ step }) => step);
  if (total <= limit && !all.some((step) => step.kind === 'server' && step.action === 'move')) {
    return lines.map(({ step, lines: [args] }) => ({ file: 'ipvsadm', args: args ?? [], steps: [step] }));
  }
  const input = lines.flatMap((one) => one.lines.map((args) => args.join(' '))).join('\n') + '\n';
  // A line takes the kernel well under a millisecond; a slow machine with all of a large cluster is given its time.
  return [{ file: 'ipvsadm', args: ['-R'], input, steps: all, timeoutMs: 120_000 + 2 * total, verify: 'ipvs' }];
}

/** Real servers that move lose no connection when IPVS waits for them instead of cutting: the setting is off meanwhile. */
function aroundMoves(commands: readonly IpvsCommand[]): IpvsCommand[] {
  const moves = commands.some(({ steps }) => steps.some((step) => step.kind === 'server' && step.action === 'move'));
  if (!moves) return [...commands];
  const write = (value: string): IpvsCommand => ({
    file: 'sysctl',
    args: ['-qw', `net/ipv4/vs/expire_nodest_conn=${value}`],
    steps: [],
  });
  return [write('0'), ...commands, write('1')];
}

const prefixLength = (family: 4 | 6): string => (family === 4 ? '32' : '128');

/** The local route of an address on our device, for `ip route`. */
const localRoute = (address: string): string => `local ${address} dev ${ipvsNames.device} table local`;

/**
 * Lines of `ip -batch` that put an item. The kernel's own local route of an address prefers the address itself as source. IPv4
 * replaces it in place; IPv6 keeps both, so ours is told apart by its protocol and {@link kernelRouteLines} takes the kernel's away.
 */
function ipLines(item: IpvsItem): string[] {
  if (item.type === 'link') return [`link add ${item.name} type dummy`, `link set ${item.name} up`];
  if (item.type !== 'addr') return [];
  const options = item.family === 6 ? ' nodad noprefixroute' : '';
  const address = `address replace ${item.address}/${prefixLength(item.family)} dev ${ipvsNames.device}${options}`;
  if (item.source === '') return [address];
  const kind = item.family === 6 ? 'proto static' : 'proto kernel scope host';
  return [address, `route replace ${localRoute(item.address)} ${kind} src ${item.source}`];
}

/**
 * Takes away the kernel's own local route of an IPv6 address, by a process of its own: the kernel adds that route some time after the
 * address (addrconf_dad_work in net/ipv6/addrconf.c). Should it come later still, this fails, and the next look finds both.
 */
function kernelRouteLines(item: IpvsItem, before?: IpvsItem): string[] {
  if (item.type !== 'addr' || item.family === 4 || item.source === '') return [];
  if (before?.type === 'addr' && before.source !== '' && before.kernelRoute !== true) return [];
  return [`route del ${localRoute(item.address)} proto kernel`];
}

/**
 * Lines that take an address away, and its route, which has another source than the address, so that the kernel would leave it behind.
 * Of IPv6 the address goes first, with the kernel's own route if that stands beside ours: what is left is ours.
 */
function ipRemoval(item: IpvsItem): string[] {
  if (item.type !== 'addr') return [];
  const address = `address del ${item.address}/${prefixLength(item.family)} dev ${ipvsNames.device}`;
  if (item.source === '') return [address];
  const route = `route del ${localRoute(item.address)}`;
  return item.family === 4 ? [route, address] : [address, route];
}

function batch(lines: readonly { readonly step: Step; readonly text: readonly string[] }[]): IpvsCommand[] {
  const texts = lines.flatMap((line) => line.text);
  if (texts.length === 0) return [];
  const steps = lines.map(({ step }) => step);
  return [{ file: 'ip', args: ['-force', '-batch', '-'], input: texts.join('\n') + '\n', steps }];
}

function ruleCommand(step: Step, item: IpvsItem, action: 'add' | 'del'): IpvsCommand[] {
  if (item.type === 'rule') {
    const mark = `0x${item.mark.toString(16)}/0x${item.mask.toString(16)}`;
    const args = [`-${item.family}`, 'rule', action, 'priority', String(item.priority), 'fwmark', mark];
    return [{ file: 'ip', args: [...args, 'lookup', String(item.table)], steps: [step] }];
  }
  if (item.type === 'route') {
    const verb = action === 'add' ? 'replace' : 'del';
    const args = [`-${item.family}`, 'route', verb, 'local', 'default', 'dev', 'lo', 'table', String(item.table)];
    return [{ file: 'ip', args, steps: [step] }];
  }
  return [];
}

function createLine(item: IpvsItem): string[] {
  if (item.type !== 'set') return [];
  const family = item.family === 6 ? 'inet6' : 'inet';
  const options = item.skbinfo ? ' skbinfo' : '';
  return [`create ${item.name} ${item.setType} family ${family} hashsize 1024 maxelem 1048576${options}`];
}

function ipsetCommand(lines: readonly { readonly step: Step; readonly text: readonly string[] }[]): IpvsCommand[] {
  const texts = lines.flatMap((line) => line.text);
  if (texts.length === 0) return [];
  return [
    {
      file: 'ipset',
      args: ['restore', '-exist'],
      input: texts.join('\n') + '\n',
      steps: lines.map(({ step }) => step),
    },
  ];
}

function iptablesCommands(steps: readonly Step[], options: RenderOptions): IpvsCommand[] {
  const programs = options.iptables ?? defaultIptables;
  const commands: IpvsCommand[] = [];
  for (const family of [4, 6] as const) {
    const tables = new Map<string, { chains: string[]; rules: string[]; ends: string[]; steps: Step[] }>();
    for (const step of steps) {
      if (step.kind !== 'put' && step.kind !== 'remove') continue;
      const { item } = step;
      if ((item.type !== 'chain' && item.type !== 'jump') || item.family !== family) continue;
      const table = tables.get(item.table) ?? { chains: [], rules: [], ends: [], steps: [] };
      tables.set(item.table, table);
      table.steps.push(step);
      renderRule(step.kind, item, table);
    }
    if (tables.size === 0) continue;
    const text = [...tables]
      .map(([name, { chains, rules, ends }]) => [`*${name}`, ...chains, ...rules, ...ends, 'COMMIT', ''].join('\n'))
      .join('');
    commands.push({
      file: `${programs[family]}-restore`,
      args: ['--noflush', '-w', '10'],
      input: text,
      steps: [...tables.values()].flatMap((table) => table.steps),
    });
  }
  return commands;
}

function renderRule(
  kind: 'put' | 'remove',
  item: ChainItem | JumpItem,
  into: { chains: string[]; rules: string[]; ends: string[] },
): void {
  if (item.type === 'jump') {
    if (kind === 'remove') into.rules.push(`-D ${item.chain} ${item.rule}`);
    else into.rules.push(item.place === 'first' ? `-I ${item.chain} 1 ${item.rule}` : `-A ${item.chain} ${item.rule}`);
    return;
  }
  // A chain named with a colon is made or emptied, so that its rules are replaced as one.
  into.chains.push(`:${item.name} - [0:0]`);
  if (kind === 'remove') into.ends.push(`-X ${item.name}`);
  else for (const rule of item.rules) into.rules.push(`-A ${item.name} ${rule}`);
}

/** All commands of a plan, in order. */
export function renderCommands(plan: IpvsPlan, options: RenderOptions = {}): IpvsCommand[] {
  const limit = options.directLimit ?? 4;
  const puts = plan.steps.filter((step) => step.kind === 'put');
  const removes = plan.steps.filter((step) => step.kind === 'remove');
  const servers = plan.steps.filter((step) => step.kind === 'server');
  const commands: IpvsCommand[] = [];
  const texts = (steps: readonly Step[], render: (item: IpvsItem, before?: IpvsItem) => readonly string[]) =>
    steps.flatMap((step) => {
      if (step.kind !== 'put' && step.kind !== 'remove') return [];
      const text = render(step.item, step.kind === 'put' ? step.before : undefined);
      return text.length === 0 ? [] : [{ step, text }];
    });

  commands.push(...batch(texts(puts, (item) => (item.type === 'link' ? ipLines(item) : []))));
  const settings = puts.filter((step) => step.item.type === 'sysctl');
  if (settings.length > 0) {
    const args = settings.flatMap(({ item }) => (item.type === 'sysctl' ? [`${item.path}=${item.value}`] : []));
    commands.push({ file: 'sysctl', args: ['-qw', ...args], steps: settings });
  }
  for (const step of puts) {
    if (step.item.type !== 'timeout') continue;
    const { tcp, tcpFin, udp } = step.item;
    commands.push({ file: 'ipvsadm', args: ['--set', String(tcp), String(tcpFin), String(udp)], steps: [step] });
  }
  const added = [
    ...texts(puts, createLine),
    ...texts(puts, (item) =>
      item.type === 'entry' ? [`add ${item.set} ${item.element}${item.options === '' ? '' : ` ${item.options}`}`] : [],
    ),
  ];
  commands.push(...ipsetCommand(added));
  commands.push(...iptablesCommands(puts, options));
  for (const step of puts) commands.push(...ruleCommand(step, step.item, 'add'));
  commands.push(...batch(texts(puts, (item) => (item.type === 'addr' ? ipLines(item) : []))));
  commands.push(...batch(texts(puts, kernelRouteLines)));
  const drops = (step: Step): boolean => step.kind === 'server' && (step.action === 'del' || step.action === 'drain');
  const programmed = [
    ...puts.filter((step) => step.item.type === 'vs'),
    ...servers.filter((step) => !drops(step)),
    ...servers.filter(drops),
    ...removes.filter((step) => step.item.type === 'vs'),
  ];
  commands.push(...aroundMoves(ipvsadmCommands(programmed, limit)));

  const gone = texts(removes, ipRemoval);
  commands.push(
    ...batch([...gone, ...texts(removes, (item) => (item.type === 'link' ? [`link del ${item.name}`] : []))]),
  );
  for (const step of removes) commands.push(...ruleCommand(step, step.item, 'del'));
  commands.push(...iptablesCommands(removes, options));
  const emptied = [
    ...texts(removes, (item) => (item.type === 'entry' ? [`del ${item.set} ${item.element}`] : [])),
    ...texts(removes, (item) => (item.type === 'set' ? [`flush ${item.name}`, `destroy ${item.name}`] : [])),
  ];
  commands.push(...ipsetCommand(emptied));
  return commands;
}

/** A plan as text for people: one line a command, input indented below. */
export function render(plan: IpvsPlan, options: RenderOptions = {}): string {
  const lines: string[] = [];
  for (const { file, args, input } of renderCommands(plan, options)) {
    lines.push([file, ...args].join(' '));
    if (input !== undefined)
      lines.push(
        ...input
          .trimEnd()
          .split('\n')
          .map((line) => `  ${line}`),
      );
  }
  for (const step of plan.steps) if (step.kind === 'blocked') lines.push(`# ${step.key}: ${step.reason}`);
  return lines.length === 0 ? '' : lines.join('\n') + '\n';
}
