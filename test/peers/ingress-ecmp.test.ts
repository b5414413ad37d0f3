/**
 * Nodes that announce their pods and service addresses to a real router, by real sessions and packets, each in a network namespace:
 * the router's FIB spreads a service over every node, follows nodes that come, die and return, and reaches pods; nodes reach each other's.
 * The same claims with BIRD and with FRR as the router.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { EndpointSliceObject, NodeObject, ServiceObject } from '../../src/objects/types.ts';
import type { NodeInput } from './ingress-node.guest.ts';

const prefix = `krr-${process.pid}`;
const sh = (text: string): string =>
  execFileSync('/bin/sh', ['-c', text], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const guest = new URL('ingress-node.guest.ts', import.meta.url).pathname;
const VIP = '192.0.2.10';

function nodeObject(index: number): NodeObject {
  return {
    kind: 'Node',
    namespace: '',
    name: `n${index}`,
    uid: `n${index}`,
    labels: {},
    annotations: {},
    addresses: [{ type: 'InternalIP', address: `10.0.0.${index}` }],
    podCIDRs: [`10.244.${index}.0/24`],
    unschedulable: false,
    ready: true,
    taints: [],
  };
}

const service: ServiceObject = {
  kind: 'Service',
  namespace: 'default',
  name: 'web',
  uid: 'web',
  labels: {},
  annotations: {},
  type: 'ClusterIP',
  clusterIPs: ['10.96.0.10'],
  headless: false,
  ipFamilies: [4],
  ipFamilyPolicy: 'SingleStack',
  externalIPs: [VIP],
  loadBalancerIP: '',
  loadBalancerClass: '',
  loadBalancerSourceRanges: [],
  ingress: [],
  ports: [{ name: '', protocol: 'TCP', port: 80, targetPort: 80, nodePort: 0, appProtocol: '' }],
  selector: {},
  sessionAffinity: 'None',
  sessionAffinityTimeoutSeconds: 10800,
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
  healthCheckNodePort: 0,
  trafficDistribution: '',
  publishNotReadyAddresses: false,
  allocateLoadBalancerNodePorts: true,
};

const slice = (ready: boolean): EndpointSliceObject => ({
  kind: 'EndpointSlice',
  namespace: 'default',
  name: 'web-1',
  uid: 'web-1',
  labels: {},
  annotations: {},
  service: 'web',
  family: 4,
  ports: [{ name: '', protocol: 'TCP', port: 80, appProtocol: '' }],
  endpoints: [
    {
      addresses: ['10.244.1.2'],
      ready,
      serving: ready,
      terminating: false,
      nodeName: 'n1',
      zone: '',
      hintZones: [],
      hintNodes: [],
      pod: '',
    },
  ],
});

describe.each(['BIRD', 'FRR'] as const)('with %s as the router', (kind) => {
  const ns = (name: string): string => `${prefix}${kind[0]}-${name}`;
  const inside = (name: string, text: string): string => sh(`ip netns exec ${ns(name)} ${text}`);
  const folder = mkdtempSync(join(tmpdir(), 'krr-'));
  const daemons: ChildProcess[] = [];
  const programs = new Map<string, ChildProcess>();
  const members = new Map<string, NodeObject>();

  const daemon = (file: string, ...args: string[]): void => {
    daemons.push(spawn('ip', ['netns', 'exec', ns('r'), file, ...args], { stdio: 'ignore' }));
  };
  const startRouter = (): void => {
    const neighbours = [1, 2, 3].map((index) => `10.0.0.${index}`);
    if (kind === 'BIRD') {
      writeFileSync(
        join(folder, 'bird.conf'),
        `router id 10.0.0.254;
protocol device { scan time 1; }
protocol kernel { merge paths on limit 16; ipv4 { export where source = RTS_BGP; import none; }; }
${neighbours.map((address, index) => `protocol bgp n${index} { local 10.0.0.254 as 65000; neighbor ${address} as 64512; hold time 3; keepalive time 1; connect delay time 1; connect retry time 1; error wait time 1, 1; ipv4 { import all; export none; }; }`).join('\n')}
`,
      );
      daemon('bird', '-f', '-c', join(folder, 'bird.conf'), '-s', join(folder, 'bird.ctl'));
      return;
    }
    writeFileSync(join(folder, 'zebra.conf'), 'hostname r\n');
    writeFileSync(
      join(folder, 'bgpd.conf'),
      `router bgp 65000
 bgp router-id 10.0.0.254
 no bgp ebgp-requires-policy
 timers bgp 1 3
${neighbours.map((address) => ` neighbor ${address} remote-as 64512\n neighbor ${address} timers connect 1\n neighbor ${address} advertisement-interval 0`).join('\n')}
 address-family ipv4 unicast
  maximum-paths 16
`,
    );
    const common = (name: string): string[] => [
      '-f',
      join(folder, `${name}.conf`),
      '-i',
      join(folder, `${name}.pid`),
      '-z',
      join(folder, 'zserv'),
      '--vty_socket',
      folder,
    ];
    // zebra gives up root for the user frr before it makes its socket.
    sh(`chown frr:frr ${folder}; chmod 755 ${folder}`);
    daemon('/usr/lib/frr/zebra', ...common('zebra'));
    daemon('/usr/lib/frr/bgpd', '-S', ...common('bgpd'), '-l', '10.0.0.254');
  };

  const send = (name: string, input: NodeInput): void =>
    void programs.get(name)?.stdin?.write(`${JSON.stringify(input)}\n`);
  const tellAll = (input: NodeInput): void => [...programs.keys()].forEach((name) => send(name, input));
  const startNode = (index: number): void => {
    const name = `n${index}`;
    const options = { holdTimeSeconds: 3, externalPeers: [{ address: '10.0.0.254', asn: 65000 }] };
    const child = spawn('ip', ['netns', 'exec', ns(name), process.execPath, guest, name, JSON.stringify(options)], {
      stdio: ['pipe', process.env.KRR_DEBUG === undefined ? 'ignore' : 'inherit', 'inherit'],
    });
    programs.set(name, child);
    send(name, {
      nodes: [...members].map(([key, object]) => ({ key, object })),
      services: [{ key: 'default/web', object: service }],
      endpointSlices: [{ key: 'default/web-1', object: slice(true) }],
    });
  };
  const kill = async (child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  };
  /** Next hops of a prefix in a machine's FIB. */
  const nextHops = (name: string, route: string): string[] =>
    [...inside(name, `ip -4 route show ${route}`).matchAll(/via (\S+)/g)].map((match) => match[1] ?? '').sort();
  const eventually = (check: () => void, timeout = 30_000): Promise<void> =>
    vi.waitFor(check, { timeout, interval: 100 });

  beforeAll(async () => {
    for (const program of kind === 'BIRD' ? ['/usr/sbin/bird'] : ['/usr/lib/frr/zebra', '/usr/lib/frr/bgpd']) {
      if (!existsSync(program))
        throw new Error(`${program} is missing: install the Debian package ${kind === 'BIRD' ? 'bird2' : 'frr'}`);
    }
    for (const name of ['r', 'c', 'n1', 'n2', 'n3', 'p1'])
      sh(`ip netns add ${ns(name)}; ip -n ${ns(name)} link set lo up`);
    sh(
      `ip -n ${ns('r')} link add lan type bridge; ip -n ${ns('r')} link set lan up; ip -n ${ns('r')} addr add 10.0.0.254/24 dev lan`,
    );
    inside('r', 'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1');
    for (const index of [1, 2, 3]) {
      const name = `n${index}`;
      sh(`ip link add eth0 netns ${ns(name)} type veth peer name ${name} netns ${ns('r')}`);
      sh(
        `ip -n ${ns('r')} link set ${name} master lan up; ip -n ${ns(name)} link set eth0 up; ip -n ${ns(name)} addr add 10.0.0.${index}/24 dev eth0; ip -n ${ns(name)} route add default via 10.0.0.254`,
      );
      members.set(name, nodeObject(index));
    }
    sh(
      `ip link add eth0 netns ${ns('c')} type veth peer name outside netns ${ns('r')}; ip -n ${ns('r')} link set outside up; ip -n ${ns('r')} addr add 198.18.0.1/24 dev outside`,
    );
    sh(
      `ip -n ${ns('c')} link set eth0 up; ip -n ${ns('c')} addr add 198.18.0.2/24 dev eth0; ip -n ${ns('c')} route add default via 198.18.0.1`,
    );
    sh(
      `ip -n ${ns('n1')} link add kube-bridge type bridge; ip -n ${ns('n1')} link set kube-bridge up; ip -n ${ns('n1')} addr add 10.244.1.1/24 dev kube-bridge`,
    );
    sh(
      `ip link add eth0 netns ${ns('p1')} type veth peer name pod netns ${ns('n1')}; ip -n ${ns('n1')} link set pod master kube-bridge up`,
    );
    sh(
      `ip -n ${ns('p1')} link set eth0 up; ip -n ${ns('p1')} addr add 10.244.1.2/24 dev eth0; ip -n ${ns('p1')} route add default via 10.244.1.1`,
    );
    startRouter();
    for (const index of [1, 2, 3]) startNode(index);
    await eventually(() => expect(nextHops('r', VIP)).toHaveLength(3), 60_000);
  }, 90_000);

  afterAll(async () => {
    for (const child of programs.values()) await kill(child, 'SIGKILL');
    for (const child of daemons) await kill(child, 'SIGTERM');
    for (const name of ['r', 'c', 'n1', 'n2', 'n3', 'p1']) sh(`ip netns del ${ns(name)}`);
    rmSync(folder, { recursive: true, force: true });
  });

  test("T1: the router's FIB has the service /32 with one next hop a node; a node more or less changes the count", async () => {
    expect(nextHops('r', VIP)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    tellAll({ nodes: [{ key: 'n3', object: { ...nodeObject(3), unschedulable: true } }] });
    await eventually(() => expect(nextHops('r', VIP)).toEqual(['10.0.0.1', '10.0.0.2']));
    tellAll({ nodes: [{ key: 'n3', object: nodeObject(3) }] });
    await eventually(() => expect(nextHops('r', VIP)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']));
  });

  test('health: with no ready endpoint anywhere the address is withdrawn by all, and comes back', async () => {
    tellAll({ endpointSlices: [{ key: 'default/web-1', object: slice(false) }] });
    await eventually(() => expect(nextHops('r', VIP)).toEqual([]));
    tellAll({ endpointSlices: [{ key: 'default/web-1', object: slice(true) }] });
    await eventually(() => expect(nextHops('r', VIP)).toHaveLength(3));
  });

  test('T6: every node routes to the pods of the others by their addresses, protocol 17', async () => {
    for (const from of [1, 2, 3]) {
      await eventually(() => {
        const others = [1, 2, 3].filter((index) => index !== from);
        expect(
          inside(`n${from}`, 'ip route show proto 17')
            .trim()
            .split('\n')
            .map((line) => line.trim())
            .sort(),
        ).toEqual(others.map((index) => `10.244.${index}.0/24 via 10.0.0.${index} dev eth0`));
      });
    }
  });

  test("T7: an outside host reaches a pod's address through the router", async () => {
    await eventually(() => expect(nextHops('r', '10.244.1.0/24')).toEqual(['10.0.0.1']));
    expect(inside('c', 'ping -c 2 -i 0.2 -W 2 10.244.1.2')).toContain(' 0% packet loss');
  });

  test('T2: a node that dies without a word loses its path within the hold time; when it is back, so is the path', async () => {
    const dead = programs.get('n2');
    sh(`ip -n ${ns('r')} link set n2 down`);
    await kill(dead, 'SIGKILL');
    const start = performance.now();
    await eventually(() => expect(nextHops('r', VIP)).toEqual(['10.0.0.1', '10.0.0.3']));
    // Hold time 3 s; the rest is the machine's.
    expect(performance.now() - start).toBeLessThan(8000);
    await eventually(() => expect(inside('n1', 'ip route show proto 17')).not.toContain('10.244.2.0/24'));
    sh(`ip -n ${ns('r')} link set n2 up`);
    startNode(2);
    await eventually(() => expect(nextHops('r', VIP)).toHaveLength(3));
    await eventually(() => expect(inside('n1', 'ip route show proto 17')).toContain('10.244.2.0/24 via 10.0.0.2'));
  });

  test('T8: a node that is removed from the cluster takes its routes along, everywhere', async () => {
    tellAll({ nodes: [{ key: 'n3', object: undefined }] });
    await kill(programs.get('n3'), 'SIGTERM');
    await eventually(() => expect(nextHops('r', VIP)).toEqual(['10.0.0.1', '10.0.0.2']));
    for (const name of ['n1', 'n2']) {
      await eventually(() => expect(inside(name, 'ip route show proto 17')).not.toContain('10.244.3.0/24'));
      await eventually(() => expect(inside(name, 'ipset save kube-router-pod-subnets')).not.toContain('10.244.3.0/24'));
    }
  });
});
