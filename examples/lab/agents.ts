/** One kube-router-agent process a node, started and ended as a DaemonSet would, with the flags of a real deployment. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cniConfiguration } from './cni.ts';
import type { Finished } from './shell.ts';
import { until } from './shell.ts';
import type { Place } from './places.ts';
import { bare, clusterAsn, holdTimeSeconds, loadBalancerRange, nodes, serviceRange, tor } from './topology.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The agent as it is shipped, run by the Node that comes with the project. */
export const agentCommand = [`${root}node_modules/node/bin/node`, `${root}examples/agent/dist/main.js`] as const;

/** The environment of the lab's DaemonSet, as arguments of env(1); what Node has compiled once is kept for the next start. */
const environment = [`KUBE_ROUTER_CNI_CONF_FILE=${cniConfiguration}`, 'NODE_COMPILE_CACHE=/run/lab/compiled'];

/** The flags of the lab's DaemonSet. */
export function agentFlags(node: string, api: string): string[] {
  const peers = tor.fabric.map(bare);
  return [
    `--master=${api}`,
    `--hostname-override=${node}`,
    '--enable-ipv6',
    `--cluster-asn=${clusterAsn}`,
    `--peer-router-ips=${peers.join(',')}`,
    `--peer-router-asns=${peers.map(() => tor.asn).join(',')}`,
    `--bgp-holdtime=${holdTimeSeconds}s`,
    '--advertise-cluster-ip',
    '--advertise-external-ip',
    '--advertise-loadbalancer-ip',
    `--service-cluster-ip-range=${serviceRange.v4},${serviceRange.v6}`,
    ...(process.env['LAB_AGENT_FLAGS']?.split(' ') ?? []),
    `--loadbalancer-ip-range=${loadBalancerRange.v4},${loadBalancerRange.v6}`,
  ];
}

/** A running agent. */
export interface Agent {
  readonly process: ChildProcess;
  readonly log: string;
  /** Resolves with the time it took, in ms, until /readyz says so; undefined after `timeoutMs`. */
  ready(timeoutMs: number): Promise<number | undefined>;
  /** SIGTERM, and wait. */
  stop(): Promise<void>;
  /** SIGKILL, and wait. */
  kill(): Promise<void>;
}

/** Starts the agent of a node. */
export function startAgent(node: Place, api: string): Agent {
  if (!existsSync(agentCommand[1])) throw new Error('the agent is not built: run `npm run build` first');
  const began = performance.now();
  const log = `/run/lab/${node.name}.log`;
  const [address = ''] = nodes.find(({ name }) => name === node.name)?.addresses ?? [];
  const flags = agentFlags(node.name, api);
  // for whoever asks `plan` of this node
  writeFileSync(`/run/lab/${node.name}.flags`, flags.join(' '));
  const child = node.start('env', [...environment, ...agentCommand, 'run', ...flags], log);
  const exited = once(child, 'exit');
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await exited;
  };
  return {
    process: child,
    log,
    ready: async (timeoutMs) => {
      const ok = await until(async () => {
        if (child.exitCode !== null)
          throw new Error(`the agent of ${node.name} ended with ${child.exitCode}; see ${log}`);
        return readyz(bare(address));
      }, timeoutMs);
      return ok === undefined ? undefined : Math.round(performance.now() - began);
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

/** Runs another subcommand of the agent on a node and waits for it. */
export function runAgent(node: Place, subcommand: string, api: string, ...flags: string[]): Promise<Finished> {
  return node.run('env', [...environment, ...agentCommand, subcommand, ...agentFlags(node.name, api), ...flags]);
}

/** What the agent at `address` answers to the kubelet's probe. */
async function readyz(address: string): Promise<boolean> {
  try {
    const { ok } = await fetch(`http://${address}:20244/readyz`, { signal: AbortSignal.timeout(2000) });
    return ok;
  } catch {
    // nobody listens yet
    return false;
  }
}
