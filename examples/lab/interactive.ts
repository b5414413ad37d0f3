/**
 * The lab, left to you: the same cluster as the demo's, with its agents running, and a shell in which `node1`, `tor` or `client`
 * alone opens a shell on that machine and `node1 ipvsadm -Ln` runs one command there. Commands may also be piped in.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, writeFileSync } from 'node:fs';
import { agentCommand } from './agents.ts';
import { buildLab } from './lab.ts';
import { client, nodes, tor } from './topology.ts';

const bin = '/run/lab/bin';
const progress = (text: string): void => {
  console.log(`  ${text}`);
};

console.log('Building the lab.');
const lab = await buildLab(progress);
for (const { name } of nodes) lab.startAgent(name);
for (const [name, agent] of lab.agents) {
  const took = await agent.ready(180_000);
  progress(
    took === undefined ? `! agent of ${name} is not ready; its log is ${agent.log}` : `${name} ready after ${took} ms`,
  );
}
await lab.kubelet.settled();
await lab.controllers.settled();

mkdirSync(bin, { recursive: true });
const script = (name: string, text: string): void => {
  writeFileSync(`${bin}/${name}`, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
};
for (const { name } of [...nodes, tor, client]) {
  script(
    name,
    // entering a mount namespace leads to its root; the files are the same, so go on where the caller was
    `[ $# = 0 ] && set -- bash --norc -i\nexec nsenter -t "$(cat /run/lab/places/${name})" -m -u -n -- sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"`,
  );
}
script(
  'pod',
  '[ $# -gt 1 ] || { echo "usage: pod NAMESPACE-NAME COMMAND…"; ls /run/netns; exit 2; }\nnetns=$1; shift\nexec nsenter --net="/run/netns/$netns" -- "$@"',
);
script('vtysh', 'exec tor /usr/bin/vtysh --config_dir /run/lab/frr --vty_socket /run/lab/frr "$@"');
script('kube-router-agent', `exec ${agentCommand.join(' ')} "$@"`);

console.log(`
The lab runs. Try:
  kubectl get pods -A -o wide            the cluster, from the control plane
  node1 ipvsadm -Ln                      virtual services of a node (node1, node2, node3)
  node1 ip route                         pod routes learned by BGP
  node1 iptables-legacy -S               the policy firewall's chains; node1 ipset list
  node1 kube-router-agent status         what its agent says
  vtysh -c 'show bgp summary'            the router
  pod demo-friend perl examples/lab/probe.pl 172.16.0.80 80 6 0 1000 0
  kubectl apply --validate=false -f examples/lab/cluster/policy.yaml
Logs are in /run/lab. \`exit\` ends the lab.
`);
const environment = {
  ...process.env,
  PATH: `${bin}:${process.env.PATH ?? ''}`,
  KUBECONFIG: lab.kubeconfig,
  PS1: '\\h# ',
};
// The console of a kernel controls no terminal, so a shell on it knows neither Ctrl-C nor jobs: it gets the line behind it, and a session.
const terminal = process.stdin.isTTY ? openSync('/dev/tty0', 'r+') : undefined;
const shell =
  terminal === undefined
    ? spawn('sh', [], { stdio: 'inherit', env: environment })
    : spawn('setsid', ['--ctty', '--wait', 'sh', '-c', `${windowSize()}; exec bash --norc -i`], {
        stdio: [terminal, terminal, terminal],
        env: environment,
      });
const [code] = (await once(shell, 'exit')) as [number | null];
await lab.close();
process.exit(code ?? 1);

/** The size of the window outside, which the guest cannot see. */
function windowSize(): string {
  const { LAB_ROWS: rows = '24', LAB_COLUMNS: columns = '80' } = process.env;
  return `stty rows ${Number(rows)} cols ${Number(columns)}`;
}
