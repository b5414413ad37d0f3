/**
 * Fifty restarts under traffic, in user-mode Linux with FRR as the router: ended and started, killed in the middle of its work,
 * replaced by another build. With graceful restart no connection fails, and nothing in the kernel or at the router moves: the
 * monitors are the witnesses. What the plain defaults and BFD cost is printed beside it.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { countTraffic, needBuiltAgent, rig, rigModules, rigObjects, rigPrelude } from '../support/agent-rig.ts';
import { bootUml, type UmlResult } from '../support/uml.ts';

const rounds = Number(process.env['RESTARTS'] ?? 50);
const costRounds = Math.min(3, Math.ceil(rounds / 5));

const bgpd = (bfd: boolean): string => `
frr defaults datacenter
hostname tor
log file /run/frr-t/log
router bgp 65000
 bgp router-id 192.168.1.1
 no bgp ebgp-requires-policy
 neighbor 192.168.1.11 remote-as 64512
 neighbor 192.168.1.11 timers 3 9
 neighbor 192.168.1.11 timers connect 1
${bfd ? ' neighbor 192.168.1.11 bfd' : ''}
`;

const router = `
start_router() {
  mkdir -p /run/frr-t; : > /run/frr-t/vtysh.conf; echo 'log file /run/frr-t/log' > /run/frr-t/zebra.conf; cp /run/frr-t/zebra.conf /run/frr-t/bfdd.conf
  cp "$UML_DIR/$1" /run/frr-t/bgpd.conf; chown -R frr:frr /run/frr-t
  for d in zebra \${2:-} bgpd; do
    ip netns exec tor /usr/lib/frr/$d --vty_socket /run/frr-t -z /run/frr-t/zserv.api -i /run/frr-t/$d.pid -f /run/frr-t/$d.conf -A 127.0.0.1 >>"$OUT/frr" 2>&1 &
    sleep 2
  done
}
stop_router() { for d in bgpd bfdd zebra; do [ -f /run/frr-t/$d.pid ] && kill $(cat /run/frr-t/$d.pid); rm -f /run/frr-t/$d.pid; done; sleep 2; }
learned() { ip -n tor route show proto bgp | grep -c . ; }
wait_learned() { for i in $(seq 1 150); do [ "$(learned)" -ge 3 ] && return 0; sleep 0.2; done; return 1; }
# The client under another address: source ports come again, and IPVS still knows the connections that used them.
renumber() { ip -n client addr del $1/24 dev c0; ip -n client addr add $2/24 dev c0; ip -n client route replace default via 198.51.100.1; }
rules() { { in_n1 iptables-save | sed 's/\\[[0-9:]*\\]//;/^#/d'; in_n1 ipset save | sort; in_n1 ipvsadm -Sn; } | md5sum; }
GR='--bgp-graceful-restart --peer-router-ips=192.168.1.1 --peer-router-asns=65000 --advertise-cluster-ip --advertise-loadbalancer-ip'
PLAIN=$(echo "$GR" | sed 's/--bgp-graceful-restart//')
all_traffic() {
  traffic "$1clusterip" client 10.96.0.10 80
  traffic "$1vip" client 203.0.113.1 80
  traffic "$1nodeport" client 192.168.1.11 30080
  traffic "$1pod" client 10.1.1.5 8080
  traffic "$1inside" pod2 10.96.0.10 80
}
`;

describe('restarts under traffic', () => {
  let result: UmlResult;
  const out = (name: string): string => result.files[name] ?? '';
  beforeAll(async () => {
    needBuiltAgent();
    result = await bootUml({
      name: 'kra-restarts',
      memMb: 1536,
      timeoutMs: 2_400_000,
      modules: rigModules,
      files: { 'cluster.yaml': rigObjects, 'bgpd.conf': bgpd(false), 'bgpd-bfd.conf': bgpd(true) },
      script: `${rigPrelude}${router}
set +e
start_api || exit 1
start_router bgpd.conf
# another build: the same program under another name and version
mkdir -p /run/other/agent && cp -r ${rig.dist} ${rig.dist}/../package.json /run/other/agent && sed -i 's/"0\\.1\\.0"/"0.0.9"/' /run/other/agent/dist/*.js
ln -s ${rig.dist}/../node_modules /run/other/agent/; ln -s ${rig.dist}/../../../node_modules /run/other/
OTHER=/run/other/agent/dist/main.js
start_agent $GR; ready || { echo 'not ready'; exit 1; }
pods
wait_learned || { echo 'FRR learned nothing'; vtysh --vty_socket /run/frr-t -c 'show bgp summary' -c 'show bgp neighbors' -c 'show bgp ipv4' -c 'show ip route'; cat "$OUT/frr" /run/frr-t/log; agent status; cat "$OUT/agent.log"; exit 1; }
sleep 1
rules > "$OUT/rules"
ip -n n1 monitor route rule > "$OUT/monitor-node" 2>&1 & M1=$!
ip -n tor monitor route > "$OUT/monitor-router" 2>&1 & M2=$!
( while :; do rules; sleep 1; done ) >> "$OUT/rules" 2>/dev/null & M3=$!
all_traffic ''
sleep 2
: > "$OUT/agent.log"
round=0
while [ $round -lt ${rounds} ]; do
  round=$((round + 1))
  case $((round % 5)) in
    0) kill -9 $AGENT; wait $AGENT 2>/dev/null
       # killed again in the middle of its first pass
       start_agent $GR; sleep 1; kill -9 $AGENT; wait $AGENT 2>/dev/null; start_agent $GR ;;
    1|3) kill -9 $AGENT; wait $AGENT 2>/dev/null; start_agent $GR ;;
    2) kill $AGENT; wait $AGENT 2>/dev/null; start_agent $GR ;;
    4) kill $AGENT; wait $AGENT 2>/dev/null
       # the other build and back: the file that runs is what a new image brings
       [ "$MAIN" = $OTHER ] && MAIN=${rig.main} || MAIN=$OTHER
       start_agent $GR ;;
  esac
  ready || { echo "round $round: not ready" >> "$OUT/trouble"; tail -3 "$OUT/agent.log" >> "$OUT/trouble"; }
  sleep 1
done
echo $round > "$OUT/rounds"
sleep 3
traffic_end
kill $M1 $M2 $M3
MAIN=${rig.main}
cp "$OUT/agent.log" "$OUT/agent-gr.log"
# what it costs without graceful restart
renumber 198.51.100.10 198.51.100.11
kill $AGENT; wait $AGENT 2>/dev/null; start_agent $PLAIN; ready; wait_learned; sleep 2
all_traffic plain-
sleep 1
for cost in $(seq 1 ${costRounds}); do kill -9 $AGENT; wait $AGENT 2>/dev/null; start_agent $PLAIN; ready; wait_learned; sleep 1; done
traffic_end
# and with BFD, which takes the session down whatever was agreed on restarts
renumber 198.51.100.11 198.51.100.12
kill $AGENT; wait $AGENT 2>/dev/null; stop_router; start_router bgpd-bfd.conf bfdd
BFD='--enable-bfd --bfd-desired-min-tx-interval=300 --bfd-required-min-rx-interval=300'
start_agent $GR $BFD; ready; wait_learned; sleep 4
all_traffic bfd-
sleep 1
for cost in $(seq 1 ${costRounds}); do kill -9 $AGENT; wait $AGENT 2>/dev/null; start_agent $GR $BFD; ready; wait_learned; sleep 1; done
traffic_end
kill $AGENT; wait $AGENT
exit 0
`,
    });
    if (result.exitCode !== 0)
      throw new Error(`guest: ${result.exitCode} ${result.stdout.slice(-6000)}\n${result.stderr.slice(-2000)}`);
  }, 2_410_000);

  const ways = ['clusterip', 'vip', 'nodeport', 'pod', 'inside'];

  test(`${rounds} restarts: every one became ready`, () => {
    expect(out('rounds')).toBe(`${rounds}\n`);
    expect(out('trouble')).toBe('');
  });

  test.each(ways)('graceful restart: no failed connection by %s', (way) => {
    const { connections, failed } = countTraffic(out(`traffic-${way}`));
    console.log(`graceful restart, ${rounds} restarts, ${way}: ${connections} connections, ${failed.length} failed`);
    expect(connections).toBeGreaterThan(rounds);
    expect(failed).toEqual([]);
  });

  test('no route and no rule of the node moved', () => {
    const moved = out('monitor-node')
      .split('\n')
      .filter((line) => line !== '' && !/fe80::|ff00::|lladdr|dev vp|multicast/.test(line));
    expect(moved).toEqual([]);
  });

  test('no route of the router moved', () => {
    const moved = out('monitor-router')
      .split('\n')
      .filter((line) => /proto bgp|^Deleted/.test(line) && !/fe80::|ff00::/.test(line));
    expect(moved).toEqual([]);
  });

  test('rules, sets and virtual servers were the same at every look', () => {
    const seen = out('rules').trim().split('\n');
    console.log(`rules looked at ${seen.length} times`);
    expect(seen.length).toBeGreaterThan(rounds);
    expect(new Set(seen).size).toBe(1);
  });

  test('what the plain defaults and BFD cost', () => {
    for (const kind of ['plain', 'bfd']) {
      for (const way of ways) {
        const { connections, failed } = countTraffic(out(`traffic-${kind}-${way}`));
        const what = kind === 'plain' ? 'without graceful restart' : 'graceful restart and BFD';
        console.log(`${what}, ${costRounds} kills, ${way}: ${connections} connections, ${failed.length} failed`);
        expect(connections).toBeGreaterThan(0);
      }
    }
  });
});
