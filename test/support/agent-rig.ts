/**
 * A rig for the built agent in user-mode Linux: one node with two pods on its bridge, a router with a client behind it, the test
 * API server, and shell functions that start the agent, run traffic and print a node's whole network state.
 * Everything is text for `bootUml`; the functions are documented where they stand.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** The built agent, the Node it runs on, and the lab's echo server and prober. */
export const rig = {
  main: file('examples/agent/dist/main.js'),
  dist: file('examples/agent/dist'),
  node: file('node_modules/node/bin/node'),
  echo: file('examples/lab/echo.pl'),
  probe: file('examples/lab/probe.pl'),
  api: file('test/support/agent-api.guest.ts'),
};

/** @throws Error when the agent is not built */
export function needBuiltAgent(): void {
  if (!existsSync(rig.main)) throw new Error(`${rig.main} is missing: run npm run build first`);
}

/** Kernel modules that are there from the start, so that none appears between two looks at the state. */
export const rigModules = [
  'ip_vs',
  'ip_vs_rr',
  'ip_vs_mh',
  'dummy',
  'bridge',
  'br_netfilter',
  'ipip',
  'ip6_tunnel',
  'nf_conntrack',
  'ip_set',
  'ip_set_hash_ip',
  'ip_set_hash_net',
  'ip_set_hash_ipport',
  'xt_set',
  'xt_ipvs',
  'iptable_filter',
  'iptable_nat',
  'iptable_mangle',
  'ip6table_filter',
  'ip6table_nat',
  'ip6table_mangle',
];

/** The cluster: two nodes, two pods here, one elsewhere, a Service of every kind, a policy for the web pod. */
export const rigObjects = `
apiVersion: v1
kind: Node
metadata: { name: node1 }
spec: { podCIDRs: [10.1.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 192.168.1.11 }] }
---
apiVersion: v1
kind: Node
metadata: { name: node2 }
spec: { podCIDRs: [10.1.2.0/24] }
status: { addresses: [{ type: InternalIP, address: 192.168.1.12 }] }
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
kind: Pod
metadata: { name: shell, namespace: default, labels: { app: shell } }
spec: { nodeName: node1, containers: [{ name: shell }] }
status: { phase: Running, hostIP: 192.168.1.11, podIP: 10.1.1.6, podIPs: [{ ip: 10.1.1.6 }] }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: default }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10]
  ipFamilies: [IPv4]
  selector: { app: web }
  ports: [{ name: http, port: 80, targetPort: 8080, protocol: TCP, nodePort: 30080 }]
status: { loadBalancer: { ingress: [{ ip: 203.0.113.1 }] } }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: default, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ port: 8080, protocol: TCP, name: http }]
endpoints: [{ addresses: [10.1.1.5], conditions: { ready: true }, nodeName: node1, targetRef: { kind: Pod, namespace: default, name: web } }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec: { podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress], ingress: [{ ports: [{ port: 8080, protocol: TCP }] }] }
`;

/** Flags that every agent of the rig has. */
export const rigFlags = [
  '--hostname-override=node1',
  '--service-cluster-ip-range=10.96.0.0/16',
  '--loadbalancer-ip-range=203.0.113.0/24',
].join(' ');

/** Shell: waits until `in_n1` has no tentative address; a link-local one gets its route when no other machine has claimed it. */
export const untilAddressed =
  'for i in $(seq 1 50); do in_n1 ip -6 -o addr show tentative | grep -q . || break; sleep 0.2; done';

/**
 * Shell functions and the rig itself:
 * - `in_n1 CMD`: in the node; `state`: the node's network as sorted text, its pods' insides included;
 * - `start_api`: the API server on the router, loaded from cluster.yaml;
 * - `start_agent FLAGS`: in the background, process in $AGENT, log in out/agent.log; `ready`: waits for /readyz;
 * - `pods`: plugs the two pods into the bridge, as a CNI plugin would; `unplug` takes them out;
 * - `traffic NAME NETNS ADDRESS PORT`: five connections a second until `traffic_end`, one line each in out/traffic-NAME.
 */
export const rigPrelude = `
mkdir -p "$UML_DIR/out"
OUT=$UML_DIR/out
NODE=${rig.node}
MAIN=${rig.main}
export KUBE_ROUTER_CNI_CONF_FILE=/run/cni/10-kuberouter.conflist
mkdir -p /run/cni
cat > $KUBE_ROUTER_CNI_CONF_FILE <<'EOF'
{ "cniVersion": "0.4.0", "name": "kubernetes", "plugins": [
  { "type": "bridge", "bridge": "kube-bridge", "isDefaultGateway": true, "hairpinMode": true, "ipam": { "type": "host-local" } } ] }
EOF
ip netns add n1; ip netns add tor; ip netns add pod1; ip netns add pod2; ip netns add client
in_n1() { ip netns exec n1 "$@"; }
# a guest of a gigabyte would remember 8,192 flows, which a minute of traffic fills
sysctl -qw net.netfilter.nf_conntrack_max=131072
ip link add e0 type veth peer name e1
ip link set e0 netns n1; ip link set e1 netns tor
in_n1 ip link set lo up; in_n1 ip link set e0 name eth0; in_n1 ip link set eth0 up
in_n1 ip addr add 192.168.1.11/24 dev eth0
ip -n tor link set lo up; ip -n tor link set e1 up
ip -n tor addr add 192.168.1.1/24 dev e1
ip netns exec tor sysctl -qw net.ipv4.ip_forward=1
ip link add c0 netns client type veth peer name c1 netns tor
ip -n client link set lo up; ip -n client link set c0 up; ip -n client addr add 198.51.100.10/24 dev c0
ip -n client route add default via 198.51.100.1
ip -n tor link set c1 up; ip -n tor addr add 198.51.100.1/24 dev c1
in_n1 ip route add default via 192.168.1.1
for p in 1 2; do
  ip -n pod$p link set lo up
done
pods() { # and their echo server, which answers when this returns
  in_n1 ip addr add 10.1.1.1/24 dev kube-bridge 2>/dev/null
  for p in 1 2; do
    in_n1 ip link add vp$p type veth peer name eth0 netns pod$p
    in_n1 ip link set vp$p master kube-bridge up
    in_n1 sh -c "echo 1 > /sys/class/net/vp$p/brport/hairpin_mode" 2>/dev/null
    ip -n pod$p link set eth0 up; ip -n pod$p addr add 10.1.1.$((p + 4))/24 dev eth0; ip -n pod$p route add default via 10.1.1.1
  done
  ip netns exec pod1 perl ${rig.echo} web 8080 & ECHO=$!
  for i in $(seq 1 50); do ip netns exec pod1 ss -Hltn 'sport = 8080' | grep -q . && break; sleep 0.1; done
}
unplug() { kill $ECHO; for p in 1 2; do in_n1 ip link del vp$p; done; in_n1 ip addr del 10.1.1.1/24 dev kube-bridge; }
state() {
  for ns in n1 pod1 pod2; do
    echo "## $ns"
    ip -n $ns -o link | sed 's/^[0-9]*: //;s/@.*//' | sort
    ip -n $ns -o addr | awk '{print $2,$3,$4}' | sort
    ip -n $ns route show table all | sed 's/ linkdown//' | sort; ip -n $ns -6 route show table all | grep -v ' dev eth0 ' | sort
    ip -n $ns rule; ip -n $ns -6 rule
    # An empty table is no trace: looking at one makes it.
    for t in iptables ip6tables; do ip netns exec $ns $t-save | grep -vE '^(#|\\*|COMMIT|:[A-Z]+ ACCEPT)'; done
    ip netns exec $ns ipset save
    ip netns exec $ns ipvsadm -Sn
    ip netns exec $ns ipvsadm -L --timeout
    ip netns exec $ns grep -rs "" /proc/sys/net/ipv4 /proc/sys/net/ipv6 /proc/sys/net/netfilter /proc/sys/net/bridge |
      grep -vE '/(kube-|tun-|vp[12]|stable_secret|nf_conntrack_count|mtu:|random|neigh/)|flush|fib_multipath_hash_seed' | sort
  done
  echo '## files'
  cat /etc/iproute2/rt_tables $KUBE_ROUTER_CNI_CONF_FILE
  ls /run/kube-router-sdk 2>/dev/null
}
start_api() {
  ip netns exec tor $NODE ${rig.api} 192.168.1.1 6443 "$UML_DIR/cluster.yaml" >"$OUT/api.log" 2>&1 & API=$!
  for i in $(seq 1 100); do ip netns exec tor curl -s --max-time 1 http://192.168.1.1:6443/version >/dev/null && return 0; sleep 0.2; done
  echo 'the API server did not start' >&2; return 1
}
start_agent() { ip netns exec n1 $NODE $MAIN run --master=http://192.168.1.1:6443 ${rigFlags} "$@" >>"$OUT/agent.log" 2>&1 & AGENT=$!; }
agent() { in_n1 $NODE $MAIN "$@" --master=http://192.168.1.1:6443 ${rigFlags}; }
ready() {
  for i in $(seq 1 400); do
    [ "$(in_n1 curl -s --max-time 2 http://127.0.0.1:20244/readyz)" = OK ] && return 0
    kill -0 $AGENT 2>/dev/null || return 1
    sleep 0.15
  done
  return 1
}
PROBES='' PORT=10000
# each way has source ports of its own: one port towards a pod and towards its Service would be one flow to conntrack
traffic() {
  ip netns exec $2 perl ${rig.probe} $3 $4 8000 \${5:-200} \${6:-3000} $PORT >"$OUT/traffic-$1" 2>&1 & PROBES="$PROBES $!"
  PORT=$((PORT + 8000)); [ $PORT -lt 57000 ] || PORT=10000
}
traffic_end() { kill $PROBES 2>/dev/null; sleep 0.2; PROBES=''; }
`;

/** What traffic came to. */
export interface TrafficCount {
  readonly connections: number;
  readonly failed: readonly string[];
}

/** Counts the lines of `traffic NAME`; a connection that was under way at the end is no line. */
export function countTraffic(text: string): TrafficCount {
  const lines = text.split('\n').filter((line) => /^\d+ /.test(line));
  return { connections: lines.length, failed: lines.filter((line) => / - /.test(line)) };
}
