/**
 * The built agent in a network namespace of its own, against the test API server: what it programs, what it keeps when the API
 * and then it itself are gone, what it leaves at SIGTERM, what it listens on, and that no secret leaves it.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiServer } from '../../src/testing/index.ts';

const main = fileURLToPath(new URL('../../examples/agent/dist/main.js', import.meta.url));
const node = fileURLToPath(new URL('../../node_modules/node/bin/node', import.meta.url));
const id = `kra-${process.pid}`;
const gate = '198.18.77.1';
const own = '198.18.77.2';
/** Passwords that must never be seen again, in every form in which they are given. */
const secrets = ['hunter2-flag', 'hunter2-note'];
const base64 = (text: string): string => Buffer.from(text).toString('base64');

const sh = (file: string, ...args: string[]): string => {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
};
const inside = (...args: string[]): string => sh('ip', 'netns', 'exec', id, ...args);
const until = async (what: string, check: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> => {
  const end = Date.now() + ms;
  for (;;) {
    try {
      if (await check()) return;
    } catch {
      // Not answering yet is one way of not being there yet.
    }
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
};

let folder = '';
let server: Awaited<ReturnType<typeof createApiServer>>;
let agent: ChildProcess | undefined;
let log = '';

const flags = (): string[] => [
  `--kubeconfig=${folder}/kubeconfig`,
  '--hostname-override=node1',
  '--run-service-proxy=false',
  '--enable-cni=false',
  '--metrics-port=9100',
  '--peer-router-ips=198.18.77.9',
  '--peer-router-asns=65000',
  `--peer-router-passwords=${base64(secrets[0] ?? '')}`,
  `--run-dir=${folder}/run`,
  `--state-dir=${folder}/state`,
  '-v2',
];
const call = (...args: string[]) =>
  spawnSync('ip', ['netns', 'exec', id, node, main, ...args, ...flags()], { encoding: 'utf8', timeout: 60_000 });
const start = (): void => {
  agent = spawn('ip', ['netns', 'exec', id, node, main, 'run', ...flags()], { stdio: ['ignore', 'ignore', 'pipe'] });
  agent.stderr?.setEncoding('utf8').on('data', (text: string) => (log += text));
};
const ended = async (): Promise<number | null> => {
  const process = agent;
  if (process === undefined || process.exitCode !== null || process.signalCode !== null)
    return process?.exitCode ?? null;
  return new Promise((resolve) => process.once('exit', (code) => resolve(code)));
};
const get = (port: number, path: string): string =>
  inside('curl', '-s', '--max-time', '5', `http://127.0.0.1:${port}${path}`);
const ready = (): Promise<void> => until('readyz', () => get(20244, '/readyz') === 'OK\n');
const rules = (): string => inside('iptables-save', '-t', 'filter').replaceAll(/^#.*$|\[\d+:\d+\]/gm, '');

const meta = (name: string) => ({ name, namespace: 'default' });
const policy = (port: number) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: meta('web'),
  spec: { podSelector: { matchLabels: { app: 'web' } }, policyTypes: ['Ingress'], ingress: [{ ports: [{ port }] }] },
});

beforeAll(async () => {
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build first`);
  folder = mkdtempSync(join(tmpdir(), `${id}-`));
  sh('ip', 'netns', 'add', id);
  sh('ip', 'link', 'add', `${id}h`.slice(0, 15), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', id);
  sh('ip', 'addr', 'add', `${gate}/24`, 'dev', `${id}h`.slice(0, 15));
  sh('ip', 'link', 'set', `${id}h`.slice(0, 15), 'up');
  inside('ip', 'link', 'set', 'lo', 'up');
  inside('ip', 'link', 'set', 'eth0', 'up');
  inside('ip', 'addr', 'add', `${own}/24`, 'dev', 'eth0');
  server = await createApiServer({ host: gate });
  writeFileSync(`${folder}/kubeconfig`, server.kubeconfig());
  server.apply({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: 'node1',
      annotations: {
        'kube-router.io/peers': `- {remoteip: 198.18.77.8, remoteasn: 65001, password: ${base64(secrets[1] ?? '')}}`,
      },
    },
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
  server.apply(policy(8080));
}, 60_000);

afterAll(async () => {
  agent?.kill('SIGKILL');
  await ended();
  await server?.close();
  spawnSync('ip', ['netns', 'del', id]);
  rmSync(folder, { recursive: true, force: true });
});

describe('an agent and its API', () => {
  test('becomes ready with the policy in force', async () => {
    start();
    await ready();
    expect(rules()).toContain('--dport 8080');
    expect(statSync(`${folder}/run/admin.sock`).mode & 0o777).toBe(0o600);
  });

  test('a policy edited through the API is in the kernel soon', async () => {
    server.apply(policy(9090));
    await until('the edited rule', () => rules().includes('--dport 9090') && !rules().includes('--dport 8080'));
  });

  test('listens on health, metrics and BGP alone', async () => {
    const ports = (): string[] =>
      inside('ss', '-Hltn')
        .split('\n')
        .flatMap((line) => /:(\d+)\s/.exec(line)?.[1] ?? []);
    await until('BGP listens', () => ports().includes('179'));
    expect([...new Set(ports())].sort()).toEqual(['179', '20244', '9100']);
  });

  test('explain asks the running agent', () => {
    const denied = spawnSync(
      node,
      [main, 'explain', '--from=1.2.3.4', '--to=default/web', '--port=80', `--run-dir=${folder}/run`],
      { encoding: 'utf8' },
    );
    expect(denied.stdout).toContain('denied');
    expect(denied.status).toBe(4);
  });

  test('killed, with the API gone: the next start keeps the node as it is', async () => {
    // The snapshot is written twice a minute.
    await until('a snapshot', () => existsSync(`${folder}/state/snapshot.json`), 60_000);
    const before = rules();
    server.setFrozen(true);
    agent?.kill('SIGKILL');
    await ended();
    expect(rules()).toBe(before);
    start();
    await ready();
    expect(log).toContain('starting from the last good objects');
    expect(rules()).toBe(before);
  });

  test('the API is back: changes arrive again by themselves', async () => {
    server.setFrozen(false);
    server.apply(policy(7070));
    await until('the rule made after the outage', () => rules().includes('--dport 7070'), 90_000);
  }, 120_000);

  test('no secret in logs, plan, status, metrics, snapshot, record or Events', () => {
    const seen = new Map<string, string>([
      ['log', log],
      ['status', call('status', '--output=json').stdout],
      ['plan', call('plan').stdout],
      ['metrics', get(9100, '/metrics')],
      ['events', JSON.stringify(server.list('Event'))],
    ]);
    for (const name of ['run', 'state']) {
      for (const file of readdirSync(`${folder}/${name}`)) {
        if (!file.endsWith('.sock')) seen.set(file, readFileSync(`${folder}/${name}/${file}`, 'utf8'));
      }
    }
    expect(seen.get('status')).toContain('198.18.77.9');
    expect([...seen.keys()]).toContain('snapshot.json');
    for (const [name, text] of seen) {
      for (const secret of secrets) {
        expect(text.includes(secret) || text.includes(base64(secret)), `${secret} in ${name}`).toBe(false);
      }
    }
  }, 120_000);

  test('SIGTERM ends it with 0 and leaves the rules; cleanup takes them away', async () => {
    const before = rules();
    // `ip netns exec` has become the agent: the signal reaches it.
    agent?.kill('SIGTERM');
    expect(await ended()).toBe(0);
    expect(rules()).toBe(before);
    const cleanup = call('cleanup', '--output=json');
    expect(cleanup.status, cleanup.stdout + cleanup.stderr).toBe(0);
    expect(rules()).not.toContain('KUBE-');
    expect(inside('ipset', 'list', '-n')).toBe('');
    expect(inside('ip', 'route', 'show', 'proto', '17')).toBe('');
  }, 120_000);
});
