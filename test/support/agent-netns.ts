/**
 * The built agent in a network namespace of its own on the machine's kernel, against the test API server: routing, policy, BGP
 * and everything around them, without IPVS, which the machine need not have.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createApiServer, type ApiServer, type ApiServerOptions } from '../../src/testing/index.ts';

/** The built agent and the Node it runs on. */
export const agentMain = fileURLToPath(new URL('../../examples/agent/dist/main.js', import.meta.url));
export const agentNode = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));

let count = 0;

/** A node with an agent. */
export interface AgentNetns {
  /** Name of the namespace. */
  readonly id: string;
  readonly folder: string;
  /** Our address and the node's. */
  readonly gate: string;
  readonly own: string;
  /** The API; replaced by {@link AgentNetns.openApi}. */
  readonly server: ApiServer;
  /** Everything that agents have said so far. */
  readonly log: string;
  readonly agent: ChildProcess | undefined;
  /** Opens the API anew on the same port, empty. */
  openApi(options?: ApiServerOptions): Promise<ApiServer>;
  inside(...args: string[]): string;
  /** Starts `run` with these flags beside those of the harness; with `--manifests` among them, without the API. */
  start(...flags: string[]): void;
  /** Waits for the agent's end and returns its exit code. */
  ended(): Promise<number | null>;
  /** Another command of the agent; asynchronous, for the API that it asks lives in this process. */
  call(...args: string[]): Promise<Called>;
  get(port: number, path: string, ...curl: string[]): string;
  ready(ms?: number): Promise<void>;
  /** The filter table without counters. */
  rules(): string;
  close(): Promise<void>;
}

/** What a command said. */
export interface Called {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, at most two minutes. */
export async function call(file: string, args: readonly string[]): Promise<Called> {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

/** Runs a program. @throws Error with what it said */
export function sh(file: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** Waits for something. */
export async function until(
  what: string | (() => string),
  check: () => boolean | Promise<boolean>,
  ms = 60_000,
): Promise<void> {
  const end = Date.now() + ms;
  for (;;) {
    try {
      if (await check()) return;
    } catch {
      // Not answering yet is one way of not being there yet.
    }
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

const meta = (name: string) => ({ name, namespace: 'default' });

/** The policy of the web pod: one port is open. */
export const webPolicy = (port: number) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: meta('web'),
  spec: { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'], ingress: [{ ports: [{ port }] }] },
});

/** Node, Namespace, a pod with an address and its policy for port 8080. */
export function applyObjects(server: ApiServer, own: string, annotations: Readonly<Record<string, string>> = {}): void {
  server.apply({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node1', annotations },
    spec: { podCIDRs: ['10.77.1.0/24'] },
    status: { addresses: [{ type: 'InternalIP', address: own }] },
  });
  server.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default' } });
  server.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...meta('web'), labels: { app: 'web' } },
    spec: { nodeName: 'node1', containers: [] },
    status: { phase: 'Running', podIP: '10.77.1.5', podIPs: [{ ip: '10.77.1.5' }], hostIP: own },
  });
  server.apply(webPolicy(8080));
}

/** Makes the namespace, the cable to it and the API; the agent is started by the caller. */
export async function createAgentNetns(kubeconfig: (text: string) => string = (text) => text): Promise<AgentNetns> {
  if (!existsSync(agentMain)) throw new Error(`${agentMain} is missing: run npm run build first`);
  const number = count++;
  const id = `kra-${process.pid}-${number}`;
  const here = `kra${process.pid % 100_000}h${number}`;
  const net = `198.18.${process.pid % 250}`;
  const gate = `${net}.${number * 4 + 1}`;
  const own = `${net}.${number * 4 + 2}`;
  const folder = mkdtempSync(join(tmpdir(), `${id}-`));
  sh('ip', 'netns', 'add', id);
  sh('ip', 'link', 'add', here, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', id);
  sh('ip', 'addr', 'add', `${gate}/30`, 'dev', here);
  sh('ip', 'link', 'set', here, 'up');
  const inside = (...args: string[]): string => sh('ip', 'netns', 'exec', id, ...args);
  inside('ip', 'link', 'set', 'lo', 'up');
  // No link-local address, which would appear a while later.
  inside('ip', 'link', 'set', 'eth0', 'addrgenmode', 'none');
  inside('ip', 'link', 'set', 'eth0', 'up');
  inside('ip', 'addr', 'add', `${own}/30`, 'dev', 'eth0');
  inside('ip', 'route', 'add', 'default', 'via', gate);
  let server = await createApiServer({ host: gate });
  const port = Number(new URL(server.url).port);
  writeFileSync(`${folder}/kubeconfig`, kubeconfig(server.kubeconfig()));
  let agent: ChildProcess | undefined;
  let log = '';
  const kube = `--kubeconfig=${folder}/kubeconfig`;
  const flags = [
    '--hostname-override=node1',
    '--run-service-proxy=false',
    '--enable-cni=false',
    `--run-dir=${folder}/run`,
    `--state-dir=${folder}/state`,
  ];
  const made: AgentNetns = {
    id,
    folder,
    gate,
    own,
    get server() {
      return server;
    },
    get log() {
      return log;
    },
    get agent() {
      return agent;
    },
    openApi: async (options = {}) => (server = await createApiServer({ host: gate, port, ...options })),
    inside,
    start(...more) {
      const source = more.some((flag) => flag.startsWith('--manifests')) ? [] : [kube];
      agent = spawn('ip', ['netns', 'exec', id, agentNode, agentMain, 'run', ...source, ...flags, ...more], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      agent.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text));
    },
    async ended() {
      const child = agent;
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
      return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
    },
    call: (...args) => call('ip', ['netns', 'exec', id, agentNode, agentMain, ...args, kube, ...flags]),
    get: (port_, path, ...curl) => inside('curl', '-s', '--max-time', '5', ...curl, `http://127.0.0.1:${port_}${path}`),
    ready: (ms) =>
      until(
        () => `readyz; the log ends: ${log.slice(-500)}`,
        () => made.get(20244, '/readyz') === 'OK\n',
        ms,
      ),
    rules: () => inside('iptables-save', '-t', 'filter').replaceAll(/^#.*$|\[\d+:\d+\]/gm, ''),
    async close() {
      agent?.kill('SIGKILL');
      await made.ended();
      await server.close();
      spawnSync('ip', ['netns', 'del', id]);
      spawnSync('ip', ['link', 'del', here]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return made;
}
