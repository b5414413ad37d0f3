/**
 * From kube-router and back, under traffic, in user-mode Linux: the agent is started over the kernel state that kube-router
 * leaves, adopts it, and removes what is nobody's any more; then kube-router's state is programmed over ours, as its start would,
 * and `cleanup --leave kube-router` takes ours away. No connection fails on the way.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { countTraffic, needBuiltAgent, rigModules, rigObjects, rigPrelude } from '../support/agent-rig.ts';
import { kubeRouterState } from '../support/kube-router-state.ts';
import { bootUml, type UmlResult } from '../support/uml.ts';

describe('migration', () => {
  let result: UmlResult;
  const out = (name: string): string => result.files[name] ?? '';
  beforeAll(async () => {
    needBuiltAgent();
    result = await bootUml({
      name: 'kra-migration',
      memMb: 1024,
      timeoutMs: 1_500_000,
      modules: rigModules,
      files: { 'cluster.yaml': rigObjects },
      script: `${rigPrelude}${kubeRouterState}
set +e
ip -n tor route add 10.96.0.0/16 via 192.168.1.11; ip -n tor route add 203.0.113.0/24 via 192.168.1.11; ip -n tor route add 10.1.1.0/24 via 192.168.1.11
start_api || exit 1
in_n1 iptables -A INPUT -p tcp --dport 12345 -m comment --comment foreign -j ACCEPT
state > "$OUT/bare"
kube_router 2> "$OUT/fixture.err"
pods
state > "$OUT/fixture"
kr_left > "$OUT/kr-before"
traffic clusterip client 10.96.0.10 80; traffic vip client 203.0.113.1 80; traffic nodeport client 192.168.1.11 30080
traffic pod client 10.1.1.5 8080; traffic inside pod2 10.96.0.10 80; traffic own n1 10.96.0.10 80
traffic denied client 10.1.1.5 9090 400 500
# one connection that lives through everything: a line a second, an answer each
( for i in $(seq 1 10000); do echo $i; sleep 1; done | ip netns exec client curl -s --no-buffer telnet://10.96.0.10:80 > "$OUT/long" 2>&1 ) & LONG=$!
sleep 2
date +%s%3N > "$OUT/t0"
agent plan > "$OUT/plan" 2>&1
start_agent; ready; echo $? > "$OUT/ready"
sleep 2
kr_left > "$OUT/kr-after"
state > "$OUT/ours"
in_n1 ipvsadm -Ln --stats > "$OUT/ipvs"
# the second look has nothing to do
agent plan --output json > "$OUT/plan-after" 2>&1; echo $? > "$OUT/plan-after.code"
sleep 1
date +%s%3N > "$OUT/t1"
kill $AGENT; wait $AGENT
agent cleanup --leave kube-router > "$OUT/hand-over" 2>&1
kube_router 2> "$OUT/back.err"
sleep 1
agent cleanup --leave kube-router --dry-run > "$OUT/leave-dry" 2>&1
agent cleanup --leave kube-router --output json > "$OUT/leave" 2>&1; echo $? > "$OUT/leave.code"
sleep 2
our_left > "$OUT/our-after"
state > "$OUT/back"
sleep 1
date +%s%3N > "$OUT/t2"
kill -0 $LONG && echo alive > "$OUT/long-alive"
traffic_end; kill $LONG
# and away with all of it
unplug
agent cleanup --adopt kube-router --dry-run > "$OUT/adopt-dry" 2>&1
agent cleanup --adopt kube-router --output json > "$OUT/adopt" 2>&1; echo $? > "$OUT/adopt.code"
state > "$OUT/clean"
exit 0
`,
    });
    if (result.exitCode !== 0) throw new Error(`guest: ${result.stdout.slice(-4000)}\n${result.stderr.slice(-4000)}`);
  }, 1_510_000);

  test('the fixture is kube-router’s', () => {
    expect(out('kr-before')).toContain('KUBE-POD-FW-');
    expect(out('kr-before').split('\n').length).toBeGreaterThan(25);
  });
  test('adopted: ready, and a second look finds nothing to do', () => {
    expect(out('ready'), out('agent.log').slice(-3000)).toBe('0\n');
    const { diff } = JSON.parse(out('plan-after')) as { diff: { block: string; lines: string[] }[] };
    // The other node speaks no BGP here: a plan, which goes by Node objects, would give its route the pods' MTU.
    const lines = diff
      .flatMap((one) => one.lines)
      .filter((line) => !/^# ip |^route replace 10\.1\.2\.0\/24 /.test(line));
    expect(lines).toEqual([]);
  });
  test('kube-router’s leftovers are gone, the foreign rule is not', () => {
    expect(out('kr-after')).toBe('');
    expect(out('ours')).toContain('--comment foreign');
  });
  test.each(['clusterip', 'vip', 'nodeport', 'pod', 'inside', 'own'])(
    'there and back: no failed connection by %s',
    (way) => {
      const { connections, failed } = countTraffic(out(`traffic-${way}`));
      console.log(`migration, ${way}: ${connections} connections, ${failed.length} failed`);
      expect(connections).toBeGreaterThan(50);
      expect(failed).toEqual([]);
    },
  );
  test('the long connection lived through it', () => expect(out('long-alive')).toBe('alive\n'));
  test('policy held all the time: what is denied never got through', () => {
    const { connections, failed } = countTraffic(out('traffic-denied'));
    expect(connections).toBeGreaterThan(10);
    expect(failed).toHaveLength(connections);
  });
  test('back: nothing of ours is left, kube-router’s state is whole', () => {
    expect(out('hand-over')).toContain('kube-router has not started here yet');
    expect(out('back.err')).not.toContain('Set cannot be created');
    expect(out('leave.code'), out('leave')).toBe('0\n');
    expect(out('our-after')).toBe('');
    const rules = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('-A '));
    expect(rules(out('back')).sort()).toEqual(rules(out('fixture')).sort());
  });
  test('cleanup --adopt kube-router leaves no chain, set, server or device of either', () => {
    expect(out('adopt.code'), out('adopt')).toBe('0\n');
    const left = out('clean')
      .split('\n')
      .filter((line) => /KUBE-|kube-(router|dummy|bridge)|krs[46]-|proto 17|lookup 7[789]/.test(line));
    expect(left.filter((line) => !/^7[789]\s|"bridge": "kube-bridge"/.test(line))).toEqual([]);
    expect(out('clean')).toContain('--comment foreign');
  });
});
