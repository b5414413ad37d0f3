import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { runInUml } from '../support/uml.ts';

type Text = Record<string, string>;
interface Answer {
  before: Text;
  after: Text;
  programmed: Text;
  draining: Text;
  drained: Text;
  first: { steps: number; failures: string[]; text: string };
  again: { steps: number; failures: string[]; text: string };
  second: { steps: number; failures: string[]; text: string };
  restarted: { steps: number; failures: string[]; text: string };
  settled: { steps: number; failures: string[]; text: string };
  late: { steps: number; failures: string[]; text: string };
  alone: Text;
  left: number;
  cleaned: { failures: unknown[]; kept: string[] };
  issues: unknown[];
}
let answer: Answer;

beforeAll(async () => {
  const file = fileURLToPath(new URL('guests/ipvs-lifecycle.ts', import.meta.url));
  const result = await runInUml({ name: 'lifecycle', node: { file }, memMb: 1024, timeoutMs: 290_000 });
  if (process.env.VERBOSE !== undefined) console.log(result.stdout, result.durationMs);
  answer = JSON.parse(result.files['answer.json'] ?? '') as Answer;
});

describe('the service proxy in a kernel with IPVS', () => {
  // shop/web is a NodePort Service of both families with two IPv4 endpoints and one IPv6; kube-system/dns is `mh` with mh-port
  // (fallback comes with graceful termination), affinity of 60 s, an external address with policy Local and one of its two
  // endpoints here. Inside clients of that address go by marks 2149 and 7987: FNV-1a of `kube-router-svc-mark-in/198.51.100.5,udp:53`
  // and of `…,sctp:53`, modulo 8191, plus 1. Mark 99 and 203.0.113.9 are somebody else's.
  test('one virtual server per VIP:port with all endpoints (T9), foreign ones untouched', () => {
    expect(answer.first.failures).toEqual([]);
    expect(answer.issues).toEqual([]);
    expect(answer.programmed.ipvs?.split('\n').sort().join('\n')).toBe(`
-A --sctp-service 172.16.0.2:53 -s mh -p 60 -b mh-fallback,mh-port
-A --sctp-service 198.51.100.5:53 -s mh -p 60 -b mh-fallback,mh-port
-A -f 2149 -s mh -p 60 -b mh-fallback,mh-port
-A -f 7987 -s mh -p 60 -b mh-fallback,mh-port
-A -f 99 -s rr
-A -t 172.16.0.10:80 -s rr
-A -t 192.168.1.11:30080 -s rr
-A -t 203.0.113.9:443 -s wlc
-A -t [fd00::10]:80 -s rr
-A -t [fd10::11]:30080 -s rr
-A -u 172.16.0.2:53 -s mh -p 60 -b mh-fallback,mh-port
-A -u 198.51.100.5:53 -s mh -p 60 -b mh-fallback,mh-port
-a --sctp-service 172.16.0.2:53 -r 10.1.1.9:5354 -m -w 1
-a --sctp-service 172.16.0.2:53 -r 10.1.2.9:5354 -m -w 1
-a --sctp-service 198.51.100.5:53 -r 10.1.1.9:5354 -m -w 1
-a -f 2149 -r 10.1.1.9:5353 -m -w 1
-a -f 2149 -r 10.1.2.9:5353 -m -w 1
-a -f 7987 -r 10.1.1.9:5354 -m -w 1
-a -f 7987 -r 10.1.2.9:5354 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.1.2:8080 -m -w 1
-a -t 172.16.0.10:80 -r 10.1.2.3:8080 -m -w 1
-a -t 192.168.1.11:30080 -r 10.1.1.2:8080 -m -w 1
-a -t 192.168.1.11:30080 -r 10.1.2.3:8080 -m -w 1
-a -t 203.0.113.9:443 -r 192.168.1.50:443 -m -w 3
-a -t [fd00::10]:80 -r [fd01:1::2]:8080 -m -w 1
-a -t [fd10::11]:30080 -r [fd01:1::2]:8080 -m -w 1
-a -u 172.16.0.2:53 -r 10.1.1.9:5353 -m -w 1
-a -u 172.16.0.2:53 -r 10.1.2.9:5353 -m -w 1
-a -u 198.51.100.5:53 -r 10.1.1.9:5353 -m -w 1`);
  });
  test('addresses and source routes', () => {
    expect(answer.programmed.addresses).toBe(`eth0 192.168.1.11/24
eth0 203.0.113.9/32
eth0 fd10::11/64
kube-dummy-if 172.16.0.10/32
kube-dummy-if 172.16.0.2/32
kube-dummy-if 198.51.100.5/32
kube-dummy-if fd00::10/128
lo 127.0.0.1/8
lo ::1/128
`);
    expect(answer.programmed.local).toBe(`local 127.0.0.0/8 dev lo proto kernel scope host src 127.0.0.1
local 127.0.0.1 dev lo proto kernel scope host src 127.0.0.1
local 172.16.0.10 dev kube-dummy-if proto kernel scope host src 192.168.1.11
local 172.16.0.2 dev kube-dummy-if proto kernel scope host src 192.168.1.11
local 192.168.1.11 dev eth0 proto kernel scope host src 192.168.1.11
local 198.51.100.5 dev kube-dummy-if proto kernel scope host src 192.168.1.11
local 203.0.113.9 dev eth0 proto kernel scope host src 203.0.113.9
local ::1 dev lo proto kernel metric 0 pref medium
local fd00::10 dev kube-dummy-if proto static src fd10::11 metric 1024 pref medium
local fd10::11 dev eth0 proto kernel metric 0 pref medium
`);
  });
  test('rules and sets', () => {
    expect(answer.programmed.iptables).toBe(`*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-ROUTER-SERVICES -
:KUBE-ROUTER-SVC-REFUSE -
-A INPUT -m set --match-set kube-router-svip-ref dst,dst -j KUBE-ROUTER-SVC-REFUSE
-A INPUT -m set --match-set kube-router-svip-lim dst,dst -m set ! --match-set kube-router-svip-src dst,dst,src -j DROP
-A INPUT -m set --match-set kube-router-svip dst -j KUBE-ROUTER-SERVICES
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A KUBE-ROUTER-SERVICES -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-ROUTER-SERVICES -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A KUBE-ROUTER-SERVICES -p icmp -m icmp --icmp-type 3/4 -j ACCEPT
-A KUBE-ROUTER-SERVICES -p icmp -m icmp --icmp-type 3 -j ACCEPT
-A KUBE-ROUTER-SERVICES -p icmp -m icmp --icmp-type 11 -j ACCEPT
-A KUBE-ROUTER-SERVICES -m set --match-set kube-router-svip-prt dst,dst -j ACCEPT
-A KUBE-ROUTER-SERVICES -p tcp -m set ! --match-set kube-router-local-ips dst -j REJECT --reject-with tcp-reset
-A KUBE-ROUTER-SERVICES -m set ! --match-set kube-router-local-ips dst -j REJECT --reject-with icmp-port-unreachable
-A KUBE-ROUTER-SVC-REFUSE -m set --match-set kube-router-svc-mark-in dst,dst -m mark ! --mark 0x0/0x3fff -j RETURN
-A KUBE-ROUTER-SVC-REFUSE -m conntrack ! --ctstate NEW -j RETURN
-A KUBE-ROUTER-SVC-REFUSE -p tcp -j REJECT --reject-with tcp-reset
-A KUBE-ROUTER-SVC-REFUSE -p sctp -j REJECT --reject-with icmp-proto-unreachable
-A KUBE-ROUTER-SVC-REFUSE -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-ROUTER-SVC-NAT -
-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-SVC-NAT
-A POSTROUTING -s 172.20.0.0/16 -j MASQUERADE
-A KUBE-ROUTER-SVC-NAT -m set --match-set kube-router-hairpin dst,dst,src -j MASQUERADE
-A KUBE-ROUTER-SVC-NAT -m ipvs --vdir ORIGINAL --vmethod MASQ -m set ! --match-set kube-router-svc-pods src -m set ! --match-set kube-router-svc-pods dst -j SNAT --to-source 192.168.1.11 --random-fully
COMMIT
*mangle
:PREROUTING ACCEPT
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-ROUTER-SVC-CLEAN -
:KUBE-ROUTER-SVC-LMARK -
:KUBE-ROUTER-SVC-MARK -
-A PREROUTING -j KUBE-ROUTER-SVC-MARK
-A INPUT -j KUBE-ROUTER-SVC-CLEAN
-A OUTPUT -j KUBE-ROUTER-SVC-LMARK
-A KUBE-ROUTER-SVC-CLEAN -m set --match-set kube-router-svc-mark dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-CLEAN -m set --match-set kube-router-svc-mark-in dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-LMARK -j SET --map-set kube-router-svc-mark dst,dst --map-mark
-A KUBE-ROUTER-SVC-LMARK -j SET --map-set kube-router-svc-mark-in dst,dst --map-mark
-A KUBE-ROUTER-SVC-LMARK -m set --match-set kube-router-svc-mark dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-LMARK -m set --match-set kube-router-svc-mark-in dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-MARK -j SET --map-set kube-router-svc-mark dst,dst --map-mark
-A KUBE-ROUTER-SVC-MARK -m set --match-set kube-router-svc-pods src -j SET --map-set kube-router-svc-mark-in dst,dst --map-mark
-A KUBE-ROUTER-SVC-MARK -p tcp -m set --match-set kube-router-svc-mark src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1440
-A KUBE-ROUTER-SVC-MARK -p tcp -m set --match-set kube-router-svc-fou src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1428
COMMIT
`);
    expect(answer.programmed.ipset).toBe(`add inet6:kube-router-local-ips fd10::11
add inet6:kube-router-svc-pods fd01:1::/64
add inet6:kube-router-svip fd00::10
add inet6:kube-router-svip-prt fd00::10,tcp:80
add inet6:kube-router-svip-prt fd10::11,tcp:30080
add kube-router-local-ips 192.168.1.11
add kube-router-svc-mark-in 198.51.100.5,sctp:53 skbmark 0x1f33/0x3fff
add kube-router-svc-mark-in 198.51.100.5,udp:53 skbmark 0x865/0x3fff
add kube-router-svc-pods 10.1.1.0/24
add kube-router-svip 172.16.0.10
add kube-router-svip 172.16.0.2
add kube-router-svip 198.51.100.5
add kube-router-svip-prt 172.16.0.10,tcp:80
add kube-router-svip-prt 172.16.0.2,sctp:53
add kube-router-svip-prt 172.16.0.2,udp:53
add kube-router-svip-prt 192.168.1.11,tcp:30080
add kube-router-svip-prt 198.51.100.5,sctp:53
add kube-router-svip-prt 198.51.100.5,udp:53
add theirs 192.0.2.1
create inet6:kube-router-hairpin hash:ip,port,ip family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-local-ips hash:ip family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svc-fou hash:ip,port family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svc-mark hash:ip,port family inet6 hashsize 1024 maxelem 1048576 skbinfo bucketsize 12
create inet6:kube-router-svc-mark-in hash:ip,port family inet6 hashsize 1024 maxelem 1048576 skbinfo bucketsize 12
create inet6:kube-router-svc-pods hash:net family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svip hash:ip family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svip-lim hash:ip,port family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svip-prt hash:ip,port family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svip-ref hash:ip,port family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create inet6:kube-router-svip-src hash:ip,port,net family inet6 hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-hairpin hash:ip,port,ip family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-local-ips hash:ip family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svc-fou hash:ip,port family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svc-mark hash:ip,port family inet hashsize 1024 maxelem 1048576 skbinfo bucketsize 12
create kube-router-svc-mark-in hash:ip,port family inet hashsize 1024 maxelem 1048576 skbinfo bucketsize 12
create kube-router-svc-pods hash:net family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svip hash:ip family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svip-lim hash:ip,port family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svip-prt hash:ip,port family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svip-ref hash:ip,port family inet hashsize 1024 maxelem 1048576 bucketsize 12
create kube-router-svip-src hash:ip,port,net family inet hashsize 1024 maxelem 1048576 bucketsize 12
create theirs hash:ip family inet hashsize 1024 maxelem 65536 bucketsize 12
`);
  });
  test('rules of IPv6', () => {
    const icmp = ['128', '129', '1', '2', '3', '4', '133', '134', '135', '136'];
    expect(answer.programmed.ip6tables).toBe(`*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:KUBE-ROUTER-SERVICES -
:KUBE-ROUTER-SVC-REFUSE -
-A INPUT -m set --match-set inet6:kube-router-svip-ref dst,dst -j KUBE-ROUTER-SVC-REFUSE
-A INPUT -m set --match-set inet6:kube-router-svip-lim dst,dst -m set ! --match-set inet6:kube-router-svip-src dst,dst,src -j DROP
-A INPUT -m set --match-set inet6:kube-router-svip dst -j KUBE-ROUTER-SERVICES
-A KUBE-ROUTER-SERVICES -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
${icmp.map((type) => `-A KUBE-ROUTER-SERVICES -p ipv6-icmp -m icmp6 --icmpv6-type ${type} -j ACCEPT`).join('\n')}
-A KUBE-ROUTER-SERVICES -m set --match-set inet6:kube-router-svip-prt dst,dst -j ACCEPT
-A KUBE-ROUTER-SERVICES -p tcp -m set ! --match-set inet6:kube-router-local-ips dst -j REJECT --reject-with tcp-reset
-A KUBE-ROUTER-SERVICES -m set ! --match-set inet6:kube-router-local-ips dst -j REJECT --reject-with icmp6-port-unreachable
-A KUBE-ROUTER-SVC-REFUSE -m set --match-set inet6:kube-router-svc-mark-in dst,dst -m mark ! --mark 0x0/0x3fff -j RETURN
-A KUBE-ROUTER-SVC-REFUSE -m conntrack ! --ctstate NEW -j RETURN
-A KUBE-ROUTER-SVC-REFUSE -p tcp -j REJECT --reject-with tcp-reset
-A KUBE-ROUTER-SVC-REFUSE -j REJECT --reject-with icmp6-port-unreachable
COMMIT
*nat
:PREROUTING ACCEPT
:INPUT ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-ROUTER-SVC-NAT -
-A POSTROUTING -m ipvs --vdir ORIGINAL -j KUBE-ROUTER-SVC-NAT
-A KUBE-ROUTER-SVC-NAT -m set --match-set inet6:kube-router-hairpin dst,dst,src -j MASQUERADE
-A KUBE-ROUTER-SVC-NAT -m ipvs --vdir ORIGINAL --vmethod MASQ -m set ! --match-set inet6:kube-router-svc-pods src -m set ! --match-set inet6:kube-router-svc-pods dst -j SNAT --to-source fd10::11 --random-fully
COMMIT
*mangle
:PREROUTING ACCEPT
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
:POSTROUTING ACCEPT
:KUBE-ROUTER-SVC-CLEAN -
:KUBE-ROUTER-SVC-LMARK -
:KUBE-ROUTER-SVC-MARK -
-A PREROUTING -j KUBE-ROUTER-SVC-MARK
-A INPUT -j KUBE-ROUTER-SVC-CLEAN
-A OUTPUT -j KUBE-ROUTER-SVC-LMARK
-A KUBE-ROUTER-SVC-CLEAN -m set --match-set inet6:kube-router-svc-mark dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-CLEAN -m set --match-set inet6:kube-router-svc-mark-in dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-LMARK -j SET --map-set inet6:kube-router-svc-mark dst,dst --map-mark
-A KUBE-ROUTER-SVC-LMARK -j SET --map-set inet6:kube-router-svc-mark-in dst,dst --map-mark
-A KUBE-ROUTER-SVC-LMARK -m set --match-set inet6:kube-router-svc-mark dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-LMARK -m set --match-set inet6:kube-router-svc-mark-in dst,dst -j MARK --set-xmark 0x0/0xffffc000
-A KUBE-ROUTER-SVC-MARK -j SET --map-set inet6:kube-router-svc-mark dst,dst --map-mark
-A KUBE-ROUTER-SVC-MARK -m set --match-set inet6:kube-router-svc-pods src -j SET --map-set inet6:kube-router-svc-mark-in dst,dst --map-mark
-A KUBE-ROUTER-SVC-MARK -p tcp -m set --match-set inet6:kube-router-svc-mark src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400
-A KUBE-ROUTER-SVC-MARK -p tcp -m set --match-set inet6:kube-router-svc-fou src,src -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1388
COMMIT
`);
  });
  test('settings: those of the reference, rp_filter from strict to loose', () => {
    for (const setting of [
      'net.ipv4.vs.conntrack = 1',
      'net.ipv4.vs.conn_reuse_mode = 0',
      'net.ipv4.vs.expire_nodest_conn = 1',
      'net.ipv4.vs.expire_quiescent_template = 1',
      'net.ipv4.vs.sloppy_tcp = 0',
      'net.ipv4.conf.all.rp_filter = 2',
      'net.ipv4.conf.all.arp_ignore = 1',
      'net.ipv4.conf.all.arp_announce = 2',
    ])
      expect(answer.programmed.sysctl?.split('\n')).toContain(setting);
  });
  test('a second pass from scratch finds nothing to do', () => {
    expect(answer.again).toEqual({ steps: 0, failures: [], text: '' });
  });
  test('an endpoint that goes drains at weight 0, over a restart, until it is idle', () => {
    expect(answer.second).toEqual({
      steps: 4,
      failures: [],
      text: `ipvsadm -a -t 172.16.0.10:80 -r 10.1.2.4:8080 -m -w 1
ipvsadm -a -t 192.168.1.11:30080 -r 10.1.2.4:8080 -m -w 1
ipvsadm -e -t 172.16.0.10:80 -r 10.1.2.3:8080 -m -w 0
ipvsadm -e -t 192.168.1.11:30080 -r 10.1.2.3:8080 -m -w 0
`,
    });
    expect(answer.draining.ipvs).toContain('-a -t 172.16.0.10:80 -r 10.1.2.3:8080 -m -w 0\n');
    expect(answer.restarted).toEqual({ steps: 0, failures: [], text: '' });
    expect(answer.left).toBe(0);
    expect(answer.drained.ipvs).not.toContain('10.1.2.3');
    expect(answer.drained.ipvs).toContain('-a -t 172.16.0.10:80 -r 10.1.2.4:8080 -m -w 1\n');
    expect(answer.settled).toEqual({ steps: 0, failures: [], text: '' });
  });
  test("the kernel's own route of an IPv6 VIP is taken away whenever it comes", () => {
    expect(answer.late).toEqual({
      steps: 1,
      failures: [],
      text: `ip -force -batch -
  address replace fd00::10/128 dev kube-dummy-if nodad noprefixroute
  route replace local fd00::10 dev kube-dummy-if table local proto static src fd10::11
ip -force -batch -
  route del local fd00::10 dev kube-dummy-if table local proto kernel
`,
    });
    expect(answer.alone.local).toBe(answer.programmed.local);
  });
  test('cleanup is the inverse, byte for byte', () => {
    expect(answer.cleaned.failures).toEqual([]);
    expect(answer.cleaned.kept).toEqual([]);
    expect(answer.after).toEqual(answer.before);
  });
});
