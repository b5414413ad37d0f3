/**
 * A small cluster inside the guest kernel: nodes, pods and an outside client as network namespaces on one switch, IPv4 and IPv6.
 * Node `n1` is 192.168.1.11 / fd10::11 with pods 10.1.1.0/24 and fd01:1::/64; `n2` is .12 with 10.1.2.0/24 and fd01:2::/64, and so on.
 * The client `ext` is 192.168.1.100 / fd10::100 and sends whatever is for a VIP to `n1`.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { sh } from './ipvs-shell.ts';

/** Leaves out the commands of a family that the cluster does not have. */
function only(lines: readonly string[], families: readonly number[]): string {
  const six = /fd[01]|ipv6|2001:/;
  const four = /\d+\.\d+\.\d+\.\d+/;
  const kept = lines.filter((line) =>
    six.test(line) ? families.includes(6) : !four.test(line) || families.includes(4),
  );
  return kept.join('\n');
}

/** Makes the switch, `count` nodes and the client. */
export async function makeNodes(count: number, families: readonly number[] = [4, 6]): Promise<void> {
  const lines = ['ip link add sw type bridge', 'ip link set sw up', 'modprobe br_netfilter', 'modprobe sctp'];
  const attach = (ns: string, four: string, six: string): void => {
    lines.push(`ip netns add ${ns}`, `ip link add v-${ns} type veth peer name eth0 netns ${ns}`);
    lines.push(`ip link set v-${ns} master sw up`, `ip -n ${ns} link set lo up`, `ip -n ${ns} link set eth0 up`);
    lines.push(`ip -n ${ns} addr add ${four}/24 dev eth0`, `ip -n ${ns} addr add ${six}/64 dev eth0 nodad`);
  };
  for (let node = 1; node <= count; node++) {
    const ns = `n${node}`;
    attach(ns, `192.168.1.1${node}`, `fd10::1${node}`);
    lines.push(
      `ip netns exec ${ns} sysctl -qw net.ipv4.ip_forward=1`,
      `ip netns exec ${ns} sysctl -qw net.ipv6.conf.all.forwarding=1`,
      `ip -n ${ns} link add kube-bridge type bridge`,
      `ip -n ${ns} link set kube-bridge up`,
      `ip -n ${ns} addr add 10.1.${node}.1/24 dev kube-bridge`,
      `ip -n ${ns} addr add fd01:${node}::1/64 dev kube-bridge nodad`,
      `ip -n ${ns} route add default via 192.168.1.100`,
      `ip -n ${ns} route add default via fd10::100`,
      `ip netns exec ${ns} sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1`,
    );
    for (let other = 1; other <= count; other++) {
      if (other === node) continue;
      lines.push(`ip -n ${ns} route add 10.1.${other}.0/24 via 192.168.1.1${other}`);
      lines.push(`ip -n ${ns} route add fd01:${other}::/64 via fd10::1${other}`);
    }
  }
  attach('ext', '192.168.1.100', 'fd10::100');
  lines.push('ip -n ext route add default via 192.168.1.11', 'ip -n ext route add default via fd10::11');
  // Frames of the switch are not the nodes' business.
  lines.push('sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0');
  await sh(only(lines, families));
}

/** Makes a pod on a node with the addresses 10.1.N.LAST and fd01:N::LAST; `extra` are more addresses. */
export async function makePod(
  name: string,
  node: number,
  last: number,
  extra: readonly string[] = [],
  families: readonly number[] = [4, 6],
): Promise<void> {
  const lines = [
    `ip netns add ${name}`,
    `ip -n n${node} link add v-${name} type veth peer name eth0 netns ${name}`,
    `ip -n n${node} link set v-${name} master kube-bridge up`,
    `ip -n n${node} link set v-${name} type bridge_slave hairpin on`,
    `ip -n ${name} link set lo up`,
    `ip -n ${name} link set eth0 up`,
    `ip -n ${name} addr add 10.1.${node}.${last}/24 dev eth0`,
    `ip -n ${name} addr add fd01:${node}::${last}/64 dev eth0 nodad`,
    ...extra.map((address) => `ip -n ${name} addr add ${address} dev eth0`),
    `ip -n ${name} route add default via 10.1.${node}.1`,
    `ip -n ${name} route add default via fd01:${node}::1`,
  ];
  await sh(only(lines, families));
}

/**
 * Makes the client `far`, to which the route of `ext` carries `mtu` bytes only; what is larger comes back as an ICMP error. It is the
 * route and not the link: a veth drops a frame larger than its own MTU that comes in, so that the client's full segments would get
 * lost without a word.
 */
export async function makeFar(mtu: number, families: readonly number[] = [4, 6]): Promise<void> {
  const lines = [
    'ip netns add far',
    'ip link add far0 netns ext type veth peer name eth0 netns far',
    'ip netns exec ext sysctl -qw net.ipv4.ip_forward=1',
    'ip netns exec ext sysctl -qw net.ipv6.conf.all.forwarding=1',
    'ip -n ext link set far0 up',
    'ip -n far link set lo up',
    'ip -n far link set eth0 up',
    'ip -n ext addr add 192.168.9.1/32 dev far0',
    'ip -n ext addr add fd19::1/128 dev far0 nodad',
    `ip -n ext route add 192.168.9.0/24 dev far0 mtu ${mtu}`,
    `ip -n ext route add fd19::/64 dev far0 mtu ${mtu}`,
    'ip -n far addr add 192.168.9.2/24 dev eth0',
    'ip -n far addr add fd19::2/64 dev eth0 nodad',
    'ip -n far route add default via 192.168.9.1',
    'ip -n far route add default via fd19::1',
  ];
  await sh(only(lines, families));
}

/** Answer of one command of sockets.py. */
export interface SocketAnswer {
  readonly answer: string;
  readonly answers: readonly string[];
  readonly seconds: number;
  readonly times: readonly number[];
}

/** Starts the process of servers and clients. */
export function openSockets(): (op: string, command: Readonly<Record<string, unknown>>) => Promise<SocketAnswer> {
  const file = fileURLToPath(new URL('../kernel/guests/sockets.py', import.meta.url));
  const child = spawn('/usr/bin/python3', [file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, (answer: SocketAnswer) => void>();
  let serial = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, ...answer } = JSON.parse(line) as SocketAnswer & { id: number };
    waiting.get(id)?.(answer);
    waiting.delete(id);
  });
  return (op, command) =>
    new Promise((resolve) => {
      const id = ++serial;
      waiting.set(id, resolve);
      child.stdin.write(`${JSON.stringify({ id, op, ...command })}\n`);
    });
}
