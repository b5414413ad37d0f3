/**
 * The built agent on one node with real IPVS: `run --once`, `plan`, `run --once` again, packets, `cleanup`, in a guest kernel.
 * Before and after are compared as text: links, addresses, routes, rules, sets, chains, IPVS and every writable switch.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { untilAddressed } from '../support/agent-rig.ts';
import { bootUml, type UmlResult } from '../support/uml.ts';

const main = fileURLToPath(new URL('../../examples/agent/dist/main.js', import.meta.url));
const node = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));

const manifests = `
apiVersion: v1
kind: Node
metadata: { name: node1 }
spec: { podCIDRs: [10.1.1.0/24, 'fd00:10:1:1::/64'] }
status: { addresses: [{ type: InternalIP, address: 192.168.1.11 }, { type: InternalIP, address: 'fd00:1::11' }] }
---
apiVersion: v1
kind: Node
metadata: { name: node2 }
spec: { podCIDRs: [10.1.2.0/24, 'fd00:10:1:2::/64'] }
status: { addresses: [{ type: InternalIP, address: 192.168.1.12 }, { type: InternalIP, address: 'fd00:1::12' }] }
---
apiVersion: v1
kind: Namespace
metadata: { name: default }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default, labels: { app: web } }
spec: { nodeName: node1, containers: [{ name: web, ports: [{ containerPort: 8080 }] }] }
status: { phase: Running, hostIP: 192.168.1.11, podIP: 10.1.1.5, podIPs: [{ ip: 10.1.1.5 }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ipFamilies: [IPv4]
  selector: { app: web }
  ports: [{ port: 80, targetPort: 8080, protocol: TCP, nodePort: 30080 }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: default, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080, protocol: TCP, name: '' }]
endpoints: [{ addresses: [10.1.1.5], conditions: { ready: true }, nodeName: node1, targetRef: { kind: Pod, namespace: default, name: web } }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec: { podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress], ingress: [{ ports: [{ port: 8080 }] }] }
`;

/** Shell functions of the guest: `state` prints the node's network, `agent` runs the agent in the node's namespace. */
const prelude = `
mkdir -p $UML_DIR/out
ip netns add n1
in_n1() { ip netns exec n1 "$@"; }
ip netns add tor
ip link add e0 type veth peer name e1
ip link set e0 netns n1; ip link set e1 netns tor
in_n1 ip link set lo up; in_n1 ip link set e0 name eth0; in_n1 ip link set eth0 up
in_n1 ip addr add 192.168.1.11/24 dev eth0; in_n1 ip addr add fd00:1::11/64 dev eth0 nodad
ip -n tor link set e1 up; ip -n tor link set lo up
ip -n tor addr add 192.168.1.1/24 dev e1; ip -n tor addr add fd00:1::1/64 dev e1 nodad
in_n1 ip route add default via 192.168.1.1
ip netns exec tor ip route add 10.96.0.0/12 via 192.168.1.11
state() {
  in_n1 ip -o link | sed 's/^[0-9]*: //;s/@.*//' | sort
  in_n1 ip -o addr | awk '{print $2,$3,$4}' | sort
  in_n1 ip route show table all | sort; in_n1 ip -6 route show table all | sort
  in_n1 ip rule; in_n1 ip -6 rule
  # An empty table is no trace: looking at one makes it.
  for t in iptables ip6tables; do in_n1 $t-save | grep -vE '^(#|\\*|COMMIT|:[A-Z]+ ACCEPT)' || true; done
  in_n1 ipset save; in_n1 ipvsadm -Sn
  in_n1 sh -c 'grep -rs "" /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/vs 2>/dev/null' | grep -vE 'kube-|/stable_secret|/mtu:' | sort
}
${untilAddressed}
agent() { in_n1 ${node} ${main} "$@" --manifests=$UML_DIR --hostname-override=node1 --enable-ipv6 --service-cluster-ip-range=10.96.0.0/12; }
`;

describe('run --once in a guest', () => {
  let result: UmlResult;
  beforeAll(async () => {
    if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
    result = await bootUml({
      name: 'kra-once',
      memMb: 768,
      timeoutMs: 600_000,
      modules: ['ip_vs', 'ip_vs_rr', 'dummy', 'bridge', 'br_netfilter'],
      files: { 'cluster.yaml': manifests },
      script: `${prelude}
state > $UML_DIR/out/before
set +e
agent plan > $UML_DIR/out/plan0; echo $? > $UML_DIR/out/plan0.code
agent run --once --output json > $UML_DIR/out/once1; echo $? > $UML_DIR/out/once1.code
agent run --once --output json > $UML_DIR/out/once2; echo $? > $UML_DIR/out/once2.code
agent plan --output json > $UML_DIR/out/plan1; echo $? > $UML_DIR/out/plan1.code
state > $UML_DIR/out/during
ip netns add pod
in_n1 ip link add vp type veth peer name eth0 netns pod
in_n1 ip link set vp master kube-bridge up
in_n1 ip addr add 10.1.1.1/24 dev kube-bridge
ip -n pod link set lo up; ip -n pod link set eth0 up; ip -n pod addr add 10.1.1.5/24 dev eth0; ip -n pod route add default via 10.1.1.1
ip netns exec pod perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(LocalPort=>8080,Listen=>5,ReuseAddr=>1) or die $!; while($c=$s->accept){print $c "from ".$c->peerhost."\\n";close $c}' &
server=$!
sleep 1
ip netns exec tor perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(PeerAddr=>$ARGV[0],Timeout=>3) or (print("failed\\n"),exit); print <$s>' 10.96.0.10:80 > $UML_DIR/out/clusterip
ip netns exec tor perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(PeerAddr=>$ARGV[0],Timeout=>3) or (print("failed\\n"),exit); print <$s>' 192.168.1.11:30080 > $UML_DIR/out/nodeport
kill $server
in_n1 ip addr del 10.1.1.1/24 dev kube-bridge; in_n1 ip link del vp
agent cleanup --dry-run > $UML_DIR/out/dry; echo $? > $UML_DIR/out/dry.code
agent cleanup --output json > $UML_DIR/out/cleanup; echo $? > $UML_DIR/out/cleanup.code
state > $UML_DIR/out/after
ls /run/kube-router-sdk > $UML_DIR/out/left 2>&1
exit 0
`,
    });
    if (result.exitCode !== 0)
      throw new Error(`guest: ${result.stderr}\n${result.stdout}\n${result.console.slice(-2000)}`);
  }, 700_000);

  const out = (name: string): string => result.files[name] ?? '';
  interface Document {
    ok: boolean;
    blocks: { name: string; changes: number; remaining: number }[];
    issues: unknown[];
  }
  const json = (name: string): Document => JSON.parse(out(name)) as Document;

  test('an unprogrammed node: the plan shows commands, exit 3', () => {
    expect(out('plan0')).toContain('10.96.0.10:80');
    expect(out('plan0.code')).toBe('3\n');
  });
  test('one pass programs everything and reads it back, exit 0', () => {
    expect(json('once1'), out('once1')).toMatchObject({ ok: true, issues: [] });
    expect(json('once1').blocks.map(({ name, remaining }) => [name, remaining])).toEqual([
      ['routing', 0],
      ['ipvs', 0],
      ['firewall', 0],
    ]);
    expect(out('once1.code')).toBe('0\n');
  });
  test('the second pass has nothing to do, and neither has the plan', () => {
    expect(json('once2').blocks.map(({ name, changes }) => [name, changes])).toEqual([
      ['routing', 0],
      ['ipvs', 0],
      ['firewall', 0],
    ]);
    expect(out('plan1.code')).toBe('0\n');
  });
  test('packets from outside reach the pod by ClusterIP and by NodePort', () => {
    expect(out('clusterip')).toMatch(/^from /);
    expect(out('nodeport')).toMatch(/^from /);
  });
  test('cleanup --dry-run lists; cleanup leaves the node as it was', () => {
    expect(out('dry')).toContain('kube-dummy-if');
    expect(out('cleanup.code')).toBe('0\n');
    expect(out('after')).toBe(out('before'));
    expect(out('left')).toBe('');
  });
});
