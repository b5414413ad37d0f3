/**
 * What the agent costs on an idle node of a large cluster, and how long its start takes: cold, beside the tools' own time for the
 * same state in the same run, and warm, when the kernel holds everything already. In user-mode Linux, because IPVS is needed;
 * its system calls are slow, so that times are an upper bound. `npm run bench -- agent [SERVICES] [IDLE-SECONDS]`.
 */
import { fileURLToPath } from 'node:url';
import { needBuiltAgent, rig, rigModules } from '../../test/support/agent-rig.ts';
import { bootUml } from '../../test/support/uml.ts';

needBuiltAgent();
const services = Number(process.argv[2] ?? 5000);
const idle = Number(process.argv[3] ?? 60);
const api = fileURLToPath(new URL('api.guest.ts', import.meta.url));

const result = await bootUml({
  name: 'kra-bench',
  memMb: 3072,
  timeoutMs: 1_500_000,
  modules: rigModules,
  onConsole: process.env['VERBOSE'] === undefined ? () => undefined : (text) => void process.stderr.write(text),
  script: `
set +e
OUT=$UML_DIR/out; mkdir -p $OUT
ip netns add n1; ip netns add tor
ip link add e0 type veth peer name e1; ip link set e0 netns n1; ip link set e1 netns tor
ip -n n1 link set lo up; ip -n n1 link set e0 name eth0; ip -n n1 link set eth0 up; ip -n n1 addr add 192.168.1.11/24 dev eth0
ip -n n1 route add default via 192.168.1.1
ip -n tor link set lo up; ip -n tor link set e1 up; ip -n tor addr add 192.168.1.1/24 dev e1
ip netns exec tor ${rig.node} ${api} 192.168.1.1 6443 ${services} 2 > $OUT/api 2>&1 &
for i in $(seq 1 600); do grep -q pods $OUT/api && break; sleep 0.5; done
start() { ip netns exec n1 ${rig.node} ${rig.main} run --master=http://192.168.1.1:6443 --hostname-override=node-1 --enable-cni=false --service-cluster-ip-range=10.96.0.0/12 -v1 >> $OUT/log 2>&1 & AGENT=$!; }
now() { date +%s%N; }
ready() { for i in $(seq 1 6000); do [ "$(ip netns exec n1 curl -s --max-time 2 http://127.0.0.1:20244/readyz)" = OK ] && return; sleep 0.1; done; echo 'never ready' >> $OUT/trouble; }
t=$(now); start; ready; echo $(( ($(now) - t) / 1000000 )) > $OUT/cold
cp $OUT/log $OUT/log-cold
ip netns exec n1 ipvsadm -Sn > /run/ipvs; ip netns exec n1 ipset save > /run/sets; ip netns exec n1 iptables-save > /run/rules
ip -n n1 -o -4 addr show dev kube-dummy-if | awk '{print "addr add " $4 " dev kube-dummy-if"}' > /run/addrs
wc -l < /run/ipvs > $OUT/ipvs-lines
# the snapshot of the first pictures is written half a minute after the start
sleep 45
ticks() { awk '{print $14 + $15 + $16 + $17}' /proc/$AGENT/stat; }
a=$(ticks); sleep ${idle}; b=$(ticks); echo $((b - a)) > $OUT/idle-ticks; getconf CLK_TCK > $OUT/hz
grep -E 'VmRSS|VmHWM|RssAnon' /proc/$AGENT/status > $OUT/rss
kill -9 $AGENT; wait $AGENT 2>/dev/null; : > $OUT/log
t=$(now); start; ready; echo $(( ($(now) - t) / 1000000 )) > $OUT/warm
cp $OUT/log $OUT/log-warm
kill $AGENT; wait $AGENT 2>/dev/null
# the tools, over an empty namespace of its own
ip netns add n2; ip -n n2 link set lo up; ip -n n2 link add eth0 type dummy; ip -n n2 link set eth0 up; ip -n n2 addr add 192.168.1.11/24 dev eth0; ip -n n2 route add default dev eth0
ip -n n2 link add kube-dummy-if type dummy; ip -n n2 link set kube-dummy-if up
t=$(now)
ip netns exec n2 ipset restore < /run/sets
ip netns exec n2 iptables-restore < /run/rules
ip -n n2 -batch /run/addrs
ip netns exec n2 ipvsadm -R < /run/ipvs
echo $(( ($(now) - t) / 1000000 )) > $OUT/tools
ip netns exec n2 ipvsadm -Sn | wc -l > $OUT/tools-lines
exit 0
`,
});
const out = (name: string): string => (result.files[name] ?? '').trim();
const number = (name: string): number => Number(out(name));
const kb = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(out('rss'))?.[1]) / 1024;
/** Sum of the first pass of each block, milliseconds. */
const passes = (log: string): number => {
  const first = new Map<string, number>();
  for (const line of out(log).split('\n')) {
    try {
      const { block, durationMs } = JSON.parse(line) as { block?: string; durationMs?: number };
      if (block !== undefined && durationMs !== undefined && !first.has(block)) first.set(block, durationMs);
    } catch {
      // Not a line of the log.
    }
  }
  return [...first.values()].reduce((sum, one) => sum + one, 0);
};

if (out('trouble') !== '' || result.exitCode !== 0) {
  console.error(out('trouble'), result.stderr.slice(-2000), out('log').slice(-2000));
  process.exit(1);
}
const cpu = (number('idle-ticks') / number('hz') / idle) * 100;
const rows: readonly (readonly [string, string, string, boolean])[] = [
  [
    'resident memory, idle',
    `${kb('VmRSS').toFixed(0)} MB (peak ${kb('VmHWM').toFixed(0)} MB)`,
    '≤ 130 MB',
    kb('VmRSS') <= 130,
  ],
  ['processor, idle', `${cpu.toFixed(2)} % of a core over ${idle} s`, '≤ 1 %', cpu <= 1],
  ['ready, kernel already holds the state', `${number('warm')} ms`, '≤ 3000 ms', number('warm') <= 3000],
  [
    'cold: passes of all blocks',
    `${passes('log-cold').toFixed(0)} ms`,
    `≤ 1.2 × ${number('tools')} ms`,
    passes('log-cold') <= 1.2 * number('tools'),
  ],
  ['cold: from exec to ready', `${number('cold')} ms`, 'for comparison', true],
];
console.log(`agent, ${out('api')}, ${out('ipvs-lines')} lines of IPVS (tools: ${out('tools-lines')})`);
console.log('rig: user-mode Linux 6.1, one CPU; API server in the same guest');
for (const [name, seen, asked, held] of rows) {
  console.log(`${held ? 'held  ' : 'FAILED'} ${name.padEnd(38)} ${seen.padEnd(34)} ${asked}`);
}
process.exit(rows.every(([, , , held]) => held) ? 0 : 1);
