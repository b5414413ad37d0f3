/**
 * Other programs' rules beside ours: what Docker, a zone firewall and kube-proxy keep in iptables, nftables and ipset survives our
 * syncs and our cleanup byte for byte, while writers work on the same tables at the same time. FIREWALL_SYNCS sets the number.
 */
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { cleanupFirewall, createFirewallTarget, createPolicyCompiler } from '../../src/firewall/index.ts';
import { createLab } from '../support/firewall/lab.ts';
import { labels, pod, policy } from '../support/firewall/objects.ts';

const SYNCS = Number(process.env['FIREWALL_SYNCS'] ?? 30);

const FOREIGN = `*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
:ZONE_public - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j ZONE_public
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-USER -j RETURN
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -m comment --comment "it's \\"quoted\\"" -j ACCEPT
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable
-A ZONE_public -p tcp -m tcp --dport 22 -m limit --limit 3/min -j LOG --log-prefix "ZONE ours? "
COMMIT
*nat
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -j MASQUERADE
COMMIT
`;

const FOREIGN_6 = `*filter
:DOCKER-USER - [0:0]
:ZONE_public - [0:0]
-A INPUT -p ipv6-icmp -j ZONE_public
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -s 2001:db8:17::/64 -j RETURN
-A ZONE_public -m limit --limit 3/min -j LOG --log-prefix "ZONE6 "
COMMIT
`;

const FOREIGN_NFT = `table inet firewalld {
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    iifname "lo" accept
    ct status dnat accept
  }
}
table ip kube-proxy {
  set cluster-ips { type ipv4_addr; elements = { 10.96.0.1, 10.96.0.10 } }
  set race { type ipv4_addr; }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.96.0.10 . udp . 53 : goto endpoint }
  }
  chain endpoint {
    meta l4proto udp counter packets 0 bytes 0 accept
  }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-ips
  }
}
`;

const FOREIGN_SETS = `create docker-ext-bridges-v4 hash:net family inet
add docker-ext-bridges-v4 172.17.0.0/16
create KUBE-LOOP-BACK hash:ip,port,ip family inet
add KUBE-LOOP-BACK 10.244.1.5,udp:53,10.244.1.5
create race hash:ip family inet
`;

interface Writer {
  /** Ends it and tells how many writes succeeded. */
  stop(): Promise<number>;
}

/** Rules of a racing program that stand at one time: more would make every reader slower with every round, which shows nothing. */
const STANDING = 100;

/** Another program that writes and writes; `$N` in its commands counts. `then` follows a write that succeeded. */
function startWriter(netns: string, command: string, then = 'true'): Writer {
  const script = `N=0; trap 'stop=1' TERM; while [ -z "$stop" ]; do ${command} && { N=$((N + 1)); ${then}; }; done; echo $N`;
  const child = spawn('ip', ['netns', 'exec', netns.split('/').at(-1)!, 'bash', '-c', script]);
  let written = '';
  child.stdout.on('data', (data) => (written += String(data)));
  // Not `exit`: that may come before the last of the output.
  const ended = new Promise((resolve) => child.once('close', resolve));
  return {
    async stop() {
      child.kill('SIGTERM');
      await ended;
      return Number(written);
    },
  };
}

const OURS = /KUBE-ROUTER|KUBE-NWPLCY|KUBE-POD-FW|RACE/;

test.each(['legacy', 'nft', 'nftables'] as const)(
  '%s: foreign rules survive syncs, racing writers and cleanup',
  async (how) => {
    await using lab = await createLab({});
    const flavour = how === 'legacy' ? 'legacy' : 'nft';
    lab.inNode(`iptables-${flavour}-restore`, [], FOREIGN);
    lab.inNode(`ip6tables-${flavour}-restore`, [], FOREIGN_6);
    lab.inNode('nft', ['-f', '-'], FOREIGN_NFT);
    lab.inNode('ipset', ['restore'], FOREIGN_SETS);
    const foreign = (): string =>
      [
        ...[`iptables-${flavour}-save`, `ip6tables-${flavour}-save`].map((save) =>
          lab
            .inNode(save, [])
            .replace(/^#.*\n/gm, '')
            .replace(/\[\d+:\d+\]/g, '')
            .split('\n')
            .filter((line) => !OURS.test(line))
            .join('\n'),
        ),
        lab.inNode('nft', ['list', 'table', 'inet', 'firewalld']),
        lab.inNode('nft', ['list', 'table', 'ip', 'kube-proxy']).replace(/\s*elements = \{ 198\.18[^}]*\}/, ''),
        ...['docker-ext-bridges-v4', 'KUBE-LOOP-BACK'].map((set) => lab.inNode('ipset', ['save', set])),
      ].join('\n');
    const before = foreign();

    lab.inNode(`iptables-${flavour}`, ['-w', '20', '-N', 'RACE']);
    const address = '198.18.$((N / 250)).$((N % 250))';
    const tool = `iptables-${flavour} -w 20`;
    // iptables-nft-save reads from the start again when anybody wrote meanwhile: beside a writer that never pauses nobody's ends.
    const pause = how === 'nft' ? 'sleep 0.05' : 'true';
    const writers = [
      startWriter(
        lab.netns,
        `${tool} -A RACE -s ${address}/32 -j RETURN`,
        `[ $N -le ${STANDING} ] || ${tool} -D RACE 1; ${pause}`,
      ),
      startWriter(lab.netns, `ipset add race ${address}`),
      startWriter(lab.netns, `nft add element ip kube-proxy race "{ ${address} }"`),
    ];

    const compiler = createPolicyCompiler({ node: 'n1' });
    const target = createFirewallTarget({
      runner: lab.runner,
      netns: lab.netns,
      ...(how === 'nftables' ? { backend: 'nftables' } : { flavour }),
    });
    const { signal } = new AbortController();
    let observed = await target.observe(signal);
    for (let round = 0; round < SYNCS; round++) {
      const ports = [{ protocol: 'TCP' as const, port: 80 + (round % 5) }];
      const { state, dirty } = compiler.update({
        pods: [{ key: 'x/a', object: pod('x/a', [`10.1.0.${1 + (round % 9)}`, 'fd00:1::1'], { app: 'a' }) }],
        policies: [{ key: 'x/p', object: policy('x/p', labels(), { ingress: [{ peers: [], ports }] }) }],
      });
      // Every so often all is read and compared, as at the agent's resync.
      const full = round % 50 === 0;
      if (full && round > 0) observed = await target.observe(signal);
      const applied = await target.apply(
        target.plan(state, observed, full ? { prune: true } : { prune: true, dirty }),
        signal,
      );
      for (const { error } of applied.failures) throw error;
      observed = applied.observed!;
    }
    expect(target.size(target.plan(compiler.state, await target.observe(signal), { prune: true }))).toBe(0);
    const [rules = 0, members = 0, elements = 0] = await Promise.all(writers.map((writer) => writer.stop()));
    expect(Math.min(rules, members, elements)).toBeGreaterThan(0);
    const saved = lab.inNode(`iptables-${flavour}-save`, ['-t', 'filter']);
    expect(saved.match(/^-A RACE /gm)?.length).toBe(Math.min(rules, STANDING));
    expect(lab.inNode('ipset', ['save', 'race']).match(/^add /gm)?.length).toBe(members);
    const listed = lab.inNode('nft', ['list', 'set', 'ip', 'kube-proxy', 'race']);
    expect(listed.match(/198\.18/g)?.length).toBe(elements);
    expect(foreign()).toBe(before);
    const { failures } = await cleanupFirewall({ runner: lab.runner, netns: lab.netns });
    expect(failures).toEqual([]);
    expect(foreign()).toBe(before);
    expect(lab.inNode(`iptables-${flavour}-save`, [])).not.toMatch(/KUBE-ROUTER|KUBE-NWPLCY|KUBE-POD-FW/);
    expect(lab.inNode('ipset', ['list', '-n'])).toBe('docker-ext-bridges-v4\nKUBE-LOOP-BACK\nrace\n');
  },
  60_000 + SYNCS * 2_000,
);
