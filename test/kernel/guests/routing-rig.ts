/**
 * The small network of routing-ingress.ts inside the guest kernel: a client, a router with BIRD or FRR, three directors and two nodes with
 * three pods each on one LAN, as network namespaces; and the Kubernetes objects that say the same.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { NodeObject } from '../../../src/objects/index.ts';
import { pod, service, slice } from '../../support/ipvs-objects.ts';
import { sh } from '../../support/ipvs-shell.ts';
import type { DirectorInput } from './routing-director.ts';

export const VIP = '192.0.2.10';
export const CLUSTER_IP = '172.16.0.9';
export const CLIENT = '198.18.0.2';
export const ROUTER = '10.0.0.254';
export const DIRECTORS = [1, 2, 3];
export const WORKERS = [11, 12];
export const PODS = [1, 2, 3, 4, 5, 6];
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

// ---- machines: r and its two sides, c outside, d1–d3 and w11, w12 on the LAN, three pods on each worker
export const node = (index: number): string => (index < 10 ? `d${index}` : `w${index}`);
const workerOf = (index: number): number => (index <= 3 ? 11 : 12);
export const podAddress = (index: number): string => `10.1.${workerOf(index)}.${index + 1}`;

/** Makes the machines. */
export async function build(): Promise<void> {
  const lines = ['ip netns add r', 'ip netns add c', 'ip -n r link set lo up', 'ip -n c link set lo up'];
  lines.push('ip netns exec r sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1');
  lines.push('ip -n r link add lan type bridge', 'ip -n r link set lan up', `ip -n r addr add ${ROUTER}/24 dev lan`);
  lines.push('ip link add eth0 netns c type veth peer name out netns r', 'ip -n r link set out up');
  lines.push(
    'ip -n c link set eth0 up',
    'ip -n r addr add 198.18.0.1/24 dev out',
    `ip -n c addr add ${CLIENT}/24 dev eth0`,
  );
  lines.push('ip -n c route add default via 198.18.0.1');
  lines.push('ip netns exec c sysctl -qw net.ipv4.ip_local_port_range="1024 65000"');
  for (const index of [...DIRECTORS, ...WORKERS]) {
    const ns = node(index);
    lines.push(`ip netns add ${ns}`, `ip link add eth0 netns ${ns} type veth peer name v-${ns} netns r`);
    lines.push(`ip -n r link set v-${ns} master lan up`, `ip -n ${ns} link set lo up`, `ip -n ${ns} link set eth0 up`);
    lines.push(`ip -n ${ns} addr add 10.0.0.${index}/24 dev eth0`, `ip -n ${ns} route add default via ${ROUTER}`);
    lines.push(`ip netns exec ${ns} sysctl -qw net.ipv4.ip_forward=1`);
    lines.push(`ip -n ${ns} link add kube-bridge type bridge`, `ip -n ${ns} link set kube-bridge up`);
    lines.push(`ip -n ${ns} addr add 10.1.${index}.1/24 dev kube-bridge`);
    // What of a DSR flow crosses a director is counted, replies apart from requests.
    if (index < 10) {
      lines.push(`ip netns exec ${ns} iptables -t raw -A PREROUTING -s ${VIP} -m comment --comment replies`);
      lines.push(`ip netns exec ${ns} iptables -t raw -A PREROUTING -d ${VIP} -m comment --comment requests`);
    }
  }
  for (const index of PODS) {
    const ns = `p${index}`;
    lines.push(
      `ip netns add ${ns}`,
      `ip link add eth0 netns ${ns} type veth peer name v-${ns} netns ${node(workerOf(index))}`,
    );
    lines.push(`ip -n ${node(workerOf(index))} link set v-${ns} master kube-bridge up`, `ip -n ${ns} link set lo up`);
    lines.push(
      `ip -n ${ns} link set eth0 up`,
      `ip -n ${ns} addr add ${podAddress(index)}/24 dev eth0`,
      `ip -n ${ns} route add default via 10.1.${workerOf(index)}.1`,
    );
    lines.push(`ip netns exec ${ns} sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=4096`);
  }
  lines.push('sysctl -qw net.bridge.bridge-nf-call-iptables=0 || true');
  await sh(lines.join('\n'));
}

// ---- the router's daemons
/** Starts BGP and BFD on the router: `BIRD` or `FRR`. */
export async function startRouter(kind: string, bfdMs: number): Promise<void> {
  const folder = '/run/router';
  const neighbours = DIRECTORS.map((index) => `10.0.0.${index}`);
  const daemon = (file: string, ...args: string[]): void =>
    void spawn('nice', ['-n', '-15', 'ip', 'netns', 'exec', 'r', file, ...args], { stdio: 'ignore' });
  await sh(
    `mkdir -p ${folder} /run/frr /var/tmp/frr; chown frr:frr ${folder} /run/frr /var/tmp/frr; chmod 755 ${folder}`,
  );
  if (kind === 'BIRD') {
    writeFileSync(
      `${folder}/bird.conf`,
      `router id ${ROUTER};
protocol device { scan time 1; }
protocol bfd { interface "lan" { min rx interval ${bfdMs} ms; min tx interval ${bfdMs} ms; idle tx interval ${bfdMs} ms; multiplier 3; }; }
protocol kernel { merge paths on limit 16; ipv4 { export where source = RTS_BGP; import none; }; }
${neighbours.map((address, index) => `protocol bgp n${index} { local ${ROUTER} as 65000; neighbor ${address} as 64512; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 1; bfd on; ipv4 { import all; export none; }; }`).join('\n')}
`,
    );
    daemon('/usr/sbin/bird', '-f', '-c', `${folder}/bird.conf`, '-s', `${folder}/bird.ctl`);
    return;
  }
  const common = (name: string): string[] => [
    '-f',
    `${folder}/${name}.conf`,
    '-i',
    `${folder}/${name}.pid`,
    '-z',
    `${folder}/zserv`,
    '--vty_socket',
    folder,
  ];
  writeFileSync(`${folder}/zebra.conf`, 'hostname r\n');
  writeFileSync(
    `${folder}/bfdd.conf`,
    `bfd\n profile fast\n  detect-multiplier 3\n  receive-interval ${bfdMs}\n  transmit-interval ${bfdMs}\n`,
  );
  writeFileSync(
    `${folder}/bgpd.conf`,
    `router bgp 65000
 bgp router-id ${ROUTER}
 no bgp ebgp-requires-policy
 timers bgp 3 9
${neighbours.map((address) => ` neighbor ${address} remote-as 64512\n neighbor ${address} timers connect 1\n neighbor ${address} advertisement-interval 0\n neighbor ${address} bfd\n neighbor ${address} bfd profile fast`).join('\n')}
 address-family ipv4 unicast
  maximum-paths 16
`,
  );
  daemon('/usr/lib/frr/zebra', ...common('zebra'));
  await pause(1500);
  daemon('/usr/lib/frr/bfdd', ...common('bfdd'), '--bfdctl', `${folder}/bfdd.sock`);
  await pause(500);
  daemon('/usr/lib/frr/bgpd', '-S', ...common('bgpd'), '-l', ROUTER);
}

// ---- objects
const nodeObject = (index: number): NodeObject => ({
  kind: 'Node',
  namespace: '',
  name: node(index),
  uid: node(index),
  labels: {},
  annotations: {},
  addresses: [{ type: 'InternalIP', address: `10.0.0.${index}` }],
  podCIDRs: [`10.1.${index}.0/24`],
  unschedulable: false,
  ready: true,
  taints: [],
});
export const nodes = [...DIRECTORS, ...WORKERS].map((index) => ({ key: node(index), object: nodeObject(index) }));
export const web = (scheduler: string): DirectorInput['services'] => [
  {
    key: 't/web',
    object: service('t/web', {
      clusterIPs: [CLUSTER_IP],
      ports: [
        { name: 'short', port: 80, protocol: 'TCP' },
        { name: 'long', port: 81, protocol: 'TCP' },
      ],
      annotations: {
        'kube-router.io/service.dsr': 'tunnel',
        'kube-router.io/service.scheduler': scheduler,
        ...(scheduler === 'mh' ? { 'kube-router.io/service.schedflags': 'flag-1,flag-2' } : {}),
      },
      spec: { externalIPs: [VIP] },
    }),
  },
];
export const ends = (indexes: readonly number[]): DirectorInput['endpointSlices'] => [
  {
    key: 't/web-4',
    object: slice(
      't/web',
      indexes.map((index) => ({ address: podAddress(index), node: node(workerOf(index)), pod: `t/p${index}` })),
      [
        { name: 'short', port: 80 },
        { name: 'long', port: 81 },
      ],
    ),
  },
];
export const podObjects = PODS.map((index) => ({
  key: `t/p${index}`,
  object: pod(`t/p${index}`, { ips: [podAddress(index)], node: node(workerOf(index)) }),
}));
