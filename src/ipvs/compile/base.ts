/**
 * What the service proxy needs of the kernel whatever Services exist: device, sets, chains, jumps, settings.
 * Per-Service facts live in sets, so the number of rules never grows with the cluster. Rules are in the form that
 * `iptables-save` prints, so that what is read back compares as text. Pure.
 */
import type { Family } from '../../net/values.ts';
import { DSR_RULE_PRIORITY, DSR_TABLE, MARK_MASK, ipvsNames, setNameFor } from '../model.ts';
import type { ChainItem, IpvsItem, JumpItem, Scheduler, SetItem, SysctlItem } from '../model.ts';
import { DSR_BIT } from './marks.ts';
import type { ResolvedOptions } from './options.ts';

type Table = ChainItem['table'];

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

function set(name: string, family: Family, setType: string, skbinfo = false): SetItem {
  const full = setNameFor(name, family);
  return { type: 'set', key: `set/${full}`, name: full, setType, family, skbinfo };
}

function chain(family: Family, table: Table, name: string, rules: readonly string[]): ChainItem {
  return { type: 'chain', key: `chain/${family}/${table}/${name}`, family, table, name, rules };
}

function jump(family: Family, table: Table, from: string, rule: string, place: JumpItem['place'] = 'first'): JumpItem {
  return { type: 'jump', key: `jump/${family}/${table}/${from}/${rule}`, family, table, chain: from, rule, place };
}

function sysctl(path: string, value: string, onlyFrom?: string): SysctlItem {
  return { type: 'sysctl', key: `sysctl/${path}`, path, value, ...(onlyFrom === undefined ? {} : { onlyFrom }) };
}

const match = (name: string, family: Family, fields: string, not = false): string =>
  `-m set ${not ? '! ' : ''}--match-set ${setNameFor(name, family)} ${fields}`;

/** Sets of one family. */
function sets(family: Family): SetItem[] {
  return [
    set(ipvsNames.vipSet, family, 'hash:ip'),
    set(ipvsNames.localSet, family, 'hash:ip'),
    set(ipvsNames.servedSet, family, 'hash:ip,port'),
    set(ipvsNames.refusedSet, family, 'hash:ip,port'),
    set(ipvsNames.limitedSet, family, 'hash:ip,port'),
    set(ipvsNames.sourceSet, family, 'hash:ip,port,net'),
    set(ipvsNames.markSet, family, 'hash:ip,port', true),
    set(ipvsNames.insideMarkSet, family, 'hash:ip,port', true),
    set(ipvsNames.fouSet, family, 'hash:ip,port'),
    set(ipvsNames.podSet, family, 'hash:net'),
    set(ipvsNames.hairpinSet, family, 'hash:ip,port,ip'),
  ];
}

/**
 * ICMP that a VIP must answer or receive. RELATED covers errors about connections that are known; packet-too-big is named
 * for those that are not (IPv6 has no other path-MTU discovery, RFC 8201). ESTABLISHED covers answers to what this node itself
 * sent from a VIP: SCTP takes no private source address towards a public one (net.sctp.addr_scope_policy), so on a node with
 * private addresses it takes the VIP.
 */
function icmp(family: Family): string[] {
  const accept =
    family === 4
      ? ['8', '3/4', '3', '11'].map((type) => `-p icmp -m icmp --icmp-type ${type} -j ACCEPT`)
      : ['128', '129', '1', '2', '3', '4', '133', '134', '135', '136'].map(
          (type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j ACCEPT`,
        );
  return ['-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT', ...accept];
}

/** Filter: what is served passes, everything else at a VIP is refused. */
function vipFirewall(family: Family): IpvsItem[] {
  const unreachable = family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
  return [
    chain(family, 'filter', ipvsNames.filterChain, [
      ...icmp(family),
      `${match(ipvsNames.servedSet, family, 'dst,dst')} -j ACCEPT`,
      // A reset is not rationed as ICMP errors are (net.ipv6.icmp.ratelimit).
      `-p tcp ${match(ipvsNames.localSet, family, 'dst', true)} -j REJECT --reject-with tcp-reset`,
      `${match(ipvsNames.localSet, family, 'dst', true)} -j REJECT --reject-with ${unreachable}`,
    ]),
    jump(family, 'filter', 'INPUT', `${match(ipvsNames.vipSet, family, 'dst')} -j ${ipvsNames.filterChain}`),
  ];
}

/** Source ranges: enforced with or without the VIP firewall, and before its accepts. */
function sources(family: Family): IpvsItem[] {
  const limited = match(ipvsNames.limitedSet, family, 'dst,dst');
  return [
    jump(family, 'filter', 'INPUT', `${limited} ${match(ipvsNames.sourceSet, family, 'dst,dst,src', true)} -j DROP`),
  ];
}

/**
 * What has no endpoint is refused before IPVS sees it: TCP by a reset, which no client takes for a passing error. SCTP listens
 * to protocol-unreachable only (RFC 4960 appendix C), which ICMPv6 lacks. A marked in-cluster client has endpoints of its own, and
 * what was established goes on to a pod that drains.
 */
function refusal(family: Family): IpvsItem[] {
  const reject = family === 4 ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
  return [
    chain(family, 'filter', ipvsNames.refuseChain, [
      `${match(ipvsNames.insideMarkSet, family, 'dst,dst')} -m mark ! --mark 0x0/${hex(MARK_MASK)} -j RETURN`,
      '-m conntrack ! --ctstate NEW -j RETURN',
      '-p tcp -j REJECT --reject-with tcp-reset',
      ...(family === 4 ? ['-p sctp -j REJECT --reject-with icmp-proto-unreachable'] : []),
      `-j REJECT --reject-with ${reject}`,
    ]),
    jump(family, 'filter', 'INPUT', `${match(ipvsNames.refusedSet, family, 'dst,dst')} -j ${ipvsNames.refuseChain}`),
  ];
}

function natRules(options: ResolvedOptions, family: Family, node: string): string[] {
  const hairpin = `${match(ipvsNames.hairpinSet, family, 'dst,dst,src')} -j MASQUERADE`;
  const snat = `-j SNAT --to-source ${node} --random-fully`;
  if (options.masqueradeAll) return [hairpin, `-m ipvs --vdir ORIGINAL --vmethod MASQ ${snat}`];
  const outside = `${match(ipvsNames.podSet, family, 'src', true)} ${match(ipvsNames.podSet, family, 'dst', true)}`;
  const known = options.node.podCIDRs.some((cidr) => cidr.includes(':') === (family === 6));
  return [hairpin, ...(known ? [`-m ipvs --vdir ORIGINAL --vmethod MASQ ${outside} ${snat}`] : [])];
}

/** Marks: DSR for everyone, in-cluster marks for local pods (and, on OUTPUT, for this node itself); foreign bits off before IPVS compares. */
function marking(options: ResolvedOptions, family: Family): IpvsItem[] {
  const map = (name: string): string => `-j SET --map-set ${setNameFor(name, family)} dst,dst --map-mark`;
  const clean = (name: string): string =>
    `${match(name, family, 'dst,dst')} -j MARK --set-xmark 0x0/${hex(~MARK_MASK)}`;
  const mss = options.node.mtu - (family === 4 ? 60 : 100);
  const clamp = (name: string, size: number): string =>
    `-p tcp ${match(name, family, 'src,src')} -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss ${size}`;
  const fromPod = match(ipvsNames.podSet, family, 'src');
  return [
    chain(family, 'mangle', ipvsNames.markChain, [
      map(ipvsNames.markSet),
      `${fromPod} ${map(ipvsNames.insideMarkSet)}`,
      clamp(ipvsNames.markSet, mss),
      // UDP and GUE headers come on top.
      clamp(ipvsNames.fouSet, mss - 12),
    ]),
    chain(family, 'mangle', ipvsNames.localMarkChain, [
      map(ipvsNames.markSet),
      map(ipvsNames.insideMarkSet),
      clean(ipvsNames.markSet),
      clean(ipvsNames.insideMarkSet),
    ]),
    chain(family, 'mangle', ipvsNames.cleanChain, [clean(ipvsNames.markSet), clean(ipvsNames.insideMarkSet)]),
    jump(family, 'mangle', 'PREROUTING', `-j ${ipvsNames.markChain}`),
    jump(family, 'mangle', 'OUTPUT', `-j ${ipvsNames.localMarkChain}`),
    jump(family, 'mangle', 'INPUT', `-j ${ipvsNames.cleanChain}`),
  ];
}

/** Items that hold from start to cleanup; `entries` of this node's addresses and pod CIDRs come from the compiler. */
export function baseItems(options: ResolvedOptions): IpvsItem[] {
  const items: IpvsItem[] = [
    { type: 'link', key: `link/${ipvsNames.device}`, name: ipvsNames.device },
    sysctl('net/ipv4/vs/conntrack', '1'),
    sysctl('net/ipv4/vs/expire_nodest_conn', '1'),
    sysctl('net/ipv4/vs/expire_quiescent_template', '1'),
    sysctl('net/ipv4/vs/conn_reuse_mode', '0'),
    sysctl('net/ipv4/conf/all/arp_ignore', '1'),
    sysctl('net/ipv4/conf/all/arp_announce', '2'),
    sysctl('net/ipv4/conf/all/rp_filter', '2', '1'),
    sysctl(`net/ipv4/conf/${ipvsNames.device}/rp_filter`, '2', '1'),
  ];
  const { tcpTimeout: tcp, tcpFinTimeout: tcpFin, udpTimeout: udp } = options;
  if (tcp + tcpFin + udp > 0) items.push({ type: 'timeout', key: 'timeout', tcp, tcpFin, udp });
  for (const family of [4, 6] as const) {
    const node = options.node.primary[family];
    if (node === undefined) continue;
    items.push(
      ...sets(family),
      ...(options.permitAll ? vipFirewall(family) : []),
      ...sources(family),
      ...refusal(family),
      ...marking(options, family),
    );
    items.push(chain(family, 'nat', ipvsNames.natChain, natRules(options, family, node)));
    items.push(jump(family, 'nat', 'POSTROUTING', `-m ipvs --vdir ORIGINAL -j ${ipvsNames.natChain}`));
  }
  return items;
}

/** What any DSR service of a family needs besides; with `mh` any director goes on with a connection that it never saw begin. */
export function dsrItems(family: Family, scheduler: Scheduler): IpvsItem[] {
  return [
    {
      type: 'rule',
      key: `rule/${family}/${DSR_BIT}`,
      family,
      mark: DSR_BIT,
      mask: DSR_BIT,
      table: DSR_TABLE,
      priority: DSR_RULE_PRIORITY,
    },
    { type: 'route', key: `route/${family}/${DSR_TABLE}`, family, table: DSR_TABLE },
    ...(scheduler === 'mh' ? [sysctl('net/ipv4/vs/sloppy_tcp', '1')] : []),
  ];
}
