/**
 * Other programs' rules beside ours: what Docker, a zone firewall and kube-proxy leave in the tables survives our syncs and our cleanup
 * byte for byte, while another writer works on the same table at the same time. FIREWALL_SYNCS sets the number of syncs.
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

test.each(['legacy', 'nft', 'nftables'] as const)(
  '%s: foreign rules survive syncs, a racing writer and cleanup',
  async (how) => {
    await using lab = await createLab({});
    const flavour = how === 'legacy' ? 'legacy' : 'nft';
    lab.inNode(`iptables-${flavour}-restore`, [], FOREIGN);
    const foreign = (): string =>
      lab
        .inNode(`iptables-${flavour}-save`, [])
        .replace(/^#.*\n/gm, '')
        .replace(/\[\d+:\d+\]/g, '')
        .split('\n')
        .filter((line) => !/KUBE-ROUTER|KUBE-NWPLCY|KUBE-POD-FW|RACE/.test(line))
        .join('\n');
    const before = foreign();

    // Another program adds a rule of its own over and over; each one must be there at the end.
    const script = `n=0; iptables-${flavour} -w 20 -N RACE; trap 'stop=1' TERM; while [ -z "$stop" ]; do iptables-${flavour} -w 20 -A RACE -s 198.18.$((n / 250)).$((n % 250))/32 -j RETURN && n=$((n + 1)); done; echo $n`;
    const writer = spawn('ip', ['netns', 'exec', lab.netns.split('/').at(-1)!, 'bash', '-c', script]);
    let written = '';
    writer.stdout.on('data', (data) => (written += String(data)));
    const ended = new Promise((resolve) => writer.once('exit', resolve));

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
      const how = round === 0 ? { prune: true } : { prune: true, dirty };
      const applied = await target.apply(target.plan(state, observed, how), signal);
      for (const { error } of applied.failures) throw error;
      observed = applied.observed!;
    }
    expect(target.size(target.plan(compiler.state, await target.observe(signal), { prune: true }))).toBe(0);
    writer.kill('SIGTERM');
    await ended;
    const saved = lab.inNode(`iptables-${flavour}-save`, ['-t', 'filter']);
    expect(saved.match(/^-A RACE /gm)?.length).toBe(Number(written));
    expect(Number(written)).toBeGreaterThan(0);
    expect(foreign()).toBe(before);
    const { failures } = await cleanupFirewall({ runner: lab.runner, netns: lab.netns });
    expect(failures).toEqual([]);
    expect(foreign()).toBe(before);
    expect(lab.inNode(`iptables-${flavour}-save`, [])).not.toMatch(/KUBE-ROUTER|KUBE-NWPLCY|KUBE-POD-FW/);
    expect(lab.inNode('ipset', ['list', '-n'])).toBe('');
  },
);
