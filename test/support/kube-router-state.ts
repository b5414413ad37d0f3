/**
 * The kernel state that kube-router leaves on the rig's node, written down from its documentation and source: bridge, routes of
 * protocol 17, a tunnel, sets, chains, virtual servers, addresses and settings, under its names. A shell function that may be
 * called over any state, as kube-router itself may be started over any.
 */

const chain = (name: string): string => `${name}ABCDEFGHJKLMNPQR`.slice(0, name.length + 16);
const policy = chain('KUBE-NWPLCY-');
const podFw = chain('KUBE-POD-FW-');
const set = 'KUBE-DST-ABCDEFGHIJKLMNOP';

/** The filter table's part that is kube-router's, as `iptables-restore` reads it. */
const filterChains = [':KUBE-ROUTER-INPUT', ':KUBE-ROUTER-FORWARD', ':KUBE-ROUTER-OUTPUT', ':KUBE-NWPLCY-COMMON']
  .concat([':KUBE-NWPLCY-DEFAULT', ':KUBE-NWPLCY-TAIL', `:${policy}`, `:${podFw}`, ':KUBE-ROUTER-SERVICES'])
  .map((name) => `${name} - [0:0]`);
const toPod =
  '-d 10.1.1.5/32 -m comment --comment "rule to jump traffic destined to POD name:web namespace: default to chain"';
const fromPod =
  '-s 10.1.1.5/32 -m comment --comment "rule to jump traffic from POD name:web namespace: default to chain"';
const filterRules = [
  '-A KUBE-ROUTER-INPUT -d 10.96.0.0/16 -m comment --comment "allow traffic to primary cluster IP range - TZZOAXOCHPHEHX7M" -j RETURN',
  '-A KUBE-ROUTER-INPUT -p tcp -m comment --comment "allow LOCAL TCP traffic to node ports - LR7XO7NXDBGQJD2M" -m addrtype --dst-type LOCAL -m multiport --dports 30000:32767 -j RETURN',
  `-A KUBE-ROUTER-INPUT ${fromPod} -j ${podFw}`,
  `-A KUBE-ROUTER-FORWARD ${toPod} -j ${podFw}`,
  `-A KUBE-ROUTER-FORWARD ${fromPod} -j ${podFw}`,
  `-A KUBE-ROUTER-OUTPUT ${toPod} -j ${podFw}`,
  ...['INPUT', 'FORWARD', 'OUTPUT'].flatMap((hook) => [
    `-A KUBE-ROUTER-${hook} -j KUBE-NWPLCY-TAIL`,
    `-A KUBE-ROUTER-${hook} -m comment --comment "rule to explicitly ACCEPT traffic that comply to network policies" -m mark --mark 0x20000/0x20000 -j ACCEPT`,
  ]),
  '-A KUBE-NWPLCY-COMMON -m conntrack --ctstate INVALID -j DROP',
  '-A KUBE-NWPLCY-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  '-A KUBE-NWPLCY-COMMON -p icmp -m icmp --icmp-type 8 -j ACCEPT',
  '-A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000',
  '-A KUBE-NWPLCY-TAIL -m mark --mark 0x20000/0x20000 -j ACCEPT',
  `-A ${policy} -p tcp -m set --match-set ${set} dst -m tcp --dport 8080 -j MARK --set-xmark 0x10000/0x10000`,
  `-A ${policy} -p tcp -m set --match-set ${set} dst -m tcp --dport 8080 -m mark --mark 0x10000/0x10000 -j RETURN`,
  `-A ${podFw} -j KUBE-NWPLCY-COMMON`,
  `-A ${podFw} -d 10.1.1.5/32 -m comment --comment "rule to permit the traffic traffic to pods when source is the pod's local node" -m addrtype --src-type LOCAL -j ACCEPT`,
  `-A ${podFw} -s 10.1.1.5/32 -m comment --comment "run through default egress network policy  chain" -j KUBE-NWPLCY-DEFAULT`,
  `-A ${podFw} -d 10.1.1.5/32 -m comment --comment "run through nw policy web" -j ${policy}`,
  `-A ${podFw} -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min --limit-burst 10 -j NFLOG --nflog-group 100`,
  `-A ${podFw} -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable`,
  `-A ${podFw} -j MARK --set-xmark 0x0/0x10000`,
  `-A ${podFw} -j MARK --set-xmark 0x20000/0x20000`,
  '-A KUBE-ROUTER-SERVICES -p icmp -m icmp --icmp-type 8 -j ACCEPT',
  '-A KUBE-ROUTER-SERVICES -m comment --comment "allow input traffic to ipvs services" -m set --match-set kube-router-svip-prt dst,dst -j ACCEPT',
  '-A KUBE-ROUTER-SERVICES -m comment --comment "reject all unexpected traffic to service IPs" -m set ! --match-set kube-router-local-ips dst -j REJECT --reject-with icmp-port-unreachable',
];
/** In front of built-in chains, the last inserted first. */
const filterJumps = [
  '-I FORWARD 1 -i kube-bridge -m comment --comment "allow outbound traffic from pods" -j ACCEPT',
  '-I FORWARD 1 -o kube-bridge -m comment --comment "allow inbound traffic to pods" -j ACCEPT',
  '-I FORWARD 1 -o eth0 -m comment --comment "allow outbound node port traffic on node interface with which node ip is associated" -j ACCEPT',
  '-I INPUT 1 -m comment --comment "handle traffic to IPVS service IPs in custom chain" -m set --match-set kube-router-svip dst -j KUBE-ROUTER-SERVICES',
  '-I INPUT 1 -m comment --comment "kube-router netpol - 4IA2OSFRMVNDXBVV" -j KUBE-ROUTER-INPUT',
  '-I FORWARD 1 -m comment --comment "kube-router netpol - TEMCG2JMHZYE7H7T" -j KUBE-ROUTER-FORWARD',
  '-I OUTPUT 1 -m comment --comment "kube-router netpol - VEAAIY32XVBHCSCY" -j KUBE-ROUTER-OUTPUT',
];
const nat = [
  '-A POSTROUTING -m set --match-set kube-router-pod-subnets src -m set ! --match-set kube-router-pod-subnets dst -m set ! --match-set kube-router-node-ips dst -j MASQUERADE --random-fully',
  '-A POSTROUTING ! -s 10.1.1.0/24 ! -d 10.1.1.0/24 -m ipvs --vdir ORIGINAL --vmethod MASQ -m comment --comment "" -j SNAT --to-source 192.168.1.11 --random-fully',
  '-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-HAIRPIN',
];

const file = (text: readonly string[]): string => `<<'KREOF'\n${text.join('\n')}\nKREOF\n`;

/** `kube_router`: what kube-router's start programs; `\${name}` of sets as it makes them. */
export const kubeRouterState = `
kr_set() { # NAME TYPE MEMBERS…: filled beside and swapped in, as kube-router does
  name=$1 type=$2; shift 2
  in_n1 ipset -exist create $name $type timeout 0
  in_n1 ipset create TMP-$$ $type timeout 0
  for m in "$@"; do in_n1 ipset add TMP-$$ $m timeout 0; done
  in_n1 ipset swap TMP-$$ $name && in_n1 ipset destroy TMP-$$
}
kube_router() {
  # settings
  in_n1 sysctl -qw net.ipv4.vs.conntrack=1 net.ipv4.vs.expire_nodest_conn=1 net.ipv4.vs.expire_quiescent_template=1 net.ipv4.vs.conn_reuse_mode=0
  in_n1 sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.ip_forward=1
  in_n1 sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null
  # pod networking
  in_n1 ip link add kube-bridge type bridge 2>/dev/null; in_n1 ip link set kube-bridge up mtu 1500
  in_n1 ip addr add 10.1.1.1/24 dev kube-bridge 2>/dev/null
  in_n1 ip route replace 10.1.2.0/24 via 192.168.1.12 proto 17
  in_n1 ip rule del from 10.1.1.0/24 lookup 77 2>/dev/null; in_n1 ip rule add from 10.1.1.0/24 lookup 77
  grep -q kube-router /etc/iproute2/rt_tables || printf '77 kube-router\\n78 kube-router-dsr\\n79 external_ip\\n' >> /etc/iproute2/rt_tables
  in_n1 ip rule del prio 32765 lookup 79 2>/dev/null; in_n1 ip rule add prio 32765 lookup 79
  kr_set kube-router-pod-subnets hash:net 10.1.1.0/24 10.1.2.0/24
  kr_set kube-router-node-ips hash:ip 192.168.1.11 192.168.1.12
  # services
  in_n1 ip link add kube-dummy-if type dummy 2>/dev/null; in_n1 ip link set kube-dummy-if up
  in_n1 sysctl -qw net.ipv4.conf.kube-dummy-if.rp_filter=2 net.ipv4.conf.kube-bridge.rp_filter=2 net.ipv4.conf.all.rp_filter=2
  for vip in 10.96.0.10 203.0.113.1; do
    in_n1 ip addr add $vip/32 dev kube-dummy-if scope link 2>/dev/null
    in_n1 ip route replace local $vip dev kube-dummy-if table local proto kernel scope host src 192.168.1.11
  done
  for vs in 10.96.0.10:80 203.0.113.1:80 192.168.1.11:30080; do
    in_n1 ipvsadm -A -t $vs -s rr 2>/dev/null; in_n1 ipvsadm -a -t $vs -r 10.1.1.5:8080 -m -w 1 2>/dev/null
  done
  kr_set kube-router-local-ips hash:ip 192.168.1.11 127.0.0.1
  kr_set kube-router-svip hash:ip 10.96.0.10 203.0.113.1 192.168.1.11
  kr_set kube-router-svip-prt hash:ip,port 10.96.0.10,tcp:80 203.0.113.1,tcp:80 192.168.1.11,tcp:30080
  in_n1 iptables -t nat -N KUBE-ROUTER-HAIRPIN 2>/dev/null
  while read -r rule; do
    check=$(echo "$rule" | sed 's/^-A/-C/')
    eval "in_n1 iptables -t nat $check" 2>/dev/null || eval "in_n1 iptables -t nat $rule"
  done ${file(nat)}
  # policy: the whole filter table is read, stale chains are left out, and written as a whole
  kr_set ${set} hash:ip 10.1.1.5
  in_n1 iptables-save -t filter | grep -vE 'KUBE-NWPLCY-|KUBE-POD-FW-|^:KUBE-ROUTER-(INPUT|FORWARD|OUTPUT|SERVICES) |^-A KUBE-ROUTER-(INPUT|FORWARD|OUTPUT|SERVICES) |kube-router netpol - |handle traffic to IPVS|"allow (in|out)bound |^COMMIT' > /run/kr-filter
  grep '^:' /run/kr-filter > /run/kr-chains; grep -v '^[:*#]' /run/kr-filter > /run/kr-rules
  { echo '*filter'; cat /run/kr-chains; cat ${file(filterChains)}
    cat /run/kr-rules; cat ${file(filterRules)}
    cat ${file(filterJumps)}
    echo COMMIT; } > /run/kr-restore
  in_n1 iptables-restore --wait -T filter < /run/kr-restore
}
# names of everything of kube-router's that nobody of ours has use for
kr_left() {
  in_n1 iptables-save | grep -E 'kube-router netpol - |handle traffic to IPVS|"allow (in|out)bound |${podFw}|${policy}|KUBE-NWPLCY-(COMMON|DEFAULT|TAIL)|KUBE-ROUTER-HAIRPIN|vmethod MASQ -m comment --comment ""|^-A POSTROUTING .*kube-router-pod-subnets'
  in_n1 ipset list -n | grep -E 'KUBE-(SRC|DST)-'
  in_n1 ip rule | grep 'lookup \\(79\\|external_ip\\)'
}
# and of ours that kube-router has none for
our_left() {
  in_n1 iptables-save | grep -E 'KUBE-ROUTER-(SVC-|PODS|EGRESS|MSS)|KUBE-NWPLCY-REJECT|^-A (INPUT|FORWARD|OUTPUT) -j KUBE-ROUTER-(INPUT|FORWARD|OUTPUT)$'
  in_n1 ipset list -n | grep -E '^krs[46]-|svip-(lim|src|ref)|svc-|hairpin'
}
`;
