/**
 * The built agent and what its service proxy asks of the machine: DSR pods found by their annotation and prepared before they
 * become real servers, node ports on every address, a drain over restarts of the process, and cleanup that reaches into pods.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { bootUml, type UmlResult } from '../support/uml.ts';

const main = fileURLToPath(new URL('../../examples/agent/dist/main.js', import.meta.url));
const node = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));

const pod = (name: string, address: string, netns: string): string => `---
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: default, annotations: { kube-router.io/netns: ${netns} } }
spec: { nodeName: node1, containers: [{ name: web }] }
status: { phase: Running, hostIP: 192.168.1.11, podIP: ${address}, podIPs: [{ ip: ${address} }] }
`;
const endpoint = (name: string, address: string): string =>
  `{ addresses: [${address}], conditions: { ready: true }, nodeName: node1, targetRef: { kind: Pod, namespace: default, name: ${name} } }`;
const cluster = (endpoints: readonly string[]): string => `
apiVersion: v1
kind: Node
metadata: { name: node1 }
spec: { podCIDRs: [10.1.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 192.168.1.11 }] }
${pod('web', '10.1.1.5', '/run/netns/web')}${pod('lost', '10.1.1.6', '/run/netns/lost')}---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: default
  annotations: { kube-router.io/service.dsr: tunnel, kube-router.io/service.scheduler: mh }
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  externalIPs: [198.51.100.9]
  ports: [{ port: 8080, targetPort: 8080, protocol: TCP, nodePort: 30080 }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: default, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080, protocol: TCP, name: '' }]
endpoints: [${endpoints.join(', ')}]
`;

const script = `
mkdir -p $UML_DIR/out
ip netns add n1; ip netns add web
n1() { ip netns exec n1 "$@"; }
n1 ip link set lo up; n1 ip link add eth0 type dummy; n1 ip link set eth0 mtu 1450 up
n1 ip addr add 192.168.1.11/24 dev eth0; n1 ip addr add 192.168.7.7/24 dev eth0; n1 ip route add default via 192.168.1.1
n1 ip link add br0 type bridge; n1 ip link set br0 up; n1 ip addr add 10.1.1.1/24 dev br0
n1 ip link add vp type veth peer name net7 netns web; n1 ip link set vp master br0 up
ip -n web link set lo up; ip -n web link set net7 up; ip -n web addr add 10.1.1.5/24 dev net7
ip -n web route add default via 10.1.1.1
ip netns exec web sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.net7.rp_filter=2
inpod() { ip -n web -o addr | awk '{print $2,$3,$4}' | sort; ip netns exec web sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.net7.rp_filter; }
agent() {
  n1 ${node} ${main} "$@" --hostname-override=node1 --run-router=false --run-firewall=false --output=json \\
    --service-external-ip-range=198.51.100.0/24
}
keep() { name=$1; shift; "$@" > $UML_DIR/out/$name; echo $? > $UML_DIR/out/$name.code; n1 ipvsadm -Sn > $UML_DIR/out/$name.ipvs; inpod > $UML_DIR/out/$name.pod; }
set +e
inpod > $UML_DIR/out/before.pod
keep untrusted agent run --once --manifests=$UML_DIR/one.yaml
keep plan agent plan --manifests=$UML_DIR/one.yaml --trust-netns-annotation
keep once agent run --once --manifests=$UML_DIR/one.yaml --trust-netns-annotation
keep again agent run --once --manifests=$UML_DIR/one.yaml --trust-netns-annotation
keep two agent run --once --manifests=$UML_DIR/two.yaml --trust-netns-annotation
n1 iptables-save -t mangle | grep -o 'set-mss.*' > $UML_DIR/out/mss
keep all agent run --once --manifests=$UML_DIR/one.yaml --trust-netns-annotation --nodeport-bindon-all-ip
keep none agent run --once --manifests=$UML_DIR/none.yaml --trust-netns-annotation
keep back agent run --once --manifests=$UML_DIR/one.yaml --trust-netns-annotation
ip netns exec web python3 -m http.server -b 10.1.1.5 8080 >/dev/null 2>&1 &
for i in $(seq 50); do ip netns exec web python3 -c "import socket; socket.create_connection(('10.1.1.5', 8080))" 2>/dev/null && break; sleep 0.2; done
# A connection that its client will end by a reset, which IPVS forgets within seconds.
n1 python3 -c "
import socket, struct, time
one = socket.create_connection(('10.96.0.10', 8080))
one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
time.sleep(600)" &
client=$!
for i in $(seq 50); do n1 ipvsadm -Lnc | grep -q 10.96.0.10:8080 && break; sleep 0.2; done
keep moved agent run --once --manifests=$UML_DIR/moved.yaml
keep still agent run --once --manifests=$UML_DIR/moved.yaml
kill $(pgrep -P $client) $client 2>/dev/null
agent run --manifests=$UML_DIR/moved.yaml > $UML_DIR/out/running 2>&1 &
running=$!
for i in $(seq 120); do n1 ipvsadm -Sn | grep -q 10.1.1.5 || break; sleep 1; done
n1 ipvsadm -Sn > $UML_DIR/out/drained
kill $(pgrep -P $running) $running 2>/dev/null; wait $running
n1 ipvsadm -Sn > $UML_DIR/out/stopped
keep cleanup agent cleanup
exit 0
`;

describe('the service proxy of the built agent', () => {
  let result: UmlResult;
  beforeAll(async () => {
    if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
    const one = cluster([endpoint('web', '10.1.1.5')]);
    result = await bootUml({
      name: 'ipvs-agent',
      memMb: 768,
      timeoutMs: 560_000,
      modules: ['ip_vs', 'ip_vs_rr', 'ip_vs_mh', 'dummy', 'bridge', 'ipip'],
      files: {
        'one.yaml': one,
        'two.yaml': cluster([endpoint('web', '10.1.1.5'), endpoint('lost', '10.1.1.6')]),
        // Its pod went; another one elsewhere came.
        'moved.yaml': cluster(['{ addresses: [10.1.2.7], conditions: { ready: true }, nodeName: node2 }']),
        // The Service is gone, its pods are not.
        'none.yaml': one.slice(0, one.indexOf('---\napiVersion: v1\nkind: Service')),
      },
      script,
    });
    if (result.exitCode !== 0) throw new Error(`guest: ${result.stderr}\n${result.stdout}`);
  }, 580_000);
  const out = (name: string): string => result.files[name] ?? '';
  interface Document {
    blocks: { name: string; changes: number; remaining: number }[];
    issues: { object: string; reason: string }[];
  }
  const json = (name: string): Document => JSON.parse(out(name)) as Document;
  const marked = (name: string): string[] =>
    out(`${name}.ipvs`)
      .split('\n')
      .filter((line) => / -f /.test(line));

  test('an annotation is not trusted unless the operator says so: an issue of the pod, which is left alone', () => {
    expect(out('untrusted.code')).toBe('1\n');
    expect(json('untrusted').issues.map(({ object }) => object)).toEqual(['Pod default/web']);
    expect(out('untrusted.pod')).toBe(out('before.pod'));
    expect(marked('untrusted')).toEqual([]);
    expect(out('untrusted.ipvs')).toContain('-a -t 10.96.0.10:8080 -r 10.1.1.5:8080 -m -w 1');
  });
  test('a plan prepares nothing', () => {
    expect(out('plan.pod')).toBe(out('before.pod'));
    expect(out('plan')).toContain('-r 10.1.1.5:0 -i -w 1');
  });
  test('one pass prepares the pod and makes it a real server; the next has nothing to do', () => {
    expect(out('once.code'), out('once')).toBe('0\n');
    expect(out('once.pod')).toContain('kube-tunnel-if inet 198.51.100.9/32');
    expect(out('once.pod')).toContain('net.ipv4.conf.all.rp_filter = 0\nnet.ipv4.conf.net7.rp_filter = 0\n');
    expect(marked('once')[1]).toMatch(/^-a -f \d+ -r 10\.1\.1\.5:0 -i -w 1 --tun-type ipip$/);
    expect(out('again.code'), out('again')).toBe('0\n');
    expect(json('again').blocks).toMatchObject([{ name: 'ipvs', changes: 0, remaining: 0 }]);
    expect(marked('again')).toEqual(marked('once'));
  });
  test('a pod that is not found is an issue on that pod alone; the MSS is that of the uplink', () => {
    expect(out('two.code')).toBe('1\n');
    expect(json('two').issues.map(({ object }) => object)).toEqual(['Pod default/lost']);
    expect(marked('two')).toEqual(marked('once'));
    expect(out('mss').split('\n').slice(0, 2)).toEqual(['set-mss 1390', 'set-mss 1378']);
  });
  test('node ports on every address of the machine, not of its VIPs', () => {
    const ports = [...out('all.ipvs').matchAll(/^-A -t (\S+):30080 /gm)].map(([, address]) => address).sort();
    expect(ports).toEqual(['10.1.1.1', '127.0.0.1', '192.168.1.11', '192.168.7.7']);
  });
  test('an endpoint that went drains over restarts of the process, and is taken away by the one that stays; the rest outlives it', () => {
    const tcp = (name: string): string[] =>
      out(name)
        .split('\n')
        .filter((line) => line.startsWith('-a -t 10.96.0.10:8080 '))
        .sort();
    const both = ['10.1.1.5:8080 -m -w 0', '10.1.2.7:8080 -m -w 1'].map((end) => `-a -t 10.96.0.10:8080 -r ${end}`);
    expect(out('moved.code'), out('moved')).toBe('0\n');
    expect(tcp('moved.ipvs')).toEqual(both);
    expect(out('still.code'), out('still')).toBe('0\n');
    expect(json('still').blocks).toMatchObject([{ name: 'ipvs', changes: 0, remaining: 0 }]);
    expect(tcp('still.ipvs')).toEqual(both);
    const one = both.filter((line) => line.endsWith('-w 1'));
    expect(tcp('drained')).toEqual(one);
    expect(tcp('stopped')).toEqual(one);
  });
  test('when the Service is gone the pod is as before; cleanup leaves it so as well', () => {
    expect(out('none.code'), out('none')).toBe('0\n');
    expect(out('none.pod')).toBe(out('before.pod'));
    expect(out('back.pod')).toBe(out('once.pod'));
    expect(out('cleanup.code'), out('cleanup')).toBe('0\n');
    expect(out('cleanup.pod')).toBe(out('before.pod'));
    expect(out('cleanup.ipvs')).toBe('');
  });
});
